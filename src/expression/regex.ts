/**
 * Regular expressions over byte strings in linear time (re2js), checked when an expression is compiled,
 * built when first used, shared by everything that has the same pattern.
 */
import { RE2JS } from 're2js'
import { translateRegex } from './regex-syntax.ts'

export { RegexError } from './regex-syntax.ts'

export class ByteRegex {
  /** As it was written. */
  readonly pattern: string
  /** The number of capture groups. */
  readonly groups: number
  readonly #re2: string
  readonly #literal: string | undefined
  #compiled: RE2JS | undefined

  /** @throws RegexError */
  constructor(pattern: string) {
    const { pattern: re2, groups, literal } = translateRegex(pattern)
    this.pattern = pattern
    this.groups = groups
    this.#re2 = re2
    this.#literal = literal
  }

  /** Whether the pattern matches somewhere in `bytes`. */
  test(bytes: string): boolean {
    if (this.#literal !== undefined) return bytes.includes(this.#literal)
    return this.#engine().test(bytes)
  }

  /** The first match: where it begins, its text, its groups. */
  exec(bytes: string): { index: number; groups: readonly (string | undefined)[] } | undefined {
    const match = this.#engine().exec(bytes) as (string[] & { index: number }) | null
    return match === null ? undefined : { index: match.index, groups: match }
  }

  #engine(): RE2JS {
    this.#compiled ??= RE2JS.compile(this.#re2)
    return this.#compiled
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
