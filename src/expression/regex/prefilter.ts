/**
 * A cheap question before the expensive one: whether a text holds what every match of a pattern needs. It
 * is asked of V8's own regular expressions, in forms that never backtrack: one class, or alternative
 * literals; each looks at a byte a bounded number of times.
 */
import { type ByteSet, hasByte, sizeOf } from './byte-set.ts'
import type { Needs } from './needs.ts'

/** More alternatives than this cost more than they save. */
const MAX_LITERALS = 64
/** A set of more bytes is in nearly every text. */
const MAX_SET = 64

export class Prefilter {
  readonly #minLength: number
  /** Each must be found. */
  readonly #signs: readonly RegExp[]

  constructor({ literals, sets, minLength }: Needs) {
    this.#minLength = minLength
    const signs: RegExp[] = []
    const best = [...sets].sort((a, b) => sizeOf(a) - sizeOf(b))[0]
    if (literals !== null && literals.length <= MAX_LITERALS) {
      // Folding letters outside ASCII as well finds more than is there, never less.
      signs.push(new RegExp(literals.map(escaped).join('|'), 'i'))
    } else if (best !== undefined && sizeOf(best) <= MAX_SET) {
      signs.push(new RegExp(`[${classOf(best)}]`))
    }
    this.#signs = signs
  }

  /** False only when the pattern cannot match. */
  mayMatch(bytes: string): boolean {
    if (bytes.length < this.#minLength) return false
    for (const sign of this.#signs) if (!sign.test(bytes)) return false
    return true
  }
}

function escaped(literal: string): string {
  let text = ''
  for (let i = 0; i < literal.length; i++) text += hex(literal.charCodeAt(i))
  return text
}

function classOf(set: ByteSet): string {
  let text = ''
  for (let code = 0; code < 256; code++) if (hasByte(set, code)) text += hex(code)
  return text
}

function hex(code: number): string {
  return `\\x${code.toString(16).padStart(2, '0')}`
}
