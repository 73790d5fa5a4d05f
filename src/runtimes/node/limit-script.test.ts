/** The script decides as the tables of one process do. */
import fc from 'fast-check'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { hasRedis, RedisServer } from '../../../test/harness/redis.ts'
import { RedisSection } from '../../config/sections/redis.ts'
import { type Algorithm, Finding } from '../../limits/algorithm.ts'
import { Calendar, FixedPeriods } from '../../limits/calendar.ts'
import { Exact } from '../../limits/exact.ts'
import { Gcra } from '../../limits/gcra.ts'
import { Sliding } from '../../limits/sliding.ts'
import { TwoWindow } from '../../limits/two-window.ts'
import { EPOCH_SECONDS, LIMIT_SCRIPT } from './limit-script.ts'
import { RedisConnection, RedisScript } from './redis.ts'

const script = new RedisScript(LIMIT_SCRIPT)
const TICKS_PER_MS = 16_000
const EPOCH_MS = EPOCH_SECONDS * 1000

interface Limit {
  readonly name: string
  readonly parameters: readonly number[]
  /** A new one. */
  readonly table: () => Algorithm
  /** What the table's clock shows at the script's time 0. */
  readonly zero: number
}

const windowMs = fc.constantFrom(2000, 7000, 60_000)
const limits: Record<string, fc.Arbitrary<Limit>> = {
  gcra: fc
    .record({
      windowMs,
      limit: fc.integer({ min: 1, max: 50 }),
      burst: fc.integer({ min: 1, max: 20 }),
    })
    .map(({ windowMs, limit, burst }) => {
      const table = () => new Gcra({ limit, windowMs, burst, slots: 8, startedAt: 0 })
      const { interval, capacity } = table()
      return { name: 'gcra', parameters: [interval, capacity, capacity, burst], table, zero: 0 }
    }),
  sliding: fc
    .record({
      windowMs,
      limit: fc.integer({ min: 1, max: 20 }),
      segments: fc.integer({ min: 1, max: 12 }),
    })
    .map(({ windowMs, limit, segments }) => ({
      name: 'sliding',
      parameters: [limit, Math.ceil(windowMs / segments), segments + 1, 0],
      table: () => new Sliding({ limit, windowMs, segments, slots: 8 }),
      zero: 0,
    })),
  'two-window': fc
    .record({ windowMs, limit: fc.integer({ min: 1, max: 20 }) })
    .map(({ windowMs, limit }) => ({
      name: 'two-window',
      parameters: [limit, windowMs, 0, 0],
      table: () => new TwoWindow({ limit, windowMs, slots: 8 }),
      zero: 0,
    })),
  exact: fc
    .record({ windowMs, limit: fc.integer({ min: 1, max: 12 }) })
    .map(({ windowMs, limit }) => ({
      name: 'exact',
      parameters: [limit, windowMs, 0, 0],
      table: () => new Exact({ limit, windowMs, slots: 8 }),
      zero: 0,
    })),
  fixed: fc
    .record({ windowMs, limit: fc.integer({ min: 1, max: 20 }) })
    .map(({ windowMs, limit }) => ({
      name: 'fixed',
      parameters: [limit, windowMs, 0, 0],
      table: () => new Calendar({ limit, periods: new FixedPeriods(windowMs), slots: 8 }),
      zero: EPOCH_MS,
    })),
}

/** A request after a pause; eighths of a millisecond are exact in both kinds of arithmetic. */
const step = fc.record({
  gap: fc.oneof(
    { weight: 4, arbitrary: fc.constant(0) },
    fc.integer({ min: 0, max: 24_000 }).map((eighths) => eighths / 8),
    fc.constantFrom(0.125, 199.875, 200, 2000, 7000, 60_000),
  ),
  cost: fc.oneof(
    { weight: 4, arbitrary: fc.constant(1) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 25 }) },
  ),
})

/** Requests, each with a correction that follows. */
const corrections = (gap: fc.IntegerConstraints, settle: fc.IntegerConstraints) =>
  fc.array(fc.record({ gap: fc.integer(gap), settle: fc.integer(settle) }), {
    minLength: 1,
    maxLength: 40,
  })

interface Decision {
  allowed: boolean
  remaining: number
  resetMs: number
  retryMs: number
}

