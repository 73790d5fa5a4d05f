/**
 * Before an origin is asked: the limits that count only what reaches it, and whether its pool has room.
 * Both refuse by an error, so that the cache may answer with something stale instead; the error is of a kind
 * that makes those who waited for the same response ask for themselves.
 */
import type { Attempt } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import type { AdaptiveConcurrency, Priority } from '../limits/adaptive.ts'
import type { LimitResult } from '../limits/result.ts'
import type { Passage } from '../passage.ts'
import { type Clock, UpstreamError } from '../ports.ts'
import type { Snapshot } from '../snapshot.ts'
import { AttemptsFailed } from '../upstream/attempt.ts'
import { check } from './guard.ts'

/** An origin would have been asked, and may not be. */
export class NotAdmitted extends AttemptsFailed {
  /** The limit that denied; undefined when the pool is at its capacity. */
  readonly result: LimitResult | undefined

  constructor(result?: LimitResult) {
    super(result === undefined ? 'overloaded' : 'rate-limited', {
      cause: new UpstreamError('cancelled', 'not admitted to the origin'),
    })
    this.result = result
  }
}

/** A place among the requests under way towards a pool. */
export class Seat {
  readonly #limit: AdaptiveConcurrency
  readonly #pool: string
  readonly #clock: Clock

  constructor(limit: AdaptiveConcurrency, pool: string, clock: Clock) {
    this.#limit = limit
    this.#pool = pool
    this.#clock = clock
  }

  /** @param attempts what became of the request; the pool's own first one tells how fast it is */
  leave(attempts: readonly Attempt[]): void {
    const first = attempts[0]
    const isTelling =
      first?.pool === this.#pool &&
      (first.status === null ? first.outcome === 'timeout' : first.status < 500)
    this.#limit.finish(isTelling ? first.durationMs : undefined, this.#clock.monotonic())
  }
}

/**
 * Takes a seat and charges the limits of phase origin, or neither.
 * @returns undefined when there is no limit on concurrency; what is returned must be left
 * @throws NotAdmitted
 */
export function admitToOrigin(
  x: Passage,
  services: Services,
): Seat | undefined | Promise<Seat | undefined> {
  const seat = takeSeat(x, services)
  if (x.isOriginCharged) return seat
  const denied = check(x, 'origin', services)
  if (denied instanceof Promise) return denied.then((late) => charged(x, seat, late))
  return charged(x, seat, denied)
}

function charged(
  x: Passage,
  seat: Seat | undefined,
  denied: LimitResult | undefined,
): Seat | undefined {
  if (denied === undefined) {
    x.isOriginCharged = true
    return seat
  }
  seat?.leave([])
  throw new NotAdmitted(denied)
}

function takeSeat(x: Passage, services: Services): Seat | undefined {
  const { concurrency } = x.snapshot
  const pool = x.places[0]?.pool.id
  const limit = pool === undefined ? undefined : concurrency?.pools.get(pool)
  if (pool === undefined || limit === undefined) return undefined
  const { clock } = services.platform
  const priority = priorityOf(x)
  const shedBefore = limit.shed
  const isIn = limit.start(priority)
  if (limit.shed !== shedBefore) {
    const { telemetry } = services
    telemetry.metrics.concurrencyShed.add([pool, priority, isIn ? 'observed' : 'refused'])
    if (!isIn && limit.isNews(clock.monotonic())) {
      telemetry.note('system', 'shedding', { pool, limit: limit.limit, priority })
    }
  }
  if (isIn) return new Seat(limit, pool, clock)
  x.why = `Pool ${pool} has ${limit.inFlight} requests under way; its limit is ${limit.limit}, and this one is ${priority}.`
  throw new NotAdmitted()
}

/** What nobody waits for gives way first. */
function priorityOf(x: Passage): Priority {
  if (x.isDetached) return 'batch'
  const classes = x.snapshot.concurrency?.classes ?? []
  for (const { when, priority } of classes) if (when(x)) return priority
  return 'default'
}

/** Sizes and heights that are read at each scrape. */
export function watchAdmission(services: Services, snapshot: () => Snapshot): void {
  const { metrics } = services.telemetry
  const { clock } = services.platform
  metrics.registry.onCollect(() => {
    const { limits, penaltyBox, threats, concurrency, rooms } = snapshot()
    for (const { id, used, displaced } of limits.usage()) {
      metrics.limitKeys.set([id], used)
      metrics.limitDisplaced.setTotal([id], displaced)
    }
    if (penaltyBox !== undefined) metrics.penaltyClients.set([], penaltyBox.size)
    if (threats !== undefined) metrics.threatsNow.set([], threats.count(clock.monotonic()))
    for (const [pool, limit] of concurrency?.pools ?? []) {
      metrics.concurrencyLimit.set([pool], limit.limit)
      metrics.concurrencyInFlight.set([pool], limit.inFlight)
    }
    for (const { id, room } of rooms) metrics.roomQueue.set([id], room.queued(clock.now()))
  })
}
