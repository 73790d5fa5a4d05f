/** Health beyond one process: worker processes of a gateway, and gateways of a fleet through Redis. */
import { describe, expect, it } from 'vitest'
import { ask } from '../harness/client.ts'
import { readBody } from '../harness/origin.ts'
import { program } from '../harness/process.ts'
import { hasRedis, RedisServer } from '../harness/redis.ts'
import { pause, ranMs, until } from '../harness/wait.ts'
import { pool, type TestConfig, type TestGateway, withDefaults, world } from '../harness/world.ts'

describe('with worker processes', { timeout: 60_000 }, () => {
  it('one checks for all, and what one finds dead is left alone by all', async () => {
    const w = world()
    const checks = { a: 0, b: 0 }
    let isBroken = false
    const origins = await Promise.all(
      (['a', 'b'] as const).map((name) =>
        w.origin((request, response, hit) => {
          if (request.url === '/healthz') {
            checks[name]++
            response.end('fine')
            return
          }
          void readBody(request, hit).then(() => {
            if (name === 'a' && isBroken) response.writeHead(503)
            response.end(name)
          })
        }),
      ),
    )
    const INTERVAL = 300
    const config = withDefaults(
      {
        pools: {
          app: pool(origins, {
            balance: 'round-robin',
            health: { path: '/healthz', interval: `${INTERVAL}ms` },
            outlier: { consecutive: 3, baseEjection: '60s', maxEjection: '60s' },
          }),
        },
        routes: [{ id: 'site', pools: ['app'] }],
        workers: 4,
      },
      w.folder,
    )
    const run = program('cli/main.js', [
      'start',
      '--config',
      w.put('meridian.json', JSON.stringify(config)),
    ])
    const url = await run.says(/listening on (http:\/\/\S+)/)
    await run.says(/control port on (http:\/\/\S+)/)
    await until('checks', () => checks.a > 2 && checks.b > 2)
    const [a, b, startedAt] = [checks.a, checks.b, ranMs()]
    await until('eight intervals', () => ranMs() - startedAt > 8 * INTERVAL)
    const intervals = (ranMs() - startedAt) / INTERVAL
    // Four that checked each for itself would be four in an interval.
    for (const count of [checks.a - a, checks.b - b]) {
      expect(count / intervals).toBeGreaterThan(0.3)
      expect(count / intervals).toBeLessThan(2)
    }

    const real = () => origins[0]!.hits.filter(({ path }) => path !== '/healthz').length
    // A connection of its own for each: workers take turns.
    const send = () => ask(`${url}/`, { headers: { connection: 'close' } })
    for (let i = 0; i < 16; i++) expect((await send()).status).toBe(200)
    isBroken = true
    const before = real()
    await until('the ejection', async () => {
      expect((await send()).status).toBe(200)
      return run.err.includes('is ejected') || run.out.includes('is ejected')
    })
    await pause(300)
    const found = real()
    // Without telling each other, each of the four would have to find out by three failures.
    expect(found - before).toBeLessThan(3 * 4)
    for (let i = 0; i < 40; i++) expect((await send()).text).toBe('b')
    expect(real()).toBe(found)
  })
})

describe.skipIf(!hasRedis)('gateways of a fleet', { timeout: 60_000 }, () => {
  it('leave an origin alone that most of them cannot use, and go on without Redis', async () => {
    const w = world()
    const redis = await RedisServer.start()
    // Each gateway checks under a name of its own, so that one can be told another thing than the next.
    const failing = new Set<string>()
    const [a, b] = await Promise.all(
      ['a', 'b'].map((name) =>
        w.origin((request, response, hit) => {
          const who = new URL(`http://x${request.url}`).searchParams.get('who')
          if (name === 'a' && who !== null && failing.has(who)) {
            response.writeHead(500).end()
            return
          }
          void readBody(request, hit).then(() => response.end(name))
        }),
      ),
    )
    const start = (who: string, checks = true): Promise<TestGateway> =>
      w.gateway({
        redis: { url: redis.url, node: who, commandTimeout: '200ms' },
        healthSharing: { interval: '300ms' },
        pools: {
          app: pool([a!, b!], {
            balance: 'round-robin',
            slowStart: '0ms',
            ...(checks
              ? { health: { path: `/?who=${who}`, interval: '100ms', fastInterval: '50ms' } }
              : {}),
          }),
        },
        routes: [{ id: 'site', pools: ['app'], cache: false }],
      } as TestConfig)
    const gateways = await Promise.all(['one', 'two', 'three'].map((who) => start(who)))
    const third = gateways[2]!
    const aIsUp = (gateway: TestGateway) =>
      gateway.metric('meridian_origin_healthy', { origin: 'app/a' })
    const heard = (gateway: TestGateway) => gateway.metric('meridian_fleet_gateways')
    for (const gateway of gateways) {
      await until('all three', async () => (await heard(gateway)) === 3)
    }

    failing.add('one')
    await until('one finds it down', async () => (await aIsUp(gateways[0]!)) === 0)
    await pause(400)
    expect([await aIsUp(gateways[1]!), await aIsUp(third)]).toEqual([1, 1])
    failing.add('two')
    await until('the third is told', async () => (await aIsUp(third)) === 0, 2000)
    expect(JSON.stringify(await third.status())).toContain('2 of 3 gateways cannot use it')
    for (let i = 0; i < 6; i++) expect((await ask(third.url)).text).toBe('b')
    // It has no opinion of its own.
    const late = await start('four', false)
    await until('a late one is told at once', async () => (await aIsUp(late)) === 0, 2000)

    // Redis hangs: reports grow old, requests do not wait.
    redis.pause()
    await until('the third is on its own', async () => (await aIsUp(third)) === 1, 5000)
    const began = ranMs()
    for (let i = 0; i < 20; i++) expect((await ask(third.url)).status).toBe(200)
    expect(ranMs() - began).toBeLessThan(20 * 200)
    await until('it hears of itself alone', async () => (await heard(third)) === 1)
    redis.resume()
    await until('it is told again', async () => (await aIsUp(third)) === 0)
    // Redis loses everything: the next interval brings it back.
    await redis.restart()
    await until('all three', async () => (await heard(third)) === 3, 15_000)
    await until('the late one is told', async () => (await aIsUp(late)) === 0)
    failing.clear()
    for (const gateway of [...gateways, late]) {
      await until('it is up again', async () => (await aIsUp(gateway)) === 1)
    }
    const reports = (direction: string) =>
      third.metric('meridian_fleet_health_reports_total', { direction })
    expect(await reports('sent')).toBeGreaterThan(0)
    expect(await reports('received')).toBeGreaterThan(0)
  })
})
