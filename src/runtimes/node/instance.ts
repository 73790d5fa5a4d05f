/**
 * One process's gateway: ports bound, config compiled, sockets open; reload by swapping a snapshot.
 */
import { dirname } from 'node:path'
import type { RuntimeState } from '../../admin/state-view.ts'
import { ResponseCache } from '../../cache/response-cache.ts'
import { compileSnapshot } from '../../compile/compile.ts'
import { ConfigError, formatProblem } from '../../config/errors.ts'
import type { TelemetryConfig } from '../../config/sections/telemetry.ts'
import { Gateway } from '../../gateway.ts'
import { GeoSlots } from '../../geo/place.ts'
import { MmdbGeoSource } from '../../geo/source.ts'
import type { HealthEvent } from '../../health/board.ts'
import type { Revocation } from '../../iam/revocation.ts'
import type { Logger, Platform } from '../../ports.ts'
import type { Snapshot } from '../../snapshot.ts'
import { isInMask } from '../../steering/regions.ts'
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
import { type HealthNote, type Siblings, tellEjection } from './health-siblings.ts'
import { nodeKeySource } from './key-source.ts'
import { LogFile } from './log-file.ts'
import { LogRotation } from './log-rotation.ts'
import { operationsLog } from './operations-log.ts'
import { nodeProber } from './prober.ts'
import { processFacts } from './process-facts.ts'
import type { PurgeFleet } from './purge-fleet.ts'
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

export class Instance {
  readonly gateway: Gateway
  readonly platform: Platform
  readonly telemetry: Telemetry
  readonly geo: MmdbGeoSource
  /** Undefined where the config names no server. */
  readonly redis: RedisConnection | undefined
  /** Limits that are counted there. */
  readonly fleet: RedisLimits | undefined
  readonly startedAt = Date.now()
  readonly #server: NodeServer
  readonly #upstream: UndiciUpstream
  readonly #resolver: Resolver
  readonly alerts: Alerts
  readonly #access: LogFile
  readonly #analytics: Analytics | undefined
  readonly #otlp: OtlpExport
  readonly #rotation: LogRotation | undefined
  readonly #geoWatcher: GeoFileWatcher
  readonly #compile: Compile
  /** Reloads one after another: two at once would each take the place of the same snapshot. */
  #reloading: Promise<unknown> = Promise.resolve()
  readonly #rollouts: RolloutKeeper | undefined
  readonly #onRevoked: InstanceOptions['onRevoked']
  #share: HealthShare | undefined
  readonly #revocations: RevocationShare | undefined
  readonly #tiers: CacheTiers
  #bundle: ConfigBundle
  #loadedAt = Date.now()
  #lastError: string | null = null
  #stopping = false

  private constructor(parts: {
    gateway: Gateway
    platform: Platform
    telemetry: Telemetry
    geo: MmdbGeoSource
    redis: RedisConnection | undefined
    fleet: RedisLimits | undefined
    revocations: RevocationShare | undefined
    server: NodeServer
    upstream: UndiciUpstream
    resolver: Resolver
    access: LogFile
    alerts: Alerts
    analytics: Analytics | undefined
    otlp: OtlpExport
    rotation: LogRotation | undefined
    geoWatcher: GeoFileWatcher
    compile: Compile
    rollouts: RolloutKeeper | undefined
    onRevoked: InstanceOptions['onRevoked']
    tiers: CacheTiers
    bundle: ConfigBundle
  }) {
    this.gateway = parts.gateway
    this.platform = parts.platform
    this.telemetry = parts.telemetry
    this.geo = parts.geo
    this.redis = parts.redis
    this.fleet = parts.fleet
    this.#revocations = parts.revocations
    this.#server = parts.server
    this.#upstream = parts.upstream
    this.#resolver = parts.resolver
    this.#access = parts.access
    this.alerts = parts.alerts
    this.#analytics = parts.analytics
    this.#otlp = parts.otlp
    this.#rotation = parts.rotation
    this.#geoWatcher = parts.geoWatcher
    this.#compile = parts.compile
    this.#rollouts = parts.rollouts
    this.#onRevoked = parts.onRevoked
    this.#tiers = parts.tiers
    this.#bundle = parts.bundle
  }

