/**
 * Regular expressions in linear time: re2js for every pattern, compiled when a text first passes its
 * prefilter. A JavaScript RegExp backtracks, and a kilobyte of newlines in some CRS patterns then costs
 * seconds; it is never used on traffic. Captures come from re2js too.
 */
import { RE2JS } from 're2js'
import { type Automaton, AutomatonTable } from './automaton.ts'

/** Bytes of automaton that one pattern may keep; above it the cache of states starts anew. */
const AUTOMATON_BYTES = 1 << 21

export interface LinearOptions {
  /** A dot takes line feeds. */
  readonly dotAll?: boolean
  readonly ignoreCase?: boolean
}

export class LinearRegex {
  readonly source: string
  readonly #flags: number
  readonly #isAnchored: boolean
  #compiled: RE2JS | undefined
  #table: AutomatonTable | undefined
  /** A second program: it keeps what makes captures fast and questions slow. */
  #capturing: RE2JS | undefined

  /** @param source in RE2's syntax */
  constructor(source: string, { dotAll = false, ignoreCase = false }: LinearOptions = {}) {
    this.source = source
    this.#isAnchored = isAnchored(source)
    this.#flags = (dotAll ? RE2JS.DOTALL : 0) | (ignoreCase ? RE2JS.CASE_INSENSITIVE : 0)
  }

  /** @throws when the pattern is not valid or not regular (look-around, back-references) */
  compile(): RE2JS {
    if (this.#compiled === undefined) {
      this.#compiled = RE2JS.compile(this.source, this.#flags)
      const automaton = automatonOf(this.#compiled)
      if (automaton !== undefined) this.#table = new AutomatonTable(automaton, this.#isAnchored)
    }
    return this.#compiled
  }

  test(text: string): boolean {
    const compiled = this.#compiled ?? this.compile()
    const table = this.#table
    if (table === undefined) return compiled.test(text)
    let answer = table.test(text)
    if (answer === undefined && this.#isAnchored) {
      // Asks another question, and adds the transitions that this one needs.
      compiled.testExact(text)
      answer = table.test(text)
    }
    return answer ?? compiled.test(text)
  }

  /** The match and its groups, at most ten; undefined when there is none. */
  capture(text: string): (string | null)[] | undefined {
    this.#capturing ??= RE2JS.compile(this.source, this.#flags)
    const matcher = this.#capturing.matcher(text)
    if (!matcher.find()) return undefined
    const groups: (string | null)[] = []
    const count = Math.min(9, matcher.groupCount())
    for (let i = 0; i <= count; i++) groups.push(matcher.group(i))
    return groups
  }
}

interface Internals {
  onepass: unknown
  readonly prefixComplete: boolean
  prefilter: unknown
  readonly dfa: Partial<Automaton> & { readonly failed?: boolean }
}

function automatonOf(compiled: RE2JS): Automaton | undefined {
  const engine = (compiled as unknown as { re2Input?: Internals }).re2Input
  const dfa = engine?.dfa
  if (engine === undefined || dfa === undefined || dfa.failed !== false) return undefined
  if (typeof dfa.stateBudget === 'number') {
    // It allows 8 MiB a pattern and has no option; hundreds of patterns would not fit an isolate.
    dfa.stateBudget = AUTOMATON_BYTES
    dfa.memBudget = AUTOMATON_BYTES
  }
  // The one-pass engine is for captures; where there is one it would keep the automaton from being built.
  engine.onepass = null
  // Its own look for literals: rules have a prefilter, and behind it a walk is cheaper than its inputs.
  engine.prefilter = null
  const isUsable =
    !engine.prefixComplete &&
    dfa.startStates instanceof Map &&
    dfa.latin1Class instanceof Int32Array &&
    typeof dfa.numClasses === 'number'
  return isUsable ? (dfa as Automaton) : undefined
}

/** Whether the pattern begins with `^` in its only branch. */
export function isAnchored(source: string): boolean {
  const flags = /^\(\?[is]+\)/.exec(source)?.[0].length ?? 0
  if (source.charAt(flags) !== '^') return false
  let depth = 0
  let inClass = false
  for (let i = flags; i < source.length; i++) {
    const char = source.charAt(i)
    if (char === '\\') i++
    else if (inClass) inClass = char !== ']'
    else if (char === '[') {
      inClass = true
      // A bracket that comes first, or after the caret, is a member of the class.
      if (source.charAt(i + 1) === '^') i++
      if (source.charAt(i + 1) === ']') i++
    } else if (char === '(') depth++
    else if (char === ')') depth--
    else if (char === '|' && depth === 0) return false
  }
  // `^*` and `^?` would not anchor.
  return !/^[*?{]/.test(source.slice(flags + 1))
}
