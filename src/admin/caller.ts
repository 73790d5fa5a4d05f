/** Who calls the control port, and what the caller may do. */

/**
 * Each level may do what the one before it may. `read` looks; `operate` moves traffic and the cache, which
 * can be undone in a moment; `administer` also changes who is let in and what is written to disk.
 */
export type Level = 'read' | 'operate' | 'administer'

export interface Caller {
  /** As the audit log names it: `token`, `read-token`, `local`, `socket`, `jwt:SUBJECT`. */
  readonly principal: string
  readonly level: Level
}

const RANK: Readonly<Record<Level, number>> = { read: 0, operate: 1, administer: 2 }

export function mayDo(caller: Caller, needed: Level): boolean {
  return RANK[caller.level] >= RANK[needed]
}

/** Credentials that do not hold. */
export interface Refused {
  readonly reason: string
  /** `error` of RFC 6750 §3.1 and RFC 9470 §3, for those whose token is good and does not suffice. */
  readonly error?: 'invalid_token' | 'insufficient_scope' | 'insufficient_user_authentication'
  /** Whether it may be somebody who tries: a token that has run out is not. */
  readonly isGuess: boolean
}

/** Whoever reaches the loopback address where no token is asked for: any program of the machine. */
export const LOCAL: Caller = { principal: 'local', level: 'operate' }
/** Whoever may open the Unix socket: its owner. */
export const SOCKET: Caller = { principal: 'socket', level: 'administer' }
export const TOKEN: Caller = { principal: 'token', level: 'administer' }
export const READ_TOKEN: Caller = { principal: 'read-token', level: 'read' }
/** Of the paths that ask for nothing, and of whoever was refused before being known. */
export const NOBODY: Caller = { principal: 'nobody', level: 'read' }
