/** Several gateways on one store, with a clock that stands still until it is told: what leases, counts and refunds do. */
import { describe, expect, it } from 'vitest'
import { VirtualClock } from '../../upstream/scripted.fixture.ts'
import type { Algorithm } from '../algorithm.ts'
import { Finding } from '../algorithm.ts'
import { Calendar } from '../calendar.ts'
import { compile, problems, request, SEED } from '../exchange.fixture.ts'
import { Gcra, TICKS_PER_MS } from '../gcra.ts'
import type { Limits } from '../limits.ts'
import type { LimitResult } from '../result.ts'
import { FleetLimits } from './fleet-limits.ts'
import { type Answer, type FleetStore, StoreUnavailable, type Take, type Verdict } from './store.ts'

/** Counts as the script does, by the tables of one process, and can be away. */
class FakeStore implements FleetStore {
  readonly name = 'fake'
  readonly timeoutMs = 50
  isUp = true
  gateways = 1
  asked = 0
  /** Answers when this is awaited: tests hold them back. */
  gate: Promise<void> | undefined
  failure: StoreUnavailable | undefined
  readonly #clock: VirtualClock
  readonly #tables = new Map<string, Algorithm>()
  readonly #listeners: (() => void)[] = []

  constructor(clock: VirtualClock) {
    this.#clock = clock
  }

  onUp(run: () => void): void {
    this.#listeners.push(run)
  }

  comesUp(): void {
    this.isUp = true
    for (const run of this.#listeners) run()
  }

  #table({ counting, name }: Take): Algorithm {
    let table = this.#tables.get(name)
    if (table === undefined) {
      const [interval = 0] = counting.parameters
      table =
        counting.algorithm === 'gcra'
          ? new Gcra({
              limit: 1,
              windowMs: interval / TICKS_PER_MS,
              burst: counting.atOnce,
              slots: 8,
              startedAt: 0,
            })
          : new Calendar({
              limit: counting.limit,
              periods: counting.periods as NonNullable<typeof counting.periods>,
              slots: 8,
            })
      this.#tables.set(name, table)
    }
    return table
  }

  async ask(takes: readonly Take[]): Promise<Answer> {
    this.asked++
    if (this.failure !== undefined) {
      await this.gate
      throw this.failure
    }
    await this.gate
    const verdicts: Verdict[] = []
    let passes = true
    for (const take of takes) {
      const table = this.#table(take)
      const now = table.clock === 'wall' ? this.#clock.now() : this.#clock.monotonic()
      const found = new Finding()
      if (take.kind === 'settle') table.settle?.(1, 1, now, take.cost)
      const fits = table.peek(1, 1, now, take.kind === 'settle' ? 0 : take.cost, found)
      if (!fits && take.kind === 'charge') passes = false
      verdicts.push({
        reason: fits ? undefined : 'limit',
        remaining: found.remaining,
        resetMs: found.resetMs,
        retryMs: fits ? 0 : found.retryMs,
        granted: 0,
      })
    }
    if (passes) {
      takes.forEach((take, i) => {
        const table = this.#table(take)
        const verdict = verdicts[i] as Verdict
        if (verdict.reason !== undefined || take.kind === 'settle' || take.kind === 'look') return
        const granted = Math.min(take.extra, Math.floor(verdict.remaining / 2))
        const now = table.clock === 'wall' ? this.#clock.now() : this.#clock.monotonic()
        table.peek(1, 1, now, take.cost + granted, new Finding())
        table.charge()
        verdicts[i] = { ...verdict, granted, remaining: verdict.remaining - granted }
      })
    }
    return { passes, verdicts }
  }
}

interface Gateway {
  readonly limits: Limits
  readonly fleet: FleetLimits
  /** One request: the process's own limits first, as the gateway does. */
  ask(options?: Parameters<typeof request>[0]): Promise<LimitResult | undefined>
  passes(count: number): Promise<number>
}

