/** What one process remembers of one key of a shared limit: its lease, its last denial, what it owes. */
import type { Millis } from '../../exchange.ts'
import type { FleetPolicy } from './fleet-policy.ts'
import type { Verdict } from './store.ts'

/** Denials are asked about again at least so often: a quota may have been given back. */
const LONGEST_DENIAL_MS: Millis = 1000
/** A lease is renewed ahead when no more than this of it is left, and only a lease of several requests. */
const RENEW_SHARE = 0.25
const RENEW_FROM = 4

export class KeyState {
  readonly high: number
  readonly low: number
  /** Units that may be used without asking, until `until`. */
  tokens = 0
  until: Millis = 0
  /** Name in the store of the tokens' count, for giving them back. */
  leasedFrom = ''
  /** As the store said last. */
  remaining: number | undefined
  resetAt: Millis = 0
  /** From then on units come back, by what the store said. */
  returnsFrom: Millis = 0
  /** Requests of at least `deniedCost` are denied until `deniedUntil` without asking. */
  deniedUntil: Millis = 0
  deniedCost = 0
  retryAt: Millis = 0
  isMitigated = false
  /** `async`: units admitted that the store does not know of yet. */
  pending = 0
  /** `async`: of these, units that the store is being told of. */
  telling = 0
  /** A question under way that others may wait for: false when it failed. */
  asking: Promise<boolean> | undefined
  usedAt: Millis = 0
  #leased = 0
  #renewAt: Millis = 0
  // Demand: units asked for in this lease's time and in the one before.
  #start: Millis = 0
  #count = 0
  #previous = 0

  constructor(high: number, low: number) {
    this.high = high
    this.low = low
  }

  demand(units: number, now: Millis, leaseMs: Millis): void {
    this.#roll(now, leaseMs)
    this.#count += units
    this.usedAt = now
  }

  /** Units that will be asked for in the time of a lease, by what was asked for lately. */
  expected(now: Millis, leaseMs: Millis): number {
    this.#roll(now, leaseMs)
    return Math.round(this.#previous * (1 - (now - this.#start) / leaseMs) + this.#count)
  }

  #roll(now: Millis, leaseMs: Millis): void {
    const age = now - this.#start
    if (age < leaseMs) return
    this.#previous = age < 2 * leaseMs ? this.#count : 0
    this.#count = 0
    this.#start = age < 2 * leaseMs ? this.#start + leaseMs : now
  }

  holds(cost: number, now: Millis): boolean {
    return this.tokens >= cost && now < this.until
  }

  isDenied(cost: number, now: Millis): boolean {
    return now < this.deniedUntil && cost >= this.deniedCost
  }

  /** Whether it is time to renew the lease behind the requests that still use it. */
  isLow(now: Millis, leaseMs: Millis): boolean {
    return (
      this.asking === undefined &&
      now >= this.#renewAt &&
      this.tokens <= this.#leased * RENEW_SHARE &&
      this.expected(now, leaseMs) >= RENEW_FROM
    )
  }

  /**
   * Takes over what the store said.
   * @param name under which it was counted
   * @param end  of the period; no unit is used after the period that it was counted in
   * @returns units of an older lease that are void
   */
  learn(verdict: Verdict, fleet: FleetPolicy, name: string, now: Millis): number {
    const { leaseMs } = fleet
    this.remaining = verdict.remaining
    this.resetAt = now + verdict.resetMs
    this.returnsFrom = now + verdict.retryMs
    let wasted = 0
    if (verdict.granted > 0) {
      if (now >= this.until || name !== this.leasedFrom) {
        wasted = this.tokens
        this.tokens = 0
      }
      this.tokens += verdict.granted
      this.#leased = this.tokens
      const longest = 2 * leaseMs
      this.until = now + (fleet.counting.periods ? Math.min(longest, verdict.resetMs) : longest)
      this.leasedFrom = name
    } else this.#renewAt = now + leaseMs / 5
    return wasted
  }

  deny(cost: number, verdict: Verdict, leaseMs: Millis, now: Millis): void {
    this.retryAt = now + verdict.retryMs
    const wait = Math.max(verdict.retryMs, leaseMs / 5)
    this.deniedUntil = now + Math.min(wait, LONGEST_DENIAL_MS)
    this.deniedCost = cost
    this.isMitigated = verdict.reason === 'mitigation'
  }

  /** Whether forgetting it changes nothing. */
  isIdle(now: Millis): boolean {
    return (
      this.tokens === 0 &&
      this.pending === 0 &&
      this.asking === undefined &&
      now >= this.deniedUntil &&
      now - this.usedAt > IDLE_MS
    )
  }
}

const IDLE_MS: Millis = 5000
