/**
 * A thousand requests of every kind over real sockets: the access log, the metrics, the events, the spans, the
 * log records and the metrics at a collector, and analytics count the same, and explanations say the same.
 */
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createApiKey } from '../../src/iam/api-key.ts'
import { type Answer, ask } from '../harness/client.ts'
import { Collector } from '../harness/collector.ts'
import { refusingUrl } from '../harness/origin.ts'
import { until } from '../harness/wait.ts'
import { type AccessLine, pool, sumOf, world } from '../harness/world.ts'

const TOTAL = 1000
const ALLOWED = 40

/** Counts by key. */
function tally<T>(items: readonly T[], keyOf: (item: T) => string): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const item of items) counts[keyOf(item)] = (counts[keyOf(item)] ?? 0) + 1
  return counts
}

function without(counts: Record<string, number>, ...keys: string[]): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).filter(([key]) => !keys.includes(key)))
}

/** The label values of a counter in an exposition, added up by one label. */
function byLabel(text: string, name: string, label: string): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${name}{`)) continue
    const value = new RegExp(`${label}="([^"]*)"`).exec(line)?.[1] ?? ''
    counts[value] = (counts[value] ?? 0) + Number(line.slice(line.lastIndexOf(' ') + 1))
  }
  return counts
}

function rowsBelow(folder: string): AccessLine[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.includes('.ndjson'))
    .flatMap((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8').split('\n'))
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as AccessLine)
}

