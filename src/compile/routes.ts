/** Routes of the config as the steps want them. */
import { RouteCompression } from '../cache/compression.ts'
import { RouteCache } from '../cache/policy/cache-policy.ts'
import type { Report } from '../config/errors.ts'
import type { CacheConfig } from '../config/sections/cache.ts'
import type { RouteConfig } from '../config/sections/routes.ts'
import type { SteeringConfig } from '../config/sections/steering.ts'
import type { Identity } from '../iam/identity.ts'
import type { Limits } from '../limits/limits.ts'
import type { Passage } from '../passage.ts'
import type { ContentCoding } from '../ports.ts'
import type { RouteCandidate } from '../routing/router.ts'
import type { CompiledRoute, CompiledShield } from '../snapshot.ts'
import { rolloutSalt } from '../steering/rollout.ts'
import { Rollout, type Rollouts } from '../steering/rollouts.ts'
import type { Place, RetryPolicy } from '../upstream/attempt.ts'
import { Mirror } from '../upstream/mirror.ts'
import { MirrorTally } from '../upstream/mirror-tally.ts'
import type { Pool } from '../upstream/pool.ts'
import type { Waf } from '../waf/waf.ts'
import type { Expressions } from './expressions.ts'
import { compileResponse } from './responses.ts'
import { compileTransforms } from './transforms.ts'

export interface RouteContext {
  readonly pools: ReadonlyMap<string, Pool>
  /** Region of a pool, for the record; its own name when no region has it. */
  readonly regionOf: (pool: string) => string
  /** Filled as routes are compiled. */
  readonly rollouts: Map<string, Rollout>
  readonly previousRollouts: Rollouts | undefined
  /** What an earlier config's mirrors came to, by route and pool. */
  readonly tallyOf: (route: string, pool: string) => MirrorTally | undefined
  /** Monotonic. */
  readonly now: number
  readonly limits: Limits
  readonly identity: Identity | undefined
  readonly waf: Waf | undefined
  readonly bodyLimit: number
  /** Whether a residency rule binds every route. */
  readonly hasResidency: boolean
  readonly cache: CacheConfig
  /** Content codings that the runtime can make. */
  readonly codings: readonly ContentCoding[]
  readonly steering: SteeringConfig
  readonly expressions: Expressions
  readonly report: Report
}

export function compileMatch(
  config: RouteConfig,
  path: string,
  context: RouteContext,
): RouteCandidate<Passage> {
  const { match } = config
  if (typeof match !== 'string') {
    return {
      match: {
        hosts: listOf(match.host),
        paths: listOf(match.path),
        methods: match.methods === undefined ? undefined : new Set(match.methods),
      },
      predicate: undefined,
    }
  }
  const condition = context.expressions.condition(match, `${path}.match`, context.report)
  return {
    match: { hosts: [], paths: [], methods: undefined },
    predicate: condition === undefined ? undefined : (x) => condition(x),
  }
}

function listOf(value: string | readonly string[] | undefined): readonly string[] {
  if (value === undefined) return []
  return typeof value === 'string' ? [value] : value
}

export function compileRoute(
  config: RouteConfig,
  index: number,
  context: RouteContext,
): CompiledRoute {
  const path = `routes[${index}]`
  const { report, expressions } = context
  const { retry, timeouts } = config
  const { sticky } = config.steering ?? context.steering
  const transforms = compileTransforms(config.transforms, `${path}.transforms`, expressions, report)
  return {
    ref: { id: config.id, index },
    bodyLimit: config.bodyLimit ?? context.bodyLimit,
    limits: context.limits.route(config.limits, `${path}.limits`, report),
    retry: {
      tries: retry.tries,
      regions: retry.regions,
      deadlineMs: retry.deadline,
      perTryMs: retry.perTry ?? Number.POSITIVE_INFINITY,
      statuses: new Set(retry.statuses),
      methods: new Set(retry.methods),
      idempotencyKey: retry.idempotencyKey,
      adaptive: retry.adaptive,
      announceDeadline: retry.announceDeadline,
      bodyLimit: retry.bodyLimit,
      holdMs: retry.hold,
      hedge:
        retry.hedge === undefined
          ? undefined
          : { afterMs: retry.hedge.after, percent: retry.hedge.percent },
    },
    timeouts: {
      connectMs: timeouts.connect,
      firstByteMs: timeouts.firstByte,
      idleMs: timeouts.idle,
    },
    fixed:
      config.pools === undefined
        ? undefined
        : fixedPlaces(config.pools, config.residency !== undefined, context),
    targetOf: transforms.targetOf,
    requestFields: transforms.requestFields,
    responseFields: transforms.responseFields,
    waf: context.waf?.route(index),
    auth: context.identity?.route(config.auth, `${path}.auth`, report),
    cache: compileCache(config, path, context),
    compression:
      config.compression === undefined
        ? undefined
        : new RouteCompression(config.compression, context.codings),
    stickyCookie: sticky?.cookie,
    stickySeconds: Math.round((sticky?.ttl ?? 0) / 1000),
    redirects:
      (config.steering ?? context.steering).action === 'redirect' && config.pools === undefined,
    rollout: compileRollout(config, context),
    mirror: compileMirror(config, context),
    respond: compileResponse(config, path, expressions, report),
  }
}

