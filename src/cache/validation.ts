/** Choices before and after an exchange with the origin: what to validate, what a 304 means. */
import type { HeaderList, Reply } from '../exchange.ts'
import type { ForwardReason } from './cache-status.ts'
import { type CacheCore, isLive, type Pending, selectPartial } from './core.ts'
import type { CacheRequest } from './key/cache-key.ts'
import type { StoredResponse } from './policy/stored-response.ts'

/** A stored beginning or end whose missing rest is no more than what is here. */
export function completable(
  core: CacheCore,
  p: Pending,
): { response: StoredResponse; range: string } | undefined {
  if (p.stored !== undefined || p.variants === undefined || p.request.method !== 'GET') {
    return undefined
  }
  for (const response of selectPartial(core, p.variants, p.request.headers, p.policy)) {
    const { range } = response
    if (range === undefined || core.clock.monotonic() >= response.freshUntil) continue
    if ((range.last - range.first + 1) * 2 < range.total) continue
    if (range.first === 0) return { response, range: `bytes=${range.last + 1}-` }
    if (range.last === range.total - 1) {
      return { response, range: `bytes=0-${range.first - 1}` }
    }
  }
  return undefined
}

/** Stored responses whose validators are offered; the one that matches the request comes first. */
export function candidates(core: CacheCore, p: Pending): readonly StoredResponse[] {
  const found: StoredResponse[] = []
  if (p.stored?.hasValidator === true) found.push(p.stored)
  for (const response of p.variants?.responses ?? []) {
    if (response === p.stored || response.etag === undefined || response.range !== undefined) {
      continue
    }
    if (isLive(core, response)) found.push(response)
  }
  return found
}

/** The fields that are known to select a variant of this key. */
export function knownVary(core: CacheCore, p: Pending): readonly string[] {
  for (const { outcome } of core.fills.of(p.key.key) ?? []) {
    if (outcome?.kind === 'shared') return outcome.response.vary
  }
  return p.variants?.responses[0]?.vary ?? []
}

/** Why the origin is asked (RFC 9211 §2.2). */
export function forwardReason(core: CacheCore, p: Pending, isPartial: boolean): ForwardReason {
  if (isPartial) return 'partial'
  if (p.stored !== undefined) {
    const now = core.clock.monotonic()
    return now < p.stored.freshUntil && !p.stored.isSoftPurged ? 'request' : 'stale'
  }
  // What a purge has taken is not another variant.
  const isElsewhere = p.variants?.responses.some((response) => isLive(core, response)) === true
  return isElsewhere ? 'vary-miss' : 'uri-miss'
}

/** The request without its client: what happens to it later changes no record. */
export function detachedRequest(request: CacheRequest): CacheRequest {
  const { method, scheme, authority, target, headers, geo, principal } = request
  const { isFromEdge = false } = request
  return {
    method,
    scheme,
    authority,
    target,
    headers,
    geo,
    principal,
    body: null,
    isFromEdge,
    cacheStatus: undefined,
    served: undefined,
    aborted: false,
    onAbort: undefined,
  }
}

export function asBytes(reply: Reply): Uint8Array | null {
  const { body } = reply
  return body !== null && 'byteLength' in body ? exact(body) : null
}

/** A copy when the array is a window into something larger, which it would keep alive. */
export function exact(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice()
}

export function discard(reply: Reply): void {
  const { body } = reply
  if (body !== null && 'cancel' in body) body.cancel()
}

/** Which of the offered responses a 304 speaks of (RFC 9111 §4.3.4). */
export function validated(
  sent: HeaderList,
  offered: readonly StoredResponse[],
  selected: StoredResponse | undefined,
): StoredResponse | undefined {
  const etag = sent.get('etag')
  if (etag !== undefined) {
    const strong = offered.find((stored) => stored.etag === etag)
    if (strong !== undefined) return strong
    const opaque = etag.replace(/^W\//, '')
    const weak = offered.filter((stored) => stored.etag?.replace(/^W\//, '') === opaque)
    if (weak.length > 0) return weak.length === 1 ? weak[0] : undefined
    // Another tag, though the one tag we named was all there was to compare: it did match. With a date
    // beside it the origin may have looked at that alone, and the bytes may be others.
    const [only] = offered
    return offered.length === 1 && only?.lastModified === undefined ? only : undefined
  }
  // Without a tag it can only mean the one we chose, or the only one we named.
  return selected ?? (offered.length === 1 ? offered[0] : undefined)
}

export function wholeFields(fields: readonly string[], total: number): string[] {
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const name = (fields[i] as string).toLowerCase()
    if (name === 'content-range' || name === 'content-length') continue
    kept.push(fields[i] as string, fields[i + 1] as string)
  }
  kept.push('Content-Length', String(total))
  return kept
}

export function completeFields(stored: StoredResponse, length: number): readonly string[] {
  for (let i = 0; i < stored.fields.length; i += 2) {
    if ((stored.fields[i] as string).toLowerCase() === 'content-length') return stored.fields
  }
  return [...stored.fields, 'Content-Length', String(length)]
}
