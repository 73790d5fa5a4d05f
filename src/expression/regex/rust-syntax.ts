/**
 * From the syntax of Rust's regex crate, as Cloudflare runs it (bytes, Unicode off), to that of RE2 with
 * the same meaning on byte strings. What RE2 reads otherwise is rewritten: classes become explicit byte
 * ranges, letters above 0x7F become their UTF-8 bytes and never fold, `\s` includes vertical tab, `x` mode is
 * undone. What cannot run in linear time (look-around, back-references) is refused.
 */
import { hexDigit, toBytes } from '../bytes.ts'
import {
  addAll,
  addRange,
  type ByteSet,
  byteSet,
  complement,
  foldAscii,
  intersect,
  keepDifference,
  subtract,
} from './byte-set.ts'
import { byteToRe2, namedClass, perlClass, toRe2 } from './classes.ts'
import { RegexError } from './regex-error.ts'

export interface TranslatedRegex {
  /** RE2 syntax. */
  readonly pattern: string
  /** Capture groups. */
  readonly groups: number
  /** The bytes themselves when the pattern is nothing but a case-sensitive literal. */
  readonly literal: string | undefined
}

/** RE2's own limits: on one count, and on nested counts multiplied. */
const MAX_REPEAT = 1000
const MAX_NESTING = 100
/** `a+*?…`: RE2 refuses towers that are too high. */
const MAX_QUANTIFIERS = 4
/** A pattern of more states than this is refused; Rust refuses by compiled size too. */
const MAX_STATES = 20_000

/** @throws RegexError */
export function translateRegex(pattern: string): TranslatedRegex {
  return new Translator(pattern).translate()
}

interface Flags {
  i: boolean
  x: boolean
}

/** What has been written of one alternative, as far as a quantifier needs to know it. */
interface Piece {
  /** Where the atom begins in the output; a quantifier applies to what follows. */
  readonly from: number
  readonly states: number
  /** Product of the nested counts inside. */
  readonly repeat: number
  /** Quantifiers that follow it already, as in `a+*`. */
  readonly quantifiers: number
}

const FLAG_LETTERS = 'imsUxu'
const GROUP_NAME = /[A-Za-z_][A-Za-z0-9_.[\]]*/y
const COUNT = /\{\s*([0-9]+)\s*(?:(,)\s*([0-9]*)\s*)?\}/y
const WORD_BOUNDARY_NAME = /\{(?:start|end|start-half|end-half)\}/y
const CONTROL: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 }

class Translator {
  readonly #source: string
  #at = 0
  #out = ''
  #groups = 0
  #depth = 0
  #names = new Set<string>()
  #literal: string | undefined = ''
  #flags: Flags = { i: false, x: false }

  constructor(source: string) {
    this.#source = source
  }

