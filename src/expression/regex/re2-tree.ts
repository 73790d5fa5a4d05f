/**
 * The syntax of a regular expression (RE2's, without Unicode classes), as a tree for the prefilter. It only
 * has to be right about what every match needs; where it does not understand, it gives up and the
 * pattern is never skipped. The matching itself is re2js's.
 */
import { addAll, addRange, type ByteSet, byteSet, complement, foldCase, setOf } from './byte-set.ts'

export type RegexNode =
  | { readonly kind: 'empty' }
  /** One byte out of a set. */
  | { readonly kind: 'bytes'; readonly set: ByteSet }
  | { readonly kind: 'concat'; readonly parts: readonly RegexNode[] }
  | { readonly kind: 'choice'; readonly options: readonly RegexNode[] }
  | { readonly kind: 'repeat'; readonly of: RegexNode; readonly min: number; readonly max: number }

const EMPTY: RegexNode = { kind: 'empty' }
const MAX_NESTING = 250

const DIGIT = setOf([48, 57])
const WORD = setOf([48, 57], [65, 90], [95, 95], [97, 122])
const SPACE = setOf([9, 10], [12, 13], [32, 32])
const ANY = setOf([0, 255])
const CLASSES: Readonly<Record<string, ByteSet>> = {
  d: DIGIT,
  D: complement(DIGIT),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(SPACE),
}
const CONTROL: Readonly<Record<string, number>> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 }

/** @returns undefined when the pattern holds what this reader does not know */
export function parseRegex(pattern: string): RegexNode | undefined {
  const reader = new Reader(pattern)
  try {
    const node = reader.choice({ fold: false }, 0)
    return reader.isAtEnd() ? node : undefined
  } catch (thrown) {
    if (thrown instanceof NotUnderstood) return undefined
    throw thrown
  }
}

class NotUnderstood extends Error {}

interface Flags {
  fold: boolean
}

class Reader {
  readonly #text: string
  #at = 0
  constructor(text: string) {
    this.#text = text
  }

  isAtEnd(): boolean {
    return this.#at === this.#text.length
  }

  choice(outer: Flags, depth: number): RegexNode {
    if (depth > MAX_NESTING) throw new NotUnderstood()
    // (?i) holds to the end of its group, over the bars in between.
    const flags = { ...outer }
    const options = [this.#concat(flags, depth)]
    while (this.#text.charAt(this.#at) === '|') {
      this.#at++
      options.push(this.#concat(flags, depth))
    }
    return options.length === 1 ? (options[0] as RegexNode) : { kind: 'choice', options }
  }

  #concat(flags: Flags, depth: number): RegexNode {
    const parts: RegexNode[] = []
    while (this.#at < this.#text.length) {
      const char = this.#text.charAt(this.#at)
      if (char === '|' || char === ')') break
      const atom = this.#atom(flags, depth)
      if (atom !== undefined) parts.push(this.#repeated(atom))
    }
    return parts.length === 1 ? (parts[0] as RegexNode) : { kind: 'concat', parts }
  }

  #atom(flags: Flags, depth: number): RegexNode | undefined {
    const char = this.#text.charAt(this.#at++)
    switch (char) {
      case '(':
        return this.#group(flags, depth)
      case '[':
        return this.#folded(this.#class(), flags)
      case '.':
        return { kind: 'bytes', set: ANY }
      case '^':
      case '$':
        return EMPTY
      case '\\':
        return this.#escape(flags)
      default:
        return this.#byte(char.charCodeAt(0), flags)
    }
  }

  #byte(code: number, flags: Flags): RegexNode {
    if (code > 255) throw new NotUnderstood()
    return this.#folded(setOf([code, code]), flags)
  }

