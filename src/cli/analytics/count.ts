/** `meridian analytics top|errors|geo|blocked`: groups of requests, largest first. */
import { readRows } from '../../runtimes/node/analytics/read.ts'
import type { Row } from '../../runtimes/node/analytics/row.ts'
import { columns as aligned, EXIT, type ExitCode, type Terminal, UsageError } from '../terminal.ts'
import { type Group, Groups, groupingOf, isError, isRefused, MEASURED } from './groups.ts'
import {
  emptyReport,
  type FolderOptions,
  folderOf,
  reportGaps,
  type SpanOptions,
  spanOf,
} from './options.ts'
import { printable } from './printable.ts'

export interface CountOptions extends FolderOptions, SpanOptions {
  readonly by?: string | undefined
  readonly limit: string
  readonly json?: boolean | undefined
}

type Measure = 'share' | 'bytes' | 'errors' | 'refused' | 'p50' | 'p95' | 'last' | 'id'

interface Question {
  readonly by: string
  readonly keeps: (row: Row) => boolean
  readonly shows: readonly Measure[]
}

const QUESTIONS = {
  top: {
    by: 'path',
    keeps: () => true,
    shows: ['share', 'bytes', 'errors', 'refused', 'p50', 'p95'],
  },
  errors: { by: 'outcome,region', keeps: isError, shows: ['share', 'p95', 'last', 'id'] },
  geo: {
    by: 'country',
    keeps: () => true,
    shows: ['share', 'bytes', 'errors', 'refused', 'p50', 'p95'],
  },
  blocked: { by: 'outcome,rule', keeps: isRefused, shows: ['share', 'last', 'id'] },
} as const satisfies Readonly<Record<string, Question>>

const TITLES: Readonly<Record<Measure, string>> = {
  share: 'of all',
  bytes: 'MiB out',
  errors: 'errors',
  refused: 'refused',
  p50: 'p50 ms',
  p95: 'p95 ms',
  last: 'last',
  id: 'its id',
}

export async function count(
  name: keyof typeof QUESTIONS,
  options: CountOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const question: Question = QUESTIONS[name]
  const grouping = groupingOf(options.by ?? question.by)
  const limit = Number(options.limit)
  if (!Number.isInteger(limit) || limit < 1) {
    throw new UsageError(`--limit ${options.limit}: a number from 1 is expected`)
  }
  const span = spanOf(options, Date.now())
  const dir = await folderOf(options)
  const report = emptyReport()
  const groups = new Groups(grouping)
  let all = 0
  const wanted = [...MEASURED, ...grouping.columns]
  for await (const row of readRows(dir, span, wanted, report)) {
    all++
    if (question.keeps(row)) groups.add(row)
  }
  const found = groups.top(limit)
  if (options.json === true) {
    const answer = {
      since: new Date(span.since).toISOString(),
      until: new Date(span.until).toISOString(),
      requests: all,
      counted: groups.requests,
      groups: found.map((group) => asJson(group, grouping.names, all)),
      more: groups.size - found.length,
      unread: { torn: report.torn, malformed: report.malformed },
    }
    terminal.out(`${JSON.stringify(answer, null, 2)}\n`)
    return EXIT.ok
  }
  const head = [...grouping.names, 'requests', ...question.shows.map((one) => TITLES[one])]
  const body = found.map((group) => [
    ...group.key.map(printable),
    String(group.requests),
    ...question.shows.map((one) => shown(one, group, all)),
  ])
  terminal.out(`${aligned([head, ...body])}\n`)
  const more = groups.size - found.length
  terminal.out(
    `\n${groups.requests} of ${all} requests from ${new Date(span.since).toISOString()} to ${new Date(span.until).toISOString()}${more > 0 ? `; ${more} more groups` : ''}\n`,
  )
  if (groups.isFolded) terminal.err('there are too many groups: later ones are counted together\n')
  reportGaps(report, terminal)
  return EXIT.ok
}

function shown(measure: Measure, group: Group, all: number): string {
  switch (measure) {
    case 'share':
      return percent(group.requests, all)
    case 'bytes':
      return (group.bytesOut / 1024 ** 2).toFixed(1)
    case 'errors':
      return percent(group.errors, group.requests)
    case 'refused':
      return percent(group.refused, group.requests)
    case 'p50':
      return group.percentile(0.5).toFixed(1)
    case 'p95':
      return group.percentile(0.95).toFixed(1)
    case 'last':
      return new Date(group.last).toISOString()
    case 'id':
      return group.lastId
  }
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '-' : `${((part / whole) * 100).toFixed(1)} %`
}

function asJson(group: Group, names: readonly string[], all: number): Record<string, unknown> {
  return {
    ...Object.fromEntries(names.map((name, index) => [name, group.key[index]])),
    requests: group.requests,
    share: all === 0 ? 0 : group.requests / all,
    bytes_out: group.bytesOut,
    errors: group.errors,
    refused: group.refused,
    p50_ms: group.percentile(0.5),
    p95_ms: group.percentile(0.95),
    last: new Date(group.last).toISOString(),
    last_id: group.lastId,
  }
}
