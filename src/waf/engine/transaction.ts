/**
 * One request on its way through the rules. Phases run in order, each once; what rules learn is kept in TX
 * variables and the list of matches. The semantics are ModSecurity 2's: every value that matches runs the
 * link's setvars, a link's matches are the next link's MATCHED_VARS, captures stay until the next capture.
 */
import type { CompiledLink, CompiledRule, Disruption, Group } from './compiled.ts'
import type { Engine } from './engine.ts'
import { expand } from './macros.ts'
import type { Message } from './message.ts'
import type { SeclangPhase } from './rule-schema.ts'
import { ScanPool } from './scanner.ts'
import type { TargetRemoval, TargetSet } from './targets.ts'
import type { TxStore } from './tx-store.ts'
import { makeValue, TextNode, type Value } from './values.ts'

/** A rule that matched and wants to be seen. Texts are byte strings, as they matched: mask before showing. */
export interface RuleMatch {
  readonly id: number
  readonly phase: SeclangPhase
  readonly message: string
  readonly data: string
  readonly severity: string
  readonly tags: readonly string[]
  /** Where the last link matched, such as `ARGS:q`; empty for an unconditional rule. */
  readonly target: string
  readonly value: string
  /** The rule's action ends the request... */
  readonly isBlocking: boolean
  /** ...and it was carried out. */
  readonly isDisruptive: boolean
}

export interface Interruption {
  readonly kind: 'deny' | 'drop' | 'redirect'
  readonly status: number
  readonly location: string
  readonly ruleId: number
}

/** Hears what becomes of each rule; for explanations only. */
export interface EngineTrace {
  asked(rule: CompiledRule, isMatch: boolean): void
  /** @param by the rule that jumps */
  skipped(rule: CompiledRule, by: CompiledRule): void
  /** @param by id of the rule whose control takes it out; undefined when an exception does */
  removed(rule: CompiledRule, by: number | undefined): void
}

interface GroupState {
  epoch: number
  readonly values: Value[]
  /** Transformed; with multiMatch one value may have several. */
  readonly nodes: TextNode[]
  /** For multiMatch: index into `values` of each node. */
  readonly owners: number[] | undefined
  /** Offset in the pool of the joined scans; -1 before the first filtered link. */
  bits: number
}

const SPENT = new ScanPool()

export class Transaction {
  readonly message: Message
  readonly tx: TxStore
  readonly matches: RuleMatch[] = []
  interruption: Interruption | undefined
  /** True when the work budget ran out and the rest of the rules was not asked. */
  isExhausted = false
  mode: 'on' | 'detect' | 'off'
  matchedName = ''
  matchedBytes = ''
  /** Rule that is being evaluated, for RULE and macros. */
  rule: CompiledRule | undefined

  trace: EngineTrace | undefined

  readonly #engine: Engine
  #removers: Map<number, number> | undefined
  #pool: ScanPool
  readonly #groups: (GroupState | undefined)[]
  /** By list of targets, nothing transformed. */
  readonly #sets: (GroupState | undefined)[]
  #epoch = 0
  #work: number
  #lastMatched: Value[] = []
  #removed: Uint8Array | undefined
  #removals: Map<number, TargetRemoval[]> | undefined
  #allowedUntil: SeclangPhase | 0 = 0

  constructor(engine: Engine, message: Message, tx: TxStore, pool: ScanPool) {
    this.#engine = engine
    this.message = message
    this.tx = tx
    this.#pool = pool
    this.#groups = new Array(engine.groupCount)
    this.#sets = new Array(engine.setCount)
    this.mode = engine.mode
    this.#work = engine.workBudget
  }

  /** Work left of the budget, in bytes weighted by the price of the pattern. */
  get workLeft(): number {
    return this.#work
  }

  /** For `Engine.end`: takes the pool away. */
  releasePool(): ScanPool | undefined {
    const pool = this.#pool
    this.#pool = SPENT
    return pool === SPENT ? undefined : pool
  }

  /** Call after the message has changed: values are collected anew. */
  refresh(): void {
    this.#epoch++
  }

