/** The control port's paths of the cache: purge, warm, look. */
import type { Context, Hono } from 'hono'
import * as v from 'valibot'
import { canBePurged, type PurgeRequest } from '../cache/purge/purge-request.ts'
import type { Millis } from '../exchange.ts'
import { firstIssue, jsonBody } from './body.ts'
import type { CacheView } from './cache-view.ts'
import { adminProblem } from './problem.ts'

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

export const CACHE_PATHS = {
  '/cache/purge': 'POST: what is purged, hard or soft; `dryRun` only counts.',
  '/cache/warm': 'POST: URLs to fetch, so that they are stored.',
  '/cache/entry': 'What is stored for a URL: ?url=…',
  '/cache/stats': 'Tiers, counters, hit ratio by route.',
} as const

interface Remembered {
  readonly order: string
  readonly answer: Promise<object>
  readonly until: Millis
}

export interface CacheRouteOptions {
  readonly monotonic: () => Millis
  readonly peer: (c: Context) => string
}

/** @param cache undefined where there is none: every path then says so */
export function cacheRoutes(
  app: Hono,
  cache: CacheView | undefined,
  options: CacheRouteOptions,
): void {
  if (cache === undefined) {
    app.on(['GET', 'POST'], '/cache/*', (c) => adminProblem(c, 404, 'There is no cache here.'))
    return
  }
  const remembered = new Map<string, Remembered>()

  app.post('/cache/purge', async (c) => {
    const input = await jsonBody(c)
    const parsed = v.safeParse(PurgeOrder, input)
    if (!parsed.success) return adminProblem(c, 400, firstIssue(parsed.issues))
    const { dryRun, ...order } = parsed.output
    if (dryRun) return c.json({ dryRun, matched: await cache.match(order) })
    const key = c.req.header('idempotency-key')
    if (key === undefined) return c.json(await cache.purge(order, undefined, options.peer(c)))
    if (!/^[\x21-\x7e]{1,200}$/.test(key)) {
      return adminProblem(c, 400, 'An idempotency key has 1 to 200 visible characters.')
    }
    return once(c, key, order)
  })

  /** An order that is sent again is answered with what the first one did. */
  async function once(c: Context, key: string, order: PurgeRequest): Promise<Response> {
    const now = options.monotonic()
    for (const [old, { until }] of remembered) {
      if (until > now && remembered.size < MAX_REMEMBERED) break
      remembered.delete(old)
    }
    const written = JSON.stringify(order)
    let known = remembered.get(key)
    if (known === undefined) {
      const answer = Promise.resolve(cache?.purge(order, key, options.peer(c)) ?? {})
      known = { order: written, answer, until: now + REMEMBERED_MS }
      remembered.set(key, known)
      // What failed may be tried again under the same key.
      answer.catch(() => remembered.delete(key))
    }
    if (known.order !== written) {
      return adminProblem(c, 422, 'This idempotency key was used for another order.')
    }
    return c.json(await known.answer)
  }

  app.post('/cache/warm', async (c) => {
    const parsed = v.safeParse(WarmRequest, await jsonBody(c))
    if (!parsed.success) return adminProblem(c, 400, firstIssue(parsed.issues))
    return c.json({ results: await cache.warm(parsed.output) })
  })

  app.get('/cache/entry', async (c) => {
    const url = c.req.query('url') ?? ''
    if (!canBePurged('url', url)) return adminProblem(c, 400, 'url: an absolute URL is expected')
    return c.json({ entries: await cache.entries(url) })
  })

  app.get('/cache/stats', async (c) => {
    const { routes, ...report } = await cache.stats()
    return c.json({
      ...report,
      routes: routes.map((route) => ({
        ...route,
        hitRatio: ratio(route.hits, route.requests),
        byteHitRatio: ratio(route.hitBytes, route.bytes),
      })),
    })
  })
}

function ratio(part: number, whole: number): number | null {
  return whole === 0 ? null : Math.round((part / whole) * 10_000) / 10_000
}
