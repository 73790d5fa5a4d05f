/**
 * What a gateway has done since it was last asked, for people who watch it live: sums that can be added over
 * worker processes. Places are cells of two degrees, never addresses.
 */
import type { Millis } from '../exchange.ts'

/** What became of a request, as the map colours it. */
export const LIVE_OUTCOMES = ['origin', 'cache', 'blocked', 'failed'] as const
export type LiveOutcome = (typeof LIVE_OUTCOMES)[number]

/** Requests from one cell to one place. */
export interface LiveFlow {
  /** Centre of the clients' cell, degrees. */
  readonly latitude: number
  readonly longitude: number
  /** Region whose origin was asked; empty: the gateway itself answered. */
  readonly to: string
  readonly counts: Readonly<Record<LiveOutcome, number>>
}

export interface LiveSample {
  readonly requests: number
  readonly bytesOut: number
  readonly outcomes: Readonly<Record<LiveOutcome, number>>
  /** By status class: `2xx`. */
  readonly statuses: Readonly<Record<string, number>>
  /** Requests that the cache was asked about, by its outcome. */
  readonly cache: Readonly<Record<string, number>>
  /** Requests that the cache could not answer, by `missKey`. */
  readonly misses: Readonly<Record<string, number>>
  /** Matches by rule, of rules that acted. */
  readonly rules: Readonly<Record<string, number>>
  /** Replies that the gateway made itself, by problem code. */
  readonly problems: Readonly<Record<string, number>>
  /** Bucket and count, in turn; see `durationBucket`. */
  readonly durations: readonly number[]
  readonly flows: readonly LiveFlow[]
  /** Requests that no flow holds: their client's place is unknown, or the table was full. */
  readonly unplaced: number
}

export const NO_SAMPLE: LiveSample = Object.freeze({
  requests: 0,
  bytesOut: 0,
  outcomes: Object.freeze({ origin: 0, cache: 0, blocked: 0, failed: 0 }),
  statuses: Object.freeze({}),
  cache: Object.freeze({}),
  misses: Object.freeze({}),
  rules: Object.freeze({}),
  problems: Object.freeze({}),
  durations: Object.freeze([]),
  flows: Object.freeze([]),
  unplaced: 0,
})

/** Route, reason and path of a miss; none of them holds a tab. */
export function missKey(route: string, reason: string, path: string): string {
  return `${route}\t${reason}\t${path}`
}

/** Eight buckets for each doubling, from a sixteenth of a millisecond: a quantile is off by 9 % at most. */
const PER_DOUBLING = 8
const LEAST_MS = 1 / 16
export const DURATION_BUCKETS = 20 * PER_DOUBLING + 1

export function durationBucket(ms: Millis): number {
  if (!(ms > LEAST_MS)) return 0
  const bucket = Math.ceil(Math.log2(ms / LEAST_MS) * PER_DOUBLING)
  return bucket < DURATION_BUCKETS ? bucket : DURATION_BUCKETS - 1
}

/** The longest duration of a bucket. */
export function bucketEnd(bucket: number): Millis {
  return LEAST_MS * 2 ** (bucket / PER_DOUBLING)
}

/**
 * Quantiles of the durations of a sample.
 * @returns one for each of `shares`; undefined when there was no request
 */
export function durationQuantiles(
  durations: readonly number[],
  shares: readonly number[],
): Millis[] | undefined {
  const counts = new Float64Array(DURATION_BUCKETS)
  let total = 0
  for (let i = 0; i + 1 < durations.length; i += 2) {
    const count = durations[i + 1] as number
    counts[durations[i] as number] = (counts[durations[i] as number] as number) + count
    total += count
  }
  if (total === 0) return undefined
  return shares.map((share) => {
    const rank = Math.max(1, Math.ceil(share * total))
    let seen = 0
    for (let bucket = 0; bucket < DURATION_BUCKETS; bucket++) {
      seen += counts[bucket] as number
      if (seen >= rank) return bucketEnd(bucket)
    }
    return bucketEnd(DURATION_BUCKETS - 1)
  })
}

function added<Key extends string>(
  parts: readonly Readonly<Record<Key, number>>[],
): Record<Key, number> {
  const sum = {} as Record<Key, number>
  for (const part of parts) {
    for (const [key, count] of Object.entries<number>(part)) {
      // Keys come from records of the same kind.
      sum[key as Key] = (sum[key as Key] ?? 0) + count
    }
  }
  return sum
}

/** Samples of worker processes as one. */
export function mergeSamples(samples: readonly LiveSample[]): LiveSample {
  const [first] = samples
  if (samples.length === 1 && first !== undefined) return first
  const flows = new Map<string, LiveFlow>()
  for (const flow of samples.flatMap((sample) => sample.flows)) {
    const key = `${flow.latitude} ${flow.longitude} ${flow.to}`
    const known = flows.get(key)
    flows.set(
      key,
      known === undefined ? flow : { ...known, counts: added([known.counts, flow.counts]) },
    )
  }
  const sum = (of: (sample: LiveSample) => number) =>
    samples.reduce((total, sample) => total + of(sample), 0)
  return {
    requests: sum((sample) => sample.requests),
    bytesOut: sum((sample) => sample.bytesOut),
    outcomes: added([NO_SAMPLE.outcomes, ...samples.map((sample) => sample.outcomes)]),
    statuses: added(samples.map((sample) => sample.statuses)),
    cache: added(samples.map((sample) => sample.cache)),
    misses: added(samples.map((sample) => sample.misses)),
    rules: added(samples.map((sample) => sample.rules)),
    problems: added(samples.map((sample) => sample.problems)),
    durations: samples.flatMap((sample) => sample.durations),
    flows: [...flows.values()],
    unplaced: sum((sample) => sample.unplaced),
  }
}
