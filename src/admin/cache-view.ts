/** What the control port can do with the cache. The runtime implements it, for all worker processes. */
import type { EntryReport, PurgeRequest } from '../cache/response-cache.ts'
import type { Millis } from '../exchange.ts'
import type { TopMiss } from '../telemetry/top-misses.ts'

export interface PurgeReport {
  /** Names the order in events and logs. */
  readonly id: string
  /** When; what began before this is purged. */
  readonly at: Millis
  /** Worker processes that have done it. */
  readonly workers: number
  /** Whether the other gateways of the fleet know: `waiting` while Redis does not answer. Absent without Redis. */
  readonly fleet?: 'told' | 'waiting'
  /** Stored responses in memory that are affected; only of a dry run, which looks at all of them. */
  readonly matched?: number
}

export interface WarmOrder {
  /** Absolute URLs. */
  readonly urls: readonly string[]
  /** Fields of the requests, such as Accept-Encoding. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** Requests at a time. */
  readonly concurrency: number
}

export interface WarmResult {
  readonly url: string
  /** 0 when there was no answer. */
  readonly status: number
  /** Cache-Status of the answer. */
  readonly cache: string
  readonly bytes: number
  readonly complete: boolean
}

export interface TierReport {
  readonly name: string
  readonly entries: number
  readonly bytes: number
  readonly capacity: number
  readonly evicted: number
  readonly rejected: number
}

export interface RouteReport {
  readonly route: string
  readonly requests: number
  /** Requests answered without the origin's body: hit, stale, revalidated. */
  readonly hits: number
  readonly bytes: number
  readonly hitBytes: number
}

export interface CacheReport {
  readonly workers: number
  readonly tiers: readonly TierReport[]
  readonly routes: readonly RouteReport[]
  readonly counters: Readonly<Record<string, number>>
}

export interface CacheView {
  /**
   * @param id the caller's idempotency key; made up when it has none
   * @param by who asks, as the runtime names it
   */
  purge(order: PurgeRequest, id: string | undefined, by: string): PurgeReport | Promise<PurgeReport>
  /** What the purge would take. */
  match(order: PurgeRequest): number | Promise<number>
  warm(order: WarmOrder): Promise<readonly WarmResult[]>
  entries(url: string): Promise<readonly EntryReport[]>
  stats(): CacheReport | Promise<CacheReport>
  /** What was missed most since the start. */
  topMisses(limit: number): readonly TopMiss[] | Promise<readonly TopMiss[]>
}

/** Reports of worker processes as one: sums. */
export function mergeCacheReports(reports: readonly CacheReport[]): CacheReport {
  const tiers = new Map<string, TierReport>()
  const routes = new Map<string, RouteReport>()
  const counters: Record<string, number> = {}
  let workers = 0
  for (const report of reports) {
    workers += report.workers
    for (const tier of report.tiers) tiers.set(tier.name, plus(tiers.get(tier.name), tier))
    for (const route of report.routes) routes.set(route.route, plus(routes.get(route.route), route))
    for (const [name, count] of Object.entries(report.counters)) {
      counters[name] = (counters[name] ?? 0) + count
    }
  }
  return { workers, tiers: [...tiers.values()], routes: [...routes.values()], counters }
}

/** Numbers added, texts kept. */
function plus<Report extends object>(sum: Report | undefined, one: Report): Report {
  if (sum === undefined) return one
  const before = sum as Readonly<Record<string, string | number>>
  const entries = Object.entries(one as Readonly<Record<string, string | number>>)
  return Object.fromEntries(
    entries.map(([key, value]) => [
      key,
      typeof value === 'number' ? value + Number(before[key] ?? 0) : value,
    ]),
    // Same keys, same kinds of values.
  ) as Report
}
