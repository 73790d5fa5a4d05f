/**
 * Every record of a span of time exactly once, while gateways write, compact and remove files. An hour's files
 * are opened all together before one is read: what loses its name afterwards is still readable, and of what a
 * Parquet file was made of nothing is read twice.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Millis } from '../../../exchange.ts'
import {
  CLOSED,
  HOUR_MS,
  isMissing,
  namesIn,
  OPEN,
  PARQUET,
  type Partition,
  partitions,
} from './layout.ts'
import { RowReader } from './parquet.ts'
import { type Column, endOf, parseRow, type Row } from './row.ts'

export interface Span {
  /** By the end of a request, milliseconds since the epoch; `until` is not part of it. */
  readonly since: Millis
  readonly until: Millis
}

/** What could not be read. */
export interface ReadReport {
  files: number
  /** Last lines that a killed process, or one that is writing, has not ended. */
  torn: number
  /** Lines that are no records. */
  malformed: number
}

interface Source {
  readonly name: string
  readonly handle: FileHandle
}

const MOST_TRIES = 20

/** @param columns those of the rows that are filled */
export async function* readRows(
  dir: string,
  span: Span,
  columns: readonly Column[],
  report: ReadReport,
): AsyncGenerator<Row> {
  const wanted = [...new Set([...columns, 'time', 'duration_ms'] as const)]
  for (const partition of await partitions(dir)) {
    // A clock that steps may have put a record beside its hour.
    if (partition.start + 2 * HOUR_MS <= span.since) continue
    if (partition.start - HOUR_MS >= span.until) continue
    for await (const row of partitionRows(partition, wanted, report)) {
      const end = endOf(row)
      if (end >= span.since && end < span.until) yield row
    }
  }
}

async function* partitionRows(
  partition: Partition,
  columns: readonly Column[],
  report: ReadReport,
): AsyncGenerator<Row> {
  const sources = await openAll(partition.path)
  try {
    const compacted = new Set<string>()
    const readers: RowReader[] = []
    for (const { name, handle } of sources) {
      if (!name.endsWith(PARQUET)) continue
      const reader = await RowReader.open(handle)
      for (const input of reader.inputs) compacted.add(input)
      readers.push(reader)
    }
    for (const reader of readers) {
      report.files++
      yield* reader.rows(columns)
    }
    for (const { name, handle } of sources) {
      if (name.endsWith(PARQUET) || compacted.has(name.replace(/\.open$/, ''))) continue
      report.files++
      yield* lineRows(handle, report)
    }
  } finally {
    for (const { handle } of sources) await handle.close()
  }
}

/** All files of a folder, of one moment: begins anew when one has gone, or come, meanwhile. */
async function openAll(path: string): Promise<Source[]> {
  for (let attempt = 0; attempt < MOST_TRIES; attempt++) {
    const names = await dataNames(path)
    const sources: Source[] = []
    try {
      for (const name of names) sources.push({ name, handle: await open(join(path, name), 'r') })
      if (sameNames(names, await dataNames(path))) return sources
    } catch (error) {
      await closeAll(sources)
      if (!isMissing(error)) throw error
      continue
    }
    await closeAll(sources)
  }
  throw new Error(`${path} changes faster than it can be read`)
}

async function closeAll(sources: readonly Source[]): Promise<void> {
  for (const { handle } of sources) await handle.close()
}

async function dataNames(path: string): Promise<string[]> {
  return (await namesIn(path)).filter(
    (name) => name.endsWith(OPEN) || name.endsWith(CLOSED) || name.endsWith(PARQUET),
  )
}

function sameNames(before: readonly string[], after: readonly string[]): boolean {
  return before.length === after.length && before.every((name, index) => name === after[index])
}

const NEWLINE = 10

/** Records of a file of lines. */
export async function* lineRows(
  handle: FileHandle,
  report: Pick<ReadReport, 'torn' | 'malformed'>,
): AsyncGenerator<Row> {
  for await (const line of lines(handle)) {
    const row = parseRow(line.text)
    if (row !== undefined && line.isComplete) yield row
    else if (line.isComplete) report.malformed++
    else report.torn++
  }
}

const PIECE_BYTES = 1024 * 1024

async function* lines(handle: FileHandle): AsyncGenerator<{ text: string; isComplete: boolean }> {
  let rest = Buffer.alloc(0)
  for (let position = 0; ; ) {
    const piece = Buffer.allocUnsafe(PIECE_BYTES)
    const { bytesRead } = await handle.read(piece, 0, PIECE_BYTES, position)
    if (bytesRead === 0) break
    position += bytesRead
    const bytes = Buffer.concat([rest, piece.subarray(0, bytesRead)])
    let from = 0
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, from)) {
      if (end > from) yield { text: bytes.toString('utf8', from, end), isComplete: true }
      from = end + 1
    }
    rest = bytes.subarray(from)
  }
  if (rest.length > 0) yield { text: rest.toString('utf8'), isComplete: false }
}