/** A rollout that was under way before a reload goes on where it was. */
function compileRollout(config: RouteConfig, context: RouteContext): CompiledRoute['rollout'] {
  const { rollout } = config
  const pool = rollout === undefined ? undefined : context.pools.get(rollout.to)
  if (rollout === undefined || pool === undefined) return undefined
  const plan = {
    id: config.id,
    steps: rollout.steps,
    bakeMs: rollout.bake,
    gate: {
      errorPoints: rollout.gates.errorPoints,
      p95Ratio: rollout.gates.p95Ratio,
      minSamples: rollout.gates.minSamples,
    },
  }
  const before = context.previousRollouts?.get(config.id)
  const compiled = new Rollout(plan, rollout.from, rollout.to, context.now, before)
  context.rollouts.set(config.id, compiled)
  return { rollout: compiled, to: { region: context.regionOf(rollout.to), pool } }
}

function compileMirror(config: RouteConfig, context: RouteContext): CompiledRoute['mirror'] {
  const { mirror } = config
  const pool = mirror === undefined ? undefined : context.pools.get(mirror.pool)
  if (mirror === undefined || pool === undefined) return undefined
  return {
    mirror: new Mirror({
      pool,
      methods: new Set(mirror.methods),
      credentials: mirror.credentials,
      most: mirror.concurrency,
      timeoutMs: mirror.timeout,
    }),
    region: context.regionOf(mirror.pool),
    percent: mirror.percent,
    salt: rolloutSalt(`mirror ${config.id}`),
    tally: context.tallyOf(config.id, mirror.pool) ?? new MirrorTally(),
    notedAt: Number.NEGATIVE_INFINITY,
  }
}

function compileCache(
  config: RouteConfig,
  path: string,
  context: RouteContext,
): CompiledRoute['cache'] {
  if (config.cache === false || !config.cache.enabled) return undefined
  const rules: ((x: Passage) => boolean)[] = []
  config.cache.rules.forEach((rule, index) => {
    const where = `${path}.cache.rules[${index}].when`
    const condition = context.expressions.condition(rule.when, where, context.report)
    rules.push(condition ?? (() => false))
  })
  // Two routes may answer one URL (by method, header or country): their entries stay apart.
  const route = new RouteCache(config.cache, context.cache, config.id)
  return { route, shield: compileShield(config, context), rules }
}

function compileShield(config: RouteConfig, context: RouteContext): CompiledShield | undefined {
  const shield = config.cache === false ? undefined : config.cache.shield
  const pool = shield === undefined ? undefined : context.pools.get(shield.pool)
  if (shield === undefined || pool === undefined) return undefined
  return {
    places: [{ region: context.regionOf(shield.pool), pool }],
    isBound: config.residency !== undefined || context.hasResidency,
    retry: shieldRetry(shield.timeout),
  }
}

/** One attempt at each of two gateways: the origin is the second choice, not a third one. */
function shieldRetry(timeoutMs: number): RetryPolicy {
  return {
    tries: 2,
    regions: 1,
    deadlineMs: timeoutMs,
    perTryMs: timeoutMs,
    statuses: new Set(),
    methods: new Set(['GET', 'HEAD']),
    idempotencyKey: false,
    adaptive: false,
    announceDeadline: false,
    bodyLimit: 0,
    holdMs: 0,
    hedge: undefined,
  }
}

function fixedPlaces(
  names: readonly string[],
  hasResidency: boolean,
  context: RouteContext,
): CompiledRoute['fixed'] {
  const places: Place[] = []
  for (const name of names) {
    const pool = context.pools.get(name)
    // The config's own check has reported unknown names.
    if (pool !== undefined) places.push({ region: context.regionOf(name), pool })
  }
  const order = [...new Set(places.map((place) => place.region))]
  return {
    places,
    isBound: hasResidency || context.hasResidency,
    decision: {
      region: order[0] ?? '',
      order,
      policy: 'pools',
      reason: 'the route names its pools in order',
    },
  }
}
