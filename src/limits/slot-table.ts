/**
 * Where a key's state lives: fixed memory, found by a 64-bit keyed hash, sets of eight slots. When a set
 * is full, the slot that owes least gives way. A flood of fresh keys therefore displaces other fresh keys
 * and never a client that is over its limit: LRU would hand abusers 3.6 times their limit under such a
 * flood, a sketch would refuse most of the innocent.
 */

const WAYS = 8
/** Slots of a table that grows, at first: what is in use of it stays near to the processor. */
const FIRST_SLOTS = 16_384

/**
 * Finds a key's slot. A class of its own, without subclasses: code that meets objects of many shapes is
 * several times slower, and every kind of limit has a table.
 */
class SlotIndex {
  /** Number of slots: a power of two, at least one set. */
  slots: number
  /** For each slot the two words of its key's hash, and room for its value. */
  prints: Int32Array
  /** Words from one slot to the next. */
  readonly stride: number
  #mask: number

  constructor(slots: number, stride: number) {
    this.slots = slots
    this.stride = stride
    this.#mask = slots / WAYS - 1
    this.prints = new Int32Array(slots * stride)
  }

  /** The key's slot, or -1. */
  find(high: number, low: number): number {
    const { prints, stride } = this
    const first = (low & this.#mask) * WAYS
    let at = first * stride
    for (let way = 0; way < WAYS; way++) {
      if (prints[at] === low && prints[at + 1] === high) return first + way
      at += stride
    }
    return -1
  }

  /** The first slot of the set that a key belongs to. */
  setOf(low: number): number {
    return (low & this.#mask) * WAYS
  }

  isFree(slot: number): boolean {
    const at = slot * this.stride
    return this.prints[at] === 0 && this.prints[at + 1] === 0
  }

  write(slot: number, high: number, low: number): void {
    this.prints[slot * this.stride] = low
    this.prints[slot * this.stride + 1] = high
  }

  /**
   * Twice the slots. One more bit of the hash counts, so that each set becomes two and every key fits. Takes a
   * millisecond or two for the largest, a few times in the life of a process.
   */
  grow(): void {
    const { stride, prints: before, slots: count } = this
    this.slots = count * 2
    this.#mask = this.slots / WAYS - 1
    this.prints = new Int32Array(this.slots * stride)
    for (let slot = 0; slot < count; slot++) {
      const from = slot * stride
      const low = before[from] as number
      const high = before[from + 1] as number
      if (low === 0 && high === 0) continue
      let to = this.setOf(low)
      while (!this.isFree(to)) to++
      // The value's two words with it.
      for (let i = 0; i < stride; i++) this.prints[to * stride + i] = before[from + i] as number
    }
  }
}

export abstract class SlotTable {
  /** How often a key that still owed something was displaced. */
  displaced = 0
  /** As far as it grows. */
  readonly #mostSlots: number
  /**
   * Where there are values, a key's stands beside its hash: a look-up that finds its key among a set's first
   * four ways touches one line of a processor's cache. Subclasses ask it themselves, not through this class.
   */
  protected readonly index: SlotIndex
  /** One number for each slot, at `valueAt(slot)`; empty unless asked for. */
  protected values: Float64Array

  /**
   * @param slots      rounded up to a power of two
   * @param hasValues  whether a slot's state is one number, to be kept in `values`; such a table grows
   */
  constructor(slots: number, hasValues = false) {
    this.#mostSlots = 2 ** Math.ceil(Math.log2(Math.max(WAYS, slots)))
    const first = hasValues ? Math.min(FIRST_SLOTS, this.#mostSlots) : this.#mostSlots
    this.index = new SlotIndex(first, hasValues ? 4 : 2)
    this.values = hasValues ? this.#valuesInIndex() : new Float64Array(0)
  }

  #valuesInIndex(): Float64Array {
    return new Float64Array(this.index.prints.buffer)
  }

  /** Number of slots now. */
  get slots(): number {
    return this.index.slots
  }

  /** Where in `values` the slot's number is. */
  protected valueAt(slot: number): number {
    return slot * 2 + 1
  }

  /** What the slot's key owes at `now`: zero or less when forgetting it changes no decision. */
  protected abstract debt(slot: number, now: number): number
  /** Forgets the slot's state; a new key moves in. */
  protected abstract clear(slot: number): void

  /** A cleared slot for a key that has none. */
  protected claim(high: number, low: number, now: number): number {
    const { index } = this
    const first = index.setOf(low)
    let victim = first
    let least = Number.POSITIVE_INFINITY
    for (let slot = first; slot < first + WAYS; slot++) {
      const debt = index.isFree(slot) ? Number.NEGATIVE_INFINITY : this.debt(slot, now)
      if (debt < least) {
        least = debt
        victim = slot
        if (debt <= 0) break
      }
    }
    if (least > 0) {
      if (index.slots < this.#mostSlots) {
        index.grow()
        this.values = this.#valuesInIndex()
        return this.claim(high, low, now)
      }
      this.displaced++
    }
    index.write(victim, high, low)
    this.clear(victim)
    return victim
  }

  /** Visits every key in the table. */
  protected each(visit: (high: number, low: number, slot: number) => void): void {
    const { prints, stride, slots } = this.index
    for (let slot = 0; slot < slots; slot++) {
      const low = prints[slot * stride] as number
      const high = prints[slot * stride + 1] as number
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
