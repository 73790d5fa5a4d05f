/** Limits that several gateways count together in a real Redis, over real sockets, while it fails in every way. */
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { ask } from '../harness/client.ts'
import { program } from '../harness/process.ts'
import { hasRedis, RedisServer } from '../harness/redis.ts'
import { pause, ranMs, until } from '../harness/wait.ts'
import {
  proxyTo,
  type TestConfig,
  type TestGateway,
  withDefaults,
  world,
} from '../harness/world.ts'

type Limit = NonNullable<TestConfig['limits']>[number]

/** Several servers and processes, one after another, on a machine that may be busy. */
const MANY_STEPS_MS = 60_000

/** As the default is; elsewhere a busy machine must not look like a server that is away. */
const IN_TIME = { commandTimeout: '50ms' }

function config(url: string, limit: Partial<Limit>, redis: object = {}): TestConfig {
  return {
    redis: { url, commandTimeout: '5s', ...redis },
    routes: [{ id: 'site', respond: { status: 204 } }],
    limits: [{ id: 'api', limit: 100, window: '1m', ...limit }],
  }
}

async function statuses(gateways: readonly TestGateway[], count: number): Promise<number[]> {
  const answers: number[] = []
  for (let i = 0; i < count; i++) {
    answers.push((await ask((gateways[i % gateways.length] as TestGateway).url)).status)
  }
  return answers
}

const passed = (answers: readonly number[]): number =>
  answers.filter((status) => status === 204).length

describe.skipIf(!hasRedis)('limits of a fleet', () => {
  it.each([
    { algorithm: 'gcra', limit: 600, burst: 10 },
    { algorithm: 'gcra', limit: 600, burst: 10, shared: { mode: 'strict' } },
    { algorithm: 'sliding', limit: 10 },
    { algorithm: 'two-window', limit: 10 },
    { algorithm: 'exact', limit: 10 },
    { algorithm: 'fixed', limit: 10, window: '1d' },
    { algorithm: 'calendar', limit: 10, window: undefined, period: 'month' },
  ] as const)('two gateways have one $algorithm limit ($shared.mode)', async (limit) => {
    const w = world()
    const redis = await RedisServer.start()
    const part = { shared: {}, ...limit, window: 'window' in limit ? limit.window : '1h' }
    const gateways = [
      await w.gateway(config(redis.url, part)),
      await w.gateway(config(redis.url, part)),
    ]
    const answers = await statuses(gateways, 30)
    expect(passed(answers)).toBe(10)
    // By each of them, as they were asked in turn.
    expect(answers.slice(0, 10).every((status) => status === 204)).toBe(true)
    const denied = await ask(gateways[1]?.url ?? '')
    expect(denied.json()).toMatchObject({ status: 429, 'violated-policies': ['api'] })
    expect(denied.get('ratelimit')).toMatch(/^"api";r=0;t=\d+$/)
    expect(Number(denied.get('retry-after'))).toBeGreaterThanOrEqual(1)
    // No key holds an address.
    const keys = redis.cli('keys', '*limit*').split('\n')
    expect(keys.length).toBeGreaterThan(0)
    for (const key of keys) expect(key).not.toContain('127.0.0.1')
  })
})

