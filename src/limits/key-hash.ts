/**
 * The keyed hash behind every limit table: HalfSipHash-1-3 with 64 bits of output (Aumasson and
 * Bernstein, "SipHash", 2012, and the authors' 32-bit variant). Keyed by a secret of the process, so a
 * client cannot choose keys that land in one set of a table. Not a cryptographic digest: two keys that
 * collide share a bucket, which costs accuracy, never memory or safety.
 */

/** Longest piece of text that takes part in a key; the rest of a longer one is ignored. */
export const MAX_KEY_TEXT = 256

/**
 * Collects one key as 32-bit words and hashes it. One instance serves a whole process: `reset`, the key's
 * parts, `hash`, then read `high` and `low` before the next `reset`.
 */
export class KeyHasher {
  /** Upper and lower half of the last hash, unsigned. Never both zero: that marks a free slot. */
  high = 0
  low = 0
  readonly #key0: number
  readonly #key1: number
  #words = new Uint32Array(256)
  #count = 0

  /** @param seed at least 8 unpredictable bytes */
  constructor(seed: Uint8Array) {
    const view = new DataView(seed.buffer, seed.byteOffset, seed.byteLength)
    this.#key0 = view.getUint32(0)
    this.#key1 = view.getUint32(4)
  }

  reset(): void {
    this.#count = 0
  }

  word(value: number): void {
    if (this.#count === this.#words.length) this.#grow()
    this.#words[this.#count++] = value
  }

  /** Text with its length in front, so that ("a", "b:c") and ("a:b", "c") stay apart. */
  text(value: string): void {
    const length = Math.min(value.length, MAX_KEY_TEXT)
    while (this.#count + 2 + (length >> 1) > this.#words.length) this.#grow()
    const words = this.#words
    let at = this.#count
    words[at++] = length
    let i = 0
    for (; i + 1 < length; i += 2) {
      words[at++] = value.charCodeAt(i) | (value.charCodeAt(i + 1) << 16)
    }
    if (i < length) words[at++] = value.charCodeAt(i)
    this.#count = at
  }

  hash(): void {
    const words = this.#words
    const count = this.#count
    let v0 = this.#key0
    let v1 = this.#key1 ^ 0xee
    let v2 = 0x6c796765 ^ this.#key0
    let v3 = 0x74656462 ^ this.#key1
    // One round for each word, the count as the last word, then three rounds for each half of the output.
    for (let i = 0; i <= count + 6; i++) {
      const absorbs = i <= count
      const word = absorbs ? (i === count ? count : (words[i] as number)) : 0
      if (absorbs) v3 ^= word
      else if (i === count + 1) v2 ^= 0xee
      else if (i === count + 4) {
        this.high = (v1 ^ v3) >>> 0
        v1 ^= 0xdd
      }
      v0 = (v0 + v1) | 0
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
      v0 = (v0 << 16) | (v0 >>> 16)
      v2 = (v2 + v3) | 0
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
      v0 = (v0 + v3) | 0
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
      v2 = (v2 + v1) | 0
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
      v2 = (v2 << 16) | (v2 >>> 16)
      if (absorbs) v0 ^= word
    }
    this.low = (v1 ^ v3) >>> 0
    if (this.high === 0 && this.low === 0) this.low = 1
  }

  #grow(): void {
    const larger = new Uint32Array(this.#words.length * 2)
    larger.set(this.#words)
    this.#words = larger
  }
}
