/** What the importer's JSON becomes: immutable, shared by all transactions. */
import type { Macro } from './macros.ts'
import type { CompiledOperator } from './operators.ts'
import type { SeclangPhase } from './rule-schema.ts'
import type { TargetSet } from './targets.ts'
import type { Transaction } from './transaction.ts'
import type { Transform } from './transforms.ts'

/** Targets and transformations that several rules share: collected, transformed and scanned once. */
export interface Group {
  readonly index: number
  readonly set: TargetSet
  readonly transforms: readonly Transform[]
  /** Of the transformations, for `TextNode.isKeptBy`. */
  readonly bits: number
  /** Every step that changes the value counts (multiMatch). */
  readonly isMulti: boolean
}

/** Something to do for each value that matches: a setvar or a ctl. */
export type Effect = (tx: Transaction) => void

export interface CompiledLink {
  /** Undefined for SecAction: always true, once. */
  readonly group: Group | undefined
  readonly operator: CompiledOperator
  readonly isNegated: boolean
  readonly captures: boolean
  readonly effects: readonly Effect[]
  /** Where the scanner's bit is; word -1 when the link is not filtered. */
  readonly filterWord: number
  readonly filterMask: number
}

export interface Disruption {
  readonly kind: 'deny' | 'drop' | 'redirect' | 'allow' | 'allow:phase' | 'allow:request'
  readonly status: number
  readonly location: string | Macro
}

export interface CompiledRule {
  /** Dense over the engine. */
  readonly index: number
  readonly id: number
  readonly phase: SeclangPhase
  readonly links: readonly CompiledLink[]
  readonly disruption: Disruption | undefined
  readonly isSimulated: boolean
  readonly isLogged: boolean
  readonly message: string | Macro
  readonly data: string | Macro
  readonly severity: string
  readonly tags: readonly string[]
  readonly version: string
  /** Position in the phase to go on at after a match; -1 for the next rule. */
  readonly continueAt: number
}
