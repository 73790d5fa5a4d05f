import { describe, expect, it } from 'vitest'
import { chooseOrigin, maglevTable } from './balance.ts'
import { LatencySketch } from './latency.ts'
import { PeakEwma } from './peak-ewma.ts'
import type { Balance, Origin, Pool, Scope } from './pool.ts'
import { FakeHealth, poolOf, seededRandom } from './scripted.fixture.ts'

const random = seededRandom(42)

function choose(
  pool: Pool,
  health: FakeHealth,
  options: { key?: string; tried?: Origin[]; scope?: Scope; mayTrial?: boolean; now?: number } = {},
): Origin | undefined {
  const { key = '', tried = [], scope = 'healthy', mayTrial = true, now = 0 } = options
  return chooseOrigin(pool, health, tried, scope, mayTrial, key, now, random)
}

/** Share of each origin over many choices with nothing under way. */
function shares(pool: Pool, health = new FakeHealth(), count = 20_000): number[] {
  const hits = pool.origins.map(() => 0)
  for (let i = 0; i < count; i++) {
    const origin = choose(pool, health, { key: `client-${i}` })
    if (origin !== undefined) hits[pool.origins.indexOf(origin)]!++
  }
  return hits.map((each) => each / count)
}

const ALL: Balance[] = [
  'least-request',
  'peak-ewma',
  'round-robin',
  'random',
  'ip-hash',
  'ip-hash-bounded',
  'maglev',
]
const BY_SHARE: Balance[] = ['round-robin', 'random', 'ip-hash', 'maglev']
const BY_CLIENT: Balance[] = ['ip-hash', 'ip-hash-bounded', 'maglev']

