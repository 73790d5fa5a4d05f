/**
 * Regular expressions over byte strings in linear time (re2js), checked when an expression is compiled,
 * built when first used, shared by everything that has the same pattern.
 */
import { RE2JS } from 're2js'
import { LinearRegex } from './linear.ts'
import { needsOf } from './needs.ts'
import { Prefilter } from './prefilter.ts'
import { translateRegex } from './rust-syntax.ts'

export { RegexError } from './rust-syntax.ts'

export class ByteRegex {
  /** As it was written. */
  readonly pattern: string
  /** The number of capture groups. */
  readonly groups: number
  readonly #re2: LinearRegex
  readonly #literal: string | undefined
  readonly #prefilter: Prefilter
  /** A second program: what makes captures fast makes questions slow. */
  #capturing: RE2JS | undefined

  /** @throws RegexError */
  constructor(pattern: string) {
    const { pattern: re2, groups, literal } = translateRegex(pattern)
    this.pattern = pattern
    this.groups = groups
    this.#re2 = new LinearRegex(re2)
    this.#literal = literal
    this.#prefilter = new Prefilter(needsOf(re2))
  }

  /** Whether the pattern matches somewhere in `bytes`. */
  test(bytes: string): boolean {
    if (this.#literal !== undefined) return bytes.includes(this.#literal)
    return this.#prefilter.mayMatch(bytes) && this.#re2.test(bytes)
  }

  /** The first match: where it begins, its text, its groups. */
  exec(bytes: string): { index: number; groups: readonly (string | undefined)[] } | undefined {
    if (!this.#prefilter.mayMatch(bytes)) return undefined
    this.#capturing ??= RE2JS.compile(this.#re2.source)
    const match = this.#capturing.exec(bytes) as (string[] & { index: number }) | null
    return match === null ? undefined : { index: match.index, groups: match }
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
