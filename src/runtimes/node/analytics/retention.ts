/** What is too old, or too much, goes: finished files only, the oldest first. */
import { rmdir, stat, unlink } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import type { Millis } from '../../../exchange.ts'
import { isFinished } from './compact.ts'
import { CLOSED, HOUR_MS, namesIn, PARQUET, partitions } from './layout.ts'

export interface RetentionOptions {
  readonly now: Millis
  readonly retentionMs: Millis
  readonly maxBytes: number
  /** Whether there is a copy elsewhere; undefined when nothing is uploaded. */
  readonly isUploaded?: ((file: string) => boolean) | undefined
}

export interface RetentionReport {
  readonly age: number
  readonly size: number
  /** Of these: files that were to be uploaded and were not. */
  readonly notUploaded: number
}

interface Kept {
  readonly path: string
  readonly file: string
  readonly size: number
  readonly isOld: boolean
}

export async function removeOld(dir: string, options: RetentionOptions): Promise<RetentionReport> {
  const files = await finishedFiles(dir, options)
  let total = files.reduce((sum, file) => sum + file.size, 0)
  let age = 0
  let size = 0
  let notUploaded = 0
  for (const file of files) {
    const isTooMuch = total > options.maxBytes
    if (!file.isOld && !isTooMuch) continue
    await unlink(file.path)
    total -= file.size
    if (file.isOld) age++
    else size++
    if (options.isUploaded?.(file.file) === false) notUploaded++
  }
  for (const partition of await partitions(dir)) await removeEmpty(partition.path)
  return { age, size, notUploaded }
}

/** Oldest first. */
async function finishedFiles(dir: string, options: RetentionOptions): Promise<Kept[]> {
  const found: Kept[] = []
  for (const partition of await partitions(dir)) {
    if (!isFinished(partition, options.now)) continue
    const isOld = options.now - (partition.start + HOUR_MS) > options.retentionMs
    for (const name of await namesIn(partition.path)) {
      if (!name.endsWith(CLOSED) && !name.endsWith(PARQUET)) continue
      const path = join(partition.path, name)
      found.push({ path, file: relative(dir, path), size: (await stat(path)).size, isOld })
    }
  }
  return found
}

async function removeEmpty(path: string): Promise<void> {
  for (const folder of [path, dirname(path)]) {
    if ((await namesIn(folder)).length > 0) return
    try {
      await rmdir(folder)
    } catch (error) {
      // Somebody begins a file there just now.
      if (error instanceof Error && 'code' in error && error.code === 'ENOTEMPTY') return
      throw error
    }
  }
}
