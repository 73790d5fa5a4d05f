/**
 * A thousand requests of every kind over real sockets: the access log, the metrics, the events, the spans, the
 * log records and the metrics at a collector, analytics, and all that the dashboard reads count the same, and
 * explanations of each request say the same.
 */
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { LiveFrame } from '../../src/admin/live-view.ts'
import type { StatusReport } from '../../src/admin/view.ts'
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

/** What the dashboard is fed once a second, until the test is over. */
async function liveFrames(control: string, onEnd: (run: () => unknown) => void) {
  const abort = new AbortController()
  const response = await fetch(`${control}/live`, { signal: abort.signal })
  const frames: LiveFrame[] = []
  const reading = (async () => {
    let text = ''
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      const parts = (text + chunk).split('\n\n')
      text = parts.pop() ?? ''
      for (const part of parts) {
        const data = /^data: (.*)$/m.exec(part)?.[1]
        if (data !== undefined) frames.push(JSON.parse(data) as LiveFrame)
      }
    }
  })().catch(() => {
    // Cut by the end of the test.
  })
  onEnd(async () => {
    abort.abort()
    await reading
  })
  // The first question opens the watch; what comes after it is counted.
  await until('the first frame', () => frames[0])
  return frames
}

function summed(parts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sum: Record<string, number> = {}
  for (const part of parts) {
    for (const [key, value] of Object.entries(part)) sum[key] = (sum[key] ?? 0) + value
  }
  return sum
}

function sumFrames(frames: readonly LiveFrame[], of: (frame: LiveFrame) => number): number {
  return frames.reduce((sum, frame) => sum + of(frame), 0)
}

/** What is written of a request that could have been foreseen. */
interface Foreseen {
  readonly route: unknown
  readonly rules: readonly unknown[]
  readonly region: unknown
  readonly outcome: string
  readonly statusClass: string
}

interface Explained {
  readonly steps: readonly { readonly step: string; readonly detail: Record<string, unknown> }[]
  readonly answer: { readonly status: number; readonly outcome: string }
}

const classOf = (status: number) => `${Math.floor(status / 100)}xx`

function foreseenByLog({ route, region, rules, outcome, status }: AccessLine): Foreseen {
  const found = (rules ?? []) as readonly unknown[]
  return { route, rules: found, region, outcome, statusClass: classOf(status) }
}

