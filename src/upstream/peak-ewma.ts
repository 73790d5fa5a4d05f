/**
 * An origin's latency as a load balancer wants it: a moving average that jumps up with a slow answer and
 * comes down slowly (Finagle's peak EWMA). What has not been heard of for a while is forgotten, so that
 * an origin that was slow once is tried again.
 */
import type { Millis } from '../exchange.ts'

const TAU_MS = 10_000
/** A failure costs at least this much: an origin that fails fast must not look fast. */
const FAILURE_MS = 1000

export class PeakEwma {
  #value = 0
  #at = 0

  observe(duration: Millis, now: Millis): void {
    if (duration >= this.#value) this.#value = duration
    else {
      const kept = Math.exp(-Math.max(0, now - this.#at) / TAU_MS)
      this.#value = this.#value * kept + duration * (1 - kept)
    }
    this.#at = now
  }

  failed(duration: Millis, now: Millis): void {
    this.observe(Math.max(duration, FAILURE_MS), now)
  }

  /** Milliseconds; 0 when nothing is known, or nothing any more. */
  read(now: Millis): Millis {
    return this.#value * Math.exp(-Math.max(0, now - this.#at) / TAU_MS)
  }
}
