/**
 * The gateway as Hono middleware: the whole of it, with origins of its own, or one stage in front of an
 * app's handlers.
 */
import type { Context, MiddlewareHandler, Next } from 'hono'
import type { MeridianConfigInput } from '../../config/schema.ts'
import type { Geo, Principal, Verdict } from '../../exchange.ts'
import type { Passage } from '../../gateway.ts'
import type { Logger, OriginAddress } from '../../ports.ts'
import type { Explanation } from '../../telemetry/explain.ts'
import { AppUpstream } from './app-upstream.ts'
import { clientInfo } from './client-info.ts'
import { type EdgeExplainQuery, explainRequest } from './explain.ts'
import { type Rulesets, WebGateway, type WebGatewayOptions } from './instance.ts'
import { type RequestInfo, serve } from './serve.ts'

/** What the gateway has learnt of a request: `c.get('meridian')` in handlers behind a stage. */
export interface GatewayFacts {
  readonly id: string
  readonly geo: Geo
  readonly principal: Principal | undefined
  readonly verdicts: readonly Verdict[]
  /** The region that the request was steered to; null where nothing is steered. */
  readonly region: string | null
}

declare module 'hono' {
  interface ContextVariableMap {
    meridian: GatewayFacts
  }
}

export interface MiddlewareOptions {
  /** Rulesets that come with the gateway, by name: the texts of `rules/NAME.json`. */
  readonly rulesets?: Rulesets | undefined
  /** Where `{"env": …}` secrets come from. */
  readonly env?: Readonly<Record<string, unknown>> | undefined
  /** Files that the config names, by path as written. */
  readonly files?: Readonly<Record<string, string>> | undefined
  /** Who asks, where the server under the app is none of those known. */
  readonly client?: ((c: Context) => RequestInfo) | undefined
  readonly log?: Logger | undefined
  /** Limiters of rate-limiter-flexible for `shared` limits, by their ids; and what belongs to them. */
  readonly limiters?: WebGatewayOptions['limiters']
  readonly limiterSecret?: WebGatewayOptions['limiterSecret']
  readonly processes?: WebGatewayOptions['processes']
  /** Takes the lines of the access log. */
  readonly access?: WebGatewayOptions['access']
}

export interface GatewayMiddleware extends MiddlewareHandler {
  /**
   * Compiles the config now, instead of with the first request.
   * @throws ConfigError
   */
  ready(): Promise<WebGateway>
  /** Why a request would be answered as it would. @returns a sentence when it cannot be read */
  explain(query: EdgeExplainQuery): Promise<Explanation | string>
}

/** The whole gateway. What no route takes goes on to the app's own handlers. */
export function gatewayMiddleware(
  config: MeridianConfigInput | string,
  options: MiddlewareOptions = {},
): GatewayMiddleware {
  const ready = starter(config, options)
  return withTools(ready, async (c, next) => {
    const { gateway } = await ready()
    let exchange: Passage | undefined
    const response = await serve(gateway, c.req.raw, infoOf(c, options), {
      onAdmitted: (x) => {
        exchange = x
      },
    })
    if (exchange?.outcome !== 'no-route') return response
    await response.body?.cancel()
    await next()
    return undefined
  })
}

/** Sections of a config that a stage is made of; the app is its only origin. */
export type StageConfig = Pick<
  MeridianConfigInput,
  | 'waf'
  | 'limits'
  | 'iam'
  | 'cache'
  | 'geo'
  | 'regions'
  | 'residency'
  | 'steering'
  | 'lists'
  | 'trustedProxies'
> & { readonly route?: Omit<MeridianConfigInput['routes'][number], 'pools' | 'regions'> }

const APP = 'http://app.invalid'

/** One stage in front of the app's handlers. */
export function stageMiddleware(
  { route, regions, ...sections }: StageConfig,
  options: MiddlewareOptions,
): GatewayMiddleware {
  const upstream = new AppUpstream()
  // A pool for each region tells which one was chosen; all of them are the app.
  const pools: NonNullable<MeridianConfigInput['pools']> = {}
  for (const name of regions === undefined ? ['app'] : regions.map(({ id }) => id)) {
    pools[name] = {
      origins: [{ id: name, url: APP }],
      // Nobody but the app can answer, so nothing it answers shuts it out.
      outlier: { consecutive: 1_000_000, consecutiveConnect: 1_000_000, failureShare: 100 },
    }
  }
  const config: MeridianConfigInput = {
    waf: { mode: 'off' },
    telemetry: { access: { enabled: options.access !== undefined } },
    ...sections,
    pools,
    routes: [
      { ...route, retry: { tries: 1 }, ...(regions === undefined ? { pools: ['app'] } : {}) },
    ],
    ...(regions === undefined
      ? {}
      : { regions: regions.map((region) => ({ ...region, pools: [region.id] })) }),
  }
  const ready = starter(config, { ...options, upstream })
  const hasRegions = regions !== undefined
  return withTools(ready, async (c, next) => {
    const { gateway } = await ready()
    let exchange: Passage | undefined
    const response = await serve(gateway, c.req.raw, infoOf(c, options), {
      onAdmitted: (x) => {
        exchange = x
        upstream.begin({
          context: c,
          next,
          exchange: x,
          onChosen: (chosen, origin) => c.set('meridian', factsOf(chosen, origin, hasRegions)),
          isUsed: false,
        })
      },
    })
    if (exchange !== undefined) upstream.end(exchange)
    replace(c, response)
    return undefined
  })
}

function factsOf(x: Passage, origin: OriginAddress, hasRegions: boolean): GatewayFacts {
  const region = origin.id.slice(0, origin.id.indexOf('/'))
  return {
    id: x.id,
    geo: x.geo,
    principal: x.principal,
    verdicts: x.verdicts,
    region: hasRegions ? region : null,
  }
}

/** Hono would carry the fields of the handlers' own response over, those taken off included. */
function replace(c: Context, response: Response): void {
  // A stage is no hop.
  const headers = new Headers(response.headers)
  headers.delete('via')
  c.res = undefined
  c.res = new Response(response.body, {
    status: response.status,
    statusText: response.statusText,
    headers,
  })
}

function infoOf(c: Context, options: MiddlewareOptions): RequestInfo {
  return options.client === undefined ? clientInfo(c) : options.client(c)
}

/** Compiles once, with the first call; a failure is told to everybody, and not kept. */
function starter(
  config: MeridianConfigInput | string,
  options: MiddlewareOptions & Pick<WebGatewayOptions, 'upstream'>,
): () => Promise<WebGateway> {
  let starting: Promise<WebGateway> | undefined
  const start = async (): Promise<WebGateway> =>
    WebGateway.create({
      config: typeof config === 'string' ? config : JSON.stringify(config),
      files: options.files,
      env: options.env,
      rulesets: options.rulesets,
      log: options.log,
      access: options.access,
      upstream: options.upstream,
      limiters: options.limiters,
      limiterSecret: options.limiterSecret,
      processes: options.processes,
    })
  return () => {
    if (starting === undefined) {
      starting = start()
      starting.catch(() => {
        starting = undefined
      })
    }
    return starting
  }
}

function withTools(
  ready: () => Promise<WebGateway>,
  handle: (c: Context, next: Next) => Promise<Response | undefined>,
): GatewayMiddleware {
  const middleware: MiddlewareHandler = (c, next) => handle(c, next)
  return Object.assign(middleware, {
    ready,
    explain: async (query: EdgeExplainQuery) => explainRequest(await ready(), query),
  })
}