function foreseenBy({ steps, answer }: Explained): Foreseen {
  const detail = (step: string) => steps.find((one) => one.step === step)?.detail ?? {}
  const verdicts = (detail('inspect').verdicts ?? []) as readonly { rule: string }[]
  return {
    route: detail('route').route,
    rules: verdicts.map(({ rule }) => rule),
    region: detail('steer').region,
    outcome: answer.outcome,
    statusClass: classOf(answer.status),
  }
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

  /** `depends`: what of its answer is not of the request alone. */
  const kinds: {
    path: (i: number) => string
    headers?: Record<string, string>
    share: number
    depends?: 'on the limit' | 'on the origin' | 'on health'
  }[] = [
    { share: 250, path: (i) => `/cached/${i % 50}` },
    { share: 100, path: () => '/moved', depends: 'on health' },
    { share: 100, path: () => '/search?q=shoes' },
    { share: 100, path: () => "/search?q=1'%20OR%20'1'='1" },
    { share: 100, path: () => '/limited', depends: 'on the limit' },
    { share: 75, path: () => '/private' },
    { share: 75, path: () => '/private', headers: { 'x-api-key': key } },
    { share: 75, path: () => '/broken', depends: 'on the origin' },
    { share: 25, path: () => '/dead', depends: 'on the origin' },
    { share: 75, path: () => '/nowhere' },
    { share: 25, path: () => '/%zz' },
  ]
  const plan = kinds.flatMap(({ share, path, headers = {}, depends }) =>
    Array.from({ length: share }, (_, i) => ({ path: path(i), headers, depends })),
  )
  expect(plan).toHaveLength(TOTAL)
  // Shuffled alike each time: 7919 is a prime that does not divide a thousand.
  const order = plan.map((_, i) => plan[(i * 7919) % TOTAL]!)
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 })
  w.onClose(() => agent.destroy())
  const frames = await liveFrames(gateway.running.control as string, (run) => w.onClose(run))
  const answers: Answer[] = []
  const planned = new Map<string, (typeof plan)[number]>()
  const client = async () => {
    for (let next = order.pop(); next !== undefined; next = order.pop()) {
      const headers = { ...next.headers, 'x-forwarded-for': `198.51.100.${answers.length % 200}` }
      const answer = await ask(`${gateway.url}${next.path}`, { headers, agent })
      planned.set(answer.get('x-request-id') ?? '', next)
      answers.push(answer)
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
  const statusClass = ({ status }: AccessLine) => classOf(status)
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

  // What the dashboard reads: the frames of its live tab, added up.
  await until('every request in a frame', () => sumFrames(frames, (one) => one.requests) >= TOTAL)
  expect(sumFrames(frames, (one) => one.requests)).toBe(TOTAL)
  const bytesOut = lines.reduce((sum, line) => sum + Number(line.bytes_out), 0)
  expect(sumFrames(frames, (one) => one.bytesOut)).toBe(bytesOut)
  const inFrames = (of: (frame: LiveFrame) => Readonly<Record<string, number>>) =>
    summed(frames.map(of))
  expect(inFrames((one) => one.statuses)).toEqual(tally(lines, statusClass))
  expect(inFrames((one) => one.problems)).toEqual(without(outcomes, 'served'))
  expect(inFrames((one) => one.cache)).toEqual(without(tally(lines, cacheOf), 'none'))
  const rulesOf = (line: AccessLine) => (line.rules ?? []) as readonly string[]
  const matched = tally(lines.flatMap(rulesOf), (rule) => rule)
  expect(inFrames((one) => one.rules)).toEqual(matched)
  const hits = lines.filter(({ cache }) => cache === 'hit').length
  const became = tally(lines, ({ status, outcome, cache }) => {
    if (status >= 500) return 'failed'
    if (outcome !== 'served') return 'blocked'
    return cache === 'hit' ? 'cache' : 'origin'
  })
  expect(inFrames((one) => one.outcomes)).toEqual(became)
  // Nothing says where these clients are.
  expect(sumFrames(frames, (one) => one.unplaced)).toBe(TOTAL)
  const misses = inFrames((one) => one.misses)
  const missed = lines.filter(({ cache }) => cache !== undefined && cache !== 'hit')
  expect(tally(Object.entries(misses), ([key]) => key.split('\t')[2] ?? '')).toEqual(
    tally([...new Set(missed.map(({ path }) => path))], (path) => path),
  )
  expect(Object.values(misses).reduce((a, b) => a + b, 0)).toBe(missed.length)

  // The tabs of the cache, the regions, the rules and security.
  const asked = async <T>(path: string): Promise<T> =>
    (await (await fetch(`${gateway.running.control}${path}`)).json()) as T
  const stats = await asked<{ routes: Record<string, unknown>[]; counters: { fills: number } }>(
    '/cache/stats',
  )
  expect(stats.routes.filter(({ requests }) => requests !== 0)).toMatchObject([
    { route: 'cached', requests: 250, hits, hitRatio: hits / 250 },
  ])
  expect(stats.counters.fills).toBe(50)
  const top = await asked<{ misses: { path: string; count: number }[] }>(
    '/cache/top-misses?limit=100',
  )
  expect(top.misses.reduce((sum, { count }) => sum + count, 0)).toBe(missed.length)
  const { rulesets } = await asked<{ rulesets: { name: string }[] }>('/rules')
  expect(rulesets.map(({ name }) => name)).toEqual(['basic'])
  const ruleset = await (await fetch(`${gateway.running.control}/rules/basic`)).text()
  for (const rule of Object.keys(matched)) expect(ruleset).toContain(`"${rule}"`)
  const listed = await asked<{ events: { requestId: string; what: string }[] }>(
    '/events?limit=1000&kind=security',
  )
  expect(tally(listed.events, ({ what }) => what)).toEqual(tally(security, ({ what }) => what))
  const byId = new Map(lines.map((line) => [line.id, line.outcome]))
  for (const { requestId, what } of listed.events) expect(byId.get(requestId)).toBe(what)
  const isUp = async (of: string) =>
    (await asked<StatusReport>('/status')).regions.find(({ id }) => id === of)?.healthy
  const drawn = new Map(frames.at(-1)?.regions.map(({ id, healthy }) => [id, healthy]))
  expect([drawn.get('eu'), drawn.get('us')]).toEqual([await isUp('eu'), await isUp('us')])
  expect((await asked<StatusReport>('/status')).workers).toBe(frames.at(-1)?.workers)

  // Explanations of every request, each with what was written of it.
  const explanations = new Map<string, Foreseen>()
  for (const line of lines) {
    const request = planned.get(String(line.id))!
    const key = JSON.stringify(request)
    let foreseen = explanations.get(key)
    if (foreseen === undefined) {
      const explained = await fetch(`${gateway.running.control}/explain`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          url: `http://shop.test${request.path}`,
          headers: Object.entries(request.headers),
        }),
      })
      foreseen = foreseenBy((await explained.json()) as Explained)
      explanations.set(key, foreseen)
    }
    const written = foreseenByLog(line)
    const { depends } = request
    // What came before decides whom the limit admits; an explanation begins with all of it.
    const isPast = depends === 'on the limit' && line.outcome === 'rate-limited'
    // Stored answers came from no region now.
    const region = Number(line.attempts ?? 0) === 0 ? {} : { region: foreseen.region }
    const { outcome, statusClass } = depends === 'on the origin' || isPast ? written : foreseen
    expect([request.path, written]).toEqual([
      request.path,
      { ...foreseen, region: written.region, ...region, outcome, statusClass },
    ])
  }
  // As many as there are different requests.
  expect(explanations.size).toBe(50 + kinds.length - 1)
  // They left nothing behind.
  expect(await gateway.metric('meridian_http_requests_total')).toBe(TOTAL)
})
