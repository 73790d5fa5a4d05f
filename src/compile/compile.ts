/** From a loaded config to a snapshot: every section compiled, every problem reported at once. */
import type { Report } from '../config/errors.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { PoolConfig } from '../config/sections/pools.ts'
import type { SteeringConfig } from '../config/sections/steering.ts'
import { createEnvironment, List, ListError } from '../expression/expression.ts'
import { GeoLocator } from '../geo/locate.ts'
import type { GeoSlots } from '../geo/place.ts'
import type { ProbeResult } from '../health/active.ts'
import type { HealthBoard, HealthEvent } from '../health/board.ts'
import type { Prober } from '../health/probe.ts'
import { CidrSet } from '../http/cidr.ts'
import { frontMethods } from '../http/front.ts'
import { encodeHex } from '../iam/encoding.ts'
import { Identity } from '../iam/identity.ts'
import type { Fleet } from '../limits/fleet/fleet-counter.ts'
import { Limits } from '../limits/limits.ts'
import type { Penalties } from '../limits/penalty-box.ts'
import type { Passage } from '../passage.ts'
import type { Platform } from '../ports.ts'
import { Router } from '../routing/router.ts'
import type { Snapshot } from '../snapshot.ts'
import { compileSteering } from '../steering/compile.ts'
import { DrainBoard } from '../steering/drains.ts'
import { explain } from '../steering/explain.ts'
import { compileRegions, type RegionTable } from '../steering/regions.ts'
import { compileResidency } from '../steering/residency.ts'
import { type Rollout, Rollouts } from '../steering/rollouts.ts'
import { StickyTokens } from '../steering/sticky.ts'
import { steeringRequest } from '../steps/steering-request.ts'
import { DebugGate } from '../telemetry/debug-headers.ts'
import { ServerTiming } from '../telemetry/server-timing.ts'
import type { Place } from '../upstream/attempt.ts'
import { Hold } from '../upstream/hold.ts'
import type { Pool } from '../upstream/pool.ts'
import { scoreSubject } from '../waf/detect/score-subject.ts'
import { DETECTORS } from '../waf/detectors.ts'
import { Waf } from '../waf/waf.ts'
import { compileChallenge, type DrawnSecret } from './challenge.ts'
import { Expressions } from './expressions.ts'
import { compileHealth, compileProbes, probeTargets } from './health.ts'
import { canShare, compileConcurrency, compilePenaltyBox, compileRooms } from './limits.ts'
import { compileLogShare } from './log-share.ts'
import { allMembers, type Members } from './members.ts'
import { type AddressChange, type NamedPool, OriginNames } from './names.ts'
import { loadOpenId } from './open-id.ts'
import { compilePools, originMaker } from './pools.ts'
import { compileMatch, compileRoute, type RouteContext } from './routes.ts'
import { compileAlerts, compileThreats, type ThreatSurroundings } from './threats.ts'

export interface CompileOptions {
  readonly platform: Platform
  /** Geo slots, shared with the database's source. */
  readonly slots: GeoSlots
  /** Whether limits are counted by the platform as well: what it denies is not charged here. */
  readonly countsElsewhere?: boolean | undefined
  /** For explanations: no background work, and the state of a running gateway if there is one. */
  readonly rehearsal?:
    | {
        readonly health: HealthBoard | undefined
        readonly penaltyBox?: Penalties | undefined
        readonly drains?: DrainBoard | undefined
        /** Where they are is copied; the running ones are left alone. */
        readonly rollouts?: Rollouts | undefined
      }
    | undefined
  /** Signs challenges when the config names no secret; left out, each process draws its own. */
  readonly drawnSecret?: DrawnSecret | undefined
  /** Counts limits together with other gateways. */
  readonly fleet?: Fleet | undefined
  /** Whether this process has a server that it shares; left out, whether the config names one. */
  readonly canShare?: boolean | undefined
  /** Text of a ruleset that comes with the gateway; undefined when there is none of that name. */
  readonly builtInRuleset?: ((name: string) => string | undefined) | undefined
  /** The rules' own tests held where the config was checked, and are not run again. */
  readonly areRulesTested?: boolean | undefined
  /** Without it nothing is watched for threats: in rehearsals. */
  readonly threats?: ThreatSurroundings | undefined
  /** Checks one origin; without it there are no active checks. */
  readonly probe?: Prober | undefined
  /** After each check that was made here. */
  readonly onProbe?: ((id: string, result: ProbeResult, durationMs: number) => void) | undefined
  /** Intervals to wait for the checks of another process; left out: this one checks. */
  readonly probePatience?: number | undefined
  readonly onHealthEvent?: ((event: HealthEvent) => void) | undefined
  /** A name of an origin stands for other servers than before. */
  readonly onAddresses?: ((change: AddressChange) => void) | undefined
  /** The snapshot that this one will replace: counts and state that may be kept are taken from it. */
  readonly previous?: Snapshot | undefined
}