describe.skipIf(!hasRedis)('a limit in the whole fleet', { timeout: MANY_STEPS_MS }, () => {
  it('R7, R8: counts failed logins by status, shuts out everywhere, and spares other paths', async () => {
    const w = world()
    const redis = await RedisServer.start()
    const origin = await w.origin((request, response) => {
      response.statusCode = request.url === '/login?good' ? 200 : 401
      response.end()
    })
    const login: TestConfig = {
      ...proxyTo([origin]),
      redis: { url: redis.url, commandTimeout: '5s' },
      limits: [
        {
          id: 'login',
          algorithm: 'exact',
          limit: 5,
          window: '60s',
          when: 'http.request.uri.path eq "/login"',
          phase: 'response',
          countStatus: [401, 403],
          mitigation: '10m',
          shared: { mode: 'strict' },
        },
      ],
    }
    const gateways = [await w.gateway(login), await w.gateway(login)] as const
    const attempt = async (which: 0 | 1, query = '') =>
      (await ask(`${gateways[which].url}/login${query}`)).status
    const used = () =>
      redis.cli(
        'eval',
        "local n = 0 for _, k in ipairs(redis.call('keys', '*:limit:*')) do n = n + #redis.call('get', k) end return n",
        '0',
      )
    const answers: number[] = []
    for (const [which, query] of [
      [0, ''],
      [1, ''],
      [0, ''],
      [1, ''],
      [0, '?good'],
      [1, ''],
    ] as const) {
      const before = used()
      answers.push(await attempt(which, query))
      // What is counted when the response is there is counted behind the answer.
      if (query === '') await until('it is counted', () => used() !== before)
    }
    expect(answers).toEqual([401, 401, 401, 401, 200, 401])
    expect([await attempt(0), await attempt(1), await attempt(1, '?good')]).toEqual([429, 429, 429])
    const refused = await ask(`${gateways[0].url}/login`)
    expect(Number(refused.get('retry-after'))).toBeGreaterThan(590)
    expect((await ask(`${gateways[1].url}/other`)).status).toBe(401)
  })

  it('the worker processes of one gateway count together', async () => {
    const w = world()
    const redis = await RedisServer.start()
    const day = { algorithm: 'fixed', limit: 10, window: '1d', shared: {} } as const
    const workers = { ...config(redis.url, day), workers: 2 }
    const file = w.put('workers.json', JSON.stringify(withDefaults(workers, w.folder)))
    const run = program('cli/main.js', ['start', '--config', file])
    const url = await run.says(/listening on (http:\/\/\S+)/)
    const answers: number[] = []
    // A connection for each: either worker takes some of them.
    for (let i = 0; i < 30; i++) answers.push((await ask(url)).status)
    expect(passed(answers)).toBe(10)
    await until('both are counted', () => redis.cli('zcard', '{meridian}:gateways') === '2')
  })

  it('a server that only a reload names is refused, where a limit relies on it', async () => {
    const w = world()
    const { redis, limits, ...alone } = config('redis://127.0.0.1:1', { shared: {} })
    const gateway = await w.gateway(alone)
    gateway.write({ ...alone, ...(redis && { redis }), ...(limits && { limits }) })
    const refused = await until('the reload is refused', async () => {
      const { lastError } = (await gateway.status()).config
      return lastError ?? undefined
    })
    expect(refused).toContain('limits[0].shared: there is no server to count in together')
    expect(refused).toContain('restart')
  })

  it('async: nobody waits, and each gateway hears of the others within an interval', async () => {
    const w = world()
    const redis = await RedisServer.start()
    const limit = {
      algorithm: 'fixed',
      limit: 30,
      window: '1d',
      shared: { mode: 'async', interval: '50ms' },
    } as const
    const gateways = [
      await w.gateway(config(redis.url, limit)),
      await w.gateway(config(redis.url, limit)),
    ] as const
    expect(passed(await statuses([gateways[0]], 20))).toBe(20)
    await until('the other has heard of it', async () => {
      const { sharedLimits } = await gateways[1].status()
      expect(passed(await statuses([gateways[1]], 1))).toBe(1)
      await pause(120)
      const remaining = (await ask(gateways[1].url)).get('ratelimit')
      return sharedLimits !== undefined && /r=[0-8];/.test(remaining ?? '')
    })
    await pause(200)
    const rest = passed(await statuses([...gateways], 40))
    // Nine are left, which each of the two may use before it hears of the other.
    expect(rest).toBeLessThan(20)
    const decisions = await gateways[0].metric('meridian_limit_shared_decisions_total', {
      source: 'async',
    })
    expect(decisions).toBeGreaterThanOrEqual(20)
    expect(
      await gateways[0].metric('meridian_limit_shared_decisions_total', { source: 'store' }),
    ).toBe(0)
  })

  it('workers of one gateway that stop give back what they have leased', async () => {
    const w = world()
    const redis = await RedisServer.start()
    const day = { algorithm: 'fixed', limit: 1000, window: '1d', shared: {} } as const
    const gateway = await w.gateway(config(redis.url, day))
    await statuses([gateway], 60)
    expect(await gateway.metric('meridian_limit_leased_units_total')).toBeGreaterThan(5)
    await gateway.running.close()
    const kept = redis.cli('get', redis.cli('keys', '*:limit:*')).split(' ')
    expect(kept.at(-1)).toBe('60')
    expect(redis.cli('zcard', '{meridian}:gateways')).toBe('0')
  })
})

