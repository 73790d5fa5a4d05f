/** Named classes of bytes, and sets of bytes as text of RE2. */
import { type ByteSet, complement, hasByte, setOf } from './byte-set.ts'

/** A set as a class in RE2 syntax. */
export function toRe2(set: ByteSet): string {
  let text = ''
  for (let first = 0; first < 256; first++) {
    if (!hasByte(set, first)) continue
    let last = first
    while (last < 255 && hasByte(set, last + 1)) last++
    text += last === first ? hex(first) : `${hex(first)}-${hex(last)}`
    first = last
  }
  return text === '' ? '[^\\x00-\\x{10ffff}]' : `[${text}]`
}

function hex(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`
}

const DIGIT = [[48, 57]] as const
const WORD = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
] as const
const SPACE = [
  [9, 13],
  [32, 32],
] as const

/** `\d \w \s` and their opposites, ASCII. */
export function perlClass(letter: string): ByteSet | undefined {
  const ranges = { d: DIGIT, w: WORD, s: SPACE }[letter.toLowerCase()]
  if (ranges === undefined) return undefined
  const set = setOf(...ranges)
  return letter < 'a' ? complement(set) : set
}

const NAMED: Readonly<Record<string, readonly (readonly [number, number])[]>> = {
  alnum: [
    [48, 57],
    [65, 90],
    [97, 122],
  ],
  alpha: [
    [65, 90],
    [97, 122],
  ],
  ascii: [[0, 127]],
  blank: [
    [9, 9],
    [32, 32],
  ],
  cntrl: [
    [0, 31],
    [127, 127],
  ],
  digit: DIGIT,
  graph: [[33, 126]],
  lower: [[97, 122]],
  print: [[32, 126]],
  punct: [
    [33, 47],
    [58, 64],
    [91, 96],
    [123, 126],
  ],
  space: SPACE,
  upper: [[65, 90]],
  word: WORD,
  xdigit: [
    [48, 57],
    [65, 70],
    [97, 102],
  ],
}

/** The classes `[:name:]`. */
export function namedClass(name: string): ByteSet | undefined {
  const ranges = Object.hasOwn(NAMED, name) ? NAMED[name] : undefined
  return ranges === undefined ? undefined : setOf(...ranges)
}

/** One byte as RE2 text. Bytes above 0x7F never fold. */
export function byteToRe2(code: number, foldsCase: boolean): string {
  const char = String.fromCharCode(code)
  if (/[A-Za-z0-9_]/.test(char)) {
    // RE2 folds k and s with letters above 0xFF, which no byte string holds.
    return char
  }
  const text = hex(code)
  return code > 0x7f && foldsCase ? `(?-i:${text})` : text
}
