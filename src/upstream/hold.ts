/**
 * The waiting room of requests that no origin can take right now: a short outage of everything (a restart, a
 * failover of the network) costs them time instead of an error. They wake when an origin comes up, or when
 * one of them, sent ahead now and then, was answered. Bounded in number and in time.
 */
import type { Millis } from '../exchange.ts'
import type { Clock, Random } from '../ports.ts'
import type { Place } from './policy.ts'

/** Waiting requests of one process, at most. */
const MOST_WAITERS = 256
/** How often one of those who wait for a pool is sent ahead: where nobody checks, nobody else would notice. */
const SCOUT_MS = 100

interface Waiter {
  readonly places: readonly Place[]
  readonly until: Millis
  cancelTimer: (() => void) | undefined
  readonly leave: (mayTry: boolean) => void
}

export class Hold {
  readonly #clock: Clock
  readonly #random: Random
  readonly #most: number
  readonly #waiters = new Set<Waiter>()
  /** When the next one may be sent ahead to a pool, monotonic. */
  readonly #scoutAt = new Map<string, Millis>()

  constructor(clock: Clock, random: Random, most = MOST_WAITERS) {
    this.#clock = clock
    this.#random = random
    this.#most = most
  }

  get waiting(): number {
    return this.#waiters.size
  }

  get isFull(): boolean {
    return this.#waiters.size >= this.#most
  }

  /**
   * Waits until trying again makes sense.
   * @param places where the request may go
   * @param until monotonic
   * @param onCancel gets what ends the wait early
   * @returns false when the time is over, the room is full, or the wait was ended
   */
  wait(
    places: readonly Place[],
    until: Millis,
    onCancel: (cancel: () => void) => void,
  ): Promise<boolean> {
    if (this.isFull) return Promise.resolve(false)
    return new Promise((resolve) => {
      const waiter: Waiter = {
        places,
        until,
        cancelTimer: undefined,
        leave: (mayTry) => {
          if (!this.#waiters.delete(waiter)) return
          waiter.cancelTimer?.()
          resolve(mayTry)
        },
      }
      this.#waiters.add(waiter)
      onCancel(() => waiter.leave(false))
      this.#arm(waiter)
    })
  }

  /** An origin came up, or has answered. @param origin `Origin.health` */
  recovered(origin: number): void {
    for (const waiter of this.#waiters) {
      const concerns = waiter.places.some(({ pool }) =>
        pool.origins.some(({ health }) => health === origin),
      )
      if (concerns) waiter.leave(true)
    }
  }

  #arm(waiter: Waiter): void {
    const now = this.#clock.monotonic()
    const pause = SCOUT_MS * (0.5 + this.#random.next())
    waiter.cancelTimer = this.#clock.after(Math.min(pause, waiter.until - now), () => {
      const at = this.#clock.monotonic()
      if (at >= waiter.until) waiter.leave(false)
      else if (this.#mayScout(waiter.places, at)) waiter.leave(true)
      else this.#arm(waiter)
    })
  }

  #mayScout(places: readonly Place[], now: Millis): boolean {
    const pool = places[0]?.pool.id
    if (pool === undefined || now < (this.#scoutAt.get(pool) ?? Number.NEGATIVE_INFINITY)) {
      return false
    }
    this.#scoutAt.set(pool, now + SCOUT_MS)
    return true
  }
}
