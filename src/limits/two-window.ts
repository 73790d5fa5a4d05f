/**
 * The two-window estimate: this window's count plus the share of the last window that a sliding window
 * would still cover. Cheap (two counters), the method that several CDNs publish; exact only for even
 * traffic, up to twice the limit for a client that knows the edges. `sliding` has the hard guarantee.
 * Integer milliseconds: the comparison is multiplied out, so the instant of re-admission is exact.
 */
import type { Millis } from '../exchange.ts'
import type { Algorithm, Finding } from './algorithm.ts'
import { SlotTable } from './slot-table.ts'

export interface TwoWindowOptions {
  readonly limit: number
  readonly windowMs: Millis
  readonly slots: number
}

export class TwoWindow extends SlotTable implements Algorithm {
  readonly clock = 'monotonic'
  readonly quota: number
  readonly windowSeconds: number
  readonly #windowMs: number
  readonly #window: Float64Array
  readonly #current: Uint32Array
  readonly #previous: Uint32Array
  #high = 0
  #low = 0
  #slot = -1
  #number = 0
  #cost = 0

  constructor(options: TwoWindowOptions) {
    super(options.slots)
    this.quota = options.limit
    this.#windowMs = options.windowMs
    this.windowSeconds = Math.max(1, Math.round(options.windowMs / 1000))
    this.#window = new Float64Array(this.slots)
    this.#current = new Uint32Array(this.slots)
    this.#previous = new Uint32Array(this.slots)
  }

  peek(high: number, low: number, time: Millis, cost: number, found: Finding): boolean {
    const now = Math.floor(time)
    const number = Math.floor(now / this.#windowMs)
    const elapsed = now - number * this.#windowMs
    const slot = this.index.find(high, low)
    if (slot >= 0) this.#advance(slot, number)
    const current = slot < 0 ? 0 : (this.#current[slot] as number)
    const previous = slot < 0 ? 0 : (this.#previous[slot] as number)
    const weighted = previous * (this.#windowMs - elapsed)
    // Units that fit: the largest r with weighted + (current + r) * window <= quota * window.
    const fit = Math.floor((this.quota * this.#windowMs - weighted) / this.#windowMs) - current
    if (cost <= fit) {
      found.remaining = fit - cost
      found.resetMs = this.#until(current + cost, previous, elapsed, found.remaining + 1)
      this.#high = high
      this.#low = low
      this.#slot = slot
      this.#number = number
      this.#cost = cost
      return true
    }
    found.remaining = Math.max(0, fit)
    found.retryMs =
      cost > this.quota ? Number.POSITIVE_INFINITY : this.#until(current, previous, elapsed, cost)
    found.resetMs = this.#until(current, previous, elapsed, found.remaining + 1)
    return false
  }

  /** How long until `units` fit, when nothing else comes. */
  #until(current: number, previous: number, elapsed: number, units: number): Millis {
    const free = this.quota - current - units
    if (free >= 0 && previous > 0) {
      const needed = this.#windowMs - Math.floor((free * this.#windowMs) / previous)
      return Math.max(0, needed - elapsed)
    }
    // Only in the next window, where the present count decays.
    const rest = this.#windowMs - elapsed
    if (current === 0) return rest
    const inNext = this.#windowMs - Math.floor(((this.quota - units) * this.#windowMs) / current)
    return rest + Math.min(this.#windowMs, Math.max(0, inNext))
  }

  charge(): void {
    this.#add(this.#slot, this.#high, this.#low, this.#number, this.#cost)
  }

  settle(high: number, low: number, now: Millis, delta: number): void {
    const number = Math.floor(Math.floor(now) / this.#windowMs)
    const slot = this.index.find(high, low)
    if (slot >= 0) this.#advance(slot, number)
    this.#add(slot, high, low, number, delta)
  }

  #add(slot: number, high: number, low: number, number: number, units: number): void {
    const at = slot < 0 ? this.claim(high, low, number) : slot
    this.#window[at] = number
    this.#current[at] = Math.min(0xffffffff, Math.max(0, (this.#current[at] as number) + units))
  }

  #advance(slot: number, number: number): void {
    const behind = number - (this.#window[slot] as number)
    if (behind === 0) return
    this.#window[slot] = number
    // The clock stepped back: what was used counts as used in this window.
    if (behind < 0) return
    this.#previous[slot] = behind === 1 ? (this.#current[slot] as number) : 0
    this.#current[slot] = 0
  }

  adopt(previous: Algorithm, now: Millis): boolean {
    if (!(previous instanceof TwoWindow) || previous.#windowMs !== this.#windowMs) return false
    const number = Math.floor(now / this.#windowMs)
    previous.each((high, low, from) => {
      if (previous.debt(from, number) <= 0) return
      let slot = this.index.find(high, low)
      if (slot < 0) slot = this.claim(high, low, number)
      this.#window[slot] = previous.#window[from] as number
      this.#current[slot] = previous.#current[from] as number
      this.#previous[slot] = previous.#previous[from] as number
    })
    return true
  }

  used(now: Millis): number {
    return this.indebted(Math.floor(now / this.#windowMs))
  }

  protected override debt(slot: number, number: number): number {
    const behind = number - (this.#window[slot] as number)
    if (behind > 1) return 0
    const current = this.#current[slot] as number
    return behind === 1 ? current : current + (this.#previous[slot] as number)
  }

  protected override clear(slot: number): void {
    this.#current[slot] = 0
    this.#previous[slot] = 0
  }
}
