/** What attempts are given: where they may go, how often and how long, and what they report to. */
import type { BodySource, HeaderList, InterimSink, Millis } from '../exchange.ts'
import type { Clock, Random, Upstream, UpstreamErrorClass } from '../ports.ts'
import type { Hold } from './hold.ts'
import type { OriginHealth, Pool } from './pool.ts'

/** A pool of a region, in the order in which regions are to be tried. */
export interface Place {
  readonly region: string
  readonly pool: Pool
}

export interface RetryPolicy {
  /** Most attempts, the first one counted. */
  readonly tries: number
  /** Most regions, the first one counted. */
  readonly regions: number
  /** For all attempts together, until the response header. */
  readonly deadlineMs: Millis
  /** For one attempt, connecting included; Infinity: no limit of its own. */
  readonly perTryMs: Millis
  readonly statuses: ReadonlySet<number>
  readonly methods: ReadonlySet<string>
  /** Whether `Idempotency-Key` makes any method one that may be sent twice. */
  readonly idempotencyKey: boolean
  /** Whether all but the last attempt wait no longer than three times the pool's 99th percentile. */
  readonly adaptive: boolean
  /** Whether origins are told how much time is left. */
  readonly announceDeadline: boolean
  readonly bodyLimit: number
  /** How long a request waits while nothing is up; 0 is off. */
  readonly holdMs: Millis
  readonly hedge: HedgePolicy | undefined
}

export interface HedgePolicy {
  /** Undefined: the pool's 95th percentile. */
  readonly afterMs: Millis | undefined
  /** Most hedges, as a share of the requests that could be hedged, per cent. */
  readonly percent: number
}

/** Instead of the pool's. */
export interface RouteTimeouts {
  readonly connectMs?: number | undefined
  readonly firstByteMs?: number | undefined
  readonly idleMs?: number | undefined
}

export type OriginOutcome = 'ok' | 'gateway-error' | 'overloaded' | UpstreamErrorClass

/** What attempts tell of origins, by `Origin.health`; times are monotonic. */
export interface HealthReporter extends OriginHealth {
  began(origin: number, now: Millis): void
  report(origin: number, outcome: OriginOutcome, now: Millis): void
}

/** What is counted besides the attempts themselves. */
export interface UpstreamMeter {
  budgetEmpty(pool: string): void
  held(outcome: 'served' | 'failed' | 'full'): void
  hedged(outcome: 'won' | 'lost' | 'refused'): void
}

export interface AttemptPorts {
  readonly upstream: Upstream
  readonly clock: Clock
  readonly random: Random
  readonly health: HealthReporter
  readonly hold?: Hold | undefined
  readonly meter?: UpstreamMeter | undefined
}

export interface OutgoingRequest {
  readonly method: string
  readonly path: string
  /** What came in: for the idempotency key and the depth of retries. */
  readonly received: HeaderList
  /** For the Host given: flat fields without Content-Length. */
  readonly fields: (host: string | undefined) => string[]
  readonly body: BodySource | null
  /** What balancing by hash goes by. */
  readonly clientKey: string
  /** What the client's side left of the deadline; undefined: nobody said. */
  readonly timeLeftMs?: Millis | undefined
  readonly upgrade?: 'websocket' | undefined
  readonly interim?: InterimSink | undefined
  readonly trace?: OutgoingTrace | undefined
}

/** The trace that attempts belong to; each is a span of its own. */
export interface OutgoingTrace {
  /** An id for an attempt. */
  span(): string
  /** `traceparent` for the origin. */
  parent(spanId: string): string
  /** `tracestate` for the origin; empty for none. */
  readonly state: string
}
