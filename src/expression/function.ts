/** What a function of the language is: parameters, a return type, and a plain function over values. */
import type { Type, Value } from './types.ts'

export interface Param {
  readonly name: string
  readonly accepts: (type: Type) => boolean
  /** The accepted types, for messages and the docs. */
  readonly expected: string
  /** Whether only a literal (or what folds to a constant) will do. */
  readonly isLiteral?: boolean
  readonly isOptional?: boolean
}

/**
 * The function over checked values. Arguments have the declared types, which TypeScript cannot see, so the
 * parameters are whatever the definition says.
 */
export type Apply = (...args: never[]) => Value | undefined

export interface FunctionDefinition {
  readonly name: string
  readonly params: readonly Param[]
  /** Of further arguments. */
  readonly rest?: Param
  readonly returns: Type | ((args: readonly Type[]) => Type)
  readonly description: string
  /** What a missing argument does: makes the result missing (the default), or counts as empty. */
  readonly missing?: 'empty'
  /**
   * Called once for each use, with the values of constant arguments and undefined for the others; answers
   * what is called for each request with all arguments. Must be pure.
   * @throws ArgumentError
   */
  readonly prepare: (constants: readonly (Value | undefined)[]) => Apply
}

/** A literal argument cannot be used. */
export class ArgumentError extends Error {
  override readonly name = 'ArgumentError'
  /** Index of the argument. */
  readonly index: number
  /** Offset into the literal's own text, for patterns. */
  readonly offset: number
  constructor(index: number, message: string, offset = 0) {
    super(message)
    this.index = index
    this.offset = offset
  }
}

function kinds(...accepted: readonly Type['kind'][]): (type: Type) => boolean {
  return (type) => accepted.includes(type.kind)
}

const isText = kinds('bytes')
const isInteger = kinds('int')

export function text(name: string, options: Partial<Param> = {}): Param {
  return { name, accepts: isText, expected: 'String', ...options }
}

export function integer(name: string, options: Partial<Param> = {}): Param {
  return { name, accepts: isInteger, expected: 'Integer', ...options }
}

export function ofKinds(
  name: string,
  expected: string,
  ...accepted: readonly Type['kind'][]
): Param {
  return { name, accepts: kinds(...accepted), expected }
}
