/** `meridian cache`: what a running gateway has stored. */
import type { EntryReport } from '../cache/response-cache.ts'
import { type ControlOptions, callControl } from './control.ts'
import { columns, EXIT, type ExitCode, type Terminal } from './terminal.ts'

export interface CacheOptions extends ControlOptions {
  readonly json?: boolean | undefined
}

interface Stats {
  readonly workers: number
  readonly tiers: readonly {
    readonly name: string
    readonly entries: number
    readonly bytes: number
    readonly capacity: number
    readonly evicted: number
  }[]
  readonly routes: readonly {
    readonly route: string
    readonly requests: number
    readonly hitRatio: number | null
    readonly byteHitRatio: number | null
  }[]
  readonly counters: Readonly<Record<string, number>>
}

export async function cacheStat(options: CacheOptions, terminal: Terminal): Promise<ExitCode> {
  const stats = (await callControl(options, terminal, '/cache/stats')) as Stats
  if (options.json === true) {
    terminal.out(`${JSON.stringify(stats, null, 2)}\n`)
    return EXIT.ok
  }
  const tiers = stats.tiers.map((tier) => [
    tier.name,
    String(tier.entries),
    mebibytes(tier.bytes),
    mebibytes(tier.capacity),
    String(tier.evicted),
  ])
  const routes = stats.routes.map((route) => [
    route.route,
    String(route.requests),
    percent(route.hitRatio),
    percent(route.byteHitRatio),
  ])
  const counters = Object.entries(stats.counters).map(([name, count]) => [name, String(count)])
  terminal.out(
    [
      columns([['tier', 'responses', 'MiB', 'of', 'evicted'], ...tiers]),
      columns([['route', 'requests', 'hits', 'bytes from the cache'], ...routes]),
      columns(counters),
      '',
    ].join('\n\n'),
  )
  return EXIT.ok
}

/** @returns failure when nothing is stored for the URL */
export async function cacheGet(
  url: string,
  options: CacheOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const path = `/cache/entry?url=${encodeURIComponent(url)}`
  const { entries } = (await callControl(options, terminal, path)) as { entries: EntryReport[] }
  if (options.json === true) terminal.out(`${JSON.stringify(entries, null, 2)}\n`)
  else if (entries.length === 0) terminal.out(`nothing is stored for ${url}\n`)
  else terminal.out(`${entries.map(describe).join('\n\n')}\n`)
  return entries.length === 0 ? EXIT.failure : EXIT.ok
}

function describe(entry: EntryReport): string {
  const { range, vary, keyedBy, tags, etag } = entry
  const rows = [
    ['url', entry.url],
    ['tier', entry.tier],
    ['state', `${entry.state}, age ${entry.age} s, ${entry.ttl} s of freshness left`],
    ['response', `${entry.status} ${entry.contentType ?? ''}`.trimEnd()],
    [
      'body',
      `${entry.bodyBytes} bytes${entry.contentEncoding === null ? '' : `, ${entry.contentEncoding}`}`,
    ],
  ]
  const codings = Object.entries(entry.codings).map(([name, bytes]) => `${name}: ${bytes} bytes`)
  if (codings.length > 0) rows.push(['also kept as', codings.join(', ')])
  if (range !== null) rows.push(['part', `${range.first}-${range.last} of ${range.total}`])
  if (etag !== null) rows.push(['etag', etag])
  if (vary.length > 0) rows.push(['varies by', vary.join(', ')])
  if (keyedBy.length > 0) rows.push(['keyed by', keyedBy.join(', ')])
  if (tags.length > 0) rows.push(['tags', tags.join(' ')])
  return columns(rows)
}

function mebibytes(bytes: number): string {
  return (bytes / 1024 ** 2).toFixed(1)
}

function percent(ratio: number | null): string {
  return ratio === null ? '–' : `${(ratio * 100).toFixed(1)} %`
}
