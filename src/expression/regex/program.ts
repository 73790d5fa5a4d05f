/**
 * A pattern as a program for Thompson's machine (Cox, swtch.com/~rsc/regexp/regexp2.html): written from its
 * end to its beginning, so that every instruction knows what follows it and equal endings are one.
 */
import { addAll, type ByteSet, byteSet, hasByte } from './byte-set.ts'
import {
  BEGIN_LINE,
  BEGIN_TEXT,
  BOUNDARY,
  MOST_INSTRUCTIONS,
  NO_BOUNDARY,
  type RegexNode,
  type RegexTree,
  type Repeat,
} from './re2-tree.ts'
import { RegexError } from './regex-error.ts'

export const MATCH = 0
/** A byte of set `arg`, then `out`. */
export const BYTE = 1
/** `out`, and if that fails `arg`. */
export const SPLIT = 2
/** The position goes into slot `arg`. */
export const SAVE = 3
/** Goes on if the claim `arg` holds. */
export const ASSERT = 4

/** The whole match and nine groups. */
export const MOST_GROUPS = 9

export interface Program {
  readonly start: number
  readonly ops: Uint8Array
  readonly outs: Uint16Array
  readonly args: Uint16Array
  /** Eight words for each set. */
  readonly sets: Uint32Array
  /** All claims that are made somewhere. */
  readonly claims: number
  /** Captured positions: two for the match and for each group that is kept. */
  readonly slots: number
  /** Bytes that a match can begin with; undefined when it may begin with none. */
  readonly first: ByteSet | undefined
  /** A match begins at the begin of the text only. */
  readonly isAnchored: boolean
  /** What every match begins with, wherever it stands; maybe empty. */
  readonly prefix: string
}

export function compileTree({ root, groups }: RegexTree): Program {
  return new Compiler(Math.min(groups, MOST_GROUPS)).compile(root)
}

const EMPTY: RegexNode = { kind: 'empty' }

class Compiler {
  readonly #ops: number[] = []
  readonly #outs: number[] = []
  readonly #args: number[] = []
  readonly #sets: ByteSet[] = []
  readonly #setOf = new Map<ByteSet | string, number>()
  /** By set and what follows. */
  readonly #bytes = new Map<number, number>()
  readonly #groups: number
  #claims = 0

  constructor(groups: number) {
    this.#groups = groups
  }

  compile(root: RegexNode): Program {
    const start = this.#write(root, this.#add(MATCH, 0, 0))
    const sets = new Uint32Array(this.#sets.length * 8)
    for (const [i, set] of this.#sets.entries()) sets.set(set, i * 8)
    const code = {
      start,
      ops: Uint8Array.from(this.#ops),
      outs: Uint16Array.from(this.#outs),
      args: Uint16Array.from(this.#args),
    }
    return {
      ...code,
      sets,
      claims: this.#claims,
      slots: 2 * (this.#groups + 1),
      ...this.#begin(start),
    }
  }

  #add(op: number, out: number, arg: number): number {
    if (this.#ops.length >= MOST_INSTRUCTIONS) {
      throw new RegexError(0, 'this regular expression is too large')
    }
    this.#outs.push(out)
    this.#args.push(arg)
    return this.#ops.push(op) - 1
  }

  /** Writes what matches `node` and then goes on at `next`. @returns where it begins */
  #write(node: RegexNode, next: number): number {
    switch (node.kind) {
      case 'empty':
        return next
      case 'bytes':
        return this.#byte(node.set, next)
      case 'assert':
        this.#claims |= node.claim
        return this.#add(ASSERT, next, node.claim)
      case 'group': {
        if (node.index > this.#groups) return this.#write(node.of, next)
        const end = this.#add(SAVE, next, node.index * 2 + 1)
        return this.#add(SAVE, this.#write(node.of, end), node.index * 2)
      }
      case 'concat': {
        let at = next
        for (let i = node.parts.length - 1; i >= 0; i--) {
          at = this.#write(node.parts[i] as RegexNode, at)
        }
        return at
      }
      case 'choice':
        return this.#choice(node.options, next)
      case 'repeat':
        return this.#repeat(simplified(node), next)
    }
  }

  #byte(set: ByteSet, next: number): number {
    const index = this.#index(set)
    const key = next * 65_536 + index
    const known = this.#bytes.get(key)
    if (known !== undefined) return known
    const at = this.#add(BYTE, next, index)
    this.#bytes.set(key, at)
    return at
  }

  #index(set: ByteSet): number {
    let index = this.#setOf.get(set)
    if (index === undefined) {
      const text = set.join()
      index = this.#setOf.get(text)
      if (index === undefined) {
        index = this.#sets.push(set) - 1
        this.#setOf.set(text, index)
      }
      this.#setOf.set(set, index)
    }
    return index
  }

  #choice(options: readonly RegexNode[], next: number): number {
    const starts: number[] = []
    for (const option of factored(options)) starts.push(this.#write(option, next))
    let at = starts.pop() as number
    while (starts.length > 0) at = this.#add(SPLIT, starts.pop() as number, at)
    return at
  }

  #repeat(node: RegexNode, next: number): number {
    if (node.kind !== 'repeat') return this.#write(node, next)
    const { of, min, max, isLazy } = node
    let at = next
    if (max === Number.POSITIVE_INFINITY) {
      at = this.#loop(of, min === 0, isLazy, next)
      for (let i = 1; i < min; i++) at = this.#write(of, at)
      return at
    }
    // x{2,4} is xx(x(x)?)?, and each may stop.
    for (let i = min; i < max; i++) at = this.#split(this.#write(of, at), next, isLazy)
    for (let i = 0; i < min; i++) at = this.#write(of, at)
    return at
  }

  #loop(of: RegexNode, mayBeNone: boolean, isLazy: boolean, next: number): number {
    const split = this.#add(SPLIT, next, next)
    const body = this.#write(of, split)
    if (isLazy) this.#args[split] = body
    else this.#outs[split] = body
    if (!mayBeNone) return body
    // What can be empty is tried once before it is passed by, as in Perl: (|a)*.
    return isNullable(of) ? this.#split(body, next, isLazy) : split
  }

  #split(body: number, next: number, isLazy: boolean): number {
    return isLazy ? this.#add(SPLIT, next, body) : this.#add(SPLIT, body, next)
  }

