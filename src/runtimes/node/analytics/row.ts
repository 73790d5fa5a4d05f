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

/** Fills the columns asked for. */
export function rowOf(source: Readonly<Record<string, unknown>>, columns: readonly Column[]): Row {
  const row: Record<string, unknown> = {}
  for (let i = 0; i < columns.length; i++) {
    const name = columns[i] as Column
    row[name] = columnValue(COLUMNS[name], source[name])
  }
  // Only the columns asked for are there; the caller reads no others.
  return row as unknown as Row
}

/**
 * One line of NDJSON with every column.
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
  const row = rowOf(source, COLUMN_NAMES)
  if (Number.isNaN(row.time)) return undefined
  const more: Record<string, unknown> = {}
  for (const key in source) if (!Object.hasOwn(COLUMNS, key)) more[key] = source[key]
  row.more = Object.keys(more).length === 0 ? '' : JSON.stringify(more)
  return row
}

/** When the request ended, milliseconds since the epoch: what `--since` and `--until` look at. */
export function endOf(row: Pick<Row, 'time' | 'duration_ms'>): Millis {
  return row.time + row.duration_ms
}