/** @throws ConfigError with every problem found */
export async function compileSnapshot(
  loaded: LoadedConfig,
  options: CompileOptions,
): Promise<Snapshot> {
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
  const regions = compileRegions(config.regions, report)
  let ejected: (origin: string) => void = () => {}
  const members = allMembers(loaded, platform.names)
  const board = compileHealth(loaded, members, regions, options, (event) => {
    if (event.to === 'ejected' && event.cause !== 'told') ejected(event.origin)
    options.onHealthEvent?.(event)
  })
  const indexOf = (id: string) => board.indexOf(id)
  const pools = compilePools(loaded, members, previous?.pools, indexOf, report)
  const limits = Limits.compile(config.limits, {
    clock: platform.clock,
    seed: platform.random.bytes(16),
    report,
    expressions,
    fleet: options.fleet,
    canShare: canShare(loaded, options, report),
    isFirstOfTwo: options.countsElsewhere,
    previous: previous?.limits,
  })
  const placesByRegion = regionPlaces(regions, config.regions, pools)
  const regionByPool = new Map<string, string>()
  for (const region of config.regions) {
    for (const pool of region.pools) regionByPool.set(pool, region.id)
  }
  const sticky = await stickyTokens(loaded, regions)
  const drains = new DrainBoard(regions, previous?.drains ?? options.rehearsal?.drains)
  const residency = compileResidency(config.residency, regions, report)
  const steering = compileSteering<Passage>(
    {
      regions,
      residency,
      steering: config.steering,
      routes: config.routes.map((route, index) => ({
        path: `routes[${index}]`,
        regions: route.regions,
        residency: route.residency,
        steering: route.steering,
      })),
      gateway: config.geo.gateway,
      predicate: (text, path) => expressions.condition(text, path, report),
      previous: previous?.steering,
      sticky,
      drains,
    },
    report,
  )
  const identity =
    config.iam === undefined
      ? undefined
      : Identity.compile(config.iam, {
          clock: platform.clock,
          random: platform.random,
          keys: platform.keys,
          log: platform.log,
          secret: (ref) => loaded.secrets.get(ref),
          file: (path) => loaded.files.get(path),
          report,
          conditions: expressions,
          openId: await loadOpenId(config.iam, platform, report),
          previous: previous?.identity,
        })
  const waf = compileWaf(loaded, expressions, options, report)
  const challenge = compileChallenge(loaded, waf, options, expressions.warnings, report)
  const rollouts = new Map<string, Rollout>()
  const context: RouteContext = {
    rollouts,
    previousRollouts: previous?.rollouts ?? options.rehearsal?.rollouts,
    tallyOf: (route, pool) => {
      const mirror = previous?.routes.find(({ ref }) => ref.id === route)?.mirror
      return mirror?.mirror.policy.pool.id === pool ? mirror.tally : undefined
    },
    codings: platform.compressor?.codings ?? [],
    now: platform.clock.monotonic(),
    identity,
    waf,
    pools,
    regionOf: (pool) => regionByPool.get(pool) ?? pool,
    limits,
    bodyLimit: config.listen.limits.body,
    hasResidency: residency.byId.size > 0,
    cache: config.cache,
    steering: config.steering,
    expressions,
    report,
  }
  const trusted = CidrSet.of(config.trustedProxies)
  const { debugHeaders, serverTiming } = config.telemetry
  const debug = new DebugGate(
    debugHeaders,
    debugHeaders.token === undefined ? undefined : loaded.secrets.get(debugHeaders.token),
  )
  const scheduler = compileProbes(loaded, pools, board, options)
  ejected = (origin) => scheduler?.hurry(origin)
  const names = originNames(loaded, members, pools, board, options, () =>
    scheduler?.retarget(probeTargets(loaded, pools)),
  )
  const snapshot: Snapshot = {
    config,
    front: {
      maxFields: config.listen.limits.headerFields,
      maxTargetBytes: 8 * 1024,
      // The largest that any route takes; the route's own limit comes when it is known.
      maxBodyBytes: config.routes.reduce(
        (most, route) => Math.max(most, route.bodyLimit ?? 0),
        config.listen.limits.body,
      ),
      methods: frontMethods(config.listen.methods),
    },
    pseudonym: config.name,
    shieldMark: previous?.shieldMark ?? encodeHex(platform.random.bytes(8)),
    via: `1.1 ${config.name}`,
    trusted,
    router: new Router(
      config.routes.map((route, index) => compileMatch(route, `routes[${index}]`, context)),
    ),
    routes: config.routes.map((route, index) => compileRoute(route, index, context)),
    pools,
    health: board,
    hold: holdFor(board, platform),
    rollouts: new Rollouts(rollouts),
    regionHosts: regionHosts(regions, config.regions),
    locator: new GeoLocator(config.geo.providers, config.geo.headers, platform.geo, options.slots),
    regions,
    placesByRegion,
    regionOfOrigin: regionOfOrigin(placesByRegion),
    steering,
    drains,
    announcesResidency: config.residency.some((rule) => rule.announce),
    sticky,
    limits,
    penaltyBox: compilePenaltyBox(config.penaltyBox, trusted, options),
    concurrency: compileConcurrency(config, expressions, previous?.concurrency, report),
    rooms: compileRooms(loaded, expressions, options, report),
    threats: compileThreats(
      config.threats,
      options.rehearsal === undefined ? options.threats : undefined,
      previous?.threats,
    ),
    alerts: compileAlerts(loaded, expressions, report),
    challenge,
    identity,
    debug,
    serverTiming: serverTiming === undefined ? undefined : new ServerTiming(serverTiming, debug),
    logShare: compileLogShare(config.telemetry.access, expressions, report),
    explainSteering: (x) => {
      if (x.plan === undefined || x.plan.fixed !== undefined) return []
      const plan = steering.plan(x.plan.ref.index, x)
      return explain(plan, x.geo, steeringRequest(x), board).candidates
    },
    heardProbe: (id, result) => {
      board.onProbe(id, result, platform.clock.monotonic())
      scheduler?.heard(id)
    },
    start: () => {
      names.start()
      scheduler?.start()
    },
    stop: () => {
      names.stop()
      scheduler?.stop()
    },
  }
  collector.throwIfAny()
  for (const warning of expressions.warnings) platform.log.warn(warning)
  return snapshot
}

