/** The checked tree: names resolved, types known, literals read, constants folded. */

import type { IpAddress } from '../exchange.ts'
import type { IpRange } from '../http/cidr.ts'
import type { EACH, LogicOp, OrderOp } from './ast.ts'
import type { Field } from './field.ts'
import type { Apply, FunctionDefinition } from './function.ts'
import type { IntRange, List } from './lists.ts'
import type { ByteRegex } from './regex/regex.ts'
import type { Type, Value } from './types.ts'

export type Typed = Constant | Path | Comparison | LogicNode | NotNode

/** A value known at load; undefined is a missing value. */
export interface Constant {
  readonly kind: 'constant'
  readonly type: Type
  readonly value: Value | undefined
}

/** Something with indexes: what most expressions read. */
export interface Path {
  readonly kind: 'path'
  readonly base: Base
  readonly steps: readonly (number | string | typeof EACH)[]
  /** Of one element when there is a `[*]`. */
  readonly element: Type
  /** Of the whole: an array when there is a `[*]`. */
  readonly type: Type
  /** The array that `[*]` walks, as text; undefined when there is none. */
  readonly root: string | undefined
}

export type Base =
  | { readonly kind: 'field'; readonly field: Field }
  | { readonly kind: 'constant'; readonly value: Value | undefined }
  | CallBase
  | { readonly kind: 'quantifier'; readonly isAll: boolean; readonly item: Typed }
  | {
      readonly kind: 'if'
      readonly condition: Typed
      readonly then: Typed
      readonly otherwise: Typed
    }
  | { readonly kind: 'coalesce'; readonly items: readonly Typed[] }

export interface CallBase {
  readonly kind: 'call'
  readonly definition: FunctionDefinition
  readonly apply: Apply
  readonly args: readonly Typed[]
  /** Whether the function is applied to each element of the first argument. */
  readonly isMapped: boolean
}

export interface Comparison {
  readonly kind: 'comparison'
  readonly left: Path
  readonly test: Test
  readonly type: Type
  readonly root: string | undefined
}

/** The right side of a comparison, ready to be asked. */
export type Test =
  | { readonly op: OrderOp; readonly of: 'bytes'; readonly value: string }
  | { readonly op: OrderOp; readonly of: 'int'; readonly value: number }
  | { readonly op: 'eq' | 'ne'; readonly of: 'ip'; readonly value: IpAddress }
  | { readonly op: 'bitwise_and'; readonly value: number }
  | { readonly op: 'contains'; readonly value: string }
  | { readonly op: 'matches'; readonly regex: ByteRegex }
  | { readonly op: 'wildcard'; readonly pieces: readonly string[]; readonly isStrict: boolean }
  | { readonly op: 'in'; readonly of: 'bytes'; readonly items: readonly string[] }
  | { readonly op: 'in'; readonly of: 'int'; readonly items: readonly IntRange[] }
  | { readonly op: 'in'; readonly of: 'ip'; readonly items: readonly IpRange[] }
  | { readonly op: 'list'; readonly list: List }

export interface LogicNode {
  readonly kind: 'logic'
  readonly op: LogicOp
  readonly items: readonly Typed[]
  readonly type: Type
  readonly root: string | undefined
}

export interface NotNode {
  readonly kind: 'not'
  readonly item: Typed
  readonly type: Type
  readonly root: string | undefined
}
