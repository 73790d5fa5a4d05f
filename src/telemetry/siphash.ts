/**
 * SipHash-2-4: a fast keyed hash of short inputs (Aumasson and Bernstein, 2012). Here it turns a subject
 * into a token that cannot be reversed, or compared with a dictionary, without the key.
 */

const encoder = new TextEncoder()

/** State words v0 to v3, each as high and low half. */
type State = Int32Array

function add(v: State, a: number, b: number): void {
  const low = (v[a + 1] as number) + (v[b + 1] as number)
  const carry = ((v[a + 1] as number) >>> 0) + ((v[b + 1] as number) >>> 0) > 0xffffffff ? 1 : 0
  v[a] = (v[a] as number) + (v[b] as number) + carry
  v[a + 1] = low
}

function xor(v: State, a: number, b: number): void {
  v[a] = (v[a] as number) ^ (v[b] as number)
  v[a + 1] = (v[a + 1] as number) ^ (v[b + 1] as number)
}

/** Rotates left by `bits`, 1 to 31. */
function rotate(v: State, a: number, bits: number): void {
  const high = v[a] as number
  const low = v[a + 1] as number
  v[a] = (high << bits) | (low >>> (32 - bits))
  v[a + 1] = (low << bits) | (high >>> (32 - bits))
}

function swapHalves(v: State, a: number): void {
  const high = v[a] as number
  v[a] = v[a + 1] as number
  v[a + 1] = high
}

function round(v: State): void {
  add(v, 0, 2)
  add(v, 4, 6)
  rotate(v, 2, 13)
  rotate(v, 6, 16)
  xor(v, 2, 0)
  xor(v, 6, 4)
  swapHalves(v, 0)
  add(v, 4, 2)
  add(v, 0, 6)
  rotate(v, 2, 17)
  rotate(v, 6, 21)
  xor(v, 2, 4)
  xor(v, 6, 0)
  swapHalves(v, 4)
}

function wordAt(bytes: Uint8Array, offset: number): number {
  return (
    (bytes[offset] ?? 0) |
    ((bytes[offset + 1] ?? 0) << 8) |
    ((bytes[offset + 2] ?? 0) << 16) |
    ((bytes[offset + 3] ?? 0) << 24)
  )
}

function hex32(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0')
}

/**
 * @param key   16 bytes
 * @param input text (hashed as UTF-8) or bytes
 * @returns 16 lower-case hex digits, most significant first
 */
export function sipHash(key: Uint8Array, input: string | Uint8Array): string {
  if (key.length !== 16) throw new RangeError('a SipHash key has 16 bytes')
  const bytes = typeof input === 'string' ? encoder.encode(input) : input
  const k0Low = wordAt(key, 0)
  const k0High = wordAt(key, 4)
  const k1Low = wordAt(key, 8)
  const k1High = wordAt(key, 12)
  const v = Int32Array.of(
    k0High ^ 0x736f6d65,
    k0Low ^ 0x70736575,
    k1High ^ 0x646f7261,
    k1Low ^ 0x6e646f6d,
    k0High ^ 0x6c796765,
    k0Low ^ 0x6e657261,
    k1High ^ 0x74656462,
    k1Low ^ 0x79746573,
  )
  const whole = bytes.length & ~7
  for (let i = 0; i <= whole; i += 8) {
    const low = wordAt(bytes, i)
    // The last word carries the length in its top byte.
    const high = wordAt(bytes, i + 4) | (i === whole ? bytes.length << 24 : 0)
    v[6] = (v[6] as number) ^ high
    v[7] = (v[7] as number) ^ low
    round(v)
    round(v)
    v[0] = (v[0] as number) ^ high
    v[1] = (v[1] as number) ^ low
  }
  v[5] = (v[5] as number) ^ 0xff
  for (let i = 0; i < 4; i++) round(v)
  const high = (v[0] as number) ^ (v[2] as number) ^ (v[4] as number) ^ (v[6] as number)
  const low = (v[1] as number) ^ (v[3] as number) ^ (v[5] as number) ^ (v[7] as number)
  return hex32(high) + hex32(low)
}

/** A 16-byte key out of a secret of any length. */
export function sipKey(secret: Uint8Array): Uint8Array {
  const key = new Uint8Array(16)
  const left = sipHash(new Uint8Array(16).fill(1), secret)
  const right = sipHash(new Uint8Array(16).fill(2), secret)
  const digits = left + right
  for (let i = 0; i < 16; i++) key[i] = Number.parseInt(digits.slice(i * 2, i * 2 + 2), 16)
  return key
}
