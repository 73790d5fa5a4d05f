/** The library in somebody's Hono app: the whole gateway, and each stage alone. */

import type { AddressInfo } from 'node:net'
import { serve as serveOnNode } from '@hono/node-server'
import { Hono } from 'hono'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { RateLimiterMemory } from 'rate-limiter-flexible'
import { beforeEach, describe, expect, inject, it } from 'vitest'
import managed from '../../rules/managed.json?raw'
import { ConfigError, geoSteer, httpCache, jwt, meridian, rateLimit, waf } from '../../src/index.ts'
import { origins } from '../suite/harness.ts'

const rulesets = { managed }
const client = (ip: string, country?: string) => () => ({
  ip,
  ...(country === undefined ? {} : { place: { country } }),
})

describe('waf()', () => {
  it('blocks attacks before the handler, and leaves it the body', async () => {
    const app = new Hono()
    let calls = 0
    app.use(waf({ rulesets }))
    app.post('/comments', async (c) => {
      calls++
      return c.json(await c.req.json(), 201)
    })
    const post = (text: string) =>
      app.request('/comments', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ text }),
      })
    const blocked = await post("x' union select password from users --")
    expect([blocked.status, calls]).toEqual([403, 0])
    const passed = await post('a nice comment')
    expect([passed.status, calls]).toEqual([201, 1])
    expect(await passed.json()).toEqual({ text: 'a nice comment' })
    expect(passed.headers.get('via')).toBeNull()
  })

  it('says what it wants when the ruleset is not there', async () => {
    await expect(waf().ready()).rejects.toBeInstanceOf(ConfigError)
  })
})

