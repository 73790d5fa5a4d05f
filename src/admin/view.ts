/** What the control port shows. The gateway's runtime implements it; the app knows nothing else of it. */
import type { Millis } from '../exchange.ts'
import type { EventKind, GatewayEvent } from '../telemetry/events.ts'
import type { Explanation } from '../telemetry/explain.ts'
import type { MetricsSnapshot } from '../telemetry/metrics.ts'
import type { ThreatReport } from '../telemetry/threats/threats.ts'
import type { AuditView } from './audit-view.ts'
import type { CacheView } from './cache-view.ts'
import type { Caller, Refused } from './caller.ts'
import type { LiveView } from './live-view.ts'
import type { MirrorView } from './mirror-view.ts'
import type { PageFiles } from './page.ts'
import type { ConfigView, RulesView } from './publish-view.ts'
import type { RegionsView } from './regions-view.ts'
import type { RolloutView } from './rollout-view.ts'
import type { LimitReport, PenaltiesView, RevocationsView, StateView } from './state-view.ts'

export interface OriginStatus {
  readonly id: string
  readonly pool: string
  readonly healthy: boolean
  /** One sentence: what the last check or the ejection says. */
  readonly why: string
  /** Milliseconds since the epoch. */
  readonly since?: Millis
  /** What its name resolves to; left out for an origin without a name. */
  readonly addresses?: readonly string[]
}

export interface RegionStatus {
  readonly id: string
  readonly healthy: boolean
  readonly drained: boolean
  readonly why: string
  readonly origins: readonly OriginStatus[]
}

/** The Redis server of the fleet, as this gateway sees it. */
export interface SharedServerStatus {
  readonly url: string
  /** Name of this gateway in the fleet. */
  readonly node: string
  readonly state: 'up' | 'connecting' | 'down'
  readonly reason: string
  /** Milliseconds since the epoch. */
  readonly since: Millis
}

/** The limits that the fleet counts together, as this process sees them. */
export interface SharedLimitsStatus {
  /** What they are counted in. */
  readonly store: string
  /** `gateway`: the store is away, and each limit does as it was told. */
  readonly decides: 'fleet' | 'gateway'
  /** Processes that count together, as last known. */
  readonly gateways: number
  /** Those that were asked for by a request since the start. */
  readonly limits: readonly {
    readonly id: string
    readonly mode: string
    readonly onFailure: string
    /** Of which something is remembered here. */
    readonly keys: number
    /** Requests, by who decided. */
    readonly decisions: Readonly<Record<string, number>>
  }[]
}

export interface StatusReport {
  readonly version: string
  readonly runtime: string
  readonly startedAt: Millis
  readonly workers: number
  readonly config: {
    /** Names the snapshot in use. */
    readonly hash: string
    readonly file: string | null
    readonly loadedAt: Millis
    /** Why the last reload failed; null when it did not. */
    readonly lastError: string | null
  }
  readonly geo: {
    readonly source: string
    /** Milliseconds since the epoch; null when the source has no build time. */
    readonly builtAt: Millis | null
  }
  readonly regions: readonly RegionStatus[]
  /** Left out where the config names none. */
  readonly redis?: SharedServerStatus | undefined
  /** Left out where nothing is shared. */
  readonly sharedLimits?: SharedLimitsStatus | undefined
}

/** The request to explain. */
export interface ExplainQuery {
  readonly method: string
  /** Absolute URL, or a path for the default host. */
  readonly url: string
  readonly ip?: string | undefined
  readonly headers: readonly (readonly [name: string, value: string])[]
}

/** A request that cannot be explained; its message is for the caller. */
export class ExplainError extends Error {
  override readonly name = 'ExplainError'
}

export interface AdminView {
  status(): StatusReport | Promise<StatusReport>
  /** Whether traffic may be sent here; every reason why not. */
  readiness(): { readonly ready: boolean; readonly reasons: readonly string[] }
  /**
   * Exposition text, all worker processes together.
   * @param own what the control port itself has counted
   */
  metrics(own?: MetricsSnapshot): string | Promise<string>
  /** The configuration in use, as it was written, or the promise of it; the app redacts it. */
  config(): unknown
  /** @throws ExplainError */
  explain(query: ExplainQuery): Explanation | Promise<Explanation>
  events(
    since: number,
    limit: number,
    kind: EventKind | undefined,
  ): readonly GatewayEvent[] | Promise<readonly GatewayEvent[]>
  /** Undefined where nothing is watched; the report is undefined when the config does not. */
  threats?(limit: number): ThreatReport | undefined | Promise<ThreatReport | undefined>
  /** Undefined where nothing is stored. */
  readonly cache?: CacheView | undefined
  /** Undefined where none can be moved. */
  readonly rollouts?: RolloutView | undefined
  /** Undefined where none is counted. */
  readonly mirrors?: MirrorView | undefined
  readonly regions?: RegionsView | undefined
  readonly configs?: ConfigView | undefined
  readonly rules?: RulesView | undefined
  readonly limits?: (() => Promise<readonly LimitReport[]>) | undefined
  readonly penalties?: PenaltiesView | undefined
  readonly revocations?: RevocationsView | undefined
  readonly state?: StateView | undefined
  /** Undefined where nothing of the control port is noted. */
  readonly audit?: AuditView | undefined
  /** Undefined where nothing can be watched. */
  readonly live?: LiveView | undefined
  /** The dashboard's files; undefined where they were not built. */
  readonly page?: PageFiles | undefined
  /** Whose a JSON Web Token is, where the config lets any in. */
  authenticate?(token: string): Promise<Caller | Refused>
  /** The wall clock, milliseconds since the epoch; for orders with an end. */
  now?(): Millis
  /** A refused call of the control port, for the event log. `peer` is as the runtime names it. */
  onRefused?(reason: string, peer: string, path: string): void
  /** Something in the view threw; the caller was told no more than that. */
  onFailed?(error: Error, path: string): void
}
