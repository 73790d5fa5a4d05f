/**
 * RE2's syntax (github.com/google/re2/wiki/Syntax) as a tree, for texts of bytes: a pattern's characters
 * above U+00FF match nothing. Patterns that cannot run in linear time are refused.
 */
import { addRange, type ByteSet, byteSet, foldCase, setOf } from './byte-set.ts'
import {
  type ClassReader,
  ESCAPED_CLASS,
  readClass,
  readCode,
  readUnicodeClass,
} from './re2-class.ts'
import { RegexError } from './regex-error.ts'

/** Claims about a position, as bits. */
export const BEGIN_TEXT = 1
export const BEGIN_LINE = 2
export const END_TEXT = 4
export const END_LINE = 8
export const BOUNDARY = 16
export const NO_BOUNDARY = 32

export type RegexNode =
  | { readonly kind: 'empty' }
  /** One byte out of a set. */
  | { readonly kind: 'bytes'; readonly set: ByteSet }
  | { readonly kind: 'assert'; readonly claim: number }
  | { readonly kind: 'concat'; readonly parts: readonly RegexNode[] }
  | { readonly kind: 'choice'; readonly options: readonly RegexNode[] }
  | { readonly kind: 'group'; readonly of: RegexNode; readonly index: number }
  | Repeat

export interface Repeat {
  readonly kind: 'repeat'
  readonly of: RegexNode
  readonly min: number
  readonly max: number
  readonly isLazy: boolean
}

export interface RegexTree {
  readonly root: RegexNode
  /** Capture groups. */
  readonly groups: number
}

export interface SyntaxOptions {
  /** A dot takes line feeds. */
  readonly dotAll?: boolean
  readonly ignoreCase?: boolean
}

/** RE2's own limits: on one count, and on nested counts multiplied. */
const MOST_REPEATS = 1000
const MOST_NESTED = 1000
/** Instructions that a pattern may come to. */
export const MOST_INSTRUCTIONS = 50_000

const COUNT = /\{(0|[1-9]\d*)(,?)(0|[1-9]\d*|)\}/y

const EMPTY: RegexNode = { kind: 'empty' }
const ANY: RegexNode = { kind: 'bytes', set: setOf([0, 255]) }
const ANY_BUT_LINE_FEED: RegexNode = { kind: 'bytes', set: setOf([0, 9], [11, 255]) }
const NOTHING: RegexNode = { kind: 'bytes', set: byteSet() }
const ASSERTIONS: Readonly<Record<string, number>> = {
  A: BEGIN_TEXT,
  z: END_TEXT,
  b: BOUNDARY,
  B: NO_BOUNDARY,
}

/** Patterns are mostly literals: a byte's node is made once. */
const plainBytes: (RegexNode | undefined)[] = []
const foldedBytes: (RegexNode | undefined)[] = []

const FOLD = 1
const MULTILINE = 2
const DOT_ALL = 4
const LAZY = 8
const FLAGS: Readonly<Record<string, number>> = { i: FOLD, m: MULTILINE, s: DOT_ALL, U: LAZY }

/** @throws RegexError */
export function parseRegex(
  pattern: string,
  { dotAll = false, ignoreCase = false }: SyntaxOptions = {},
): RegexTree {
  return new Reader(pattern, (dotAll ? DOT_ALL : 0) | (ignoreCase ? FOLD : 0)).read()
}

/** A node, and what the limits need to know of it. */
interface Piece {
  readonly node: RegexNode
  readonly size: number
  /** Product of the nested counts inside. */
  readonly repeats: number
}

const NO_PIECE: Piece = { node: EMPTY, size: 1, repeats: 0 }

class Reader implements ClassReader {
  readonly text: string
  at = 0
  #flags: number
  #groups = 0
  #depth = 0
  readonly #names = new Set<string>()

  constructor(text: string, flags: number) {
    this.text = text
    this.#flags = flags
  }

