import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import type { PurgeRequest } from '../cache/response-cache.ts'
import { AdminSection } from '../config/sections/admin.ts'
import { exchangeOf, telemetryConfig } from '../telemetry/exchange.fixture.ts'
import { explain } from '../telemetry/explain.ts'
import { Mask } from '../telemetry/mask.ts'
import { createAdminApp } from './app.ts'
import { type AdminAccess, tokenProblem } from './guard.ts'
import { type AdminView, ExplainError, type ExplainQuery } from './view.ts'

const TOKEN = 'a-token-of-some-length'
const mask = new Mask(telemetryConfig().mask, new Uint8Array(16))

function world(access: Partial<AdminAccess> = {}, view: Partial<AdminView> = {}) {
  const explained: ExplainQuery[] = []
  const refused: string[] = []
  const purged: { order: PurgeRequest; id: string | undefined; by: string }[] = []
  let now = 0
  const app = createAdminApp(
    {
      status: () => ({
        version: '1.2.3',
        runtime: 'test',
        startedAt: 0,
        workers: 1,
        config: { hash: 'abc', file: null, loadedAt: 0, lastError: null },
        geo: { source: 'none', builtAt: null },
        regions: [
          { id: 'eu', healthy: false, drained: false, why: 'no origin answers', origins: [] },
        ],
      }),
      readiness: () => ({ ready: true, reasons: [] }),
      metrics: () => 'up 1\n',
      config: () => ({
        pools: {
          a: { url: 'https://u:s3cret@origin.example/', headers: { authorization: 's3cret' } },
        },
        admin: { token: { env: 'ADMIN_TOKEN' } },
      }),
      explain: (query) => {
        explained.push(query)
        if (query.url === '/bad') throw new ExplainError('not a URL')
        return explain(exchangeOf(), { status: 200 }, mask)
      },
      events: () => [],
      cache: {
        purge: (order, id, by) => {
          purged.push({ order, id, by })
          return { id: id ?? 'made-up', at: 1, workers: 2 }
        },
        match: () => 7,
        warm: async ({ urls }) =>
          urls.map((url) => ({ url, status: 200, cache: '', bytes: 1, complete: true })),
        entries: async () => [],
        topMisses: () => [],
        stats: () => ({
          workers: 1,
          tiers: [],
          routes: [{ route: 'site', requests: 4, hits: 3, bytes: 0, hitBytes: 0 }],
          counters: {},
        }),
      },
      rollouts: { status: async () => [], command: async () => 1 },
      threats: (limit) => (limit > 0 ? { attackers: [], anomalies: [], watched: 0 } : undefined),
      onRefused: (reason, peer) => refused.push(`${peer}: ${reason}`),
      ...view,
    },
    {
      token: undefined,
      hosts: [],
      isUnixSocket: false,
      monotonic: () => now,
      peer: () => '192.0.2.1',
      ...access,
    },
    () => mask,
  )
  const call = (path: string, headers: Record<string, string> = {}, init: RequestInit = {}) =>
    app.request(`http://localhost${path}`, { ...init, headers: { host: 'localhost', ...headers } })
  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    call(
      path,
      { 'content-type': 'application/json', ...headers },
      { method: 'POST', body: JSON.stringify(body) },
    )
  return { app, call, post, explained, purged, refused, pass: (ms: number) => (now += ms) }
}

