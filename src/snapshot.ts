/**
 * A config compiled into one immutable set of tables and closures. Nothing here is looked up by name or
 * parsed again while requests are served. A config that does not compile never becomes a snapshot.
 */
import type { RouteCompression } from './cache/compression.ts'
import type { RouteCache } from './cache/policy/cache-policy.ts'
import type { MeridianConfig } from './config/schema.ts'
import type { SteeringConfig } from './config/sections/steering.ts'
import type { CandidateVerdict, Reply, RouteRef, SteeringDecision } from './exchange.ts'
import type { GeoLocator } from './geo/locate.ts'
import type { ProbeResult } from './health/active.ts'
import type { HealthBoard } from './health/board.ts'
import type { CidrSet } from './http/cidr.ts'
import type { FrontLimits } from './http/front.ts'
import type { Identity } from './iam/identity.ts'
import type { RouteAuth } from './iam/route-auth.ts'
import type { AdaptiveConcurrency, Priority } from './limits/adaptive.ts'
import type { Limits, RouteLimits } from './limits/limits.ts'
import type { Penalties } from './limits/penalty-box.ts'
import type { WaitingRoom } from './limits/waiting-room.ts'
import type { Passage } from './passage.ts'
import type { Router } from './routing/router.ts'
import type { SteeringTable } from './steering/compile.ts'
import type { DrainBoard } from './steering/drains.ts'
import type { RegionTable } from './steering/regions.ts'
import type { Rollout, Rollouts } from './steering/rollouts.ts'
import type { StickyTokens } from './steering/sticky.ts'
import type { ReadyAlert } from './telemetry/alerts/courier.ts'
import type { DebugGate } from './telemetry/debug-headers.ts'
import type { LogShare } from './telemetry/log-sampling.ts'
import type { ServerTiming } from './telemetry/server-timing.ts'
import type { Threats } from './telemetry/threats/threats.ts'
import type { Place, RetryPolicy, RouteTimeouts } from './upstream/attempt.ts'
import type { Hold } from './upstream/hold.ts'
import type { Mirror } from './upstream/mirror.ts'
import type { MirrorTally } from './upstream/mirror-tally.ts'
import type { Pool } from './upstream/pool.ts'
import type { Challenge } from './waf/challenge/challenge.ts'
import type { RouteWaf } from './waf/waf.ts'

export interface CompiledRoute {
  readonly ref: RouteRef
  readonly bodyLimit: number
  readonly limits: RouteLimits
  readonly retry: RetryPolicy
  readonly timeouts: RouteTimeouts
  /** Pools in order, for a route that names them. */
  readonly fixed:
    | {
        readonly places: readonly Place[]
        readonly decision: SteeringDecision
        /** Whether a residency rule may narrow them. */
        readonly isBound: boolean
      }
    | undefined
  /** Path and query for the origin; undefined when they are the client's own. */
  readonly targetOf: ((x: Passage, pathAndQuery: string) => string) | undefined
  /** Changes to the fields for the origin, in place. */
  readonly requestFields: ((x: Passage, fields: string[]) => void) | undefined
  /** Changes to the fields for the client, in place. */
  readonly responseFields: ((x: Passage, fields: string[]) => void) | undefined
  /** Undefined for a route that is not inspected. */
  readonly waf: RouteWaf | undefined
  readonly auth: RouteAuth | undefined
  readonly cache: CompiledCache | undefined
  /** Undefined: bodies keep the coding they came in. */
  readonly compression: RouteCompression | undefined
  /** Name and lifetime of the cookie that keeps a client in its region. */
  readonly stickyCookie: string | undefined
  readonly stickySeconds: number
  /** Whether clients are sent to their region by a redirect. */
  readonly redirects: boolean
  readonly rollout: CompiledRollout | undefined
  readonly mirror: CompiledMirror | undefined
  /** A redirect or a fixed answer. */
  readonly respond: ((x: Passage) => Reply) | undefined
}

export interface CompiledRollout {
  readonly rollout: Rollout
  /** The new pool, in its region. */
  readonly to: Place
}

