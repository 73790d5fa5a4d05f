/**
 * Requests that change things: passed on, and what they may have changed is invalidated before their
 * client hears of it (RFC 9111 §4.4, RFC 9875 §3).
 */
import { HeaderList, type Reply } from '../exchange.ts'
import { withStatus } from './cache-status.ts'
import type { CacheCore, Pending } from './core.ts'
import { BodyFill } from './fill/body-fill.ts'
import { forwardOptions } from './forward-headers.ts'
import { parseStringList } from './http/structured.ts'
import { isExplicit } from './policy/facts.ts'
import { groupEpoch, urlEpoch } from './purge/epochs.ts'
import { statusOf } from './replies.ts'
import { bodyLength, receive, toStored } from './storing.ts'

/** Methods that are safe (RFC 9110 §9.2.1) although nothing of them is stored. */
const SAFE: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'QUERY',
  'PROPFIND',
  'REPORT',
  'SEARCH',
])

export function forwardUnsafe(core: CacheCore, p: Pending): Reply | Promise<Reply> {
  const stamp = core.epochs.stamp()
  const startedAt = core.clock.monotonic()
  const options = forwardOptions(p, {
    validate: [],
    asIs: true,
    range: undefined,
    control: p.request,
    isDetached: false,
  })
  const answer = p.forward(options)
  return answer instanceof Promise
    ? answer.then((reply) => answered(core, p, reply, stamp, startedAt))
    : answered(core, p, answer, stamp, startedAt)
}

function answered(
  core: CacheCore,
  p: Pending,
  reply: Reply,
  stamp: number,
  startedAt: number,
): Reply {
  const { request } = p
  const isError = reply.status < 200 || reply.status >= 400
  if (!isError && !SAFE.has(request.method)) {
    invalidate(core, p, new HeaderList(reply.headers))
    if (request.method === 'POST') keepAsGet(core, p, reply, stamp, startedAt)
  }
  const status = statusOf(core, 'method', reply.status, request.method.toLowerCase(), false)
  request.cacheStatus = status
  core.counters.passes++
  return withStatus(reply, status, core.format)
}

function invalidate(core: CacheCore, p: Pending, headers: HeaderList): void {
  const origin = `${p.request.scheme}://${p.request.authority}`
  core.counters.invalidations++
  takeOut(core, p, p.key.url, [p.key.key])
  for (const name of ['location', 'content-location']) {
    const url = resolveSameOrigin(origin, p.key.pathAndQuery, headers.get(name))
    if (url !== undefined && url !== p.key.url) takeOut(core, p, url, [])
  }
  for (const group of parseStringList(headers.joined('cache-group-invalidation'))) {
    core.epochs.purge(groupEpoch(origin, group), false)
  }
}

/**
 * @param keys of the URL that are known, besides the one that it has when nothing but the URL counts: a tier
 *   that outlives this process does not remember its purges
 */
function takeOut(core: CacheCore, p: Pending, url: string, keys: readonly string[]): void {
  core.epochs.purge(urlEpoch(url), false)
  const { lower } = core
  if (lower === undefined) return
  for (const key of new Set([...keys, `${p.policy.key.prefix}${url}`])) void lower.remove(key)
}

/**
 * A POST response that names its own URL in Content-Location and says how long it is fresh is what a GET
 * would get (RFC 9110 §9.3.3).
 */
function keepAsGet(
  core: CacheCore,
  p: Pending,
  reply: Reply,
  stamp: number,
  startedAt: number,
): void {
  const headers = new HeaderList(reply.headers)
  const origin = `${p.request.scheme}://${p.request.authority}`
  const named = resolveSameOrigin(origin, p.key.pathAndQuery, headers.get('content-location'))
  if (reply.status !== 200 || named !== p.key.url) return
  const received = receive(core, p, reply, startedAt)
  const length = bodyLength(reply)
  if (!received.decision.store || !isExplicit(received.facts.lifetimeSource)) return
  // Later than the invalidation that the same request has just caused.
  const later = Math.max(stamp, core.epochs.stamp())
  const { body } = reply
  if (body === null || 'byteLength' in body) {
    const stored = toStored(p, received, later, body === null ? null : body.slice(), length)
    if (stored !== undefined) core.memory.put(stored, p.policy.vary.maxVariants)
    return
  }
  const stored = toStored(p, received, later, null, length)
  if (stored === undefined) return
  const fill = new BodyFill(
    body,
    { keepBytes: core.maxMemoryObject, windowBytes: 262_144 },
    {
      complete: (whole) => {
        if (whole !== null) core.memory.put(stored.with({ body: whole }), p.policy.vary.maxVariants)
      },
      failed: () => undefined,
      overflowed: () => undefined,
      abandoned: () => false,
    },
  )
  reply.body = fill.reader()
  fill.start()
}

/**
 * A reference resolved against a request's URL, if it stays within its origin (RFC 3986 §5.2).
 * @returns scheme://authority/path?query, or undefined
 */
export function resolveSameOrigin(
  origin: string,
  base: string,
  reference: string | undefined,
): string | undefined {
  if (reference === undefined) return undefined
  const hash = reference.indexOf('#')
  let text = (hash < 0 ? reference : reference.slice(0, hash)).trim()
  if (/^[a-z][a-z0-9+.-]*:/i.test(text)) {
    const rest = text.slice(origin.length)
    if (text.slice(0, origin.length).toLowerCase() !== origin) return undefined
    if (rest !== '' && rest[0] !== '/' && rest[0] !== '?') return undefined
    text = rest
    if (text === '' || text[0] === '?') text = `/${text}`
  } else if (text.startsWith('//')) {
    return resolveSameOrigin(origin, base, origin.slice(0, origin.indexOf('//')) + text)
  }
  const baseQuery = base.indexOf('?')
  const basePath = baseQuery < 0 ? base : base.slice(0, baseQuery)
  if (text === '') return `${origin}${base}`
  if (text[0] === '?') return `${origin}${basePath}${text}`
  if (text[0] !== '/') text = basePath.slice(0, basePath.lastIndexOf('/') + 1) + text
  const query = text.indexOf('?')
  const path = query < 0 ? text : text.slice(0, query)
  return `${origin}${withoutDots(path)}${query < 0 ? '' : text.slice(query)}`
}

function withoutDots(path: string): string {
  if (!path.includes('/.')) return path
  const kept: string[] = []
  const segments = path.split('/').slice(1)
  for (let i = 0; i < segments.length; i++) {
    const segment = segments[i] as string
    const isLast = i === segments.length - 1
    if (segment === '..') kept.pop()
    if (segment === '.' || segment === '..') {
      if (isLast) kept.push('')
    } else kept.push(segment)
  }
  return `/${kept.join('/')}`
}
