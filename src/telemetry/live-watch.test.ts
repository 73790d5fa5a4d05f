import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { UNKNOWN_GEO } from '../exchange.ts'
import { exchangeOf, SERVED, telemetryConfig } from './exchange.fixture.ts'
import {
  bucketEnd,
  durationBucket,
  durationQuantiles,
  mergeSamples,
  NO_SAMPLE,
} from './live-sample.ts'
import { Telemetry } from './telemetry.ts'

function world() {
  let now = 0
  const telemetry = new Telemetry(
    telemetryConfig(),
    {},
    {
      clock: { now: () => 1000 + now, monotonic: () => now, after: () => () => {} },
      random: { next: () => 0.5, bytes: (n) => new Uint8Array(n) },
      access: undefined,
      build: { version: '1', runtime: 'test' },
    },
  )
  const at = (latitude: number, longitude: number) => ({
    geo: { ...UNKNOWN_GEO, slot: 1, latitude, longitude },
  })
  const attempt = (region: string) => ({
    region,
    pool: 'p',
    origin: 'o',
    outcome: 'ok',
    status: 200,
    durationMs: 1,
  })
  return {
    telemetry,
    at,
    attempt,
    pass: (ms: number) => {
      now += ms
    },
    take: () => telemetry.live.take(),
  }
}

const BLOCK = {
  rule: 'sqli',
  ruleset: 'r',
  action: 'block',
  enforced: true,
  phase: 'request',
  description: '',
} as const

describe('a watched gateway', () => {
  it('counts what became of each request, and where it came from and went', () => {
    const { telemetry, at, attempt, take } = world()
    expect(take().sample).toEqual(NO_SAMPLE)
    const berlin = at(52.5, 13.4)
    const served = { ...berlin, attempts: [attempt('eu')] }
    telemetry.settle(exchangeOf({}, served), SERVED)
    telemetry.settle(exchangeOf({}, served), SERVED)
    telemetry.settle(
      exchangeOf(
        {},
        { ...berlin, cacheStatus: { outcome: 'hit', reason: 'hit', header: 'm; hit' } },
      ),
      SERVED,
    )
    telemetry.settle(exchangeOf({}, { ...berlin, outcome: 'blocked', verdicts: [BLOCK] }), {
      ...SERVED,
      status: 403,
    })
    telemetry.settle(exchangeOf({}, { ...served, outcome: 'origin-timeout' }), {
      ...SERVED,
      status: 504,
    })
    const missed = {
      outcome: 'miss',
      reason: 'explicit',
      header: 'm; fwd=uri-miss; stored',
    } as const
    telemetry.settle(
      exchangeOf({}, { route: { id: 'shop', index: 0 }, cacheStatus: missed }),
      SERVED,
    )
    const { sample } = take()
    expect(sample).toMatchObject({
      requests: 6,
      bytesOut: 6 * SERVED.bytesOut,
      outcomes: { origin: 3, cache: 1, blocked: 1, failed: 1 },
      statuses: { '2xx': 4, '4xx': 1, '5xx': 1 },
      cache: { hit: 1, miss: 1 },
      misses: { 'shop\turi-miss, explicit\t/shop/cart': 1 },
      rules: { sqli: 1 },
      problems: { blocked: 1, 'origin-timeout': 1 },
      unplaced: 1,
    })
    expect(sample.flows).toEqual([
      {
        latitude: 52,
        longitude: 14,
        to: 'eu',
        counts: { origin: 2, cache: 0, blocked: 0, failed: 1 },
      },
      {
        latitude: 52,
        longitude: 14,
        to: '',
        counts: { origin: 0, cache: 1, blocked: 1, failed: 0 },
      },
    ])
    expect(JSON.stringify(sample)).not.toContain('203.0.113')
    expect(take().sample).toMatchObject({ requests: 0, flows: [], durations: [], rules: {} })
  })

  it('brings the events since the last question, and none from before it was watched', () => {
    const { telemetry, take } = world()
    telemetry.note('system', 'before', {})
    expect(take().events).toEqual([])
    for (let i = 0; i < 60; i++) telemetry.note('health', `n${i}`, {})
    expect(take().events.map(({ what }) => what)).toEqual(
      Array.from({ length: 50 }, (_, i) => `n${i + 10}`),
    )
    expect(take().events).toEqual([])
  })

  it('stops counting when nobody asks any more', () => {
    const { telemetry, pass, take } = world()
    telemetry.settle(exchangeOf(), SERVED)
    expect(telemetry.live.isWatched).toBe(false)
    take()
    expect(telemetry.live.isWatched).toBe(true)
    pass(5000)
    telemetry.settle(exchangeOf(), SERVED)
    expect(take().sample.requests).toBe(1)
    pass(5001)
    telemetry.settle(exchangeOf(), SERVED)
    expect(telemetry.live.isWatched).toBe(false)
    telemetry.settle(exchangeOf(), SERVED)
    // The first question after a pause opens the watch: what came before it belongs to no second.
    expect(take().sample).toEqual(NO_SAMPLE)
  })

  it('is bounded in places and names, and counts what does not fit', () => {
    const { telemetry, at, take } = world()
    take()
    for (let i = 0; i < 1100; i++) {
      const x = exchangeOf(
        {},
        { ...at((i % 80) * 2 - 80, Math.floor(i / 80) * 2), outcome: `problem-${i % 200}` },
      )
      telemetry.settle(x, { ...SERVED, status: 400 })
    }
    const { sample } = take()
    expect(sample.flows).toHaveLength(1024)
    expect(sample.unplaced).toBe(76)
    expect(Object.keys(sample.problems)).toHaveLength(129)
    expect(Object.values(sample.problems).reduce((sum, one) => sum + one)).toBe(1100)
  })
})

