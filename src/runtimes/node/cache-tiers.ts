/** The slower tiers of the cache, opened from the config, and what keeps their purges. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { ResponseCache } from '../../cache/response-cache.ts'
import type { CacheStore } from '../../cache/store/cache-store.ts'
import { joinTiers } from '../../cache/store/tiered-store.ts'
import { ConfigError } from '../../config/errors.ts'
import type { Logger } from '../../ports.ts'
import type { GatewayMetrics } from '../../telemetry/gateway-metrics.ts'
import { DiskStore } from './cache-disk.ts'
import { RedisStore } from './cache-redis.ts'
import { nodeClock } from './clock.ts'
import type { ConfigBundle } from './config-file.ts'
import { type FleetOptions, PurgeFleet } from './purge-fleet.ts'
import { PurgeLog } from './purge-log.ts'
import type { RedisConnection } from './redis.ts'

/** Stored responses older than this are of no use to anybody: the longest lifetime and time to keep. */
const LONGEST_LIFE_MS = 2 * 365 * 86_400_000

export interface CacheTiers {
  readonly lower: CacheStore | undefined
  /** Undefined without Redis. */
  readonly fleet: PurgeFleet | undefined
  /** Applies purges of earlier runs and of the fleet, and passes on those to come. Before the first request. */
  attach(cache: ResponseCache): Promise<void>
  /** Resolves when what was noted is on disk. */
  close(): Promise<void>
}

/**
 * @param worker number of this worker process; undefined for one
 * @throws ConfigError when the folder of the disk cannot be used or a key is no key
 */
export async function openCacheTiers(
  bundle: ConfigBundle,
  worker: number | undefined,
  redis: RedisConnection | undefined,
  metrics: GatewayMetrics,
  log: Logger,
): Promise<CacheTiers> {
  const disk = await openDiskTier(bundle, worker, log)
  const fleet =
    redis === undefined
      ? undefined
      : new PurgeFleet(redis, {
          log,
          observer: {
            purges: (direction, names) => metrics.cacheFleetPurges.add([direction], names),
          },
          generation: disk?.generation,
        })
  const shared = bundle.config.cache.redis
  const tiers: CacheStore[] = disk === undefined ? [] : [disk.store]
  if (redis !== undefined && fleet !== undefined && shared !== undefined) {
    tiers.push(
      new RedisStore({
        redis,
        fleet,
        maxObject: shared.maxObject,
        keep: shared.keep,
        key:
          shared.key === undefined
            ? undefined
            : sealKey(bundle.secrets.get(shared.key), 'cache.redis.key'),
        clock: nodeClock,
        observe: {
          looked: (outcome) => metrics.cacheRedisLookups.add([outcome]),
          rejected: () => metrics.cacheRedisRejected.add([]),
        },
      }),
    )
  }
  if (fleet !== undefined) {
    metrics.registry.onCollect(() => metrics.cacheFleetWaiting.set([], fleet.waiting))
  }
  return {
    lower: joinTiers(tiers),
    fleet,
    attach: async (cache) => {
      await disk?.attach(cache)
      await fleet?.attach(cache)
    },
    close: async () => {
      fleet?.close()
      await disk?.close()
    },
  }
}

interface DiskTier {
  readonly store: DiskStore
  readonly generation: NonNullable<FleetOptions['generation']>
  /** Applies purges of earlier runs, and notes those to come. Before the first request. */
  attach(cache: ResponseCache): Promise<void>
  /** Resolves when what was noted is on disk. */
  close(): Promise<void>
}

/**
 * @param worker number of this worker process, each of which has a folder of its own; undefined for one
 * @throws ConfigError when the folder cannot be used or the key is no key
 */
async function openDiskTier(
  bundle: ConfigBundle,
  worker: number | undefined,
  log: Logger,
): Promise<DiskTier | undefined> {
  const { disk } = bundle.config.cache
  if (disk === undefined) return undefined
  const top = resolve(dirname(bundle.path), disk.directory)
  const directory = worker === undefined ? top : join(top, `worker-${worker}`)
  const processes = worker === undefined ? 1 : workerCount()
  const store = new DiskStore({
    directory,
    capacityBytes: Math.floor(disk.size / processes),
    maxObject: disk.maxObject,
    key:
      disk.key === undefined ? undefined : sealKey(bundle.secrets.get(disk.key), 'cache.disk.key'),
    clock: nodeClock,
    log,
  })
  const purges = new PurgeLog(join(directory, 'purges.jsonl'), log)
  try {
    await store.start()
  } catch (error) {
    throw unusable(error)
  }
  return {
    store,
    generation: fileOf(join(directory, 'generation'), log),
    attach: async (cache) => {
      try {
        await purges.attach(cache.epochs, nodeClock.now() - LONGEST_LIFE_MS)
      } catch (error) {
        throw unusable(error)
      }
    },
    close: () => purges.flushed(),
  }
}

/** One word in a file of its own. */
function fileOf(path: string, log: Logger): NonNullable<FleetOptions['generation']> {
  return {
    read: () => (existsSync(path) ? readFileSync(path, 'utf8') : undefined),
    write: (text) => {
      try {
        writeFileSync(path, text)
      } catch (error) {
        log.error('what is on disk will be purged at the next start: a file cannot be written', {
          path,
          message: error instanceof Error ? error.message : String(error),
        })
      }
    },
  }
}

/** How many processes share the disk; the primary tells its workers. */
function workerCount(): number {
  return Math.max(1, Number(process.env.MERIDIAN_WORKERS ?? 1) || 1)
}

/** The number of this worker process, 0 for the first; undefined where there is one process. */
export function workerNumber(): number | undefined {
  const text = process.env.MERIDIAN_WORKER
  return text !== undefined && /^\d{1,3}$/.test(text) ? Number(text) : undefined
}

/**
 * A key of AES-256 out of a secret: 64 hexadecimal digits, or 32 bytes in base64 or base64url.
 * @throws ConfigError for anything else
 */
export function sealKey(text: string, path: string): Uint8Array {
  const trimmed = text.trim()
  const bytes = /^[0-9a-f]{64}$/i.test(trimmed)
    ? Buffer.from(trimmed, 'hex')
    : /^[A-Za-z0-9+/_-]{43}=?$/.test(trimmed)
      ? Buffer.from(trimmed, 'base64')
      : undefined
  if (bytes?.byteLength === 32) return new Uint8Array(bytes)
  throw new ConfigError([
    {
      path,
      message: 'the key is not 32 bytes in hexadecimal or base64',
      hint: 'make one with: openssl rand -hex 32',
    },
  ])
}

function unusable(error: unknown): ConfigError {
  return new ConfigError([
    {
      path: 'cache.disk.directory',
      message: `the cache cannot use its folder: ${error instanceof Error ? error.message : String(error)}`,
      hint: 'the folder must be writable for the user that runs the gateway',
    },
  ])
}
