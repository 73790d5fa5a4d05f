/**
 * A Durable Object that counts for the whole world: the same GCRA tables as a process has. A decision has no
 * `await` in it, so calls cannot interleave: a limit of 20 admits 20 of 200 at once.
 *
 * State is in memory: an object that nobody calls is evicted after seconds, longer than most limits
 * remember. Windows of minutes and more may then start afresh; see docs/runtimes.md.
 */
import { DurableObject } from 'cloudflare:workers'
import { Finding } from '../../limits/algorithm.ts'
import { Gcra } from '../../limits/gcra.ts'

/** A limit as counted by a shard. */
export interface SharedLimit {
  readonly id: string
  readonly limit: number
  readonly windowMs: number
  readonly burst: number
}

export interface Take {
  readonly limit: SharedLimit
  /** The hashed key of the client. */
  readonly high: number
  readonly low: number
  readonly cost: number
  /** Units to hand out beyond the cost, if they are there, for the asker to give out by itself. */
  readonly lease: number
}

export type GiveBack = Omit<Take, 'lease'>

export interface Taken {
  readonly allowed: boolean
  /** Units of the lease that were granted. */
  readonly leased: number
  readonly remaining: number
  readonly resetMs: number
  /** After a denial; `Infinity` when the request can never pass. */
  readonly retryMs: number
}

/** Clients that a shard counts for each limit. */
const SLOTS = 16_384

/** The tables of one shard; apart from the object, so that it can be tested anywhere. */
export class CounterTables {
  readonly #tables = new Map<string, Gcra>()
  readonly #now: () => number
  readonly #found = new Finding()

  constructor(now: () => number) {
    this.#now = now
  }

  take({ limit, high, low, cost, lease }: Take): Taken {
    const now = this.#now()
    const table = this.#table(limit, now)
    if (lease > 0 && table.peek(high, low, now, cost + lease, this.#found)) {
      table.charge()
      return taken(this.#found, true, lease)
    }
    const allowed = table.peek(high, low, now, cost, this.#found)
    if (allowed) table.charge()
    return taken(this.#found, allowed, 0)
  }

  /** Takes a charge back: another limit denied the request. */
  giveBack({ limit, high, low, cost }: GiveBack): void {
    const now = this.#now()
    this.#table(limit, now).settle(high, low, now, -cost)
  }

  #table(limit: SharedLimit, now: number): Gcra {
    const { id, windowMs, burst } = limit
    // Another rate under the same id is another table: the config was changed.
    const name = `${id} ${limit.limit}/${windowMs}/${burst}`
    let table = this.#tables.get(name)
    if (table === undefined) {
      table = new Gcra({ limit: limit.limit, windowMs, burst, slots: SLOTS, startedAt: now })
      this.#tables.set(name, table)
    }
    return table
  }
}

function taken(found: Finding, allowed: boolean, leased: number): Taken {
  const { remaining, resetMs, retryMs } = found
  return { allowed, leased, remaining, resetMs, retryMs: allowed ? 0 : retryMs }
}

export class CounterShard extends DurableObject {
  readonly #tables = new CounterTables(() => Date.now())

  take(take: Take): Taken {
    return this.#tables.take(take)
  }
  giveBack(back: GiveBack): void {
    this.#tables.giveBack(back)
  }
}