  /** Runs one phase. @returns the interruption, when there is one */
  run(phase: SeclangPhase): Interruption | undefined {
    if (this.mode === 'off' || this.isExhausted) return this.interruption
    if (phase !== 5 && (this.interruption !== undefined || phase <= this.#allowedUntil)) {
      return this.interruption
    }
    const rules = this.#engine.phases[phase]
    let at = 0
    while (at < rules.length) {
      const rule = rules[at] as CompiledRule
      at++
      if (this.#removed !== undefined && this.#removed[rule.index] === 1) {
        this.trace?.removed(rule, this.#removers?.get(rule.index))
        continue
      }
      const isMatch = this.#matches(rule)
      if (this.trace !== undefined && !this.isExhausted) this.trace.asked(rule, isMatch)
      if (!isMatch) continue
      if (this.isExhausted) break
      const stop = this.#conclude(rule)
      if (stop) break
      if (rule.continueAt >= 0) {
        if (this.trace !== undefined) {
          for (const over of rules.slice(at, rule.continueAt)) this.trace.skipped(over, rule)
        }
        at = rule.continueAt
      }
      // A control may have switched the engine off half-way.
      if ((this.mode as string) === 'off') break
    }
    return this.interruption
  }

  setCaptures(groups: readonly (string | null)[]): void {
    for (let i = 0; i < 10; i++) this.tx.set(i, groups[i] ?? undefined)
  }

  removeRules(rules: Uint8Array): void {
    const removed = this.#removed ?? new Uint8Array(rules.length)
    for (let i = 0; i < rules.length; i++) if (rules[i] === 1) removed[i] = 1
    this.#removed = removed
    if (this.trace !== undefined && this.rule !== undefined) {
      this.#removers ??= new Map()
      for (let i = 0; i < rules.length; i++) if (rules[i] === 1) this.#removers.set(i, this.rule.id)
    }
  }

  removeTargets(rules: Uint8Array, removal: TargetRemoval): void {
    this.#removals ??= new Map()
    for (let i = 0; i < rules.length; i++) {
      if (rules[i] !== 1) continue
      const known = this.#removals.get(i)
      if (known === undefined) this.#removals.set(i, [removal])
      else known.push(removal)
    }
  }

  #matches(rule: CompiledRule): boolean {
    const { links } = rule
    for (let i = 0; i < links.length; i++) {
      this.rule = rule
      if (!this.#matchesLink(rule, links[i] as CompiledLink)) return false
    }
    return true
  }

  #matchesLink(rule: CompiledRule, link: CompiledLink): boolean {
    const { group } = link
    if (group === undefined) {
      this.#lastMatched = []
      for (const effect of link.effects) effect(this)
      return true
    }
    const state = this.#groups[group.index]
    const current =
      state === undefined || state.epoch !== this.#epoch || group.set.isVolatile
        ? this.#collect(group)
        : state
    if (link.filterWord >= 0) {
      if (current.bits < 0) this.#join(current)
      const word = this.#pool.words[current.bits + link.filterWord] as number
      if (!link.isNegated && (word & link.filterMask) === 0) return false
    }
    return this.#test(rule, link, current)
  }

  #test(rule: CompiledRule, link: CompiledLink, state: GroupState): boolean {
    const removals = this.#removals?.get(rule.index)
    let matched: Value[] | undefined
    for (let i = 0; i < state.nodes.length; i++) {
      const value = state.values[state.owners === undefined ? i : (state.owners[i] as number)]
      if (value === undefined) continue
      if (removals?.some((removal) => removal.removes(value))) continue
      const node = state.nodes[i] as TextNode
      if (this.#asks(link, node) === link.isNegated) {
        if (this.isExhausted) return false
        continue
      }
      this.matchedName = value.name
      this.matchedBytes = node.bytes
      matched ??= []
      matched.push(node === value.node ? value : { name: value.name, key: value.key, node })
      if (link.captures && !link.isNegated) {
        if (link.operator.capture === undefined) this.setCaptures([node.bytes])
        else link.operator.capture(node, this)
      }
      for (const effect of link.effects) effect(this)
    }
    if (matched === undefined) return false
    this.#lastMatched = matched
    return true
  }