const found = new Finding()

/** @param now by the table's clock */
function byTable(table: Algorithm, now: number, cost: number): Decision {
  const allowed = table.peek(1, 2, now, cost, found)
  if (allowed) table.charge()
  const { remaining, resetMs } = found
  return { allowed, remaining, resetMs, retryMs: allowed ? 0 : found.retryMs }
}

function decisionOf(answer: readonly number[]): Decision {
  const [, , verdict, remaining, reset, retry] = answer as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  return {
    allowed: verdict === 1,
    remaining,
    resetMs: reset / TICKS_PER_MS,
    retryMs: retry < 0 ? Number.POSITIVE_INFINITY : retry / TICKS_PER_MS,
  }
}

async function connected(): Promise<RedisConnection> {
  const server = await RedisServer.start()
  const config = v.parse(RedisSection, { url: server.url, commandTimeout: '10s' })
  return RedisConnection.open(config, undefined, { ended: () => {}, stateChanged: () => {} })
}

let serial = 0
/** One limit, asked at `now` milliseconds since the script's epoch. */
function ask(
  redis: RedisConnection,
  key: string,
  { name, parameters }: Pick<Limit, 'name' | 'parameters'>,
  now: number,
  options: { kind?: string; cost?: number; extra?: number; mitigationMs?: number } = {},
): Promise<number[]> {
  const { kind = 'charge', cost = 1, extra = 0, mitigationMs = 0 } = options
  const time = String(Math.round(now * 1000))
  const args = [time, '', kind, name, cost, extra, mitigationMs, ...parameters].map(String)
  return redis.script(script, [key], args) as Promise<number[]>
}