export interface CompiledMirror {
  readonly mirror: Mirror
  readonly region: string
  /** Share of clients whose requests are repeated. */
  readonly percent: number
  readonly salt: number
  /** Outlives a reload. */
  readonly tally: MirrorTally
  /** When a difference was noted last, monotonic. */
  notedAt: number
}

export interface CompiledCache {
  readonly route: RouteCache
  /** Asked before the origins. */
  readonly shield: CompiledShield | undefined
  /** Conditions of the route's cache rules, in order. */
  readonly rules: readonly ((x: Passage) => boolean)[]
}

export interface CompiledShield {
  /** Gateways, not origins. */
  readonly places: readonly Place[]
  /** Whether a residency rule says which of them a request may see. */
  readonly isBound: boolean
  readonly retry: RetryPolicy
}

/** How many requests may be under way towards each pool. */
export interface CompiledConcurrency {
  readonly pools: ReadonlyMap<string, AdaptiveConcurrency>
  /** Classes of requests; the first that matches. */
  readonly classes: readonly {
    readonly when: (x: Passage) => boolean
    readonly priority: Priority
  }[]
}

export interface CompiledRoom {
  readonly id: string
  readonly cookie: string
  /** Undefined: every request. */
  readonly when: ((x: Passage) => boolean) | undefined
  /** Epoch milliseconds; 0 and infinity when always open and never closed. */
  readonly opensAt: number
  readonly closesAt: number
  readonly sessionSeconds: number
  readonly room: WaitingRoom
}

export interface Snapshot {
  readonly config: MeridianConfig
  readonly front: FrontLimits
  /** What the gateway calls itself in Via and CDN-Loop. */
  readonly pseudonym: string
  /** Of this process, in CDN-Loop towards a shield: what comes back with it goes round. */
  readonly shieldMark: string
  readonly via: string
  readonly trusted: CidrSet
  readonly router: Router<Passage>
  readonly routes: readonly CompiledRoute[]
  readonly pools: ReadonlyMap<string, Pool>
  readonly health: HealthBoard
  readonly rollouts: Rollouts
  /** Public names of regions, by index. */
  readonly regionHosts: readonly (string | undefined)[]
  /** Where requests wait while nothing is up. */
  readonly hold: Hold
  readonly locator: GeoLocator
  readonly regions: RegionTable
  /** Pools of each region, by its index, in order of preference. */
  readonly placesByRegion: readonly (readonly Place[])[]
  /** Index of an origin's region, by the id that the config gives the origin. */
  readonly regionOfOrigin: ReadonlyMap<string, number>
  readonly steering: SteeringTable<Passage>
  /** Regions that operators have drained. */
  readonly drains: DrainBoard
  /** Whether a residency rule is told to origins. */
  readonly announcesResidency: boolean
  readonly sticky: ReadonlyMap<SteeringConfig, StickyTokens>
  readonly limits: Limits
  /** Undefined when the config has no `penaltyBox`. */
  readonly penaltyBox: Penalties | undefined
  /** Undefined when it is off. */
  readonly concurrency: CompiledConcurrency | undefined
  readonly rooms: readonly CompiledRoom[]
  /** Undefined when the config has no `threats`. */
  readonly threats: Threats | undefined
  readonly alerts: readonly ReadyAlert[]
  /** Undefined when no rule asks for challenges. */
  readonly challenge: Challenge | undefined
  /** Undefined when the config has no `iam`. */
  readonly identity: Identity | undefined
  readonly debug: DebugGate
  /** Undefined when it is off. */
  readonly serverTiming: ServerTiming | undefined
  /** Which served requests are logged; undefined when `telemetry.access.sample` says it for all. */
  readonly logShare: LogShare | undefined
  /** Every candidate region of a request and why it was chosen or not. */
  readonly explainSteering?: (x: Passage) => readonly CandidateVerdict[]
  /** Takes over what another process's check of an origin said. */
  readonly heardProbe: (id: string, result: ProbeResult) => void
  /** Begins what runs in the background (health checks); once it is in use. */
  readonly start: () => void
  readonly stop: () => void
}
