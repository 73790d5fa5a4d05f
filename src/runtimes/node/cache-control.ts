/** The control port's hand on the cache of one process, and on those of all worker processes. */
import { randomUUID } from 'node:crypto'
import {
  type CacheReport,
  type CacheView,
  mergeCacheReports,
  type PurgeReport,
  type WarmOrder,
  type WarmResult,
} from '../../admin/cache-view.ts'
import type { CachePolicy } from '../../cache/policy/cache-policy.ts'
import { purgeNames } from '../../cache/purge/purge-request.ts'
import type {
  EntryReport,
  PurgeNote,
  PurgeRequest,
  ResponseCache,
} from '../../cache/response-cache.ts'
import type { Millis, Reply } from '../../exchange.ts'
import { splitAbsoluteForm } from '../../http/target.ts'
import type { EventValue } from '../../telemetry/events.ts'
import type { MetricsSnapshot } from '../../telemetry/metrics.ts'
import { mergeTopMisses, type TopMiss } from '../../telemetry/top-misses.ts'
import type { Instance } from './instance.ts'
import type { Told } from './purge-fleet.ts'

/** How long one URL may take to warm. */
const WARM_MS = 30_000
/** More than any process keeps. */
const ALL_MISSES = 1000
/** Names of an order that are shown in its event. */
const SHOWN_NAMES = 20

/** What the primary asks of a worker about its cache. */
export type CacheQuestion =
  | { readonly ask: 'cache-purge'; readonly order: PurgeRequest; readonly audit?: PurgeAudit }
  | { readonly ask: 'cache-adopt'; readonly notes: readonly PurgeNote[] }
  | { readonly ask: 'cache-match'; readonly order: PurgeRequest }
  | { readonly ask: 'cache-warm'; readonly order: WarmOrder }
  | { readonly ask: 'cache-entries'; readonly url: string }
  | { readonly ask: 'cache-stats' }
  | { readonly ask: 'cache-misses' }

/** Who ordered a purge; noted by one process only. */
export interface PurgeAudit {
  readonly id: string
  readonly by: string
}

interface PurgeDone {
  readonly at: Millis
  /** Of the process that told the fleet. */
  readonly fleet?: Told
}

/** Answers one question, in the process whose cache it is. */
export function answerAboutCache(instance: Instance, question: CacheQuestion): unknown {
  const cache = cacheOf(instance)
  switch (question.ask) {
    case 'cache-purge': {
      const { order, audit } = question
      const policies = policiesOf(instance)
      const at = cache.purge(order, policies, false)
      if (audit === undefined) return { at } satisfies PurgeDone
      notePurge(instance, order, audit)
      if (instance.purgeFleet === undefined) return { at } satisfies PurgeDone
      const isSoft = order.mode === 'soft'
      return instance.purgeFleet
        .tell(purgeNames(order, policies), isSoft)
        .then((fleet): PurgeDone => ({ at, fleet }))
    }
    case 'cache-adopt':
      cache.adopt(question.notes)
      return true
    case 'cache-match':
      return cache.matching(question.order, policiesOf(instance))
    case 'cache-warm':
      return warm(instance, question.order)
    case 'cache-entries':
      return cache.entries(question.url, policiesOf(instance))
    case 'cache-misses':
      return instance.gateway.services.misses?.list(ALL_MISSES) ?? []
    case 'cache-stats':
      return reportOf(instance)
  }
}

/**
 * The cache of every process that `askAll` reaches.
 * @param askAll answers of all; `auditOf` is given to the first one alone
 */
export function cacheView(
  askAll: (question: CacheQuestion, audit?: PurgeAudit) => Promise<unknown[]>,
): CacheView {
  return {
    purge: async (order, id, by): Promise<PurgeReport> => {
      const audit = { id: id ?? randomUUID(), by }
      const done = (await askAll({ ask: 'cache-purge', order }, audit)) as PurgeDone[]
      const fleet = done.find((one) => one.fleet !== undefined)?.fleet
      return {
        id: audit.id,
        at: Math.max(0, ...done.map(({ at }) => at)),
        workers: done.length,
        ...(fleet === undefined ? {} : { fleet }),
      }
    },
    match: async (order) => {
      const counts = (await askAll({ ask: 'cache-match', order })) as number[]
      return counts.reduce((sum, count) => sum + count, 0)
    },
    warm: async (order) => ((await askAll({ ask: 'cache-warm', order })) as WarmResult[][]).flat(),
    entries: async (url) =>
      ((await askAll({ ask: 'cache-entries', url })) as EntryReport[][]).flat(),
    topMisses: async (limit) =>
      mergeTopMisses((await askAll({ ask: 'cache-misses' })) as TopMiss[][], limit),
    stats: async () => mergeCacheReports((await askAll({ ask: 'cache-stats' })) as CacheReport[]),
  }
}

/** The cache of one process. */
export function instanceCacheView(instance: Instance): CacheView {
  return cacheView(async (question, audit) => {
    const asked =
      audit !== undefined && question.ask === 'cache-purge' ? { ...question, audit } : question
    return [await answerAboutCache(instance, asked)]
  })
}

function cacheOf(instance: Instance): ResponseCache {
  const { cache } = instance.gateway.services
  if (cache === undefined) throw new Error('this gateway has no cache')
  return cache
}