  translate(): TranslatedRegex {
    const { states } = this.#alternatives()
    if (this.#at < this.#source.length) this.#fail('unopened group: ) without (')
    if (states > MAX_STATES) this.#fail('this regular expression is too large', 0)
    return { pattern: this.#out, groups: this.#groups, literal: this.#literal }
  }

  #alternatives(): { states: number; repeat: number } {
    let states = 0
    let repeat = 1
    for (;;) {
      const branch = this.#concatenation()
      states += branch.states
      repeat = Math.max(repeat, branch.repeat)
      if (this.#source[this.#at] !== '|') return { states, repeat }
      this.#literal = undefined
      this.#at++
      this.#out += '|'
      states++
    }
  }

  #concatenation(): { states: number; repeat: number } {
    let states = 0
    let repeat = 1
    let last: Piece | undefined
    const settle = () => {
      if (last === undefined) return
      states += last.states
      repeat = Math.max(repeat, last.repeat)
      last = undefined
    }
    for (;;) {
      if (this.#flags.x) this.#skipVerbose()
      const char = this.#source[this.#at]
      if (char === undefined || char === '|' || char === ')') break
      const start = this.#at
      const quantifier = this.#quantifier()
      if (quantifier !== undefined) {
        if (last === undefined) this.#fail(`nothing to repeat before ${char}`, start)
        last = this.#repeat(last, quantifier)
        continue
      }
      settle()
      last = this.#atom(char)
    }
    settle()
    return { states, repeat }
  }

  /** The quantifier that stands here, taken. A brace that is no count is an ordinary character. */
  #quantifier(): { text: string; max: number } | undefined {
    const char = this.#source[this.#at]
    const start = this.#at
    let text: string
    let max = 1
    if (char === '*' || char === '+' || char === '?') {
      this.#at++
      text = char
    } else if (char === '{') {
      COUNT.lastIndex = this.#at
      const match = COUNT.exec(this.#source)
      if (match === null) {
        if (/^\{\s*,/.test(this.#source.slice(this.#at))) {
          this.#fail('a count begins with its minimum: {0,n}')
        }
        return undefined
      }
      this.#at += match[0].length
      const minimum = Number(match[1])
      const isOpen = match[2] !== undefined && match[3] === ''
      const maximum = match[2] === undefined || isOpen ? minimum : Number(match[3])
      if (maximum < minimum) this.#fail('the minimum of a count is above its maximum', start)
      if (maximum > MAX_REPEAT) this.#fail(`a count is at most ${MAX_REPEAT}`, start)
      text = `{${minimum}${match[2] === undefined ? '' : `,${isOpen ? '' : maximum}`}}`
      max = Math.max(1, maximum)
    } else {
      return undefined
    }
    if (this.#source[this.#at] === '?') {
      this.#at++
      text += '?'
    }
    return { text, max }
  }

  #repeat(piece: Piece, { text, max }: { text: string; max: number }): Piece {
    this.#literal = undefined
    const atom = this.#out.slice(piece.from)
    const repeat = piece.repeat * max
    if (repeat > MAX_REPEAT) this.#fail(`counts inside counts multiply to more than ${MAX_REPEAT}`)
    const states = piece.states * max + 1
    if (states > MAX_STATES) this.#fail('this regular expression is too large', 0)
    const quantifiers = piece.quantifiers + 1
    if (quantifiers > MAX_QUANTIFIERS) this.#fail('too many quantifiers in a row')
    const base = quantifiers > 1 || atom === '' ? `(?:${atom})` : atom
    this.#out = this.#out.slice(0, piece.from) + base + text
    return { from: piece.from, states, repeat, quantifiers }
  }

  #atom(char: string): Piece {
    const from = this.#out.length
    if (char === '(') return this.#group()
    this.#at++
    switch (char) {
      case '[':
        this.#at--
        this.#writeClass(this.#class())
        break
      case '.':
      case '^':
      case '$':
        this.#literal = undefined
        this.#out += char
        break
      case '\\':
        return this.#escape(from)
      default: {
        const code = this.#source.codePointAt(this.#at - 1) as number
        if (code > 0xffff) this.#at++
        return this.#writeLiteral(toBytes(String.fromCodePoint(code)), from)
      }
    }
    return { from, states: 1, repeat: 1, quantifiers: 0 }
  }

  #writeLiteral(bytes: string, from: number): Piece {
    if (this.#literal !== undefined)
      this.#literal = this.#flags.i ? undefined : this.#literal + bytes
    let text = ''
    for (let i = 0; i < bytes.length; i++) text += byteToRe2(bytes.charCodeAt(i), this.#flags.i)
    this.#out += bytes.length > 1 ? `(?:${text})` : text
    return { from, states: bytes.length, repeat: 1, quantifiers: 0 }
  }

  #group(): Piece {
    const from = this.#out.length
    const start = this.#at++
    if (++this.#depth > MAX_NESTING) this.#fail('this regular expression nests too deeply', start)
    const outer = { ...this.#flags }
    this.#literal = undefined
    if (this.#source[this.#at] === '?') {
      this.#at++
      if (this.#openSpecial(start)) {
        this.#depth--
        // Flags for the rest of the enclosing group, not a group.
        return { from: this.#out.length, states: 0, repeat: 1, quantifiers: 0 }
      }
    } else {
      this.#groups++
      this.#out += '('
    }
    const inner = this.#alternatives()
    if (this.#source[this.#at] !== ')') this.#fail('this group is never closed', start)
    this.#at++
    this.#out += ')'
    this.#depth--
    this.#flags = outer
    return { from, states: inner.states + 2, repeat: inner.repeat, quantifiers: 0 }
  }

  /** After `(?`. Answers true when it was only flags. */
  #openSpecial(start: number): boolean {
    const rest = this.#source.slice(this.#at, this.#at + 2)
    if (rest[0] === '=' || rest[0] === '!' || rest === '<=' || rest === '<!') {
      this.#fail('look-around cannot be matched in linear time and is not supported', start)
    }
    if (rest[0] === ':') {
      this.#at++
      this.#out += '(?:'
      return false
    }
    if (rest === 'P<' || rest[0] === '<') {
      this.#at += rest[0] === '<' ? 1 : 2
      GROUP_NAME.lastIndex = this.#at
      const name = GROUP_NAME.exec(this.#source)?.[0]
      if (name === undefined || this.#source[this.#at + name.length] !== '>') {
        this.#fail('a group name is expected: (?<name>…)')
      }
      if (this.#names.has(name)) this.#fail(`the group name ${name} is used twice`)
      this.#names.add(name)
      this.#at += name.length + 1
      this.#groups++
      this.#out += '('
      return false
    }
    return this.#flagGroup(start)
  }

  #flagGroup(start: number): boolean {
    let isOn = true
    let on = ''
    let off = ''
    for (;;) {
      const char = this.#source[this.#at++]
      if (char === undefined) this.#fail('this group is never closed', start)
      if (char === ':' || char === ')') {
        const flags = `${on}${off === '' ? '' : `-${off}`}`
        if (char === ':') this.#out += flags === '' ? '(?:' : `(?${flags}:`
        else if (flags !== '') this.#out += `(?${flags})`
        return char === ')'
      }
      if (char === '-') {
        if (!isOn) this.#fail('a second - in flags')
        isOn = false
      } else if (!FLAG_LETTERS.includes(char)) {
        this.#fail(`unknown flag or group (?${char}`, start)
      } else if (char === 'u') {
        if (isOn) this.#fail('Unicode mode is not supported: patterns match bytes', start)
      } else if (char === 'x') {
        this.#flags.x = isOn
      } else {
        if (char === 'i') this.#flags.i = isOn
        if (isOn) on += char
        else off += char
      }
    }
  }

  #escape(from: number): Piece {
    const start = this.#at - 1
    const char = this.#source[this.#at++]
    if (char === undefined) this.#fail('a pattern cannot end in a backslash', start)
    const set = perlClass(char)
    if (set !== undefined) {
      this.#writeClass(set)
      return { from, states: 1, repeat: 1, quantifiers: 0 }
    }
    if (char === 'A' || char === 'z' || char === 'b' || char === 'B') {
      WORD_BOUNDARY_NAME.lastIndex = this.#at
      if (char === 'b' && WORD_BOUNDARY_NAME.test(this.#source)) {
        this.#fail('half word boundaries are not supported', start)
      }
      this.#literal = undefined
      this.#out += `\\${char}`
      return { from, states: 1, repeat: 1, quantifiers: 0 }
    }
    return this.#writeLiteral(this.#escapedBytes(char, start), from)
  }

  /** The bytes of an escape that stands for a character. `#at` is after `char`. */
  #escapedBytes(char: string, start: number): string {
    const control = CONTROL[char]
    if (control !== undefined) return String.fromCharCode(control)
    if (char === 'x' || char === 'u' || char === 'U') return this.#hexEscape(char, start)
    if (char >= '0' && char <= '9') {
      this.#fail('back-references cannot be matched in linear time and are not supported', start)
    }
    if (char === 'p' || char === 'P') {
      this.#fail('Unicode classes are not supported: patterns match bytes', start)
    }
    if (/[A-Za-z<>]/.test(char) || char > '\x7f') this.#fail(`unknown escape \\${char}`, start)
    return char
  }

  /** `\xHH` is a byte; the other forms are code points, and so their UTF-8 bytes. */
  #hexEscape(char: string, start: number): string {
    const source = this.#source
    let digits: string
    const isBraced = source[this.#at] === '{'
    if (isBraced) {
      const close = source.indexOf('}', this.#at)
      digits = close < 0 ? '' : source.slice(this.#at + 1, close)
      this.#at = close + 1
    } else {
      const width = char === 'x' ? 2 : char === 'u' ? 4 : 8
      digits = source.slice(this.#at, this.#at + width)
      if (digits.length < width) digits = ''
      this.#at += width
    }
    let code = digits === '' || digits.length > 8 ? -1 : 0
    for (let i = 0; i < digits.length && code >= 0; i++) {
      const digit = hexDigit(digits.charCodeAt(i))
      code = digit < 0 ? -1 : code * 16 + digit
    }
    if (code < 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
      this.#fail('hexadecimal digits of a character are expected', start)
    }
    if (char === 'x' && !isBraced) return String.fromCharCode(code)
    return toBytes(String.fromCodePoint(code))
  }

  #writeClass(set: ByteSet): void {
    this.#literal = undefined
    if (this.#flags.i) foldAscii(set)
    const text = toRe2(set)
    // Folding is done above, for ASCII only; RE2 would fold 0xE9 with 0xC9.
    this.#out += this.#flags.i ? `(?-i:${text})` : text
  }

  /** A bracketed class with nested classes and the operators && -- ~~. `#at` is at `[`. */
  #class(): ByteSet {
    const start = this.#at++
    if (++this.#depth > MAX_NESTING) this.#fail('this regular expression nests too deeply', start)
    const isNegated = this.#source[this.#at] === '^'
    if (isNegated) this.#at++
    let result: ByteSet | undefined
    let operator = ''
    let current = byteSet()
    let isFirst = true
    const combine = () => {
      if (result === undefined) result = current
      else if (operator === '&&') intersect(result, current)
      else if (operator === '--') subtract(result, current)
      else keepDifference(result, current)
      current = byteSet()
    }
    for (;;) {
      if (this.#flags.x) this.#skipVerbose()
      const char = this.#source[this.#at]
      if (char === undefined) this.#fail('this class is never closed', start)
      const two = this.#source.slice(this.#at, this.#at + 2)
      if (char === ']' && !isFirst) {
        this.#at++
        break
      }
      if (!isFirst && (two === '&&' || two === '--' || two === '~~')) {
        combine()
        operator = two
        this.#at += 2
        continue
      }
      isFirst = false
      if (char === '[') {
        addAll(current, this.#posixClass() ?? this.#class())
        continue
      }
      this.#classItem(current)
    }
    combine()
    this.#depth--
    const set = result as unknown as ByteSet
    if (isNegated) {
      // Rust folds before it negates: (?i)[^a] excludes A.
      if (this.#flags.i) foldAscii(set)
      return complement(set)
    }
    return set
  }

  #posixClass(): ByteSet | undefined {
    const match = /^\[:(\^?)([a-z]+):\]/.exec(this.#source.slice(this.#at, this.#at + 16))
    if (match === null) return undefined
    const set = namedClass(match[2] as string)
    if (set === undefined) this.#fail(`unknown class [:${match[2]}:]`)
    this.#at += match[0].length
    return match[1] === '^' ? complement(set) : set
  }

  #classItem(into: ByteSet): void {
    const start = this.#at
    const first = this.#classAtom()
    if (typeof first !== 'number') {
      addAll(into, first)
      return
    }
    const next = this.#source[this.#at + 1]
    if (this.#source[this.#at] === '-' && next !== undefined && next !== ']' && next !== '-') {
      this.#at++
      const last = this.#classAtom()
      if (typeof last !== 'number') this.#fail('a class cannot end a range', start)
      if (last < first) this.#fail('this range runs backwards', start)
      addRange(into, first, last)
      return
    }
    addRange(into, first, first)
  }

  /** One byte, or a class written as an escape. */
  #classAtom(): number | ByteSet {
    const start = this.#at
    const code = this.#source.codePointAt(this.#at)
    if (code === undefined) this.#fail('this class is never closed', start)
    this.#at += code > 0xffff ? 2 : 1
    let bytes: string
    if (code === 92) {
      const char = this.#source[this.#at++]
      if (char === undefined) this.#fail('this class is never closed', start)
      const set = perlClass(char)
      if (set !== undefined) return set
      bytes = char === 'b' ? '\b' : this.#escapedBytes(char, start)
    } else {
      bytes = toBytes(String.fromCodePoint(code))
    }
    if (bytes.length > 1) {
      this.#fail(
        'a class holds bytes: letters outside ASCII are several, write an alternative',
        start,
      )
    }
    return bytes.charCodeAt(0)
  }

  /** White space and comments of `x` mode. */
  #skipVerbose(): void {
    for (;;) {
      const char = this.#source[this.#at]
      if (char === '#') {
        const end = this.#source.indexOf('\n', this.#at)
        this.#at = end < 0 ? this.#source.length : end + 1
      } else if (char !== undefined && /\s/.test(char)) {
        this.#at++
      } else {
        return
      }
    }
  }

  #fail(message: string, offset = this.#at): never {
    throw new RegexError(Math.min(offset, this.#source.length), message)
  }
}
