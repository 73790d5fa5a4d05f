/** Replies made from stored responses. */
import type { Body, CacheStatus, Millis, Reply } from '../exchange.ts'
import { type ForwardReason, forwardedStatus, withStatus } from './cache-status.ts'
import type { CacheCore, Pending } from './core.ts'
import type { CachePolicy } from './policy/cache-policy.ts'
import { ifRangeHolds, isNotModified, rangeReply } from './policy/serve.ts'
import type { StoredResponse } from './policy/stored-response.ts'
import { CONDITION, RANGE } from './request-flags.ts'

/** Another cache of the fleet purges by the tags that clients do not see. */
export function addTags(headers: string[], stored: StoredResponse, policy: CachePolicy): void {
  const [field] = policy.tagHeaders
  if (policy.exposeTags || field === undefined) return
  const tags = stored.epochNames.filter((name) => name.startsWith('tag:'))
  if (tags.length > 0) headers.push(field, tags.map((name) => name.slice(4)).join(', '))
}

const HEX = '0123456789abcdef'

function boundary(core: CacheCore): string {
  let mark = ''
  for (const byte of core.random.bytes(12)) mark += (HEX[byte >> 4] as string) + HEX[byte & 15]
  return mark
}

/**
 * Whether the client's conditions say that its copy is current. Where there is no Last-Modified, the date of
 * the stored response stands in for it (RFC 9111 §4.3.2).
 */
export function isClientCurrent(p: Pending, stored: StoredResponse, wall: Millis): boolean {
  if ((p.flags & CONDITION) === 0 || stored.status !== 200) return false
  const modifiedAt = stored.lastModified === undefined ? stored.date : stored.lastModifiedAt
  return isNotModified(p.request.headers, stored.etag, modifiedAt, wall)
}

/**
 * Answers from a stored response: 200 as it was, 304, 206 or 416, with Age and the status given.
 * @param body what goes in place of the stored body, for a fill that is still under way
 */
export function replyFrom(
  core: CacheCore,
  p: Pending,
  stored: StoredResponse,
  status: CacheStatus,
  body?: Body,
): Reply {
  const now = core.clock.monotonic()
  p.request.cacheStatus = status
  if (isClientCurrent(p, stored, core.clock.now())) {
    if (body !== undefined && body !== null && 'cancel' in body) body.cancel()
    const headers = stored.notModifiedFields().slice()
    headers.push('Age', String(stored.age(now)))
    if (p.request.isFromEdge === true) addTags(headers, stored, p.policy)
    return withStatus({ status: 304, headers, body: null }, status, core.format)
  }
  const headers = stored.fields.slice()
  headers.push('Age', String(stored.age(now)))
  if (p.request.isFromEdge === true) addTags(headers, stored, p.policy)
  if (body !== undefined) {
    return withStatus({ status: stored.status, headers, body }, status, core.format)
  }
  const { method } = p.request
  const range = (p.flags & RANGE) !== 0 && method === 'GET' && stored.status <= 206
  if (range && (stored.status === 200 || stored.range !== undefined)) {
    const value = p.request.headers.joined('range') as string
    if (ifRangeHolds(p.request.headers, stored, core.clock.now())) {
      const { maxRanges } = p.policy.range
      const reply = rangeReply(stored, headers, value, maxRanges, () => boundary(core))
      if (reply !== undefined) return withStatus(reply, status, core.format)
    }
  }
  p.request.served = stored
  const whole = {
    status: stored.status,
    headers,
    body: method === 'HEAD' ? null : stored.openBody(),
  }
  return withStatus(whole, status, core.format)
}

/** A fresh response was used, by a request that the short path could not answer. */
export function freshStatus(core: CacheCore, stored: StoredResponse): CacheStatus {
  return stored.hitStatus(core.clock.monotonic(), core.format)
}

export function statusOf(
  core: CacheCore,
  forward: ForwardReason,
  status: number,
  detail: string,
  isStored: boolean,
  isCollapsed = false,
): CacheStatus {
  return forwardedStatus(core.format, { forward, status, detail, isStored, isCollapsed })
}
