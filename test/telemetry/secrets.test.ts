/** Nothing that is secret leaves the gateway by any way that shows requests. */
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ADMIN_PATHS } from '../../src/admin/app.ts'
import { createApiKey } from '../../src/iam/api-key.ts'
import { ask } from '../harness/client.ts'
import { Collector } from '../harness/collector.ts'
import { refusingUrl } from '../harness/origin.ts'
import { until } from '../harness/wait.ts'
import { pool, type TestConfig, type World, world } from '../harness/world.ts'

const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbGFudGVkIn0.cGxhbnRlZC1zaWduYXR1cmU'
const DEBUG_TOKEN = 'planted-debug-token-0123456789'

/** Each stands for a kind of place; none may be seen again. */
const PLANTED = {
  queryToken: 'planted-query-token',
  queryPassword: 'planted-query-password',
  encodedKey: 'planted-encoded-key',
  ownKey: 'planted-own-key',
  bearer: 'planted-bearer',
  basic: Buffer.from('user:planted-basic').toString('base64'),
  cookie: 'planted-cookie',
  ownHeader: 'planted-own-header',
  formPassword: 'planted-form-password',
  jsonPassword: 'planted-json-password',
  refererUser: 'planted-referer-user',
  refererToken: 'planted-referer-token',
  jwt: JWT.split('.')[2] as string,
  address: '198.51.100.213',
  address6: '2001:db8:1:2:3:4:5:6',
}

const spy = (id: string, expression: string) => ({ id, description: id, expression, action: 'log' })
/** Rules that match in each place where a secret stands, and may say what matched. */
const SPY = {
  ruleset: 'spy',
  version: '1.0.0',
  rules: [
    spy('spy-query', 'http.request.uri.query contains "planted"'),
    spy('spy-cookie', 'any(http.request.headers["cookie"][*] contains "planted")'),
    spy('spy-authorization', 'any(http.request.headers["authorization"][*] contains "planted")'),
    spy('spy-body', 'http.request.body.raw contains "planted"'),
  ],
}

async function plant(w: World, access: NonNullable<TestConfig['telemetry']>['access']) {
  const collector = await Collector.start()
  w.onClose(() => collector.close())
  const origin = await w.origin((_request, response) => response.end('ok'))
  const { key, entry } = createApiKey('partner', randomBytes(32))
  const gateway = await w.gateway({
    trustedProxies: ['127.0.0.1'],
    admin: { audit: { file: join(w.folder, 'audit.log') }, recorded: 100 },
    pools: { app: pool([origin]), dead: pool([{ url: await refusingUrl() }]) },
    waf: {
      rulesets: ['managed', { file: w.put('spy.json', JSON.stringify(SPY)) }],
    },
    iam: { default: 'none', apiKeys: { keys: [entry] } },
    routes: [
      { id: 'dead', match: { path: '/dead' }, pools: ['dead'] },
      { id: 'keyed', match: { path: '/keyed' }, pools: ['app'], auth: { methods: ['api-key'] } },
      { id: 'site', pools: ['app'], cache: {} },
    ],
    telemetry: {
      ...(access === undefined ? {} : { access }),
      mask: { queryKeys: ['mine'], headers: ['x-mine'] },
      debugHeaders: { token: { file: w.put('token', DEBUG_TOKEN) } },
      otlp: { endpoint: collector.url, interval: '200ms' },
      analytics: { dir: join(w.folder, 'analytics') },
    },
  } as TestConfig)
  const query = [
    `token=${PLANTED.queryToken}`,
    `user[password]=${PLANTED.queryPassword}`,
    `api%5Fkey=${PLANTED.encodedKey}`,
    `mine=${PLANTED.ownKey}`,
    `note=${JWT}`,
  ].join('&')
  const common = (address: string) => ({
    'x-forwarded-for': address,
    cookie: `session=${PLANTED.cookie}`,
    'x-mine': PLANTED.ownHeader,
    'meridian-debug': DEBUG_TOKEN,
    'user-agent': `probe/1 ${JWT}`,
    referer: `https://${PLANTED.refererUser}:x@example.test/?access_token=${PLANTED.refererToken}#x`,
  })
  const requests: [path: string, headers: Record<string, string>, body?: string][] = [
    [`/?${query}`, { ...common(PLANTED.address), authorization: `Bearer ${PLANTED.bearer}` }],
    [
      `/?${query}&q=1'%20OR%20'1'='1`,
      { ...common(PLANTED.address6), authorization: `Basic ${PLANTED.basic}` },
    ],
    [`/?password=1'%20union%20select%20'${PLANTED.queryPassword}'--`, common(PLANTED.address)],
    [`/dead?${query}`, common(PLANTED.address)],
    [`/keyed?${query}`, { ...common(PLANTED.address), 'x-api-key': key }],
    [`/keyed?${query}`, { ...common(PLANTED.address), 'x-api-key': `${key}x` }],
    [
      '/',
      { ...common(PLANTED.address), 'content-type': 'application/x-www-form-urlencoded' },
      `user=a&password=${PLANTED.formPassword}&q=1' OR '1'='1`,
    ],
    [
      '/',
      { ...common(PLANTED.address), 'content-type': 'application/json' },
      JSON.stringify({ password: `${PLANTED.jsonPassword}' OR '1'='1` }),
    ],
    [`/%zz?${query}`, common(PLANTED.address)],
    [`/%zz#${PLANTED.refererToken}`, common(PLANTED.address)],
  ]
  for (const [path, headers, body] of requests) {
    await ask(`${gateway.url}${path}`, {
      headers,
      ...(body === undefined ? {} : { method: 'POST', body }),
    })
  }
  return { gateway, collector, key, requests }
}

