/**
 * Adaptive concurrency for one origin pool: how many requests may be under way follows from how their
 * latency compares with its long-term average (the gradient method that Netflix described for its
 * concurrency limits, 2018). When answers slow down the limit falls, before a queue does the damage.
 */
import type { ConcurrencyConfig } from '../config/sections/limits.ts'
import type { Millis } from '../exchange.ts'

/** Share of the limit that each class of requests may fill: the least important is shed first. */
export const PRIORITY_SHARES = { critical: 1, default: 0.9, sheddable: 0.7, batch: 0.5 } as const
export type Priority = keyof typeof PRIORITY_SHARES

/** How fast the limit follows a new estimate. */
const SMOOTHING = 0.2
/** Room above the estimate, without which the limit could never grow. */
const QUEUE = 4
/** A round is at least so many answers and so long; their mean is one measurement. */
const ROUND_ANSWERS = 10
const ROUND_MS: Millis = 200
/** Rounds that the long-term average remembers: two minutes under load. */
const LONG_ROUNDS = 600

/** What has been learnt; shared with the settings before a reload, whose requests are still under way. */
interface Learnt {
  limit: number
  inFlight: number
  longLatency: number
  measurements: number
  roundSum: number
  roundCount: number
  roundStart: Millis
  peakInFlight: number
  shed: number
  shedAt: Millis
}

function nothing(limit: number): Learnt {
  return {
    limit,
    inFlight: 0,
    longLatency: 0,
    measurements: 0,
    roundSum: 0,
    roundCount: 0,
    roundStart: Number.NEGATIVE_INFINITY,
    peakInFlight: 0,
    shed: 0,
    shedAt: Number.NEGATIVE_INFINITY,
  }
}

export class AdaptiveConcurrency {
  readonly #config: ConcurrencyConfig
  readonly #learnt: Learnt

  /** @param previous of the same pool, before a reload */
  constructor(config: ConcurrencyConfig, previous?: AdaptiveConcurrency) {
    this.#config = config
    this.#learnt = previous === undefined ? nothing(config.initial) : previous.#learnt
  }

  get limit(): number {
    return Math.floor(this.#limit)
  }

  /** What another config had made of it may lie outside of this one's range. */
  get #limit(): number {
    const { minimum, maximum } = this.#config
    return Math.min(maximum, Math.max(minimum, this.#learnt.limit))
  }

  get inFlight(): number {
    return this.#learnt.inFlight
  }

  /** Requests that the limit refused, or would have in mode observe. */
  get shed(): number {
    return this.#learnt.shed
  }

  /** After a refusal: whether it is the first in a minute, and so an event of its own. */
  isNews(now: Millis): boolean {
    const { shedAt } = this.#learnt
    this.#learnt.shedAt = now
    return now - shedAt >= 60_000
  }

  /** Whether a request may start now. True must be followed by one `finish`. */
  start(priority: Priority = 'default'): boolean {
    const learnt = this.#learnt
    const room = Math.max(1, Math.floor(this.#limit * PRIORITY_SHARES[priority]))
    if (this.#config.mode !== 'off' && learnt.inFlight >= room) {
      learnt.shed++
      if (this.#config.mode === 'enforce') return false
    }
    learnt.inFlight++
    if (learnt.inFlight > learnt.peakInFlight) learnt.peakInFlight = learnt.inFlight
    return true
  }

  /**
   * @param latencyMs until the response header; undefined when the request says nothing about the origin
   *   (cached, cancelled by the client, refused before it was sent)
   * @param now monotonic
   */
  finish(latencyMs: Millis | undefined, now: Millis): void {
    const learnt = this.#learnt
    learnt.inFlight--
    if (latencyMs === undefined || this.#config.mode === 'off') return
    learnt.roundSum += latencyMs
    if (++learnt.roundCount < ROUND_ANSWERS || now - learnt.roundStart < ROUND_MS) return
    learnt.roundStart = now
    this.#measure(learnt.roundSum / learnt.roundCount)
    learnt.roundSum = 0
    learnt.roundCount = 0
  }

  #measure(latency: Millis): void {
    const learnt = this.#learnt
    const limit = this.#limit
    const short = Math.max(0.001, latency)
    learnt.measurements++
    const weight = Math.max(1 / learnt.measurements, 1 / LONG_ROUNDS)
    learnt.longLatency += (short - learnt.longLatency) * weight
    // After a slow spell the average would excuse the next one: it comes down faster than it went up.
    if (learnt.longLatency > 2 * short) learnt.longLatency *= 0.95
    const peak = learnt.peakInFlight
    learnt.peakInFlight = learnt.inFlight
    const { tolerance, minimum, maximum } = this.#config
    const gradient = Math.max(0.5, Math.min(1, (tolerance * learnt.longLatency) / short))
    // Light traffic says nothing about where the limit is; only a fall may be believed.
    if (gradient === 1 && peak < limit / 2) return
    const estimate = limit * gradient + QUEUE
    const next = limit * (1 - SMOOTHING) + estimate * SMOOTHING
    learnt.limit = Math.max(minimum, Math.min(maximum, next))
  }
}

/**
 * Admission control by success rate: how likely a request is to be refused when fewer than `threshold` of
 * the last ones succeeded. Second line, for origins that fail fast instead of slowing down.
 * @param requests   in the window
 * @param threshold  share of successes that is good enough, 0 to 1
 * @param aggression 1 refuses in proportion; more refuses earlier
 * @returns probability, 0 to 1
 */
export function refusalProbability(
  requests: number,
  successes: number,
  threshold: number,
  aggression: number,
): number {
  const excess = (requests - successes / threshold) / (requests + 1)
  return excess <= 0 ? 0 : excess ** (1 / aggression)
}