  #folded(set: ByteSet, flags: Flags): RegexNode {
    if (flags.fold) foldCase(set)
    return { kind: 'bytes', set }
  }

  #group(flags: Flags, depth: number): RegexNode | undefined {
    let inner = flags
    if (this.#text.charAt(this.#at) === '?') {
      const head = /^\?(?:P?<\w+>|([imsU]*)(?:-([imsU]*))?([:)]))/.exec(
        this.#text.slice(this.#at, this.#at + 80),
      )
      if (head === null) throw new NotUnderstood()
      this.#at += head[0].length
      if (head[3] !== undefined) {
        const fold = (head[1]?.includes('i') || flags.fold) && !(head[2]?.includes('i') ?? false)
        if (head[3] === ')') {
          flags.fold = fold
          return undefined
        }
        inner = { fold }
      }
    }
    const node = this.choice(inner, depth + 1)
    if (this.#text.charAt(this.#at) !== ')') throw new NotUnderstood()
    this.#at++
    return node
  }

  #escape(flags: Flags): RegexNode {
    const char = this.#text.charAt(this.#at)
    const set = CLASSES[char]
    if (set !== undefined) {
      this.#at++
      return { kind: 'bytes', set }
    }
    if (/[bBAzZ]/.test(char)) {
      this.#at++
      return EMPTY
    }
    return this.#byte(this.#escapedCode(), flags)
  }

  /** After the backslash: the code of a single escaped byte. */
  #escapedCode(): number {
    const char = this.#text.charAt(this.#at++)
    if (char === 'x') {
      const hex = /^(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]+)\})/.exec(
        this.#text.slice(this.#at, this.#at + 12),
      )
      if (hex === null) throw new NotUnderstood()
      this.#at += hex[0].length
      return Number.parseInt(hex[1] ?? (hex[2] as string), 16)
    }
    if (/[0-7]/.test(char)) {
      const octal = /^[0-7]{1,3}/.exec(this.#text.slice(this.#at - 1, this.#at + 2))?.[0] as string
      if (octal.length < 2 && char !== '0') throw new NotUnderstood()
      this.#at += octal.length - 1
      return Number.parseInt(octal, 8)
    }
    const control = CONTROL[char]
    if (control !== undefined) return control
    if (char === '' || /[A-Za-z0-9]/.test(char)) throw new NotUnderstood()
    return char.charCodeAt(0)
  }

  #class(): ByteSet {
    const set = byteSet()
    const isNegated = this.#text.charAt(this.#at) === '^'
    if (isNegated) this.#at++
    let isFirst = true
    for (;;) {
      const char = this.#text.charAt(this.#at)
      if (char === '') throw new NotUnderstood()
      if (char === ']' && !isFirst) break
      isFirst = false
      if (char === '[' && this.#text.charAt(this.#at + 1) === ':') throw new NotUnderstood()
      const named = char === '\\' ? CLASSES[this.#text.charAt(this.#at + 1)] : undefined
      if (named !== undefined) {
        addAll(set, named)
        this.#at += 2
        continue
      }
      const from = this.#classCode()
      let to = from
      if (this.#text.charAt(this.#at) === '-' && this.#text.charAt(this.#at + 1) !== ']') {
        const next = this.#text.charAt(this.#at + 1) === '\\' ? this.#text.charAt(this.#at + 2) : ''
        if (CLASSES[next] === undefined) {
          this.#at++
          to = this.#classCode()
        }
      }
      addRange(set, from, to)
    }
    this.#at++
    return isNegated ? complement(set) : set
  }

  #classCode(): number {
    const char = this.#text.charAt(this.#at++)
    if (char !== '\\') return char.charCodeAt(0)
    if (this.#text.charAt(this.#at) === 'b') {
      this.#at++
      return 8
    }
    return this.#escapedCode()
  }

  #repeated(atom: RegexNode): RegexNode {
    let node = atom
    for (;;) {
      const rest = this.#text.slice(this.#at, this.#at + 16)
      const match = /^(?:([*+?])|\{(\d+)(,?)(\d*)\})[?+]?/.exec(rest)
      if (match === null) return node
      this.#at += match[0].length
      const [, symbol, low, comma, high] = match
      const min = symbol === '+' ? 1 : symbol === undefined ? Number(low) : 0
      const max =
        symbol === '?'
          ? 1
          : symbol !== undefined || (comma === ',' && high === '')
            ? Number.POSITIVE_INFINITY
            : Number(comma === ',' ? high : low)
      node = { kind: 'repeat', of: node, min, max }
    }
  }
}
