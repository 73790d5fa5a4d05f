/** Classes and escapes in RE2's syntax, as sets of bytes. */
import { addAll, addRange, type ByteSet, byteSet, complement, foldCase, setOf } from './byte-set.ts'
import { namedClass } from './classes.ts'

/** What reads the pattern around them. */
export interface ClassReader {
  readonly text: string
  /** Offset of what is read next. */
  at: number
  readonly isFolding: boolean
  fail(message: string, offset?: number): never
}

const DIGIT = setOf([48, 57])
const WORD = setOf([48, 57], [65, 90], [95, 95], [97, 122])
const SPACE = setOf([9, 10], [12, 13], [32, 32])

/** After a backslash. Folding changes none of them. */
export const ESCAPED_CLASS: Readonly<Record<string, ByteSet>> = {
  d: DIGIT,
  D: complement(DIGIT),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(SPACE),
}
const CONTROL: Readonly<Record<string, number>> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 }

/** `[…]`, read from its bracket on. */
export function readClass(reader: ClassReader): ByteSet {
  const start = reader.at++
  const { text } = reader
  const set = byteSet()
  const isNegated = text[reader.at] === '^'
  if (isNegated) reader.at++
  for (let isFirst = true; ; isFirst = false) {
    const char = text[reader.at]
    if (char === undefined) reader.fail('this class is never closed', start)
    if (char === ']' && !isFirst) break
    const known = classInside(reader, char)
    if (known !== undefined) {
      addAll(set, known)
      continue
    }
    const from = classCode(reader, start)
    let to = from
    if (text[reader.at] === '-' && text[reader.at + 1] !== ']') {
      reader.at++
      to = classCode(reader, start)
      if (to < from) reader.fail('this range runs backwards')
    }
    addRange(set, from, to)
    if (reader.isFolding) foldCase(set, from, to)
  }
  reader.at++
  return isNegated ? complement(set) : set
}

/** `[:alpha:]`, `\d` or `\pL` in a class. */
function classInside(reader: ClassReader, char: string): ByteSet | undefined {
  const { text } = reader
  const next = text[reader.at + 1] ?? ''
  if (char === '\\') {
    if (next === 'p' || next === 'P') return readUnicodeClass(reader)
    const set = ESCAPED_CLASS[next]
    if (set !== undefined) reader.at += 2
    return set
  }
  if (char !== '[' || next !== ':') return undefined
  const end = text.indexOf(':]', reader.at)
  if (end < 0) return undefined
  const isNegated = text[reader.at + 2] === '^'
  const name = text.slice(reader.at + (isNegated ? 3 : 2), end)
  const set = namedClass(name)
  if (set === undefined) reader.fail(`unknown class [:${name}:]`)
  reader.at = end + 2
  if (reader.isFolding) foldCase(set)
  return isNegated ? complement(set) : set
}

function classCode(reader: ClassReader, start: number): number {
  const code = reader.text.codePointAt(reader.at)
  if (code === undefined) reader.fail('this class is never closed', start)
  if (code === 92) return readCode(reader)
  reader.at += code > 0xffff ? 2 : 1
  return code
}

/** `\pL`, `\p{Greek}`, `\P{^Lu}`: the members among the first 256 characters. */
export function readUnicodeClass(reader: ClassReader): ByteSet {
  const shape = /\\([pP])(?:\{(\^?)([A-Za-z_]+)\}|([A-Za-z]))/y
  shape.lastIndex = reader.at
  const match = shape.exec(reader.text)
  const name = match?.[3] ?? match?.[4] ?? ''
  const property = name === 'Ascii' ? 'ASCII' : name === 'Lc' ? 'LC' : name
  const isGeneral = property.length <= 2 || /^(?:Any|ASCII|Assigned)$/.test(property)
  let members: RegExp
  try {
    const inner = isGeneral ? property : `Script=${property}`
    members = new RegExp(`\\p{${inner}}`, reader.isFolding ? 'iu' : 'u')
  } catch {
    return reader.fail('unknown Unicode class')
  }
  const set = byteSet()
  for (let code = 0; code < 256; code++) {
    if (members.test(String.fromCharCode(code))) addRange(set, code, code)
  }
  reader.at = shape.lastIndex
  return (match?.[1] === 'P') !== (match?.[2] === '^') ? complement(set) : set
}

/** The character that an escape stands for, read from its backslash on. */
export function readCode(reader: ClassReader): number {
  const start = reader.at
  const shape = /\\(?:x([0-9A-Fa-f]{2})|x\{([0-9A-Fa-f]+)\}|(0[0-7]{0,2}|[1-7][0-7]{1,2})|(.?))/sy
  shape.lastIndex = start
  const match = shape.exec(reader.text)
  reader.at = shape.lastIndex
  const hex = match?.[1] ?? match?.[2]
  const char = match?.[4] ?? ''
  let code = -1
  if (hex !== undefined) code = Number.parseInt(hex, 16)
  else if (match?.[3] !== undefined) code = Number.parseInt(match[3], 8)
  else if (CONTROL[char] !== undefined) code = CONTROL[char]
  else if (char !== '' && char <= '\x7f' && !/[A-Za-z0-9]/.test(char)) code = char.charCodeAt(0)
  if (code < 0 || code > 0x10ffff) fail(reader, start, char)
  return code
}

function fail(reader: ClassReader, start: number, char: string): never {
  if (char === '') reader.fail('a pattern cannot end in a backslash', start)
  if (/[1-9]/.test(char)) {
    reader.fail('back-references cannot be matched in linear time and are not supported', start)
  }
  return reader.fail(`unknown escape \\${char}`, start)
}
