/**
 * How many requests of one key may be under way at once. State exists only for keys with a request under
 * way, so memory is bounded by the requests in the process.
 */
import type { Millis } from '../exchange.ts'
import type { Algorithm, Finding } from './algorithm.ts'

/** Nobody knows when a request ends; a second is a polite wait. */
const RETRY_MS = 1000

export class Concurrency implements Algorithm {
  readonly clock = 'monotonic'
  readonly quota: number
  readonly windowSeconds = 0
  readonly displaced = 0
  #inFlight = new Map<number, number>()
  #key = 0
  #next = 0

  constructor(limit: number) {
    this.quota = limit
  }

  peek(high: number, low: number, _now: Millis, cost: number, found: Finding): boolean {
    const key = fold(high, low)
    const current = this.#inFlight.get(key) ?? 0
    found.resetMs = 0
    if (current + cost > this.quota) {
      found.remaining = Math.max(0, this.quota - current)
      found.retryMs = cost > this.quota ? Number.POSITIVE_INFINITY : RETRY_MS
      return false
    }
    found.remaining = this.quota - current - cost
    this.#key = key
    this.#next = current + cost
    return true
  }

  charge(): void {
    this.#inFlight.set(this.#key, this.#next)
  }

  release(high: number, low: number, cost = 1): void {
    const key = fold(high, low)
    const current = this.#inFlight.get(key) ?? 0
    if (current <= cost) this.#inFlight.delete(key)
    else this.#inFlight.set(key, current - cost)
  }

  /** Requests under way go on counting, and their release still reaches the new limit. */
  adopt(previous: Algorithm): boolean {
    if (!(previous instanceof Concurrency)) return false
    this.#inFlight = previous.#inFlight
    return true
  }

  used(): number {
    return this.#inFlight.size
  }
}

/** 53 of the 64 bits of a key's hash: as many as a number holds. */
function fold(high: number, low: number): number {
  return (high & 0x1fffff) * 0x1_0000_0000 + (low >>> 0)
}
