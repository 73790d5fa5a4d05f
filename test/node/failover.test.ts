/** Regions and origins that die, stall, refuse and lie, seen by clients: most of it should not be seen. */
import http from 'node:http'
import { describe, expect, it } from 'vitest'
import type { MeridianConfigInput } from '../../src/config/schema.ts'
import { ask } from '../harness/client.ts'
import { readBody, refusingUrl } from '../harness/origin.ts'
import { originProcess } from '../harness/process.ts'
import { pause, ranMs, until } from '../harness/wait.ts'
import { pool, proxyTo, type TestConfig, type TestGateway, world } from '../harness/world.ts'

const GERMAN = '91.10.0.1'
const AMERICAN = '8.8.8.8'

/** Two regions with one pool each; clients say where they are by a trusted X-Forwarded-For. */
function regional(
  europe: string,
  america: string,
  more: Partial<Omit<MeridianConfigInput, 'listen'>> = {},
  poolOptions: Parameters<typeof pool>[1] = {},
): TestConfig {
  return {
    trustedProxies: ['127.0.0.1'],
    pools: {
      europe: pool([{ url: europe }], poolOptions),
      america: pool([{ url: america }], poolOptions),
    },
    regions: [
      { id: 'eu-central-1', cloud: 'aws:eu-central-1', pools: ['europe'] },
      { id: 'us-east-1', cloud: 'aws:us-east-1', pools: ['america'] },
    ],
    routes: [{ id: 'site' }],
    ...more,
  }
}

interface Seen {
  readonly status: number
  readonly region: string
  readonly ms: number
}

/** Asks over `connections` kept-alive connections, one request after the other on each, until `stop`. */
function load(gateway: TestGateway, connections: number) {
  const seen: Seen[] = []
  let isOver = false
  const one = async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    while (!isOver) {
      const started = ranMs()
      try {
        const got = await ask(`${gateway.url}/`, {
          agent,
          headers: { 'x-forwarded-for': GERMAN },
        })
        const region = got.status === 200 && got.complete ? String(got.json().region) : ''
        seen.push({
          status: got.complete ? got.status : 0,
          region,
          ms: ranMs() - started,
        })
      } catch {
        seen.push({ status: 0, region: '', ms: ranMs() - started })
      }
    }
    agent.destroy()
  }
  const all = Array.from({ length: connections }, one)
  return {
    seen,
    stop: async () => {
      isOver = true
      await Promise.all(all)
    },
  }
}

describe('a region whose only origin', () => {
  it('is killed costs no client anything but 200, under 32 kept-alive connections', async () => {
    const w = world()
    const [europe, america] = await Promise.all([originProcess('eu'), originProcess('us')])
    const gateway = await w.gateway(regional(europe.url, america.url))
    const running = load(gateway, 32)
    await until('traffic in Europe', () => running.seen.length > 200)
    expect(new Set(running.seen.map((one) => one.region))).toEqual(new Set(['eu']))
    europe.kill('SIGKILL')
    await europe.exited()
    const at = running.seen.length
    await until('traffic in America', () => running.seen.length > at + 200)
    await running.stop()
    expect(running.seen.filter((one) => one.status !== 200)).toEqual([])
    expect(running.seen.at(-1)?.region).toBe('us')
    expect(await gateway.metric('meridian_region_healthy', { region: 'eu-central-1' })).toBe(0)
  })

  it('is stopped costs each client at most one first-byte timeout', async () => {
    const w = world()
    const FIRST_BYTE_MS = 1000
    const [europe, america] = await Promise.all([originProcess('eu'), originProcess('us')])
    const gateway = await w.gateway(
      regional(europe.url, america.url, {}, { timeouts: { firstByte: `${FIRST_BYTE_MS}ms` } }),
    )
    const running = load(gateway, 16)
    await until('traffic in Europe', () => running.seen.length > 100)
    europe.kill('SIGSTOP')
    await until('traffic in America', () => running.seen.at(-1)?.region === 'us')
    const at = running.seen.length
    await until('more of it', () => running.seen.length > at + 100)
    await running.stop()
    expect(running.seen.filter((one) => one.status !== 200)).toEqual([])
    // Twice the timeout would be two tries that waited; the slack is what a busy machine takes anyway.
    expect(Math.max(...running.seen.map((one) => one.ms))).toBeLessThan(FIRST_BYTE_MS * 1.9)
  })
})