function policiesOf(instance: Instance): CachePolicy[] {
  return instance.snapshot.routes.flatMap(({ cache }) =>
    cache === undefined ? [] : [cache.route.base],
  )
}

function notePurge(instance: Instance, order: PurgeRequest, { id, by }: PurgeAudit): void {
  const detail: Record<string, EventValue> = { id, by, mode: order.mode }
  for (const kind of ['urls', 'prefixes', 'hosts', 'tags'] as const) {
    const names = order[kind] ?? []
    if (names.length === 0) continue
    detail[kind] = names.slice(0, SHOWN_NAMES).map((name) => instance.telemetry.mask.url(name))
    if (names.length > SHOWN_NAMES) detail[`${kind}Count`] = names.length
  }
  if (order.everything === true) detail.everything = true
  instance.telemetry.note('system', 'cache-purged', detail)
  instance.platform.log.info('cache purged', detail)
}

function reportOf(instance: Instance): CacheReport {
  const { memory, lower, ...counters } = cacheOf(instance).stats()
  return {
    workers: 1,
    tiers: [{ name: 'memory', ...memory }, ...lower],
    routes: routesOf(instance.telemetry.metrics.snapshot()),
    counters: { ...counters },
  }
}

const HITS: ReadonlySet<string> = new Set(['hit', 'stale', 'revalidated'])

/** By route, out of the metrics: the one place where requests are counted. */
function routesOf(metrics: MetricsSnapshot): CacheReport['routes'] {
  const routes = new Map<
    string,
    { requests: number; hits: number; bytes: number; hitBytes: number }
  >()
  for (const { definition, series } of metrics) {
    const isRequests = definition.name === 'meridian_http_requests_total'
    if (!isRequests && definition.name !== 'meridian_cache_response_bytes_total') continue
    const routeAt = definition.labels.indexOf('route')
    const cacheAt = definition.labels.indexOf('cache')
    for (const { labels, value } of series) {
      const outcome = labels[cacheAt] ?? 'none'
      const route = labels[routeAt]
      if (outcome === 'none' || route === undefined) continue
      let sums = routes.get(route)
      if (sums === undefined) {
        sums = { requests: 0, hits: 0, bytes: 0, hitBytes: 0 }
        routes.set(route, sums)
      }
      const isHit = HITS.has(outcome)
      if (isRequests) {
        sums.requests += value
        if (isHit) sums.hits += value
      } else {
        sums.bytes += value
        if (isHit) sums.hitBytes += value
      }
    }
  }
  return [...routes].map(([route, sums]) => ({ route, ...sums }))
}

/** Asks for each URL as a client without an address would, through all steps. */
async function warm(instance: Instance, order: WarmOrder): Promise<WarmResult[]> {
  const results: WarmResult[] = []
  let next = 0
  const worker = async () => {
    while (next < order.urls.length) {
      const at = next++
      results[at] = await warmOne(instance, order.urls[at] as string, order.headers)
    }
  }
  await Promise.all(Array.from({ length: Math.min(order.concurrency, order.urls.length) }, worker))
  return results
}

async function warmOne(
  instance: Instance,
  url: string,
  fields: WarmOrder['headers'],
): Promise<WarmResult> {
  const { gateway } = instance
  const absolute = splitAbsoluteForm(url)
  if (absolute === undefined) return { url, status: 0, cache: '', bytes: 0, complete: false }
  const secure = absolute.scheme === 'https'
  const headers = ['host', absolute.authority]
  for (const [name, value] of fields) if (name.toLowerCase() !== 'host') headers.push(name, value)
  if (!fields.some(([name]) => name.toLowerCase() === 'user-agent')) {
    headers.push('user-agent', 'meridian-warm')
  }
  const x = gateway.admit(
    {
      method: 'GET',
      target: absolute.rest === '' ? '/' : absolute.rest,
      version: '1.1',
      headers,
      secure,
    },
    { ip: undefined, port: 0, tls: secure ? { version: 'TLSv1.3' } : null },
    undefined,
    () => null,
  )
  const cancel = setTimeout(() => x.abort(), WARM_MS)
  const reply = await gateway.handle(x)
  const { bytes, complete } = await drained(reply)
  clearTimeout(cancel)
  gateway.finish(x, reply, { bytesIn: 0, bytesOut: bytes, complete })
  return { url, status: reply.status, cache: x.cacheStatus?.header ?? '', bytes, complete }
}

/** Reads a body to its end. */
function drained({ body }: Reply): Promise<{ bytes: number; complete: boolean }> {
  if (body === null) return Promise.resolve({ bytes: 0, complete: true })
  if ('byteLength' in body) return Promise.resolve({ bytes: body.byteLength, complete: true })
  return new Promise((resolve) => {
    let bytes = 0
    const timer = setTimeout(() => {
      body.cancel()
      resolve({ bytes, complete: false })
    }, WARM_MS)
    const done = (complete: boolean) => {
      clearTimeout(timer)
      resolve({ bytes, complete })
    }
    body.pipe({
      write: (chunk) => {
        bytes += chunk.byteLength
        return true
      },
      end: () => done(true),
      fail: () => done(false),
    })
  })
}
