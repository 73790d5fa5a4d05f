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
  /**
   * For each slot the two words of its key's hash and, where there are values, its value beside them: a
   * look-up that finds its key among a set's first four ways touches one line of a processor's cache.
   */
  readonly #prints: Int32Array
  /** Words from one slot to the next. */
  readonly #stride: number
  readonly #mask: number
  /** One number for each slot, at `valueAt(slot)`; empty unless asked for. */
  protected readonly values: Float64Array

  /**
   * @param slots      rounded up to a power of two
   * @param hasValues  whether a slot's state is one number, to be kept in `values`
   */
  constructor(slots: number, hasValues = false) {
    this.slots = 2 ** Math.ceil(Math.log2(Math.max(WAYS, slots)))
    this.#stride = hasValues ? 4 : 2
    this.#mask = this.slots / WAYS - 1
    const buffer = new ArrayBuffer(this.slots * this.#stride * 4)
    this.#prints = new Int32Array(buffer)
    this.values = hasValues ? new Float64Array(buffer) : new Float64Array(0)
  }

  /** Where in `values` the slot's number is. */
  protected valueAt(slot: number): number {
    return slot * 2 + 1
  }

  /** What the slot's key owes at `now`: zero or less when forgetting it changes no decision. */
  protected abstract debt(slot: number, now: number): number
  /** Forgets the slot's state; a new key moves in. */
  protected abstract clear(slot: number): void

  /** The key's slot, or -1. */
  protected find(high: number, low: number): number {
    const prints = this.#prints
    const stride = this.#stride
    const first = (low & this.#mask) * WAYS
    let at = first * stride
    for (let way = 0; way < WAYS; way++) {
      if (prints[at] === low && prints[at + 1] === high) return first + way
      at += stride
    }
    return -1
  }

  /** A cleared slot for a key that has none. */
  protected claim(high: number, low: number, now: number): number {
    const prints = this.#prints
    const first = (low & this.#mask) * WAYS
    let victim = first
    let least = Number.POSITIVE_INFINITY
    for (let slot = first; slot < first + WAYS; slot++) {
      const at = slot * this.#stride
      const isFree = prints[at] === 0 && prints[at + 1] === 0
      const debt = isFree ? Number.NEGATIVE_INFINITY : this.debt(slot, now)
      if (debt < least) {
        least = debt
        victim = slot
        if (debt <= 0) break
      }
    }
    if (least > 0) this.displaced++
    prints[victim * this.#stride] = low
    prints[victim * this.#stride + 1] = high
    this.clear(victim)
    return victim
  }

  /** Visits every key in the table. */
  protected each(visit: (high: number, low: number, slot: number) => void): void {
    for (let slot = 0; slot < this.slots; slot++) {
      const low = this.#prints[slot * this.#stride] as number
      const high = this.#prints[slot * this.#stride + 1] as number
      if (high !== 0 || low !== 0) visit(high, low, slot)
    }
  }

  /** Keys that owe something at `now`. Walks the table: for metrics and tests. */
  protected indebted(now: number): number {
    let count = 0
    this.each((_high, _low, slot) => {
      if (this.debt(slot, now) > 0) count++
    })
    return count
  }
}