  /** @throws ConfigError, GeoFileError */
  static async start(bundle: ConfigBundle, options: InstanceOptions = {}): Promise<Instance> {
    const log = options.log ?? operationsLog
    const { config } = bundle
    const slots = new GeoSlots()
    const geo = new MmdbGeoSource(slots)
    const { database } = config.geo
    const geoWatcher = await GeoFileWatcher.start(
      geo,
      {
        paths: database === undefined ? [] : typeof database === 'string' ? [database] : database,
        canaries: config.geo.reload.canaries,
        allowIpv4Only: config.geo.allowIpv4Only,
      },
      nodeClock,
      config.geo.reload.interval,
      (result) => {
        if (result.outcome === 'swapped')
          log.info('geo database reloaded', { countries: result.countries })
        else
          log.error('geo database not reloaded, the old one stays', { error: result.error.message })
      },
    )
    warnIfStale(geo, config.geo.maxAge, log)
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
          noteHealth(telemetry, log, event)
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
    const cache = new ResponseCache({
      clock: nodeClock,
      random: nodeRandom,
      name: config.cache.name,
      statusHeader: config.cache.statusHeader,
      memoryBytes: config.cache.memory,
      admission: config.cache.admission,
      maxMemoryObject: config.cache.maxMemoryObject,
      fillMemory: config.cache.fillMemory,
      lower: tiers.lower,
    })
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
    server = new NodeServer(gateway, config.listen, dirname(bundle.path), log)
    try {
      await server.start()
    } catch (error) {
      geoWatcher.stop()
      revocations?.stop()
      redis?.close()
      await access.close()
      await analytics?.close()
      throw error
    }
    const otlp = new OtlpExport(telemetry, {
      clock: nodeClock,
      random: nodeRandom,
      log,
      build: { version: VERSION, runtime: 'nodejs' },
      uplink: ({ compression }) => nodeUplink(compression),
      hasBackground: true,
    })
    otlp.configure(config.telemetry, (ref) => bundle.secrets.get(ref))
    const instance = new Instance({
      gateway,
      platform,
      telemetry,
      geo,
      redis,
      fleet,
      revocations,
      server,
      upstream,
      resolver,
      access,
      alerts,
      analytics,
      otlp,
      rotation: rotationOf(config.telemetry, options.worker, log, access),
      geoWatcher,
      compile,
      rollouts: options.rollouts,
      onRevoked: options.onRevoked,
      tiers,
      bundle,
    })
    instance.#shareRevocations(snapshot)
    snapshot.start()
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
      share.start()
      instance.#share = share
    }
    alerts.configure(snapshot)
    instance.#watchGauges()
    analytics?.watch(telemetry.metrics)
    return instance
  }

  #watchGauges(): void {
    const { metrics } = this.telemetry
    metrics.configSuccess.set([], 1)
    metrics.configTimestamp.set([], this.#loadedAt / 1000)
    metrics.registry.onCollect(() => {
      metrics.geoAge.set([], Math.max(0, (Date.now() - oldest(this.geo.databases)) / 1000))
      metrics.logDropped.setTotal([], this.#access.dropped)
      this.fleet?.observe(metrics)
      const known = this.snapshot.identity?.revocations.size
      if (known !== undefined) metrics.revocations.set([], known)
      const age = this.revocations?.age
      if (age !== undefined) metrics.revocationsAge.set([], age / 1000)
      if (this.redis !== undefined) metrics.redisUp.set([], this.redis.state === 'up' ? 1 : 0)
      const { health, regions, drains } = this.snapshot
      drains.advance(nodeClock.now())
      if (this.#share !== undefined) metrics.fleetGateways.set([], this.#share.gateways)
      // Addresses come and go; what is gone is not to be shown for ever.
      metrics.originHealthy.forget()
      for (const state of health.states()) {
        const isUp = state.tier === 'up' || state.tier === 'unknown' || state.tier === 'trial'
        metrics.originHealthy.set([state.id], isUp ? 1 : 0)
      }
      regions.ids().forEach((id, index) => {
        const isUp = isInMask(health.low, health.high, index)
        metrics.regionHealthy.set([id], isUp ? 1 : 0)
        const isDrained = drains.has(index) || regions.at(index).drain
        metrics.regionDrained.set([id], isDrained ? 1 : 0)
      })
      if (this.gateway.services.cache !== undefined) {
        metrics.observeCache(this.gateway.services.cache.stats())
      }
    })
  }

  /** The other gateways that are told of purges; undefined without Redis. */
  get purgeFleet(): PurgeFleet | undefined {
    return this.#tiers.fleet
  }

  get ports(): readonly number[] {
    return this.#server.ports
  }

  get bundle(): ConfigBundle {
    return this.#bundle
  }

  get loadedAt(): number {
    return this.#loadedAt
  }

  get lastError(): string | null {
    return this.#lastError
  }

  get isStopping(): boolean {
    return this.#stopping
  }

  get recorder(): RequestRecorder | undefined {
    return this.gateway.services.recorder
  }

  get snapshot(): Snapshot {
    return this.gateway.snapshot
  }

  /** Resolves when no reload is under way: what is changed then is not lost by the next snapshot. */
  async settled(): Promise<void> {
    await this.#reloading
  }

  /** Takes a new config over, or says why not and keeps the old one. */
  reload(bundle: ConfigBundle): Promise<boolean> {
    const done = this.#reloading.then(() => this.#reload(bundle))
    this.#reloading = done
    return done
  }

  /** A logout ends the session in the other processes too, and in the fleet where the list is shared. */
  #shareRevocations({ identity }: Snapshot): void {
    identity?.revocations.onAnnounced((revocation) => {
      this.#onRevoked?.(revocation)
      if (this.#revocations?.isFollowing === true) void this.#revocations.revoke(revocation)
    })
  }

  async #reload(bundle: ConfigBundle): Promise<boolean> {
    const { log } = this.platform
    try {
      const before = this.gateway.snapshot
      const next = await this.#compile(bundle, before)
      before.stop()
      this.#resolver.use(nameService(bundle.config.resolver))
      next.start()
      // Before a request can ask: a list that was not read yet refuses.
      void this.#revocations?.use(next)
      this.gateway.swap(next)
      this.#rollouts?.follow(next)
      this.#shareRevocations(next)
      this.telemetry.configure(bundle.config.telemetry, telemetrySecrets(bundle))
      this.#analytics?.configure(bundle)
      this.#otlp.configure(bundle.config.telemetry, (ref) => bundle.secrets.get(ref))
      this.alerts.configure(next)
      this.#upstream.retain(
        [...next.pools.values()].flatMap((pool) => pool.origins.map((origin) => origin.address)),
      )
      this.#server.refreshCertificates()
      this.#bundle = bundle
      this.#loadedAt = Date.now()
      this.#lastError = null
      this.telemetry.metrics.configReloads.add(['success'])
      this.telemetry.metrics.configSuccess.set([], 1)
      this.telemetry.metrics.configTimestamp.set([], this.#loadedAt / 1000)
      this.telemetry.note('config', 'reloaded', { hash: bundle.hash.slice(0, 12) })
      log.info('config reloaded', { hash: bundle.hash.slice(0, 12) })
      return true
    } catch (error) {
      this.reloadFailed(error)
      return false
    }
  }

  /** Revocations of the fleet; undefined where nothing is shared. */
  get revocations(): RevocationShare | undefined {
    return this.#revocations?.isFollowing === true ? this.#revocations : undefined
  }

  /** The new config does not read or compile: the old one goes on. */
  reloadFailed(error: unknown): void {
    const message =
      error instanceof ConfigError
        ? error.problems.map(formatProblem).join('\n')
        : error instanceof Error
          ? error.message
          : String(error)
    this.#lastError = message
    this.telemetry.metrics.configReloads.add(['failure'])
    this.telemetry.metrics.configSuccess.set([], 0)
    this.telemetry.note('config', 'reload-failed', { error: message.slice(0, 500) })
    this.platform.log.error('config not reloaded, the old one stays', { error: message })
  }

  /** What another process of this gateway found out. */
  heardHealth(note: HealthNote): void {
    const { health, heardProbe } = this.snapshot
    if ('probed' in note) heardProbe(note.probed, note.result)
    else {
      const now = nodeClock.monotonic()
      health.adoptEjection(note.ejected, now + note.forMs, now)
    }
  }

  reopenLog(): void {
    this.#access.reopen()
  }

  /**
   * Drains and stops.
   * @returns how many connections had to be cut
   */
  async stop(): Promise<number> {
    if (this.#stopping) return 0
    this.#stopping = true
    const { shutdown } = this.#bundle.config
    if (shutdown.delay > 0) await new Promise((resolve) => setTimeout(resolve, shutdown.delay))
    const cut = await this.#server.stop(shutdown.drain)
    this.#geoWatcher.stop()
    this.#share?.stop()
    this.#revocations?.stop()
    this.alerts.stop()
    this.snapshot.stop()
    await this.#upstream.close()
    await this.fleet?.close()
    await this.#tiers.close()
    this.redis?.close()
    await this.#otlp.stop()
    await this.#rotation?.stop()
    await this.#access.close()
    await this.#analytics?.close()
    return cut
  }
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
  const rotation = new LogRotation(output, nodeClock, log, () => file.reopen())
  rotation.start()
  return rotation
}

function telemetrySecrets(bundle: ConfigBundle): TelemetrySecrets {
  const { subjectKey } = bundle.config.telemetry.mask
  return subjectKey === undefined ? {} : { subjectKey: bundle.secrets.get(subjectKey) }
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

function noteHealth(telemetry: Telemetry, log: Logger, event: HealthEvent): void {
  const { origin, from, to, cause } = event
  // By the origin of the config: addresses would make series without end.
  telemetry.metrics.healthTransitions.add([origin.replace(/@[\da-f.:[\]]+$/i, ''), from, to])
  telemetry.note('health', `${from} to ${to}`, { origin, cause })
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
