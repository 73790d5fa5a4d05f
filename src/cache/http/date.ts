/**
 * HTTP-date, strictly (RFC 9110 §5.6.7): IMF-fixdate and the two obsolete forms, nothing else. Names of
 * days, months and the zone are matched without regard to case; every other deviation is invalid, because
 * a cache that reads "Thu, 18 Aug 50" as a date keeps content that its origin meant to be stale.
 */
import type { Millis } from '../../exchange.ts'

const MONTHS = 'janfebmaraprmayjunjulaugsepoctnovdec'
const DAYS = 'monsuntuewedthufrisat'
const LONG_DAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday']
const DAY_NAMES = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const MONTH_NAMES = [
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
]
const FIFTY_YEARS = 50 * 365.25 * 86_400_000

function isDay(text: string): boolean {
  const at = DAYS.indexOf(text)
  return text.length === 3 && at >= 0 && at % 3 === 0
}

function month(text: string): number {
  const at = MONTHS.indexOf(text)
  return text.length === 3 && at >= 0 && at % 3 === 0 ? at / 3 : -1
}

/** Exactly the digits at [from, to), or -1. */
function digits(text: string, from: number, to: number): number {
  let value = 0
  for (let i = from; i < to; i++) {
    const code = text.charCodeAt(i) - 48
    if (!(code >= 0 && code <= 9)) return -1
    value = value * 10 + code
  }
  return value
}

function instant(
  year: number,
  monthIndex: number,
  day: number,
  text: string,
  timeAt: number,
): Millis {
  if (text[timeAt + 2] !== ':' || text[timeAt + 5] !== ':') return Number.NaN
  const hour = digits(text, timeAt, timeAt + 2)
  const minute = digits(text, timeAt + 3, timeAt + 5)
  const second = digits(text, timeAt + 6, timeAt + 8)
  if (year < 0 || monthIndex < 0 || day < 1 || day > 31) return Number.NaN
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
    return Number.NaN
  const time = Date.UTC(year, monthIndex, day, hour, minute, second)
  // Date.UTC rolls 31 Feb over into March, and reads years below 100 as 19xx.
  return year < 100 || new Date(time - second * 1000).getUTCDate() !== day ? Number.NaN : time
}

/**
 * @param now wall clock; a two-digit year more than 50 years ahead of it is in the past century
 * @returns milliseconds since the epoch, or NaN when the text is not an HTTP-date
 */
export function parseHttpDate(text: string, now: Millis): Millis {
  const lower = text.toLowerCase()
  const length = lower.length
  if (length === 29 && lower.startsWith(', ', 3)) {
    // sun, 06 nov 1994 08:49:37 gmt
    if (!isDay(lower.slice(0, 3)) || !lower.endsWith(' gmt')) return Number.NaN
    if (lower[7] !== ' ' || lower[11] !== ' ' || lower[16] !== ' ') return Number.NaN
    const year = digits(lower, 12, 16)
    return instant(year, month(lower.slice(8, 11)), digits(lower, 5, 7), lower, 17)
  }
  if (length === 24 && lower[3] === ' ') {
    // sun nov  6 08:49:37 1994
    if (!isDay(lower.slice(0, 3)) || lower[7] !== ' ' || lower[10] !== ' ' || lower[19] !== ' ')
      return Number.NaN
    const day = lower[8] === ' ' ? digits(lower, 9, 10) : digits(lower, 8, 10)
    return instant(digits(lower, 20, 24), month(lower.slice(4, 7)), day, lower, 11)
  }
  const comma = lower.indexOf(',')
  if (comma >= 6 && length === comma + 24) {
    // sunday, 06-nov-94 08:49:37 gmt
    const at = comma + 2
    if (!LONG_DAYS.includes(lower.slice(0, comma)) || !lower.endsWith(' gmt')) return Number.NaN
    if (lower[comma + 1] !== ' ' || lower[at + 2] !== '-' || lower[at + 6] !== '-')
      return Number.NaN
    if (lower[at + 9] !== ' ') return Number.NaN
    const short = digits(lower, at + 7, at + 9)
    if (short < 0) return Number.NaN
    const century = Math.floor(new Date(now).getUTCFullYear() / 100) * 100
    const monthIndex = month(lower.slice(at + 3, at + 6))
    const day = digits(lower, at, at + 2)
    const time = instant(century + short, monthIndex, day, lower, at + 10)
    return time - now > FIFTY_YEARS
      ? instant(century - 100 + short, monthIndex, day, lower, at + 10)
      : time
  }
  return Number.NaN
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value)
}

/** IMF-fixdate. */
export function formatHttpDate(time: Millis): string {
  const date = new Date(time)
  const day = DAY_NAMES[date.getUTCDay()]
  const monthName = MONTH_NAMES[date.getUTCMonth()]
  const clock = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`
  return `${day}, ${two(date.getUTCDate())} ${monthName} ${date.getUTCFullYear()} ${clock} GMT`
}
