/**
 * Character tables and small scans shared by the detectors. Values are byte strings (one character per
 * byte); characters above U+00FF are treated as letters.
 */

export const SPACE = 1
export const DIGIT = 2
export const ALPHA = 4
export const HEX = 8

const CLASS = new Uint8Array(256)
for (let c = 0; c < 256; c++) {
  let k = 0
  if (c <= 32 || c === 0x7f || c === 0xa0) k |= SPACE
  if (c >= 48 && c <= 57) k |= DIGIT | HEX
  if ((c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === 95 || (c >= 0x80 && c !== 0xa0))
    k |= ALPHA
  if ((c >= 65 && c <= 70) || (c >= 97 && c <= 102)) k |= HEX
  CLASS[c] = k
}

/** Bit set of SPACE, DIGIT, ALPHA (with underscore and high bytes) and HEX. */
export function classOf(code: number): number {
  if (code < 256) return CLASS[code] as number
  // NaN, the code behind the end, is nothing.
  return code >= 256 ? ALPHA : 0
}

export function isSpace(code: number): boolean {
  return (classOf(code) & SPACE) !== 0
}

export function isDigit(code: number): boolean {
  return code >= 48 && code <= 57
}

/** Letters, digits, underscore, high bytes. */
export function isWord(code: number): boolean {
  return (classOf(code) & (ALPHA | DIGIT)) !== 0
}

/** 0 to 15, or -1. */
export function hexValue(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  if (code >= 97 && code <= 102) return code - 87
  if (code >= 65 && code <= 70) return code - 55
  return -1
}

/** First index at or after `from` that is no space; `end` when there is none. */
export function skipSpace(text: string, from: number, end = text.length): number {
  let i = from
  while (i < end && isSpace(text.charCodeAt(i))) i++
  return i
}

/** A piece of the value for a log line: at most 60 characters, control characters replaced. */
export function excerpt(text: string, from: number, to = from + 60): string {
  const start = Math.max(0, from)
  const stop = Math.min(text.length, to, start + 60)
  const piece = text.slice(start, stop)
  for (let i = 0; i < piece.length; i++) {
    if (isControl(piece.charCodeAt(i))) return masked(piece)
  }
  return piece
}

function isControl(code: number): boolean {
  return code < 32 || code === 0x7f
}

function masked(piece: string): string {
  let out = ''
  for (let i = 0; i < piece.length; i++) out += isControl(piece.charCodeAt(i)) ? '.' : piece[i]
  return out
}
