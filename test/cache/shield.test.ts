/** An origin shield: edges ask another gateway before the origin, and never go round. */
import { describe, expect, it } from 'vitest'
import { ask } from '../harness/client.ts'
import { type HttpOrigin, refusingUrl } from '../harness/origin.ts'
import { ranMs } from '../harness/wait.ts'
import { type TestGateway, type World, world } from '../harness/world.ts'

const HOST = 'shop.example'
const TRUSTED = ['127.0.0.1/32']

async function shop(w: World): Promise<HttpOrigin> {
  return w.origin((request, response) => {
    const { url = '' } = request
    response.writeHead(200, {
      'cache-control': url.startsWith('/private') ? 'private' : 'max-age=600',
      'cache-tag': 'red',
      etag: '"1"',
    })
    response.end(`origin ${url}`)
  })
}

/** A gateway that asks the URLs given as its shield; none: it is a shield. */
function gateway(w: World, origin: HttpOrigin, shields: readonly string[], more: object = {}) {
  const origins = shields.map((url, at) => ({ id: `shield-${at}`, url }))
  return w.gateway({
    trustedProxies: TRUSTED,
    pools: {
      app: { origins: [{ id: 'app', url: origin.url }] },
      ...(origins.length === 0 ? {} : { shield: { origins } }),
    },
    routes: [
      {
        id: 'site',
        pools: ['app'],
        cache: origins.length === 0 ? {} : { shield: { pool: 'shield', timeout: '1s' } },
        compression: {},
      },
    ],
    ...more,
  })
}

const get = (on: TestGateway, path: string, headers: Record<string, string> = {}) =>
  ask(`${on.url}${path}`, { headers: { host: HOST, ...headers } })

