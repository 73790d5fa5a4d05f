/** Seeded patterns over all of RE2's syntax and texts that come near to matching them, for comparisons with re2js. */
import { RE2JS } from 're2js'
import { toBytes } from '../bytes.ts'
import { Captures } from './captures.ts'
import { type LinearOptions, LinearRegex } from './linear.ts'
import { needsOf } from './needs.ts'
import { Prefilter } from './prefilter.ts'
import { compileTree } from './program.ts'
import { parseRegex, type RegexTree } from './re2-tree.ts'
import { RegexError } from './regex-error.ts'

/** xorshift32: equal seeds give equal cases. */
export class Random {
  #state: number
  constructor(seed: number) {
    this.#state = seed | 1
  }

  below(count: number): number {
    this.#state ^= this.#state << 13
    this.#state ^= this.#state >>> 17
    this.#state ^= this.#state << 5
    return (this.#state >>> 0) % count
  }

  of<T>(all: readonly T[]): T {
    return all[this.below(all.length)] as T
  }
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '')
}

const ATOMS = [
  ...words(String.raw`a b c ab ba A k s 0 _ . . ^ ^ $ $ \b \B \A \z \d \D \w \W \s \S \n \t \x61 \x{62}
    \xe9 \x{17f} \x{212a} \x{178} \x00 \141 \07 \. \- \Qa.b\E \Q*\E \Q\E (?i) (?-i) (?m) (?s) (?U)
    (?i-s) () (?:) \pL \p{Lu} \PN \p{^Ll} \p{Greek} { }`),
  ...[' ', '\xe9', '\xc9', '\xff', '\xb5', '\xdf'],
]
const CLASS_PARTS = [
  ...words(String.raw`a b a-c A-Z 0-9 _ - \d \w \S \n \x00-\x1f ^ . [:alpha:] [:^digit:] [:space:]
    [:word:] \] \x80-\xff \pL \P{Lu} \x{100}-\x{200} k [`),
  ...[' ', '\xe0-\xef'],
]
const QUANTIFIERS = words('* + ? *? +? ?? {0} {2} {0,2} {1,3}? {2,} {0,}? {1} {3}')
const GROUPS = words('( ( (?: (?: (?i: (?s: (?m: (?U: (?-i: (?P<n> (?<m>')
/** What may stand anywhere and mostly is an error. */
const WILD =
  words(String.raw`(?= (?! (?<= (?<! (?> \1 \8 \y \C \ ( ) [ ] | * ++ {1001} {2,1} {,2} {01}
  (?-) (?) (?i (?z) [[:foo:]] [b-a] [a-\d] \xg \x{110000} \x{} \p \p{Foo} (?P<n (?P<>a) [\b]
  \é é 😀 {500}{500}`)

/** With flags for the whole of it, often. */
export function pattern(random: Random): string {
  return random.of(['', '', '', '(?m)', '(?sm)', '(?im)']) + part(random, 4)
}

function part(random: Random, depth: number): string {
  const choice = random.below(depth <= 0 ? 3 : 14)
  switch (choice) {
    case 3:
    case 4:
    case 5:
    case 6:
      return part(random, depth - 1) + part(random, depth - 1)
    case 7:
    case 8:
      return `${random.of(GROUPS)}${part(random, depth - 1)}|${part(random, depth - 1)})`
    case 9:
      return `${random.of(GROUPS)}${part(random, depth - 1)})`
    case 10:
    case 11:
    case 12:
      return `(?:${part(random, depth - 1)})${random.of(QUANTIFIERS)}`
    case 13:
      return `${part(random, depth - 1)}|${part(random, depth - 1)}`
    case 2:
      return characterClass(random)
    default:
      if (random.below(60) === 0) return random.of(WILD)
      return random.of(ATOMS) + (random.below(3) === 0 ? random.of(QUANTIFIERS) : '')
  }
}

