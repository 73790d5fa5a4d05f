/**
 * The rule engine: SecLang rules in their JSON form, compiled once and immutable; `begin` makes a
 * transaction for each request. A reload builds a new engine and swaps the reference.
 */
import type { Report } from '../../config/errors.ts'
import { type BodyLimits, DEFAULT_BODY_LIMITS } from '../body/limits.ts'
import { Compiler } from './compile.ts'
import type { CompiledRule } from './compiled.ts'
import { Message, type MessageHead } from './message.ts'
import type { Detectors } from './operators.ts'
import type { SeclangPhase, SeclangRuleset } from './rule-schema.ts'
import { type Scanner, ScanPool } from './scanner.ts'
import type { TargetRemoval } from './targets.ts'
import { Transaction } from './transaction.ts'
import { type TxNames, TxStore, type TxValue } from './tx-store.ts'

/** Takes rules, or one target of them, out of the engine; for all requests, or for those that it is named for. */
export interface Exclusion {
  /** Rule ids and ranges, such as "942100" or "942000-942999". */
  readonly ids?: readonly string[]
  readonly tags?: readonly string[]
  /** A target such as `ARGS:password`; without it the whole rule. */
  readonly target?: string
  /** Applied only by `Transaction` when the caller names its index in `begin`. */
  readonly isConditional?: boolean
}

export interface EngineOptions {
  readonly detectors: Detectors
  /** `detect` logs and never interrupts. */
  readonly mode?: 'on' | 'detect'
  /** TX variables that the config fixes, by lower-case name: `blocking_paranoia_level` and the like. */
  readonly settings?: ReadonlyMap<string, string>
  readonly exclusions?: readonly Exclusion[]
  readonly limits?: BodyLimits
  /** Bytes of pattern matching for one request, weighted by the pattern's price. */
  readonly workBudget?: number
}

/** Enough for every rule of the CRS on the largest inspected body, several times over. */
export const DEFAULT_WORK_BUDGET = 1 << 28

/** What is remembered of a rule as it was loaded. */
export interface LoadedRule {
  readonly phase: SeclangPhase
  readonly tags: readonly string[]
  readonly isEnabled: boolean
}

export class Engine {
  readonly mode: 'on' | 'detect'
  readonly phases: Readonly<Record<SeclangPhase, readonly CompiledRule[]>>
  readonly scanner: Scanner
  readonly groupCount: number
  readonly setCount: number
  readonly workBudget: number
  /** Ids of all rules that were loaded, pruned ones included. */
  readonly ids: ReadonlySet<number>
  /** The same rules, by id. */
  readonly loaded: ReadonlyMap<number, LoadedRule>
  /** Ids of rules that no request can come to with these settings: those above the paranoia level, mostly. */
  readonly unused: ReadonlySet<number>
  readonly #limits: BodyLimits
  readonly #names: TxNames
  readonly #initial: readonly (TxValue | undefined)[]
  readonly #conditional: readonly (
    | { rules: Uint8Array; target: TargetRemoval | undefined }
    | undefined
  )[]
  readonly #pools: ScanPool[] = []

  /**
   * @param report hears of every rule that cannot be used, by its place; the engine goes without it
   */
  constructor(rulesets: readonly SeclangRuleset[], options: EngineOptions, report: Report) {
    const compiler = new Compiler(rulesets, options, report)
    const compiled = compiler.compile()
    this.mode = options.mode ?? 'on'
    this.phases = compiled.phases
    this.scanner = compiled.scanner
    this.groupCount = compiled.groupCount
    this.setCount = compiled.setCount
    this.loaded = compiled.loaded
    this.unused = compiled.unused
    this.ids = new Set(compiled.loaded.keys())
    this.workBudget = options.workBudget ?? DEFAULT_WORK_BUDGET
    this.#limits = options.limits ?? DEFAULT_BODY_LIMITS
    this.#names = compiled.names
    this.#initial = compiled.initial
    this.#conditional = compiled.conditional
  }

  /** Whether any rule looks at the request body (phase 2) or at the response's. */
  get ruleCount(): number {
    return Object.values(this.phases).reduce((sum, rules) => sum + rules.length, 0)
  }

  /** @param exclusions indices of the conditional exclusions that hold for this request */
  begin(head: MessageHead, exclusions: readonly number[] = []): Transaction {
    const transaction = new Transaction(
      this,
      new Message(head, this.#limits),
      new TxStore(this.#names, this.#initial),
      this.#pools.pop() ?? new ScanPool(),
    )
    for (const index of exclusions) {
      const exclusion = this.#conditional[index]
      if (exclusion === undefined) continue
      if (exclusion.target === undefined) transaction.removeRules(exclusion.rules)
      else transaction.removeTargets(exclusion.rules, exclusion.target)
    }
    return transaction
  }

  /** Gives a finished transaction's memory back. The transaction must not run again. */
  end(transaction: Transaction): void {
    const pool = transaction.releasePool()
    if (pool === undefined || this.#pools.length >= 64) return
    pool.reset()
    this.#pools.push(pool)
  }
}
