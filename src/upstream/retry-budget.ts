/**
 * How many retries a pool may add to its load: a token bucket fed by requests, so that a storm of failures
 * cannot multiply itself (Finagle's retry budget). With a floor, since a quiet pool must be able to fail
 * over too.
 */
import type { Millis } from '../exchange.ts'

/** Retries a second that are always allowed. */
const FLOOR_PER_SECOND = 10
/** Tokens kept at most, in seconds of the floor plus requests. */
const WINDOW_MS = 10_000

export class RetryBudget {
  readonly #share: number
  #tokens: number
  #deposits = 0
  #lastAt = 0
  /** How often a retry was refused. */
  exhausted = 0

  /** @param percent retries as a share of requests, 0 to 100 */
  constructor(percent: number) {
    this.#share = percent / 100
    this.#tokens = FLOOR_PER_SECOND
  }

  onRequest(): void {
    this.#deposits += this.#share
  }

  /** @param now monotonic */
  mayRetry(now: Millis): boolean {
    const elapsed = Math.max(0, now - this.#lastAt)
    this.#lastAt = now
    const most = FLOOR_PER_SECOND * (WINDOW_MS / 1000)
    this.#tokens = Math.min(
      most + this.#deposits,
      this.#tokens + (elapsed / 1000) * FLOOR_PER_SECOND + this.#deposits,
    )
    this.#deposits = 0
    if (this.#tokens < 1) {
      this.exhausted++
      return false
    }
    this.#tokens -= 1
    return true
  }
}