describe('an origin that', () => {
  it('refuses connections is left out, for every method', async () => {
    const w = world()
    const good = await w.origin((request, response, hit) => {
      void readBody(request, hit).then(() => response.end(hit.sha256))
    })
    const refusing = { url: await refusingUrl() }
    const gateway = await w.gateway(proxyTo([refusing, good], { balance: 'round-robin' }))
    const large = Buffer.alloc(10 * 1024 * 1024, 'x')
    const plans = [
      { method: 'GET' },
      { method: 'POST', body: 'small' },
      { method: 'POST', body: large },
      { method: 'PATCH', body: large, chunked: true },
    ]
    for (const [index, plan] of plans.entries()) {
      // Twice, so that one of the two begins at the refusing one while it is not yet ejected.
      for (let i = 0; i < 2; i++) {
        const got = await ask(`${gateway.url}/${index}-${i}`, plan)
        expect(got.status).toBe(200)
      }
    }
    expect(good.hits.map((hit) => hit.path)).toEqual(
      plans.flatMap((_plan, index) => [`/${index}-0`, `/${index}-1`]),
    )
    expect(new Set(good.hits.slice(4).map((hit) => hit.sha256)).size).toBe(1)
    expect(good.hits.every((hit) => hit.complete)).toBe(true)
    const failed = await gateway.metric('meridian_upstream_attempts_total', { outcome: 'connect' })
    expect(failed).toBeGreaterThan(0)
    expect(failed).toBeLessThanOrEqual(3)
  })

  it('storms with 503 is hidden from clients, at little cost for the others', async () => {
    const w = world()
    const storm = await w.origin((request, response) => {
      request.resume()
      response.writeHead(503).end('no')
    })
    const good = await w.origin()
    const gateway = await w.gateway(proxyTo([storm, good], { balance: 'round-robin' }))
    const REQUESTS = 150
    const statuses: number[] = []
    for (let i = 0; i < REQUESTS; i += 10) {
      const batch = await Promise.all(Array.from({ length: 10 }, () => ask(gateway.url)))
      statuses.push(...batch.map((got) => got.status))
    }
    expect(statuses.filter((status) => status !== 200)).toEqual([])
    // The budget: 20 % of the requests, and a floor of ten a second.
    expect(storm.hits.length).toBeLessThanOrEqual(REQUESTS * 0.2 + 10)
    expect(good.hits.length).toBe(REQUESTS)
  })

  it('fails everywhere multiplies the load by no more than the retry budget', async () => {
    const w = world()
    const origins = await Promise.all(
      [1, 2, 3].map(() => w.origin((_request, response) => response.writeHead(503).end('no'))),
    )
    const gateway = await w.gateway({
      ...proxyTo(origins, { outlier: { consecutive: 10_000, failureShare: 100 } }),
    })
    const REQUESTS = 300
    const started = performance.now()
    for (let i = 0; i < REQUESTS; i += 20) {
      await Promise.all(Array.from({ length: 20 }, () => ask(gateway.url)))
    }
    const seconds = (performance.now() - started) / 1000
    const hits = origins.reduce((sum, origin) => sum + origin.hits.length, 0)
    // Ten tokens a second, saved up for at most ten seconds, and a fifth of the requests.
    expect(hits - REQUESTS).toBeLessThanOrEqual(REQUESTS * 0.2 + 100 + 10 * seconds + 10)
    expect(hits - REQUESTS).toBeLessThan(2 * REQUESTS)
  })

  it.each([
    { method: 'POST', status: 502, hits: 1, problem: 'origin-reset' },
    { method: 'PATCH', status: 502, hits: 1, problem: 'origin-reset' },
    { method: 'PUT', status: 200, hits: 2, problem: undefined },
  ])('resets after reading: $method is sent $hits times', async ({ method, ...expected }) => {
    const w = world()
    let reads = 0
    const resetting = await w.origin((request, _response, hit) => {
      void readBody(request, hit).then(() => {
        reads++
        request.socket.resetAndDestroy()
      })
    })
    const good = await w.origin()
    const gateway = await w.gateway({
      pools: { first: pool([resetting]), second: pool([good]) },
      routes: [{ id: 'site', pools: ['first', 'second'] }],
    })
    const got = await ask(gateway.url, { method, body: 'pay 10' })
    expect(got.status).toBe(expected.status)
    expect(reads + good.hits.length).toBe(expected.hits)
    if (expected.problem !== undefined) {
      expect(got.json().type).toBe(`urn:meridian:problem:${expected.problem}`)
    }
  })

  it('closes idle connections at any moment harms no request', async () => {
    const w = world()
    // Closes each connection right after a response, sometimes while the next request is on its way.
    let count = 0
    const closing = await w.socketOrigin((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', () => {
        if (++count % 2 === 0) setTimeout(() => socket.destroy(), count % 7)
      })
    })
    const gateway = await w.gateway(proxyTo([closing]))
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    const statuses: number[] = []
    for (let i = 0; i < 150; i++) {
      statuses.push((await ask(gateway.url, { agent })).status)
      if (i % 4 === 0) await pause(i % 7)
    }
    agent.destroy()
    expect(statuses.filter((status) => status !== 200)).toEqual([])
    expect(closing.connections).toBeGreaterThan(20)
    expect(await gateway.metric('meridian_origin_healthy')).toBe(1)
  })

  it('answers nonsense is a 502 that names no internals', async () => {
    const w = world()
    const nonsense = await w.socketOrigin((socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n\r\n'))
    const gateway = await w.gateway(proxyTo([nonsense]))
    const got = await ask(gateway.url)
    expect(got.status).toBe(502)
    expect(got.get('content-type')).toBe('application/problem+json')
    expect(got.text).not.toContain('SSH')
    expect(got.text).not.toContain('127.0.0.1')
  })
})

