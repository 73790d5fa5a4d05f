/**
 * `meridian erase`: takes a person's lines out of access logs and analytics. A file is written anew beside itself and put in
 * its place in one step; what a running gateway still adds to the old one is carried over.
 */
import { resolve } from 'node:path'
import { tendSettings } from '../runtimes/node/analytics/tend.ts'
import { ConfigFile } from '../runtimes/node/config-file.ts'
import { rotatedFiles } from '../runtimes/node/log-rotation.ts'
import { Mask } from '../telemetry/mask.ts'
import { sipKey } from '../telemetry/siphash.ts'
import { type AnalyticsErased, eraseAnalytics } from './erase-analytics.ts'
import { eraseLines, type LineTest } from './erase-file.ts'
import {
  CommandError,
  columns,
  EXIT,
  type ExitCode,
  type Terminal,
  UsageError,
} from './terminal.ts'

export interface EraseOptions {
  readonly config: string
  readonly subject?: string | undefined
  readonly hash?: string | undefined
  readonly dryRun?: boolean | undefined
  readonly json?: boolean | undefined
}

type Bundle = Awaited<ReturnType<ConfigFile['load']>>

export async function erase(
  files: readonly string[],
  options: EraseOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  if ((options.subject === undefined) === (options.hash === undefined)) {
    throw new UsageError(
      'say whose lines: --subject SUBJECT, or --hash HASH as it stands in the log',
      'meridian erase --subject alice',
    )
  }
  const bundle = await new ConfigFile(options.config).load()
  const { access, analytics } = bundle.config.telemetry
  const shown = options.hash ?? shownSubject(options.subject ?? '', bundle)
  const isDry = options.dryRun === true
  const live = typeof access.output === 'string' ? undefined : resolve(access.output.file)
  if (files.length === 0 && live === undefined && analytics === undefined) {
    throw new CommandError(
      'telemetry.access.output is not a file: there is nothing that could be written anew',
      'name the files: meridian erase --subject alice access-1.log access-2.log.gz',
    )
  }
  const results: AnalyticsErased[] = []
  const logs = files.length > 0 ? files.map((file) => resolve(file)) : await logsOf(live)
  if (logs.length > 0) {
    const isHers = matcher(bundle, shown)
    for (const file of logs) {
      const isLive = file === live
      results.push({ ...(await eraseLines(file, isHers, { isLive, isDry })), left: 0 })
    }
  }
  const settings = files.length > 0 ? undefined : tendSettings(bundle)
  if (settings !== undefined) {
    const isHers = recordMatcher(shown, 'subject')
    results.push(...(await eraseAnalytics(settings.dir, shown, isHers, isDry)))
  }
  report(results, options, terminal)
  if (settings !== undefined && analytics?.upload !== undefined) {
    terminal.err(`copies of analytics in the bucket ${analytics.upload.bucket} are not touched\n`)
  }
  const isAll = results.every(({ unreadable, left }) => unreadable === 0 && left === 0)
  return isAll ? EXIT.ok : EXIT.failure
}

async function logsOf(live: string | undefined): Promise<string[]> {
  if (live === undefined) return []
  return [...(await rotatedFiles(live)).map(({ path }) => path), live]
}

/** The subject as it stands in the log. */
function shownSubject(subject: string, { config, secrets }: Bundle): string {
  const { mask } = config.telemetry
  if (mask.subject === 'mask') {
    throw new CommandError(
      'telemetry.mask.subject is "mask": the log does not tell subjects with the same beginning apart',
      'nothing in it names a person; to be able to erase, use "hash" with a subjectKey',
    )
  }
  if (mask.subject === 'plain') return subject
  if (mask.subjectKey === undefined) {
    throw new CommandError(
      'without telemetry.mask.subjectKey each process draws its own key: the hash of a subject cannot be found again',
      'give the hash from a line of hers: --hash HASH; for the future, set telemetry.mask.subjectKey',
    )
  }
  const key = sipKey(new TextEncoder().encode(secrets.get(mask.subjectKey)))
  return new Mask(mask, key).subject(subject)
}

/** Whether a line is hers; undefined for a line that cannot be read. */
function matcher({ config }: Bundle, shown: string): LineTest {
  const { format, fields } = config.telemetry.access
  if (format === 'logpush') {
    throw new CommandError(
      'lines of format "logpush" have no subject: none can be found by it',
      'telemetry.access.format "json" or "combined" has one',
    )
  }
  if (format === 'combined') {
    const user = /^\S+ - (\S+) \[/
    return (line) => {
      const found = user.exec(line)
      return found === null ? undefined : found[1] === shown
    }
  }
  const field = fields?.find((one) => (typeof one === 'string' ? one : one.name) === 'subject')
  if (fields !== undefined && field === undefined) {
    throw new CommandError(
      'telemetry.access.fields does not have "subject": no line can be found by it',
      'add it, or keep such logs for a short time only',
    )
  }
  const name =
    field === undefined || typeof field === 'string' ? 'subject' : (field.as ?? 'subject')
  return recordMatcher(shown, name)
}

function recordMatcher(shown: string, name: string): LineTest {
  return (line) => {
    try {
      const value = JSON.parse(line) as Record<string, unknown>
      return typeof value === 'object' && value !== null ? value[name] === shown : undefined
    } catch {
      // Not a line of ours, or a cut one.
      return undefined
    }
  }
}

function report(
  results: readonly AnalyticsErased[],
  options: EraseOptions,
  terminal: Terminal,
): void {
  if (options.json === true) {
    terminal.out(`${JSON.stringify(results, null, 2)}\n`)
    return
  }
  const verb = options.dryRun === true ? 'would go' : 'erased'
  const rows = results.map(({ file, erased, kept }) => [file, `${erased} ${verb}`, `${kept} kept`])
  terminal.out(`${columns(rows)}\n`)
  for (const { file, unreadable, left } of results) {
    if (left > 0) {
      terminal.err(
        `${file}: ${left} of hers are in a file that is being written; again after the hour\n`,
      )
    }
    if (unreadable > 0) {
      terminal.err(`${file}: ${unreadable} lines could not be read and were kept; look at them\n`)
    }
  }
}
