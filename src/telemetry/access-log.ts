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

type Value = string | number

/**
 * A part of the line that is the same for request after request: made anew when one of its values changes,
 * and one flat string from its second use. A line of few long pieces costs half of what one of many short
 * ones costs to write.
 */
class Piece {
  readonly #make: (a: Value, b: Value, c: Value, d: Value) => string
  #a: Value = Number.NaN
  #b: Value = ''
  #c: Value = ''
  #d: Value = ''
  #text = ''
  #isFlat = false

  constructor(make: (a: Value, b: Value, c: Value, d: Value) => string) {
    this.#make = make
  }

  of(a: Value, b: Value = '', c: Value = '', d: Value = ''): string {
    if (a !== this.#a || b !== this.#b || c !== this.#c || d !== this.#d) {
      this.#a = a
      this.#b = b
      this.#c = c
      this.#d = d
      this.#text = this.#make(a, b, c, d)
      this.#isFlat = false
    } else if (!this.#isFlat) {
      // `join` copies what `+` would keep in pieces.
      this.#text = [this.#text.slice(0, 1), this.#text.slice(1)].join('')
      this.#isFlat = true
    }
    return this.#text
  }
}

function member(name: string, value: Value): string {
  return value === '' ? '' : `,"${name}":${quoted(String(value))}`
}

const request = new Piece(
  (method, scheme, host) =>
    `","method":${quoted(String(method))},"scheme":"${scheme}","host":${quoted(String(host))},"path":`,
)
const answer = new Piece(
  (protocol, status, outcome) =>
    `,"protocol":"${protocol}","status":${status},"outcome":${quoted(String(outcome))},"duration_ms":`,
)
const caller = new Piece(
  (client, country, asn) =>
    `${member('client', client)}${member('country', country)}${asn === 0 ? '' : `,"asn":${asn}`}`,
)
const way = new Piece((route, region, pool, origin) => {
  const known = `${member('route', route)}${member('region', region)}`
  if (origin === '') return known
  return `${known},"pool":${quoted(String(pool))},"origin":${quoted(String(origin))}`
})
const stored = new Piece(
  (cache, reason) => `,"cache":"${cache}","cache_reason":${quoted(String(reason))}`,
)
const agent = new Piece((userAgent) => member('user_agent', userAgent))

/**
 * One JSON object, without a newline. Fields that do not apply are left out.
 * @param weight how many requests the line stands for when the log is sampled
 */
export function jsonLine(record: RequestRecord, weight = 1): string {
  // The id is the gateway's own: letters and digits.
  let line = `{"time":"${timestamp(record.time)}","id":"${record.id}${request.of(
    record.method,
    record.scheme,
    record.host,
  )}${quoted(record.path)}`
  if (record.query !== '') line += `,"query":${quoted(record.query)}`
  line += `${answer.of(record.protocol, record.status, record.outcome)}${milliseconds(
    record.durationMs,
  )},"bytes_in":${record.bytesIn},"bytes_out":${record.bytesOut}${caller.of(
    record.client,
    record.country,
    record.asn,
  )}${way.of(record.route, record.region, record.pool, record.origin)}`
  if (record.origin !== '') {
    line += `,"attempts":${record.attempts.length}`
    if (record.cheaperThan !== '') line += `,"cheaper_than":${quoted(record.cheaperThan)}`
  }
  if (record.cache !== '') line += stored.of(record.cache, record.cacheReason)
  if (record.verdicts.length > 0) {
    line += `,"rules":[${ruleIds(record.verdicts)}]${ruleTargets(record.verdicts)},"blocked":${record.wasBlocked}`
    if (record.wasCleared) line += ',"cleared":true'
  }
  if (record.principal !== '') {
    line += `,"principal":"${record.principal}","subject":${quoted(record.subject)}`
  }
  if (record.tls !== '') line += `,"tls":${quoted(record.tls)}`
  if (record.userAgent !== '') line += agent.of(record.userAgent)
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
