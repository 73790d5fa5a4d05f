/**
 * Puts one process's gateway together from its config: ports bound, stores opened, the first snapshot compiled.
 * Nothing listens yet.
 */
import { dirname } from 'node:path'
import type { RuntimeState } from '../../admin/state-view.ts'
import { ResponseCache } from '../../cache/response-cache.ts'
import { compileSnapshot } from '../../compile/compile.ts'
import { ConfigError } from '../../config/errors.ts'
import type { MeridianConfig } from '../../config/schema.ts'
import type { TelemetryConfig } from '../../config/sections/telemetry.ts'
import { Gateway } from '../../gateway.ts'
import { GeoSlots } from '../../geo/place.ts'
import { MmdbGeoSource } from '../../geo/source.ts'
import type { HealthEvent } from '../../health/board.ts'
import type { Revocation } from '../../iam/revocation.ts'
import type { Logger, Platform } from '../../ports.ts'
import type { Snapshot } from '../../snapshot.ts'
import type { AlertNotice } from '../../telemetry/alerts/notice.ts'
import { OtlpExport } from '../../telemetry/otlp/otlp-export.ts'
import { RequestRecorder } from '../../telemetry/recorder.ts'
import { Telemetry, type TelemetrySecrets } from '../../telemetry/telemetry.ts'
import { TopMisses } from '../../telemetry/top-misses.ts'
import { openId } from '../web/openid.ts'
import { Alerts } from './alerts.ts'
import { type Analytics, openAnalytics } from './analytics/analytics.ts'
import { type CacheTiers, openCacheTiers } from './cache-tiers.ts'
import { nodeClock, nodeRandom } from './clock.ts'
import { nodeCompressor } from './compressor.ts'
import type { ConfigBundle } from './config-file.ts'
import { nodeDecoder } from './decoder.ts'
import { GeoFileWatcher, oldest } from './geo-file.ts'
import { HealthShare } from './health-share.ts'
import { type Siblings, tellEjection } from './health-siblings.ts'
import { nodeKeySource } from './key-source.ts'
import { LogFile } from './log-file.ts'
import { LogRotation } from './log-rotation.ts'
import { operationsLog } from './operations-log.ts'
import { nodeProber } from './prober.ts'
import { processFacts } from './process-facts.ts'
import { openRedis, type RedisConnection } from './redis.ts'
import { RedisLimits } from './redis-limits.ts'
import { nameService, Resolver } from './resolver.ts'
import { RevocationShare } from './revocation-share.ts'
import type { RolloutKeeper } from './rollout-keeper.ts'
import { builtInRuleset } from './rulesets.ts'
import { restoreState } from './runtime-state.ts'
import { NodeServer } from './server.ts'
import { UndiciUpstream } from './undici-upstream.ts'
import { nodeUplink } from './uplink.ts'
import { VERSION } from './version.ts'

type Compile = (next: ConfigBundle, previous?: Snapshot) => Promise<Snapshot>

export interface InstanceOptions {
  readonly log?: Logger
  /** Number of this worker process, from 0; undefined where there is one process. */
  readonly worker?: number | undefined
  /** Other processes of this gateway, which share its health. */
  readonly siblings?: Siblings | undefined
  /** Where rollouts were before the restart, and who is told of changes; without it, they begin anew. */
  readonly rollouts?: RolloutKeeper | undefined
  /** What operators had ordered before the restart; in force before the first request. */
  readonly orders?: RuntimeState | undefined
  /** Hears what is revoked here without an order, by a logout. */
  readonly onRevoked?: ((revocation: Revocation) => void) | undefined
  /** Takes what this process would alert of; left out, it delivers that itself. */
  readonly tellAlert?: ((notice: AlertNotice) => void) | undefined
  /** What all workers sign with when the config names no secret. */
  readonly drawnSecret?: Uint8Array | undefined
}

/** What a process's gateway is made of. */
export interface Parts {
  readonly gateway: Gateway
  readonly platform: Platform
  readonly telemetry: Telemetry
  readonly geo: MmdbGeoSource
  readonly geoWatcher: GeoFileWatcher
  /** Undefined where the config names no server. */
  readonly redis: RedisConnection | undefined
  /** Limits that are counted there. */
  readonly fleet: RedisLimits | undefined
  readonly revocations: RevocationShare | undefined
  /** The health that a fleet shares. */
  readonly share: HealthShare | undefined
  readonly server: NodeServer
  readonly upstream: UndiciUpstream
  readonly resolver: Resolver
  readonly access: LogFile
  readonly rotation: LogRotation | undefined
  readonly alerts: Alerts
  readonly analytics: Analytics | undefined
  readonly otlp: OtlpExport
  readonly tiers: CacheTiers
  /** A snapshot of a config; the one before hands over what it has learnt. */
  readonly compile: Compile
}

