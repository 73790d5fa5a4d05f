/** How much of a body is taken apart; beyond a limit the parser stops and says so. */
export interface BodyLimits {
  /** Most arguments, of all kinds. */
  readonly arguments: number
  /** Deepest nesting of JSON and XML. */
  readonly depth: number
  /** Most parts of a multipart body. */
  readonly parts: number
}

export const DEFAULT_BODY_LIMITS: BodyLimits = { arguments: 1000, depth: 64, parts: 1000 }

/** A named value in byte strings, in the order of the message; duplicates stay. */
export interface Pair {
  readonly name: string
  readonly value: string
}