function fleet(config: unknown[], count = 1) {
  const clock = new VirtualClock()
  const store = new FakeStore(clock)
  store.gateways = count
  const gateways = Array.from({ length: count }, (): Gateway => {
    const shared = new FleetLimits({ store, clock, seed: SEED })
    const limits = compile(config, clock, { fleet: shared })
    const ask = async (options?: Parameters<typeof request>[0]) => {
      const x = request(options)
      const own = limits.check(x, 'address')
      if (own?.allowed === false) return own
      const answer = await shared.check(x, 'address', limits.global)
      if (answer?.allowed === false && own !== undefined) limits.undo(own)
      return answer
    }
    const passes = async (requests: number) => {
      let passed = 0
      for (let i = 0; i < requests; i++) if ((await ask())?.allowed !== false) passed++
      return passed
    }
    return { limits, fleet: shared, ask, passes }
  })
  return { clock, store, gateways: gateways as [Gateway, ...Gateway[]] }
}

const api = { id: 'api', limit: 1000, window: '1s', burst: 100, shared: {} }

describe('leases', () => {
  it('a busy key seldom asks, a quiet one never holds more than it uses', async () => {
    const { clock, store, gateways } = fleet([api])
    const [one] = gateways
    for (let i = 0; i < 1000; i++) {
      await clock.pass(2)
      expect((await one.ask())?.allowed).toBe(true)
    }
    expect(store.asked).toBeLessThan(80)
    store.asked = 0
    for (let i = 0; i < 20; i++) {
      await clock.pass(5000)
      expect((await one.ask())?.allowed).toBe(true)
    }
    expect(store.asked).toBeLessThanOrEqual(22)
  })

  it('several gateways stay within the burst and the rate in any second', async () => {
    const { clock, gateways } = fleet([api], 4)
    const admitted: number[] = []
    for (let ms = 0; ms < 4000; ms++) {
      await clock.pass(1)
      // Five times the limit, most of it at one of them.
      for (const [gateway, requests] of [
        [0, 4],
        [1 + (ms % 3), 1],
      ] as const) {
        const passed = await (gateways[gateway] as Gateway).passes(requests)
        for (let i = 0; i < passed; i++) admitted.push(ms)
      }
    }
    let most = 0
    for (let from = 0, to = 0; to < admitted.length; to++) {
      while ((admitted[to] as number) - (admitted[from] as number) >= 1000) from++
      most = Math.max(most, to - from + 1)
    }
    expect(most).toBeLessThanOrEqual(1120)
    expect(admitted.length).toBeGreaterThan(0.97 * 4000)
  })

  it('what is not used in time goes back, and no unit outlives its period', async () => {
    const quota = { id: 'day', algorithm: 'calendar', period: 'hour', limit: 100, shared: {} }
    const { clock, store, gateways } = fleet([quota], 2)
    const [one, other] = gateways as unknown as [Gateway, Gateway]
    expect(await one.passes(20)).toBe(20)
    const held = [...(one.fleet.states.get('day')?.keys.values() ?? [])][0]
    expect(held?.tokens).toBeGreaterThan(0)
    await clock.pass(2000)
    expect(held?.tokens).toBe(0)
    expect(await other.passes(100)).toBe(80)
    await clock.pass(3_600_000)
    expect(await one.passes(60)).toBe(60)
    expect((await one.ask())?.remaining).toBe(39)
    // A lease from before the hour's end is void after it.
    await clock.pass(3_600_000 - (clock.now() % 3_600_000) - 10)
    for (let i = 0; i < 10; i++) await one.ask()
    await clock.pass(20)
    store.asked = 0
    await one.ask()
    expect(store.asked).toBe(1)
  })

  it('a crowd that comes at once asks a few times, and each gets what is right', async () => {
    const { store, gateways } = fleet([api])
    const answers = await Promise.all(Array.from({ length: 500 }, () => gateways[0].ask()))
    expect(answers.filter((answer) => answer?.allowed !== false)).toHaveLength(100)
    expect(store.asked).toBeLessThan(20)
  })

  it('a denial is remembered for a fraction of a lease, and only for requests as large', async () => {
    const { clock, store, gateways } = fleet([{ ...api, cost: 'path.length' }])
    const [one] = gateways
    const large = { path: `/${'x'.repeat(89)}` }
    expect((await one.ask(large))?.allowed).toBe(true)
    const denied = await one.ask(large)
    expect(denied).toMatchObject({ allowed: false, reason: 'limit', remaining: 10, retryAfter: 1 })
    store.asked = 0
    for (let i = 0; i < 10; i++) expect((await one.ask(large))?.allowed).toBe(false)
    expect(store.asked).toBe(0)
    expect((await one.ask({ path: '/' }))?.allowed).toBe(true)
    await clock.pass(100)
    expect((await one.ask(large))?.allowed).toBe(true)
  })
})