describe('quantiles', () => {
  it('are off by 9 % at most, whatever the durations are', () => {
    const durations = fc.array(fc.double({ min: 0.1, max: 50_000, noNaN: true }), {
      minLength: 1,
      maxLength: 200,
    })
    fc.assert(
      fc.property(durations, fc.constantFrom(0.5, 0.95, 0.99), (all, share) => {
        const exact = [...all].sort((a, b) => a - b)[
          Math.max(1, Math.ceil(share * all.length)) - 1
        ] as number
        const [found] = durationQuantiles(
          all.flatMap((ms) => [durationBucket(ms), 1]),
          [share],
        ) as [number]
        expect(found).toBeGreaterThanOrEqual(exact * (1 - 1e-9))
        expect(found).toBeLessThanOrEqual(exact * 2 ** (1 / 8) * (1 + 1e-9))
      }),
    )
    expect(durationQuantiles([], [0.5])).toBeUndefined()
    expect(durationBucket(Number.NaN)).toBe(0)
    expect(bucketEnd(durationBucket(1e9))).toBeGreaterThan(60_000)
  })
})

describe('samples of several processes', () => {
  it('are added, the same places together', () => {
    const flow = (to: string, origin: number) => ({
      latitude: 2,
      longitude: 4,
      to,
      counts: { origin, cache: 0, blocked: 0, failed: 1 },
    })
    const one = {
      ...NO_SAMPLE,
      requests: 1,
      rules: { a: 1 },
      durations: [3, 1],
      flows: [flow('eu', 1)],
    }
    const two = {
      ...NO_SAMPLE,
      requests: 2,
      rules: { a: 2, b: 1 },
      durations: [3, 2],
      flows: [flow('eu', 4), flow('us', 1)],
    }
    const sum = mergeSamples([one, two])
    expect(sum).toMatchObject({ requests: 3, rules: { a: 3, b: 1 } })
    expect(sum.flows).toEqual([
      { ...flow('eu', 5), counts: { origin: 5, cache: 0, blocked: 0, failed: 2 } },
      flow('us', 1),
    ])
    expect(durationQuantiles(sum.durations, [1])).toEqual([bucketEnd(3)])
    expect(mergeSamples([])).toEqual(NO_SAMPLE)
  })
})