/** @throws ConfigError, GeoFileError */
export async function assemble(bundle: ConfigBundle, options: InstanceOptions): Promise<Parts> {
  const log = options.log ?? operationsLog
  const { config } = bundle
  const slots = new GeoSlots()
  const geo = new MmdbGeoSource(slots)
  const geoWatcher = await watchGeo(geo, config.geo, log)
  let current: Gateway | undefined
  let share: HealthShare | undefined
  let metrics: Telemetry['metrics'] | undefined
  const resolver = new Resolver(nodeClock, nodeRandom, nameService(config.resolver), {
    changed: (name, addresses) =>
      log.info('an origin has other addresses', { name, addresses: addresses.join(' ') }),
    resolved: (result) => metrics?.nameResolutions.add([result]),
    failed: (name, error) =>
      log.warn('the name of an origin does not resolve; its last addresses stay in use', {
        name,
        error: error.message,
      }),
  })
  const upstream = new UndiciUpstream({
    resolver,
    onConnected: (originId, durationMs) => {
      const region = current?.snapshot.regionOfOrigin.get(originId)
      if (region === undefined) return
      current?.snapshot.steering.rtt.observe(region, durationMs, nodeClock.monotonic())
    },
  })
  const access = openAccessLog(config.telemetry)
  const analytics = openAnalytics(bundle, options.worker, log)
  const platform: Platform = {
    name: 'node',
    clock: nodeClock,
    random: nodeRandom,
    upstream,
    names: resolver,
    geo,
    keys: nodeKeySource,
    openId,
    access,
    log,
    decoder: nodeDecoder,
    compressor: nodeCompressor,
  }
  let server: NodeServer | undefined
  const telemetry = new Telemetry(config.telemetry, telemetrySecrets(bundle), {
    clock: nodeClock,
    random: nodeRandom,
    access,
    analytics: analytics?.writer,
    build: { version: VERSION, runtime: 'node' },
    process: processFacts(() => server?.connections ?? 0),
  })
  const redis = await openRedis(bundle, telemetry, log)
  const fleet = redis === undefined ? undefined : new RedisLimits(bundle, redis, nodeClock, log)
  metrics = telemetry.metrics
  const alerts = new Alerts(telemetry, log, options.tellAlert)
  const compile = (next: ConfigBundle, previous?: Snapshot): Promise<Snapshot> =>
    compileSnapshot(next, {
      platform,
      slots,
      previous,
      fleet: fleet?.limits,
      canShare: fleet !== undefined,
      drawnSecret:
        options.drawnSecret === undefined
          ? undefined
          : { bytes: options.drawnSecret, isAnnounced: options.worker === 0 },
      builtInRuleset,
      threats: {
        show: (ip) => telemetry.mask.ip(ip),
        onChange: (change) => telemetry.noteAnomaly(change),
      },
      probe: nodeProber(upstream),
      probePatience: options.siblings?.patience,
      onProbe: (id, result) => {
        telemetry.metrics.healthProbes.add([result.ok ? 'good' : 'bad'])
        options.siblings?.tell({ probed: id, result })
      },
      onHealthEvent: (event) => {
        telemetry.noteHealth(event)
        logHealth(log, event)
        share?.changed(event.origin)
        if (current !== undefined) alerts.look(() => (current as Gateway).snapshot)
        const board = current?.snapshot.health
        if (board !== undefined && options.siblings !== undefined)
          tellEjection(options.siblings, board, event)
      },
      onAddresses: ({ pool, added, removed, leftOut }) => {
        telemetry.note('health', 'addresses-changed', {
          pool,
          added: added.join(' '),
          removed: removed.join(' '),
        })
        if (leftOut > 0)
          log.warn('names of origins have more addresses than are used', { pool, leftOut })
      },
    })
  const snapshot = await compile(bundle)
  options.rollouts?.restore(snapshot, log)
  const tiers = await openCacheTiers(bundle, options.worker, redis, telemetry.metrics, log)
  const cache = openCache(config.cache, tiers)
  const { admin } = config
  const recorder =
    admin.enabled && admin.recorded > 0 ? new RequestRecorder(admin.recorded) : undefined
  const misses = admin.enabled ? new TopMisses() : undefined
  const services = { platform, telemetry, cache, recorder, misses, shared: fleet?.limits }
  const gateway = new Gateway(services, snapshot)
  if (options.orders !== undefined) restoreState({ snapshot, gateway, platform }, options.orders)
  await tiers.attach(cache)
  current = gateway
  const revocations =
    redis === undefined
      ? undefined
      : new RevocationShare({ redis, clock: nodeClock, random: nodeRandom, log })
  await revocations?.use(snapshot)
  if (redis !== undefined && config.healthSharing.enabled) {
    share = new HealthShare({
      redis,
      intervalMs: config.healthSharing.interval,
      speaks: (options.worker ?? 0) === 0,
      board: () => gateway.snapshot.health,
      clock: nodeClock,
      random: nodeRandom,
      metrics: telemetry.metrics,
    })
  }
  const otlp = new OtlpExport(telemetry, {
    clock: nodeClock,
    random: nodeRandom,
    log,
    build: { version: VERSION, runtime: 'nodejs' },
    uplink: ({ compression }) => nodeUplink(compression),
    hasBackground: true,
  })
  server = new NodeServer(gateway, config.listen, dirname(bundle.path), log)
  const rotation = rotationOf(config.telemetry, options.worker, log, access)
  return {
    gateway,
    platform,
    telemetry,
    geo,
    geoWatcher,
    redis,
    fleet,
    revocations,
    share,
    server,
    upstream,
    resolver,
    access,
    rotation,
    alerts,
    analytics,
    otlp,
    tiers,
    compile,
  }
}