  #begin(start: number): Pick<Program, 'first' | 'isAnchored' | 'prefix'> {
    const anywhere = this.#reach(start, false)
    const { first, isEnd } = this.#reach(start, true)
    const isAnchored = anywhere.first === undefined && !anywhere.isEnd
    return {
      first: isEnd ? undefined : (first ?? byteSet()),
      isAnchored,
      prefix: this.#prefix(start),
    }
  }

  /** What can follow at once: bytes, or the end of the match. */
  #reach(start: number, isAtBegin: boolean): { first: ByteSet | undefined; isEnd: boolean } {
    let first: ByteSet | undefined
    let isEnd = false
    const seen = new Set<number>()
    const stack = [start]
    while (stack.length > 0) {
      const at = stack.pop() as number
      if (seen.has(at)) continue
      seen.add(at)
      const op = this.#ops[at]
      const arg = this.#args[at] as number
      if (op === MATCH) {
        isEnd = true
      } else if (op === BYTE) {
        first ??= byteSet()
        addAll(first, this.#sets[arg] as ByteSet)
      } else if (op !== ASSERT || arg !== BEGIN_TEXT || isAtBegin) {
        stack.push(this.#outs[at] as number)
        if (op === SPLIT) stack.push(arg)
      }
    }
    return { first, isEnd }
  }

  #prefix(start: number): string {
    let prefix = ''
    let at = start
    for (;;) {
      const op = this.#ops[at]
      if (op === BYTE) {
        const byte = onlyByte(this.#sets[this.#args[at] as number] as ByteSet)
        if (byte < 0) return prefix
        prefix += String.fromCharCode(byte)
      } else if (op !== SAVE) {
        return prefix
      }
      at = this.#outs[at] as number
    }
  }
}

function onlyByte(set: ByteSet): number {
  let only = -1
  for (let code = 0; code < 256; code++) {
    if (!hasByte(set, code)) continue
    if (only >= 0) return -1
    only = code
  }
  return only
}

/** Of neighbours that begin alike the beginning is written once. */
function factored(options: readonly RegexNode[]): readonly RegexNode[] {
  const result: RegexNode[] = []
  for (let i = 0; i < options.length; ) {
    const option = options[i] as RegexNode
    const head = headOf(option)
    let end = i + 1
    while (head !== undefined && end < options.length) {
      if (headOf(options[end] as RegexNode) !== head) break
      end++
    }
    if (end === i + 1) {
      result.push(option)
    } else {
      const tails = options.slice(i, end).map(tailOf)
      result.push({
        kind: 'concat',
        parts: [head as RegexNode, { kind: 'choice', options: tails }],
      })
    }
    i = end
  }
  return result
}

/** Nodes of single bytes are shared by the parser, so that identity tells equality. */
function headOf(node: RegexNode): RegexNode | undefined {
  const first = node.kind === 'concat' ? node.parts[0] : node
  return first?.kind === 'bytes' ? first : undefined
}

function tailOf(node: RegexNode): RegexNode {
  return node.kind === 'concat' ? { kind: 'concat', parts: node.parts.slice(1) } : EMPTY
}

/** As RE2 does, since it decides what groups hold: `(?:a*)*` is `a*`, `(?:)*` is empty, `a{0}` too. */
function simplified(node: Repeat): RegexNode {
  if (node.max === 0) return EMPTY
  const of = node.of.kind === 'repeat' ? simplified(node.of) : node.of
  if (of.kind === 'empty' || (node.min === 1 && node.max === 1)) return of
  const isSame =
    of.kind === 'repeat' && of.isLazy === node.isLazy && of.min === node.min && of.max === node.max
  const isSimple = node.min <= 1 && (node.max === 1 || node.max === Number.POSITIVE_INFINITY)
  return isSame && isSimple ? of : { ...node, of }
}

function isNullable(node: RegexNode): boolean {
  switch (node.kind) {
    case 'empty':
    case 'assert':
      return true
    case 'bytes':
      return false
    case 'group':
      return isNullable(node.of)
    case 'concat':
      return node.parts.every(isNullable)
    case 'choice':
      return node.options.some(isNullable)
    case 'repeat':
      return node.min === 0 || isNullable(node.of)
  }
}

/** Whether `byte` is in set `set` of the program. */
export function isIn(sets: Uint32Array, set: number, byte: number): boolean {
  return (((sets[(set << 3) | (byte >> 5)] as number) >>> (byte & 31)) & 1) !== 0
}

export function isWordByte(code: number): boolean {
  return (
    (code >= 97 && code <= 122) ||
    (code >= 65 && code <= 90) ||
    (code >= 48 && code <= 57) ||
    code === 95
  )
}

/** Claims that depend on what stands before the position only. */
export const BACKWARD = BEGIN_TEXT | BEGIN_LINE
/** Claims that ask about words. */
export const WORDS = BOUNDARY | NO_BOUNDARY
