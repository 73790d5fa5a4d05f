/** Cache-Status (RFC 9211) for everything but plain hits, and the fields that carry it. */
import type { CacheStatus, Reply } from '../exchange.ts'
import type { ContentCoding } from '../ports.ts'
import type { StatusFormat } from './policy/stored-response.ts'

/** Why a request went to the origin (RFC 9211 §2.2). */
export type ForwardReason =
  | 'bypass'
  | 'method'
  | 'uri-miss'
  | 'vary-miss'
  | 'request'
  | 'stale'
  | 'partial'

export interface ForwardedStatus {
  readonly forward: ForwardReason
  readonly status: number
  readonly isStored: boolean
  readonly isCollapsed: boolean
  /** Of our own list: the store decision, or why the cache stood aside. */
  readonly detail: string
}

export function forwardedStatus(format: StatusFormat, status: ForwardedStatus): CacheStatus {
  let header = `${format.name}; fwd=${status.forward}`
  if (status.status > 0) header += `; fwd-status=${status.status}`
  if (status.isStored) header += '; stored'
  if (status.isCollapsed) header += '; collapsed'
  header += `; detail=${status.detail}`
  return { outcome: outcomeOf(status), reason: status.detail, header }
}

function outcomeOf(status: ForwardedStatus): CacheStatus['outcome'] {
  if (status.forward === 'bypass') return 'bypass'
  if (status.forward === 'method') return 'pass'
  if (status.status === 304) return 'revalidated'
  return 'miss'
}

/** A stale response was used. */
export function staleStatus(
  format: StatusFormat,
  ttlSeconds: number,
  detail: string,
  forwarded: string,
): CacheStatus {
  const header = `${format.name}; hit; ttl=${ttlSeconds}${forwarded}; detail=${detail}`
  return { outcome: 'stale', reason: detail, header }
}

export function withStatus(reply: Reply, status: CacheStatus, format: StatusFormat): Reply {
  if (format.header) reply.headers.push('Cache-Status', status.header)
  return reply
}

/** The reply went out in a coding that was made here: the same status with its name, there and in the fields. */
export function codedStatus(
  headers: string[],
  status: CacheStatus,
  coding: ContentCoding,
): CacheStatus {
  const mark = status.header.includes('; detail=') ? '/' : '; detail='
  const header = `${status.header}${mark}${coding}`
  for (let i = headers.length - 1; i > 0; i -= 2) {
    if (headers[i] === status.header && headers[i - 1] === 'Cache-Status') {
      headers[i] = header
      break
    }
  }
  return { ...status, header, coding }
}