interface Sample {
  readonly status: number
  readonly ms: number
}

/** Requests at an even pace over two connections, until it is stopped. */
class Load {
  readonly samples: Sample[] = []
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 2 })
  #isOver = false
  readonly #workers: Promise<void>[]

  constructor(url: string) {
    this.#workers = [this.#work(url), this.#work(url)]
  }

  async #work(url: string): Promise<void> {
    while (!this.#isOver) {
      const startedAt = ranMs()
      const { status } = await ask(url, { agent: this.#agent })
      this.samples.push({ status, ms: ranMs() - startedAt })
      await pause(5)
    }
  }

  /** So many more requests, as they ended. */
  async next(count: number): Promise<Sample[]> {
    const from = this.samples.length
    await until(`${count} more requests`, () => this.samples.length >= from + count, 15_000)
    return this.samples.slice(from, from + count)
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#workers)
    this.#agent.destroy()
  }
}

/** A way to a server that can be made long. */
async function slowWay(port: number): Promise<{ url: string; delayMs: number }> {
  const way = { url: '', delayMs: 0 }
  const server = net.createServer((client) => {
    const upstream = net.connect(port, '127.0.0.1')
    client.pipe(upstream)
    upstream.on('data', (data) => setTimeout(() => client.write(data), way.delayMs))
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => {})
      one.on('close', () => other.destroy())
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  way.url = `redis://127.0.0.1:${(server.address() as AddressInfo).port}`
  return way
}

/** What a request may take on a busy machine, besides waiting for Redis. */
const SLACK_MS = 100

const median = (samples: readonly Sample[]): number =>
  samples.map(({ ms }) => ms).sort((a, b) => a - b)[samples.length >> 1] as number

describe.skipIf(!hasRedis)('R18: a Redis that fails', { timeout: MANY_STEPS_MS }, () => {
  // A thousand a second: the load below is a fifth of it.
  const fast = { limit: 1000, window: '1s', burst: 200 } as const

  it.each(['strict', 'lease'] as const)(
    'killed, hung, slow, flushed, restarted: %s',
    async (mode) => {
      const w = world()
      const redis = await RedisServer.start()
      const way = await slowWay(redis.port)
      const gateway = await w.gateway(config(way.url, { ...fast, shared: { mode } }, IN_TIME))
      const load = new Load(gateway.url)
      w.onClose(() => load.stop())
      const before = median(await load.next(50))
      /** Nobody is denied, nobody waits longer than for one command, and after a few nobody waits. */
      const endures = async (): Promise<void> => {
        const during = await load.next(60)
        expect(during.filter(({ status }) => status !== 204)).toEqual([])
        for (const { ms } of during) expect(ms).toBeLessThan(60 + SLACK_MS)
        expect(during.filter(({ ms }) => ms > before + 45).length).toBeLessThan(25)
        const after = await load.next(60)
        expect(after.filter(({ status }) => status !== 204)).toEqual([])
        expect(median(after)).toBeLessThan(before + 10)
      }
      const isAway = () => gateway.running.instance.redis?.state === 'down'
      const isBack = () => gateway.running.instance.redis?.state === 'up'

      redis.pause()
      await endures()
      if (mode === 'strict') expect(isAway()).toBe(true)
      redis.resume()
      await until('it is back after it hung', isBack)
      await endures()

      way.delayMs = 80
      await endures()
      way.delayMs = 0
      await until('it is back after it was slow', isBack)

      redis.cli('flushall')
      redis.cli('script', 'flush')
      await endures()

      await redis.kill()
      await endures()
      expect(isAway()).toBe(true)
      expect((await gateway.status()).sharedLimits).toMatchObject({ decides: 'gateway' })
      await redis.restart()
      await until('it is back after it was killed', isBack)
      await endures()
      expect((await gateway.status()).sharedLimits).toMatchObject({
        store: 'redis',
        decides: 'fleet',
        gateways: 1,
        limits: [{ id: 'api', mode, onFailure: 'local' }],
      })
      for (const source of ['local', mode === 'strict' ? 'store' : 'lease']) {
        const decisions = await gateway.metric('meridian_limit_shared_decisions_total', {
          limit: 'api',
          source,
        })
        expect(decisions).toBeGreaterThan(20)
      }
    },
  )

  it('counts no request twice, and forgets none, after it hung and after it was killed', async () => {
    const w = world()
    const redis = await RedisServer.start()
    const quota = {
      algorithm: 'calendar',
      limit: 1000,
      window: undefined,
      period: 'month',
    } as const
    const gateway = await w.gateway(
      config(redis.url, { ...quota, shared: { mode: 'strict' } }, { commandTimeout: '500ms' }),
    )
    const counted = (): number => {
      const key = redis.cli('keys', '*:limit:*')
      return Number(redis.cli('get', key).split(' ').at(-1))
    }
    const isUp = () => gateway.running.instance.redis?.state === 'up'
    expect(passed(await statuses([gateway], 10))).toBe(10)
    expect(counted()).toBe(10)
    redis.pause()
    // Five wait for it in vain, and it must not count them when it finds them later.
    expect(passed(await statuses([gateway], 25))).toBe(25)
    redis.resume()
    await until('it is used again', isUp)
    await until('it was told', () => counted() >= 30)
    await pause(50)
    expect(counted()).toBeLessThanOrEqual(35)
    const before = counted()
    await redis.kill()
    await until('the loss is seen', () => !isUp())
    expect(passed(await statuses([gateway], 20))).toBe(20)
    await redis.restart()
    await until('it is used again', isUp)
    await until('it was told', () => counted() === 20)
    expect(passed(await statuses([gateway], 5))).toBe(5)
    expect(counted()).toBe(25)
    expect(before).toBeGreaterThanOrEqual(30)
  })

  it('without it: a part of the limit, everything or nothing, as each limit says', async () => {
    const w = world()
    const redis = await RedisServer.start()
    const limits = (onFailure: 'local' | 'open' | 'closed') => ({
      algorithm: 'exact' as const,
      limit: 10,
      shared: { onFailure },
    })
    const gateways = {
      local: await w.gateway(config(redis.url, limits('local'))),
      other: await w.gateway(config(redis.url, limits('local'))),
      open: await w.gateway(config(redis.url, limits('open'))),
      closed: await w.gateway(config(redis.url, limits('closed'))),
    }
    await until('they know of each other', async () => {
      const { sharedLimits } = await gateways.local.status()
      return (sharedLimits as { gateways: number }).gateways === 4
    })
    await redis.kill()
    for (const gateway of Object.values(gateways)) {
      await until('the loss is seen', () => gateway.running.instance.redis?.state === 'down')
    }
    // A fourth of ten.
    expect(passed(await statuses([gateways.local], 10))).toBe(2)
    expect(passed(await statuses([gateways.open], 15))).toBe(15)
    const refused = await ask(gateways.closed.url)
    expect(refused.json()).toMatchObject({
      status: 503,
      type: 'https://iana.org/assignments/http-problem-types#temporary-reduced-capacity',
    })
    expect([refused.get('retry-after'), refused.get('ratelimit')]).toEqual(['1', undefined])
    const { records } = { records: await gateways.closed.records(1) }
    expect(records[0]).toMatchObject({ status: 503, outcome: 'overloaded' })
  })
})
