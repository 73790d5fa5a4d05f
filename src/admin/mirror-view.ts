/** Mirrors on the control port: what their comparisons came to, in all worker processes together. */
import type { MirrorResult } from '../upstream/mirror.ts'
import { type MirrorCounts, MOST_DIFFERENCES, type StatusPair } from '../upstream/mirror-tally.ts'

/** One process's view of one mirror. */
export interface MirrorStatus extends MirrorCounts {
  /** The route that it belongs to. */
  readonly mirror: string
  readonly pool: string
  /** Of clients. */
  readonly percent: number
  readonly underWay: number
}

export interface MirrorView {
  status(): Promise<readonly MirrorStatus[]>
}

export function mergeMirrors(reports: readonly (readonly MirrorStatus[])[]): MirrorStatus[] {
  const byRoute = new Map<string, MirrorStatus>()
  for (const one of reports.flat()) {
    const before = byRoute.get(one.mirror)
    byRoute.set(one.mirror, before === undefined ? one : both(before, one))
  }
  return [...byRoute.values()]
}

function both(a: MirrorStatus, b: MirrorStatus): MirrorStatus {
  const results = { ...a.results }
  for (const result of Object.keys(results) as MirrorResult[]) results[result] += b.results[result]
  const differences = [...a.differences, ...b.differences].sort((x, y) => y.at - x.at)
  return {
    ...a,
    underWay: a.underWay + b.underWay,
    results,
    statuses: pairsOf([...a.statuses, ...b.statuses]),
    otherStatuses: a.otherStatuses + b.otherStatuses,
    differences: differences.slice(0, MOST_DIFFERENCES),
    p95Ms: a.p95Ms === null ? b.p95Ms : Math.max(a.p95Ms, b.p95Ms ?? 0),
  }
}

function pairsOf(all: readonly StatusPair[]): StatusPair[] {
  const merged = new Map<string, StatusPair>()
  for (const pair of all) {
    const key = `${pair.status} ${pair.mirrorStatus}`
    const requests = pair.requests + (merged.get(key)?.requests ?? 0)
    merged.set(key, { ...pair, requests })
  }
  return [...merged.values()].sort((a, b) => b.requests - a.requests)
}
