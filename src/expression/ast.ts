/** The syntax tree: what the parser makes and the printer writes. Names and types are not resolved yet. */

/** Offsets into the source: from `start`, up to but without `end`. */
export interface Span {
  readonly start: number
  readonly end: number
}

export type Node = Logic | Not | Compare | Index | Literal

/** Two or more operands of one operator, left to right. */
export interface Logic extends Span {
  readonly kind: 'logic'
  readonly op: LogicOp
  readonly items: readonly Node[]
}
export type LogicOp = 'and' | 'or' | 'xor'

export interface Not extends Span {
  readonly kind: 'not'
  readonly item: Node
}

export interface Compare extends Span {
  readonly kind: 'compare'
  readonly left: Index
  readonly op: CompareOp
  readonly opStart: number
  readonly right: Right
}

export type OrderOp = 'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge'
export type CompareOp =
  | OrderOp
  | 'bitwise_and'
  | 'contains'
  | 'matches'
  | 'wildcard'
  | 'strict wildcard'
  | 'in'

export type Right = Literal | Pattern | ItemSet | ListName

/**
 * A literal. Bare ones (numbers, addresses, byte strings) are read when the type they must have is known.
 */
export interface Literal extends Span {
  readonly kind: 'literal'
  readonly form: 'string' | 'bare'
  /** The bytes of a string; the source text of a bare literal. */
  readonly text: string
}

/** A regular expression, in the syntax of Rust's regex crate. */
export interface Pattern extends Span {
  readonly kind: 'pattern'
  readonly pattern: string
  /** Source offset of each character of `pattern`, and of its end. */
  readonly offsets: readonly number[]
  /** As it was written, quotes included. */
  readonly lexeme: string
}

export interface ItemSet extends Span {
  readonly kind: 'set'
  readonly items: readonly Literal[]
}

export interface ListName extends Span {
  readonly kind: 'list'
  readonly name: string
}

/** A field or call with the indexes that follow it. */
export interface Index extends Span {
  readonly kind: 'index'
  readonly base: FieldName | Call | Truth
  readonly steps: readonly Step[]
}

export interface FieldName extends Span {
  readonly kind: 'field'
  readonly name: string
}

/** The constants `true` and `false`. */
export interface Truth extends Span {
  readonly kind: 'truth'
  readonly value: boolean
}

export interface Call extends Span {
  readonly kind: 'call'
  readonly name: string
  readonly args: readonly Node[]
}

/** `[0]`, `["key"]` or `[*]`. */
export interface Step extends Span {
  readonly at: number | string | typeof EACH
}

export const EACH = Symbol('[*]')
