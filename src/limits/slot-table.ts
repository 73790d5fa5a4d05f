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
  /** A set's eight lower words, then its eight upper words: one line of a processor's cache. */
  readonly #prints: Int32Array
  readonly #mask: number

  /** @param slots rounded up to a power of two */
  constructor(slots: number) {
    this.slots = 2 ** Math.ceil(Math.log2(Math.max(WAYS, slots)))
    this.#prints = new Int32Array(this.slots * 2)
    this.#mask = this.slots / WAYS - 1
  }

  /** What the slot's key owes at `now`: zero or less when forgetting it changes no decision. */
  protected abstract debt(slot: number, now: number): number
  /** Forgets the slot's state; a new key moves in. */
  protected abstract clear(slot: number): void

  /** The key's slot, or -1. */
  protected find(high: number, low: number): number {
    const set = low & this.#mask
    const prints = this.#prints
    const first = set * 2 * WAYS
    for (let way = 0; way < WAYS; way++) {
      if (prints[first + way] === low && prints[first + WAYS + way] === high) {
        return set * WAYS + way
      }
    }
    return -1
  }

  /** A cleared slot for a key that has none. */
  protected claim(high: number, low: number, now: number): number {
    const set = low & this.#mask
    const prints = this.#prints
    const first = set * 2 * WAYS
    let victim = 0
    let least = Number.POSITIVE_INFINITY
    for (let way = 0; way < WAYS; way++) {
      const isFree = prints[first + way] === 0 && prints[first + WAYS + way] === 0
      const debt = isFree ? Number.NEGATIVE_INFINITY : this.debt(set * WAYS + way, now)
      if (debt < least) {
        least = debt
        victim = way
        if (debt <= 0) break
      }
    }
    if (least > 0) this.displaced++
    prints[first + victim] = low
    prints[first + WAYS + victim] = high
    this.clear(set * WAYS + victim)
    return set * WAYS + victim
  }

  /** Visits every key in the table. */
  protected each(visit: (high: number, low: number, slot: number) => void): void {
    for (let slot = 0; slot < this.slots; slot++) {
      const at = Math.floor(slot / WAYS) * 2 * WAYS + (slot % WAYS)
      const low = this.#prints[at] as number
      const high = this.#prints[at + WAYS] as number
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
