/**
 * Counts requests while somebody watches. Each question holds the watch open for a few seconds more; when
 * the questions stop, the next request ends it. Nobody watching costs one comparison a request.
 */
import type { Exchange, Millis, Verdict } from '../exchange.ts'
import type { Clock } from '../ports.ts'
import type { EventRing, GatewayEvent } from './events.ts'
import {
  DURATION_BUCKETS,
  durationBucket,
  LIVE_OUTCOMES,
  type LiveFlow,
  type LiveOutcome,
  type LiveSample,
  missKey,
  NO_SAMPLE,
} from './live-sample.ts'
import { OTHER } from './metrics.ts'
import type { RequestRecord } from './record.ts'

/** How long the watch stays open after a question. */
const LEASE_MS: Millis = 5000
/** Cells with a destination that are told apart between two questions. */
const MAX_FLOWS = 1024
/** Rules, problem codes and the like that are told apart. */
const MAX_NAMES = 128
const MAX_EVENTS = 50
/** Degrees. */
const CELL = 2
const CELLS_AROUND = 360 / CELL
const FORWARDED = /; *fwd=([a-z-]+)/
const HITS: ReadonlySet<string> = new Set(['hit', 'stale', 'revalidated'])

class Names {
  #counts = new Map<string, number>()

  add(name: string): void {
    const known = this.#counts.get(name)
    if (known === undefined && this.#counts.size >= MAX_NAMES) {
      this.#counts.set(OTHER, (this.#counts.get(OTHER) ?? 0) + 1)
    } else this.#counts.set(name, (known ?? 0) + 1)
  }

  take(): Record<string, number> {
    const taken = Object.fromEntries(this.#counts)
    this.#counts.clear()
    return taken
  }
}

interface Cell {
  readonly latitude: number
  readonly longitude: number
  readonly to: string
  readonly counts: Uint32Array
}

function outcomeOf(record: Readonly<RequestRecord>): number {
  if (record.status >= 500 || record.status === 0) return 3
  if (record.outcome !== 'served') return 2
  return HITS.has(record.cache) ? 1 : 0
}

/** Why the cache did not answer: what it says to clients (RFC 9211 `fwd`), and its own detail. */
function reasonOf(x: Exchange, record: Readonly<RequestRecord>): string {
  const forwarded = FORWARDED.exec(x.cacheStatus?.header ?? '')?.[1] ?? record.cache
  return record.cacheReason === '' || record.cacheReason === forwarded
    ? forwarded
    : `${forwarded}, ${record.cacheReason}`
}

function countsOf(counts: Uint32Array): Record<LiveOutcome, number> {
  return Object.fromEntries(LIVE_OUTCOMES.map((name, i) => [name, counts[i] ?? 0])) as Record<
    LiveOutcome,
    number
  >
}

export interface LiveTaking {
  readonly sample: LiveSample
  /** What came since the last question, the newest of it. */
  readonly events: readonly GatewayEvent[]
}

export class LiveWatch {
  readonly #clock: Clock
  readonly #ring: EventRing
  #until = 0
  #isWatched = false
  #sequence = 0
  #requests = 0
  #bytesOut = 0
  #unplaced = 0
  readonly #outcomes = new Uint32Array(LIVE_OUTCOMES.length)
  readonly #durations = new Uint32Array(DURATION_BUCKETS)
  readonly #statuses = new Names()
  readonly #cache = new Names()
  readonly #misses = new Names()
  readonly #rules = new Names()
  readonly #problems = new Names()
  /** By destination, then by number of the cell. */
  readonly #flows = new Map<string, Map<number, Cell>>()
  #flowCount = 0

  constructor(clock: Clock, ring: EventRing) {
    this.#clock = clock
    this.#ring = ring
  }

  get isWatched(): boolean {
    return this.#isWatched
  }

  /** One finished request; to be called while `isWatched`. */
  observe(x: Exchange, record: Readonly<RequestRecord>): void {
    if (this.#clock.monotonic() > this.#until) {
      this.#isWatched = false
      this.#sample()
      return
    }
    const outcome = outcomeOf(record)
    this.#requests++
    this.#bytesOut += record.bytesOut
    this.#outcomes[outcome] = (this.#outcomes[outcome] as number) + 1
    const bucket = durationBucket(record.durationMs)
    this.#durations[bucket] = (this.#durations[bucket] as number) + 1
    this.#statuses.add(record.statusClass)
    if (record.cache !== '') {
      this.#cache.add(record.cache)
      if (!HITS.has(record.cache)) {
        this.#misses.add(missKey(record.route, reasonOf(x, record), record.path))
      }
    }
    if (record.outcome !== 'served') this.#problems.add(record.outcome)
    for (let i = 0; i < record.verdicts.length; i++) {
      const verdict = record.verdicts[i] as Verdict
      const acts = verdict.action === 'block' || verdict.action === 'challenge'
      if (verdict.enforced && acts && verdict.isCleared !== true) this.#rules.add(verdict.rule)
    }
    this.#place(x, record.attempts.length === 0 ? '' : record.region, outcome)
  }

  #place(x: Exchange, to: string, outcome: number): void {
    const { latitude, longitude } = x.geo
    if (Number.isNaN(latitude) || Number.isNaN(longitude)) {
      this.#unplaced++
      return
    }
    const row = Math.round(latitude / CELL)
    const column = Math.round(longitude / CELL)
    const number = (row + 90) * (CELLS_AROUND + 1) + column + CELLS_AROUND / 2
    let cells = this.#flows.get(to)
    if (cells === undefined) {
      cells = new Map()
      this.#flows.set(to, cells)
    }
    let cell = cells.get(number)
    if (cell === undefined) {
      if (this.#flowCount >= MAX_FLOWS) {
        this.#unplaced++
        return
      }
      this.#flowCount++
      const counts = new Uint32Array(LIVE_OUTCOMES.length)
      cell = { latitude: row * CELL, longitude: column * CELL, to, counts }
      cells.set(number, cell)
    }
    cell.counts[outcome] = (cell.counts[outcome] as number) + 1
  }

  /** What was counted since the last question; the first one opens the watch and gets nothing. */
  take(): LiveTaking {
    const now = this.#clock.monotonic()
    const wasWatched = this.#isWatched && now <= this.#until
    const counted = this.#sample()
    this.#isWatched = true
    this.#until = now + LEASE_MS
    const after = wasWatched ? this.#sequence : this.#ring.sequence
    this.#sequence = this.#ring.sequence
    return {
      sample: wasWatched ? counted : NO_SAMPLE,
      events: this.#ring.since(after, MAX_EVENTS),
    }
  }

  /** Everything counted, and begins anew. */
  #sample(): LiveSample {
    const flows: LiveFlow[] = []
    for (const cells of this.#flows.values()) {
      for (const { counts, ...place } of cells.values()) {
        flows.push({ ...place, counts: countsOf(counts) })
      }
    }
    const durations: number[] = []
    this.#durations.forEach((count, bucket) => {
      if (count > 0) durations.push(bucket, count)
    })
    const sample = {
      requests: this.#requests,
      bytesOut: this.#bytesOut,
      outcomes: countsOf(this.#outcomes),
      statuses: this.#statuses.take(),
      cache: this.#cache.take(),
      misses: this.#misses.take(),
      rules: this.#rules.take(),
      problems: this.#problems.take(),
      durations,
      flows,
      unplaced: this.#unplaced,
    }
    this.#requests = 0
    this.#bytesOut = 0
    this.#unplaced = 0
    this.#outcomes.fill(0)
    this.#durations.fill(0)
    this.#flows.clear()
    this.#flowCount = 0
    return sample
  }
}
