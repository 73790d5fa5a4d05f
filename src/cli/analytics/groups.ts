/** Requests counted in groups, in bounded memory. */
import { COLUMNS, type Column, endOf, type Row } from '../../runtimes/node/analytics/row.ts'
import { isRefusal } from '../../telemetry/refusals.ts'
import { UsageError } from '../terminal.ts'

/** Groups that are kept apart; further ones are counted together. */
const MOST_GROUPS = 100_000
export const REST = '(others)'
/** A field that does not apply. */
export const NONE = '-'

/** Quarter octaves of a tenth of a millisecond: percentiles within 19 %. */
const BUCKETS = 96
const PER_OCTAVE = 4
const FIRST_MS = 0.1

/** What `--by` takes besides columns. */
const MADE_UP = ['rule', 'hour'] as const

type Key = (row: Row) => string | readonly string[]

export interface Grouping {
  readonly names: readonly string[]
  readonly columns: readonly Column[]
  readonly keys: readonly Key[]
}

/** @throws UsageError for a field that cannot be grouped by */
export function groupingOf(by: string): Grouping {
  const names = by.split(',').map((name) => name.trim())
  const columns = new Set<Column>()
  const keys = names.map((name): Key => {
    if (name === 'rule' || name === 'rules') {
      columns.add('rules')
      return (row) => (row.rules.length === 0 ? NONE : row.rules)
    }
    if (name === 'hour') return (row) => new Date(endOf(row)).toISOString().slice(0, 13)
    if (!isGroupable(name)) {
      const known = [...MADE_UP, ...Object.keys(COLUMNS).filter(isGroupable)]
      throw new UsageError(`--by ${name}: there is no such field`, `known: ${known.join(', ')}`)
    }
    columns.add(name)
    return (row) => {
      const value = row[name]
      return value === '' || value === 0 ? NONE : String(value)
    }
  })
  return { names, columns: [...columns], keys }
}

function isGroupable(name: string): name is Column {
  if (!Object.hasOwn(COLUMNS, name)) return false
  const kind = COLUMNS[name as Column]
  return kind !== 'time' && kind !== 'number' && kind !== 'texts'
}

export class Group {
  readonly key: readonly string[]
  requests = 0
  bytesOut = 0
  errors = 0
  refused = 0
  /** End of the last request, milliseconds since the epoch, and its id. */
  last = 0
  lastId = ''
  readonly #durations = new Uint32Array(BUCKETS)

  constructor(key: readonly string[]) {
    this.key = key
  }

  add(row: Row): void {
    this.requests++
    this.bytesOut += row.bytes_out
    if (isError(row)) this.errors++
    if (isRefused(row)) this.refused++
    const end = endOf(row)
    if (end >= this.last) {
      this.last = end
      this.lastId = row.id
    }
    const at = Math.ceil(Math.log2(Math.max(row.duration_ms, FIRST_MS) / FIRST_MS) * PER_OCTAVE)
    const bucket = Math.min(BUCKETS - 1, at)
    this.#durations[bucket] = (this.#durations[bucket] as number) + 1
  }

  /** Upper bound of the bucket that the share falls into, milliseconds. */
  percentile(share: number): number {
    let left = Math.ceil(this.requests * share)
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      left -= this.#durations[bucket] as number
      if (left <= 0) return FIRST_MS * 2 ** (bucket / PER_OCTAVE)
    }
    return Number.POSITIVE_INFINITY
  }
}

/** Columns that a group reads, whatever it is grouped by. */
export const MEASURED: readonly Column[] = [
  'id',
  'time',
  'duration_ms',
  'status',
  'outcome',
  'blocked',
  'bytes_out',
]

/** An answer 5xx, or none. */
export function isError({ status, outcome }: Row): boolean {
  return status >= 500 || (status === 0 && outcome !== 'client-closed')
}

export function isRefused({ blocked, outcome }: Row): boolean {
  return blocked || isRefusal(outcome)
}

export class Groups {
  readonly #grouping: Grouping
  readonly #groups = new Map<string, Group>()
  /** Requests, each once, although it may be in several groups. */
  requests = 0
  /** Whether there were more groups than are kept apart. */
  isFolded = false

  constructor(grouping: Grouping) {
    this.#grouping = grouping
  }

  add(row: Row): void {
    this.requests++
    this.#each(row, 0, [])
  }

  #each(row: Row, at: number, key: readonly string[]): void {
    const next = this.#grouping.keys[at]
    if (next === undefined) {
      this.#group(key).add(row)
      return
    }
    const found = next(row)
    if (typeof found === 'string') this.#each(row, at + 1, [...key, found])
    // A rule may match at several places of one request.
    else for (const one of new Set(found)) this.#each(row, at + 1, [...key, one])
  }

  #group(key: readonly string[]): Group {
    const text = key.join('\0')
    let group = this.#groups.get(text)
    if (group !== undefined) return group
    if (this.#groups.size >= MOST_GROUPS) {
      this.isFolded = true
      const rest = key.map(() => REST)
      const restText = rest.join('\0')
      group = this.#groups.get(restText) ?? new Group(rest)
      this.#groups.set(restText, group)
      return group
    }
    group = new Group(key)
    this.#groups.set(text, group)
    return group
  }

  /** Largest first; groups of one size by name, so that an answer does not change by itself. */
  top(limit: number): Group[] {
    return [...this.#groups.values()]
      .sort((a, b) => b.requests - a.requests || (a.key.join('\0') < b.key.join('\0') ? -1 : 1))
      .slice(0, limit)
  }

  get size(): number {
    return this.#groups.size
  }
}
