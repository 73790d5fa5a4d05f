/** Quotas in stores of rate-limiter-flexible. */
import { createClient } from '@redis/client'
import { RateLimiterMemory, RateLimiterRedis } from 'rate-limiter-flexible'
import { describe, expect, it, onTestFinished } from 'vitest'
import { hasRedis, RedisServer } from '../../../test/harness/redis.ts'
import { VirtualClock } from '../../upstream/scripted.fixture.ts'
import { compile, problems, request, SEED } from '../exchange.fixture.ts'
import { FleetLimits } from './fleet-limits.ts'
import { type FlexibleLimiter, FlexibleStore } from './flexible-store.ts'

const day = (id: string, limit: number, more: object = {}) => ({
  id,
  algorithm: 'calendar',
  period: 'day',
  limit,
  shared: {},
  ...more,
})

type Limiters = Readonly<Record<string, FlexibleLimiter>>

function gateway(config: unknown[], limiters: Limiters, clock = new VirtualClock()) {
  const store = new FlexibleStore({ limiters, clock, timeoutMs: 50, gateways: 2 })
  const fleet = new FleetLimits({ store, clock, seed: SEED })
  const limits = compile(config, clock, { fleet })
  const ask = async (options?: Parameters<typeof request>[0]) =>
    fleet.check(request(options), 'address', limits.global)
  return { ask, limits, clock, store }
}

const memory = (points: number) => new RateLimiterMemory({ points, duration: 86_400 })

async function redisLimiters(): Promise<(points: number) => FlexibleLimiter> {
  const server = await RedisServer.start()
  const client = createClient({ url: server.url })
  client.on('error', () => {})
  await client.connect()
  onTestFinished(() => client.destroy())
  return (points) =>
    new RateLimiterRedis({
      storeClient: client,
      useRedisPackage: true,
      points,
      duration: 86_400,
      keyPrefix: `p${points}`,
    })
}

describe.each([
  ['memory', true],
  ['redis', hasRedis],
] as const)('quotas in a limiter: %s', (kind, isThere) => {
  const make = async () => (kind === 'memory' ? memory : redisLimiters())

  it.skipIf(!isThere)(
    'two processes have one, which begins anew at the edge of its period',
    async () => {
      const of = await make()
      const limiters = { day: of(5) }
      const clock = new VirtualClock()
      const [one, other] = [
        gateway([day('day', 5)], limiters, clock),
        gateway([day('day', 5)], limiters, clock),
      ]
      const answers = []
      for (let i = 0; i < 4; i++) answers.push(await (i % 2 === 0 ? one : other).ask())
      expect(answers.map((answer) => answer?.remaining)).toEqual([4, 3, 2, 1])
      await one.ask()
      const denied = await other.ask()
      expect(denied).toMatchObject({
        allowed: false,
        reason: 'limit',
        remaining: 0,
        violated: ['day'],
      })
      const untilMidnight = 86_400_000 - (clock.now() % 86_400_000)
      expect(denied?.retryAfter).toBe(Math.ceil(untilMidnight / 1000))
      await clock.pass(untilMidnight)
      expect((await one.ask())?.remaining).toBe(4)
    },
  )

  it.skipIf(!isThere)(
    'charges all or none, settles costs, and charges nobody who was denied',
    async () => {
      const of = await make()
      const config = [
        day('small', 3),
        day('large', 50, { costHeader: 'x-cost' }),
        day('log', 1, { action: 'log' }),
      ]
      const { ask, limits } = gateway(config, { small: of(3), large: of(50), log: of(1) })
      const first = await ask()
      limits.correct([first], 200, { get: () => '11' } as never)
      await ask()
      expect((await ask())?.logged).toEqual(['log'])
      for (let i = 0; i < 4; i++) expect((await ask())?.violated).toEqual(['small'])
      const alone = gateway([day('large', 50)], { large: of(50) })
      // Memory is the limiter's own, so only the other kind has seen the thirteen.
      if (kind === 'redis') expect((await alone.ask())?.remaining).toBe(36)
    },
  )
})

describe('a limiter that fails', () => {
  it('is left alone after five failures; its error is no denial', async () => {
    let calls = 0
    const broken = memory(10) as unknown as FlexibleLimiter & { consume: unknown }
    broken.consume = async () => {
      calls++
      throw new Error('the database is away')
    }
    const { ask, clock, store } = gateway([day('day', 10)], { day: broken })
    const answers = []
    for (let i = 0; i < 20; i++) answers.push(await ask())
    // Half of the limit, there being two processes.
    expect(answers.filter((answer) => answer?.allowed !== false)).toHaveLength(5)
    expect(calls).toBe(5)
    expect(store.isUp).toBe(false)
    await clock.pass(501)
    expect(store.isUp).toBe(true)
  })

  it('that never answers costs a request its time limit', async () => {
    const hung = { ...memory(10), points: 10, consume: () => new Promise<never>(() => {}) }
    const { ask, clock } = gateway([day('day', 10)], { day: hung as unknown as FlexibleLimiter })
    const asked = ask()
    await clock.pass(49)
    let answer: unknown = 'none'
    void asked.then((value) => {
      answer = value
    })
    expect(answer).toBe('none')
    await clock.pass(2)
    expect((await asked)?.allowed).not.toBe(false)
  })
})

describe('what a limiter cannot count is refused with its place', () => {
  it.each([
    [day('other', 5), 'limits[0].shared: there is no limiter for "other"'],
    [day('day', 6), 'limits[0].shared: its limiter has 5 points, the limit is 6'],
    [
      { id: 'day', limit: 5, window: '1m', shared: {} },
      'limits[0].shared: a limiter of rate-limiter-flexible counts',
    ],
  ])('%o', (config, message) => {
    const clock = new VirtualClock()
    const store = new FlexibleStore({
      limiters: { day: memory(5) },
      clock,
      timeoutMs: 50,
      gateways: 1,
    })
    const fleet = new FleetLimits({ store, clock, seed: SEED })
    expect(problems([config], true, fleet)[0]).toContain(message)
  })
})