const QUERIES: Readonly<Record<string, string>> = {
  '/cache/entry': '?url=http://shop.test/',
  '/recorded': '?limit=20',
}

/** What every path of the control port answers, streams included as far as they come in a moment. */
async function everyPath(control: string): Promise<Record<string, string>> {
  const answers: Record<string, string> = {}
  for (const path of Object.keys(ADMIN_PATHS)) {
    const leaving = new AbortController()
    const timer = setTimeout(() => leaving.abort(), 1000)
    let text = ''
    try {
      const answer = await fetch(`${control}${path}${QUERIES[path] ?? ''}`, {
        signal: leaving.signal,
      })
      const decoder = new TextDecoder()
      if (answer.body !== null) for await (const chunk of answer.body) text += decoder.decode(chunk)
    } catch (error) {
      if ((error as Error).name !== 'AbortError') throw error
    } finally {
      clearTimeout(timer)
    }
    answers[path] = text
  }
  return answers
}

function filesBelow(folder: string): string {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
    .join('\n')
}

it.each([
  { name: 'json', access: { format: 'json' as const } },
  { name: 'combined', access: { format: 'combined' as const } },
  { name: 'logpush', access: { format: 'logpush' as const } },
])(
  'no sink shows a planted secret (access log as $name)',
  { timeout: 30_000 },
  async ({ name, access }) => {
    const w = world()
    const { gateway, collector, key, requests } = await plant(w, access)
    const control = async (path: string, init?: RequestInit) =>
      (await fetch(`${gateway.running.control}${path}`, init)).text()
    const accessLog = await until('the access log', () => {
      const text = readFileSync(join(gateway.folder, 'access.log'), 'utf8')
      return text.split('\n').length > requests.length ? text : undefined
    })
    await until(
      'the spans',
      () => collector.spans.filter(({ kind }) => kind === 2).length === requests.length,
    )
    const requestLogs = () =>
      collector.logs.filter(({ eventName }) => eventName === 'meridian.request')
    await until('the log records', () => requestLogs().length === requests.length)
    await until(
      'the metrics',
      () => collector.sum('meridian_http_requests_total') === requests.length,
    )
    const explanations: string[] = []
    for (const [path, headers, body] of requests) {
      explanations.push(
        await control('/explain', {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({
            method: body === undefined ? 'GET' : 'POST',
            url: `http://shop.test${path}`,
            headers: Object.entries(headers),
          }),
        }),
      )
    }
    // Orders leave lines in the audit log, with what they were about.
    await control('/cache/purge', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ urls: [`http://shop.test/?token=${PLANTED.queryToken}`] }),
    })
    const audit = () => readFileSync(join(w.folder, 'audit.log'), 'utf8')
    await until('the line of the order', () => audit().includes('shop.test'))
    const analytics = () => filesBelow(join(w.folder, 'analytics'))
    await until(
      'the files of analytics',
      () => analytics().includes('no-route') || analytics().includes('blocked'),
    )
    const sinks: Record<string, string> = {
      // The same for each format of the log: once is enough.
      ...(name === 'json' ? await everyPath(gateway.running.control as string) : {}),
      analytics: analytics(),
      audit: audit(),
      'access log': accessLog,
      metrics: await control('/metrics'),
      events: await control('/events?limit=1000'),
      explain: explanations.join('\n'),
      status: await control('/status'),
      config: await control('/config'),
      otlp: collector.texts.join('\n'),
      'operational log': JSON.stringify(gateway.log),
    }
    // Each of them has something to show: the test would be empty otherwise.
    expect(sinks['access log']?.split('\n').length).toBeGreaterThan(requests.length)
    expect(sinks.events).toContain('"blocked"')
    expect(sinks.analytics).toContain('198.51.100.0')
    expect(sinks.audit).toContain('shop.test')
    if (name === 'json') expect(sinks['/recorded']).toContain('198.51.100.0')
    expect(sinks.events).toContain('"match"')
    expect(sinks.explain).toContain('shop.test')
    expect(sinks.otlp).toContain('198.51.100.0')
    expect(sinks.otlp).toContain('resourceSpans')
    expect(sinks.otlp).toContain('resourceLogs')
    expect(sinks.otlp).toContain('resourceMetrics')
    const secrets = { ...PLANTED, debugToken: DEBUG_TOKEN, apiKey: key.slice('mk_partner_'.length) }
    expect(secrets.apiKey.length).toBeGreaterThan(20)
    const shown: string[] = []
    for (const [sink, text] of Object.entries(sinks)) {
      for (const [secret, value] of Object.entries(secrets)) {
        if (text.includes(value))
          shown.push(
            `${secret} in the ${sink}: …${text.slice(Math.max(0, text.indexOf(value) - 80), text.indexOf(value) + 60)}`,
          )
      }
    }
    expect(shown).toEqual([])
    expect(collector.faults).toEqual([])
  },
)
