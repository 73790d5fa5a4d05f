/** What a Worker does with its bindings, and without them. */
import {
  createExecutionContext,
  env,
  runDurableObjectAlarm,
  runInDurableObject,
  waitOnExecutionContext,
} from 'cloudflare:test'
import { beforeEach, describe, expect, it } from 'vitest'
import type { MeridianConfigInput } from '../../src/config/schema.ts'
import type { EdgeEnv, RecordQueue } from '../../src/runtimes/workers/bindings.ts'
import { CONFIG_KEY } from '../../src/runtimes/workers/config-updates.ts'
import type { Taken } from '../../src/runtimes/workers/counter-shard.ts'
import { checkRound } from '../../src/runtimes/workers/health-prober.ts'
import { origins, suiteConfig } from '../suite/harness.ts'
import { CF, from, isolate, unique } from './isolate.fixture.ts'

beforeEach(() => origins.reset())

describe('counters', () => {
  const shard = () => env.COUNTERS.get(env.COUNTERS.idFromName(unique('shard')))

  it('admit exactly 20 of 200 that come at once', async () => {
    const limit = { id: 'x', limit: 20, windowMs: 60_000, burst: 20 }
    const one = shard()
    const takes = Array.from({ length: 200 }, () =>
      one.take({ limit, high: 1, low: 2, cost: 1, lease: 0 }),
    )
    const answers = await Promise.all(takes)
    expect(answers.filter((taken: Taken) => taken.allowed)).toHaveLength(20)
    for (const taken of answers) if (!taken.allowed) expect(taken.retryMs).toBeGreaterThan(0)
  })

  it('hand out leases, and never more than there is', async () => {
    const limit = { id: 'x', limit: 20, windowMs: 60_000, burst: 20 }
    const one = shard()
    let units = 0
    for (let i = 0; i < 10; i++) {
      const taken = await one.take({ limit, high: 1, low: 2, cost: 1, lease: 6 })
      if (taken.allowed) units += 1 + taken.leased
    }
    expect(units).toBe(20)
  })

  it('count one client over two isolates, and others apart', async () => {
    const limits = [{ id: unique('shared'), limit: 60, window: '60s' as const, burst: 10 }]
    const { COUNTERS } = env
    const isolates = [isolate({ limits }, { COUNTERS }), isolate({ limits }, { COUNTERS })]
    const asks = Array.from({ length: 40 }, (_, i) => isolates[i % 2]!.ask('/x', from('192.0.2.1')))
    const statuses = (await Promise.all(asks)).map((response) => response.status)
    expect(statuses.filter((status) => status === 200)).toHaveLength(10)
    expect(statuses.filter((status) => status === 429)).toHaveLength(30)
    expect((await isolates[0]!.ask('/x', from('192.0.2.2'))).status).toBe(200)
    expect(await origins.hits('/x')).toBe(11)
  })

  it('charge all limits or none, in the isolate too', async () => {
    const [wide, narrow] = [unique('wide'), unique('narrow')]
    const at = (path: string) => `http.request.uri.path eq "${path}"`
    const limits = [
      { id: wide, limit: 60, window: '1h' as const, burst: 20, cost: 2 },
      { id: narrow, limit: 60, window: '1h' as const, burst: 3, when: at('/narrow') },
    ]
    const { COUNTERS } = env
    const isolates = [isolate({ limits }, { COUNTERS }), isolate({ limits }, { COUNTERS })]
    const statuses: number[] = []
    for (let i = 0; i < 12; i++) {
      statuses.push((await isolates[i % 2]!.ask('/narrow', from('192.0.2.1'))).status)
    }
    expect(statuses).toEqual([200, 200, 200, ...Array(9).fill(429)])
    // Three requests of the wide one are spent, not twelve: seven are left, for both together.
    const rest: number[] = []
    for (let i = 0; i < 9; i++) {
      rest.push((await isolates[i % 2]!.ask('/other', from('192.0.2.1'))).status)
    }
    expect(rest).toEqual([...Array(7).fill(200), 429, 429])
  })

  it('take a lease back as well', async () => {
    const [wide, narrow] = [unique('wide'), unique('narrow')]
    const limits = [
      { id: wide, limit: 3600, window: '1h' as const, burst: 400 },
      {
        id: narrow,
        limit: 60,
        window: '1h' as const,
        burst: 1,
        when: 'len(http.request.uri.query) gt 0',
      },
    ]
    const one = isolate({ limits }, { COUNTERS: env.COUNTERS })
    const left = async (target: string) => {
      const fields = (await one.ask(target, from('192.0.2.1'))).headers.get('ratelimit')
      return Number(/r=(\d+)/.exec(fields ?? '')?.[1])
    }
    const before = await left('/x')
    expect((await one.ask('/x?a', from('192.0.2.1'))).status).toBe(200)
    for (let i = 0; i < 20; i++) {
      expect((await one.ask('/x?a', from('192.0.2.1'))).status).toBe(429)
    }
    expect(before - (await left('/x'))).toBeLessThanOrEqual(3)
  })

  it('count what an expression says that a request costs', async () => {
    const cost = { cost: 'len(http.request.uri.query)' }
    const limits = [{ id: unique('cost'), limit: 60, window: '1h' as const, burst: 10, ...cost }]
    const { COUNTERS } = env
    const isolates = [isolate({ limits }, { COUNTERS }), isolate({ limits }, { COUNTERS })]
    const ask = async (isolate: number, cost: number, ip = '192.0.2.1') =>
      (await isolates[isolate]!.ask(`/x?${'a'.repeat(cost)}`, from(ip))).status
    expect([await ask(0, 4), await ask(1, 4)]).toEqual([200, 200])
    // Two are left: four are too many, in both isolates, and two are not.
    expect([await ask(1, 4), await ask(0, 3), await ask(0, 2)]).toEqual([429, 429, 200])
    expect([await ask(0, 1), await ask(1, 1)]).toEqual([429, 429])
    // More than there ever is shuts nobody out for what is less.
    expect([await ask(0, 11, '192.0.2.9'), await ask(0, 10, '192.0.2.9')]).toEqual([429, 200])
  })

  it('that fail let requests pass, and say so once', async () => {
    const broken = {
      idFromName: () => ({}),
      get: () => ({ take: () => Promise.reject(new Error('no such object')) }),
    } as unknown as EdgeEnv['COUNTERS']
    const limits = [{ id: unique('open'), limit: 60, window: '60s' as const, burst: 10 }]
    const one = isolate({ limits }, { COUNTERS: broken! })
    for (let i = 0; i < 3; i++) expect((await one.ask('/x', from('192.0.2.1'))).status).toBe(200)
    expect(one.logged.filter((line) => line.includes('no such object'))).toHaveLength(1)
  })

  it('the flood guard refuses in front of them', async () => {
    const limits = [{ id: unique('flood'), limit: 6000, window: '60s' as const, burst: 1000 }]
    const one = isolate({ limits }, { FLOOD: env.FLOOD })
    const ip = `198.51.100.${1 + Math.floor(Math.random() * 250)}`
    const statuses: number[] = []
    for (let i = 0; i < 8; i++) statuses.push((await one.ask('/x', from(ip))).status)
    expect(statuses).toEqual([200, 200, 200, 200, 200, 429, 429, 429])
  })
})

