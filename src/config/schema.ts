/**
 * The whole config: every section joined into one schema, from which types, validation, the published
 * JSON Schema (`meridian.schema.json`) and `docs/configuration.md` all come.
 */
import * as v from 'valibot'
import { AdminSection } from './sections/admin.ts'
import { AlertsSection } from './sections/alerts.ts'
import { CacheSection } from './sections/cache.ts'
import { GeoSection } from './sections/geo.ts'
import { HealthSharingSection } from './sections/health-sharing.ts'
import { IamSection } from './sections/iam.ts'
import {
  ConcurrencySection,
  LimitsSection,
  PenaltyBoxSection,
  WaitingRoomsSection,
} from './sections/limits.ts'
import {
  ListenSection,
  NameSection,
  ShutdownSection,
  TrustedProxiesSection,
  WorkersSection,
} from './sections/listen.ts'
import { ListsSection } from './sections/lists.ts'
import { PoolsSection } from './sections/pools.ts'
import { RedisSection } from './sections/redis.ts'
import { RegionsSection } from './sections/regions.ts'
import { ResidencySection } from './sections/residency.ts'
import { ResolverSection } from './sections/resolver.ts'
import { RoutesSection } from './sections/routes.ts'
import { StateSection } from './sections/state.ts'
import { SteeringSection } from './sections/steering.ts'
import { TelemetrySection } from './sections/telemetry.ts'
import { ThreatsSection } from './sections/threats.ts'
import { WafSection } from './sections/waf.ts'

function described<const S extends v.GenericSchema>(schema: S, text: string) {
  return v.pipe(schema, v.description(text))
}

export const ConfigSchema = v.pipe(
  v.strictObject({
    $schema: v.pipe(
      v.optional(v.string()),
      v.description('Where the JSON Schema is, for editors. Not read by the gateway.'),
    ),
    name: v.optional(NameSection, 'meridian'),
    listen: v.optional(ListenSection, {}),
    trustedProxies: v.optional(TrustedProxiesSection, []),
    workers: v.optional(WorkersSection, 1),
    shutdown: v.optional(ShutdownSection, {}),
    admin: v.optional(
      described(
        AdminSection,
        'The control port: metrics, readiness, status, explanations, purges.',
      ),
      {},
    ),
    geo: v.optional(described(GeoSection, 'How clients are located.'), {}),
    pools: v.optional(PoolsSection, {}),
    resolver: v.optional(
      described(ResolverSection, 'Who resolves the names of origins (Node).'),
      {},
    ),
    regions: v.optional(RegionsSection, []),
    residency: v.optional(ResidencySection, []),
    steering: v.optional(
      described(SteeringSection, 'How a region is chosen, unless a route says otherwise.'),
      {},
    ),
    routes: RoutesSection,
    healthSharing: v.optional(
      described(
        HealthSharingSection,
        'With `redis`: gateways of a fleet tell each other which origins they cannot use (Node).',
      ),
      {},
    ),
    state: v.optional(
      described(StateSection, 'What a gateway remembers over a restart (Node).'),
      {},
    ),
    lists: v.optional(ListsSection, {}),
    waf: v.optional(
      described(WafSection, 'The web application firewall; on unless `mode` says otherwise.'),
      {},
    ),
    limits: v.optional(LimitsSection, []),
    penaltyBox: v.optional(PenaltyBoxSection),
    concurrency: v.optional(ConcurrencySection, {}),
    waitingRooms: v.optional(WaitingRoomsSection, []),
    iam: v.optional(described(IamSection, 'Identity: who may. Left out: nobody is asked.')),
    cache: v.optional(described(CacheSection, 'What the process keeps, for all routes.'), {}),
    redis: v.optional(
      described(
        RedisSection,
        'A Redis server that the gateways of a fleet share. Nothing of it is needed to serve: without it each gateway goes on by itself.',
      ),
    ),
    threats: v.optional(ThreatsSection),
    alerts: v.optional(AlertsSection, []),
    telemetry: v.optional(
      described(TelemetrySection, 'Access log, masking, debug headers, metrics and events.'),
      {},
    ),
  }),
  v.title('Meridian configuration'),
)

/** A validated config: defaults filled in, durations in milliseconds, sizes in bytes. */
export type MeridianConfig = v.InferOutput<typeof ConfigSchema>
/** A config as written in a file. */
export type MeridianConfigInput = v.InferInput<typeof ConfigSchema>