function characterClass(random: Random): string {
  let text = random.below(3) === 0 ? '[^' : '['
  for (let i = random.below(3); i >= 0; i--) text += random.of(CLASS_PARTS)
  return `${text}]`
}

const PIECES = [
  ...words('a b c A B ab k K s S 0 9 _ . - * a.b ] ^ { {01}'),
  ...words('\xe9 \xc9 \xff \xb5 \xdf \x00 \x07'),
  ...[' ', '\n', '\n', '\t'],
]

export function text(random: Random, most = 9): string {
  let made = ''
  for (let i = random.below(most); i > 0; i--) {
    made += random.below(12) === 0 ? String.fromCharCode(random.below(256)) : random.of(PIECES)
  }
  return made
}

/** Pieces of a pattern itself, literals mostly, among others: texts that nearly match it. */
export function textNear(source: string, random: Random): string {
  let made = ''
  for (let i = random.below(6); i >= 0; i--) {
    const from = random.below(source.length)
    const piece = source.slice(from, from + 1 + random.below(12))
    made += random.below(3) === 0 ? piece : piece.replace(/\\[a-zA-Z]|[\\()[\]?*+^$|]/g, '')
    if (random.below(3) === 0) made += random.of([...' \'"(=/\n;<1x'])
  }
  const bytes = toBytes(made)
  return random.below(4) === 0 ? bytes.replace(/[a-z]/g, (letter) => letter.toUpperCase()) : bytes
}

/** Beyond re2js's own, for what it accepts: sizes. */
const LIMITS = /too large|nests too deeply/

export interface Oracle {
  readonly source: string
  readonly options: LinearOptions
  /** Undefined when neither accepts the pattern. */
  readonly ask: ((text: string) => { ours: unknown; theirs: unknown }) | undefined
}

/** Both engines with one pattern. @throws when only one of them accepts it */
export function oracle(source: string, options: LinearOptions = {}): Oracle {
  const flags =
    (options.dotAll ? RE2JS.DOTALL : 0) | (options.ignoreCase ? RE2JS.CASE_INSENSITIVE : 0)
  let tree: RegexTree | undefined
  let theirs: RE2JS | undefined
  let reason = ''
  try {
    tree = parseRegex(source, options)
  } catch (thrown) {
    if (!(thrown instanceof RegexError)) throw thrown
    if (LIMITS.test(thrown.message)) return { source, options, ask: undefined }
    reason = thrown.message
  }
  try {
    theirs = RE2JS.compile(source, flags)
  } catch (thrown) {
    if (tree !== undefined) throw new Error(`only ours takes ${JSON.stringify(source)}: ${thrown}`)
  }
  if (tree === undefined || theirs === undefined) {
    if (theirs !== undefined) throw new Error(`ours refuses ${JSON.stringify(source)}: ${reason}`)
    return { source, options, ask: undefined }
  }
  const regex = new LinearRegex(source, options)
  const captures = new Captures(compileTree(tree))
  const mayMatch = new Prefilter(needsOf(source, options))
  const { groups } = tree
  const ask = (bytes: string) => {
    const matcher = (theirs as RE2JS).matcher(bytes)
    const found = matcher.find()
    const expected = [matcher.groupCount(), found, found ? matcher.start() : -1]
    for (let i = 0; found && i <= Math.min(9, groups); i++) expected.push(matcher.group(i) as never)
    const match = regex.find(bytes)
    const got = [groups, regex.test(bytes), match?.index ?? -1, ...(match?.groups ?? [])]
    const ours = [got, [...(captures.simulate(bytes) ?? [])]]
    // Either way of finding groups says the same, and the prefilter skips no match.
    const slots = [...(captures.backtrack(bytes) ?? [])]
    const isSkipped = found && !mayMatch.mayMatch(bytes)
    return { ours, theirs: [isSkipped ? 'skipped' : expected, slots] }
  }
  return { source, options, ask }
}
