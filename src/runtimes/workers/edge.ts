/**
 * One isolate's gateway: ports bound to what Cloudflare offers, started by the first request, since nothing
 * may be asked or drawn before one.
 */
import * as v from 'valibot'
import { joinTiers } from '../../cache/store/tiered-store.ts'
import type { LoadedConfig } from '../../config/load.ts'
import type { MeridianConfig } from '../../config/schema.ts'
import { ReserveSection } from '../../config/sections/cache.ts'
import type { Clock, Logger, OpenIdLibrary } from '../../ports.ts'
import { webClock } from '../web/clock.ts'
import { FetchUpstream } from '../web/fetch-upstream.ts'
import { type BuiltConfig, WebGateway, type WebGatewayOptions } from '../web/instance.ts'
import { fetchKeySource } from '../web/key-source.ts'
import type { RespondOptions } from '../web/respond.ts'
import { serve } from '../web/serve.ts'
import type { EdgeEnv, ExecutionContext } from './bindings.ts'
import { type ByteCache, CacheApiStore } from './cache-api-store.ts'
import { ConfigUpdates } from './config-updates.ts'
import { keepAlive, within } from './context.ts'
import { WORKERS_CAPABILITIES } from './edge-capabilities.ts'
import { HealthSync } from './health-sync.ts'
import { cachePolicies, NoticeSync } from './notice-sync.ts'
import { infoOf } from './peer.ts'
import { EdgeRecords } from './records.ts'
import { ReserveStore } from './reserve-store.ts'
import { EdgeLimits, shardsOf } from './shared-limits.ts'
import { classifyEdgeError, edgeFailure } from './upstream-errors.ts'

/** What a Worker is built with. */
export interface EdgeBundle extends BuiltConfig {
  /** Rulesets that the config uses, by name: the texts of `rules/NAME.json`. */
  readonly rulesets?: Readonly<Record<string, string>> | undefined
  /** For a config with a login: `openId` of `meridian-gateway/openid`. */
  readonly openId?: OpenIdLibrary | undefined
}

/** An isolate has 128 MB for everything. */
const MOST_CACHE_BYTES = 24 * 1024 * 1024
const MOST_FILL_BYTES = 16 * 1024 * 1024
const MOST_OBJECT_BYTES = 4 * 1024 * 1024

/** Content codings that the runtime takes off when a body is read. */
const DECODES: ReadonlySet<string> = new Set(['gzip', 'x-gzip', 'br'])

interface WithFixedLength {
  FixedLengthStream?: new (length: number) => TransformStream<Uint8Array, Uint8Array>
}

/** A stream with a declared length: one that ends early is then seen as cut. */
const fixedLength: NonNullable<RespondOptions['fixedLength']> = (stream, length) => {
  const { FixedLengthStream } = globalThis as WithFixedLength
  return FixedLengthStream === undefined
    ? stream
    : stream.pipeThrough(new FixedLengthStream(length))
}

const RESPOND: RespondOptions = { fixedLength, encodesBodies: true }

export class Edge {
  readonly web: WebGateway
  readonly updates: ConfigUpdates | undefined
  readonly health: HealthSync | undefined
  readonly notices: NoticeSync | undefined
  readonly reserve: ReserveStore | undefined
  readonly #isLocal: boolean

  private constructor(
    web: WebGateway,
    updates: ConfigUpdates | undefined,
    health: HealthSync | undefined,
    notices: NoticeSync | undefined,
    reserve: ReserveStore | undefined,
    isLocal: boolean,
  ) {
    this.web = web
    this.updates = updates
    this.health = health
    this.notices = notices
    this.reserve = reserve
    this.#isLocal = isLocal
  }

  /** @throws ConfigError when the bundle's own config cannot be used here */
  static async start(bundle: EdgeBundle, env: EdgeEnv, log: Logger): Promise<Edge> {
    const isLocal = env.PLATFORM === 'local'
    const reserve =
      env.RESERVE === undefined
        ? undefined
        : new ReserveStore({ bucket: env.RESERVE, clock: webClock, log, keepAlive })
    const web = await WebGateway.create(edgeOptions(bundle, env, log, reserve))
    warnOfMissing(env, web.loaded, log)
    const updates =
      env.CONFIG === undefined ? undefined : new ConfigUpdates(env.CONFIG, web, webClock, log)
    await updates?.read()
    const health = env.PROBER === undefined ? undefined : new HealthSync(env.PROBER, webClock, log)
    const { cache } = web.gateway.services
    const { metrics } = web.telemetry
    const notices =
      env.NOTICES === undefined
        ? undefined
        : new NoticeSync(env.NOTICES, cache, webClock, log, {
            keepAlive,
            observe: (news, clients) => metrics.penaltiesShared.add([news], clients),
          })
    reserve?.attach({
      cache,
      config: web.loaded.config.cache.reserve ?? v.parse(ReserveSection, {}),
      hasPurges: () => notices === undefined || notices.age !== null,
      keyPrefixes: () => cachePolicies(web.snapshot).map(({ key }) => key.prefix),
      observe: {
        looked: (outcome) => metrics.cacheReserveLookups.add([outcome]),
        wrote: (outcome) => metrics.cacheReserveWrites.add([outcome]),
      },
    })
    await notices?.start(web.snapshot)
    return new Edge(web, updates, health, notices, reserve, isLocal)
  }

