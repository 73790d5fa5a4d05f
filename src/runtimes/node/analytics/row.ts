/**
 * A request as analytics sees it: the fields of a JSON line of the access log, absent texts empty, absent
 * numbers 0. The table below is also the schema of the Parquet files.
 */
import type { Millis } from '../../../exchange.ts'

export interface Row {
  /** Start of the request, milliseconds since the epoch. */
  time: Millis
  id: string
  method: string
  scheme: string
  host: string
  path: string
  query: string
  protocol: string
  status: number
  outcome: string
  duration_ms: number
  bytes_in: number
  bytes_out: number
  client: string
  country: string
  asn: number
  route: string
  region: string
  pool: string
  origin: string
  attempts: number
  cheaper_than: string
  cache: string
  cache_reason: string
  rules: readonly string[]
  rule_targets: readonly string[]
  blocked: boolean
  cleared: boolean
  principal: string
  subject: string
  tls: string
  user_agent: string
  referer: string
  aborted: boolean
  trace_id: string
  /** JSON of fields that have no column here, of another version's records; empty without any. */
  more: string
}

export type ColumnKind = 'time' | 'text' | 'integer' | 'number' | 'flag' | 'texts'

export const COLUMNS: Readonly<Record<keyof Row, ColumnKind>> = {
  time: 'time',
  id: 'text',
  method: 'text',
  scheme: 'text',
  host: 'text',
  path: 'text',
  query: 'text',
  protocol: 'text',
  status: 'integer',
  outcome: 'text',
  duration_ms: 'number',
  bytes_in: 'integer',
  bytes_out: 'integer',
  client: 'text',
  country: 'text',
  asn: 'integer',
  route: 'text',
  region: 'text',
  pool: 'text',
  origin: 'text',
  attempts: 'integer',
  cheaper_than: 'text',
  cache: 'text',
  cache_reason: 'text',
  rules: 'texts',
  rule_targets: 'texts',
  blocked: 'flag',
  cleared: 'flag',
  principal: 'text',
  subject: 'text',
  tls: 'text',
  user_agent: 'text',
  referer: 'text',
  aborted: 'flag',
  trace_id: 'text',
  more: 'text',
}

export type Column = keyof Row
export const COLUMN_NAMES = Object.keys(COLUMNS) as readonly Column[]

const NONE: readonly string[] = Object.freeze([])

/** One shape for every row: an object that grows key by key is slow to make and to read. */
function emptyRow(): Row {
  return {
    time: 0,
    id: '',
    method: '',
    scheme: '',
    host: '',
    path: '',
    query: '',
    protocol: '',
    status: 0,
    outcome: '',
    duration_ms: 0,
    bytes_in: 0,
    bytes_out: 0,
    client: '',
    country: '',
    asn: 0,
    route: '',
    region: '',
    pool: '',
    origin: '',
    attempts: 0,
    cheaper_than: '',
    cache: '',
    cache_reason: '',
    rules: NONE,
    rule_targets: NONE,
    blocked: false,
    cleared: false,
    principal: '',
    subject: '',
    tls: '',
    user_agent: '',
    referer: '',
    aborted: false,
    trace_id: '',
    more: '',
  }
}

function columnValue(kind: ColumnKind, value: unknown): unknown {
  switch (kind) {
    case 'time':
      if (typeof value === 'string') return Date.parse(value)
      return value instanceof Date ? value.getTime() : Number(value ?? 0)
    case 'text':
      return typeof value === 'string' ? value : ''
    case 'flag':
      return value === true
    case 'texts':
      return Array.isArray(value) ? value : NONE
    default:
      return Number(value ?? 0)
  }
}

const KINDS: ReadonlyMap<string, ColumnKind> = new Map(Object.entries(COLUMNS))

/** A row of what `source` has; the rest of it is absent. */
export function rowOf(source: Readonly<Record<string, unknown>>): Row {
  const row = emptyRow()
  // The keys set below are those of the table, with values of their kinds.
  const cells = row as unknown as Record<string, unknown>
  let more: Record<string, unknown> | undefined
  for (const key in source) {
    const kind = KINDS.get(key)
    if (kind !== undefined) cells[key] = columnValue(kind, source[key])
    else {
      more ??= {}
      more[key] = source[key]
    }
  }
  if (more !== undefined) row.more = JSON.stringify(more)
  return row
}

/**
 * One line of NDJSON.
 * @returns undefined for a line that is no record
 */
export function parseRow(line: string): Row | undefined {
  let source: Record<string, unknown>
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    source = value as Record<string, unknown>
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
  if (typeof source.id !== 'string' || typeof source.time !== 'string') return undefined
  const row = rowOf(source)
  return Number.isNaN(row.time) ? undefined : row
}

/** When the request ended, milliseconds since the epoch: what `--since` and `--until` look at. */
export function endOf(row: Pick<Row, 'time' | 'duration_ms'>): Millis {
  return row.time + row.duration_ms
}
