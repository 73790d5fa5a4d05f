/**
 * What can be decided once: paranoia levels and other settings are TX variables that rules read at every
 * request, though nothing ever changes them. Rules whose conditions are constant are carried out here;
 * their variables become the initial state, and what they skip is left out.
 */
import { hasMacro, toInteger } from './macros.ts'
import type { SeclangLink, SeclangMarker, SeclangRule } from './rule-schema.ts'

export type Entry = SeclangRule | SeclangMarker

export interface Pruned {
  readonly entries: readonly Entry[]
  /** TX variables at the start of each transaction, by lower-case name. */
  readonly tx: ReadonlyMap<string, string>
  /** Ids of rules that no request can come to: without them, everything else stays as it is. */
  readonly unused: ReadonlySet<number>
}

function linksOf(rule: SeclangRule): readonly SeclangLink[] {
  return [rule, ...(rule.chain ?? [])]
}

function isMarker(entry: Entry): entry is SeclangMarker {
  return 'marker' in entry
}

/** Lower-case TX name of a setvar, or undefined for another collection. */
function txName(variable: string): string | undefined {
  const match = /^tx[.:](.+)$/is.exec(variable)
  return match?.[1]?.toLowerCase()
}

/**
 * @param settings TX variables that the config fixes; rules cannot change them
 */
export function prune(source: readonly Entry[], settings: ReadonlyMap<string, string>): Pruned {
  const pruner = new Pruner(source, settings)
  return pruner.run()
}

class Pruner {
  readonly #source: readonly Entry[]
  readonly #settings: ReadonlyMap<string, string>
  readonly #known: Map<string, string>
  /** Names that a rule which stays may set, and beginnings of names made at run time. */
  #mutable = new Set<string>()
  #prefixes: string[] = []
  #kept: readonly Entry[] = []
  readonly #replaced = new Map<Entry, SeclangRule>()
  readonly #unused = new Set<number>()

  constructor(source: readonly Entry[], settings: ReadonlyMap<string, string>) {
    this.#source = source.map((entry) => (isMarker(entry) ? entry : withoutPinned(entry, settings)))
    this.#settings = settings
    this.#known = new Map(settings)
  }

