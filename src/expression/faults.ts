/** Raises errors with the place of a node. */
import { nearestName } from '../config/errors.ts'
import type { Span } from './ast.ts'
import { ExpressionError } from './error.ts'

export class Faults {
  readonly #source: string

  constructor(source: string) {
    this.#source = source
  }

  fail(span: Span, message: string, hint?: string): never {
    throw new ExpressionError(this.#source, span.start, message, hint)
  }

  /** @param sign what stands before the name in an expression */
  unknown(span: Span, what: string, name: string, known: Iterable<string>, sign = ''): never {
    const nearest = nearestName(name, known)
    const hint = nearest === undefined ? undefined : `did you mean ${sign}${nearest}?`
    this.fail(span, `unknown ${what} ${sign}${name}`, hint)
  }
}