describe.skipIf(!hasRedis)('limits in Redis', () => {
  it.each(Object.keys(limits))('%s decides as the table of one process does', async (name) => {
    const redis = await connected()
    let denials = 0
    const property = fc.asyncProperty(
      limits[name] as fc.Arbitrary<Limit>,
      fc.array(step, { minLength: 1, maxLength: 60 }),
      async (limit, steps) => {
        const key = `k${++serial}`
        const table = limit.table()
        const admitted: { at: number; cost: number }[] = []
        let now = 1000
        const times = steps.map(({ gap }) => (now += gap))
        const answers = await Promise.all(
          steps.map(({ cost }, i) => ask(redis, key, limit, times[i] as number, { cost })),
        )
        steps.forEach(({ cost }, i) => {
          const expected = byTable(table, limit.zero + (times[i] as number), cost)
          if (!expected.allowed) denials++
          const got = decisionOf(answers[i] as number[])
          expect(got).toEqual(expected)
          if (!got.allowed) return
          const at = times[i] as number
          admitted.push({ at, cost })
          if (name !== 'sliding' && name !== 'exact') return
          // Never above the limit in any window.
          const [most = 0, length = 0, ring = 2] = limit.parameters
          const windowMs = name === 'exact' ? length : length * (ring - 1)
          const units = admitted
            .filter((one) => at - one.at < windowMs)
            .reduce((sum, one) => sum + one.cost, 0)
          expect(units).toBeLessThanOrEqual(most)
        })
      },
    )
    await fc.assert(property, { numRuns: 60 })
    expect(denials).toBeGreaterThan(40)
    redis.close()
  })

  it.each(Object.keys(limits))(
    '%s: a clock that steps back, refunds and surcharges',
    async (name) => {
      const redis = await connected()
      const property = fc.asyncProperty(
        limits[name] as fc.Arbitrary<Limit>,
        // Either: a table also remembers when a key owed nothing, which a step back would make a debt.
        fc.oneof(
          corrections({ min: -20_000, max: 20_000 }, { min: 0, max: 3 }),
          corrections({ min: 0, max: 900 }, { min: -3, max: 3 }),
        ),
        async (limit, steps) => {
          const key = `s${++serial}`
          const table = limit.table()
          // A surcharge may owe twice the burst: the table learns it with the first, the script by its settings.
          if (table instanceof Gcra) {
            table.settle(9, 9, 0, 1)
            const [interval = 0, capacity = 0, , burst = 0] = limit.parameters
            limit = { ...limit, parameters: [interval, capacity, 2 * capacity, burst] }
          }
          let now = 1_000_000
          const times = steps.map(({ gap }) => (now += gap))
          const answers = await Promise.all(
            steps.flatMap(({ settle }, i) => {
              const at = times[i] as number
              return [
                ask(redis, key, limit, at),
                ask(redis, key, limit, at, { kind: 'settle', cost: settle }),
              ]
            }),
          )
          steps.forEach(({ settle }, i) => {
            const at = times[i] as number
            expect(decisionOf(answers[2 * i] as number[])).toEqual(
              byTable(table, limit.zero + at, 1),
            )
            table.settle?.(1, 2, limit.zero + at, settle)
          })
        },
      )
      await fc.assert(property, { numRuns: 60 })
      redis.close()
    },
  )

  it('charges all limits of a question or none, and takes those that only log by themselves', async () => {
    const redis = await connected()
    const exact = (limit: number) => ['exact', '1', '0', '0', String(limit), '60000', '0', '0']
    const ask = async (kinds: readonly string[], limits: readonly number[]) => {
      const args = limits.flatMap((limit, i) => [kinds[i] as string, ...exact(limit)])
      return (await redis.script(script, ['a', 'b', 'c'], ['1', '', ...args])) as number[]
    }
    const all = ['charge', 'charge', 'charge']
    expect(await ask(all, [9, 2, 9])).toEqual([
      1,
      1,
      ...[1, 8, 960000000, 0, 0],
      ...[1, 1, 960000000, 0, 0],
      ...[1, 8, 960000000, 0, 0],
    ])
    await ask(all, [9, 2, 9])
    const denied = await ask(all, [9, 2, 9])
    expect([denied[0], denied[2], denied[7], denied[12]]).toEqual([0, 1, 0, 1])
    // The denied one charged nothing: both others have seven left.
    const logged = await ask(['charge', 'try', 'charge'], [9, 2, 9])
    expect([logged[0], logged[3], logged[7], logged[13]]).toEqual([1, 6, 0, 6])
    redis.close()
  })

  it('leases at most half of what is left, shuts out, and keeps what was used when a limit changes', async () => {
    const redis = await connected()
    const gcra = (limit: number): Pick<Limit, 'name' | 'parameters'> => {
      const interval = (10_000 * TICKS_PER_MS) / limit
      return { name: 'gcra', parameters: [interval, limit * interval, limit * interval, limit] }
    }
    const lease = await ask(redis, 'k', gcra(100), 0, { extra: 80 })
    expect([lease[3], lease[6]]).toEqual([50, 49])
    // R30: half of the limit, in the middle of the window.
    expect((await ask(redis, 'k', gcra(50), 0))[2]).toBe(0)
    expect((await ask(redis, 'k', gcra(60), 0))[3]).toBe(9)
    const shut = { mitigationMs: 600_000 }
    const one = { name: 'exact', parameters: [1, 5000, 0, 0] }
    expect((await ask(redis, 'm', one, 0, shut))[2]).toBe(1)
    expect((await ask(redis, 'm', one, 100, shut)).slice(2, 6)).toEqual([0, 0, 9.6e9, 9.6e9])
    expect((await ask(redis, 'm', one, 599_000, shut)).slice(2, 3)).toEqual([2])
    expect((await ask(redis, 'm', one, 600_101, shut)).slice(2, 3)).toEqual([1])
    redis.close()
  })

  it('does nothing for those who wait no more, and keeps no key longer than it matters', async () => {
    const redis = await connected()
    const settings = ['charge', 'fixed', '1', '0', '0', '5', '500', '0', '0']
    const late = (await redis.script(script, ['k'], ['', '1', ...settings])) as number[]
    expect(late[0]).toBe(-1)
    expect(await redis.command(['EXISTS', 'k'])).toBe(0)
    // By the server's own clock.
    const [passes, now] = (await redis.script(script, ['k'], ['', '', ...settings])) as number[]
    expect(passes).toBe(1)
    expect(Math.abs((now as number) / 1000 + EPOCH_MS - Date.now())).toBeLessThan(5000)
    // R23: half a second, and a second for clocks that differ.
    const ttl = await redis.command(['PTTL', 'k'])
    expect(ttl).toBeGreaterThan(900)
    expect(ttl).toBeLessThanOrEqual(1501)
    redis.close()
  })
})
