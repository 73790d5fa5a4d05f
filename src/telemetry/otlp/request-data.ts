/**
 * What OTLP shows of one request: a server span, a client span for each attempt at an origin, a log record.
 * Attributes have the names of OpenTelemetry's semantic conventions where there are some, `meridian.*`
 * otherwise. Everything comes from the record, which has been through the mask.
 */
import type { Attempt, Millis, TraceSpan } from '../../exchange.ts'
import { quoted } from '../access-log.ts'
import type { GatewayEvent } from '../events.ts'
import { METHODS, type RequestRecord } from '../record.ts'
import { double, flag, integer, list, nanos, text, texts } from './values.ts'

const SERVER = 2
const CLIENT = 3
const ERROR = 2

/** Severity numbers and their names (OpenTelemetry logs data model). */
const INFO = '"severityNumber":9,"severityText":"INFO"'
const WARN = '"severityNumber":13,"severityText":"WARN"'
const FAULT = '"severityNumber":17,"severityText":"ERROR"'

function method(record: RequestRecord): string {
  return METHODS.has(record.method) ? record.method : '_OTHER'
}

/** Attributes of a request, for its span and its log record. */
export function requestAttributes(record: RequestRecord): string {
  const known = method(record)
  let out = text('http.request.method', known)
  if (known !== record.method) out += text('http.request.method_original', record.method)
  out += text('url.scheme', record.scheme) + text('url.path', record.path)
  out += text('url.query', record.query) + text('server.address', record.host)
  out += text('network.protocol.version', record.protocol.slice(5))
  if (record.status > 0) out += integer('http.response.status_code', record.status)
  out += text('http.route', record.route) + text('client.address', record.client)
  out +=
    text('user_agent.original', record.userAgent) +
    text('http.request.header.referer', record.referer)
  out += integer('http.request.body.size', record.bytesIn)
  out += integer('http.response.body.size', record.bytesOut)
  out += text('geo.country.iso_code', record.country)
  if (record.asn !== 0) out += integer('meridian.client.asn', record.asn)
  out += text('tls.protocol.version', record.tls.replace('TLSv', ''))
  out += text('enduser.pseudo.id', record.subject) + text('meridian.principal', record.principal)
  if (record.status >= 500)
    out += text('error.type', record.outcome === 'served' ? String(record.status) : record.outcome)
  out += text('meridian.request_id', record.id) + text('meridian.outcome', record.outcome)
  out += text('meridian.region', record.region) + text('meridian.pool', record.pool)
  out += text('meridian.origin', record.origin) + text('meridian.cache', record.cache)
  out += text('meridian.cache_reason', record.cacheReason)
  if (record.attempts.length > 0) out += integer('meridian.attempts', record.attempts.length)
  if (record.verdicts.length > 0) {
    out += texts(
      'meridian.rules',
      record.verdicts.map(({ rule }) => rule),
    )
    out += flag('meridian.blocked', record.wasBlocked)
  }
  return record.aborted ? out + flag('meridian.aborted', true) : out
}

function traceFlags(trace: TraceSpan): number {
  // Bit 0: sampled. Exported without it: an error or a refusal that the head had left out.
  return trace.isSampled ? 1 : 0
}

/**
 * The spans of a request, joined by commas.
 * @param monotonicStart when it began, on the clock of its attempts
 */
export function requestSpans(
  record: RequestRecord,
  trace: TraceSpan,
  monotonicStart: Millis,
  attributes: string,
): string {
  const name = record.route === '' ? method(record) : `${method(record)} ${record.route}`
  const state = trace.state === '' ? '' : `,"traceState":${quoted(trace.state)}`
  const parent = trace.parentId === '' ? '' : `,"parentSpanId":"${trace.parentId}"`
  const failed = record.status >= 500 ? `,"status":{"code":${ERROR}}` : ''
  let out = `{"traceId":"${trace.traceId}","spanId":"${trace.spanId}"${state}${parent},"flags":${traceFlags(trace)},"name":${quoted(name)},"kind":${SERVER},"startTimeUnixNano":"${nanos(record.time)}","endTimeUnixNano":"${nanos(record.time + record.durationMs)}","attributes":${list(attributes)}${failed}}`
  const { attempts } = record
  for (let i = 0; i < attempts.length; i++) {
    const attempt = attempts[i] as Attempt
    if (attempt.spanId === undefined) continue
    out += `,${attemptSpan(record, trace, attempt, i, record.time - monotonicStart, state)}`
  }
  return out
}

