/**
 * The last events that a person would want to see: what was blocked and why, where traffic was moved,
 * what became unhealthy, what was reloaded. A ring of fixed size; the newest overwrite the oldest.
 */
import type { Millis } from '../exchange.ts'

export type EventKind = 'security' | 'steering' | 'health' | 'config' | 'system'

export type EventValue = string | number | boolean | readonly string[]

export interface GatewayEvent {
  /** Of this event alone, also among those of other processes and of earlier ones. */
  readonly id: string
  /** Rises by one with each event of a process, from 1; a reader asks for what came after the last it saw. */
  readonly sequence: number
  /** Milliseconds since the epoch. */
  readonly time: Millis
  readonly kind: EventKind
  /** What happened, in one stable word: `blocked`, `rate-limited`, `failover`, `ejected`… */
  readonly what: string
  /** Request that caused it, if any. */
  readonly requestId?: string
  /** Masked already. */
  readonly detail: Readonly<Record<string, EventValue>>
}

export class EventRing {
  readonly #origin: string
  readonly #ring: (GatewayEvent | undefined)[]
  #sequence = 0
  readonly #listeners = new Set<(event: GatewayEvent) => void>()

  /**
   * @param capacity events kept, at least 1
   * @param origin   begins the ids: of this process alone
   */
  constructor(capacity: number, origin: string) {
    this.#origin = origin
    this.#ring = new Array<GatewayEvent | undefined>(Math.max(1, capacity)).fill(undefined)
  }

  /** Sequence of the newest event; 0 before the first. */
  get sequence(): number {
    return this.#sequence
  }

  add(
    kind: EventKind,
    time: Millis,
    what: string,
    detail: Readonly<Record<string, EventValue>>,
    requestId?: string,
  ): GatewayEvent {
    this.#sequence++
    const id = `${this.#origin}-${this.#sequence}`
    const event: GatewayEvent =
      requestId === undefined
        ? { id, sequence: this.#sequence, time, kind, what, detail }
        : { id, sequence: this.#sequence, time, kind, what, requestId, detail }
    this.#ring[this.#sequence % this.#ring.length] = event
    for (const listener of this.#listeners) listener(event)
    return event
  }

  /**
   * Events after `sequence`, oldest first.
   * @param limit at most so many, the newest ones
   */
  since(sequence: number, limit = Number.POSITIVE_INFINITY, kind?: EventKind): GatewayEvent[] {
    const oldest = Math.max(sequence + 1, this.#sequence - this.#ring.length + 1, 1)
    const found: GatewayEvent[] = []
    for (let at = this.#sequence; at >= oldest && found.length < limit; at--) {
      const event = this.#ring[at % this.#ring.length]
      if (event !== undefined && (kind === undefined || event.kind === kind)) found.push(event)
    }
    return found.reverse()
  }

  /** Calls `listener` for each new event; the answer ends it. */
  subscribe(listener: (event: GatewayEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
