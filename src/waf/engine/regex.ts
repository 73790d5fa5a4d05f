/**
 * Regular expressions in linear time: re2js for every pattern, compiled when a text first passes its
 * prefilter. A JavaScript RegExp backtracks, and a kilobyte of newlines in some CRS patterns then costs
 * seconds; it is never used on traffic. Captures come from re2js too.
 *
 * Meaning: ModSecurity 2's, a dot takes line feeds and `$` is the end of the text only.
 */
import { RE2JS } from 're2js'

/** Bytes of automaton that one pattern may keep; above it the cache of states starts anew. */
const AUTOMATON_BYTES = 1 << 20

export class LinearRegex {
  readonly source: string
  readonly #flags: number
  #compiled: RE2JS | undefined

  constructor(source: string, ignoreCase = false) {
    this.source = source
    this.#flags = RE2JS.DOTALL | (ignoreCase ? RE2JS.CASE_INSENSITIVE : 0)
  }

  /** @throws when the pattern is not valid or not regular (look-around, back-references) */
  compile(): RE2JS {
    if (this.#compiled === undefined) {
      this.#compiled = RE2JS.compile(this.source, this.#flags)
      limitAutomaton(this.#compiled)
    }
    return this.#compiled
  }

  test(text: string): boolean {
    return this.compile().test(text)
  }

  /** The match and its groups, at most ten; undefined when there is none. */
  capture(text: string): (string | null)[] | undefined {
    const matcher = this.compile().matcher(text)
    if (!matcher.find()) return undefined
    const groups: (string | null)[] = []
    const count = Math.min(9, matcher.groupCount())
    for (let i = 0; i <= count; i++) groups.push(matcher.group(i))
    return groups
  }
}

/** re2js allows 8 MiB a pattern and has no option for it; hundreds of patterns would not fit an isolate. */
function limitAutomaton(compiled: RE2JS): void {
  // Not part of its typings; checked, so that another version of re2js keeps its own default.
  const engine = (compiled as unknown as { re2Input?: { dfa?: Record<string, unknown> } }).re2Input
  const dfa = engine?.dfa
  if (dfa !== undefined && typeof dfa.stateBudget === 'number') {
    dfa.stateBudget = AUTOMATON_BYTES
    dfa.memBudget = AUTOMATON_BYTES
  }
}

/** For selectors such as `TX:/^name_/`: few and short, in any case. */
export function selectorRegex(source: string): LinearRegex {
  return new LinearRegex(source, true)
}
