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

/** The two numbers, and what they are worth when; shared with the room's settings before a reload. */
interface Queue {
  /** Tickets given since the opening. */
  given: number
  /** Tickets given before it; positions among them are drawn. */
  early: number
  /** Highest ticket admitted at `advancedAt`. */
  admitted: number
  advancedAt: Millis | undefined
  /** When somebody had to wait last. */
  heldAt: Millis
}

export class WaitingRoom {
  readonly #options: WaitingRoomOptions
  readonly #queue: Queue

  /** @param previous the same room before a reload */
  constructor(options: WaitingRoomOptions, previous?: WaitingRoom) {
    this.#options = options
    this.#queue =
      previous === undefined
        ? { given: 0, early: 0, admitted: 0, advancedAt: undefined, heldAt: 0 }
        : previous.#queue
  }

  /** After a visitor has been told to wait: whether nobody had to for a minute, which is an event. */
  isNews(now: Millis): boolean {
    const { heldAt } = this.#queue
    this.#queue.heldAt = now
    return now - heldAt >= 60_000
  }

  /** Visitors in the queue. */
  queued(now: Millis): number {
    this.#advance(now)
    const { given, early, admitted } = this.#queue
    return Math.max(0, Math.ceil(early + given - admitted))
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
    const queue = this.#queue
    if (pass?.kind === 'ticket') {
      // Given before a restart, or by another process: the line is at least that long.
      queue.given = Math.max(queue.given, Math.ceil(pass.value) - queue.early)
      return this.#answer(pass.value, visitor, now)
    }
    if (now < opensAt) {
      queue.early++
      return this.#waitForOpening(this.#options.random(), visitor, now)
    }
    return this.#answer(queue.early + ++queue.given, visitor, now)
  }

  #answer(ticket: number, visitor: Visitor, now: Millis): WaitingRoomVerdict {
    const { admitPerSecond, sessionMs } = this.#options
    const { admitted } = this.#queue
    if (ticket <= admitted) {
      return { admitted: true, cookie: this.#write('session', now + sessionMs, visitor) }
    }
    const position = Math.ceil(ticket - admitted)
    return {
      admitted: false,
      cookie: this.#write('ticket', ticket, visitor),
      position,
      waitSeconds: Math.ceil((ticket - admitted) / admitPerSecond),
    }
  }

  #waitForOpening(draw: number, visitor: Visitor, now: Millis): WaitingRoomVerdict {
    const { admitPerSecond, opensAt } = this.#options
    const position = Math.max(1, Math.ceil(draw * this.#queue.early))
    return {
      admitted: false,
      cookie: this.#write('early', draw, visitor),
      position,
      waitSeconds: Math.ceil((opensAt - now) / 1000 + position / admitPerSecond),
    }
  }

  /** A draw in [0, 1) becomes a place among all who came early, known only at the opening. */
  #drawn(draw: number): number {
    return draw * this.#queue.early
  }

  #advance(now: Millis): void {
    const { admitPerSecond, opensAt } = this.#options
    const queue = this.#queue
    const from = queue.advancedAt
    const at = Math.max(now, from ?? now, opensAt)
    queue.advancedAt = at
    if (from === undefined) {
      // At least one, or a slow room would let nobody in who comes when it is empty.
      queue.admitted = opensAt === 0 ? Math.max(1, admitPerSecond * BURST_SECONDS) : 0
      return
    }
    const grown = queue.admitted + ((at - from) / 1000) * admitPerSecond
    // Admissions that nobody used do not pile up for the crowd that comes later.
    const most = queue.early + queue.given + Math.max(1, admitPerSecond * BURST_SECONDS)
    queue.admitted = Math.min(grown, most)
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
