/**
 * Wildcards: `*` stands for any bytes, the whole value must match, letters match in either case unless
 * strict. Literal pieces are found from left to right, which is linear in the value for each piece.
 */
import { lowerAscii } from './bytes.ts'

export class WildcardError extends Error {
  override readonly name = 'WildcardError'
  /** Offset into the pattern. */
  readonly offset: number
  constructor(offset: number, message: string) {
    super(message)
    this.offset = offset
  }
}

/** The literal pieces between the stars. @throws WildcardError */
export function parseWildcard(pattern: string): string[] {
  const pieces: string[] = []
  let piece = ''
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern[i] as string
    if (char === '\\') {
      const next = pattern[i + 1]
      if (next !== '*' && next !== '\\') {
        throw new WildcardError(i, 'a wildcard knows the escapes \\* and \\\\ only')
      }
      piece += next
      i++
    } else if (char === '*') {
      if (pattern[i + 1] === '*') throw new WildcardError(i, 'a wildcard may not contain **')
      pieces.push(piece)
      piece = ''
    } else {
      piece += char
    }
  }
  pieces.push(piece)
  return pieces
}

export type WildcardTest = (value: string) => boolean

export function wildcardTest(pieces: readonly string[], strict: boolean): WildcardTest {
  if (pieces.length === 1) {
    const whole = pieces[0] as string
    if (strict) return (value) => value === whole
    const folded = lowerAscii(whole)
    return (value) => value.length === folded.length && isFoldedAt(value, 0, folded)
  }
  const texts = strict ? pieces : pieces.map(lowerAscii)
  const head = texts[0] as string
  const tail = texts[texts.length - 1] as string
  const shortest = texts.reduce((sum, text) => sum + text.length, 0)
  const middle = texts.slice(1, -1)
  if (!strict && middle.length === 0) {
    return (value) =>
      value.length >= shortest &&
      isFoldedAt(value, 0, head) &&
      isFoldedAt(value, value.length - tail.length, tail)
  }
  return (value) => {
    if (value.length < shortest) return false
    const text = strict ? value : lowerAscii(value)
    if (!text.startsWith(head) || !text.endsWith(tail)) return false
    const end = text.length - tail.length
    let at = head.length
    for (const piece of middle) {
      const found = text.indexOf(piece, at)
      if (found < 0 || found + piece.length > end) return false
      at = found + piece.length
    }
    return true
  }
}

/** Whether `value` has `folded` (lower case) at `at`, in either case of its ASCII letters; makes no copy. */
function isFoldedAt(value: string, at: number, folded: string): boolean {
  for (let i = 0; i < folded.length; i++) {
    let code = value.charCodeAt(at + i)
    if (code >= 65 && code <= 90) code += 32
    if (code !== folded.charCodeAt(i)) return false
  }
  return true
}

/** What each star stood for, each as short as can be from left to right; undefined when it does not match. */
export function wildcardCaptures(
  pieces: readonly string[],
  strict: boolean,
  value: string,
): string[] | undefined {
  const text = strict ? value : lowerAscii(value)
  const texts = strict ? pieces : pieces.map(lowerAscii)
  if (texts.length === 1) return text === texts[0] ? [] : undefined
  const tail = texts[texts.length - 1] as string
  const head = texts[0] as string
  const end = text.length - tail.length
  if (!text.startsWith(head) || !text.endsWith(tail) || end < head.length) return undefined
  const captures: string[] = []
  let at = head.length
  for (const piece of texts.slice(1, -1)) {
    const found = text.indexOf(piece, at)
    if (found < 0 || found + piece.length > end) return undefined
    captures.push(value.slice(at, found))
    at = found + piece.length
  }
  captures.push(value.slice(at, end))
  return captures
}