describe('the control port', () => {
  it('says why it is not ready', async () => {
    const { call } = world({}, { readiness: () => ({ ready: false, reasons: ['draining'] }) })
    const answer = await call('/readyz')
    expect(answer.status).toBe(503)
    expect(await answer.json()).toEqual({ status: 'not ready', reasons: ['draining'] })
    expect((await call('/healthz')).status).toBe(200)
  })

  it('shows the config without credentials and with the references to secrets', async () => {
    const config = await (await world().call('/config')).json()
    expect(config).toEqual({
      pools: { a: { url: 'https://origin.example/', headers: { authorization: '***' } } },
      admin: { token: { env: 'ADMIN_TOKEN' } },
    })
  })

  it('explains by query and by body', async () => {
    const { call, explained } = world()
    await call('/explain?url=/a%3Fb&method=PUT&ip=192.0.2.7&header=X-A:%20b:c&header=x-d:e')
    const body = JSON.stringify({ url: '/a?b', headers: [['x-d', 'e']] })
    await call('/explain', { 'content-type': 'application/json' }, { method: 'POST', body })
    expect(explained).toEqual([
      {
        method: 'PUT',
        url: '/a?b',
        ip: '192.0.2.7',
        headers: [
          ['X-A', 'b:c'],
          ['x-d', 'e'],
        ],
      },
      { method: 'GET', url: '/a?b', headers: [['x-d', 'e']] },
    ])
  })

  it.each([
    ['/explain', {}, 400],
    ['/explain?url=/bad', {}, 400],
    ['/explain?url=/&method=get', {}, 400],
    ['/explain?url=/&header=no%20name', {}, 400],
    ['/events?since=-1', {}, 400],
    ['/events?limit=100000', {}, 400],
    ['/events?kind=gossip', {}, 400],
    ['/explain', { method: 'POST', body: '{' }, 400],
    ['/explain', { method: 'POST', body: '{"url":"/","other":1}' }, 400],
    ['/explain', { method: 'POST', body: JSON.stringify({ url: 'x'.repeat(70_000) }) }, 413],
  ])('refuses %s %j with %i', async (path, init, status) => {
    const answer = await world().call(path, { 'content-type': 'application/json' }, init)
    expect(answer.status).toBe(status)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
  })

  it('does not tell what went wrong inside', async () => {
    const failed: string[] = []
    const { call } = world(
      {},
      {
        metrics: () => {
          throw new Error('secret detail')
        },
        onFailed: (error, path) => failed.push(`${path}: ${error.message}`),
      },
    )
    const answer = await call('/metrics')
    expect(answer.status).toBe(500)
    expect(await answer.text()).not.toContain('secret detail')
    expect(failed).toEqual(['/metrics: secret detail'])
  })
})

describe('access', () => {
  const bearer = { authorization: `Bearer ${TOKEN}` }

  it.each<[string, Record<string, string>, string, number]>([
    ['no token', {}, '/status', 401],
    ['a wrong token', { authorization: 'Bearer x' }, '/status', 401],
    ['another scheme', { authorization: `Basic ${TOKEN}` }, '/status', 401],
    ['the token and more', { authorization: `Bearer ${TOKEN}x` }, '/status', 401],
    ['the token', bearer, '/status', 200],
    [
      'the token in another case of the scheme',
      { authorization: `bearer ${TOKEN}` },
      '/status',
      200,
    ],
    ['the token in the query', bearer, `/status?token=${TOKEN}`, 400],
    ['no token, liveness', {}, '/healthz', 200],
    ['no token, readiness', {}, '/readyz', 200],
    ['no token, an unknown path', {}, '/nothing', 401],
    ['a foreign host', { ...bearer, host: 'evil.example' }, '/status', 421],
    ['a foreign host, liveness', { host: 'evil.example' }, '/healthz', 421],
    ['a listed host', { ...bearer, host: 'Gateway.internal:9090' }, '/status', 200],
    ['an address as host', { ...bearer, host: '10.1.2.3:9090' }, '/status', 200],
    ['an IPv6 address as host', { ...bearer, host: '[::1]:9090' }, '/status', 200],
    [
      'a name that only begins like an address',
      { ...bearer, host: '127.0.0.1.evil' },
      '/status',
      421,
    ],
    ['a page of another site', { ...bearer, 'sec-fetch-site': 'cross-site' }, '/status', 403],
  ])('with %s (%j %s): %i', async (_, headers, path, status) => {
    const { call, refused } = world({ token: TOKEN, hosts: ['gateway.internal'] })
    expect((await call(path, headers)).status).toBe(status)
    expect(refused).toHaveLength(status === 200 ? 0 : 1)
  })

  it.each([
    ['http://localhost', 200],
    ['http://evil.example', 403],
    ['null', 403],
    [undefined, 200],
  ])('takes a write from origin %s: %i', async (origin, status) => {
    const { call } = world()
    const headers = { 'content-type': 'application/json', ...(origin && { origin }) }
    const answer = await call('/explain', headers, { method: 'POST', body: '{"url":"/"}' })
    expect(answer.status).toBe(status)
  })

  it('stops a caller who guesses, for a while, and only that one', async () => {
    let peer = 'a'
    const { call, pass } = world({ token: TOKEN, peer: () => peer })
    const attempt = async (token: string) =>
      (await call('/status', { authorization: `Bearer ${token}` })).status
    for (let i = 0; i < 10; i++) expect(await attempt(`wrong-${i}`)).toBe(401)
    expect(await attempt(TOKEN)).toBe(429)
    peer = 'b'
    expect(await attempt(TOKEN)).toBe(200)
    peer = 'a'
    pass(60_000)
    expect(await attempt(TOKEN)).toBe(200)
  })
})

