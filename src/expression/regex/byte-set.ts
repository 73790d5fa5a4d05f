/** Sets of bytes as 256 bits: what a class of a regular expression means. */
export type ByteSet = Uint32Array

export function byteSet(): ByteSet {
  return new Uint32Array(8)
}

export function addRange(set: ByteSet, from: number, to: number): void {
  for (let code = from; code <= Math.min(to, 255); code++) {
    set[code >> 5] = (set[code >> 5] as number) | (1 << (code & 31))
  }
}

export function hasByte(set: ByteSet, code: number): boolean {
  return ((set[code >> 5] as number) & (1 << (code & 31))) !== 0
}

export function addAll(set: ByteSet, other: ByteSet): void {
  for (let i = 0; i < 8; i++) set[i] = (set[i] as number) | (other[i] as number)
}

/** Takes out what is not in `other`. */
export function intersect(set: ByteSet, other: ByteSet): void {
  for (let i = 0; i < 8; i++) set[i] = (set[i] as number) & (other[i] as number)
}

/** Takes out what is in `other`. */
export function subtract(set: ByteSet, other: ByteSet): void {
  for (let i = 0; i < 8; i++) set[i] = (set[i] as number) & ~(other[i] as number)
}

/** Leaves what is in one of the two and not in both. */
export function keepDifference(set: ByteSet, other: ByteSet): void {
  for (let i = 0; i < 8; i++) set[i] = (set[i] as number) ^ (other[i] as number)
}

export function setOf(...ranges: readonly (readonly [number, number])[]): ByteSet {
  const set = byteSet()
  for (const [from, to] of ranges) addRange(set, from, to)
  return set
}

export function complement(set: ByteSet): ByteSet {
  return set.map((word) => ~word)
}

export function sizeOf(set: ByteSet): number {
  let count = 0
  for (let code = 0; code < 256; code++) if (hasByte(set, code)) count++
  return count
}

/** Adds the other case of each ASCII letter. */
export function foldAscii(set: ByteSet): void {
  for (let code = 65; code <= 90; code++) {
    if (hasByte(set, code)) addRange(set, code + 32, code + 32)
    else if (hasByte(set, code + 32)) addRange(set, code, code)
  }
}

/** Characters above the bytes whose other case is a byte: long s, Kelvin and so on, and that byte. */
const FOLDED_FROM_ABOVE = [
  [0x17f, 0x73],
  [0x178, 0xff],
  [0x39c, 0xb5],
  [0x3bc, 0xb5],
  [0x1e9e, 0xdf],
  [0x212a, 0x6b],
  [0x212b, 0xe5],
] as const

/**
 * As `foldAscii`, and Latin-1 letters, as RE2 does; `from` and `to` are the range that was put into the set,
 * which may hold characters above the bytes.
 */
export function foldCase(set: ByteSet, from = 0, to = 0): void {
  for (const [above, byte] of FOLDED_FROM_ABOVE) {
    if (above >= from && above <= to) addRange(set, byte, byte)
  }
  foldAscii(set)
  for (let code = 0xc0; code <= 0xde; code++) {
    if (code === 0xd7) continue
    if (hasByte(set, code)) addRange(set, code + 32, code + 32)
    else if (hasByte(set, code + 32)) addRange(set, code, code)
  }
}
