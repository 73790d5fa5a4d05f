/**
 * Meridian as a library: the gateway, or one stage of it, in anybody's Hono app, on any runtime.
 *
 * ```ts
 * import { Hono } from 'hono'
 * import { jwt, rateLimit, waf } from 'meridian-gateway'
 *
 * const app = new Hono()
 * app.use(waf({ rulesets: { managed } }))
 * app.use('/api/*', rateLimit({ limit: 100, window: '1m' }))
 * app.use('/api/*', jwt({ issuer: 'https://id.example.com', jwks: { keys }, audience: 'api' }))
 * ```
 *
 * What a stage has learnt of a request is `c.get('meridian')` in the handlers behind it. Every option is the
 * one of the config's own section (docs/configuration.md).
 */
import type { MeridianConfigInput } from './config/schema.ts'
import type { FlexibleLimiter } from './limits/fleet/flexible-store.ts'
import {
  type GatewayMiddleware,
  gatewayMiddleware,
  type MiddlewareOptions,
  type StageConfig,
  stageMiddleware,
} from './runtimes/web/middleware.ts'

export { ConfigError, type ConfigProblem } from './config/errors.ts'
export type { MeridianConfig, MeridianConfigInput } from './config/schema.ts'
export type { Geo, Principal, Verdict } from './exchange.ts'
export type { FlexibleLimiter } from './limits/fleet/flexible-store.ts'
export type { Logger, RecordSink } from './ports.ts'
export { WebGateway, type WebGatewayOptions } from './runtimes/web/instance.ts'
export type {
  GatewayFacts,
  GatewayMiddleware,
  MiddlewareOptions,
} from './runtimes/web/middleware.ts'
export { type RequestInfo, serve } from './runtimes/web/serve.ts'
export type { Explanation } from './telemetry/explain.ts'

type Section<K extends keyof MeridianConfigInput> = NonNullable<MeridianConfigInput[K]>
type Route = MeridianConfigInput['routes'][number]
type RouteAuth = Exclude<NonNullable<Route['auth']>, 'none'>
type RouteCache = Exclude<NonNullable<Route['cache']>, boolean>
type Limit = Section<'limits'>[number]
type Issuer = NonNullable<Section<'iam'>['issuers']>[number]

/** What every stage takes besides its own. */
export interface StageOptions extends MiddlewareOptions {
  /** Proxies in front whose X-Forwarded-For is believed; CIDR blocks. */
  readonly trustedProxies?: Section<'trustedProxies'> | undefined
}

/**
 * The whole gateway, by a config: an object, or the text of a `meridian.json`. What no route takes goes on
 * to the app.
 */
export function meridian(
  config: MeridianConfigInput | string,
  options: MiddlewareOptions = {},
): GatewayMiddleware {
  return gatewayMiddleware(config, options)
}

export interface WafOptions extends StageOptions {
  /** The `waf` section; with nothing said, the managed ruleset, enforced. */
  readonly waf?: Section<'waf'> | undefined
}

/** The web application firewall. `rulesets` holds the texts of the rulesets that it names. */
export function waf(options: WafOptions = {}): GatewayMiddleware {
  return stage({ waf: options.waf ?? {} }, options)
}

export interface RateLimitOptions extends StageOptions, Omit<Limit, 'id' | 'scope'> {
  /** Name in the RateLimit fields. */
  readonly id?: string | undefined
  /** Counts for all processes: a limiter of rate-limiter-flexible, for algorithm `fixed` or `calendar`. */
  readonly limiter?: FlexibleLimiter | undefined
}

/** A rate limit, by client address unless `key` says otherwise. */
export function rateLimit(options: RateLimitOptions): GatewayMiddleware {
  const { id = 'limit', limiter, ...rest } = options
  const limit: Record<string, unknown> = { id }
  if (limiter !== undefined) limit.shared = {}
  for (const [name, value] of Object.entries(rest)) {
    if (!STAGE_KEYS.has(name) && value !== undefined) limit[name] = value
  }
  // What is left are the keys of a limit; the schema checks their values.
  const limits = [limit as unknown as Limit]
  return stage(
    { limits },
    limiter === undefined ? options : { ...options, limiters: { [id]: limiter } },
  )
}

export interface JwtOptions extends StageOptions {
  readonly issuer: string
  /** Keys, or where they are: the `jwks` of an issuer. */
  readonly jwks?: Issuer['jwks'] | undefined
  readonly audience?: string | readonly string[] | undefined
  /** More of what a token must show: scopes, claims, a policy. */
  readonly require?: Omit<RouteAuth, 'methods' | 'issuers' | 'audience'> | undefined
}

/** Bearer tokens. The principal is `c.get('meridian').principal`. */
export function jwt(options: JwtOptions): GatewayMiddleware {
  const { issuer, jwks, audience, require } = options
  const audiences = typeof audience === 'string' ? [audience] : audience
  return stage(
    {
      iam: {
        default: 'none',
        issuers: [{ id: 'issuer', issuer, ...(jwks === undefined ? {} : { jwks }) } as Issuer],
      },
      route: {
        auth: {
          ...require,
          methods: ['jwt'],
          issuers: ['issuer'],
          ...(audiences === undefined ? {} : { audience: [...audiences] }),
        } as RouteAuth,
      },
    },
    options,
  )
}

export interface GeoSteerOptions extends StageOptions {
  /** Regions of the config, without pools: the app decides what a region means. */
  readonly regions: readonly Omit<Section<'regions'>[number], 'pools'>[]
  readonly steering?: Section<'steering'> | undefined
  /** Rules; the first one binds every request of this stage unless its `scope` says otherwise. */
  readonly residency?: Section<'residency'> | undefined
  readonly geo?: Section<'geo'> | undefined
}

/** Chooses a region for each client: `c.get('meridian').region`. Residency is refused here, fail closed. */
export function geoSteer(options: GeoSteerOptions): GatewayMiddleware {
  const { regions, steering, residency, geo } = options
  return stage(
    {
      regions: regions.map((region) => ({ ...region, pools: [] })),
      ...(steering === undefined ? {} : { steering }),
      ...(residency === undefined ? {} : { residency }),
      ...(geo === undefined ? {} : { geo }),
    },
    options,
  )
}

export interface HttpCacheOptions extends StageOptions {
  /** Cache settings of a route; with nothing said, what the app's own Cache-Control says. */
  readonly cache?: RouteCache | undefined
  /** What the process keeps, for all of the stage: the `cache` section. */
  readonly store?: Section<'cache'> | undefined
}

/** A shared cache (RFC 9111) in front of the app. */
export function httpCache(options: HttpCacheOptions = {}): GatewayMiddleware {
  const { cache = {}, store } = options
  return stage({ route: { cache }, ...(store === undefined ? {} : { cache: store }) }, options)
}

const STAGE_KEYS: ReadonlySet<string> = new Set([
  'rulesets',
  'env',
  'files',
  'client',
  'log',
  'access',
  'trustedProxies',
  'limiter',
  'limiters',
  'limiterSecret',
  'processes',
])

function stage(config: StageConfig, options: StageOptions): GatewayMiddleware {
  const { trustedProxies } = options
  return stageMiddleware(
    trustedProxies === undefined ? config : { ...config, trustedProxies },
    options,
  )
}
