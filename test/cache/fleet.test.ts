/** Two gateways on one Redis server: what one stores the other gives, what one purges is gone in both. */
import { describe, expect, it } from 'vitest'
import { inProcess } from '../cli/cli.fixture.ts'
import { ask } from '../harness/client.ts'
import { hasRedis, RedisServer } from '../harness/redis.ts'
import { ranMs, until } from '../harness/wait.ts'
import { type TestGateway, world } from '../harness/world.ts'

const HOST = 'shop.example'

async function fleet(cache: object | undefined, commandTimeout = '5s') {
  const w = world()
  const server = await RedisServer.start()
  const version = { now: 1 }
  const origin = await w.origin((request, response) => {
    if (request.method !== 'GET') {
      response.writeHead(204).end()
      return
    }
    response.writeHead(200, {
      'cache-control': 'max-age=600',
      'cache-tag': 'shop',
      etag: `"${version.now}"`,
    })
    response.end(`${request.url} ${version.now}`)
  })
  const start = () =>
    w.gateway({
      pools: { app: { origins: [{ id: 'a', url: origin.url }] } },
      redis: { url: server.url, commandTimeout, connectTimeout: '300ms' },
      ...(cache === undefined ? {} : { cache: { redis: cache } }),
      routes: [{ id: 'site', pools: ['app'], cache: {} }],
    })
  return { server, origin, version, one: await start(), two: await start(), start }
}

const get = async (gateway: TestGateway, path: string) => {
  const got = await ask(`${gateway.url}${path}`, { headers: { host: HOST } })
  return { text: got.text, cache: got.get('cache-status') ?? '' }
}

async function purge(gateway: TestGateway, ...args: string[]): Promise<string> {
  const { out, err } = await inProcess([
    'purge',
    ...args,
    '--control',
    gateway.running.control as string,
  ])
  return out + err
}

/** Where the gateway finds what is stored. */
async function tiersOf(gateway: TestGateway, path: string): Promise<string[]> {
  const url = `${gateway.running.control}/cache/entry?url=${encodeURIComponent(`http://${HOST}${path}`)}`
  const { entries } = (await (await fetch(url)).json()) as { entries: { tier: string }[] }
  return entries.map(({ tier }) => tier)
}

/** How long until the gateway gives the text, in milliseconds. */
async function timeUntil(gateway: TestGateway, path: string, text: string): Promise<number> {
  const startedAt = ranMs()
  await until(`${path} is ${text}`, async () => (await get(gateway, path)).text === text)
  return ranMs() - startedAt
}