function attemptSpan(
  record: RequestRecord,
  trace: TraceSpan,
  attempt: Attempt,
  index: number,
  offset: Millis,
  state: string,
): string {
  const begun = offset + (attempt.startedAt ?? 0)
  const isOk = attempt.outcome === 'ok' && (attempt.status ?? 0) < 500
  let attributes = text('http.request.method', method(record))
  attributes += text('server.address', attempt.host ?? '')
  if (attempt.port !== undefined) attributes += integer('server.port', attempt.port)
  if (attempt.status !== null) attributes += integer('http.response.status_code', attempt.status)
  if (index > 0) attributes += integer('http.request.resend_count', index)
  if (!isOk)
    attributes += text(
      'error.type',
      attempt.outcome === 'ok' ? String(attempt.status) : attempt.outcome,
    )
  attributes += text('meridian.region', attempt.region) + text('meridian.pool', attempt.pool)
  attributes += text('meridian.origin', attempt.origin) + text('meridian.request_id', record.id)
  const failed = isOk ? '' : `,"status":{"code":${ERROR}}`
  return `{"traceId":"${trace.traceId}","spanId":"${attempt.spanId}"${state},"parentSpanId":"${trace.spanId}","flags":${traceFlags(trace)},"name":"${method(record)}","kind":${CLIENT},"startTimeUnixNano":"${nanos(begun)}","endTimeUnixNano":"${nanos(begun + attempt.durationMs)}","attributes":${list(attributes)}${failed}}`
}

/** How many spans `requestSpans` makes. */
export function spanCount(record: RequestRecord): number {
  let count = 1
  for (const { spanId } of record.attempts) if (spanId !== undefined) count++
  return count
}

/**
 * A log record for a request.
 * @param weight how many requests it stands for
 */
export function requestLog(
  record: RequestRecord,
  trace: TraceSpan | undefined,
  attributes: string,
  weight: number,
): string {
  const severity = record.status >= 500 ? FAULT : record.outcome === 'served' ? INFO : WARN
  const time = nanos(record.time + record.durationMs)
  let more = attributes + double('meridian.duration_ms', record.durationMs)
  if (weight !== 1) more += double('meridian.weight', weight)
  const body = `${record.method} ${record.path} ${record.status} ${record.outcome}`
  const ids =
    trace === undefined
      ? ''
      : `,"traceId":"${trace.traceId}","flags":${traceFlags(trace)}${trace.spanId === '' ? '' : `,"spanId":"${trace.spanId}"`}`
  return `{"timeUnixNano":"${time}","observedTimeUnixNano":"${time}",${severity},"eventName":"meridian.request","body":{"stringValue":${quoted(body)}},"attributes":${list(more)}${ids}}`
}

/** A log record for an event: its name is the kind and what happened. */
export function eventLog(event: GatewayEvent): string {
  const time = nanos(event.time)
  let attributes = ''
  if (event.requestId !== undefined) attributes += text('meridian.request_id', event.requestId)
  for (const [key, value] of Object.entries(event.detail)) {
    const name = `meridian.event.${key}`
    if (typeof value === 'string') attributes += text(name, value)
    else if (typeof value === 'number') attributes += double(name, value)
    else if (typeof value === 'boolean') attributes += flag(name, value)
    else attributes += texts(name, value)
  }
  const severity = event.kind === 'config' || event.kind === 'system' ? INFO : WARN
  return `{"timeUnixNano":"${time}","observedTimeUnixNano":"${time}",${severity},"eventName":${quoted(`meridian.${event.kind}.${event.what.replaceAll(' ', '_')}`)},"body":{"stringValue":${quoted(`${event.kind}: ${event.what}`)}},"attributes":${list(attributes)}}`
}
