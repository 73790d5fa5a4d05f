/**
 * A waiting room for flash crowds. Each visitor holds a ticket in a signed cookie; tickets are admitted in
 * order at the rate that the origin can take. The gateway keeps two numbers for a room and nothing for a
 * visitor: the next ticket to give, and, from the clock, the highest one that is admitted.
 *
 * Who comes before the opening gets a ticket drawn at random among the early ones: no prize for hammering.
 */
import type { Millis, Seconds } from '../exchange.ts'

/** Signs cookies: HMAC-SHA256 in text form, synchronous. The gateway binds it to the room's secret. */
export type Sign = (text: string) => string

export interface WaitingRoomOptions {
  readonly id: string
  readonly admitPerSecond: number
  /** How long an admitted visitor may stay away. */
  readonly sessionMs: Millis
  /** Epoch; 0 when the room is always open. */
  readonly opensAt: Millis
  readonly sign: Sign
  /** Uniform in [0, 1). */
  readonly random: () => number
}

/** Whom a cookie belongs to: address prefix and a hash of the user agent, as the caller names it. */
export interface Visitor {
  readonly name: string
  /** Value of the room's cookie, if there is one. */
  readonly cookie: string | undefined
}

export type WaitingRoomVerdict =
  | { readonly admitted: true; readonly cookie: string }
  | {
      readonly admitted: false
      readonly cookie: string
      /** Visitors ahead, at least 1. */
      readonly position: number
      readonly waitSeconds: Seconds
    }

/** Unused admissions that may pile up while nobody comes, in seconds of the rate. */
const BURST_SECONDS = 1

export class WaitingRoom {
  readonly #options: WaitingRoomOptions
  /** Tickets given since the opening. */
  #given = 0
  /** Tickets given before it; positions among them are drawn. */
  #early = 0
  /** Highest ticket admitted at `#advancedAt`. */
  #admitted = 0
  #advancedAt: Millis | undefined

  constructor(options: WaitingRoomOptions) {
    this.#options = options
  }

  /** Visitors in the queue. */
  queued(now: Millis): number {
    this.#advance(now)
    return Math.max(0, Math.ceil(this.#early + this.#given - this.#admitted))
  }

  /** @param now wall clock: cookies outlive the process */
  visit(visitor: Visitor, now: Millis): WaitingRoomVerdict {
    this.#advance(now)
    const { sessionMs, opensAt } = this.#options
    const pass = this.#read(visitor)
    if (pass?.kind === 'session' && now < pass.value) {
      return { admitted: true, cookie: this.#write('session', now + sessionMs, visitor) }
    }
    if (pass?.kind === 'early' && now >= opensAt)
      return this.#answer(this.#drawn(pass.value), visitor, now)
    if (pass?.kind === 'early') return this.#waitForOpening(pass.value, visitor, now)
    if (pass?.kind === 'ticket') return this.#answer(pass.value, visitor, now)
    if (now < opensAt) {
      this.#early++
      return this.#waitForOpening(this.#options.random(), visitor, now)
    }
    return this.#answer(this.#early + ++this.#given, visitor, now)
  }

  #answer(ticket: number, visitor: Visitor, now: Millis): WaitingRoomVerdict {
    const { admitPerSecond, sessionMs } = this.#options
    if (ticket <= this.#admitted) {
      return { admitted: true, cookie: this.#write('session', now + sessionMs, visitor) }
    }
    const position = Math.ceil(ticket - this.#admitted)
    return {
      admitted: false,
      cookie: this.#write('ticket', ticket, visitor),
      position,
      waitSeconds: Math.ceil((ticket - this.#admitted) / admitPerSecond),
    }
  }

  #waitForOpening(draw: number, visitor: Visitor, now: Millis): WaitingRoomVerdict {
    const { admitPerSecond, opensAt } = this.#options
    const position = Math.max(1, Math.ceil(draw * this.#early))
    return {
      admitted: false,
      cookie: this.#write('early', draw, visitor),
      position,
      waitSeconds: Math.ceil((opensAt - now) / 1000 + position / admitPerSecond),
    }
  }

  /** A draw in [0, 1) becomes a place among all who came early, known only at the opening. */
  #drawn(draw: number): number {
    return draw * this.#early
  }

  #advance(now: Millis): void {
    const { admitPerSecond, opensAt } = this.#options
    const from = this.#advancedAt
    this.#advancedAt = Math.max(now, from ?? now, opensAt)
    if (from === undefined) {
      this.#admitted = opensAt === 0 ? admitPerSecond * BURST_SECONDS : 0
      return
    }
    const grown = this.#admitted + ((this.#advancedAt - from) / 1000) * admitPerSecond
    // Admissions that nobody used do not pile up for the crowd that comes later.
    this.#admitted = Math.min(grown, this.#early + this.#given + admitPerSecond * BURST_SECONDS)
  }

  #write(kind: Pass['kind'], value: number, visitor: Visitor): string {
    const text = `${kind}.${value}`
    return `${text}~${this.#mac(text, visitor)}`
  }

  #mac(text: string, visitor: Visitor): string {
    return this.#options.sign(`waiting-room\n${this.#options.id}\n${text}\n${visitor.name}`)
  }

  /** A cookie of somebody else, or one that was changed, is none: back of the queue. */
  #read(visitor: Visitor): Pass | undefined {
    const { cookie } = visitor
    const tilde = cookie?.indexOf('~') ?? -1
    if (cookie === undefined || tilde < 0 || cookie.length > 256) return undefined
    const text = cookie.slice(0, tilde)
    if (!isSame(cookie.slice(tilde + 1), this.#mac(text, visitor))) return undefined
    const dot = text.indexOf('.')
    const kind = text.slice(0, dot)
    const value = Number(text.slice(dot + 1))
    if (kind !== 'session' && kind !== 'ticket' && kind !== 'early') return undefined
    return { kind, value }
  }
}

interface Pass {
  readonly kind: 'session' | 'ticket' | 'early'
  readonly value: number
}

function isSame(a: string, b: string): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i)
  return difference === 0
}
