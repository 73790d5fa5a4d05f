/**
 * The exact log: the times of the last `limit` units of each key. No early denial, no overrun, memory in
 * proportion to the limit; meant for small limits on what matters, such as failed logins.
 */
import type { Millis } from '../exchange.ts'
import type { Algorithm, Finding } from './algorithm.ts'
import { SlotTable } from './slot-table.ts'

export const MAX_EXACT_LIMIT = 100

export interface ExactOptions {
  /** 1 to 100. */
  readonly limit: number
  readonly windowMs: Millis
  readonly slots: number
}

export class Exact extends SlotTable implements Algorithm {
  readonly clock = 'monotonic'
  readonly quota: number
  readonly windowSeconds: number
  readonly #windowMs: number
  /** A ring of times for each slot. */
  readonly #times: Float64Array
  /** Where a slot's next time goes. */
  readonly #next: Uint8Array
  readonly #count: Uint8Array
  #high = 0
  #low = 0
  #slot = -1
  #now = 0
  #cost = 0

  constructor(options: ExactOptions) {
    super(options.slots)
    this.quota = options.limit
    this.#windowMs = options.windowMs
    this.windowSeconds = Math.max(1, Math.round(options.windowMs / 1000))
    this.#times = new Float64Array(this.slots * options.limit)
    this.#next = new Uint8Array(this.slots)
    this.#count = new Uint8Array(this.slots)
  }

  peek(high: number, low: number, now: Millis, cost: number, found: Finding): boolean {
    const slot = this.index.find(high, low)
    if (slot >= 0) this.#expire(slot, now)
    const count = slot < 0 ? 0 : (this.#count[slot] as number)
    const excess = count + cost - this.quota
    if (excess > 0) {
      found.remaining = this.quota - count
      found.retryMs =
        cost > this.quota
          ? Number.POSITIVE_INFINITY
          : this.#oldest(slot, excess - 1) + this.#windowMs - now
      found.resetMs = count === 0 ? this.#windowMs : this.#oldest(slot, 0) + this.#windowMs - now
      return false
    }
    found.remaining = this.quota - count - cost
    found.resetMs = count === 0 ? this.#windowMs : this.#oldest(slot, 0) + this.#windowMs - now
    this.#high = high
    this.#low = low
    this.#slot = slot
    this.#now = now
    this.#cost = cost
    return true
  }

  charge(): void {
    const slot = this.#slot < 0 ? this.claim(this.#high, this.#low, this.#now) : this.#slot
    this.#add(slot, this.#now, this.#cost)
  }

  settle(high: number, low: number, now: Millis, delta: number): void {
    let slot = this.index.find(high, low)
    if (slot < 0) {
      if (delta <= 0) return
      slot = this.claim(high, low, now)
    }
    this.#expire(slot, now)
    const count = this.#count[slot] as number
    if (delta >= 0) {
      this.#add(slot, now, Math.min(delta, this.quota - count))
    } else {
      const removed = Math.min(count, -delta)
      this.#count[slot] = count - removed
      this.#next[slot] = ((this.#next[slot] as number) - removed + this.quota) % this.quota
    }
  }

  #add(slot: number, now: Millis, units: number): void {
    let next = this.#next[slot] as number
    for (let i = 0; i < units; i++) {
      this.#times[slot * this.quota + next] = now
      next = next + 1 === this.quota ? 0 : next + 1
    }
    this.#next[slot] = next
    this.#count[slot] = (this.#count[slot] as number) + units
  }

  #expire(slot: number, now: Millis): void {
    let count = this.#count[slot] as number
    while (count > 0) {
      const age = now - this.#oldest(slot, 0)
      // A time in the future is from before the clock stepped back: it counts from now on.
      if (age < 0) this.#times[slot * this.quota + this.#position(slot, 0)] = now
      if (age < this.#windowMs) break
      this.#count[slot] = --count
    }
  }

  #position(slot: number, index: number): number {
    const first = (this.#next[slot] as number) - (this.#count[slot] as number) + index
    return (first + this.quota) % this.quota
  }

  #oldest(slot: number, index: number): Millis {
    return this.#times[slot * this.quota + this.#position(slot, index)] as number
  }

  adopt(previous: Algorithm, now: Millis): boolean {
    if (!(previous instanceof Exact) || previous.#windowMs !== this.#windowMs) return false
    previous.each((high, low, from) => {
      previous.#expire(from, now)
      const count = previous.#count[from] as number
      if (count === 0) return
      let slot = this.index.find(high, low)
      if (slot < 0) slot = this.claim(high, low, now)
      // The newest of them when the limit has shrunk.
      for (let i = Math.max(0, count - this.quota); i < count; i++) {
        this.#add(slot, previous.#oldest(from, i), 1)
      }
    })
    return true
  }

  used(now: Millis): number {
    return this.indebted(now)
  }

  protected override debt(slot: number, now: Millis): number {
    const count = this.#count[slot] as number
    if (count === 0) return 0
    const newest = ((this.#next[slot] as number) - 1 + this.quota) % this.quota
    return now - (this.#times[slot * this.quota + newest] as number) >= this.#windowMs ? 0 : count
  }

  protected override clear(slot: number): void {
    this.#count[slot] = 0
    this.#next[slot] = 0
  }
}
