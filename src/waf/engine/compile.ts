/** From rule JSON to closures: targets to shared groups, patterns to bits of one scanner, macros to pieces. */
import type { Report } from '../../config/errors.ts'
import type { CompiledLink, CompiledRule, Disruption, Effect, Group } from './compiled.ts'
import { compileControl, matchesId, type RuleFinder } from './controls.ts'
import type { EngineOptions, LoadedRule } from './engine.ts'
import { compileMacro, expand, type Macro } from './macros.ts'
import { compileOperator } from './operators.ts'
import { type Entry, prune } from './prune.ts'
import type {
  SeclangDefaults,
  SeclangLink,
  SeclangPhase,
  SeclangRule,
  SeclangRuleset,
  SeclangSetvar,
} from './rule-schema.ts'
import { type Scanner, ScannerBuilder } from './scanner.ts'
import { parseTarget, TargetRemoval, TargetSet } from './targets.ts'
import { bitsOf, transformByName } from './transforms.ts'
import { integer, TxNames, type TxValue } from './tx-store.ts'
import { variableByName } from './variables.ts'

export interface Compiled {
  readonly phases: Record<SeclangPhase, readonly CompiledRule[]>
  readonly scanner: Scanner
  readonly groupCount: number
  readonly setCount: number
  /** All rules, by id. */
  readonly loaded: ReadonlyMap<number, LoadedRule>
  readonly unused: ReadonlySet<number>
  readonly names: TxNames
  readonly initial: readonly (TxValue | undefined)[]
  readonly conditional: readonly (
    | { rules: Uint8Array; target: TargetRemoval | undefined }
    | undefined
  )[]
}

class CompileError extends Error {}

function fail(message: string): never {
  throw new CompileError(message)
}

interface Placed {
  readonly rule: SeclangRule
  readonly path: string
  readonly index: number
}

export class Compiler {
  readonly #rulesets: readonly SeclangRuleset[]
  readonly #options: EngineOptions
  readonly #report: Report
  readonly #names = new TxNames()
  readonly #scanner = new ScannerBuilder()
  readonly #groups = new Map<string, Group>()
  readonly #sets = new Map<string, TargetSet>()
  readonly #lists = new Map<string, readonly string[]>()
  readonly #defaults = new Map<string, SeclangDefaults>()
  readonly #paths = new Map<number, string>()
  #rules: readonly SeclangRule[] = []

  constructor(rulesets: readonly SeclangRuleset[], options: EngineOptions, report: Report) {
    this.#rulesets = rulesets
    this.#options = options
    this.#report = report
  }

  compile(): Compiled {
    const { entries, loaded } = this.#gather()
    const pruned = prune(this.#exclude(entries), this.#options.settings ?? new Map())
    this.#rules = pruned.entries.filter((entry): entry is SeclangRule => !('marker' in entry))
    const phases: Record<SeclangPhase, readonly CompiledRule[]> = {
      1: this.#phase(pruned.entries, 1),
      2: this.#phase(pruned.entries, 2),
      3: this.#phase(pruned.entries, 3),
      4: this.#phase(pruned.entries, 4),
      5: this.#phase(pruned.entries, 5),
    }
    for (const [name] of pruned.tx) this.#names.slot(name)
    const initial: (TxValue | undefined)[] = this.#names.names.map((name) => pruned.tx.get(name))
    const conditional = (this.#options.exclusions ?? []).map((exclusion) =>
      exclusion.isConditional
        ? {
            rules: this.#select((rule) => isExcluded(rule, exclusion)),
            target:
              exclusion.target === undefined
                ? undefined
                : new TargetRemoval(parseTarget(exclusion.target, fail)),
          }
        : undefined,
    )
    return {
      phases,
      scanner: this.#scanner.build(),
      groupCount: this.#groups.size,
      setCount: this.#sets.size,
      loaded,
      unused: pruned.unused,
      names: this.#names,
      initial,
      conditional,
    }
  }

  #gather(): { entries: Entry[]; loaded: Map<number, LoadedRule> } {
    const entries: Entry[] = []
    const loaded = new Map<number, LoadedRule>()
    for (const ruleset of this.#rulesets) {
      for (const [name, list] of Object.entries(ruleset.lists ?? {})) this.#lists.set(name, list)
      for (const [phase, defaults] of Object.entries(ruleset.defaults ?? {})) {
        this.#defaults.set(phase, defaults)
      }
      for (const [i, entry] of ruleset.rules.entries()) {
        if (!('marker' in entry)) {
          const path = `${ruleset.ruleset}.rules[${i}]`
          if (loaded.has(entry.id)) this.#report(path, `the id ${entry.id} is used twice`)
          const { phase, tags = [] } = entry
          loaded.set(entry.id, { phase, tags, isEnabled: entry.enabled !== false })
          this.#paths.set(entry.id, path)
          if (entry.enabled === false) continue
        }
        entries.push(entry)
      }
    }
    return { entries, loaded }
  }

