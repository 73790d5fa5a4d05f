/**
 * GCRA, the generic cell rate algorithm (ITU-T I.371, the virtual scheduling form): a rate with a burst,
 * and one number of state for each key, the theoretical arrival time (TAT) of the next conforming unit.
 *
 * Time is counted in ticks of 1/16 microsecond from the table's birth. The emission interval is rounded up
 * to whole ticks, so a limit is never exceeded by rounding and all arithmetic is in integers that a double
 * holds exactly for 17 years.
 */
import type { Millis } from '../exchange.ts'
import type { Algorithm, Finding } from './algorithm.ts'
import { SlotTable } from './slot-table.ts'

export const TICKS_PER_MS = 16_000

export interface GcraOptions {
  /** Units in each window, 1 to 1,000,000 a second. */
  readonly limit: number
  readonly windowMs: Millis
  /** Units that may come at once, at least 1. */
  readonly burst: number
  readonly slots: number
  /** The monotonic time now. */
  readonly startedAt: Millis
}

export class Gcra extends SlotTable implements Algorithm {
  readonly clock = 'monotonic'
  readonly quota: number
  readonly windowSeconds: number
  /** Ticks a unit takes to come back. */
  readonly interval: number
  /** Ticks of debt that a key may have: the burst. */
  readonly capacity: number
  readonly #burst: number
  /** The capacity, or twice of it once a surcharge has driven a key into debt. */
  #mostOwed: number
  readonly #startedAt: Millis
  // What the last peek found, for the charge that may follow.
  #high = 0
  #low = 0
  #slot = -1
  #now = 0
  #next = 0

  constructor(options: GcraOptions) {
    super(options.slots, true)
    this.quota = options.limit
    this.windowSeconds = Math.max(1, Math.round(options.windowMs / 1000))
    this.interval = Math.max(1, Math.ceil((options.windowMs * TICKS_PER_MS) / options.limit))
    this.#burst = options.burst
    this.capacity = options.burst * this.interval
    this.#mostOwed = this.capacity
    this.#startedAt = options.startedAt
  }

  #ticks(now: Millis): number {
    return Math.floor((now - this.#startedAt) * TICKS_PER_MS)
  }

  /** Ticks of debt of a slot. More than can be owed means that the clock stepped back: no lock-out. */
  #owed(slot: number, ticks: number): number {
    const at = this.valueAt(slot)
    const owed = (this.values[at] as number) - ticks
    if (owed <= 0) return 0
    if (owed <= this.#mostOwed) return owed
    this.values[at] = ticks + this.#mostOwed
    return this.#mostOwed
  }

  /** `peek` and, when it allows, `charge` in one: nothing has to be kept in between. */
  take(high: number, low: number, now: Millis, cost: number, found: Finding): boolean {
    const ticks = this.#ticks(now)
    let slot = this.index.find(high, low)
    const next = (slot < 0 ? 0 : this.#owed(slot, ticks)) + cost * this.interval
    if (next > this.capacity) return this.peek(high, low, now, cost, found)
    const { interval } = this
    found.remaining = ((this.capacity - next) / interval) | 0
    const partial = next % interval
    found.resetMs = (partial === 0 ? interval : partial) / TICKS_PER_MS
    // First the slot: a claim may replace the values.
    if (slot < 0) slot = this.claim(high, low, ticks)
    this.values[this.valueAt(slot)] = ticks + next
    return true
  }

  peek(high: number, low: number, now: Millis, cost: number, found: Finding): boolean {
    const ticks = this.#ticks(now)
    const slot = this.index.find(high, low)
    const owed = slot < 0 ? 0 : this.#owed(slot, ticks)
    const next = owed + cost * this.interval
    const excess = next - this.capacity
    const free = this.capacity - (excess > 0 ? owed : next)
    // A burst is below 2^31: a small integer needs no number on the heap.
    found.remaining = free < 0 ? 0 : (free / this.interval) | 0
    if (excess > 0) {
      found.retryMs = cost > this.#burst ? Number.POSITIVE_INFINITY : excess / TICKS_PER_MS
      found.resetMs = excess / TICKS_PER_MS
      return false
    }
    // The next whole unit comes when the debt has fallen to the next multiple of the interval.
    const partial = next - Math.floor(next / this.interval) * this.interval
    found.resetMs = (partial === 0 ? this.interval : partial) / TICKS_PER_MS
    this.#high = high
    this.#low = low
    this.#slot = slot
    this.#now = ticks
    this.#next = ticks + next
    return true
  }

  charge(): void {
    const slot = this.#slot < 0 ? this.claim(this.#high, this.#low, this.#now) : this.#slot
    this.values[this.valueAt(slot)] = this.#next
  }

  settle(high: number, low: number, now: Millis, delta: number): void {
    const ticks = this.#ticks(now)
    let slot = this.index.find(high, low)
    if (slot < 0) slot = this.claim(high, low, ticks)
    if (delta > 0) this.#mostOwed = 2 * this.capacity
    const owed = this.#owed(slot, ticks) + delta * this.interval
    this.values[this.valueAt(slot)] = ticks + Math.min(Math.max(0, owed), this.#mostOwed)
  }

  adopt(previous: Algorithm, now: Millis): boolean {
    if (!(previous instanceof Gcra)) return false
    const before = previous.#ticks(now)
    const after = this.#ticks(now)
    previous.each((high, low, slot) => {
      const units = Math.ceil(previous.#owed(slot, before) / previous.interval)
      if (units <= 0) return
      let own = this.index.find(high, low)
      if (own < 0) own = this.claim(high, low, after)
      this.values[this.valueAt(own)] = after + Math.min(units * this.interval, this.#mostOwed)
    })
    return true
  }

  used(now: Millis): number {
    return this.indebted(this.#ticks(now))
  }

  protected override debt(slot: number, ticks: number): number {
    return (this.values[this.valueAt(slot)] as number) - ticks
  }

  protected override clear(slot: number): void {
    this.values[this.valueAt(slot)] = 0
  }
}
