/**
 * What every match of a pattern needs: one of some literals, bytes out of some sets, a least length.
 * The idea is that of RE2's FilteredRE2 and Cox's trigram index (swtch.com/~rsc/regexp/regexp4.html).
 */
import { addAll, addRange, type ByteSet, byteSet, hasByte, sizeOf } from './byte-set.ts'
import { parseRegex, type RegexNode, type SyntaxOptions } from './re2-tree.ts'

export interface Needs {
  /** Any match holds at least one of these, in lower case; null when no such list is known. */
  readonly literals: readonly string[] | null
  /** Any match holds a byte of each. */
  readonly sets: readonly ByteSet[]
  readonly minLength: number
}

const MAX_EXACT = 64
const MAX_EXACT_LENGTH = 24
const MAX_LITERALS = 400
const MAX_SETS = 3

interface Info {
  /** All texts that the node can match, in lower case; null when they are too many. */
  readonly exact: readonly string[] | null
  readonly literals: readonly string[] | null
  readonly sets: readonly ByteSet[]
  readonly min: number
}

/** @throws RegexError */
export function needsOf(pattern: string, options?: SyntaxOptions): Needs {
  const info = analyse(parseRegex(pattern, options).root)
  const literals = better(usable(info.exact), info.literals)
  return { literals, sets: info.sets, minLength: info.min }
}

/** Literals are of use from two bytes on. */
function usable(texts: readonly string[] | null): readonly string[] | null {
  if (texts === null || texts.length === 0 || texts.length > MAX_LITERALS) return null
  return texts.every((text) => text.length >= 2) ? texts : null
}

function score(texts: readonly string[]): number {
  let shortest = 8
  for (const text of texts) shortest = Math.min(shortest, text.length)
  return shortest * 100 - Math.min(90, texts.length)
}

function better(
  a: readonly string[] | null,
  b: readonly string[] | null,
): readonly string[] | null {
  if (a === null) return b
  if (b === null) return a
  return score(a) >= score(b) ? a : b
}

function smallest(sets: readonly ByteSet[]): readonly ByteSet[] {
  if (sets.length <= MAX_SETS) return sets
  return [...sets].sort((a, b) => sizeOf(a) - sizeOf(b)).slice(0, MAX_SETS)
}

function analyse(node: RegexNode): Info {
  switch (node.kind) {
    case 'empty':
    case 'assert':
      return { exact: [''], literals: null, sets: [], min: 0 }
    case 'bytes':
      return analyseBytes(node.set)
    case 'concat':
      return analyseConcat(node.parts.map(analyse))
    case 'choice':
      return analyseChoice(node.options.map(analyse))
    case 'group':
      return analyse(node.of)
    case 'repeat':
      return analyseRepeat(analyse(node.of), node.min, node.max)
  }
}

function analyseBytes(set: ByteSet): Info {
  const size = sizeOf(set)
  const sets = size <= 128 ? [set] : []
  if (size === 0 || size > 16) return { exact: null, literals: null, sets, min: 1 }
  const letters = new Set<string>()
  for (let code = 0; code < 256; code++) {
    if (hasByte(set, code)) letters.add(lower(code))
  }
  return { exact: letters.size <= 10 ? [...letters] : null, literals: null, sets, min: 1 }
}

function lower(code: number): string {
  return String.fromCharCode(code >= 65 && code <= 90 ? code + 32 : code)
}

function analyseConcat(parts: readonly Info[]): Info {
  let run: string[] | null = ['']
  let isWhole = true
  let literals: readonly string[] | null = null
  let min = 0
  const sets: ByteSet[] = []
  for (const part of parts) {
    min += part.min
    sets.push(...part.sets)
    const crossed: string[] | null =
      run === null || part.exact === null ? null : cross(run, part.exact)
    if (crossed !== null) {
      run = crossed
      continue
    }
    isWhole = false
    literals = better(usable(run), better(part.literals, literals))
    run = part.exact === null ? [''] : cross([''], part.exact)
  }
  literals = better(usable(run), literals)
  return { exact: isWhole ? run : null, literals, sets: smallest(sets), min }
}

function cross(left: readonly string[], right: readonly string[]): string[] | null {
  if (left.length * right.length > MAX_EXACT && right.length > 1 && left.length > 1) return null
  if (left.length * right.length > MAX_LITERALS) return null
  const all = new Set<string>()
  for (const a of left) {
    for (const b of right) {
      if (a.length + b.length > MAX_EXACT_LENGTH) return null
      all.add(a + b)
    }
  }
  return [...all]
}

function analyseChoice(options: readonly Info[]): Info {
  let exact: string[] | null = []
  let literals: string[] | null = []
  let min = Number.POSITIVE_INFINITY
  let joined: ByteSet | null = byteSet()
  for (const option of options) {
    min = Math.min(min, option.min)
    exact = exact === null || option.exact === null ? null : [...exact, ...option.exact]
    const needed: readonly string[] | null = better(usable(option.exact), option.literals)
    literals = literals === null || needed === null ? null : [...literals, ...needed]
    const set: ByteSet | undefined = option.sets.reduce<ByteSet | undefined>(
      (best, next) => (best === undefined || sizeOf(next) < sizeOf(best) ? next : best),
      undefined,
    )
    if (set === undefined) joined = null
    else if (joined !== null) addAll(joined, set)
  }
  if (exact !== null) exact = [...new Set(exact)]
  if (literals !== null) literals = [...new Set(literals)]
  return {
    exact: exact !== null && exact.length <= MAX_LITERALS ? exact : null,
    literals: usable(literals),
    sets: joined === null || sizeOf(joined) > 128 ? [] : [joined],
    min,
  }
}

function analyseRepeat(inner: Info, min: number, max: number): Info {
  if (min === 0) {
    const exact = max === 1 && inner.exact !== null ? [...new Set(['', ...inner.exact])] : null
    return { exact, literals: null, sets: [], min: 0 }
  }
  if (min === 1 && max === 1) return inner
  let exact: string[] | null = null
  if (inner.exact !== null && min === max && min <= 8) {
    exact = ['']
    for (let i = 0; i < min && exact !== null; i++) exact = cross(exact, inner.exact)
  }
  return {
    exact,
    literals: better(usable(exact), better(usable(inner.exact), inner.literals)),
    sets: inner.sets,
    min: inner.min * min,
  }
}

/** A set of the bytes of a text. */
export function bytesOf(text: string): ByteSet {
  const set = byteSet()
  for (let i = 0; i < text.length; i++) addRange(set, text.charCodeAt(i), text.charCodeAt(i))
  return set
}