/** Lets go of what is open after a start that failed. */
export async function abandon(parts: Parts): Promise<void> {
  parts.geoWatcher.stop()
  parts.revocations?.stop()
  parts.redis?.close()
  await parts.access.close()
  await parts.analytics?.close()
}

async function watchGeo(
  geo: MmdbGeoSource,
  config: MeridianConfig['geo'],
  log: Logger,
): Promise<GeoFileWatcher> {
  const { database, reload, allowIpv4Only, maxAge } = config
  const watcher = await GeoFileWatcher.start(
    geo,
    {
      paths: database === undefined ? [] : typeof database === 'string' ? [database] : database,
      canaries: reload.canaries,
      allowIpv4Only,
    },
    nodeClock,
    reload.interval,
    (result) => {
      if (result.outcome === 'swapped') {
        log.info('geo database reloaded', { countries: result.countries })
      } else {
        log.error('geo database not reloaded, the old one stays', { error: result.error.message })
      }
    },
  )
  warnIfStale(geo, maxAge, log)
  return watcher
}

function openCache(config: MeridianConfig['cache'], tiers: CacheTiers): ResponseCache {
  return new ResponseCache({
    clock: nodeClock,
    random: nodeRandom,
    name: config.name,
    statusHeader: config.statusHeader,
    memoryBytes: config.memory,
    admission: config.admission,
    maxMemoryObject: config.maxMemoryObject,
    fillMemory: config.fillMemory,
    lower: tiers.lower,
  })
}

/** What the `telemetry` section names, as read. */
export function telemetrySecrets(bundle: ConfigBundle): TelemetrySecrets {
  const { subjectKey } = bundle.config.telemetry.mask
  return subjectKey === undefined ? {} : { subjectKey: bundle.secrets.get(subjectKey) }
}

/** One of the processes rotates for all. */
function rotationOf(
  { access: { output } }: TelemetryConfig,
  worker: number | undefined,
  log: Logger,
  file: LogFile,
): LogRotation | undefined {
  if (typeof output === 'string' || (worker ?? 0) > 0) return undefined
  if (output.rotate === undefined && output.maxSize === undefined) return undefined
  return new LogRotation(output, nodeClock, log, () => file.reopen())
}

function openAccessLog(config: TelemetryConfig): LogFile {
  const { output } = config.access
  try {
    return new LogFile(output)
  } catch (error) {
    throw new ConfigError([
      {
        path: 'telemetry.access.output',
        message: `the access log cannot be opened: ${(error as Error).message}`,
        hint: 'the folder must exist and be writable for the user that runs the gateway',
      },
    ])
  }
}

function logHealth(log: Logger, { origin, from, to, cause }: HealthEvent): void {
  const message = `origin ${origin} is ${to}`
  if (to === 'up') log.info(message, { from, cause })
  else log.warn(message, { from, cause })
}

/** Addresses change hands: an old database places some of them wrongly. */
function warnIfStale(geo: MmdbGeoSource, maxAgeMs: number, log: Logger): void {
  const ageMs = Date.now() - oldest(geo.databases)
  if (ageMs <= maxAgeMs) return
  log.warn('the geo database is old', {
    builtAt: new Date(oldest(geo.databases)).toISOString(),
    ageDays: Math.floor(ageMs / 86_400_000),
    hint: 'name a newer one in geo.database, or raise geo.maxAge',
  })
}
