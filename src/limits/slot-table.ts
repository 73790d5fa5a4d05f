/**
 * Where a key's state lives: fixed memory, found by a 64-bit keyed hash, sets of eight slots. When a set
 * is full, the slot that owes least gives way. A flood of fresh keys therefore displaces other fresh keys
 * and never a client that is over its limit: LRU would hand abusers 3.6 times their limit under such a
 * flood, a sketch would refuse most of the innocent.
 */

const WAYS = 8

export abstract class SlotTable {
  /** Number of slots: a power of two, at least one set. */
  readonly slots: number
  /** How often a key that still owed something was displaced. */
  displaced = 0
  readonly #high: Uint32Array
  readonly #low: Uint32Array
  readonly #mask: number

  /** @param slots rounded up to a power of two */
  constructor(slots: number) {
    this.slots = 2 ** Math.ceil(Math.log2(Math.max(WAYS, slots)))
    this.#high = new Uint32Array(this.slots)
    this.#low = new Uint32Array(this.slots)
    this.#mask = this.slots / WAYS - 1
  }

  /** What the slot's key owes at `now`: zero or less when forgetting it changes no decision. */
  protected abstract debt(slot: number, now: number): number
  /** Forgets the slot's state; a new key moves in. */
  protected abstract clear(slot: number): void

  /** The key's slot, or -1. */
  protected find(high: number, low: number): number {
    const first = (low & this.#mask) * WAYS
    const lows = this.#low
    const highs = this.#high
    for (let slot = first; slot < first + WAYS; slot++) {
      if (lows[slot] === low && highs[slot] === high) return slot
    }
    return -1
  }

  /** A cleared slot for a key that has none. */
  protected claim(high: number, low: number, now: number): number {
    const first = (low & this.#mask) * WAYS
    let victim = first
    let least = Number.POSITIVE_INFINITY
    for (let slot = first; slot < first + WAYS; slot++) {
      const isFree = this.#low[slot] === 0 && this.#high[slot] === 0
      const debt = isFree ? Number.NEGATIVE_INFINITY : this.debt(slot, now)
      if (debt < least) {
        least = debt
        victim = slot
        if (debt <= 0) break
      }
    }
    if (least > 0) this.displaced++
    this.#high[victim] = high
    this.#low[victim] = low
    this.clear(victim)
    return victim
  }

  /** Visits every key in the table. */
  protected each(visit: (high: number, low: number, slot: number) => void): void {
    for (let slot = 0; slot < this.slots; slot++) {
      const high = this.#high[slot] as number
      const low = this.#low[slot] as number
      if (high !== 0 || low !== 0) visit(high, low, slot)
    }
  }

  /** Keys that owe something at `now`. Walks the table: for metrics and tests. */
  protected indebted(now: number): number {
    let count = 0
    for (let slot = 0; slot < this.slots; slot++) {
      if (this.#low[slot] === 0 && this.#high[slot] === 0) continue
      if (this.debt(slot, now) > 0) count++
    }
    return count
  }
}
