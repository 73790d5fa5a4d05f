/** Whether a response may be stored by a shared cache (RFC 9111 §3, §3.5), and why. Pure. */
import type { CachePolicy } from './cache-policy.ts'
import { isExplicit, isHeuristicallyCacheable, type ResponseFacts } from './facts.ts'

export type StoreReason =
  | 'explicit'
  | 'heuristic'
  | 'policy'
  | 'validator'
  | 'status'
  | 'no-store'
  | 'request-no-store'
  | 'private'
  | 'authorization'
  | 'must-understand'
  | 'vary-star'
  | 'vary-bypass'
  | 'set-cookie'
  | 'deception'
  | 'ambiguous-path'
  | 'no-freshness'
  | 'not-reusable'
  | 'too-large'
  | 'header-too-large'
  | 'partial'

export interface StoreDecision {
  readonly store: boolean
  readonly reason: StoreReason
}

/** What matters of the request. */
export interface StoreRequest {
  readonly path: string
  readonly isAuthenticated: boolean
  readonly hasCookie: boolean
  readonly noStore: boolean
}

/** Final statuses whose caching rules this cache knows: all that RFC 9110 §15 defines but 206 and 304. */
const UNDERSTOOD: ReadonlySet<number> = new Set([
  200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 305, 307, 308, 400, 401, 402, 403, 404, 405,
  406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 426, 500, 501, 502, 503,
  504, 505,
])

const STATIC_TYPES: Readonly<Record<string, readonly string[]>> = {
  css: ['text/css'],
  js: ['javascript', 'ecmascript'],
  mjs: ['javascript'],
  png: ['image/'],
  jpg: ['image/'],
  jpeg: ['image/'],
  gif: ['image/'],
  webp: ['image/'],
  avif: ['image/'],
  ico: ['image/'],
  svg: ['image/', 'xml'],
  bmp: ['image/'],
  woff: ['font', 'octet-stream'],
  woff2: ['font', 'octet-stream'],
  ttf: ['font', 'octet-stream'],
  otf: ['font', 'octet-stream'],
  mp3: ['audio/'],
  mp4: ['video/'],
  webm: ['video/', 'audio/'],
  pdf: ['pdf'],
  zip: ['zip', 'octet-stream'],
  gz: ['gzip', 'octet-stream'],
}

/**
 * A page under the name of a static file: what cache deception makes of /account when an origin ignores
 * what is behind it (/account/x.css, /account;x.css).
 */
export function isDeceptive(path: string, contentType: string | undefined): boolean {
  const dot = path.lastIndexOf('.')
  if (dot < 0 || contentType === undefined || path.length - dot > 6) return false
  const allowed = STATIC_TYPES[path.slice(dot + 1).toLowerCase()]
  if (allowed === undefined) return false
  const type = contentType.toLowerCase()
  return !allowed.some((part) => type.includes(part))
}

/** Paths that caches and origins are known to read differently. */
export function isAmbiguousPath(path: string): boolean {
  return path.includes('\\') || /%2f|%5c|%00|%23|%3f/i.test(path)
}

function no(reason: StoreReason): StoreDecision {
  return { store: false, reason }
}

/**
 * @param size body length in bytes, or null when not known yet
 */
export function storeDecision(
  facts: ResponseFacts,
  request: StoreRequest,
  policy: CachePolicy,
  size: number | null,
): StoreDecision {
  const { control, status } = facts
  const isSafe = policy.profile === 'safe'
  if (status < 200 || status === 304 || status === 101) return no('status')
  if (request.noStore) return no('request-no-store')
  if (control.mustUnderstand) {
    // RFC 9111 §5.2.2.3: with a known status, no-store next to it is for caches that do not know it.
    if (!UNDERSTOOD.has(status)) return no('must-understand')
  } else if (control.noStore) return no('no-store')
  if (control.private) return no('private')
  const shared = control.public || control.sMaxAge >= 0 || facts.lifetimeSource === 'targeted'
  if (
    request.isAuthenticated &&
    !(control.public || control.sMaxAge >= 0 || control.mustRevalidate)
  ) {
    return no('authorization')
  }
  if (facts.vary === undefined) return no('vary-star')
  for (const name of facts.vary) if (policy.vary.bypassOn.includes(name)) return no('vary-bypass')
  if (facts.headers.has('set-cookie')) {
    if (policy.setCookie === 'bypass') return no('set-cookie')
    if (policy.setCookie === 'explicit' && !shared) return no('set-cookie')
  }
  if (isSafe && !shared) {
    if (policy.deceptionArmor && isDeceptive(request.path, facts.headers.get('content-type'))) {
      return no('deception')
    }
    if (isAmbiguousPath(request.path)) return no('ambiguous-path')
  }
  if (size !== null && size > policy.maxObject) return no('too-large')
  if (headerBytes(facts.headers.flat) > policy.maxHeaderBytes) return no('header-too-large')
  if (status === 206) {
    if (!policy.range.storePartial || !isExplicit(facts.lifetimeSource)) return no('partial')
  }

  const isPolicy = facts.lifetimeSource === 'override' || facts.lifetimeSource === 'policy'
  const hasExplicit = isExplicit(facts.lifetimeSource)
  if (!hasExplicit && !isPolicy && !control.public && !isHeuristicallyCacheable(status)) {
    return no('no-freshness')
  }
  const hasValidator = facts.etag !== undefined || facts.lastModified !== undefined
  if (facts.lifetime > facts.initialAge && !control.noCache) {
    if (hasExplicit) return { store: true, reason: 'explicit' }
    if (isPolicy) return { store: true, reason: 'policy' }
    // A guess about a page made for somebody's cookie is not worth the risk.
    if (isSafe && request.hasCookie && !control.public) return no('no-freshness')
    return { store: true, reason: 'heuristic' }
  }
  if (hasValidator) return { store: true, reason: 'validator' }
  if (control.staleWhileRevalidate > 0 && !control.noCache) {
    return { store: true, reason: hasExplicit ? 'explicit' : 'heuristic' }
  }
  return no('not-reusable')
}

function headerBytes(flat: readonly string[]): number {
  let bytes = 0
  for (const part of flat) bytes += part.length + 2
  return bytes
}
