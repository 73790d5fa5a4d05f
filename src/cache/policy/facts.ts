/**
 * What a response says about its own storing: read once when its header arrives, then only compared.
 * Freshness lifetime (RFC 9111 §4.2.1), heuristics (§4.2.2), age (§4.2.3), targeted fields (RFC 9213).
 */
import type { HeaderList, Millis } from '../../exchange.ts'
import {
  type CacheControl,
  parseCacheControl,
  parseDeltaSeconds,
  parseTargetedControl,
} from '../http/cache-control.ts'
import { parseHttpDate } from '../http/date.ts'
import { parseVary } from '../http/vary.ts'
import type { CachePolicy } from './cache-policy.ts'

/** When the exchange with the origin took place. */
export interface Timing {
  /** Wall clock at receipt of the response header. */
  readonly receivedWall: Millis
  /** Monotonic clock at receipt. */
  readonly receivedAt: Millis
  /** From sending the request to receipt. */
  readonly responseDelay: Millis
}

export type LifetimeSource =
  | 'targeted'
  | 's-maxage'
  | 'max-age'
  | 'expires'
  | 'heuristic'
  | 'override'
  | 'policy'
  | 'none'

export interface ResponseFacts {
  readonly status: number
  readonly headers: HeaderList
  /** Cache-Control, or the targeted field that stands in for it. */
  readonly control: CacheControl
  readonly isTargeted: boolean
  readonly lifetime: Millis
  readonly lifetimeSource: LifetimeSource
  /** Age on arrival (corrected_initial_age). */
  readonly initialAge: Millis
  /** Date, or the time of receipt where there is no valid one. */
  readonly date: Millis
  readonly hasDate: boolean
  readonly etag: string | undefined
  readonly lastModified: string | undefined
  /** NaN when absent or invalid. */
  readonly lastModifiedAt: Millis
  /** `undefined` for `Vary: *`. */
  readonly vary: readonly string[] | undefined
}

/** RFC 9110 §15.1. */
const HEURISTIC_STATUSES: ReadonlySet<number> = new Set([
  200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501,
])

export function isHeuristicallyCacheable(status: number): boolean {
  return HEURISTIC_STATUSES.has(status)
}

/** Age in milliseconds: the first member of the list, 0 when it is not a number (RFC 9111 §5.1). */
export function parseAge(value: string | undefined): Millis {
  if (value === undefined) return 0
  const comma = value.indexOf(',')
  const first = (comma < 0 ? value : value.slice(0, comma)).trim()
  return Math.max(0, parseDeltaSeconds(first)) * 1000
}

/** Origins say the same few things again and again. */
const CONTROLS = 512
const controls = new Map<string, CacheControl>()

function responseControl(text: string | undefined): CacheControl {
  if (text === undefined || text.length > 256) return parseCacheControl(text)
  const known = controls.get(text)
  if (known !== undefined) return known
  const control = Object.freeze(parseCacheControl(text))
  if (controls.size >= CONTROLS) controls.clear()
  controls.set(text, control)
  return control
}

/** Length of an IMF-fixdate, whose meaning does not depend on when it is read. */
const FIXDATE_LENGTH = 29
let lastDateText = ''
let lastDateValue = Number.NaN

/** Answers of one second have one Date. */
function responseDate(text: string, now: Millis): Millis {
  if (text === lastDateText) return lastDateValue
  const value = parseHttpDate(text, now)
  if (text.length === FIXDATE_LENGTH) {
    lastDateText = text
    lastDateValue = value
  }
  return value
}

