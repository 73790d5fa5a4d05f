/** The control port's paths of the cache: purge, warm, look. */
import * as v from 'valibot'
import { canBePurged, type PurgeRequest } from '../cache/purge/purge-request.ts'
import type { Millis } from '../exchange.ts'
import type { CacheView } from './cache-view.ts'
import { adminProblem } from './problem.ts'
import { type AdminContext, type AdminRoute, type AdminWorld, defineRoute } from './route.ts'
import type { AdminView } from './view.ts'

/** Most names in one order; more is what prefixes, tags and hosts are for. */
const MAX_NAMES = 1000
/** Most URLs of one order to warm. */
const MAX_WARM = 100
/** How long an order with an idempotency key is answered with the first answer. */
const REMEMBERED_MS: Millis = 600_000
const MAX_REMEMBERED = 1000

const text = v.pipe(v.string(), v.minLength(1), v.maxLength(8192))

function names(kind: 'url' | 'prefix' | 'host') {
  const each = v.pipe(
    text,
    v.check((value) => canBePurged(kind, value), `not a ${kind} that anything is stored under`),
  )
  return v.optional(v.pipe(v.array(each), v.maxLength(MAX_NAMES)), [])
}

// Tags are separated by spaces and commas where they are set.
const tag = v.pipe(text, v.regex(/^[^\s,]{1,1024}$/, 'a tag without spaces and commas is expected'))

/** What a purge is asked for with. */
export const PurgeOrder = v.pipe(
  v.strictObject({
    mode: v.optional(v.picklist(['hard', 'soft']), 'hard'),
    urls: names('url'),
    prefixes: names('prefix'),
    hosts: names('host'),
    tags: v.optional(v.pipe(v.array(tag), v.maxLength(MAX_NAMES)), []),
    everything: v.optional(v.boolean(), false),
    dryRun: v.optional(v.boolean(), false),
  }),
  v.check(
    ({ urls, prefixes, hosts, tags, everything }) =>
      everything || urls.length + prefixes.length + hosts.length + tags.length > 0,
    'say what to purge: urls, prefixes, hosts, tags, or everything',
  ),
)

const WarmRequest = v.strictObject({
  urls: v.pipe(
    v.array(v.pipe(text, v.regex(/^https?:\/\/[^/\s]+(\/\S*)?$/i, 'an absolute URL is expected'))),
    v.minLength(1),
    v.maxLength(MAX_WARM),
  ),
  headers: v.optional(
    v.pipe(
      v.array(
        v.tuple([
          v.pipe(v.string(), v.regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'a header name is expected')),
          v.pipe(v.string(), v.regex(/^[^\r\n\0]{0,8192}$/, 'a header value is expected')),
        ]),
      ),
      v.maxLength(50),
    ),
    [],
  ),
  concurrency: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(32)), 4),
})

const missing = ({ cache }: AdminView) =>
  cache === undefined ? 'There is no cache here.' : undefined

/** For handlers, which are called only where there is one. */
function cacheOf({ cache }: AdminView): CacheView {
  if (cache === undefined) throw new Error('there is no cache')
  return cache
}

/** What an order names, for the audit log. */
function targetOf({ urls = [], prefixes = [], hosts = [], tags = [], everything }: PurgeRequest) {
  if (everything === true) return 'everything'
  const names = [...urls, ...prefixes, ...hosts, ...tags]
  return names.length > 3
    ? `${names.slice(0, 3).join(' ')} and ${names.length - 3} more`
    : names.join(' ')
}

/** An order that is sent again is answered with what the first one did. */
async function once(
  c: AdminContext,
  key: string,
  order: PurgeRequest,
  world: AdminWorld,
): Promise<Response> {
  const { purges } = world
  const now = world.monotonic()
  for (const [old, { until }] of purges) {
    if (until > now && purges.size < MAX_REMEMBERED) break
    purges.delete(old)
  }
  const written = JSON.stringify(order)
  let known = purges.get(key)
  if (known === undefined) {
    const answer = Promise.resolve(cacheOf(world.view).purge(order, key, world.peer(c)))
    known = { order: written, answer, until: now + REMEMBERED_MS }
    purges.set(key, known)
    // What failed may be tried again under the same key.
    answer.catch(() => purges.delete(key))
  } else {
    c.get('note').isNothing = known.order === written
  }
  if (known.order !== written) {
    return adminProblem(c, 422, 'This idempotency key was used for another order.')
  }
  return c.json(await known.answer)
}

