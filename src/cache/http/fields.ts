/** Which header fields belong to a connection, to a representation, or to this hop of the cache. */
import type { HeaderList } from '../../exchange.ts'

const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** How much one client has left: nobody else's business. */
const OF_ONE_CLIENT = /^(x-)?ratelimit(-|$)/

/**
 * What is kept of a response (RFC 9111 §3.1): connection fields, fields that Connection names, Age (made
 * anew for each reuse), Cache-Status (of caches that a reuse does not come to), RateLimit fields and the fields in `drop` are left out.
 */
export function storableFields(headers: HeaderList, drop: readonly string[]): string[] {
  const names = headers.names()
  const listed = connectionListed(headers)
  const kept: string[] = []
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string
    if (name === 'age' || name === 'cache-status' || HOP_BY_HOP.has(name) || drop.includes(name))
      continue
    if (OF_ONE_CLIENT.test(name)) continue
    if (listed?.includes(name)) continue
    kept.push(headers.flat[i * 2] as string, headers.flat[i * 2 + 1] as string)
  }
  return kept
}

function connectionListed(headers: HeaderList): string[] | undefined {
  const value = headers.joined('connection')
  return value?.split(',').map((part) => part.trim().toLowerCase())
}

/** The request's fields without those named; the same array when none is there. */
export function withoutFields(
  headers: HeaderList,
  drop: (name: string) => boolean,
): readonly string[] {
  const names = headers.names()
  let kept: string[] | undefined
  for (let i = 0; i < names.length; i++) {
    if (drop(names[i] as string)) kept ??= headers.flat.slice(0, i * 2)
    else kept?.push(headers.flat[i * 2] as string, headers.flat[i * 2 + 1] as string)
  }
  return kept ?? headers.flat
}

/** Fields that a 304 never changes: they describe the stored bytes (RFC 9111 §3.2). */
const ABOUT_THE_BYTES: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-length',
  'content-md5',
  'content-range',
  'content-digest',
])

/** Stored fields updated by those of a 304 or HEAD response (RFC 9111 §3.2). */
export function updatedFields(stored: readonly string[], update: readonly string[]): string[] {
  const replaced = new Set<string>()
  const added: string[] = []
  for (let i = 0; i < update.length; i += 2) {
    const name = (update[i] as string).toLowerCase()
    if (ABOUT_THE_BYTES.has(name)) continue
    replaced.add(name)
    added.push(update[i] as string, update[i + 1] as string)
  }
  const merged: string[] = []
  for (let i = 0; i < stored.length; i += 2) {
    if (replaced.has((stored[i] as string).toLowerCase())) continue
    merged.push(stored[i] as string, stored[i + 1] as string)
  }
  merged.push(...added)
  return merged
}

/** Fields of a 304 (RFC 9110 §15.4.5); Content-Length is not one of them, it would describe the wrong body. */
const NOT_MODIFIED_FIELDS: ReadonlySet<string> = new Set([
  'etag',
  'date',
  'vary',
  'cache-control',
  'cdn-cache-control',
  'expires',
  'content-location',
  'last-modified',
  'cache-groups',
  'access-control-allow-origin',
  'access-control-allow-credentials',
  'access-control-expose-headers',
])

/** The fields that a 304 made from a stored response carries. */
export function notModifiedFields(stored: readonly string[]): string[] {
  const kept: string[] = []
  for (let i = 0; i < stored.length; i += 2) {
    if (NOT_MODIFIED_FIELDS.has((stored[i] as string).toLowerCase())) {
      kept.push(stored[i] as string, stored[i + 1] as string)
    }
  }
  return kept
}