describe('when everything is down', () => {
  it('clients get a 502 at first and later a 503 with Retry-After, until it is back', async () => {
    const w = world()
    const origin = await w.origin()
    const gateway = await w.gateway(
      regional(origin.url, await refusingUrl(), {}, { outlier: { baseEjection: '300ms' } }),
    )
    const options = { headers: { 'x-forwarded-for': GERMAN } }
    expect((await ask(gateway.url, options)).status).toBe(200)
    await origin.refuse()
    const answers = []
    for (let i = 0; i < 6; i++) answers.push(await ask(gateway.url, options))
    for (const got of answers) {
      expect([502, 503]).toContain(got.status)
      expect(got.get('content-type')).toBe('application/problem+json')
      if (got.status === 503) expect(Number(got.get('retry-after'))).toBeGreaterThan(0)
    }
    await origin.reopen()
    await until('a good answer', async () => (await ask(gateway.url, options)).status === 200)
  })

  it('an origin that never answers is a 504', async () => {
    const w = world()
    const silent = await w.origin(() => {})
    const gateway = await w.gateway(proxyTo([silent], { timeouts: { firstByte: '200ms' } }))
    const got = await ask(gateway.url)
    expect(got.status).toBe(504)
    expect(got.json().type).toBe('urn:meridian:problem:origin-timeout')
    await until('the connection to be let go', () => silent.hits[0]?.aborted)
  })
})

describe('active checks', () => {
  it('take a region out before a client notices, and back in', async () => {
    const w = world()
    let isHealthy = true
    const europe = await w.origin((request, response) => {
      if (request.url === '/healthz') response.writeHead(isHealthy ? 200 : 503)
      response.end('europe')
    })
    const america = await w.origin((_request, response) => response.end('america'))
    const health = {
      path: '/healthz',
      interval: '60ms',
      fastInterval: '30ms',
      timeout: '1s',
    } as const
    const gateway = await w.gateway(regional(europe.url, america.url, {}, { health }))
    const german = async () =>
      (await ask(gateway.url, { headers: { 'x-forwarded-for': GERMAN } })).text
    await until('Europe', async () => (await german()) === 'europe')
    isHealthy = false
    await until('America', async () => (await german()) === 'america')
    isHealthy = true
    await until('Europe again', async () => (await german()) === 'europe')
  })
})