describe('the prober', () => {
  const health = { path: '/healthz', interval: '5s', timeout: '1s', rise: 1, fall: 1 } as const
  const checked = (): Partial<MeridianConfigInput> => {
    const { pools = {} } = suiteConfig()
    return {
      pools: Object.fromEntries(
        Object.entries(pools).map(([name, pool]) => [name, { ...pool, health }]),
      ),
    }
  }
  const stub = () => env.PROBER.get(env.PROBER.idFromName('prober'))

  it('finds a dead region within one check; no client notices meanwhile', async () => {
    const { PROBER } = env
    const one = isolate(checked(), { PROBER, EDGE_TOKEN: 'secret-of-the-test' })
    const tiers = async () => {
      const response = await one.ask('/.meridian/health', {
        headers: { authorization: 'Bearer secret-of-the-test' },
      })
      const status = (await response.json()) as { origins: { id: string; tier: string }[] }
      return Object.fromEntries(status.origins.map(({ id, tier }) => [id, tier]))
    }
    await (await one.ask('/page')).text()
    await one.settle()
    await origins.become('eu', 'refusing')
    for (let i = 0; i < 5; i++) {
      const response = await one.ask('/page')
      expect([response.status, response.headers.get('x-region') === 'eu']).toEqual([200, false])
      await response.text()
    }
    expect(await runDurableObjectAlarm(stub())).toBe(true)
    const found = await stub().snapshot()
    expect(found.origins['eu/eu']).toMatchObject({ state: 'down' })
    expect(found.origins['us/us']).toMatchObject({ state: 'up' })
    // Another isolate learns it from the prober, before it has met the dead origin.
    const other = isolate(checked(), { PROBER })
    await (await other.ask('/page')).text()
    await other.settle()
    expect((await tiers())['us/us']).not.toBe('down')
    await runInDurableObject(stub(), async (_, state) => state.storage.deleteAlarm())
  })

  it('is woken by the watchdog when its alarm was lost', async () => {
    const { PROBER } = env
    const one = isolate(checked(), { PROBER })
    const watchdog = async () => {
      const context = createExecutionContext()
      await one.worker.scheduled({}, { PROBER }, context)
      await waitOnExecutionContext(context)
    }
    await watchdog()
    await runInDurableObject(stub(), async (_, state) => state.storage.deleteAlarm())
    expect(await runDurableObjectAlarm(stub())).toBe(false)
    await watchdog()
    expect(await runDurableObjectAlarm(stub())).toBe(true)
    await runInDurableObject(stub(), async (_, state) => state.storage.deleteAlarm())
  })

  it('survives a check that throws', async () => {
    const target = (id: string) =>
      ({
        origin: { id, scheme: 'http', hostname: id, port: 80, maxConnections: 1, http2: false },
        health: { interval: 5000, fastInterval: 1000, timeout: 1000, rise: 1, fall: 1 },
      }) as never
    const found = await checkRound(
      [target('bad'), target('good')],
      { at: 0, origins: {} },
      {
        probe: ({ origin }) => {
          if (origin.id === 'bad') throw new Error('thrown')
          return Promise.resolve({ ok: true, detail: '200' })
        },
        now: () => 1000,
        draw: () => 0.5,
      },
    )
    expect(found.origins).toMatchObject({
      bad: { state: 'down', detail: 'thrown' },
      good: { state: 'up', nextAt: 6000 },
    })
  })

  it('that has stopped is not believed', async () => {
    const old = {
      idFromName: () => ({}),
      get: () => ({
        ensure: () => Promise.resolve(),
        snapshot: () =>
          Promise.resolve({
            at: Date.now() - 3_600_000,
            origins: {
              'eu/eu': { state: 'down', against: 0, detail: 'long ago', draining: false },
            },
          }),
      }),
    } as unknown as NonNullable<EdgeEnv['PROBER']>
    const one = isolate(checked(), { PROBER: old })
    await (await one.ask('/page')).text()
    await one.settle()
    const response = await one.ask('/page')
    expect(response.headers.get('x-region')).toBe('eu')
    expect(one.logged.join()).toContain('health checks have stopped')
  })
})

