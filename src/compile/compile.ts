/** From a loaded config to a snapshot: every section compiled, every problem reported at once. */
import type { LoadedConfig } from '../config/load.ts'
import { createEnvironment, List, ListError } from '../expression/expression.ts'
import type { GeoSlots } from '../geo/place.ts'
import { CidrSet } from '../http/cidr.ts'
import { DEFAULT_METHODS } from '../http/front.ts'
import { Limits } from '../limits/limits.ts'
import type { Platform } from '../ports.ts'
import { Router } from '../routing/router.ts'
import type { Snapshot } from '../snapshot.ts'
import { DebugGate } from '../telemetry/debug-headers.ts'
import type { HealthReporter } from '../upstream/attempt.ts'
import { Expressions } from './expressions.ts'
import { compilePools } from './pools.ts'
import { compileMatch, compileRoute, type RouteContext } from './routes.ts'

export interface CompileOptions {
  readonly platform: Platform
  /** Geo slots, shared with the database's source. */
  readonly slots: GeoSlots
  /** For explanations: no background work, and the health of a running gateway if there is one. */
  readonly rehearsal?: { readonly health: HealthReporter | undefined } | undefined
  /** The snapshot that this one will replace: counts and state that may be kept are taken from it. */
  readonly previous?: Snapshot | undefined
}

/** @throws ConfigError with every problem found */
export function compileSnapshot(loaded: LoadedConfig, options: CompileOptions): Snapshot {
  const { config } = loaded
  const { platform, previous } = options
  const collector = loaded.report()
  const { report } = collector

  const lists = new Map<string, List>()
  for (const [name, list] of loaded.lists) {
    try {
      lists.set(name, new List(list.type, list.values))
    } catch (error) {
      if (!(error instanceof ListError)) throw error
      report(`lists.${name}.values[${error.index}]`, error.message)
    }
  }
  const expressions = new Expressions(createEnvironment({ lists }))
  const pools = compilePools(loaded, previous?.pools, report)
  const limits = Limits.compile(config.limits, {
    clock: platform.clock,
    seed: platform.random.bytes(16),
    report,
    expressions,
    previous: previous?.limits,
  })
  const regionOf = (pool: string) => pool
  const context: RouteContext = {
    pools,
    regionOf,
    limits,
    bodyLimit: config.listen.limits.body,
    expressions,
    report,
  }
  const debugToken = config.telemetry.debugHeaders.token
  const snapshot: Snapshot = {
    config,
    front: {
      maxFields: config.listen.limits.headerFields,
      maxTargetBytes: 8 * 1024,
      maxBodyBytes: config.listen.limits.body,
      methods: DEFAULT_METHODS,
    },
    pseudonym: 'meridian',
    via: '1.1 meridian',
    trusted: CidrSet.of(config.trustedProxies),
    router: new Router(
      config.routes.map((route, index) => compileMatch(route, `routes[${index}]`, context)),
    ),
    routes: config.routes.map((route, index) => compileRoute(route, index, context)),
    pools,
    health: ALWAYS_UP,
    limits,
    debug: new DebugGate(
      config.telemetry.debugHeaders,
      debugToken === undefined ? undefined : loaded.secrets.get(debugToken),
    ),
  }
  collector.throwIfAny()
  for (const warning of expressions.warnings) platform.log.warn(warning)
  return snapshot
}

const ALWAYS_UP: HealthReporter = { isUp: () => true, report: () => {} }