describe('every way to balance', () => {
  it.each(ALL)('%s uses all origins that are up and untried, and no other', (balance) => {
    const pool = poolOf('p', [100, 100, 100, 0], { balance })
    const health = new FakeHealth()
    expect(shares(pool, health, 500).map((share) => share > 0)).toEqual([true, true, true, false])
    health.down.add(1)
    for (let i = 0; i < 100; i++) {
      expect(choose(pool, health, { key: `${i}`, tried: [pool.origins[0]!] })?.id).toBe('p3')
    }
    const most = [pool.origins[0]!, pool.origins[2]!]
    expect(choose(pool, health, { tried: most })).toBeUndefined()
    expect(choose(pool, health, { tried: most, scope: 'any' })?.id).toBe('p2')
    expect(choose(pool, health, { tried: [...pool.origins], scope: 'any' })).toBeUndefined()
  })

  it.each(BY_SHARE)('%s keeps to the weights', (balance) => {
    const [first, second, third] = shares(poolOf('p', [100, 200, 700], { balance }))
    expect(first).toBeCloseTo(0.1, 1)
    expect(second).toBeCloseTo(0.2, 1)
    expect(third).toBeCloseTo(0.7, 1)
  })

  it.each(BY_SHARE)('%s gives an origin that comes back its share little by little', (balance) => {
    if (balance === 'maglev') return
    const health = new FakeHealth()
    health.starting.set(0, 0.1)
    const [first] = shares(poolOf('p', [100, 100, 100], { balance }), health)
    expect(first).toBeGreaterThan((0.1 / 2.1) * 0.8)
    expect(first).toBeLessThan((0.1 / 2.1) * 1.2)
  })

  it.each(BY_CLIENT)('%s keeps a client where it is, and moves few when one goes', (balance) => {
    const pool = poolOf('p', [100, 100, 100, 100, 100], { balance })
    const health = new FakeHealth()
    const keys = Array.from({ length: 2000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`)
    const before = keys.map((key) => choose(pool, health, { key })!)
    expect(keys.map((key) => choose(pool, health, { key }))).toEqual(before)
    health.down.add(2)
    const moved = keys.filter((key, i) => choose(pool, health, { key }) !== before[i])
    expect(moved.length).toBe(before.filter((origin) => origin.health === 2).length)
    const taken = moved.map((key) => choose(pool, health, { key })!.id)
    expect(new Set(taken).size).toBe(4)
  })
})

describe('least load', () => {
  it('of requests: the busy origin gets little', () => {
    const pool = poolOf('p', [100, 100, 100], { balance: 'least-request' })
    pool.origins[0]!.load.inFlight = 50
    const [first] = shares(pool)
    // Only when both draws are the busy one: a ninth.
    expect(first).toBeLessThan(0.13)
  })

  it('of latency: slow, failing and fast', () => {
    const pool = poolOf('p', [100, 100, 100], { balance: 'peak-ewma' })
    pool.origins[0]!.latency.observe(200, 0)
    pool.origins[1]!.latency.failed(0, 0)
    pool.origins[2]!.latency.observe(20, 0)
    const [slow, failing, fast] = shares(pool)
    expect(fast).toBeGreaterThan(0.5)
    expect(slow).toBeGreaterThan(failing!)
  })

  it('of latency: a peak is seen at once and forgotten slowly', () => {
    const latency = new PeakEwma()
    for (let i = 0; i < 10; i++) latency.observe(10, i * 100)
    latency.observe(500, 1000)
    expect(latency.read(1000)).toBe(500)
    for (let i = 1; i <= 50; i++) latency.observe(10, 1000 + i * 100)
    expect(latency.read(6000)).toBeGreaterThan(200)
    expect(latency.read(200_000)).toBeLessThan(1)
  })
})

describe('bounded load', () => {
  it('passes on what is above 125 % of the share, to the same origin for the same client', () => {
    const pool = poolOf('p', [100, 100, 100, 100], { balance: 'ip-hash-bounded' })
    const health = new FakeHealth()
    for (let i = 0; i < 400; i++) choose(pool, health, { key: 'everybody' })!.load.inFlight++
    const loads = pool.origins.map((origin) => origin.load.inFlight)
    expect(Math.max(...loads)).toBeLessThanOrEqual(126)
    expect(loads.filter((load) => load > 120).length).toBeGreaterThanOrEqual(3)
  })
})

describe('the kinds of origins', () => {
  it('those before their first check wait for those that passed theirs', () => {
    const pool = poolOf('p', [100, 100], { balance: 'random' })
    const health = new FakeHealth()
    health.unknown.add(0)
    expect(shares(pool, health, 100)).toEqual([0, 1])
    health.unknown.add(1)
    expect(shares(pool, health, 1000)[0]).toBeGreaterThan(0.4)
  })

  it('one on trial gets requests that could fail over, and others only as the last', () => {
    const pool = poolOf('p', [100, 100], { balance: 'random' })
    const health = new FakeHealth()
    health.trial.add(0)
    expect(shares(pool, health, 1000)[0]).toBeGreaterThan(0.4)
    for (let i = 0; i < 100; i++) expect(choose(pool, health, { mayTrial: false })?.id).toBe('p2')
    health.down.add(1)
    expect(choose(pool, health, { mayTrial: false })?.id).toBe('p1')
  })

  it.each([
    ['all', 0.49, [true, true, true]],
    ['all', 0.5, [true, false, false]],
    ['none', 0.49, [false, false, false]],
    ['none', 0.5, [true, false, false]],
  ] as const)('panic %s at a share of %f', (mode, share, used) => {
    const pool = poolOf('p', [100, 100, 100], { balance: 'random', panic: { below: 0.5, mode } })
    const health = new FakeHealth()
    health.down.add(1).add(2)
    health.share = share
    expect(shares(pool, health, 300).map((each) => each > 0)).toEqual(used)
    if (mode === 'none' && share < 0.5)
      expect(choose(pool, health, { scope: 'any' })).toBeUndefined()
  })
})

describe('the table', () => {
  it('moves few clients when an origin comes, and minds weights', () => {
    const of = (ids: string[], weight = 100) => ids.map((id) => ({ id, weight }))
    const before = maglevTable(of(['a', 'b', 'c', 'd']))
    const after = maglevTable(of(['a', 'b', 'c', 'd', 'e']))
    const moved = before.filter((entry, i) => after[i] !== entry && after[i] !== 4).length
    expect(moved / before.length).toBeLessThan(0.05)
    expect(after.filter((entry) => entry === 4).length / after.length).toBeCloseTo(0.2, 2)
    const weighted = maglevTable([...of(['a'], 1), ...of(['b'], 1000), ...of(['c'], 0)])
    expect(weighted.filter((entry) => entry === 2)).toHaveLength(0)
    expect(weighted.filter((entry) => entry === 0).length).toBeLessThan(40)
  })
})

describe('the latency sketch', () => {
  it('knows quantiles within a fifth, and forgets', () => {
    const sketch = new LatencySketch()
    expect(sketch.quantile(0.95, 0)).toBeNaN()
    for (let i = 1; i <= 1000; i++) sketch.observe(i, 0)
    for (const q of [0.01, 0.5, 0.95, 0.99]) {
      const value = sketch.quantile(q, 0)
      expect(value).toBeGreaterThanOrEqual(1000 * q)
      expect(value).toBeLessThanOrEqual(1000 * q * 1.2)
    }
    for (const odd of [-1, 0, Number.NaN, 1e12]) sketch.observe(odd, 40_000)
    expect(sketch.count(59_000)).toBe(1004)
    expect(sketch.count(71_000)).toBe(4)
    expect(sketch.quantile(0.5, 200_000)).toBeNaN()
  })
})
