/**
 * Regular expressions over byte strings in linear time, checked when an expression is compiled, built when
 * first used, shared by everything that has the same pattern.
 */
import { LinearRegex } from './linear.ts'
import { needsOf } from './needs.ts'
import { Prefilter } from './prefilter.ts'
import { translateRegex } from './rust-syntax.ts'

export { RegexError } from './regex-error.ts'

export class ByteRegex {
  /** As it was written. */
  readonly pattern: string
  /** The number of capture groups. */
  readonly groups: number
  readonly #re2: LinearRegex
  readonly #literal: string | undefined
  #prefilter: Prefilter | undefined

  /** @throws RegexError */
  constructor(pattern: string) {
    const { pattern: re2, groups, literal } = translateRegex(pattern)
    this.pattern = pattern
    this.groups = groups
    this.#re2 = new LinearRegex(re2)
    this.#literal = literal
  }

  /** Whether the pattern matches somewhere in `bytes`. */
  test(bytes: string): boolean {
    if (this.#literal !== undefined) return bytes.includes(this.#literal)
    return this.#mayMatch(bytes) && this.#re2.test(bytes)
  }

  /** The first match: where it begins, its text, its groups, of these nine at most. */
  exec(bytes: string): { index: number; groups: readonly (string | undefined)[] } | undefined {
    const match = this.#mayMatch(bytes) ? this.#re2.find(bytes) : undefined
    if (match === undefined) return undefined
    return { index: match.index, groups: match.groups.map((group) => group ?? undefined) }
  }

  #mayMatch(bytes: string): boolean {
    this.#prefilter ??= new Prefilter(needsOf(this.#re2.source))
    return this.#prefilter.mayMatch(bytes)
  }
}

/** Workers have no WeakRef everywhere, so the table is emptied when it is full; nothing but sharing is lost. */
const shared = new Map<string, ByteRegex>()
const MOST_SHARED = 4096

/** The regular expression of this pattern, shared. @throws RegexError */
export function byteRegex(pattern: string): ByteRegex {
  const known = shared.get(pattern)
  if (known !== undefined) return known
  const regex = new ByteRegex(pattern)
  if (shared.size >= MOST_SHARED) shared.clear()
  shared.set(pattern, regex)
  return regex
}