export const CACHE_ROUTES: readonly AdminRoute[] = [
  defineRoute({
    method: 'post',
    path: '/cache/purge',
    summary: 'What is purged, hard or soft; `dryRun` only counts.',
    level: 'operate',
    action: 'cache.purge',
    body: PurgeOrder,
    headers: { 'idempotency-key': 'The same order under the same key is carried out once.' },
    answer: { description: 'The order’s id and in how many processes it is done; or the count.' },
    problems: { 422: 'The idempotency key was used for another order.' },
    missing,
    handle: async (c, { body }, world) => {
      const { dryRun, ...order } = body
      const cache = cacheOf(world.view)
      const note = c.get('note')
      note.target = world.mask().url(targetOf(order))
      note.detail = { mode: order.mode }
      if (dryRun) {
        note.isNothing = true
        return c.json({ dryRun, matched: await cache.match(order) })
      }
      const key = c.req.header('idempotency-key')
      if (key === undefined) return c.json(await cache.purge(order, undefined, world.peer(c)))
      if (!/^[\x21-\x7e]{1,200}$/.test(key)) {
        return adminProblem(c, 400, 'An idempotency key has 1 to 200 visible characters.')
      }
      return once(c, key, order, world)
    },
  }),
  defineRoute({
    method: 'post',
    path: '/cache/warm',
    summary: 'URLs to fetch, so that they are stored.',
    level: 'operate',
    action: 'cache.warm',
    body: WarmRequest,
    answer: { description: 'What came of each URL.' },
    missing,
    handle: async (c, { body }, { view, mask }) => {
      const note = c.get('note')
      note.target = mask().url(targetOf({ mode: 'hard', urls: body.urls }))
      return c.json({ results: await cacheOf(view).warm(body) })
    },
  }),
  defineRoute({
    method: 'get',
    path: '/cache/entry',
    summary: 'What is stored for a URL.',
    level: 'read',
    query: v.object({
      url: v.pipe(
        v.optional(v.string(), ''),
        v.check((url) => canBePurged('url', url), 'an absolute URL is expected'),
      ),
    }),
    answer: { description: 'The stored responses of the URL.' },
    missing,
    handle: async (c, { query }, { view }) =>
      c.json({ entries: await cacheOf(view).entries(query.url) }),
  }),
  defineRoute({
    method: 'get',
    path: '/cache/stats',
    summary: 'Tiers, counters, hit ratio by route.',
    level: 'read',
    answer: { description: 'The cache in figures, all processes together.' },
    missing,
    handle: async (c, _, { view }) => {
      const { routes, ...report } = await cacheOf(view).stats()
      return c.json({
        ...report,
        routes: routes.map((route) => ({
          ...route,
          hitRatio: ratio(route.hits, route.requests),
          byteHitRatio: ratio(route.hitBytes, route.bytes),
        })),
      })
    },
  }),
  defineRoute({
    method: 'get',
    path: '/cache/top-misses',
    summary: 'What the cache misses most: by route, shape of the path, and reason.',
    level: 'read',
    query: v.object({
      limit: v.optional(
        v.pipe(v.string(), v.digits(), v.transform(Number), v.minValue(1), v.maxValue(100)),
        '20',
      ),
    }),
    answer: {
      description:
        'Since the start, most missed first; `error` says how much too high `count` may be.',
      schema: v.object({
        misses: v.array(
          v.object({
            route: v.string(),
            path: v.string(),
            outcome: v.string(),
            reason: v.string(),
            count: v.number(),
            error: v.number(),
          }),
        ),
      }),
    },
    missing,
    handle: async (c, { query }, { view }) =>
      c.json({ misses: (await cacheOf(view).topMisses(query.limit)) as readonly object[] }),
  }),
]

function ratio(part: number, whole: number): number | null {
  return whole === 0 ? null : Math.round((part / whole) * 10_000) / 10_000
}