export function readFacts(
  status: number,
  headers: HeaderList,
  timing: Timing,
  policy: CachePolicy,
): ResponseFacts {
  let control: CacheControl | undefined
  for (const name of policy.targeted) {
    control = parseTargetedControl(headers.joined(name))
    if (control !== undefined) break
  }
  const isTargeted = control !== undefined
  control ??= responseControl(headers.joined('cache-control'))

  const now = timing.receivedWall
  const dateText = headers.get('date')
  const dateValue = dateText === undefined ? Number.NaN : responseDate(dateText, now)
  const date = Number.isNaN(dateValue) ? now : dateValue
  const lastModified = headers.get('last-modified')
  const lastModifiedAt = lastModified === undefined ? Number.NaN : parseHttpDate(lastModified, now)

  // RFC 9111 §4.2.3
  const apparentAge = Math.max(0, now - date)
  const correctedAge = parseAge(headers.joined('age')) + timing.responseDelay
  const initialAge = Math.max(apparentAge, correctedAge)

  // Not by spreading: V8 kept the copies alive until a full collection (measured on Node 20).
  const facts: Mutable<ResponseFacts> = {
    status,
    headers,
    control,
    isTargeted,
    initialAge,
    date,
    hasDate: !Number.isNaN(dateValue),
    etag: headers.get('etag'),
    lastModified: Number.isNaN(lastModifiedAt) ? undefined : lastModified,
    lastModifiedAt,
    vary: parseVary(headers.joined('vary')),
    lifetime: 0,
    lifetimeSource: 'none',
  }
  const { lifetime, lifetimeSource } = lifetimeOf(facts, policy, now)
  facts.lifetime = lifetime
  facts.lifetimeSource = lifetimeSource
  return facts
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

type Undated = Omit<ResponseFacts, 'lifetime' | 'lifetimeSource'>

function lifetimeOf(
  facts: Undated,
  policy: CachePolicy,
  now: Millis,
): Pick<ResponseFacts, 'lifetime' | 'lifetimeSource'> {
  const { ttl } = policy
  if (ttl.override !== undefined && facts.status < 400) {
    return { lifetime: ttl.override, lifetimeSource: 'override' }
  }
  const stated = statedLifetime(facts, now)
  if (stated !== undefined) {
    // A lifetime of zero is a wish, not an omission: `min` does not lift it.
    const lifetime =
      stated.lifetime <= 0 ? 0 : Math.min(ttl.max, Math.max(ttl.min, stated.lifetime))
    return { lifetime, lifetimeSource: stated.lifetimeSource }
  }
  const byStatus = ttl.status.get(facts.status)
  if (byStatus !== undefined) return { lifetime: byStatus, lifetimeSource: 'policy' }
  if (facts.control.noCache) return { lifetime: 0, lifetimeSource: 'none' }
  if (
    !Number.isNaN(facts.lastModifiedAt) &&
    (isHeuristicallyCacheable(facts.status) || facts.control.public)
  ) {
    const since = facts.date - facts.lastModifiedAt
    const cap = facts.status >= 400 ? ttl.heuristicMaxError : ttl.heuristicMax
    const guess = Math.min(Math.max(0, since) * ttl.heuristicFraction, cap, ttl.max)
    return { lifetime: Math.max(guess, ttl.min), lifetimeSource: 'heuristic' }
  }
  if (ttl.default !== undefined && facts.status < 400) {
    return { lifetime: ttl.default, lifetimeSource: 'policy' }
  }
  return { lifetime: 0, lifetimeSource: 'none' }
}

/** What the origin said; undefined when it said nothing. */
function statedLifetime(
  facts: Undated,
  now: Millis,
): Pick<ResponseFacts, 'lifetime' | 'lifetimeSource'> | undefined {
  const { control, isTargeted } = facts
  if (control.sMaxAge >= 0) {
    return {
      lifetime: control.sMaxAge * 1000,
      lifetimeSource: isTargeted ? 'targeted' : 's-maxage',
    }
  }
  if (control.maxAge >= 0) {
    return { lifetime: control.maxAge * 1000, lifetimeSource: isTargeted ? 'targeted' : 'max-age' }
  }
  if (isTargeted) return undefined
  const expires = facts.headers.all('expires')
  if (expires.length === 0) return undefined
  // Invalid, or more than one that differ: already expired (RFC 9111 §5.3).
  const first = expires[0] as string
  const at = expires.every((value) => value === first) ? parseHttpDate(first, now) : Number.NaN
  return { lifetime: Number.isNaN(at) ? 0 : at - facts.date, lifetimeSource: 'expires' }
}

/** Whether the origin itself said how long. */
export function isExplicit(source: LifetimeSource): boolean {
  return (
    source === 'targeted' || source === 's-maxage' || source === 'max-age' || source === 'expires'
  )
}
