/** What the verbs of `meridian analytics` are told: which folder, which time. */
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { parseConfig } from '../../config/load.ts'
import type { MeridianConfig } from '../../config/schema.ts'
import { isMissing, namesIn } from '../../runtimes/node/analytics/layout.ts'
import type { ReadReport, Span } from '../../runtimes/node/analytics/read.ts'
import { CommandError, type Terminal, UsageError } from '../terminal.ts'

export interface FolderOptions {
  readonly config: string
  readonly dir?: string | undefined
}

export interface SpanOptions {
  readonly since: string
  readonly until: string
}

/** The config without its secrets, which no answer needs. */
export async function readConfig(path: string): Promise<MeridianConfig> {
  try {
    return parseConfig(await readFile(path, 'utf8'), path)
  } catch (error) {
    if (!isMissing(error)) throw error
    throw new CommandError(
      `there is no config ${path}`,
      'name one with --config, or the folder with --dir',
      { cause: error },
    )
  }
}

/** @throws CommandError when nothing is kept, or nothing is there */
export async function folderOf(options: FolderOptions): Promise<string> {
  if (options.dir !== undefined) {
    await expectFolder(options.dir)
    return options.dir
  }
  const { analytics } = (await readConfig(options.config)).telemetry
  if (analytics === undefined) {
    throw new CommandError(
      `${options.config} keeps no requests`,
      'set telemetry.analytics.dir there, or name a folder with --dir',
    )
  }
  const dir = resolve(dirname(options.config), analytics.dir)
  await expectFolder(dir)
  return dir
}

async function expectFolder(dir: string): Promise<void> {
  if ((await namesIn(dir)).some((name) => name.startsWith('dt='))) return
  throw new CommandError(
    `there are no records in ${dir}`,
    'a gateway with telemetry.analytics writes them; is this the folder?',
  )
}

const UNITS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** @throws UsageError */
export function spanOf(options: SpanOptions, now: number): Span {
  const since = momentOf(options.since, '--since', now)
  const until = momentOf(options.until, '--until', now)
  if (since >= until) throw new UsageError('--since is not before --until')
  return { since, until }
}

function momentOf(text: string, flag: string, now: number): number {
  if (text === 'now') return now
  const ago = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text)
  if (ago !== null) return now - Number(ago[1]) * (UNITS[ago[2] as string] as number)
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(time)) {
    throw new UsageError(
      `${flag} ${text} is no time`,
      'so long ago (30m, 24h, 7d), or a time such as 2026-11-24T06:00:00Z',
    )
  }
  return time
}

export function emptyReport(): ReadReport {
  return { files: 0, torn: 0, malformed: 0 }
}

/** What an answer does not hold is said, on the standard error. */
export function reportGaps({ torn, malformed }: ReadReport, terminal: Terminal): void {
  if (torn > 0) {
    terminal.err(
      `${torn} ${torn === 1 ? 'line has' : 'lines have'} no end: being written, or cut by a killed process\n`,
    )
  }
  if (malformed > 0) terminal.err(`${malformed} lines are no records and were left out\n`)
}
