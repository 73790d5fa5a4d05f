/**
 * Regular expressions in RE2's syntax over texts of bytes, in linear time: compiled when first asked. A
 * JavaScript RegExp backtracks, and a kilobyte of newlines in some CRS patterns then costs seconds; it is
 * never used on traffic. Of a character above U+00FF the low byte counts.
 */
import { Automaton } from './automaton.ts'
import { Captures } from './captures.ts'
import { compileTree, type Program } from './program.ts'
import { parseRegex, type SyntaxOptions } from './re2-tree.ts'

export type LinearOptions = SyntaxOptions

export interface LinearMatch {
  readonly index: number
  /** The match and its groups, at most ten. */
  readonly groups: (string | null)[]
}

export class LinearRegex {
  readonly source: string
  readonly #options: LinearOptions
  #program: Program | undefined
  #automaton: Automaton | undefined
  #captures: Captures | undefined

  /** @param source in RE2's syntax */
  constructor(source: string, options: LinearOptions = {}) {
    this.source = source
    this.#options = options
  }

  /** @throws RegexError when the pattern is not valid or not regular (look-around, back-references) */
  test(text: string): boolean {
    this.#automaton ??= new Automaton(this.#compiled())
    return this.#automaton.test(text)
  }

  /** The first match. @throws RegexError */
  find(text: string): LinearMatch | undefined {
    // Most texts do not match, and the automaton is the quickest to say so.
    if (!this.test(text)) return undefined
    this.#captures ??= new Captures(this.#compiled())
    const slots = this.#captures.find(text)
    if (slots === undefined) return undefined
    const groups: (string | null)[] = []
    for (let i = 0; i < slots.length; i += 2) {
      const end = slots[i + 1] as number
      groups.push(end < 0 ? null : text.slice(slots[i], end))
    }
    return { index: slots[0] as number, groups }
  }

  /** The match and its groups, at most ten; undefined when there is none. @throws RegexError */
  capture(text: string): (string | null)[] | undefined {
    return this.find(text)?.groups
  }

  /** Instructions that its questions have looked at, besides each byte once. */
  get work(): number {
    return (this.#automaton?.work ?? 0) + (this.#captures?.work ?? 0)
  }

  #compiled(): Program {
    this.#program ??= compileTree(parseRegex(this.source, this.#options))
    return this.#program
  }
}
