/**
 * How often keys were asked for lately: a count-min sketch of 4-bit counters that are halved now and then
 * (TinyLFU, Einziger, Friedman, Manes 2017). Eight counters share a 32-bit word.
 */
export class FrequencySketch {
  readonly #table: Uint32Array
  readonly #mask: number
  readonly #sampleSize: number
  #additions = 0

  /** @param keys number of keys to tell apart, about as many as the cache holds */
  constructor(keys: number) {
    let counters = 1024
    while (counters < keys * 4) counters *= 2
    this.#table = new Uint32Array(counters / 8)
    this.#mask = counters - 1
    this.#sampleSize = keys * 10
  }

  /** Counts one use. @param hash 32 bits, see `hashKey` */
  add(hash: number): void {
    let grew = false
    let h = hash
    for (let row = 0; row < 4; row++) {
      const at = h & this.#mask
      const shift = (at & 7) << 2
      const word = this.#table[at >>> 3] as number
      if (((word >>> shift) & 15) < 15) {
        this.#table[at >>> 3] = word + (1 << shift)
        grew = true
      }
      h = rehash(h)
    }
    if (grew && ++this.#additions >= this.#sampleSize) this.#halve()
  }

  /** 0 to 15. */
  estimate(hash: number): number {
    let least = 15
    let h = hash
    for (let row = 0; row < 4; row++) {
      const at = h & this.#mask
      const count = ((this.#table[at >>> 3] as number) >>> ((at & 7) << 2)) & 15
      if (count < least) least = count
      h = rehash(h)
    }
    return least
  }

  #halve(): void {
    const table = this.#table
    for (let i = 0; i < table.length; i++) table[i] = ((table[i] as number) >>> 1) & 0x77777777
    this.#additions >>>= 1
  }
}

function rehash(hash: number): number {
  let h = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  h = Math.imul(h ^ (h >>> 12), 0x297a2d39)
  return (h ^ (h >>> 15)) >>> 0
}

/** FNV-1a with a final mix; only for the sketch, collisions cost a little accuracy. */
export function hashKey(key: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  return rehash(hash)
}