describe.skipIf(!hasRedis)('a fleet on one Redis server', () => {
  it('shares small responses, and purges them everywhere within a second', async () => {
    const { origin, version, one, two } = await fleet({ maxObject: '64KiB' })
    expect((await get(one, '/a')).text).toBe('/a 1')
    await until('it is shared', async () => (await tiersOf(two, '/a')).includes('redis'))
    const before = origin.hits.length
    const shared = await get(two, '/a')
    expect([shared.text, shared.cache]).toEqual(['/a 1', expect.stringMatching(/^meridian; hit/)])
    expect(origin.hits).toHaveLength(before)

    const times: number[] = []
    for (const args of [
      [`http://${HOST}/a`],
      ['--tag', 'shop'],
      ['--host', HOST],
      ['--everything'],
    ]) {
      for (const gateway of [one, two]) await get(gateway, '/a')
      version.now++
      expect(await purge(one, ...args)).toMatch(/purged in 1 process .*, and the fleet was told/)
      times.push(await timeUntil(two, '/a', `/a ${version.now}`))
      expect((await get(one, '/a')).text).toBe(`/a ${version.now}`)
    }

    // A busy machine may take its time once.
    expect(times.sort((a, b) => a - b)[2]).toBeLessThan(1000)

    // What one has fetched since the purge is the other's as well, in place of what was purged.
    for (const gateway of [one, two]) await get(gateway, '/c')
    version.now++
    await purge(one, `http://${HOST}/c`)
    await timeUntil(two, '/c', `/c ${version.now}`)
    await until('it is shared', async () => (await tiersOf(one, '/c')).includes('redis'))
    const hits = origin.hits.length
    expect((await get(one, '/c')).text).toBe(`/c ${version.now}`)
    expect(origin.hits).toHaveLength(hits)

    // An unsafe request to one invalidates what the other holds.
    version.now++
    await ask(`${two.url}/a`, { method: 'POST', body: 'x', headers: { host: HOST } })
    expect(await timeUntil(one, '/a', `/a ${version.now}`)).toBeLessThan(5000)
    // What is read again by its number is counted again.
    const told = await one.metric('meridian_cache_fleet_purges_total', { direction: 'told' })
    const heard = await two.metric('meridian_cache_fleet_purges_total', { direction: 'heard' })
    expect(Math.min(told, heard)).toBeGreaterThanOrEqual(4)
  })

  it('serves while Redis is gone, and catches up on the purges of that time', async () => {
    const { server, version, one, two } = await fleet({})
    for (const gateway of [one, two]) expect((await get(gateway, '/a')).text).toBe('/a 1')
    await server.kill()
    for (const gateway of [one, two]) {
      await until(
        'the loss is noticed',
        async () => (await gateway.metric('meridian_redis_up')) === 0,
      )
      expect((await get(gateway, '/a')).cache).toMatch(/^meridian; hit/)
      expect((await get(gateway, '/new')).text).toBe('/new 1')
    }
    version.now++
    expect(await purge(one, '--tag', 'shop')).toContain(
      'the rest of the fleet is told when Redis answers again',
    )
    expect(await one.metric('meridian_cache_fleet_waiting')).toBe(1)
    expect((await get(one, '/a')).text).toBe('/a 2')
    expect((await get(two, '/a')).text).toBe('/a 1')
    // It comes back, and has forgotten everything.
    await server.restart()
    await timeUntil(two, '/a', '/a 2')
    await until(
      'nothing waits',
      async () => (await one.metric('meridian_cache_fleet_waiting')) === 0,
    )
  })

  it('hears on its return what was purged while it was cut off', async () => {
    const { server, version, one, two, start } = await fleet({}, '200ms')
    for (const gateway of [one, two]) await get(gateway, '/a')
    server.pause()
    version.now++
    const startedAt = ranMs()
    expect(await purge(one, '--everything')).toContain('when Redis answers again')
    expect((await get(one, '/a')).text).toBe('/a 2')
    // A hung server costs its time limit a few times, never a request's whole patience.
    expect(ranMs() - startedAt).toBeLessThan(3000)
    for (let i = 0; i < 6; i++) await get(two, `/hung/${i}`)
    const before = ranMs()
    for (let i = 0; i < 20; i++) await get(two, `/free/${i}`)
    expect(ranMs() - before).toBeLessThan(20 * 150)
    server.resume()
    await timeUntil(two, '/a', '/a 2')
    // One that starts now has heard of nothing, and takes nothing from before the purge.
    expect((await get(await start(), '/a')).text).toBe('/a 2')
  })

  it('passes purges on without a shared tier, too', async () => {
    const { version, one, two } = await fleet(undefined)
    for (const gateway of [one, two]) expect((await get(gateway, '/a')).text).toBe('/a 1')
    version.now++
    await purge(two, '--soft', '--tag', 'shop')
    expect(await timeUntil(one, '/a', '/a 2')).toBeLessThan(5000)
  })
})

it('a shared tier without a server is an error with its path', async () => {
  const w = world()
  await expect(
    w.gateway({
      pools: { app: { origins: [{ id: 'a', url: 'http://127.0.0.1:1' }] } },
      cache: { redis: {} },
      routes: [{ id: 'site', pools: ['app'], cache: {} }],
    }),
  ).rejects.toThrow(/cache\.redis: there is no Redis server to share responses through/)
})