describe('all or nothing', () => {
  const local = (id: string, limit: number) => ({ id, algorithm: 'exact', limit, window: '60s' })
  const shared = (id: string, limit: number, mode: string) => ({
    id,
    algorithm: 'fixed',
    limit,
    window: '1d',
    shared: { mode },
  })

  it.each(['strict', 'lease'])(
    'a denial by the fleet takes back what was charged here: %s',
    async (mode) => {
      const { gateways } = fleet([
        local('own', 5),
        shared('small', 2, mode),
        shared('large', 9, mode),
      ])
      const [one] = gateways
      const answers = []
      for (let i = 0; i < 10; i++) answers.push(await one.ask())
      expect(answers.map((answer) => answer?.allowed)).toEqual([
        true,
        true,
        ...Array(8).fill(false),
      ])
      expect(answers[9]).toMatchObject({
        policy: { id: 'small' },
        violated: ['small'],
        status: 429,
      })
      // Two of five: eight denials have charged nothing.
      expect(one.limits.check(request(), 'address')?.remaining).toBe(2)
      await one.fleet.close()
      const large = one.fleet.states.get('large')?.keys.values().next().value
      expect((large?.remaining ?? 0) + (large?.tokens ?? 0)).toBeLessThanOrEqual(7)
    },
  )

  it('limits that only log deny nobody, and stop nobody from being charged', async () => {
    const { gateways } = fleet([
      { ...shared('log', 1, 'strict'), action: 'log' },
      shared('api', 3, 'strict'),
    ])
    const [one] = gateways
    const answers = []
    for (let i = 0; i < 4; i++) answers.push(await one.ask())
    expect(answers.map((answer) => [answer?.allowed, answer?.logged])).toEqual([
      [true, []],
      [true, ['log']],
      [true, ['log']],
      [false, ['log']],
    ])
  })

  it('what the origin said it cost is settled in the store', async () => {
    const costs = { ...shared('api', 100, 'strict'), costHeader: 'x-cost', refundOnError: true }
    const { gateways } = fleet([costs])
    const [one] = gateways
    const cost = (value: string) => ({ get: () => value }) as never
    const first = await one.ask()
    one.limits.correct([first], 200, cost('40'))
    expect((await one.ask())?.remaining).toBe(59)
    const failed = await one.ask()
    one.limits.correct([failed], 502, undefined)
    expect((await one.ask())?.remaining).toBe(58)
  })
})

describe('async', () => {
  const counted = {
    id: 'api',
    limit: 600,
    window: '60s',
    burst: 60,
    shared: { mode: 'async', interval: '1s' },
  }

  it('waits for nobody, tells once an interval, and goes over by little', async () => {
    const { clock, store, gateways } = fleet([counted], 4)
    let passed = 0
    store.gate = new Promise(() => {})
    // Nothing waits even for a store that never answers.
    expect(await gateways[0].passes(5)).toBe(5)
    passed += 5
    store.gate = undefined
    for (let ms = 0; ms < 60_000; ms += 50) {
      await clock.pass(50)
      for (const gateway of gateways) passed += await gateway.passes(1)
    }
    // Eight times the rate is offered; the burst, and what comes back in a minute.
    expect(passed).toBeLessThan(1.15 * 660)
    expect(passed).toBeGreaterThan(0.95 * 600)
    expect(store.asked).toBeLessThan(4 * 70)
  })
})