  /** Exclusions that hold for every request change the rules themselves. */
  #exclude(entries: readonly Entry[]): Entry[] {
    const exclusions = (this.#options.exclusions ?? []).filter((e) => e.isConditional !== true)
    if (exclusions.length === 0) return [...entries]
    const kept: Entry[] = []
    for (const entry of entries) {
      if ('marker' in entry) {
        kept.push(entry)
        continue
      }
      let rule: SeclangRule | undefined = entry
      for (const exclusion of exclusions) {
        if (rule === undefined || !isExcluded(rule, exclusion)) continue
        rule =
          exclusion.target === undefined
            ? undefined
            : { ...rule, targets: [...rule.targets, `!${exclusion.target}`] }
      }
      if (rule !== undefined) kept.push(rule)
    }
    for (const exclusion of exclusions) {
      for (const id of exclusion.ids ?? []) {
        const isKnown = entries.some((entry) => !('marker' in entry) && matchesId(entry.id, id))
        if (!isKnown) this.#report('waf.exceptions', `there is no rule ${id} to exclude`)
      }
    }
    return kept
  }

  #select(accepts: (rule: SeclangRule) => boolean): Uint8Array {
    const selected = new Uint8Array(this.#rules.length)
    for (const [index, rule] of this.#rules.entries()) if (accepts(rule)) selected[index] = 1
    return selected
  }

  #phase(entries: readonly Entry[], phase: SeclangPhase): readonly CompiledRule[] {
    const placed: Placed[] = []
    /** Marker name to the positions behind it, ascending. */
    const markers = new Map<string, number[]>()
    for (const entry of entries) {
      if ('marker' in entry) {
        const positions = markers.get(entry.marker)
        if (positions === undefined) markers.set(entry.marker, [placed.length])
        else positions.push(placed.length)
      } else if (entry.phase === phase) {
        const index = this.#rules.indexOf(entry)
        placed.push({ rule: entry, path: this.#paths.get(entry.id) ?? '', index })
      }
    }
    return placed.map(({ rule, path, index }, position) => {
      const continueAt =
        rule.skipAfter !== undefined
          ? (markers.get(rule.skipAfter)?.find((at) => at > position) ?? placed.length)
          : rule.skip !== undefined
            ? position + 1 + rule.skip
            : -1
      try {
        return this.#rule(rule, index, continueAt)
      } catch (thrown) {
        if (!(thrown instanceof CompileError)) throw thrown
        this.#report(path, `rule ${rule.id}: ${thrown.message}`)
        return neverMatching(rule, index)
      }
    })
  }

  #rule(rule: SeclangRule, index: number, continueAt: number): CompiledRule {
    const links = [rule, ...(rule.chain ?? [])].map((link) => this.#link(link))
    const defaults = this.#defaults.get(String(rule.phase))
    const isLogged = rule.log ?? defaults?.log ?? true
    return {
      index,
      id: rule.id,
      phase: rule.phase,
      links,
      disruption: this.#disruption(rule, defaults),
      isSimulated: rule.mode === 'simulate',
      isLogged,
      message: this.#macro(rule.msg ?? ''),
      data: this.#macro(rule.logdata ?? ''),
      severity: rule.severity ?? '',
      tags: rule.tags ?? [],
      version: rule.version ?? '',
      continueAt,
    }
  }

  #disruption(rule: SeclangRule, defaults: SeclangDefaults | undefined): Disruption | undefined {
    const kind = rule.action === 'block' ? (defaults?.action ?? 'pass') : rule.action
    if (kind === 'pass') return undefined
    const status = rule.status ?? (rule.action === 'block' ? defaults?.status : undefined)
    return {
      kind,
      status: status ?? (kind === 'redirect' ? 302 : 403),
      location: this.#macro(rule.location ?? ''),
    }
  }

  #link(link: SeclangLink): CompiledLink {
    const operator = compileOperator(link.operator.name, {
      argument: link.operator.argument ?? '',
      phrases: link.operator.phrases,
      list: (name) => this.#lists.get(name) ?? fail(`the list ${name} is missing`),
      macro: (text) => this.#macro(text),
      detectors: this.#options.detectors,
      fail,
    })
    const effects = [
      ...(link.setvar ?? []).map((setvar) => this.#setvar(setvar)),
      ...(link.ctl ?? []).map(([name, value]) => compileControl(name, value, this.#finder, fail)),
    ].filter((effect): effect is Effect => effect !== undefined)
    const group = link.targets.length === 0 ? undefined : this.#group(link)
    let filterWord = -1
    let filterMask = 0
    if (operator.filter !== undefined && group !== undefined && !group.set.isVolatile) {
      const bit = this.#scanner.add(operator.filter.key, operator.filter.needs)
      filterWord = bit >> 5
      filterMask = 1 << (bit & 31)
    }
    return {
      group,
      operator,
      isNegated: link.operator.negated ?? false,
      captures: link.capture ?? false,
      effects,
      filterWord,
      filterMask,
    }
  }

  readonly #finder: RuleFinder = {
    select: (accepts) => this.#select(accepts),
  }

  #group(link: SeclangLink): Group {
    const transforms = (link.transforms ?? []).map(
      (name) => transformByName(name) ?? fail(`the transformation ${name} is not known`),
    )
    const isMulti = link.multiMatch ?? false
    const targets = link.targets.join('|')
    const key = `${isMulti ? 'multi ' : ''}${targets} > ${transforms.map((t) => t.name).join(',')}`
    let group = this.#groups.get(key)
    if (group === undefined) {
      let set = this.#sets.get(targets)
      if (set === undefined) {
        const parsed = link.targets.map((target) => parseTarget(target, fail))
        set = new TargetSet(this.#sets.size, parsed)
        if (set.selections.length === 0) fail('there is no target, only exclusions')
        this.#sets.set(targets, set)
      }
      group = { index: this.#groups.size, set, transforms, bits: bitsOf(transforms), isMulti }
      this.#groups.set(key, group)
    }
    return group
  }

  #macro(text: string): string | Macro {
    return compileMacro(text, (reference) => this.#reference(reference), fail)
  }

  #reference(reference: string): Macro | undefined {
    const match = /^([A-Za-z_]+)(?:[.:]([\s\S]+))?$/.exec(reference)
    if (match === null) return undefined
    const name = (match[1] as string).toUpperCase()
    const key = match[2]
    switch (name) {
      case 'TX': {
        if (key === undefined) return undefined
        const slot = this.#names.slot(key)
        return (tx) => tx.tx.text(slot)
      }
      case 'MATCHED_VAR':
        return (tx) => tx.matchedBytes
      case 'MATCHED_VAR_NAME':
        return (tx) => tx.matchedName
      case 'RULE':
        return key?.toLowerCase() === 'id' ? (tx) => String(tx.rule?.id ?? '') : () => ''
    }
    const variable = variableByName(name)
    if (variable === undefined) return undefined
    const lower = key?.toLowerCase()
    return (tx) => tx.message.first(variable.name, lower)
  }

  #setvar([kind, variable, text]: SeclangSetvar): Effect | undefined {
    const match = /^tx[.:](.+)$/is.exec(variable)
    // Persistent collections have no store behind them; their rules run and remember nothing.
    if (match === null) return undefined
    const name = this.#macro(match[1] as string)
    const value = this.#macro(text)
    if (typeof name !== 'string') {
      return (tx) => {
        const target = name(tx)
        const given = expand(value, tx)
        const now = integer(tx.tx.getNamed(target))
        if (kind === 'set') tx.tx.setNamed(target, given)
        else if (kind === 'delete') tx.tx.setNamed(target, undefined)
        else tx.tx.setNamed(target, now + (kind === 'add' ? 1 : -1) * integer(given))
      }
    }
    const slot = this.#names.slot(name)
    switch (kind) {
      case 'delete':
        return (tx) => tx.tx.set(slot, undefined)
      case 'set':
        return typeof value === 'string'
          ? (tx) => tx.tx.set(slot, value)
          : (tx) => tx.tx.set(slot, value(tx))
      default: {
        const sign = kind === 'add' ? 1 : -1
        if (typeof value === 'string') {
          const amount = sign * integer(value)
          return (tx) => tx.tx.add(slot, amount)
        }
        const single = /^%\{tx[.:]([^}]+)\}$/is.exec(text)
        if (single !== null) {
          const from = this.#names.slot(single[1] as string)
          return (tx) => tx.tx.add(slot, sign * integer(tx.tx.get(from)))
        }
        return (tx) => tx.tx.add(slot, sign * integer(value(tx)))
      }
    }
  }
}

function isExcluded(
  rule: SeclangRule,
  exclusion: { readonly ids?: readonly string[]; readonly tags?: readonly string[] },
): boolean {
  return (
    (exclusion.ids ?? []).some((id) => matchesId(rule.id, id)) ||
    (exclusion.tags ?? []).some((tag) => rule.tags?.includes(tag) ?? false)
  )
}

/** Stands for a rule that was reported, so that positions hold. */
function neverMatching(rule: SeclangRule, index: number): CompiledRule {
  return {
    index,
    id: rule.id,
    phase: rule.phase,
    links: [
      {
        group: undefined,
        operator: { test: () => false, filter: undefined, capture: undefined, price: 0 },
        isNegated: false,
        captures: false,
        effects: [],
        filterWord: -1,
        filterMask: 0,
      },
    ],
    disruption: undefined,
    isSimulated: true,
    isLogged: false,
    message: '',
    data: '',
    severity: '',
    tags: [],
    version: '',
    continueAt: -1,
  }
}
