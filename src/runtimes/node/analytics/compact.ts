/**
 * Finished hours as Parquet. The one moment that counts is the rename of a Parquet file that is whole and on
 * the disk: its footer names the files it was made of, and from then on those do not count. Killed before,
 * nothing has happened; killed after, the next pass removes what is left of them.
 */
import { createHash } from 'node:crypto'
import { type FileHandle, open, rename, stat, unlink, utimes } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Millis } from '../../../exchange.ts'
import {
  CLOSED,
  HALF_MADE,
  HOUR_MS,
  isMissing,
  namesIn,
  OPEN,
  PARQUET,
  type Partition,
  syncFolder,
  thisWriter,
  writerOf,
} from './layout.ts'
import { isAlive } from './lock.ts'
import { RowReader, RowWriter } from './parquet.ts'
import { lineRows } from './read.ts'

export interface CompactReport {
  /** Parquet files made. */
  files: number
  records: number
  /** Lines without an end, of killed processes, and lines that are no records. */
  torn: number
  malformed: number
}

/** Where a pass is; tests stop it there. */
export type CompactStep = 'written' | 'renamed' | 'removed'

export interface CompactOptions {
  readonly now: Millis
  readonly onStep?: (step: CompactStep) => void
}

/** After the end of an hour its files need a moment to be completed. */
export const SETTLE_MS = 30_000
/** A file that nobody has written to for so long, after its hour, has lost its process. */
const ORPHAN_MS = 15 * 60_000
/** Text that goes into one Parquet file, about a tenth of it: far below what one upload may carry. */
const MAX_INPUT_BYTES = 512 * 1024 ** 2

export function isFinished(partition: Partition, now: Millis): boolean {
  return now >= partition.start + HOUR_MS + SETTLE_MS
}

/**
 * Completes files whose process is gone.
 * @returns how many
 */
export async function adoptOrphans(partition: Partition, now: Millis): Promise<number> {
  const { host } = thisWriter(now)
  let count = 0
  for (const name of await namesIn(partition.path)) {
    if (!name.endsWith(OPEN)) continue
    const path = join(partition.path, name)
    const writer = writerOf(name)
    const isGone = writer !== undefined && writer.host === host && !isAlive(writer.pid)
    const isOld =
      now >= partition.start + HOUR_MS + ORPHAN_MS && now - (await changedAt(path)) >= ORPHAN_MS
    if (!isGone && !isOld) continue
    try {
      await rename(path, path.slice(0, -OPEN.length) + CLOSED)
      count++
    } catch (error) {
      // Its process has completed it just now.
      if (!isMissing(error)) throw error
    }
  }
  if (count > 0) await syncFolder(partition.path)
  return count
}

async function changedAt(path: string): Promise<Millis> {
  try {
    return (await stat(path)).mtimeMs
  } catch (error) {
    if (isMissing(error)) return Number.POSITIVE_INFINITY
    throw error
  }
}

export async function compact(
  partition: Partition,
  options: CompactOptions,
  report: CompactReport,
): Promise<void> {
  await finishEarlier(partition, options)
  let inputs: string[] = []
  let bytes = 0
  for (const name of await namesIn(partition.path)) {
    if (!name.endsWith(CLOSED)) continue
    const { size } = await stat(join(partition.path, name))
    if (inputs.length > 0 && bytes + size > MAX_INPUT_BYTES) {
      await compactFiles(partition, inputs, options, report)
      inputs = []
      bytes = 0
    }
    inputs.push(name)
    bytes += size
  }
  if (inputs.length > 0) await compactFiles(partition, inputs, options, report)
}

/** What a killed pass has left: half-made files, and files that have been taken over. */
async function finishEarlier({ path }: Partition, options: CompactOptions): Promise<void> {
  const names = await namesIn(path)
  for (const name of names) {
    if (name.endsWith(HALF_MADE)) await unlink(join(path, name))
  }
  if (!names.some((name) => name.endsWith(CLOSED))) return
  const present = new Set(names)
  for (const name of names) {
    if (!name.endsWith(PARQUET)) continue
    const inputs = await inputsOf(join(path, name))
    await remove(
      path,
      inputs.filter((input) => present.has(input)),
      options,
    )
  }
}

async function inputsOf(path: string): Promise<readonly string[]> {
  const handle = await open(path, 'r')
  try {
    return (await RowReader.open(handle)).inputs
  } catch (error) {
    throw new Error(`${path} is damaged: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    })
  } finally {
    await handle.close()
  }
}

async function compactFiles(
  partition: Partition,
  inputs: readonly string[],
  options: CompactOptions,
  report: CompactReport,
): Promise<void> {
  const { path } = partition
  const target = join(path, parquetName(inputs))
  const temporary = target.slice(0, -PARQUET.length) + HALF_MADE
  const seen = { torn: 0, malformed: 0 }
  const handle = await open(temporary, 'w', 0o640)
  let count: number
  try {
    count = await writeRows(handle, path, inputs, seen)
    await handle.sync()
  } catch (error) {
    // A full disk needs the room at once.
    await unlink(temporary)
    throw error
  } finally {
    await handle.close()
  }
  if (count > 0) {
    await expectRows(temporary, count)
    // As old as what it holds: tools that copy by age see no new data.
    const end = new Date(partition.start + HOUR_MS)
    await utimes(temporary, end, end)
    options.onStep?.('written')
    await rename(temporary, target)
    await syncFolder(path)
    options.onStep?.('renamed')
  }
  await remove(path, inputs, options)
  if (count === 0) await unlink(temporary)
  else report.files++
  report.records += count
  report.torn += seen.torn
  report.malformed += seen.malformed
}

async function writeRows(
  handle: FileHandle,
  folder: string,
  inputs: readonly string[],
  seen: { torn: number; malformed: number },
): Promise<number> {
  const writer = new RowWriter(handle, inputs)
  for (const name of inputs) {
    const source = await open(join(folder, name), 'r')
    try {
      for await (const row of lineRows(source, seen)) await writer.add(row)
    } finally {
      await source.close()
    }
  }
  await writer.finish()
  return writer.count
}

/** The one copy of the records is about to be removed: it reads back first. */
async function expectRows(path: string, count: number): Promise<void> {
  const handle = await open(path, 'r')
  try {
    const reader = await RowReader.open(handle)
    let found = 0
    for await (const row of reader.rows(['id'])) if (row.id !== '') found++
    if (found !== count) throw new Error(`${path} holds ${found} records instead of ${count}`)
  } finally {
    await handle.close()
  }
}

async function remove(
  folder: string,
  names: readonly string[],
  { onStep }: CompactOptions,
): Promise<void> {
  for (const name of names) {
    await unlink(join(folder, name))
    onStep?.('removed')
  }
  if (names.length > 0) await syncFolder(folder)
}

/** The same inputs, the same name: a pass that is repeated writes over its own half-made file. */
function parquetName(inputs: readonly string[]): string {
  const hash = createHash('sha256').update(inputs.join('\n')).digest('hex').slice(0, 16)
  const host = writerOf(inputs[0] as string)?.host ?? hostname().replace(/[^A-Za-z0-9]/g, '_')
  return `${host}-${hash}${PARQUET}`
}
