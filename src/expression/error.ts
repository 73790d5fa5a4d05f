/** What is wrong with an expression, and where. */

/** The expression cannot be used. The only error that compiling an expression throws. */
export class ExpressionError extends Error {
  override readonly name = 'ExpressionError'
  readonly code = 'invalid-expression'
  /** Offset into the source, from 0. */
  readonly position: number
  /** From 1. */
  readonly line: number
  /** From 1, in characters. */
  readonly column: number
  /** The sentence without the place. */
  readonly detail: string
  /** What to write instead. */
  readonly hint: string | undefined

  constructor(source: string, position: number, detail: string, hint?: string) {
    const before = source.slice(0, position)
    const line = before.split('\n').length
    const column = position - before.lastIndexOf('\n')
    super(`${detail} (line ${line}, column ${column})`)
    this.position = position
    this.line = line
    this.column = column
    this.detail = detail
    this.hint = hint
  }
}
