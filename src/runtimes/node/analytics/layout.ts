/**
 * Where records lie: `DIR/dt=YYYY-MM-DD/hour=HH/NAME.EXTENSION`, in UTC, by when a request ended. The names of
 * folders are those that DuckDB, Spark and others know as Hive partitions.
 *
 * | extension | what |
 * |---|---|
 * | `.ndjson.open` | a process writes it |
 * | `.ndjson` | complete |
 * | `.parquet` | made of complete ones; its footer names them, and from then on they do not count |
 * | `.parquet.tmp` | half made; nobody reads it |
 */
import { mkdir, open, readdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Millis } from '../../../exchange.ts'

export const HOUR_MS = 3_600_000
export const OPEN = '.ndjson.open'
export const CLOSED = '.ndjson'
export const PARQUET = '.parquet'
export const HALF_MADE = '.parquet.tmp'

/** One hour's folder. */
export interface Partition {
  readonly path: string
  /** First moment of the hour, milliseconds since the epoch. */
  readonly start: Millis
}

export function hourOf(time: Millis): Millis {
  return Math.floor(time / HOUR_MS) * HOUR_MS
}

/** `dt=2026-11-24/hour=06`. */
export function partitionName(hour: Millis): string {
  const text = new Date(hour).toISOString()
  return `dt=${text.slice(0, 10)}/hour=${text.slice(11, 13)}`
}

/** All hours that have a folder, oldest first; none when there is no such `dir`. */
export async function partitions(dir: string): Promise<Partition[]> {
  const found: Partition[] = []
  for (const day of await namesIn(dir)) {
    const date = /^dt=(\d{4}-\d{2}-\d{2})$/.exec(day)?.[1]
    if (date === undefined) continue
    for (const name of await namesIn(join(dir, day))) {
      const hour = /^hour=(\d{2})$/.exec(name)?.[1]
      if (hour === undefined) continue
      const start = Date.parse(`${date}T${hour}:00:00Z`)
      if (!Number.isNaN(start)) found.push({ path: join(dir, day, name), start })
    }
  }
  return found.sort((a, b) => a.start - b.start)
}

/** Names in a folder; none when it is not there. */
export async function namesIn(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort()
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

/** Who writes a file: `HOST-PID-STARTED-NUMBER`. */
export interface Writer {
  readonly host: string
  readonly pid: number
  /** Base 36; tells one process from the next of the same number. */
  readonly started: string
}

export function thisWriter(now: Millis): Writer {
  const host = hostname()
    .replace(/[^A-Za-z0-9]/g, '_')
    .slice(0, 40)
  return { host, pid: process.pid, started: Math.floor(now).toString(36) }
}

export function fileName(writer: Writer, number: number): string {
  return `${writer.host}-${writer.pid}-${writer.started}-${number}`
}

export function writerOf(name: string): Writer | undefined {
  const parts = /^([A-Za-z0-9_]+)-(\d+)-([0-9a-z]+)-\d+\./.exec(name)
  if (parts === null) return undefined
  return { host: parts[1] as string, pid: Number(parts[2]), started: parts[3] as string }
}

/** What was renamed, made or removed in a folder is on the disk after this. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

export async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r+')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o750 })
}
