/** The cache's tier of files, opened from the config, and its purges kept beside them. */
import { dirname, join, resolve } from 'node:path'
import type { ResponseCache } from '../../cache/response-cache.ts'
import { ConfigError } from '../../config/errors.ts'
import type { Logger } from '../../ports.ts'
import { DiskStore } from './cache-disk.ts'
import { nodeClock } from './clock.ts'
import type { ConfigBundle } from './config-file.ts'
import { PurgeLog } from './purge-log.ts'

/** Stored responses older than this are of no use to anybody: the longest lifetime and time to keep. */
const LONGEST_LIFE_MS = 2 * 365 * 86_400_000

export interface DiskTier {
  readonly store: DiskStore
  /** Applies purges of earlier runs, and notes those to come. Before the first request. */
  attach(cache: ResponseCache): Promise<void>
  /** Resolves when what was noted is on disk. */
  close(): Promise<void>
}

/**
 * @param worker number of this worker process, each of which has a folder of its own; undefined for one
 * @throws ConfigError when the folder cannot be used or the key is no key
 */
export async function openDiskTier(
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
    key: disk.key === undefined ? undefined : diskKey(bundle.secrets.get(disk.key)),
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
export function diskKey(text: string): Uint8Array {
  const trimmed = text.trim()
  const bytes = /^[0-9a-f]{64}$/i.test(trimmed)
    ? Buffer.from(trimmed, 'hex')
    : /^[A-Za-z0-9+/_-]{43}=?$/.test(trimmed)
      ? Buffer.from(trimmed, 'base64')
      : undefined
  if (bytes?.byteLength === 32) return new Uint8Array(bytes)
  throw new ConfigError([
    {
      path: 'cache.disk.key',
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
