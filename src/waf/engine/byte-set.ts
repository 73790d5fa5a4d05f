/** Sets of bytes as 256 bits. */
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

export function complement(set: ByteSet): ByteSet {
  return set.map((word) => ~word)
}

export function sizeOf(set: ByteSet): number {
  let count = 0
  for (let code = 0; code < 256; code++) if (hasByte(set, code)) count++
  return count
}

/** Adds the other case of each ASCII letter. */
export function foldCase(set: ByteSet): void {
  for (let code = 65; code <= 90; code++) {
    if (hasByte(set, code)) addRange(set, code + 32, code + 32)
    else if (hasByte(set, code + 32)) addRange(set, code, code)
  }
  // The engine folds Latin-1 letters too; a filter must not know less than it.
  for (let code = 0xc0; code <= 0xde; code++) {
    if (code === 0xd7) continue
    if (hasByte(set, code)) addRange(set, code + 32, code + 32)
    else if (hasByte(set, code + 32)) addRange(set, code, code)
  }
}
