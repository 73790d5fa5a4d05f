/** What came of a mirror's comparisons so far: for the report that says whether the new pool answers alike. */
import type { Millis } from '../exchange.ts'
import { LatencySketch } from './latency.ts'
import type { MirrorReport, MirrorResult } from './mirror.ts'

/** One request that two pools answered differently. */
export interface MirrorDifference {
  /** Milliseconds since the epoch. */
  readonly at: Millis
  readonly method: string
  readonly path: string
  readonly what: 'status' | 'body'
  readonly status: number
  readonly mirrorStatus: number
  /** Length and hash of each body; null when it was too long to compare, or cut. */
  readonly body: string | null
  readonly mirrorBody: string | null
}

export interface StatusPair {
  readonly status: number
  readonly mirrorStatus: number
  readonly requests: number
}

export interface MirrorCounts {
  readonly results: Readonly<Record<MirrorResult, number>>
  /** Statuses that differed, most frequent first. */
  readonly statuses: readonly StatusPair[]
  /** Pairs of statuses beyond those that are told apart. */
  readonly otherStatuses: number
  /** The latest, newest first. */
  readonly differences: readonly MirrorDifference[]
  /** The mirror's time to its whole answer over the last minute; null without one. */
  readonly p95Ms: Millis | null
}

/** Pairs that are told apart: a pool that answers anything must not fill the memory. */
const MOST_PAIRS = 64
export const MOST_DIFFERENCES = 20

export class MirrorTally {
  readonly #results: Record<MirrorResult, number> = {
    match: 0,
    status: 0,
    body: 0,
    unknown: 0,
    failed: 0,
    dropped: 0,
  }
  readonly #pairs = new Map<number, number>()
  #otherPairs = 0
  readonly #differences: MirrorDifference[] = []
  readonly #latency = new LatencySketch()

  /** @param now monotonic @param at milliseconds since the epoch */
  add(
    report: MirrorReport,
    request: { readonly method: string; readonly path: string },
    now: Millis,
    at: Millis,
  ): void {
    const { result, status, mirrorStatus } = report
    this.#results[result]++
    if (mirrorStatus > 0) this.#latency.observe(report.mirrorMs, now)
    if (result === 'status') this.#addPair(status * 1000 + mirrorStatus)
    if (result !== 'status' && result !== 'body') return
    if (this.#differences.length === MOST_DIFFERENCES) this.#differences.pop()
    this.#differences.unshift({
      at,
      method: request.method,
      path: request.path,
      what: result,
      status,
      mirrorStatus,
      body: report.body ?? null,
      mirrorBody: report.mirrorBody ?? null,
    })
  }

  #addPair(pair: number): void {
    const known = this.#pairs.get(pair)
    if (known === undefined && this.#pairs.size >= MOST_PAIRS) this.#otherPairs++
    else this.#pairs.set(pair, (known ?? 0) + 1)
  }

  counts(now: Millis): MirrorCounts {
    const statuses = [...this.#pairs].map(([pair, requests]) => ({
      status: Math.floor(pair / 1000),
      mirrorStatus: pair % 1000,
      requests,
    }))
    const p95Ms = this.#latency.quantile(0.95, now)
    return {
      results: { ...this.#results },
      statuses: statuses.sort((a, b) => b.requests - a.requests),
      otherStatuses: this.#otherPairs,
      differences: [...this.#differences],
      p95Ms: Number.isNaN(p95Ms) ? null : p95Ms,
    }
  }
}