describe('the admin section', () => {
  it.each([
    [{}, true],
    [{ address: '127.8.9.10' }, true],
    [{ address: '::1' }, true],
    [{ address: '0.0.0.0' }, false],
    [{ address: '::' }, false],
    [{ address: '10.0.0.1' }, false],
    [{ address: '10.0.0.1', token: { env: 'T' } }, true],
    [{ address: '10.0.0.1', socket: '/run/meridian.sock' }, true],
    [{ address: '10.0.0.1', enabled: false }, true],
    [{ token: 'in the file' }, false],
    [{ tokens: [] }, false],
  ])('%j is accepted: %s', (input, accepted) => {
    expect(v.safeParse(AdminSection, input).success).toBe(accepted)
  })

  it('refuses a token that is short or cannot be sent', () => {
    expect(tokenProblem('short')).toContain('16')
    expect(tokenProblem('sixteen characters')).toContain('header')
    expect(tokenProblem(TOKEN)).toBeUndefined()
  })
})

describe('orders to the cache', () => {
  const url = 'https://example.com/a'

  it.each([
    [{ urls: [url] }, 200],
    [{ mode: 'soft', tags: ['shop'], hosts: ['Example.com'], prefixes: ['example.com/a/'] }, 200],
    [{ everything: true }, 200],
    [{}, 400],
    [{ urls: [] }, 400],
    [{ everything: false }, 400],
    [{ urls: ['/a'] }, 400],
    [{ urls: ['ftp://example.com/a'] }, 400],
    [{ hosts: ['not a host'] }, 400],
    [{ tags: ['two words'] }, 400],
    [{ mode: 'gentle', urls: [url] }, 400],
    [{ urls: [url], regex: '.*' }, 400],
    [{ urls: Array.from({ length: 1001 }, () => url) }, 400],
    ['everything', 400],
  ])('%j is answered %i', async (body, status) => {
    const { post, purged } = world()
    expect((await post('/cache/purge', body)).status).toBe(status)
    expect(purged).toHaveLength(status === 200 ? 1 : 0)
  })

  it('are carried out once under one key, and counted only when asked', async () => {
    const { post, purged, pass } = world()
    const order = { urls: [url] }
    const key = { 'idempotency-key': 'deploy-17' }
    expect(await (await post('/cache/purge', order, key)).json()).toMatchObject({ id: 'deploy-17' })
    expect((await post('/cache/purge', order, key)).status).toBe(200)
    expect(purged).toMatchObject([{ id: 'deploy-17', by: '192.0.2.1' }])
    expect((await post('/cache/purge', { everything: true }, key)).status).toBe(422)
    expect((await post('/cache/purge', order, { 'idempotency-key': 'x'.repeat(201) })).status).toBe(
      400,
    )
    pass(600_001)
    await post('/cache/purge', order, key)
    expect(purged).toHaveLength(2)
    const dry = await post('/cache/purge', { ...order, dryRun: true })
    expect(await dry.json()).toEqual({ dryRun: true, matched: 7 })
    expect(purged).toHaveLength(2)
  })

  it('need what every write needs', async () => {
    const { call, post, purged } = world({ token: TOKEN })
    expect((await post('/cache/purge', { everything: true })).status).toBe(401)
    const bearer = { authorization: `Bearer ${TOKEN}` }
    const init = { method: 'POST', body: '{"everything":true}' }
    expect((await call('/cache/purge', bearer, init)).status).toBe(415)
    const json = { ...bearer, 'content-type': 'application/json' }
    const elsewhere = { ...json, origin: 'https://evil.example' }
    expect((await call('/cache/purge', elsewhere, init)).status).toBe(403)
    expect(purged).toEqual([])
    expect((await call('/cache/purge', json, init)).status).toBe(200)
  })

  it('to warm name absolute URLs, not too many', async () => {
    const { post } = world()
    const warmed = await post('/cache/warm', { urls: [url], headers: [['accept-encoding', 'br']] })
    expect(await warmed.json()).toMatchObject({ results: [{ url, status: 200 }] })
    for (const urls of [[], ['/a'], Array.from({ length: 101 }, () => url)]) {
      expect((await post('/cache/warm', { urls })).status).toBe(400)
    }
    expect((await post('/cache/warm', { urls: [url], headers: [['a', 'b\r\nc']] })).status).toBe(
      400,
    )
  })

  it('ratios are told where there is something to divide by', async () => {
    const { routes } = await (await world().call('/cache/stats')).json()
    expect(routes).toMatchObject([{ route: 'site', hitRatio: 0.75, byteHitRatio: null }])
  })

  it('are refused where there is no cache', async () => {
    const { call, post } = world({}, { cache: undefined })
    expect((await post('/cache/purge', { everything: true })).status).toBe(404)
    expect((await call('/cache/stats')).status).toBe(404)
  })
})
