/**
 * SHA-256 (FIPS 180-4) and HMAC (RFC 2104), synchronous: Web Crypto would make every rule that checks a
 * token a promise. For short messages.
 */

/** Fractional parts of the cube roots of the first 64 primes (FIPS 180-4 §4.2.2). */
const K = /* @__PURE__ */ rootTable(3, 64)
/** Fractional parts of the square roots of the first 8 primes (§5.3.3). */
const H0 = /* @__PURE__ */ rootTable(2, 8)

/** First 32 bits of the fractional part of the `degree`-th root of each of the first `count` primes. */
function rootTable(degree: 2 | 3, count: number): Uint32Array {
  const table = new Uint32Array(count)
  let filled = 0
  for (let candidate = 2; filled < count; candidate++) {
    let isPrime = true
    for (let d = 2; d * d <= candidate && isPrime; d++) isPrime = candidate % d !== 0
    if (isPrime) table[filled++] = Number(integerRoot(candidate, degree) & 0xffffffffn)
  }
  return table
}

/** Greatest r with r^degree <= n * 2^(32 * degree). */
function integerRoot(n: number, degree: 2 | 3): bigint {
  const power = BigInt(n) << BigInt(32 * degree)
  const isAtMost = (root: bigint) => root ** BigInt(degree) <= power
  // What the platform's root says may be off by one in the last place.
  let root = BigInt(Math.floor((degree === 2 ? Math.sqrt(n) : Math.cbrt(n)) * 2 ** 32))
  while (!isAtMost(root)) root--
  while (isAtMost(root + 1n)) root++
  return root
}

/** For whoever writes the algorithm out for another place. */
export { H0 as INITIAL_STATE, K as ROUND_CONSTANTS }

const BLOCK = 64

export function sha256(message: Uint8Array): Uint8Array {
  const length = message.length
  const padded = new Uint8Array((((length + 8) >> 6) + 1) << 6)
  padded.set(message)
  padded[length] = 0x80
  const view = new DataView(padded.buffer)
  view.setUint32(padded.length - 8, Math.floor(length / 0x20000000))
  view.setUint32(padded.length - 4, (length << 3) >>> 0)
  const state = Uint32Array.from(H0)
  const schedule = new Uint32Array(64)
  for (let offset = 0; offset < padded.length; offset += BLOCK)
    compress(state, schedule, view, offset)
  const digest = new Uint8Array(32)
  const out = new DataView(digest.buffer)
  for (let i = 0; i < 8; i++) out.setUint32(4 * i, state[i] as number)
  return digest
}

function rotate(x: number, n: number): number {
  return (x >>> n) | (x << (32 - n))
}

function compress(state: Uint32Array, w: Uint32Array, view: DataView, offset: number): void {
  for (let t = 0; t < 16; t++) w[t] = view.getUint32(offset + 4 * t)
  for (let t = 16; t < 64; t++) {
    const x = w[t - 15] as number
    const y = w[t - 2] as number
    const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3)
    const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10)
    w[t] = ((w[t - 16] as number) + s0 + (w[t - 7] as number) + s1) | 0
  }
  let a = state[0] as number
  let b = state[1] as number
  let c = state[2] as number
  let d = state[3] as number
  let e = state[4] as number
  let f = state[5] as number
  let g = state[6] as number
  let h = state[7] as number
  for (let t = 0; t < 64; t++) {
    const sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
    const choice = (e & f) ^ (~e & g)
    const first = (h + sum1 + choice + (K[t] as number) + (w[t] as number)) | 0
    const sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
    const majority = (a & b) ^ (a & c) ^ (b & c)
    h = g
    g = f
    f = e
    e = (d + first) | 0
    d = c
    c = b
    b = a
    a = (first + sum0 + majority) | 0
  }
  state[0] = ((state[0] as number) + a) | 0
  state[1] = ((state[1] as number) + b) | 0
  state[2] = ((state[2] as number) + c) | 0
  state[3] = ((state[3] as number) + d) | 0
  state[4] = ((state[4] as number) + e) | 0
  state[5] = ((state[5] as number) + f) | 0
  state[6] = ((state[6] as number) + g) | 0
  state[7] = ((state[7] as number) + h) | 0
}

export function hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array {
  const block = new Uint8Array(BLOCK)
  block.set(key.length > BLOCK ? sha256(key) : key)
  const inner = new Uint8Array(BLOCK + message.length)
  const outer = new Uint8Array(BLOCK + 32)
  for (let i = 0; i < BLOCK; i++) {
    inner[i] = (block[i] as number) ^ 0x36
    outer[i] = (block[i] as number) ^ 0x5c
  }
  inner.set(message, BLOCK)
  outer.set(sha256(inner), BLOCK)
  return sha256(outer)
}
