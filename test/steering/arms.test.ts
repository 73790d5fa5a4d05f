/** Rollouts, mirrors and redirects of routes, through the whole gateway with origins that only count. */
import { describe, expect, it } from 'vitest'
import type { MeridianConfigInput } from '../../src/config/schema.ts'
import type { OriginAddress, Upstream } from '../../src/ports.ts'
import { WebGateway } from '../../src/runtimes/web/instance.ts'
import { serve } from '../../src/runtimes/web/serve.ts'
import { rolloutCommand, rolloutStatus } from '../../src/steps/rollout-control.ts'

const pools = {
  old: { origins: [{ id: 'a', url: 'http://10.0.0.1' }] },
  cloud: { origins: [{ id: 'a', url: 'http://10.0.0.2' }] },
}
const regions = [
  { id: 'eu-central-1', cloud: 'aws:eu-central-1', pools: ['old'], hostname: 'eu.example.com' },
  { id: 'us-east-1', cloud: 'aws:us-east-1', pools: ['cloud'], hostname: 'us.example.com' },
]
const european = [{ id: 'eu-only', from: {}, allowTags: ['EU'], scope: 'all' as const }]

async function world(
  config: Partial<MeridianConfigInput>,
  answer: (pool: string) => { status: number; body: string } = () => ({ status: 200, body: 'ok' }),
) {
  const hits: { pool: string; fields: string[] }[] = []
  const upstream: Upstream = {
    send: ({ id }: OriginAddress, request) => {
      const pool = id.split('/')[0] as string
      hits.push({ pool, fields: request.headers })
      const { status, body } = answer(pool)
      const bytes = new TextEncoder().encode(body)
      return {
        reply: Promise.resolve({ status, headers: [], body: bytes }),
        cancel: () => {},
      }
    },
  }
  const text = JSON.stringify({
    trustedProxies: ['127.0.0.1'],
    waf: { mode: 'off' },
    pools,
    ...config,
  })
  const web = await WebGateway.create({ config: text, upstream })
  let client = 0
  /** Each from another client, unless it says who. */
  const ask = async (
    path = '/',
    headers: Record<string, string> = {},
    ip = `10.1.${client >> 8}.${client++ & 255}`,
  ) =>
    serve(web.gateway, new Request(`http://www.example.com${path}`, { headers }), { ip } as never)
  const count = (pool: string) => hits.filter((hit) => hit.pool === pool).length
  const settle = () => new Promise((resolve) => setTimeout(resolve, 5))
  return { web, ask, hits, count, settle }
}

describe('a rollout', () => {
  const route = {
    id: 'shop',
    pools: ['old'],
    rollout: { from: 'old', to: 'cloud', steps: [20, 100] },
  }

  it('sends its share of clients to the new pool, each always to the same', async () => {
    const { ask, count, hits, web } = await world({ routes: [route] })
    for (let i = 0; i < 500; i++) expect((await ask()).status).toBe(200)
    expect(count('cloud') / 500).toBeGreaterThan(0.13)
    expect(count('cloud') / 500).toBeLessThan(0.27)
    const before = hits.length
    for (let i = 0; i < 10; i++) await ask('/', {}, '10.1.0.7')
    expect(new Set(hits.slice(before).map((hit) => hit.pool)).size).toBe(1)
    const [status] = rolloutStatus(web.gateway.services, web.snapshot)
    expect(status).toMatchObject({ rollout: 'shop', percent: 20, phase: 'baking' })
    expect(status!.old.requests + status!.new.requests).toBe(510)
  })

  it('falls back to the old pool for a request that the new one fails, and counts it', async () => {
    const { ask, web } = await world({ routes: [route] }, (pool) =>
      pool === 'cloud' ? { status: 503, body: '' } : { status: 200, body: 'ok' },
    )
    for (let i = 0; i < 100; i++) expect((await ask()).status).toBe(200)
    const [status] = rolloutStatus(web.gateway.services, web.snapshot)
    expect(status!.new.errors).toBe(status!.new.requests)
    expect(status!.old.errors).toBe(0)
  })

  it('obeys operators, writes events, and outlives a reload', async () => {
    const { ask, count, web } = await world({ routes: [route] })
    const { services } = web.gateway
    expect(
      rolloutCommand(services, web.snapshot, 'shop', 'rollback', undefined, 'me')?.percent,
    ).toBe(0)
    expect(rolloutCommand(services, web.snapshot, 'nothing', 'rollback')).toBeUndefined()
    expect(await web.reload(web.options)).toBe(true)
    for (let i = 0; i < 50; i++) await ask()
    expect(count('cloud')).toBe(0)
    rolloutCommand(services, web.snapshot, 'shop', 'advance', undefined, 'me')
    rolloutCommand(services, web.snapshot, 'shop', 'advance', undefined, 'me')
    for (let i = 0; i < 50; i++) await ask()
    expect(count('cloud')).toBe(50)
    expect(web.telemetry.events.since(0).map((event) => event.what)).toEqual(
      expect.arrayContaining(['rollout-rolled-back', 'rollout-baking', 'rollout-done']),
    )
  })

  it('takes nobody where the request may not be seen', async () => {
    const { ask, count } = await world({
      regions,
      residency: european,
      routes: [{ id: 'shop', rollout: { from: 'old', to: 'cloud', steps: [100] } }],
    })
    for (let i = 0; i < 50; i++) expect((await ask()).status).toBe(200)
    expect(count('cloud')).toBe(0)
  })
})