  run(): Pruned {
    // An initialiser that turns out not to be certain to run makes its names variable; then the
    // decisions that rested on them are made again.
    const uncertain = new Set<Entry>()
    for (;;) {
      this.#known.clear()
      for (const [name, value] of this.#settings) this.#known.set(name, value)
      this.#findMutable(uncertain)
      const first = this.#pass((entry) => entry.phase === 1)
      const found = first.filter(
        (entry) => !isMarker(entry) && this.#isInitialiser(entry) && !uncertain.has(entry),
      )
      if (found.length === 0) break
      for (const entry of found) uncertain.add(entry)
    }
    const initial = new Map(this.#known)
    const early = new Set(this.#kept)
    const others = new Map<Entry, Entry>()
    this.#pass((entry) => entry.phase !== 1, others)
    const entries: Entry[] = []
    for (const entry of this.#source) {
      if (isMarker(entry)) entries.push(entry)
      else if (entry.phase === 1) {
        if (early.has(entry)) entries.push(this.#replaced.get(entry) ?? entry)
      } else {
        const kept = others.get(entry)
        if (kept !== undefined) entries.push(kept)
      }
    }
    return { entries, tx: initial, unused: this.#unused }
  }

  #findMutable(uncertain: ReadonlySet<Entry>): void {
    this.#mutable = new Set()
    this.#prefixes = []
    for (const entry of this.#source) {
      if (isMarker(entry)) continue
      const isInit = entry.phase === 1 && !uncertain.has(entry) && this.#isInitialiser(entry)
      for (const link of linksOf(entry)) {
        for (const [, variable] of link.setvar ?? []) {
          const name = txName(variable)
          if (name === undefined || this.#settings.has(name)) continue
          const macro = name.indexOf('%{')
          if (macro >= 0) this.#prefixes.push(name.slice(0, macro))
          else if (!isInit) this.#mutable.add(name)
        }
      }
    }
  }

  #jumps(rule: SeclangRule): boolean {
    return rule.skipAfter !== undefined || rule.skip !== undefined
  }

  /** Sets constants when a TX variable is not set yet, or always. */
  #isInitialiser(rule: SeclangRule): boolean {
    if (rule.chain !== undefined || rule.log !== false || rule.ctl !== undefined) return false
    if (rule.action !== 'pass' && rule.action !== 'block') return false
    if (!(rule.setvar ?? []).every(([kind, name]) => kind === 'set' && !hasMacro(name)))
      return false
    if (rule.targets.length === 0) return true
    return (
      rule.targets.length === 1 &&
      /^&TX[:.]/i.test(rule.targets[0] as string) &&
      rule.operator.name === 'eq' &&
      rule.operator.argument === '0'
    )
  }

  #isConstant(name: string): boolean {
    return !this.#mutable.has(name) && !this.#prefixes.some((prefix) => name.startsWith(prefix))
  }

  /** The value of a text with macros over constants; undefined when it is not constant. */
  #constantText(text: string): string | undefined {
    let isConstant = true
    const value = text.replace(/%\{tx[.:]([^}]+)\}/gi, (_, raw: string) => {
      const name = raw.toLowerCase()
      if (!this.#isConstant(name)) isConstant = false
      return this.#known.get(name) ?? ''
    })
    return isConstant && !hasMacro(value) ? value : undefined
  }

  /** Whether a link holds: true, false, or undefined when only the request can tell. */
  #decide(link: SeclangLink): boolean | undefined {
    if (link.targets.length === 0) return true
    if (link.targets.length !== 1 || (link.transforms?.length ?? 0) > 0) return undefined
    const target = /^(&?)TX[:.]([^/].*)$/is.exec(link.targets[0] as string)
    if (target === null || /^\d$/.test(target[2] as string)) return undefined
    const name = (target[2] as string).toLowerCase()
    if (!this.#isConstant(name)) return undefined
    const argument = this.#constantText(link.operator.argument ?? '')
    if (argument === undefined) return undefined
    const value = this.#known.get(name)
    if (target[1] !== '&' && value === undefined) return false
    const text = target[1] === '&' ? (value === undefined ? '0' : '1') : (value as string)
    const result = compare(link.operator.name, text, argument)
    return result === undefined ? undefined : result !== (link.operator.negated ?? false)
  }

  /** Goes over the rules of some phases. @returns the source entries that stay */
  #pass(isIncluded: (rule: SeclangRule) => boolean, result?: Map<Entry, Entry>): Entry[] {
    const kept: Entry[] = []
    /** By phase: the marker up to which rules are left out. */
    const skipping = new Map<number, string>()
    /** Until this marker nothing of phase 1 is certain to run. */
    let uncertainUntil: string | undefined
    const keep = (entry: SeclangRule, as: SeclangRule): void => {
      kept.push(entry)
      result?.set(entry, as)
      if (as !== entry) this.#replaced.set(entry, as)
    }
    for (const entry of this.#source) {
      if (isMarker(entry)) {
        for (const [phase, name] of skipping) if (name === entry.marker) skipping.delete(phase)
        if (uncertainUntil === entry.marker) uncertainUntil = undefined
        continue
      }
      if (!isIncluded(entry)) continue
      const isSkipped = skipping.has(entry.phase)
      const decisions = isSkipped ? [] : linksOf(entry).map((link) => this.#decide(link))
      if (isSkipped || decisions.includes(false)) {
        this.#unused.add(entry.id)
        continue
      }
      this.#unused.delete(entry.id)
      const isTrue = decisions.every((decision) => decision === true)
      if (!isTrue || entry.skip !== undefined) {
        keep(entry, entry)
        if (entry.phase === 1 && this.#jumps(entry)) uncertainUntil ??= entry.skipAfter ?? ''
        continue
      }
      const isExecuted =
        entry.phase === 1 &&
        uncertainUntil === undefined &&
        this.#isInitialiser(entry) &&
        this.#execute(entry, kept)
      if (isExecuted || (isQuiet(entry) && (entry.setvar ?? []).length === 0)) {
        if (entry.skipAfter !== undefined) skipping.set(entry.phase, entry.skipAfter)
        continue
      }
      keep(entry, unconditional(entry))
    }
    this.#kept = kept
    return kept
  }

  /** Carries out the setvars of a constant rule; false when one of them is not constant. */
  #execute(rule: SeclangRule, before: readonly Entry[]): boolean {
    const sets: [string, string][] = []
    for (const [, variable, text] of rule.setvar ?? []) {
      const name = txName(variable)
      const value = this.#constantText(text)
      if (name === undefined || value === undefined) return false
      // A rule that stays and comes first would have been overwritten by this one.
      if (before.some((entry) => !isMarker(entry) && entry.phase === 1 && setsName(entry, name))) {
        return false
      }
      sets.push([name, value])
    }
    for (const [name, value] of sets) this.#known.set(name, value)
    return true
  }
}

function setsName(rule: SeclangRule, name: string): boolean {
  return linksOf(rule).some((link) =>
    (link.setvar ?? []).some(([, variable]) => {
      const other = txName(variable)
      if (other === undefined) return false
      const macro = other.indexOf('%{')
      return macro >= 0 ? name.startsWith(other.slice(0, macro)) : other === name
    }),
  )
}

function isQuiet(rule: SeclangRule): boolean {
  return (
    rule.log === false &&
    rule.chain === undefined &&
    (rule.ctl ?? []).length === 0 &&
    (rule.action === 'pass' || rule.action === 'block')
  )
}

/** The rule without its condition, which is known to hold. */
function unconditional(rule: SeclangRule): SeclangRule {
  if (rule.chain !== undefined || rule.targets.length === 0 || rule.log !== false) return rule
  return { ...rule, targets: [], operator: { name: 'unconditionalMatch' } }
}

function withoutPinned(rule: SeclangRule, settings: ReadonlyMap<string, string>): SeclangRule {
  if (rule.setvar === undefined || settings.size === 0) return rule
  const setvar = rule.setvar.filter(([, variable]) => !settings.has(txName(variable) ?? ''))
  return setvar.length === rule.setvar.length ? rule : { ...rule, setvar }
}

function compare(operator: string, text: string, argument: string): boolean | undefined {
  const a = toInteger(text)
  const b = toInteger(argument)
  switch (operator) {
    case 'eq':
      return a === b
    case 'ne':
      return a !== b
    case 'lt':
      return a < b
    case 'le':
      return a <= b
    case 'gt':
      return a > b
    case 'ge':
      return a >= b
    case 'streq':
      return text === argument
    case 'unconditionalMatch':
      return true
    default:
      return undefined
  }
}
