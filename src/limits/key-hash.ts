/**
 * The keyed hash behind every limit table: HalfSipHash-1-3 (Aumasson and Bernstein, "SipHash", 2012, and the
 * authors' 32-bit variant). Keyed by a secret of the process, so a client cannot choose keys that land in
 * one set of a table. The other half of the final state serves as the upper word of a slot's fingerprint,
 * which nobody outside ever sees. Not a digest: two keys that collide share a bucket.
 */

import type { Client, IpAddress } from '../exchange.ts'

/** Stands for a part that is missing. */
export const MISSING = 0xffffffff

/** Longest piece of text that takes part in a key; the rest of a longer one is ignored. */
export const MAX_KEY_TEXT = 256

/** IPv6 clients are counted by /64: whoever has one address of it has them all. */
export const IPV6_PREFIX = 64

/**
 * Collects one key as 32-bit words and hashes it. One instance serves a whole process: `reset`, the key's
 * parts, `hash`, then read `high` and `low` before the next `reset`.
 */
export class KeyHasher {
  /** Halves of the last hash, signed 32 bits each. Never both zero: that marks a free slot. */
  high = 0
  low = 0
  readonly #key0: number
  readonly #key1: number
  #words = new Int32Array(256)
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

  /**
   * The key of a client's address alone. Known after the first time: one object stands for the client in all
   * requests of a connection.
   * @returns false when the address is not known
   */
  address(client: Client): boolean {
    const known = client.addressHash
    if (known !== undefined && known.by === this) {
      this.high = known.high
      this.low = known.low
      return true
    }
    this.#count = 0
    const isKnown = feedAddress(client.ip, 32, IPV6_PREFIX, this)
    if (!isKnown) this.word(MISSING)
    this.hash()
    if (isKnown) client.addressHash = { by: this, high: this.high, low: this.low }
    return isKnown
  }

  hash(): void {
    const words = this.#words
    const count = this.#count
    let v0 = this.#key0
    let v1 = this.#key1 ^ 0xee
    let v2 = 0x6c796765 ^ this.#key0
    let v3 = 0x74656462 ^ this.#key1
    // One round for each word, then three. Both loops hold the same round: a call would cost more than it.
    for (let i = 0; i < count; i++) {
      const word = words[i] as number
      v3 ^= word
      v0 = (v0 + v1) | 0
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
      v2 = (v2 + v3) | 0
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
      v0 = (((v0 << 16) | (v0 >>> 16)) + v3) | 0
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
      v2 = (v2 + v1) | 0
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
      v2 = (v2 << 16) | (v2 >>> 16)
      v0 ^= word
    }
    v2 ^= 0xee
    for (let i = 0; i < 3; i++) {
      v0 = (v0 + v1) | 0
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
      v2 = (v2 + v3) | 0
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
      v0 = (((v0 << 16) | (v0 >>> 16)) + v3) | 0
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
      v2 = (v2 + v1) | 0
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
      v2 = (v2 << 16) | (v2 >>> 16)
    }
    this.low = v1 ^ v3
    this.high = v0 ^ v2
    if (this.high === 0 && this.low === 0) this.low = 1
  }

  #grow(): void {
    const larger = new Int32Array(this.#words.length * 2)
    larger.set(this.#words)
    this.#words = larger
  }
}

/** Feeds an address cut to its prefix. Embedded IPv4 has been unwrapped by the parser. */
export function feedAddress(
  ip: IpAddress | undefined,
  prefix4: number,
  prefix6: number,
  hasher: KeyHasher,
): boolean {
  if (ip === undefined) return false
  hasher.word(ip.family)
  if (ip.family === 4) {
    hasher.word(prefix4 === 32 ? (ip.words[0] as number) : cut(ip.words[0] as number, prefix4))
    return true
  }
  for (let i = 0; i < 4; i++) {
    const bits = Math.min(32, Math.max(0, prefix6 - i * 32))
    hasher.word(cut(ip.words[i] as number, bits))
  }
  return true
}

function cut(word: number, bits: number): number {
  return bits === 0 ? 0 : word & (0xffffffff << (32 - bits))
}