describe('rateLimit()', () => {
  it('counts clients apart, and tells them', async () => {
    const app = new Hono()
    const ips = ['192.0.2.1', '192.0.2.1', '192.0.2.1', '192.0.2.2']
    let at = 0
    app.use(rateLimit({ limit: 6, window: '60s', burst: 2, client: () => ({ ip: ips[at++] }) }))
    app.get('/', (c) => c.text('ok'))
    const answers = []
    for (const _ of ips) answers.push(await app.request('/'))
    expect(answers.map((response) => response.status)).toEqual([200, 200, 429, 200])
    expect(answers[0]?.headers.get('ratelimit')).toContain('"limit";r=1')
    expect(Number(answers[2]?.headers.get('retry-after'))).toBeGreaterThan(0)
  })

  it('knows the address from the server under the app', async () => {
    const app = new Hono()
    app.use(rateLimit({ limit: 6, window: '60s', burst: 1 }))
    app.get('/', (c) => c.text('ok'))
    const server = serveOnNode({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
    await new Promise((resolve) => server.once('listening', resolve))
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
      const spoofed = { headers: { 'x-forwarded-for': '203.0.113.1' } }
      expect([(await fetch(url)).status, (await fetch(url, spoofed)).status]).toEqual([200, 429])
    } finally {
      server.close()
    }
  })
})

describe('rateLimit() with a limiter of rate-limiter-flexible', () => {
  it('counts a quota for all processes, and what another process used', async () => {
    const limiter = new RateLimiterMemory({ points: 3, duration: 86_400 })
    const quota = { algorithm: 'calendar', period: 'day', limit: 3 } as const
    const apps = [new Hono(), new Hono()] as const
    for (const app of apps) {
      app.use(rateLimit({ ...quota, limiter, client: client('192.0.2.1') }))
      app.get('/', (c) => c.text('ok'))
    }
    const statuses = []
    for (let i = 0; i < 5; i++) statuses.push((await apps[i % 2 === 0 ? 0 : 1].request('/')).status)
    expect(statuses).toEqual([200, 200, 200, 429, 429])
  })

  it('says what it cannot count', async () => {
    const limiter = new RateLimiterMemory({ points: 3, duration: 60 })
    await expect(
      rateLimit({ limit: 4, window: '1m', algorithm: 'fixed', limiter }).ready(),
    ).rejects.toThrow('its limiter has 3 points, the limit is 4')
    await expect(rateLimit({ limit: 3, window: '1m', shared: {} }).ready()).rejects.toThrow(
      'limits[0].shared',
    )
  })
})

describe('jwt()', () => {
  it('lets the handler know who asks', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
    const jwk = { ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256', use: 'sig' }
    const app = new Hono()
    app.use(jwt({ issuer: 'https://id.test', jwks: { keys: [jwk] } as never, audience: 'api' }))
    app.get('/me', (c) => c.text(c.get('meridian').principal?.subject ?? 'nobody'))
    const token = await new SignJWT({})
      .setProtectedHeader({ alg: 'ES256', kid: 'k', typ: 'at+jwt' })
      .setIssuer('https://id.test')
      .setAudience('api')
      .setSubject('ada')
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(privateKey)
    expect((await app.request('/me')).status).toBe(401)
    const known = await app.request('/me', { headers: { authorization: `Bearer ${token}` } })
    expect(await known.text()).toBe('ada')
  })
})

describe('geoSteer()', () => {
  const regions = [
    { id: 'eu-central-1', cloud: 'aws:eu-central-1' as const, tags: ['GDPR'] },
    { id: 'us-east-1', cloud: 'aws:us-east-1' as const, tags: ['US'] },
  ]
  const residency = [
    {
      id: 'gdpr',
      from: { europeanUnion: true as const },
      allowTags: ['GDPR'],
      onUnknown: 'deny' as const,
    },
  ]
  it.each([
    { country: 'DE', region: 'eu-central-1' },
    { country: 'US', region: 'us-east-1' },
    { country: undefined, region: null },
  ])('a $country client goes to $region', async ({ country, region }) => {
    const app = new Hono()
    app.use(geoSteer({ regions, residency, client: client('192.0.2.1', country) }))
    app.get('/', (c) => c.text(c.get('meridian').region ?? 'none'))
    const response = await app.request('/')
    if (region === null) expect(response.status).toBe(451)
    else expect(await response.text()).toBe(region)
  })
})

describe('httpCache()', () => {
  it('asks the handler once, and validates with it', async () => {
    const app = new Hono()
    let calls = 0
    app.use(httpCache())
    app.get('/kept', (c) => {
      calls++
      return c.text(`made ${calls}`, 200, { 'cache-control': 'max-age=60' })
    })
    app.get('/checked', (c) => {
      calls++
      if (c.req.header('if-none-match') === '"1"') return c.body(null, 304, { etag: '"1"' })
      return c.text('page', 200, { etag: '"1"', 'cache-control': 'no-cache' })
    })
    for (let i = 0; i < 3; i++) {
      expect(await (await app.request('/kept')).text()).toBe('made 1')
    }
    expect(calls).toBe(1)
    for (let i = 0; i < 2; i++) {
      const response = await app.request('/checked')
      expect([response.status, await response.text()]).toEqual([200, 'page'])
    }
    expect(calls).toBe(3)
  })

  it('keeps nothing of a handler that fails', async () => {
    const app = new Hono()
    let calls = 0
    app.onError((_, c) => c.text('failed', 500))
    app.use(httpCache())
    app.get('/', () => {
      calls++
      throw new Error('broken')
    })
    for (let i = 0; i < 2; i++) expect((await app.request('/')).status).toBe(500)
    expect(calls).toBe(2)
  })
})

describe('stages together', () => {
  it('stand in front of each other, and of what streams', async () => {
    const app = new Hono()
    app.use(waf({ rulesets }), rateLimit({ limit: 60, window: '60s', client: client('192.0.2.1') }))
    app.use(httpCache())
    app.post('/echo', (c) => new Response(c.req.raw.body))
    app.get('/headers', (c) => c.json(c.req.header()))
    const body = 'long '.repeat(100_000)
    const echoed = await app.request('/echo', { method: 'POST', body })
    expect((await echoed.text()).length).toBe(body.length)
    const seen = await app.request('/headers', { headers: { 'x-own': '1', via: '1.1 front' } })
    expect(await seen.json()).toMatchObject({ 'x-own': '1', via: '1.1 front' })
    expect(JSON.stringify([...seen.headers])).not.toContain('meridian; loop')
  })
})

describe('meridian()', () => {
  beforeEach(() => origins.reset())

  it('serves its routes, leaves the rest to the app, and explains', async () => {
    const gateway = meridian(
      {
        pools: { app: { origins: [{ url: inject('origins').regions.eu }] } },
        routes: [{ id: 'pages', match: { path: '/page' }, pools: ['app'] }],
      },
      { rulesets },
    )
    const app = new Hono()
    app.use(gateway)
    app.get('/own', (c) => c.text('my own'))
    expect(await (await app.request('/page/1')).text()).toBe('eu /page/1')
    expect((await app.request('/page?id=1%27%20union%20select%20null--')).status).toBe(403)
    expect(await (await app.request('/own')).text()).toBe('my own')
    expect((await app.request('/nothing')).status).toBe(404)
    const explanation = await gateway.explain({ method: 'GET', url: '/page', headers: [] })
    expect(explanation).toMatchObject({ answer: { status: 200 } })
  })

  it('refuses a config with its place in the file', async () => {
    await expect(meridian('{"routes": []}').ready()).rejects.toThrow(/at least one route/)
  })
})