describe('residency', () => {
  const residency = [{ id: 'gdpr', from: { europeanUnion: true as const }, allowTags: ['EU'] }]

  it.each(['ejected by traffic', 'found out by checks'])(
    'a European client is refused while Europe is down (%s), and nobody else sees it',
    async (how) => {
      const w = world()
      const america = await w.origin()
      const health =
        how === 'found out by checks'
          ? { health: { path: '/', interval: '50ms', fastInterval: '50ms' } as const }
          : {}
      const gateway = await w.gateway({
        ...regional(await refusingUrl(), america.url, { residency }),
        pools: {
          europe: pool([{ url: await refusingUrl() }], health),
          america: pool([america]),
        },
      })
      const refused = await until('a refusal', async () => {
        const got = await ask(gateway.url, { headers: { 'x-forwarded-for': GERMAN } })
        expect([502, 503]).toContain(got.status)
        return got.status === 503 ? got : undefined
      })
      expect(refused.json().type).toBe('urn:meridian:problem:residency-unavailable')
      expect(Number(refused.get('retry-after'))).toBeGreaterThan(0)
      for (const method of ['GET', 'POST', 'HEAD']) {
        const got = await ask(gateway.url, { method, headers: { 'x-forwarded-for': GERMAN } })
        expect(got.status).toBeGreaterThanOrEqual(500)
      }
      expect(america.hits).toEqual([])
      expect(america.connections).toBe(0)
      const american = await ask(gateway.url, { headers: { 'x-forwarded-for': AMERICAN } })
      expect(american.status).toBe(200)
    },
  )

  it('travels from one gateway to the next, which trusts the first and nobody else', async () => {
    const w = world()
    const [europe, america, plain] = [await w.origin(), await w.origin(), await w.origin()]
    const rule = { ...residency[0]!, allowTags: ['EU'], announce: true }
    // It knows nothing of addresses: without being told it would refuse nobody and bind nobody.
    const second = await w.gateway(
      regional(europe.url, america.url, {
        name: 'inner',
        residency: [{ ...rule, onUnknown: 'allow' as const }],
        geo: { providers: ['headers'], gateway: { region: 'us-east-1' } },
      }),
    )
    const first = await w.gateway({
      trustedProxies: ['127.0.0.2'],
      pools: { next: pool([second]), plain: pool([plain]) },
      regions: [
        { id: 'edge', latitude: 50, longitude: 8, tags: ['EU'], pools: ['next'] },
        { id: 'other', latitude: 51, longitude: 9, tags: ['EU'], pools: ['plain'] },
      ],
      residency: [
        { ...rule, from: { claim: { name: 'none', values: ['x'] } }, onUnknown: 'restrict' },
      ],
      routes: [
        { id: 'plain', match: { path: '/plain' }, regions: ['other'], cache: false },
        { id: 'site', regions: ['edge'], cache: false },
      ],
    })
    expect((await ask(`${first.url}/a`)).status).toBe(200)
    expect([europe.hits.length, america.hits.length]).toEqual([1, 0])
    expect(europe.hits[0]?.headers['x-meridian-residency']).toBe('gdpr')
    expect((await ask(`${second.url}/b`)).status).toBe(200)
    expect(america.hits.length).toBe(1)
    // A forged field goes no further than here.
    await ask(`${first.url}/plain`, { headers: { 'x-meridian-residency': 'forged' } })
    expect(plain.hits[0]?.headers['x-meridian-residency']).toBe('gdpr')
  })

  it('a client of unknown place is refused with 451', async () => {
    const w = world()
    const [europe, america] = [await w.origin(), await w.origin()]
    const gateway = await w.gateway(regional(europe.url, america.url, { residency }))
    const got = await ask(gateway.url, { headers: { 'x-forwarded-for': '192.168.7.7' } })
    expect(got.status).toBe(451)
    expect(got.json().type).toBe('urn:meridian:problem:residency-denied')
    expect(europe.hits.length + america.hits.length).toBe(0)
  })
})
