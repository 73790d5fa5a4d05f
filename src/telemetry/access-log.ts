/**
 * Access log lines, built by hand: a string builder costs less than an object and `JSON.stringify`, and
 * the line's fields stand here in order, as they are read.
 */
import type { Millis, Verdict } from '../exchange.ts'
import type { RequestRecord } from './record.ts'

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must be escaped
const NEEDS_ESCAPE = /["\\\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]/
const TERMINAL_CONTROLS = /[\u007f-\u009f\u2028\u2029]/g

/**
 * A JSON string with its quotes. DEL and the C1 controls are escaped too, so that a line shown in a
 * terminal cannot steer it; lone surrogates become escapes, so that the line is valid UTF-8.
 */
export function quoted(text: string): string {
  if (!NEEDS_ESCAPE.test(text)) return `"${text}"`
  return JSON.stringify(text).replace(TERMINAL_CONTROLS, unicodeEscape)
}

function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** `000` to `999`. */
const THREE_DIGITS = Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, '0'))

let cachedSecond = Number.NaN
let cachedPrefix = ''

/** RFC 3339 in UTC with milliseconds; the part up to the second is kept from line to line. */
export function timestamp(time: Millis): string {
  const second = Math.floor(time / 1000)
  if (second !== cachedSecond) {
    cachedSecond = second
    cachedPrefix = new Date(second * 1000).toISOString().slice(0, 20)
  }
  return `${cachedPrefix}${THREE_DIGITS[Math.floor(time - second * 1000)]}Z`
}

/** Milliseconds with three decimals; cheaper than printing a double. */
export function milliseconds(duration: Millis): string {
  const micros = Math.max(0, Math.round(duration * 1000))
  const whole = Math.floor(micros / 1000)
  return `${whole}.${THREE_DIGITS[micros - whole * 1000]}`
}

function ruleIds(verdicts: readonly Verdict[]): string {
  let out = ''
  for (let i = 0; i < verdicts.length; i++) {
    out += (i === 0 ? '' : ',') + quoted((verdicts[i] as Verdict).rule)
  }
  return out
}

/** Where each of the rules matched, in their order; empty when none knows. */
function ruleTargets(verdicts: readonly Verdict[]): string {
  let out = ''
  let isKnown = false
  for (let i = 0; i < verdicts.length; i++) {
    const target = (verdicts[i] as Verdict).target ?? ''
    if (target !== '') isKnown = true
    out += (i === 0 ? '' : ',') + quoted(target)
  }
  return isKnown ? `,"rule_targets":[${out}]` : ''
}

/**
 * One JSON object, without a newline. Fields that do not apply are left out.
 * @param weight how many requests the line stands for when the log is sampled
 */
export function jsonLine(record: RequestRecord, weight = 1): string {
  let line = `{"time":"${timestamp(record.time)}","id":${quoted(record.id)},"method":${quoted(
    record.method,
  )},"scheme":"${record.scheme}","host":${quoted(record.host)},"path":${quoted(record.path)}`
  if (record.query !== '') line += `,"query":${quoted(record.query)}`
  line += `,"protocol":"${record.protocol}","status":${record.status},"outcome":${quoted(
    record.outcome,
  )},"duration_ms":${milliseconds(record.durationMs)},"bytes_in":${record.bytesIn},"bytes_out":${
    record.bytesOut
  }`
  if (record.client !== '') line += `,"client":"${record.client}"`
  if (record.country !== '') line += `,"country":"${record.country}"`
  if (record.asn !== 0) line += `,"asn":${record.asn}`
  if (record.route !== '') line += `,"route":${quoted(record.route)}`
  if (record.region !== '') line += `,"region":${quoted(record.region)}`
  if (record.origin !== '') {
    line += `,"pool":${quoted(record.pool)},"origin":${quoted(record.origin)},"attempts":${
      record.attempts.length
    }`
    if (record.cheaperThan !== '') line += `,"cheaper_than":${quoted(record.cheaperThan)}`
  }
  if (record.cache !== '') {
    line += `,"cache":"${record.cache}","cache_reason":${quoted(record.cacheReason)}`
  }
  if (record.verdicts.length > 0) {
    line += `,"rules":[${ruleIds(record.verdicts)}]${ruleTargets(record.verdicts)},"blocked":${record.wasBlocked}`
    if (record.wasCleared) line += ',"cleared":true'
  }
  if (record.principal !== '') {
    line += `,"principal":"${record.principal}","subject":${quoted(record.subject)}`
  }
  if (record.tls !== '') line += `,"tls":${quoted(record.tls)}`
  if (record.userAgent !== '') line += `,"user_agent":${quoted(record.userAgent)}`
  if (record.referer !== '') line += `,"referer":${quoted(record.referer)}`
  if (record.aborted) line += ',"aborted":true'
  if (record.traceId !== '') line += `,"trace_id":"${record.traceId}"`
  return weight === 1 ? `${line}}` : `${line},"weight":${weight}}`
}

const MONTHS = [
  'Jan',
  'Feb',
  'Mar',
  'Apr',
  'May',
  'Jun',
  'Jul',
  'Aug',
  'Sep',
  'Oct',
  'Nov',
  'Dec',
] as const

/** `[24/Nov/2026:06:53:31 +0000]` */
function combinedTime(time: Millis): string {
  const text = timestamp(time)
  const month = MONTHS[Number(text.slice(5, 7)) - 1]
  return `[${text.slice(8, 10)}/${month}/${text.slice(0, 4)}:${text.slice(11, 19)} +0000]`
}

/** Characters that would break a quoted field, as `\xhh`. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must be escaped
const COMBINED_UNSAFE = /["\\\u0000-\u001f\u007f-\uffff]/g

function hexEscape(character: string): string {
  const code = character.charCodeAt(0)
  if (code === 34 || code === 92) return `\\${character}`
  return code < 256
    ? `\\x${code.toString(16).padStart(2, '0')}`
    : `\\u${code.toString(16).padStart(4, '0')}`
}

function combinedField(text: string): string {
  return text === '' ? '-' : text.replace(COMBINED_UNSAFE, hexEscape)
}

/** The Combined Log Format of Apache httpd, without a newline; the user is the (hashed) subject. */
export function combinedLine(record: RequestRecord): string {
  const target = record.query === '' ? record.path : `${record.path}?${record.query}`
  const user = record.subject === '' ? '-' : combinedField(record.subject).replaceAll(' ', '\\x20')
  return `${record.client === '' ? '-' : record.client} - ${user} ${combinedTime(
    record.time,
  )} "${combinedField(record.method)} ${combinedField(target)} ${record.protocol}" ${
    record.status
  } ${record.bytesOut === 0 ? '-' : record.bytesOut} "${combinedField(
    record.referer,
  )}" "${combinedField(record.userAgent)}"`
}
