/** Rule targets: `ARGS`, `&ARGS:x`, `!REQUEST_HEADERS:Cookie`, `TX:/regex/`, parsed and compiled to selections. */
import { type LinearOptions, LinearRegex } from '../../expression/regex/linear.ts'
import { parseRegex } from '../../expression/regex/re2-tree.ts'
import { RegexError } from '../../expression/regex/regex-error.ts'
import type { Value } from './values.ts'
import { makeValue } from './values.ts'
import { type VariableKind, type VariableName, variableByName } from './variables.ts'

/** Selectors such as `TX:/^name_/`: in any case. */
export const SELECTOR: LinearOptions = { dotAll: true, ignoreCase: true }

export interface ParsedTarget {
  readonly variable: VariableKind & { readonly name: VariableName }
  readonly isCount: boolean
  readonly isExclusion: boolean
  /** Lower-case member name; for XML the XPath as written. */
  readonly key: string | undefined
  readonly regex: string | undefined
}

/** @returns undefined, with the reason given to `fail`, when it is not a target */
export function parseTarget(text: string, fail: (message: string) => never): ParsedTarget {
  const match = /^([!&]?)([A-Za-z_]+)(?:[:.]([\s\S]*))?$/.exec(text)
  const variable = match === null ? undefined : variableByName(match[2] as string)
  if (match === null || variable === undefined) {
    return fail(`the variable ${text} is not known`)
  }
  const selector = match[3]
  if (selector !== undefined && !variable.isCollection) {
    fail(`the variable ${variable.name} has no members`)
  }
  const isRegex =
    variable.name !== 'XML' && selector !== undefined && /^\/[\s\S]*\/$/.test(selector)
  if (variable.name === 'XML' && selector !== undefined && !/^(\/\*|\/\/@\*)$/.test(selector)) {
    fail(`the XPath ${selector} is not supported: only /* and //@* are`)
  }
  const regex = isRegex ? selector.slice(1, -1) : undefined
  if (regex !== undefined) checkedRegex(regex, () => parseRegex(regex, SELECTOR), fail)
  return {
    variable,
    isCount: match[1] === '&',
    isExclusion: match[1] === '!',
    key: isRegex || selector === undefined || selector === '' ? undefined : selector.toLowerCase(),
    regex,
  }
}

/** What `read` makes of a pattern; `fail` is told when it cannot be used. */
export function checkedRegex<T>(
  pattern: string,
  read: () => T,
  fail: (message: string) => never,
): T {
  try {
    return read()
  } catch (thrown) {
    if (!(thrown instanceof RegexError)) throw thrown
    return fail(
      `the regular expression /${pattern}/: ${thrown.message}, at offset ${thrown.offset}`,
    )
  }
}

/** What a member's key must satisfy. */
class Selector {
  readonly key: string | undefined
  readonly #regex: LinearRegex | undefined
  constructor(target: ParsedTarget) {
    this.key = target.key
    this.#regex = target.regex === undefined ? undefined : new LinearRegex(target.regex, SELECTOR)
  }

  accepts(key: string): boolean {
    if (this.key !== undefined) return this.key === key
    return this.#regex === undefined || this.#regex.test(key)
  }
}

export class Selection {
  readonly variable: VariableKind & { readonly name: VariableName }
  /** The one member that is asked for, when it is one. */
  readonly key: string | undefined
  readonly #isCount: boolean
  readonly #selector: Selector
  readonly #exclusions: readonly Selector[]
  readonly #countName: string
  readonly #accepted = new Map<string, boolean>()

  constructor(target: ParsedTarget, exclusions: readonly ParsedTarget[]) {
    this.variable = target.variable
    this.key = target.key
    this.#isCount = target.isCount
    this.#selector = new Selector(target)
    this.#exclusions = exclusions.map((exclusion) => new Selector(exclusion))
    this.#countName = `&${target.variable.name}${target.key === undefined ? '' : `:${target.key}`}`
  }

  /** Adds what is selected out of the variable's values. */
  select(from: readonly Value[], into: Value[]): void {
    if (
      !this.#isCount &&
      this.#exclusions.length === 0 &&
      this.#selector.key === undefined &&
      !this.variable.isCollection
    ) {
      for (const value of from) into.push(value)
      return
    }
    let count = 0
    for (const value of from) {
      if (!this.#selector.accepts(value.key) || this.excludes(value.key)) continue
      count++
      if (!this.#isCount) into.push(value)
    }
    if (this.#isCount) into.push(makeValue(this.#countName, '', String(count)))
  }

  /** Whether a member of that name can be selected; answers are kept, for variables with few names. */
  acceptsName(name: string): boolean {
    const known = this.#accepted.get(name)
    if (known !== undefined) return known
    const accepts = this.#selector.accepts(name) && !this.excludes(name)
    // Names may come from the request: the memory for them is bounded.
    if (this.#accepted.size >= 1024) this.#accepted.clear()
    this.#accepted.set(name, accepts)
    return accepts
  }

  excludes(key: string): boolean {
    for (const exclusion of this.#exclusions) if (exclusion.accepts(key)) return true
    return false
  }
}

/** The targets of a rule, in order, with their exclusions. Equal lists are one object. */
export class TargetSet {
  readonly index: number
  readonly selections: readonly Selection[]
  readonly isVolatile: boolean

  constructor(index: number, targets: readonly ParsedTarget[]) {
    this.index = index
    this.selections = targets
      .filter((target) => !target.isExclusion)
      .map(
        (target) =>
          new Selection(
            target,
            targets.filter((other) => other.isExclusion && other.variable === target.variable),
          ),
      )
    this.isVolatile = this.selections.some((selection) => selection.variable.isVolatile)
  }
}

/** A target that a run-time control takes from a rule. */
export class TargetRemoval {
  readonly variable: VariableKind
  readonly #selector: Selector
  constructor(target: ParsedTarget) {
    this.variable = target.variable
    this.#selector = new Selector(target)
  }

  removes(value: Value): boolean {
    const colon = value.name.indexOf(':')
    const variable = colon < 0 ? value.name : value.name.slice(0, colon)
    return variable === this.variable.name && this.#selector.accepts(value.key)
  }
}