  get isFolding(): boolean {
    return (this.#flags & FOLD) !== 0
  }

  read(): RegexTree {
    const { node } = this.#choice()
    if (this.at < this.text.length) this.fail('unexpected )')
    return { root: node, groups: this.#groups }
  }

  #choice(): Piece {
    const first = this.#concat()
    if (this.text[this.at] !== '|') return first
    const options = [first.node]
    let { size, repeats } = first
    while (this.text[this.at] === '|') {
      this.at++
      const option = this.#concat()
      options.push(option.node)
      size += option.size + 1
      repeats = Math.max(repeats, option.repeats)
    }
    return { node: { kind: 'choice', options }, size: this.#checked(size), repeats }
  }

  #concat(): Piece {
    const parts: Piece[] = []
    let isAfterQuantifier = false
    for (;;) {
      const char = this.text[this.at]
      if (char === undefined || char === '|' || char === ')') break
      const start = this.at
      const quantifier = this.#quantifier(char)
      if (quantifier === undefined) {
        this.#atom(char, parts)
        isAfterQuantifier = false
        continue
      }
      if (isAfterQuantifier) this.fail('a quantifier follows another', start)
      isAfterQuantifier = true
      const last = parts.pop()
      if (last === undefined) this.fail(`nothing to repeat before ${char}`, start)
      parts.push(this.#repeat(last, quantifier, start))
    }
    if (parts.length <= 1) return parts[0] ?? NO_PIECE
    let size = 0
    let repeats = 0
    for (const part of parts) {
      size += part.size
      repeats = Math.max(repeats, part.repeats)
    }
    const node: RegexNode = { kind: 'concat', parts: parts.map((part) => part.node) }
    return { node, size: this.#checked(size), repeats }
  }

  /** The quantifier that stands here, taken. A brace that is no count is an ordinary character. */
  #quantifier(char: string): { min: number; max: number } | undefined {
    if (char === '*' || char === '+' || char === '?') {
      this.at++
      const max = char === '?' ? 1 : Number.POSITIVE_INFINITY
      return { min: char === '+' ? 1 : 0, max }
    }
    if (char !== '{') return undefined
    COUNT.lastIndex = this.at
    const count = COUNT.exec(this.text)
    if (count === null || (count[2] === '' && count[3] !== '')) return undefined
    const min = Number(count[1])
    const isOpen = count[2] === ',' && count[3] === ''
    const max = count[2] === '' || isOpen ? min : Number(count[3])
    if (max > MOST_REPEATS || min > max) {
      this.fail(`a count goes up, and to ${MOST_REPEATS} at most`)
    }
    this.at += count[0].length
    return { min, max: isOpen ? Number.POSITIVE_INFINITY : max }
  }

  #repeat(piece: Piece, { min, max }: { min: number; max: number }, start: number): Piece {
    let isLazy = (this.#flags & LAZY) !== 0
    if (this.text[this.at] === '?') {
      this.at++
      isLazy = !isLazy
    }
    const copies = max === Number.POSITIVE_INFINITY ? Math.max(1, min) : max
    const isCount = this.text[start] === '{'
    let { repeats } = piece
    if (isCount && max === 0) repeats = 0
    else if (isCount && (min > 0 || Number.isFinite(max))) repeats = copies * Math.max(1, repeats)
    if (isCount && copies >= 2 && repeats > MOST_REPEATS) {
      this.fail(`counts inside counts multiply to more than ${MOST_REPEATS}`, start)
    }
    const node: RegexNode = { kind: 'repeat', of: piece.node, min, max, isLazy }
    return { node, size: this.#checked((piece.size + 1) * Math.max(1, copies) + 1), repeats }
  }

  #checked(size: number): number {
    if (size > MOST_INSTRUCTIONS) this.fail('this regular expression is too large', 0)
    return size
  }

  #atom(char: string, into: Piece[]): void {
    if (char === '(') {
      const group = this.#group()
      if (group !== undefined) into.push(group)
      return
    }
    if (char === '\\') {
      if (this.text[this.at + 1] === 'Q') this.#quoted(into)
      else into.push(pieceOf(this.#escape()))
      return
    }
    into.push(pieceOf(this.#simple(char)))
  }

  #simple(char: string): RegexNode {
    if (char === '[') return { kind: 'bytes', set: readClass(this) }
    const isMultiline = (this.#flags & MULTILINE) !== 0
    switch (char) {
      case '.':
        this.at++
        return (this.#flags & DOT_ALL) !== 0 ? ANY : ANY_BUT_LINE_FEED
      case '^':
        this.at++
        return { kind: 'assert', claim: isMultiline ? BEGIN_LINE : BEGIN_TEXT }
      case '$':
        this.at++
        return { kind: 'assert', claim: isMultiline ? END_LINE : END_TEXT }
      default:
        return this.#literal()
    }
  }

  #literal(): RegexNode {
    const code = this.text.codePointAt(this.at) as number
    this.at += code > 0xffff ? 2 : 1
    return this.#byte(code)
  }

  #byte(code: number): RegexNode {
    if (code > 255 && !this.isFolding) return NOTHING
    const known = this.isFolding ? foldedBytes : plainBytes
    const found = known[code]
    if (found !== undefined) return found
    const set = byteSet()
    addRange(set, code, code)
    if (this.isFolding) foldCase(set, code, code)
    const node: RegexNode = { kind: 'bytes', set }
    if (code <= 255) known[code] = node
    return node
  }

  /** `\Q…\E`: a quantifier after it is about its last character. */
  #quoted(into: Piece[]): void {
    this.at += 2
    const end = this.text.indexOf('\\E', this.at)
    const stop = end < 0 ? this.text.length : end
    while (this.at < stop) into.push(pieceOf(this.#literal()))
    if (end >= 0) this.at += 2
  }

  #escape(): RegexNode {
    const char = this.text[this.at + 1] ?? ''
    const claim = ASSERTIONS[char]
    if (claim !== undefined) {
      this.at += 2
      return { kind: 'assert', claim }
    }
    const set = ESCAPED_CLASS[char]
    if (set !== undefined) {
      this.at += 2
      return { kind: 'bytes', set }
    }
    if (char === 'p' || char === 'P') return { kind: 'bytes', set: readUnicodeClass(this) }
    return this.#byte(readCode(this))
  }

  /** A group, or flags for the rest of the enclosing group: then undefined. */
  #group(): Piece | undefined {
    const start = this.at++
    if (++this.#depth > MOST_NESTED) this.fail('this regular expression nests too deeply', start)
    const outer = this.#flags
    let index = 0
    if (this.text[this.at] !== '?') {
      index = ++this.#groups
    } else if (this.#named(start)) {
      index = ++this.#groups
    } else if (this.#flagged(start)) {
      this.#depth--
      return undefined
    }
    const inner = this.#choice()
    if (this.text[this.at] !== ')') this.fail('this group is never closed', start)
    this.at++
    this.#flags = outer
    this.#depth--
    if (index === 0) return inner
    return { ...inner, node: { kind: 'group', of: inner.node, index }, size: inner.size + 2 }
  }

  #named(start: number): boolean {
    const rest = this.text.slice(this.at, this.at + 3)
    if (/^\?(?:[=!>]|<[=!])/.test(rest)) {
      this.fail('look-around cannot be matched in linear time and is not supported', start)
    }
    if (rest !== '?P<' && !rest.startsWith('?<')) return false
    const begin = this.at + (rest === '?P<' ? 3 : 2)
    const end = this.text.indexOf('>', begin)
    const name = this.text.slice(begin, Math.max(begin, end))
    if (!/^\w+$/.test(name)) this.fail('a group name is expected: (?P<name>…)', start)
    if (this.#names.has(name)) this.fail(`the group name ${name} is used twice`, start)
    this.#names.add(name)
    this.at = end + 1
    return true
  }

  /** Answers true when it was only flags. */
  #flagged(start: number): boolean {
    const head = /\?([imsU]*)(?:-([imsU]+))?([:)])/y
    head.lastIndex = this.at
    const match = head.exec(this.text)
    if (match === null) this.fail('unknown flag or group (?', start)
    for (const letter of match[1] as string) this.#flags |= FLAGS[letter] as number
    for (const letter of match[2] ?? '') this.#flags &= ~(FLAGS[letter] as number)
    this.at += match[0].length
    return match[3] === ')'
  }

  fail(message: string, offset = this.at): never {
    throw new RegexError(offset, message)
  }
}

function pieceOf(node: RegexNode): Piece {
  return { node, size: 1, repeats: 0 }
}
