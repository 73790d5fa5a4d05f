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

export class AdaptiveConcurrency {
  readonly #config: ConcurrencyConfig
  #limit: number
  #inFlight = 0
  #longLatency = 0
  #measurements = 0
  #roundSum = 0
  #roundCount = 0
  #roundStart = Number.NEGATIVE_INFINITY
  #peakInFlight = 0
  /** Requests that the limit refused, or would have in mode observe. */
  shed = 0

  constructor(config: ConcurrencyConfig) {
    this.#config = config
    this.#limit = Math.min(config.maximum, Math.max(config.minimum, config.initial))
  }

  get limit(): number {
    return Math.floor(this.#limit)
  }

  get inFlight(): number {
    return this.#inFlight
  }

  /** Whether a request may start now. True must be followed by one `finish`. */
  start(priority: Priority = 'default'): boolean {
    const room = Math.max(1, Math.floor(this.#limit * PRIORITY_SHARES[priority]))
    if (this.#config.mode !== 'off' && this.#inFlight >= room) {
      this.shed++
      if (this.#config.mode === 'enforce') return false
    }
    this.#inFlight++
    if (this.#inFlight > this.#peakInFlight) this.#peakInFlight = this.#inFlight
    return true
  }

  /**
   * @param latencyMs until the response header; undefined when the request says nothing about the origin
   *   (cached, cancelled by the client, refused before it was sent)
   * @param now monotonic
   */
  finish(latencyMs: Millis | undefined, now: Millis): void {
    this.#inFlight--
    if (latencyMs === undefined || this.#config.mode === 'off') return
    this.#roundSum += latencyMs
    if (++this.#roundCount < ROUND_ANSWERS || now - this.#roundStart < ROUND_MS) return
    this.#roundStart = now
    this.#measure(this.#roundSum / this.#roundCount)
    this.#roundSum = 0
    this.#roundCount = 0
  }

  #measure(latency: Millis): void {
    const short = Math.max(0.001, latency)
    this.#measurements++
    const weight = Math.max(1 / this.#measurements, 1 / LONG_ROUNDS)
    this.#longLatency += (short - this.#longLatency) * weight
    // After a slow spell the average would excuse the next one: it comes down faster than it went up.
    if (this.#longLatency > 2 * short) this.#longLatency *= 0.95
    const peak = this.#peakInFlight
    this.#peakInFlight = this.#inFlight
    const { tolerance, minimum, maximum } = this.#config
    const gradient = Math.max(0.5, Math.min(1, (tolerance * this.#longLatency) / short))
    // Light traffic says nothing about where the limit is; only a fall may be believed.
    if (gradient === 1 && peak < this.#limit / 2) return
    const estimate = this.#limit * gradient + QUEUE
    const next = this.#limit * (1 - SMOOTHING) + estimate * SMOOTHING
    this.#limit = Math.max(minimum, Math.min(maximum, next))
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
