/**
 * Access log lines in other shapes: chosen fields under chosen names, and the field names of Cloudflare
 * Logpush (dataset "HTTP requests"), for tools that know those. Compiled when the config is loaded; the line
 * with every field is in `access-log.ts`.
 */
import type { AccessLogConfig } from '../config/sections/telemetry.ts'
import { combinedLine, jsonLine, milliseconds, quoted, timestamp } from './access-log.ts'
import type { RequestRecord } from './record.ts'

/** One line without its newline. `weight`: how many requests it stands for. */
export type LineFormat = (record: RequestRecord, weight: number) => string

/** A field's JSON text; empty when the field does not apply. */
type FieldText = (record: RequestRecord, weight: number) => string

function text(value: string): string {
  return value === '' ? '' : quoted(value)
}

function some(value: number): string {
  return value === 0 ? '' : String(value)
}

const rulesOf = (r: RequestRecord) =>
  r.verdicts.length === 0 ? '' : `[${r.verdicts.map(({ rule }) => quoted(rule)).join(',')}]`

const targetsOf = (r: RequestRecord) =>
  r.verdicts.some(({ target }) => target !== undefined && target !== '')
    ? `[${r.verdicts.map(({ target }) => quoted(target ?? '')).join(',')}]`
    : ''

/** The fields of the JSON line, by name. `access.fields` chooses among them. */
const FIELDS = {
  time: (r) => `"${timestamp(r.time)}"`,
  id: (r) => quoted(r.id),
  method: (r) => quoted(r.method),
  scheme: (r) => quoted(r.scheme),
  host: (r) => quoted(r.host),
  path: (r) => quoted(r.path),
  query: (r) => text(r.query),
  protocol: (r) => quoted(r.protocol),
  status: (r) => String(r.status),
  outcome: (r) => quoted(r.outcome),
  duration_ms: (r) => milliseconds(r.durationMs),
  bytes_in: (r) => String(r.bytesIn),
  bytes_out: (r) => String(r.bytesOut),
  client: (r) => text(r.client),
  country: (r) => text(r.country),
  asn: (r) => some(r.asn),
  route: (r) => text(r.route),
  region: (r) => text(r.region),
  pool: (r) => text(r.pool),
  origin: (r) => text(r.origin),
  attempts: (r) => some(r.attempts.length),
  cheaper_than: (r) => text(r.cheaperThan),
  cache: (r) => text(r.cache),
  cache_reason: (r) => text(r.cacheReason),
  rules: rulesOf,
  rule_targets: targetsOf,
  blocked: (r) => (r.verdicts.length === 0 ? '' : String(r.wasBlocked)),
  cleared: (r) => (r.wasCleared ? 'true' : ''),
  principal: (r) => text(r.principal),
  subject: (r) => text(r.subject),
  tls: (r) => text(r.tls),
  user_agent: (r) => text(r.userAgent),
  referer: (r) => text(r.referer),
  aborted: (r) => (r.aborted ? 'true' : ''),
  trace_id: (r) => text(r.traceId),
  weight: (_r, weight) => (weight === 1 ? '' : String(weight)),
} as const satisfies Record<string, FieldText>

export type AccessField = keyof typeof FIELDS

const CACHE_WORDS: Readonly<Record<string, string>> = {
  hit: 'hit',
  stale: 'stale',
  revalidated: 'revalidated',
  miss: 'miss',
  bypass: 'bypass',
  pass: 'dynamic',
}

const actionOf = (r: RequestRecord) => {
  const verdict = r.verdicts.find(({ enforced }) => enforced) ?? r.verdicts[0]
  return verdict === undefined ? '' : quoted(verdict.action)
}

/** https://developers.cloudflare.com/logs/logpush/logpush-job/datasets/zone/http_requests/ */
const LOGPUSH: Readonly<Record<string, FieldText>> = {
  RayID: (r) => quoted(r.id),
  EdgeStartTimestamp: (r) => `"${timestamp(r.time)}"`,
  EdgeEndTimestamp: (r) => `"${timestamp(r.time + r.durationMs)}"`,
  ClientIP: (r) => text(r.client),
  ClientCountry: (r) => text(r.country.toLowerCase()),
  ClientASN: (r) => some(r.asn),
  ClientRequestMethod: (r) => quoted(r.method),
  ClientRequestScheme: (r) => quoted(r.scheme),
  ClientRequestHost: (r) => quoted(r.host),
  ClientRequestPath: (r) => quoted(r.path),
  ClientRequestURI: (r) => quoted(r.query === '' ? r.path : `${r.path}?${r.query}`),
  ClientRequestProtocol: (r) => quoted(r.protocol),
  ClientRequestUserAgent: (r) => quoted(r.userAgent),
  ClientRequestReferer: (r) => quoted(r.referer),
  ClientRequestBytes: (r) => String(r.bytesIn),
  ClientSSLProtocol: (r) => quoted(r.tls === '' ? 'none' : r.tls),
  EdgeResponseStatus: (r) => String(r.status),
  EdgeResponseBytes: (r) => String(r.bytesOut),
  OriginResponseStatus: (r) => String(r.attempts.at(-1)?.status ?? 0),
  CacheCacheStatus: (r) => quoted(CACHE_WORDS[r.cache] ?? 'none'),
  SecurityAction: actionOf,
  SecurityRuleID: (r) =>
    text((r.verdicts.find(({ enforced }) => enforced) ?? r.verdicts[0])?.rule ?? ''),
  SecurityRuleIDs: rulesOf,
  SampleInterval: (_r, weight) => String(weight),
}

/** Lines of these fields in this order; fields that do not apply are left out. */
function lineOf(fields: readonly (readonly [name: string, FieldText])[]): LineFormat {
  const keys = fields.map(([name]) => `${quoted(name)}:`)
  const texts = fields.map(([, field]) => field)
  return (record, weight) => {
    let line = ''
    for (let i = 0; i < texts.length; i++) {
      const value = (texts[i] as FieldText)(record, weight)
      if (value !== '') line += `${line === '' ? '{' : ','}${keys[i]}${value}`
    }
    return line === '' ? '{}' : `${line}}`
  }
}

const logpushLine = lineOf(Object.entries(LOGPUSH))

/** The format that a config asks for. */
export function lineFormat({ format, fields }: AccessLogConfig): LineFormat {
  if (format === 'combined') return combinedLine
  if (format === 'logpush') return logpushLine
  if (fields === undefined) return jsonLine
  return lineOf(
    fields.map((field) =>
      typeof field === 'string'
        ? [field, FIELDS[field]]
        : [field.as ?? field.name, FIELDS[field.name]],
    ),
  )
}
