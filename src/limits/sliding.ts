/**
 * Sliding window counted in segments, the oldest and only partly covered segment in full. No window of
 * the given length, wherever it begins, ever holds more than the limit; the price is that a unit comes back
 * up to one segment late. (Letting the oldest segment decay instead assumes that its requests were spread
 * evenly, and admits up to twice the limit to a client that knows.)
 */
import type { Millis } from '../exchange.ts'
import type { Algorithm, Finding } from './algorithm.ts'
import { SlotTable } from './slot-table.ts'

export interface SlidingOptions {
  readonly limit: number
  readonly windowMs: Millis
  /** 1 to 60; more segments give units back sooner and take more memory. */
  readonly segments: number
  readonly slots: number
}

export class Sliding extends SlotTable implements Algorithm {
  readonly clock = 'monotonic'
  readonly quota: number
  readonly windowSeconds: number
  /** Milliseconds of a segment, rounded up. */
  readonly #segmentMs: number
  /** Counters of a key: the segments of a window and the one that is just leaving it. */
  readonly #ring: number
  readonly #counts: Uint16Array | Uint32Array
  /** Segment number of a slot's newest counter. */
  readonly #newest: Float64Array
  #high = 0
  #low = 0
  #slot = -1
  #segment = 0
  #cost = 0

  constructor(options: SlidingOptions) {
    super(options.slots)
    this.quota = options.limit
    this.windowSeconds = Math.max(1, Math.round(options.windowMs / 1000))
    this.#segmentMs = Math.ceil(options.windowMs / options.segments)
    this.#ring = options.segments + 1
    const size = this.slots * this.#ring
    this.#counts = options.limit < 65_536 ? new Uint16Array(size) : new Uint32Array(size)
    this.#newest = new Float64Array(this.slots)
  }

  peek(high: number, low: number, now: Millis, cost: number, found: Finding): boolean {
    const segment = Math.floor(now / this.#segmentMs)
    const slot = this.index.find(high, low)
    if (slot >= 0) this.#advance(slot, segment)
    const total = slot < 0 ? 0 : this.#total(slot)
    const excess = total + cost - this.quota
    if (excess > 0) {
      found.remaining = Math.max(0, this.quota - total)
      found.retryMs =
        cost > this.quota ? Number.POSITIVE_INFINITY : this.#freedAt(slot, segment, excess) - now
      found.resetMs = this.#freedAt(slot, segment, 1) - now
      return false
    }
    found.remaining = this.quota - total - cost
    found.resetMs =
      total === 0
        ? (segment + this.#ring) * this.#segmentMs - now
        : this.#freedAt(slot, segment, 1) - now
    this.#high = high
    this.#low = low
    this.#slot = slot
    this.#segment = segment
    this.#cost = cost
    return true
  }

  charge(): void {
    let slot = this.#slot
    if (slot < 0) {
      slot = this.claim(this.#high, this.#low, this.#segment)
      this.#newest[slot] = this.#segment
    }
    const at = slot * this.#ring + (this.#segment % this.#ring)
    this.#counts[at] = (this.#counts[at] as number) + this.#cost
  }

  settle(high: number, low: number, now: Millis, delta: number): void {
    const segment = Math.floor(now / this.#segmentMs)
    let slot = this.index.find(high, low)
    if (slot < 0) {
      if (delta <= 0) return
      slot = this.claim(high, low, segment)
      this.#newest[slot] = segment
    } else {
      this.#advance(slot, segment)
    }
    // A refund is taken from the newest segments first; a surcharge may fill the quota, not overrun it.
    let rest = Math.min(delta, this.quota - this.#total(slot))
    for (let back = 0; back < this.#ring; back++) {
      const at = slot * this.#ring + ((segment - back + this.#ring) % this.#ring)
      const count = this.#counts[at] as number
      const next = Math.max(0, count + rest)
      this.#counts[at] = next
      rest -= next - count
      if (rest >= 0) break
    }
  }

  adopt(previous: Algorithm, now: Millis): boolean {
    if (!(previous instanceof Sliding)) return false
    if (previous.#ring !== this.#ring || previous.#segmentMs !== this.#segmentMs) return false
    const segment = Math.floor(now / this.#segmentMs)
    previous.each((high, low, from) => {
      if (previous.debt(from, segment) <= 0) return
      let slot = this.index.find(high, low)
      if (slot < 0) slot = this.claim(high, low, segment)
      this.#newest[slot] = previous.#newest[from] as number
      for (let i = 0; i < this.#ring; i++) {
        this.#counts[slot * this.#ring + i] = previous.#counts[from * this.#ring + i] as number
      }
    })
    return true
  }

  used(now: Millis): number {
    return this.indebted(Math.floor(now / this.#segmentMs))
  }

  /** Zeroes the counters of segments that have left the window. */
  #advance(slot: number, segment: number): void {
    const newest = this.#newest[slot] as number
    if (segment === newest) return
    const base = slot * this.#ring
    this.#newest[slot] = segment
    if (segment < newest) {
      // The clock stepped back: keep what was used, as if it had been used just now.
      const total = this.#total(slot)
      this.#counts.fill(0, base, base + this.#ring)
      this.#counts[base + (segment % this.#ring)] = total
      return
    }
    const stale = Math.min(segment - newest, this.#ring)
    for (let i = 1; i <= stale; i++) this.#counts[base + ((newest + i) % this.#ring)] = 0
  }

  #total(slot: number): number {
    const base = slot * this.#ring
    let total = 0
    for (let i = base; i < base + this.#ring; i++) total += this.#counts[i] as number
    return total
  }

  /** When `units` of the units in use will have left the window. */
  #freedAt(slot: number, segment: number, units: number): Millis {
    let freed = 0
    for (let i = 1; i <= this.#ring; i++) {
      freed += this.#counts[slot * this.#ring + ((segment + i) % this.#ring)] as number
      if (freed >= units) return (segment + i) * this.#segmentMs
    }
    return (segment + this.#ring) * this.#segmentMs
  }

  protected override debt(slot: number, segment: number): number {
    const newest = this.#newest[slot] as number
    if (segment - newest >= this.#ring) return 0
    let total = 0
    for (let back = 0; back < this.#ring; back++) {
      const at = newest - back
      if (at < 0 || segment - at >= this.#ring) break
      total += this.#counts[slot * this.#ring + (at % this.#ring)] as number
    }
    return total
  }

  protected override clear(slot: number): void {
    this.#counts.fill(0, slot * this.#ring, (slot + 1) * this.#ring)
  }
}
