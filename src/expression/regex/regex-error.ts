/** A pattern that cannot be used, and where. */
export class RegexError extends Error {
  override readonly name = 'RegexError'
  /** Offset into the pattern. */
  readonly offset: number
  constructor(offset: number, message: string) {
    super(message)
    this.offset = offset
  }
}