describe('without the store', () => {
  const strict = { ...api, limit: 40, window: '4s', burst: 40, shared: { mode: 'strict' } }

  it('each gateway admits its part, tells it once, and nothing is counted twice', async () => {
    const { clock, store, gateways } = fleet([strict], 4)
    const [one, other] = gateways as unknown as [Gateway, Gateway]
    expect(await one.passes(8)).toBe(8)
    store.isUp = false
    expect(await one.passes(20)).toBe(10)
    expect(await other.passes(20)).toBe(10)
    store.comesUp()
    await clock.pass(0)
    // 40 less 8, 10 and 10.
    expect((await one.ask())?.remaining).toBe(11)
    store.comesUp()
    await clock.pass(0)
    expect((await one.ask())?.remaining).toBe(10)
  })

  it('a question that the store may have heard is not told again', async () => {
    const { clock, store, gateways } = fleet([strict], 2)
    const [one] = gateways
    store.failure = new StoreUnavailable(true, 'no answer')
    expect(await one.passes(5)).toBe(5)
    store.failure = new StoreUnavailable(false, 'not sent')
    expect(await one.passes(3)).toBe(3)
    store.failure = undefined
    store.comesUp()
    await clock.pass(0)
    expect((await one.ask())?.remaining).toBe(36)
  })

  it('the part follows the number of gateways, and what was used of it stays used', async () => {
    const { store, gateways } = fleet([strict], 4)
    const [one] = gateways
    store.isUp = false
    expect(await one.passes(20)).toBe(10)
    store.gateways = 2
    expect(await one.passes(20)).toBe(10)
  })

  it('those who wait for one answer fail together, once', async () => {
    const { store, gateways } = fleet([{ ...api, shared: {} }])
    let fail = () => {}
    store.gate = new Promise((resolve) => {
      fail = resolve
    })
    store.failure = new StoreUnavailable(true, 'no answer')
    const crowd = Array.from({ length: 50 }, () => gateways[0].ask())
    fail()
    const answers = await Promise.all(crowd)
    expect(answers.every((answer) => answer?.allowed !== false)).toBe(true)
    expect(store.asked).toBe(1)
  })
})

describe('a reload', () => {
  it('keeps leases and what the store has counted', async () => {
    const { store, gateways, clock } = fleet([api])
    const [one] = gateways
    await one.passes(50)
    const next = compile([{ ...api, burst: 90 }], clock, { fleet: one.fleet, previous: one.limits })
    store.asked = 0
    const x = request()
    expect((await one.fleet.check(x, 'address', next.global))?.allowed).toBe(true)
    expect(store.asked).toBe(0)
  })
})

describe('what cannot be shared is refused with its place', () => {
  it.each([
    [{ algorithm: 'concurrency', window: undefined }, 'limits[0].shared: requests under way'],
    [{ algorithm: 'bandwidth' }, 'limits[0].shared: bandwidth is paced'],
    [{ algorithm: 'sliding', shared: { mode: 'lease' } }, 'limits[0].shared.mode: a leased unit'],
    [
      { algorithm: 'exact', limit: 5, window: '60s', shared: { mode: 'async' } },
      'limits[0].shared.mode: counting behind',
    ],
    [
      { phase: 'response', shared: { mode: 'lease' } },
      'limits[0].shared.mode: what is charged when',
    ],
    [{ shared: { interval: '1s' } }, 'limits[0].shared.interval: mode "lease" has no interval'],
    [
      { shared: { mode: 'async', interval: '1s' } },
      'limits[0].shared.interval: the window must be',
    ],
  ])('%o', (part, message) => {
    const found = problems([{ ...api, burst: undefined, ...part }], true)
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(message)
  })

  it('where there is nothing to count in', () => {
    expect(problems([api])).toEqual(['limits[0].shared: there is no server to count in together'])
  })
})
