/**
 * One process's gateway: sockets open, config in use; reload by swapping a snapshot.
 */
import { ConfigError, formatProblem } from '../../config/errors.ts'
import type { Gateway } from '../../gateway.ts'
import type { MmdbGeoSource } from '../../geo/source.ts'
import type { Platform } from '../../ports.ts'
import type { Snapshot } from '../../snapshot.ts'
import type { RequestRecorder } from '../../telemetry/recorder.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import type { Alerts } from './alerts.ts'
import {
  abandon,
  assemble,
  type InstanceOptions,
  type Parts,
  telemetrySecrets,
} from './assemble.ts'
import { nodeClock } from './clock.ts'
import type { ConfigBundle } from './config-file.ts'
import { watchGauges } from './gauges.ts'
import type { HealthNote } from './health-siblings.ts'
import type { PurgeFleet } from './purge-fleet.ts'
import type { RedisConnection } from './redis.ts'
import type { RedisLimits } from './redis-limits.ts'
import { nameService } from './resolver.ts'
import type { RevocationShare } from './revocation-share.ts'

export type { InstanceOptions } from './assemble.ts'

export class Instance {
  readonly gateway: Gateway
  readonly platform: Platform
  readonly telemetry: Telemetry
  readonly geo: MmdbGeoSource
  readonly alerts: Alerts
  /** Undefined where the config names no server. */
  readonly redis: RedisConnection | undefined
  /** Limits that are counted there. */
  readonly fleet: RedisLimits | undefined
  readonly startedAt = Date.now()
  readonly #parts: Parts
  readonly #options: InstanceOptions
  /** Reloads one after another: two at once would each take the place of the same snapshot. */
  #reloading: Promise<unknown> = Promise.resolve()
  #bundle: ConfigBundle
  #loadedAt = Date.now()
  #lastError: string | null = null
  #stopping = false

  private constructor(parts: Parts, bundle: ConfigBundle, options: InstanceOptions) {
    this.#parts = parts
    this.#options = options
    this.#bundle = bundle
    this.gateway = parts.gateway
    this.platform = parts.platform
    this.telemetry = parts.telemetry
    this.geo = parts.geo
    this.alerts = parts.alerts
    this.redis = parts.redis
    this.fleet = parts.fleet
  }

  /** @throws ConfigError, GeoFileError */
  static async start(bundle: ConfigBundle, options: InstanceOptions = {}): Promise<Instance> {
    const parts = await assemble(bundle, options)
    try {
      await parts.server.start()
    } catch (error) {
      await abandon(parts)
      throw error
    }
    const instance = new Instance(parts, bundle, options)
    instance.#begin()
    return instance
  }

  /** What goes on by itself from now on. */
  #begin(): void {
    const { snapshot, telemetry } = this
    const { share, alerts, analytics, otlp, rotation } = this.#parts
    const { secrets, config } = this.#bundle
    otlp.configure(config.telemetry, (ref) => secrets.get(ref))
    rotation?.start()
    this.#shareRevocations(snapshot)
    snapshot.start()
    share?.start()
    alerts.configure(snapshot)
    telemetry.metrics.configSuccess.set([], 1)
    telemetry.metrics.configTimestamp.set([], this.#loadedAt / 1000)
    watchGauges(this.#parts)
    analytics?.watch(telemetry.metrics)
  }

  /** The other gateways that are told of purges; undefined without Redis. */
  get purgeFleet(): PurgeFleet | undefined {
    return this.#parts.tiers.fleet
  }

  get ports(): readonly number[] {
    return this.#parts.server.ports
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
      this.#options.onRevoked?.(revocation)
      if (this.#parts.revocations?.isFollowing === true)
        void this.#parts.revocations.revoke(revocation)
    })
  }

  async #reload(bundle: ConfigBundle): Promise<boolean> {
    const { log } = this.platform
    try {
      const before = this.gateway.snapshot
      const next = await this.#parts.compile(bundle, before)
      before.stop()
      this.#parts.resolver.use(nameService(bundle.config.resolver))
      next.start()
      // Before a request can ask: a list that was not read yet refuses.
      void this.#parts.revocations?.use(next)
      this.gateway.swap(next)
      this.#options.rollouts?.follow(next)
      this.#shareRevocations(next)
      this.telemetry.configure(bundle.config.telemetry, telemetrySecrets(bundle))
      this.#parts.analytics?.configure(bundle)
      this.#parts.otlp.configure(bundle.config.telemetry, (ref) => bundle.secrets.get(ref))
      this.alerts.configure(next)
      this.#parts.upstream.retain(
        [...next.pools.values()].flatMap((pool) => pool.origins.map((origin) => origin.address)),
      )
      this.#parts.server.refreshCertificates()
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
    return this.#parts.revocations?.isFollowing === true ? this.#parts.revocations : undefined
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
    this.#parts.access.reopen()
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
    const cut = await this.#parts.server.stop(shutdown.drain)
    this.#parts.geoWatcher.stop()
    this.#parts.share?.stop()
    this.#parts.revocations?.stop()
    this.alerts.stop()
    this.snapshot.stop()
    await this.#parts.upstream.close()
    await this.fleet?.close()
    await this.#parts.tiers.close()
    this.redis?.close()
    await this.#parts.otlp.stop()
    await this.#parts.rotation?.stop()
    await this.#parts.access.close()
    await this.#parts.analytics?.close()
    return cut
  }
}