describe('a shield', () => {
  it('makes one origin request for all edges, and passes on what they purge by', async () => {
    const w = world()
    const origin = await shop(w)
    const shield = await gateway(w, origin, [])
    const edges = [await gateway(w, origin, [shield.url]), await gateway(w, origin, [shield.url])]
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => get(edges[i % 2]!, '/a', { 'accept-encoding': 'gzip' })),
    )
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
    expect(origin.hits).toHaveLength(1)
    expect(origin.hits[0]?.headers['cdn-loop']).toMatch(/^meridian;shield=[0-9a-f]{16}, ?meridian$/)
    expect(answers[0]?.get('cache-tag')).toBeUndefined()
    for (const edge of edges) {
      const again = await get(edge, '/a')
      expect(again.get('cache-status')).toMatch(/meridian; hit; ttl=\d+$/)
      expect(again.all('x-request-id')).toHaveLength(1)
      expect(again.get('cache-tag')).toBeUndefined()
      expect(
        await edge.metric('meridian_cache_shield_requests_total', { outcome: 'answered' }),
      ).toBe(1)
    }
    // The tags came along, from the shield's origin and from its store.
    const url = `${edges[1]!.running.control}/cache/entry?url=${encodeURIComponent(`http://${HOST}/a`)}`
    const { entries } = (await (await fetch(url)).json()) as { entries: { tags: string[] }[] }
    expect(entries[0]?.tags).toEqual(['red'])
  })

  it('is not asked for what is one client’s, what was not for sharing, and what has just been purged', async () => {
    const w = world()
    const origin = await shop(w)
    const shield = await gateway(w, origin, [])
    const edge = await gateway(w, origin, [shield.url])
    const asked = () => edge.metric('meridian_cache_shield_requests_total')
    await ask(`${edge.url}/post`, { method: 'POST', body: 'x', headers: { host: HOST } })
    await get(edge, '/a', { authorization: 'Basic eDp5' })
    expect(await asked()).toBe(0)
    for (let i = 0; i < 3; i++) await get(edge, '/private')
    expect(await asked()).toBe(1)
    await get(edge, '/b')
    expect(await asked()).toBe(2)
    await fetch(`${edge.running.control}/cache/purge`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ urls: [`http://${HOST}/b`] }),
    })
    // The shield may not have heard of it.
    const before = origin.hits.length
    await get(edge, '/b')
    expect([await asked(), origin.hits.length - before]).toEqual([2, 1])
    await get(edge, '/c')
    expect(await asked()).toBe(3)
  })

  it('is passed by when it is down, hangs, or refuses', async () => {
    const w = world()
    const origin = await shop(w)
    const hung = await w.socketOrigin(() => undefined)
    // No proxy that it trusts: to this one the request goes round.
    const strict = await gateway(w, origin, [], { trustedProxies: [] })
    const failing = await w.origin((_request, response) => response.writeHead(503).end())
    for (const [url, outcome] of [
      [await refusingUrl(), 'failed'],
      [hung.url, 'failed'],
      [strict.url, 'refused'],
      [failing.url, 'refused'],
    ] as const) {
      const edge = await gateway(w, origin, [url])
      const got = await get(edge, '/a')
      expect([got.status, got.text]).toEqual([200, 'origin /a'])
      expect((await get(edge, '/a')).get('cache-status')).toMatch(/hit/)
      expect(await edge.metric('meridian_cache_shield_requests_total', { outcome })).toBe(1)
    }
    // What an origin answered through the shield is the answer, also when it is an error.
    const broken = await w.origin((_request, response) => response.writeHead(503).end('broken'))
    const edge = await gateway(w, broken, [(await gateway(w, broken, [])).url])
    expect((await get(edge, '/a')).text).toBe('broken')
    expect(broken.hits).toHaveLength(1)
  })

  it('never goes round: a gateway that is its own shield, and two that are each other’s', async () => {
    const w = world()
    const origin = await shop(w)
    const placeholder = await refusingUrl()
    const first = await gateway(w, origin, [placeholder])
    const second = await gateway(w, origin, [first.url])
    for (const target of [first.url, second.url]) {
      first.write({
        trustedProxies: TRUSTED,
        pools: {
          app: { origins: [{ id: 'app', url: origin.url }] },
          shield: { origins: [{ id: 'shield-0', url: target }] },
        },
        routes: [{ id: 'site', pools: ['app'], cache: { shield: { pool: 'shield' } } }],
      })
      expect(await first.running.reload()).toBe(true)
      const before = origin.hits.length
      const startedAt = ranMs()
      const got = await get(first, `/round?${before}`)
      expect([got.status, origin.hits.length - before]).toEqual([200, 1])
      expect(ranMs() - startedAt).toBeLessThan(3000)
    }
    // A client cannot say that it is a gateway.
    const forged = await gateway(w, origin, [], { trustedProxies: [] })
    expect((await get(forged, '/a', { 'cdn-loop': 'meridian;shield=b2' })).status).toBe(508)
  })

  it('is not shown what residency keeps from its region', async () => {
    const w = world()
    const origin = await shop(w)
    const shield = await gateway(w, origin, [])
    const edge = await w.gateway({
      trustedProxies: TRUSTED,
      pools: {
        app: { origins: [{ id: 'app', url: origin.url }] },
        shield: { origins: [{ id: 'shield', url: shield.url }] },
      },
      regions: [
        { id: 'eu', cloud: 'aws:eu-central-1', pools: ['app'], tags: ['EU'] },
        { id: 'us', cloud: 'aws:us-east-1', pools: ['shield'], tags: ['US'] },
      ],
      residency: [
        {
          id: 'gdpr',
          from: { europeanUnion: true },
          allowTags: ['EU'],
          onUnknown: 'restrict',
          scope: 'named',
        },
      ],
      routes: [
        { id: 'site', regions: ['eu'], residency: 'gdpr', cache: { shield: { pool: 'shield' } } },
      ],
    })
    expect((await get(edge, '/a')).status).toBe(200)
    expect(await edge.metric('meridian_cache_shield_requests_total', { outcome: 'down' })).toBe(1)
    expect(origin.hits[0]?.headers['cdn-loop']).toBe('meridian')
  })
})

it('a shield that is no pool is an error with its path', async () => {
  const w = world()
  const origin = await shop(w)
  const config = {
    pools: { app: { origins: [{ id: 'a', url: origin.url }] } },
    routes: [{ id: 'site', pools: ['app'], cache: { shield: { pool: 'ap' } } }],
  }
  await expect(w.gateway(config)).rejects.toThrow(/routes\[0\]\.cache\.shield\.pool.*"ap"/)
})