  fetch(request: Request, context: ExecutionContext): Response | Promise<Response> {
    return within(context, () => {
      const update = this.updates?.refresh()
      if (update !== undefined) keepAlive(update)
      const reading = this.health?.refresh(this.web.snapshot)
      if (reading !== undefined) keepAlive(reading)
      const notices = this.notices?.refresh(this.web.snapshot)
      if (notices !== undefined) keepAlive(notices)
      return serve(this.web.gateway, request, infoOf(request, this.#isLocal), RESPOND)
    })
  }
}

/** The options of a gateway on Workers; also what checks a config before it is published. */
export function edgeOptions(
  bundle: EdgeBundle,
  env: EdgeEnv,
  log: Logger,
  reserve?: ReserveStore,
): WebGatewayOptions {
  const isLocal = env.PLATFORM === 'local'
  const clock: Clock = webClock
  const hasShared = env.COUNTERS !== undefined || env.FLOOD !== undefined
  return {
    ...bundle,
    name: 'workers',
    env: env as Readonly<Record<string, unknown>>,
    log,
    // A developer's origins are on the same machine.
    capabilities: { ...WORKERS_CAPABILITIES, addresses: isLocal },
    upstream: new FetchUpstream({
      decodes: DECODES,
      fixedLength,
      // Cloudflare's own cache would answer behind the gateway's back.
      init: { cf: { cacheTtl: 0, cacheEverything: false } } as RequestInit,
      onCall: keepAlive,
      failureOf: edgeFailure,
      classify: classifyEdgeError,
      webSockets: true,
    }),
    keys: keptAlive(fetchKeySource((...call) => fetch(...call))),
    access: new EdgeRecords({
      queue: env.RECORDS,
      analytics: env.ANALYTICS,
      keepAlive,
      print: printLine,
      log,
    }),
    keepAlive,
    lowerCache: joinTiers([
      new CacheApiStore({ cache: defaultCache, clock, keepAlive }),
      ...(reserve === undefined ? [] : [reserve]),
    ]),
    adapt,
    shared: hasShared
      ? new EdgeLimits({
          counters: env.COUNTERS,
          flood: env.FLOOD,
          shards: shardsOf(env.COUNTER_SHARDS),
          clock,
          log,
        })
      : undefined,
  }
}

/** Fits a config to an isolate. */
function adapt(loaded: LoadedConfig): LoadedConfig {
  const { cache, routes } = loaded.config
  return {
    ...loaded,
    report: () => loaded.report(),
    config: {
      ...loaded.config,
      cache: {
        ...cache,
        memory: Math.min(cache.memory, MOST_CACHE_BYTES),
        fillMemory: Math.min(cache.fillMemory, MOST_FILL_BYTES),
        maxMemoryObject: Math.min(cache.maxMemoryObject, MOST_OBJECT_BYTES),
      },
      // One request's stream may not be read by another: everybody asks for himself.
      routes: routes.map((route) =>
        route.cache === false
          ? route
          : {
              ...route,
              cache: { ...route.cache, coalesce: { ...route.cache.coalesce, enabled: false } },
            },
      ),
    },
  }
}

/** A key set that somebody waits for is fetched to its end, even if the first who asked has left. */
function keptAlive(source: ReturnType<typeof fetchKeySource>): typeof source {
  return {
    fetch(url, init) {
      const answer = source.fetch(url, init)
      keepAlive(answer)
      return answer
    },
  }
}

function defaultCache(): ByteCache {
  const { caches } = globalThis as unknown as { caches: { default: ByteCache } }
  return caches.default
}

function printLine(line: string): void {
  // biome-ignore lint/suspicious/noConsole: the platform's log is what there is without bindings
  console.log(line)
}

function hasCache({ routes }: MeridianConfig): boolean {
  return routes.some((route) => route.cache !== false)
}

/** One sentence for everything that is left out, once for each isolate. */
function warnOfMissing(env: EdgeEnv, { config }: LoadedConfig, log: Logger): void {
  const missing: string[] = []
  if (env.CONFIG === undefined) missing.push('CONFIG: the config changes with a deployment only')
  const hasChecks = Object.values(config.pools).some((pool) => pool.health !== undefined)
  if (env.PROBER === undefined && hasChecks) {
    missing.push('PROBER: origins are judged by live traffic alone')
  }
  if (env.NOTICES === undefined && (config.iam !== undefined || hasCache(config))) {
    missing.push('NOTICES: nothing can be purged or revoked')
  }
  if (env.NOTICES === undefined && config.penaltyBox !== undefined) {
    missing.push('NOTICES: each isolate has a penalty box of its own')
  }
  if (env.COUNTERS === undefined && config.limits.length > 0) {
    missing.push('COUNTERS: each isolate counts limits on its own')
  }
  if (env.RESERVE === undefined && config.cache.reserve !== undefined) {
    missing.push('RESERVE: there is no bucket for `cache.reserve`')
  }
  if (env.RECORDS === undefined && env.ANALYTICS === undefined && config.telemetry.access.enabled) {
    missing.push('RECORDS and ANALYTICS: the access log goes to the log of the Worker')
  }
  if (missing.length > 0) log.warn('bindings are missing', { missing })
}
