/**
 * How many retries a pool may add to its load: a token bucket fed by requests, so that a storm of failures
 * cannot multiply itself (Finagle's retry budget). With a floor, since a quiet pool must be able to fail
 * over too.
 */
import type { Millis } from '../exchange.ts'

/** Retries a second that are always allowed, and how many of them are saved up at most. */
const FLOOR_PER_SECOND = 10
const MOST_FLOOR = 100
/** What requests pay in fades with this time constant: a quiet hour does not pay for a storm. */
const TAU_MS = 10_000

export class RetryBudget {
  readonly #share: number
  /** Paid in by requests. */
  #paid = 0
  #floor = MOST_FLOOR
  #at = Number.NEGATIVE_INFINITY
  /** How often a retry was refused. */
  exhausted = 0

  /**
   * @param percent retries as a share of requests, 0 to 100
   * @param before  the budget of the same pool before a reload: what was spent stays spent
   */
  constructor(percent: number, before?: RetryBudget) {
    this.#share = percent / 100
    if (before === undefined) return
    this.#paid = before.#paid
    this.#floor = before.#floor
    this.#at = before.#at
    this.exhausted = before.exhausted
  }

  /** @param now monotonic */
  onRequest(now: Millis): void {
    this.#pass(now)
    this.#paid += this.#share
  }

  /** @param now monotonic */
  mayRetry(now: Millis): boolean {
    this.#pass(now)
    if (this.#paid >= 1) this.#paid -= 1
    else if (this.#paid + this.#floor >= 1) {
      this.#floor -= 1 - this.#paid
      this.#paid = 0
    } else {
      this.exhausted++
      return false
    }
    return true
  }

  #pass(now: Millis): void {
    const elapsed = now - this.#at
    if (elapsed <= 0) return
    this.#at = now
    if (elapsed === Number.POSITIVE_INFINITY) return
    this.#paid *= Math.exp(-elapsed / TAU_MS)
    this.#floor = Math.min(MOST_FLOOR, this.#floor + (elapsed / 1000) * FLOOR_PER_SECOND)
  }
}

/** Hedges saved up at most. */
const MOST_HEDGES = 10

/** How many requests a pool may be sent twice for speed: a share of them, and no floor. */
export class HedgeBudget {
  #tokens = 1

  /** @param percent hedges as a share of the requests that could be hedged, 0 to 100 */
  onRequest(percent: number): void {
    this.#tokens = Math.min(MOST_HEDGES, this.#tokens + percent / 100)
  }

  take(): boolean {
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}