describe('a mirror', () => {
  const route = { id: 'shop', pools: ['old'], mirror: { pool: 'cloud' } }
  const results = (web: WebGateway) =>
    Object.fromEntries(
      web.telemetry.metrics
        .snapshot()
        .find((family) => family.definition.name === 'meridian_mirror_requests_total')!
        .series.map((series) => [series.labels[1], series.value]),
    )

  it('gets every safe request without its credentials, and is compared', async () => {
    const { ask, count, hits, settle, web } = await world({ routes: [route] }, (pool) => ({
      status: 200,
      body: pool,
    }))
    const got = await ask('/', { cookie: 'session=1', authorization: 'Bearer x' })
    expect(await got.text()).toBe('old')
    await settle()
    expect(count('cloud')).toBe(1)
    const fields = hits
      .find((hit) => hit.pool === 'cloud')!
      .fields.join('\n')
      .toLowerCase()
    expect(fields).not.toContain('session=1')
    expect(fields).not.toContain('bearer')
    expect(hits.find((hit) => hit.pool === 'old')!.fields.join('\n')).toContain('session=1')
    expect(results(web)).toEqual({ body: 1 })
    expect(web.telemetry.events.since(0, 1, 'steering')[0]).toMatchObject({
      what: 'mirror-differs',
      detail: { route: 'shop', what: 'body' },
    })
  })

  it('gets its share of clients, and nothing where the request may not be seen', async () => {
    const some = await world({ routes: [{ ...route, mirror: { pool: 'cloud', percent: 30 } }] })
    for (let i = 0; i < 300; i++) await some.ask()
    expect(some.count('cloud') / 300).toBeGreaterThan(0.2)
    expect(some.count('cloud') / 300).toBeLessThan(0.4)
    const bound = await world({
      regions,
      residency: european,
      routes: [{ id: 'shop', mirror: { pool: 'cloud' } }],
    })
    for (let i = 0; i < 20; i++) expect((await bound.ask()).status).toBe(200)
    expect(bound.count('cloud')).toBe(0)
  })
})

describe('steering by redirect', () => {
  const steering = {
    policy: 'failover' as const,
    order: ['us-east-1', 'eu-central-1'],
    action: 'redirect' as const,
  }

  it.each([{}, { cache: {} }])('sends clients to their region, once (%j)', async (more) => {
    const { web, ask, hits } = await world({ regions, steering, routes: [{ id: 'shop', ...more }] })
    const moved = await ask('/cart?item=1')
    expect(moved.status).toBe(307)
    expect(moved.headers.get('location')).toBe('http://us.example.com/cart?item=1')
    expect(moved.headers.get('cache-control')).toBe('no-store')
    expect(hits).toEqual([])
    for (const host of ['us.example.com', 'eu.example.com']) {
      const there = await serve(web.gateway, new Request(`http://${host}/cart`), {} as never)
      expect(there.status).toBe(200)
    }
  })

  it('never to a region that may not see the request', async () => {
    const { ask } = await world({
      regions,
      steering,
      residency: european,
      routes: [{ id: 'shop' }],
    })
    expect((await ask()).headers.get('location')).toBe('http://eu.example.com/')
  })
})
