/**
 * A subject's records out of the files of analytics. Finished hours only: the file of the present one belongs to
 * the gateway that writes it. What a gateway compacts meanwhile is found by going over it again.
 */
import { open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CLOSED,
  HALF_MADE,
  namesIn,
  OPEN,
  PARQUET,
  type Partition,
  partitions,
  syncFolder,
} from '../runtimes/node/analytics/layout.ts'
import { RowReader, RowWriter } from '../runtimes/node/analytics/parquet.ts'
import { COLUMN_NAMES } from '../runtimes/node/analytics/row.ts'
import { type Erased, eraseLines, type LineTest } from './erase-file.ts'
import { CommandError } from './terminal.ts'

export interface AnalyticsErased extends Erased {
  /** Hers, but in a file that is being written. */
  readonly left: number
}

const MOST_PASSES = 3

/**
 * @param shown  the subject as it stands in records
 * @param isHers the same for a line
 * @returns a result for each file in which something was found, or that cannot be read
 */
export async function eraseAnalytics(
  dir: string,
  shown: string,
  isHers: LineTest,
  isDry: boolean,
): Promise<AnalyticsErased[]> {
  const results = new Map<string, AnalyticsErased>()
  for (let pass = 0; pass < MOST_PASSES; pass++) {
    let erased = 0
    for (const partition of await partitions(dir)) {
      for (const one of await erasePartition(partition, shown, isHers, isDry)) {
        erased += one.erased
        const before = results.get(one.file)?.erased ?? 0
        if (one.erased + one.left + one.unreadable > 0) {
          results.set(one.file, { ...one, erased: before + one.erased })
        }
      }
    }
    if (isDry || erased === 0) break
  }
  return [...results.values()]
}

async function erasePartition(
  partition: Partition,
  shown: string,
  isHers: LineTest,
  isDry: boolean,
): Promise<AnalyticsErased[]> {
  const results: AnalyticsErased[] = []
  for (const name of await namesIn(partition.path)) {
    const file = join(partition.path, name)
    try {
      if (name.endsWith(OPEN)) {
        const found = await eraseLines(file, isHers, { isLive: false, isDry: true })
        // The last line may be half written.
        results.push({ ...found, erased: 0, left: found.erased, unreadable: 0 })
      } else if (name.endsWith(CLOSED)) {
        results.push({ ...(await eraseLines(file, isHers, { isLive: false, isDry })), left: 0 })
      } else if (name.endsWith(PARQUET)) {
        results.push(await eraseRows(file, shown, isDry))
      }
    } catch (error) {
      // Compacted or outlived meanwhile: what became of it is looked at in the next pass.
      if (!isGone(error)) throw error
    }
  }
  return results
}

async function eraseRows(file: string, shown: string, isDry: boolean): Promise<AnalyticsErased> {
  const temporary = file.slice(0, -PARQUET.length) + HALF_MADE
  const source = await open(file, 'r')
  try {
    const reader = await RowReader.open(source)
    let erased = 0
    for await (const { subject } of reader.rows(['subject'])) if (subject === shown) erased++
    const result = { file, erased, kept: reader.rowCount - erased, unreadable: 0, left: 0 }
    if (isDry || erased === 0) return result
    const { mode } = await source.stat()
    const target = await open(temporary, 'wx', mode & 0o777)
    try {
      // Made of the same files: they do not count any more, as before.
      const writer = new RowWriter(target, reader.inputs)
      for await (const row of reader.rows(COLUMN_NAMES)) {
        if (row.subject !== shown) await writer.add(row)
      }
      await writer.finish()
      await target.sync()
    } finally {
      await target.close()
    }
    await rename(temporary, file)
    await syncFolder(join(file, '..'))
    return result
  } catch (error) {
    await rm(temporary, { force: true })
    if (isGone(error)) throw error
    throw new CommandError(`${file}: ${(error as Error).message}`, undefined, { cause: error })
  } finally {
    await source.close()
  }
}

function isGone(error: unknown): boolean {
  const cause = error instanceof CommandError ? error.cause : error
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
}