describe('config updates', () => {
  it('are taken over when they compile, else what runs goes on', async () => {
    const { CONFIG } = env
    const publish = (version: string, config: object | string) =>
      CONFIG.put(
        CONFIG_KEY,
        JSON.stringify({
          version,
          config: typeof config === 'string' ? config : JSON.stringify(config),
        }),
      )
    const telemetry = { access: { enabled: false } }
    const answer = (body: string) => ({
      telemetry,
      waf: { mode: 'off' },
      routes: [{ respond: { body } }],
    })
    await publish('1', answer('one'))
    const first = isolate({}, { CONFIG })
    expect(await (await first.ask('/')).text()).toBe('one')
    await first.settle()
    await publish('2', { routes: [{ pools: ['none'] }] })
    const second = isolate({ routes: [{ respond: { body: 'bundled' } }] }, { CONFIG })
    expect(await (await second.ask('/')).text()).toBe('bundled')
    expect(second.logged.join()).toContain('there is no pool')
    await CONFIG.put(CONFIG_KEY, 'not even JSON')
    const third = isolate({ routes: [{ respond: { body: 'bundled' } }] }, { CONFIG })
    expect(await (await third.ask('/')).text()).toBe('bundled')
  })

  it('cannot bring what the platform cannot do', async () => {
    const config = {
      pools: { app: { origins: [{ url: 'http://10.0.0.1' }] } },
      routes: [{ pools: ['app'] }],
    }
    await env.CONFIG.put(
      CONFIG_KEY,
      JSON.stringify({ version: 'ip', config: JSON.stringify(config) }),
    )
    const one = isolate({ routes: [{ respond: { body: 'bundled' } }] }, { CONFIG: env.CONFIG })
    expect(await (await one.ask('/')).text()).toBe('bundled')
    expect(one.logged.join()).toContain('cannot reach an IP address')
  })
})

describe('the Cache API', () => {
  it('gives an isolate what another has stored, variants apart', async () => {
    const routes = [{ id: 'site', cache: {} }]
    const path = `/language/${unique('page')}`
    const asks = ['one', 'two'].map((variant) => ({ headers: { 'x-variant': variant } }))
    const first = isolate({ routes })
    for (const ask of asks) await (await first.ask(path, ask)).text()
    await first.settle()
    const second = isolate({ routes })
    for (const [i, ask] of asks.entries()) {
      const response = await second.ask(path, ask)
      expect(await response.text()).toBe(`variant ${i === 0 ? 'one' : 'two'}`)
      expect(response.headers.get('cache-status')).toContain('hit')
    }
    expect(await origins.hits(path)).toBe(2)
  })

  it('is asked before a body that is private to one', async () => {
    const routes = [{ id: 'site', cache: {} }]
    const path = `/private/${unique('page')}`
    for (let i = 0; i < 2; i++) {
      const one = isolate({ routes })
      await (await one.ask(path)).text()
      await one.settle()
    }
    expect(await origins.hits(path)).toBe(2)
  })
})

