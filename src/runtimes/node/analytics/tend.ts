/** One pass over a folder: complete what the dead have left, compact, upload, remove. Safe to kill anywhere. */
import { dirname, join, relative, resolve } from 'node:path'
import type { Logger } from '../../../ports.ts'
import type { ConfigBundle } from '../config-file.ts'
import { adoptOrphans, type CompactReport, compact, isFinished } from './compact.ts'
import { CLOSED, namesIn, PARQUET, partitions } from './layout.ts'
import { FolderLock } from './lock.ts'
import { ObjectStore, type StoreSettings } from './object-store.ts'
import { removeOld } from './retention.ts'
import { UploadJournal, type UploadReport, upload } from './upload.ts'

/** Plain data: goes to the process that does it. */
export interface TendSettings {
  readonly dir: string
  readonly retentionMs: number
  readonly maxBytes: number
  readonly compact: boolean
  readonly upload: (StoreSettings & { readonly prefix: string }) | undefined
}

export interface TendReport {
  /** Another process tends the folder; nothing was done. */
  readonly isBusy: boolean
  readonly compacted: CompactReport
  readonly uploaded: UploadReport
  readonly removed: { readonly age: number; readonly size: number; readonly notUploaded: number }
  /** What could not be done, by task. */
  readonly failures: readonly { readonly task: string; readonly error: string }[]
}

/** @returns undefined when the config keeps no requests */
export function tendSettings({ config, path, secrets }: ConfigBundle): TendSettings | undefined {
  const { analytics } = config.telemetry
  if (analytics === undefined) return undefined
  const { upload: to } = analytics
  return {
    dir: resolve(dirname(path), analytics.dir),
    retentionMs: analytics.retention,
    maxBytes: analytics.maxSize,
    compact: analytics.compact,
    upload:
      to === undefined
        ? undefined
        : {
            endpoint: to.endpoint,
            region: to.region,
            bucket: to.bucket,
            addressing: to.addressing,
            prefix: to.prefix === '' ? '' : `${to.prefix.replace(/\/$/, '')}/`,
            accessKeyId: secrets.get(to.accessKeyId),
            secretAccessKey: secrets.get(to.secretAccessKey),
            sessionToken: to.sessionToken === undefined ? undefined : secrets.get(to.sessionToken),
            bytesPerSecond: to.bandwidth,
          },
  }
}

export async function tend(settings: TendSettings, log: Logger): Promise<TendReport> {
  const failures: { task: string; error: string }[] = []
  const compacted: CompactReport = { files: 0, records: 0, torn: 0, malformed: 0 }
  const uploaded: UploadReport = { stored: 0, found: 0, failed: 0, bytes: 0 }
  let removed = { age: 0, size: 0, notUploaded: 0 }
  const lock = await FolderLock.take(settings.dir)
  if (lock === undefined) return { isBusy: true, compacted, uploaded, removed, failures }
  const attempt = async (task: string, run: () => Promise<void>): Promise<void> => {
    try {
      await run()
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      failures.push({ task, error: message })
      log.error(`analytics: ${task} failed`, { error: message })
    }
  }
  try {
    const now = Date.now()
    for (const partition of await partitions(settings.dir)) {
      // One damaged hour does not keep the others.
      await attempt('compaction', async () => {
        await adoptOrphans(partition, now)
        if (settings.compact && isFinished(partition, now)) {
          await compact(partition, { now }, compacted)
        }
      })
    }
    let journal: UploadJournal | undefined
    const { upload: to } = settings
    if (to !== undefined) {
      await attempt('upload', async () => {
        const target = `${to.endpoint}/${to.bucket}/${to.prefix}`
        journal = await UploadJournal.open(settings.dir, target)
        const files = await uploadable(settings, now)
        const { prefix } = to
        await upload(
          settings.dir,
          files,
          { store: new ObjectStore(to), journal, prefix, log },
          uploaded,
        )
      })
    }
    await attempt('removal', async () => {
      const { retentionMs, maxBytes } = settings
      const isUploaded = to && ((file: string) => journal?.has(file) === true)
      removed = await removeOld(settings.dir, { now, retentionMs, maxBytes, isUploaded })
    })
  } finally {
    await lock.release()
  }
  return { isBusy: false, compacted, uploaded, removed, failures }
}

/** Parquet of finished hours, or their lines where nothing is compacted; oldest first. */
async function uploadable(settings: TendSettings, now: number): Promise<string[]> {
  const found: string[] = []
  const ending = settings.compact ? PARQUET : CLOSED
  for (const partition of await partitions(settings.dir)) {
    if (!isFinished(partition, now)) continue
    for (const name of await namesIn(partition.path)) {
      if (name.endsWith(ending)) found.push(relative(settings.dir, join(partition.path, name)))
    }
  }
  return found
}