/** Pools follow the addresses of their origins' names; connections to what is gone end. */
function originNames(
  loaded: LoadedConfig,
  members: Members,
  pools: ReadonlyMap<string, Pool>,
  board: HealthBoard,
  options: CompileOptions,
  retarget: () => void,
): OriginNames {
  const { platform } = options
  const named = [...pools.values()].map((pool): NamedPool => {
    const config = loaded.config.pools[pool.id] as PoolConfig
    const make = originMaker(pool.id, loaded)
    return { pool, config, make, members: members.get(pool.id) ?? [] }
  })
  return new OriginNames(named, board, platform, (change) => {
    retarget()
    const origins = [...pools.values()].flatMap((pool) => pool.origins)
    platform.upstream.retain?.(origins.map(({ address }) => address))
    options.onAddresses?.(change)
  })
}

/** Public names by region index. */
function regionHosts(
  regions: RegionTable,
  configs: LoadedConfig['config']['regions'],
): (string | undefined)[] {
  return regions.ids().map((id) => configs.find((region) => region.id === id)?.hostname)
}

/** Requests that wait for an origin are woken when one comes up. */
function holdFor(board: HealthBoard, platform: Platform): Hold {
  const hold = new Hold(platform.clock, platform.random)
  board.subscribe(({ origin }) => {
    const index = board.indexOf(origin)
    if (hold.waiting > 0 && board.isUp(index)) hold.recovered(index)
  })
  return hold
}

function regionPlaces(
  regions: RegionTable,
  configs: LoadedConfig['config']['regions'],
  pools: ReadonlyMap<string, Pool>,
): Place[][] {
  const places: Place[][] = regions.ids().map(() => [])
  for (const { id, pools: names } of configs) {
    const index = regions.indexOf(id)
    if (index === undefined) continue
    for (const name of names) {
      const pool = pools.get(name)
      // Unknown pools have been reported by the config's own check.
      if (pool !== undefined) places[index]?.push({ region: id, pool })
    }
  }
  return places
}

function regionOfOrigin(placesByRegion: readonly (readonly Place[])[]): Map<string, number> {
  const regions = new Map<string, number>()
  placesByRegion.forEach((places, index) => {
    for (const { pool } of places) {
      for (const { id, address } of pool.origins) regions.set(address.partOf ?? id, index)
    }
  })
  return regions
}

/** Signed once here, so that requests only look tokens up. */
async function stickyTokens(
  loaded: LoadedConfig,
  regions: RegionTable,
): Promise<Map<SteeringConfig, StickyTokens>> {
  const { config, secrets } = loaded
  const tokens = new Map<SteeringConfig, StickyTokens>()
  const sections = [config.steering, ...config.routes.map((route) => route.steering)]
  for (const section of sections) {
    if (section?.sticky === undefined) continue
    const refs = Array.isArray(section.sticky.secret)
      ? section.sticky.secret
      : [section.sticky.secret]
    const keys = refs.map((ref) => secrets.get(ref))
    tokens.set(section, await StickyTokens.create(regions.ids(), keys))
  }
  return tokens
}

/** Undefined when nothing is inspected. */
function compileWaf(
  loaded: LoadedConfig,
  expressions: Expressions,
  options: CompileOptions,
  report: Report,
): Waf | undefined {
  const { waf, routes } = loaded.config
  if (waf.mode === 'off') return undefined
  const compiled = new Waf(
    waf,
    routes.map((route) => route.waf),
    {
      environment: expressions.environment,
      detectors: DETECTORS,
      builtIn: (name) => options.builtInRuleset?.(name),
      files: loaded.files,
      score: scoreSubject,
      areTested: options.areRulesTested,
    },
    report,
  )
  for (const warning of compiled.warnings) expressions.warnings.push(warning)
  return compiled
}