describe('records', () => {
  it('are sent in one piece behind the answers', async () => {
    const batches: unknown[][] = []
    const RECORDS: RecordQueue = {
      sendBatch: async (messages) => void batches.push(messages.map(({ body }) => body)),
    }
    const points: { indexes?: string[]; blobs?: string[]; doubles?: number[] }[] = []
    const ANALYTICS = { writeDataPoint: (point: object) => void points.push(point) }
    const telemetry = { access: { enabled: true } }
    const one = isolate({ telemetry }, { RECORDS, ANALYTICS })
    for (let i = 0; i < 3; i++) await (await one.ask(`/page/${i}`)).text()
    expect(batches).toHaveLength(0)
    await one.settle()
    expect(batches).toHaveLength(1)
    expect(batches[0]).toHaveLength(3)
    expect(JSON.parse(String(batches[0]?.[0]))).toMatchObject({ path: '/page/0', status: 200 })
    expect(points[0]).toMatchObject({
      indexes: ['site'],
      doubles: [200, 10, 0, expect.any(Number)],
    })
    expect(points[0]?.blobs?.slice(0, 3)).toEqual(['served', 'GET', 'gateway.test'])
  })
})

describe('who asks', () => {
  const limits = () => [{ id: unique('ip'), limit: 60, window: '60s' as const, burst: 1 }]
  it.each([
    { cf: CF, second: 429, what: 'believed from Cloudflare' },
    { cf: null, second: 200, what: 'not believed from anybody else' },
  ])('CF-Connecting-IP is $what', async ({ cf, second }) => {
    const one = isolate({ limits: limits() })
    expect((await one.ask('/x', { ...from('192.0.2.9'), cf })).status).toBe(200)
    expect((await one.ask('/x', { ...from('192.0.2.9'), cf })).status).toBe(second)
  })

  it('a made-up place decides nothing where this is not Cloudflare', async () => {
    const residency: Partial<MeridianConfigInput> = {
      residency: [
        { id: 'gdpr', from: { europeanUnion: true }, allowTags: ['GDPR'], onUnknown: 'deny' },
      ],
    }
    const local = isolate(residency, { PLATFORM: 'local' })
    expect((await local.ask('/x', { cf: { colo: 'TST', country: 'DE' } })).status).toBe(451)
    expect((await isolate(residency).ask('/x')).status).toBe(200)
  })
})

describe('the control paths', () => {
  it('need the token, and are the gateway’s without one', async () => {
    const closed = isolate({ routes: [{ respond: { body: 'site' } }] })
    expect(await (await closed.ask('/.meridian/health')).text()).toBe('site')
    const open = isolate({}, { EDGE_TOKEN: 'secret-of-the-test' })
    expect((await open.ask('/.meridian/health')).status).toBe(401)
    const wrong = { headers: { authorization: 'Bearer wrong' } }
    expect((await open.ask('/.meridian/health', wrong)).status).toBe(401)
    const right = { headers: { authorization: 'Bearer secret-of-the-test' } }
    const health = await open.ask('/.meridian/health', right)
    expect(await health.json()).toMatchObject({ config: { version: 'bundled', lastError: null } })
    const metrics = await (await open.ask('/.meridian/metrics', right)).text()
    expect(metrics).toContain('meridian_http_requests')
    expect((await open.ask('/.meridian/nothing', right)).status).toBe(404)
  })

  it('a config that cannot be used is answered, logged, and tried again', async () => {
    const one = isolate({ pools: {}, routes: [{ pools: ['none'] }] })
    const response = await one.ask('/')
    expect(response.status).toBe(500)
    expect(response.headers.get('content-type')).toContain('problem+json')
    expect(one.logged.join()).toContain('there is no pool')
  })

  it('missing bindings are named once', async () => {
    const one = isolate({ limits: [{ id: 'x', limit: 60, window: '60s' }] })
    for (let i = 0; i < 2; i++) await (await one.ask('/')).text()
    const warnings = one.logged.filter((line) => line.startsWith('bindings are missing'))
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain('CONFIG')
    expect(warnings[0]).toContain('COUNTERS')
  })
})