it('a thousand requests are counted alike everywhere', { timeout: 60_000 }, async () => {
  const w = world()
  const collector = await Collector.start()
  w.onClose(() => collector.close())
  const origin = await w.origin((request, response) => {
    const path = request.url ?? ''
    if (path.startsWith('/cached')) response.writeHead(200, { 'cache-control': 'max-age=600' })
    else if (path.startsWith('/broken')) response.writeHead(500)
    response.end('an answer')
  })
  const { key, entry } = createApiKey('partner', randomBytes(32))
  const gateway = await w.gateway({
    trustedProxies: ['127.0.0.1'],
    pools: { app: pool([origin]), dead: pool([{ url: await refusingUrl() }]) },
    regions: [
      { id: 'eu', latitude: 50, longitude: 8, pools: ['dead'] },
      { id: 'us', latitude: 39, longitude: -77, pools: ['app'] },
    ],
    steering: { policy: 'failover', order: ['eu', 'us'] },
    waf: { rulesets: ['basic'] },
    iam: { default: 'none', apiKeys: { keys: [entry] } },
    limits: [
      {
        id: 'few',
        algorithm: 'fixed',
        limit: ALLOWED,
        window: '1d',
        scope: 'route',
        key: ['route'],
      },
    ],
    routes: [
      { id: 'cached', match: { path: '/cached' }, pools: ['app'], cache: {} },
      { id: 'moved', match: { path: '/moved' } },
      { id: 'broken', match: { path: '/broken' }, pools: ['app'] },
      { id: 'dead', match: { path: '/dead' }, pools: ['dead'] },
      { id: 'limited', match: { path: '/limited' }, pools: ['app'], limits: ['few'] },
      {
        id: 'private',
        match: { path: '/private' },
        pools: ['app'],
        auth: { methods: ['api-key'] },
      },
      { id: 'search', match: { path: '/search' }, pools: ['app'] },
    ],
    telemetry: {
      events: 5000,
      analytics: { dir: join(w.folder, 'analytics'), compact: false },
      otlp: { endpoint: collector.url, interval: '250ms' },
    },
  })

  const kinds: { path: (i: number) => string; headers?: Record<string, string>; share: number }[] =
    [
      { share: 250, path: (i) => `/cached/${i % 50}` },
      { share: 100, path: () => '/moved' },
      { share: 100, path: () => '/search?q=shoes' },
      { share: 100, path: () => "/search?q=1'%20OR%20'1'='1" },
      { share: 100, path: () => '/limited' },
      { share: 75, path: () => '/private' },
      { share: 75, path: () => '/private', headers: { 'x-api-key': key } },
      { share: 75, path: () => '/broken' },
      { share: 25, path: () => '/dead' },
      { share: 75, path: () => '/nowhere' },
      { share: 25, path: () => '/%zz' },
    ]
  const plan = kinds.flatMap(({ share, path, headers = {} }) =>
    Array.from({ length: share }, (_, i) => ({ path: path(i), headers })),
  )
  expect(plan).toHaveLength(TOTAL)
  // Shuffled alike each time: 7919 is a prime that does not divide a thousand.
  const order = plan.map((_, i) => plan[(i * 7919) % TOTAL]!)
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 })
  w.onClose(() => agent.destroy())
  const answers: Answer[] = []
  const client = async () => {
    for (let next = order.pop(); next !== undefined; next = order.pop()) {
      const headers = { ...next.headers, 'x-forwarded-for': `198.51.100.${answers.length % 200}` }
      answers.push(await ask(`${gateway.url}${next.path}`, { headers, agent }))
    }
  }
  await Promise.all(Array.from({ length: 16 }, client))

  const lines: AccessLine[] = await gateway.records(TOTAL)
  expect(lines).toHaveLength(TOTAL)
  const outcomes = tally(lines, ({ outcome }) => outcome)
  // What was planned, exactly.
  expect(without(outcomes, 'origin-connect', 'no-healthy-origin')).toEqual({
    served: 250 + 100 + 100 + ALLOWED + 75 + 75,
    blocked: 100,
    'rate-limited': 100 - ALLOWED,
    unauthenticated: 75,
    'no-route': 75,
    'bad-target': 25,
  })
  expect(TOTAL - 25).toBe(
    Object.values(without(outcomes, 'origin-connect', 'no-healthy-origin')).reduce((a, b) => a + b),
  )

  // What the clients saw.
  const seen = tally(answers, (answer) =>
    answer.get('content-type')?.startsWith('application/problem+json') === true
      ? (/([^/:#]+)"/.exec(JSON.stringify(answer.json().type))?.[1] ?? '')
      : 'served',
  )
  // The type of the draft on RateLimit fields, which names what the limit is, not what became of the request.
  expect(seen).toEqual({
    ...without(outcomes, 'rate-limited'),
    'quota-exceeded': outcomes['rate-limited'],
  })
  const ids = new Set(answers.map((answer) => answer.get('x-request-id')))
  expect(new Set(lines.map(({ id }) => id))).toEqual(ids)
  expect(ids.size).toBe(TOTAL)

  // The metrics.
  const text = await (await fetch(`${gateway.running.control}/metrics`)).text()
  expect(sumOf(text, 'meridian_http_requests_total')).toBe(TOTAL)
  expect(byLabel(text, 'meridian_http_problems_total', 'problem')).toEqual(
    without(outcomes, 'served'),
  )
  const statusClass = ({ status }: AccessLine) => `${Math.floor(status / 100)}xx`
  expect(byLabel(text, 'meridian_http_requests_total', 'status_class')).toEqual(
    tally(lines, statusClass),
  )
  const cacheOf = (line: AccessLine) => String(line.cache ?? 'none')
  expect(byLabel(text, 'meridian_http_requests_total', 'cache')).toEqual(tally(lines, cacheOf))
  expect(tally(lines, cacheOf)).toMatchObject({ miss: 50 })
  const attempts = lines.reduce((sum, line) => sum + Number(line.attempts ?? 0), 0)
  expect(sumOf(text, 'meridian_upstream_attempts_total')).toBe(attempts)
  expect(sumOf(text, 'meridian_waf_matches_total', { action: 'block' })).toBe(100)

  // The events.
  const events = gateway.running.instance.telemetry.events.since(0)
  const security = events.filter(({ kind }) => kind === 'security')
  const isSecurity = ['blocked', 'rate-limited', 'unauthenticated'] as const
  expect(tally(security, ({ what }) => what)).toEqual(
    Object.fromEntries(isSecurity.map((outcome) => [outcome, outcomes[outcome]])),
  )
  const moved = events.filter(({ what }) => what === 'failover').length
  expect(moved).toBeGreaterThan(0)
  expect(moved).toBe(sumOf(text, 'meridian_upstream_failovers_total'))
  expect(moved).toBe(lines.filter(({ route, attempts: n }) => route === 'moved' && n === 2).length)

  // What analytics keeps.
  const rows = await until('every row', () => {
    const found = rowsBelow(join(w.folder, 'analytics'))
    return found.length >= TOTAL ? found : undefined
  })
  expect(tally(rows, ({ outcome }) => outcome)).toEqual(outcomes)
  expect(new Set(rows.map(({ id }) => id))).toEqual(ids)

  // The collector.
  const requestLogs = () =>
    collector.logs.filter(({ eventName }) => eventName === 'meridian.request')
  const servers = () => collector.spans.filter(({ kind }) => kind === 2)
  await until('every span', () => servers().length >= TOTAL)
  await until('every log record', () => requestLogs().length >= TOTAL)
  await until('the metrics', () => collector.sum('meridian_http_requests_total') >= TOTAL)
  expect(collector.faults).toEqual([])
  const outcomeOf = ({ attributes }: { attributes: Readonly<Record<string, unknown>> }) =>
    String(attributes['meridian.outcome'])
  expect(tally(servers(), outcomeOf)).toEqual(outcomes)
  expect(tally(requestLogs(), outcomeOf)).toEqual(outcomes)
  expect(new Set(servers().map(({ attributes }) => attributes['meridian.request_id']))).toEqual(ids)
  expect(collector.spans).toHaveLength(TOTAL + attempts)
  expect(new Set(collector.spans.map(({ spanId }) => spanId)).size).toBe(TOTAL + attempts)
  for (const [outcome, count] of Object.entries(without(outcomes, 'served'))) {
    expect(collector.sum('meridian_http_problems_total', { problem: outcome })).toBe(count)
  }
  const securityLogs = collector.logs.filter(({ eventName }) =>
    eventName.startsWith('meridian.security.'),
  )
  expect(securityLogs).toHaveLength(security.length)
  expect(await gateway.metric('meridian_otlp_dropped_total')).toBe(0)
  expect(await gateway.metric('meridian_access_log_dropped_total')).toBe(0)

  // Explanations of one of each kind; the limit and the failover depend on what came before.
  for (const [path, headers, outcome] of [
    ['/search?q=shoes', {}, 'served'],
    ["/search?q=1'%20OR%20'1'='1", {}, 'blocked'],
    ['/private', {}, 'unauthenticated'],
    ['/private', { 'x-api-key': key }, 'served'],
    ['/nowhere', {}, 'no-route'],
    ['/%zz', {}, 'bad-target'],
  ] as const) {
    const explained = await fetch(`${gateway.running.control}/explain`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ url: `http://shop.test${path}`, headers: Object.entries(headers) }),
    })
    expect([path, await explained.json()]).toMatchObject([path, { answer: { outcome } }])
  }
  // They left nothing behind.
  expect(await gateway.metric('meridian_http_requests_total')).toBe(TOTAL)
})
