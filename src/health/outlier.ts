/**
 * What live traffic says about one origin: ejection after failures, a trial afterwards, and a memory that
 * fades. This is a breaker whose open time grows with each relapse (Envoy's outlier detection; its
 * ejection time grew without end until it decayed, Envoy issue 6016). Time is given with each call.
 */
import type { OutlierConfig } from '../config/sections/health.ts'
import type { Millis } from '../exchange.ts'
import type { UpstreamErrorClass } from '../ports.ts'

/**
 * How an attempt ended. `gateway-error` is 502, 503 or 504 from the origin itself; `overloaded` is one
 * with `Retry-After`: an origin that knows its limits is not dead.
 */
export type Outcome = 'ok' | UpstreamErrorClass | 'gateway-error' | 'overloaded'

export interface OutlierRules {
  readonly consecutiveConnect: number
  readonly consecutive: number
  /** 0 to 1. */
  readonly failureShare: number
  readonly minRequests: number
  readonly windowMs: Millis
  readonly baseEjectionMs: Millis
  readonly maxEjectionMs: Millis
  /** Successes in a row that end the trial. */
  readonly halfOpen: number
}

export function outlierRules(config: OutlierConfig): OutlierRules {
  return {
    consecutiveConnect: config.consecutiveConnect,
    consecutive: config.consecutive,
    failureShare: config.failureShare / 100,
    minRequests: config.minRequests,
    windowMs: config.window,
    baseEjectionMs: config.baseEjection,
    maxEjectionMs: config.maxEjection,
    halfOpen: config.halfOpen,
  }
}

/** Why an origin should be ejected. */
export type EjectionCause = 'connect' | 'consecutive' | 'failure-share' | 'relapse' | 'told'

/** Whether an outcome counts against the origin, for it, or not at all. */
export function weigh(outcome: Outcome): 'success' | 'failure' | 'nothing' {
  switch (outcome) {
    case 'ok':
      return 'success'
    // The client's doing, or a race on an idle connection that says nothing about the next one.
    case 'cancelled':
    case 'request-body':
    case 'stale-connection':
    case 'overloaded':
      return 'nothing'
    default:
      return 'failure'
  }
}

const BUCKETS = 10
/** Ejections are this share longer or shorter, so that origins do not come back together. */
const EJECTION_JITTER = 0.2

/** The longest exponent that matters; beyond it the longest ejection is reached in any case. */
const MOST_LEVEL = 30

export class Outlier {
  /** `closed`: traffic as usual; `open`: ejected; `trial`: back, one request at a time. */
  phase: 'closed' | 'open' | 'trial' = 'closed'
  /** End of the ejection; only meaningful when open. */
  until: Millis = 0
  cause: EjectionCause = 'consecutive'
  /** Number of ejections that are remembered. */
  level = 0
  #connects = 0
  #failures = 0
  #trialSuccesses = 0
  #lastBadAt: Millis = 0
  readonly #ok = new Int32Array(BUCKETS)
  readonly #bad = new Int32Array(BUCKETS)
  #bucket = 0

  /** The same memory, apart from this one: for the board after a reload. */
  copy(): Outlier {
    const copy = new Outlier()
    copy.phase = this.phase
    copy.until = this.until
    copy.cause = this.cause
    copy.level = this.level
    copy.#connects = this.#connects
    copy.#failures = this.#failures
    copy.#trialSuccesses = this.#trialSuccesses
    copy.#lastBadAt = this.#lastBadAt
    copy.#ok.set(this.#ok)
    copy.#bad.set(this.#bad)
    copy.#bucket = this.#bucket
    return copy
  }

  /**
   * Takes the end of one attempt.
   * @returns why the origin should be ejected now; undefined when it should not
   */
  report(outcome: Outcome, rules: OutlierRules, now: Millis): EjectionCause | undefined {
    const weight = weigh(outcome)
    if (weight === 'nothing' || this.phase === 'open') return undefined
    const slot = this.#turnTo(now, rules)
    if (weight === 'success') {
      this.#ok[slot] = (this.#ok[slot] as number) + 1
      this.#connects = 0
      this.#failures = 0
      if (this.phase === 'trial') {
        this.#trialSuccesses++
        if (this.#trialSuccesses >= rules.halfOpen) this.phase = 'closed'
      }
      return undefined
    }
    this.#bad[slot] = (this.#bad[slot] as number) + 1
    this.#forget(now, rules)
    this.#failures++
    this.#connects = outcome === 'connect' ? this.#connects + 1 : 0
    if (this.phase === 'trial') return 'relapse'
    if (this.#connects >= rules.consecutiveConnect) return 'connect'
    if (this.#failures >= rules.consecutive) return 'consecutive'
    return this.#failsTooOften(rules) ? 'failure-share' : undefined
  }

  /**
   * Ejects the origin; each time twice as long as the last.
   * @param draw uniform in [0, 1)
   */
  eject(cause: EjectionCause, rules: OutlierRules, now: Millis, draw: number): void {
    this.level = Math.min(MOST_LEVEL, this.level + 1)
    const nominal = Math.min(rules.baseEjectionMs * 2 ** (this.level - 1), rules.maxEjectionMs)
    this.openUntil(now + nominal * (1 + EJECTION_JITTER * (2 * draw - 1)), cause)
  }

  /** Ejects until a given time: what another worker or node found out. */
  openUntil(until: Millis, cause: EjectionCause): void {
    this.phase = 'open'
    this.until = until
    // A relapse keeps its first cause: what may end the ejection early depends on it.
    if (cause !== 'relapse') this.cause = cause
    this.#connects = 0
    this.#failures = 0
    this.#ok.fill(0)
    this.#bad.fill(0)
  }

  /** The ejection is over: the next successes decide. */
  tryAgain(): void {
    this.phase = 'trial'
    this.#trialSuccesses = 0
  }

  close(): void {
    this.phase = 'closed'
  }

  /** One ejection is forgotten for each window without a failure. */
  #forget(now: Millis, rules: OutlierRules): void {
    const quiet = now - Math.max(this.until, this.#lastBadAt)
    this.level = Math.max(0, this.level - Math.max(0, Math.floor(quiet / rules.windowMs)))
    this.#lastBadAt = now
  }

  #turnTo(now: Millis, rules: OutlierRules): number {
    const bucket = Math.floor((now * BUCKETS) / rules.windowMs)
    const stale = Math.min(BUCKETS, bucket - this.#bucket)
    for (let i = 0; i < stale; i++) {
      const slot = (bucket - i) % BUCKETS
      this.#ok[slot] = 0
      this.#bad[slot] = 0
    }
    if (bucket > this.#bucket) this.#bucket = bucket
    return this.#bucket % BUCKETS
  }

  #failsTooOften(rules: OutlierRules): boolean {
    if (rules.failureShare >= 1) return false
    let ok = 0
    let bad = 0
    for (let i = 0; i < BUCKETS; i++) {
      ok += this.#ok[i] as number
      bad += this.#bad[i] as number
    }
    return ok + bad >= rules.minRequests && bad >= (ok + bad) * rules.failureShare
  }
}