  #asks(link: CompiledLink, node: TextNode): boolean {
    if (link.filterWord >= 0) {
      const offset = this.#engine.scanner.scan(node, this.#pool)
      const word = this.#pool.words[offset + link.filterWord] as number
      if ((word & link.filterMask) === 0) return false
    }
    const { price } = link.operator
    if (price > 0) {
      this.#work -= price * node.bytes.length
      if (this.#work < 0) {
        this.isExhausted = true
        return link.isNegated
      }
    }
    return link.operator.test(node, this)
  }

  /**
   * Gathers and transforms the values of a group. Where its transformations change nothing, which is so for
   * most of ordinary traffic, the group has the state of its targets, joined scan and all.
   */
  #collect(group: Group): GroupState {
    const plain = this.#gather(group.set)
    const { values } = plain
    const { transforms, bits } = group
    let nodes: TextNode[] | undefined
    let owners: number[] | undefined
    for (let i = 0; i < values.length; i++) {
      let { node } = values[i] as Value
      if (group.isMulti && nodes !== undefined) {
        nodes.push(node)
        owners?.push(i)
      }
      if (!node.isKeptBy(bits)) {
        const before = node
        for (let t = 0; t < transforms.length; t++) {
          const next = node.apply(transforms[t] as (typeof transforms)[number])
          if (group.isMulti && next !== node) {
            if (nodes === undefined) {
              nodes = plain.nodes.slice(0, i + 1)
              owners = nodes.map((_, k) => k)
            }
            nodes.push(next)
            owners?.push(i)
          }
          node = next
        }
        if (nodes === undefined && node !== before) nodes = plain.nodes.slice(0, i)
      }
      if (!group.isMulti && nodes !== undefined) nodes.push(node)
    }
    const state =
      nodes === undefined ? plain : { epoch: this.#epoch, values, nodes, owners, bits: -1 }
    if (!group.set.isVolatile) this.#groups[group.index] = state
    return state
  }

  /** The values of a list of targets as they came. */
  #gather(set: TargetSet): GroupState {
    const known = this.#sets[set.index]
    if (known !== undefined && known.epoch === this.#epoch) return known
    const values = this.#valuesOf(set)
    const nodes: TextNode[] = []
    for (let i = 0; i < values.length; i++) nodes.push((values[i] as Value).node)
    const state = { epoch: this.#epoch, values, nodes, owners: undefined, bits: -1 }
    if (!set.isVolatile) this.#sets[set.index] = state
    return state
  }

  #join(state: GroupState): void {
    const { scanner } = this.#engine
    const pool = this.#pool
    const joined = pool.take(scanner.words)
    pool.words.fill(0, joined, joined + scanner.words)
    pool.beginJoin()
    for (const node of state.nodes) {
      let offset = node.scanned
      if (offset < 0) {
        offset = scanner.scan(node, pool)
        this.#work -= node.bytes.length >> 2
      }
      if (!pool.isNew(offset)) continue
      const { words } = pool
      for (let i = 0; i < scanner.words; i++) {
        words[joined + i] = (words[joined + i] as number) | (words[offset + i] as number)
      }
    }
    state.bits = joined
  }

  #valuesOf(set: TargetSet): Value[] {
    const values: Value[] = []
    for (const selection of set.selections) {
      const { name } = selection.variable
      switch (name) {
        case 'TX': {
          const { key } = selection
          if (key === undefined) {
            const members = this.tx.members((member) => selection.acceptsName(member))
            selection.select(members, values)
          } else {
            const member = this.tx.member(key)
            selection.select(member === undefined ? [] : [member], values)
          }
          break
        }
        case 'MATCHED_VARS':
          selection.select(this.#lastMatched, values)
          break
        case 'MATCHED_VARS_NAMES':
          selection.select(
            this.#lastMatched.map((v) => ({ ...v, node: new TextNode(v.name) })),
            values,
          )
          break
        case 'MATCHED_VAR':
          selection.select([makeValue('MATCHED_VAR', '', this.matchedBytes)], values)
          break
        case 'MATCHED_VAR_NAME':
          selection.select([makeValue('MATCHED_VAR_NAME', '', this.matchedName)], values)
          break
        case 'RULE':
          selection.select(this.#ruleValues(), values)
          break
        default:
          selection.select(this.message.values(name), values)
      }
    }
    return values
  }

  #ruleValues(): Value[] {
    const { rule } = this
    if (rule === undefined) return []
    return [
      makeValue('RULE', 'id', String(rule.id)),
      makeValue('RULE', 'severity', rule.severity),
      makeValue('RULE', 'msg', expand(rule.message, this)),
      makeValue('RULE', 'logdata', expand(rule.data, this)),
    ]
  }

  /** Logs a match and carries out its action. @returns whether the phase ends here */
  #conclude(rule: CompiledRule): boolean {
    const { disruption } = rule
    const acts = disruption !== undefined && this.mode === 'on' && !rule.isSimulated
    if (rule.isLogged) {
      const last = this.#lastMatched[this.#lastMatched.length - 1]
      this.matches.push({
        id: rule.id,
        phase: rule.phase,
        message: expand(rule.message, this),
        data: expand(rule.data, this),
        severity: rule.severity,
        tags: rule.tags,
        target: last?.name ?? '',
        value: last?.node.bytes ?? '',
        isBlocking: disruption !== undefined && !disruption.kind.startsWith('allow'),
        isDisruptive: acts && !disruption.kind.startsWith('allow'),
      })
    }
    return acts && this.#disrupt(rule, disruption)
  }

  #disrupt(rule: CompiledRule, disruption: Disruption): boolean {
    switch (disruption.kind) {
      case 'allow':
        this.#allowedUntil = 4
        return true
      case 'allow:request':
        if (rule.phase > 2) return false
        this.#allowedUntil = 2
        return true
      case 'allow:phase':
        return true
      default:
        this.interruption = {
          kind: disruption.kind,
          status: disruption.status,
          location: expand(disruption.location, this),
          ruleId: rule.id,
        }
        return true
    }
  }
}
