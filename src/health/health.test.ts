import fc from 'fast-check'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { HealthSection, OutlierSection } from '../config/sections/health.ts'
import type { Clock, OriginAddress, Random } from '../ports.ts'
import type { ProbeResult } from './active.ts'
import { afterProbe, NEVER_CHECKED, nextProbeDelay, worstDetection } from './active.ts'
import { HealthBoard, type HealthEvent, type HealthPool, type HealthRegion } from './board.ts'
import { type Outcome, outlierRules } from './outlier.ts'
import { activeRules, judgeHttpProbe, ProbeScheduler } from './probe.ts'
import { slowStartFactor } from './slow-start.ts'

/** Time that stands still until it is told to pass. */
class VirtualClock implements Clock {
  time = 0
  #timers: { at: number; run: () => void }[] = []
  now(): number {
    return this.time
  }
  monotonic(): number {
    return this.time
  }
  after(delay: number, run: () => void): () => void {
    const timer = { at: this.time + delay, run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }
  get pending(): number {
    return this.#timers.length
  }
  /** Runs what is due, in order, letting promises settle in between. */
  async pass(duration: number): Promise<void> {
    const end = this.time + duration
    for (;;) {
      this.#timers.sort((a, b) => a.at - b.at)
      const next = this.#timers[0]
      if (next === undefined || next.at > end) break
      this.#timers.shift()
      this.time = Math.max(this.time, next.at)
      next.run()
      for (let i = 0; i < 4; i++) await Promise.resolve()
    }
    this.time = end
  }
}

const random = (draw = 0.5): Random => ({ next: () => draw, bytes: (n) => new Uint8Array(n) })
const health = v.parse(HealthSection, {})
const outlier = outlierRules(v.parse(OutlierSection, {}))

function pool(id: string, origins: number, options: Partial<HealthPool> = {}): HealthPool {
  return {
    id,
    origins: Array.from({ length: origins }, (_, i) => ({ id: `${id}-${i + 1}`, weight: 100 })),
    outlier,
    maxEjected: 0.5,
    ...options,
  }
}

function boardOf(
  pools: HealthPool[],
  options: { spillBelow?: number; previous?: HealthBoard; draw?: number } = {},
) {
  const events: HealthEvent[] = []
  const regions: HealthRegion[] = pools.map((each) => ({
    id: each.id,
    pools: [each.id],
    spillBelow: options.spillBelow ?? 0,
  }))
  const board = new HealthBoard(
    pools,
    regions,
    random(options.draw),
    (event) => events.push(event),
    options.previous,
  )
  const report = (id: string, outcome: Outcome, at: number, times = 1) => {
    for (let i = 0; i < times; i++) board.report(board.indexOf(id), outcome, at)
  }
  const tier = (id: string) => board.tier(board.indexOf(id))
  return { board, events, report, tier }
}

const up: ProbeResult = { ok: true, detail: '200' }
const down: ProbeResult = { ok: false, detail: '503' }

describe('active checks', () => {
  const rules = activeRules(health)
  it.each([
    ['+', 'up'],
    ['-', 'down'],
    ['+-', 'up'],
    ['+--', 'down'],
    ['+-+-', 'up'],
    ['+--+', 'down'],
    ['+--++', 'up'],
    ['-+', 'down'],
    ['-+-+-+', 'down'],
    ['+!', 'down'],
  ])('%s leaves an origin %s', (results, expected) => {
    let state = NEVER_CHECKED
    for (const mark of results) {
      state = afterProbe(state, { ok: mark === '+', detail: '', immediate: mark === '!' }, rules)
    }
    expect(state.state).toBe(expected)
  })

  it('asks faster while the state is about to change, always with some jitter', () => {
    const steady = afterProbe(NEVER_CHECKED, up, rules)
    expect(nextProbeDelay(steady, rules, 0)).toBe(4500)
    expect(nextProbeDelay(steady, rules, 0.999)).toBeCloseTo(5500, -1)
    expect(nextProbeDelay(afterProbe(steady, down, rules), rules, 0.5)).toBe(1000)
  })

  it('finds a dead origin in about ten seconds at worst', () => {
    expect(worstDetection(rules)).toBeLessThan(11_000)
  })

  const config = v.parse(HealthSection, { expect: ['200-299', '404'], body: 'ok' })
  it.each([
    [200, 'all ok', undefined, { ok: true, drain: false }],
    [404, 'ok', undefined, { ok: true }],
    [200, 'all bad', undefined, { ok: false, detail: '200 without the expected text' }],
    [200, undefined, undefined, { ok: false }],
    [302, 'ok', undefined, { ok: false, detail: 'redirect 302' }],
    [503, 'ok', undefined, { ok: false, detail: '503' }],
    [204, 'ok', ' Drain ', { ok: true, drain: true }],
  ])('judges %s %s', (status, body, state, expected) => {
    expect(judgeHttpProbe(config, status, body, state)).toMatchObject(expected)
  })
})

describe('ejection by live traffic', () => {
  it.each<[string, [Outcome, number][], string]>([
    ['two refused connections', [['connect', 2]], 'ejected'],
    ['one', [['connect', 1]], 'unknown'],
    [
      'two with a success between',
      [
        ['connect', 1],
        ['ok', 1],
        ['connect', 1],
      ],
      'up',
    ],
    ['five cut bodies', [['truncated', 5]], 'ejected'],
    ['four', [['truncated', 4]], 'unknown'],
    [
      'five of several kinds',
      [
        ['reset', 1],
        ['timeout', 1],
        ['gateway-error', 2],
        ['protocol', 1],
      ],
      'ejected',
    ],
    ['clients that leave', [['cancelled', 50]], 'unknown'],
    ['clients that send half a body', [['request-body', 50]], 'unknown'],
    ['idle connections that were closed', [['stale-connection', 50]], 'unknown'],
  ])('%s', (_name, outcomes, expected) => {
    const { report, tier } = boardOf([pool('a', 3)])
    for (const [outcome, times] of outcomes) report('a-1', outcome, 100, times)
    expect(tier('a-1')).toBe(expected)
  })

  it('ejects on half failures of at least twenty within ten seconds', () => {
    const mixed = (failures: number, successes: number, spreadMs: number) => {
      const { report, tier } = boardOf([pool('a', 3)])
      const total = failures + successes
      for (let i = 0; i < total; i++) {
        const isFailure =
          Math.floor(((i + 1) * failures) / total) > Math.floor((i * failures) / total)
        report('a-1', isFailure ? 'timeout' : 'ok', (i * spreadMs) / total)
      }
      return tier('a-1')
    }
    expect(mixed(12, 12, 5000)).toBe('ejected')
    expect(mixed(9, 9, 5000)).toBe('up')
    expect(mixed(8, 32, 5000)).toBe('up')
    expect(mixed(20, 20, 60_000)).toBe('up')
  })

  it('doubles the ejection with each relapse, up to a limit, and forgets in good times', () => {
    const { board, report, tier, events } = boardOf([pool('a', 3)])
    const until = () => board.states()[0]!.ejectedUntil!
    let now = 0
    report('a-1', 'connect', now, 2)
    const lengths: number[] = []
    for (let i = 0; i < 9; i++) {
      lengths.push(until() - now)
      now = until()
      board.advance(now - 1)
      expect(tier('a-1')).toBe('ejected')
      board.advance(now)
      expect(tier('a-1')).toBe('trial')
      report('a-1', 'connect', now)
    }
    expect(lengths).toEqual([
      5000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000,
    ])
    now = until()
    report('a-1', 'ok', now, 3)
    expect(tier('a-1')).toBe('up')
    report('a-1', 'connect', now + 200_000, 2)
    expect(until() - now - 200_000).toBe(5000)
    expect(events.at(-1)).toMatchObject({
      origin: 'a-1',
      from: 'up',
      to: 'ejected',
      cause: 'connect',
    })
  })

  it('lets one request at a time try an origin that comes back', () => {
    const { board, report, tier } = boardOf([pool('a', 3)])
    report('a-1', 'truncated', 0, 5)
    board.advance(5000)
    const index = board.indexOf('a-1')
    expect(board.isUp(index)).toBe(true)
    board.began(index, 5000)
    expect(board.isUp(index)).toBe(false)
    report('a-1', 'ok', 5100)
    expect(board.isUp(index)).toBe(true)
    board.began(index, 5200)
    board.advance(36_000)
    expect(board.isUp(index), 'a lost trial blocks nothing for ever').toBe(true)
    report('a-1', 'ok', 36_000, 2)
    expect(tier('a-1')).toBe('up')
    expect(board.upSince(index)).toBe(5000)
  })

  it.each<[string, number[], Outcome, string[]]>([
    ['half of a pool that is alone', [4], 'timeout', ['a-1', 'a-2']],
    ['one of two', [2], 'timeout', ['a-1']],
    ['none that is alone', [1], 'timeout', []],
    ['all but one where connections are refused', [4], 'connect', ['a-1', 'a-2', 'a-3']],
    ['not the very last', [1], 'connect', []],
    ['one pool of two as a whole', [3, 3], 'timeout', ['a-1', 'a-2', 'a-3', 'b-1']],
    ['one single of three', [1, 1, 1], 'gateway-error', ['a-1']],
    ['two singles of four', [1, 1, 1, 1], 'truncated', ['a-1', 'b-1']],
    ['all single ones that refuse but one', [1, 1, 1], 'connect', ['a-1', 'b-1']],
  ])('ejects %s when all origins of pools of %j end in %s', (_name, sizes, outcome, expected) => {
    const pools = sizes.map((size, i) => pool('abcd'[i]!, size))
    const { board, report } = boardOf(pools)
    for (const each of pools) for (const { id } of each.origins) report(id, outcome, 0, 9)
    const ejected = board.states().filter((each) => each.tier === 'ejected')
    expect(ejected.map((each) => each.id)).toEqual(expected)
  })

  it('brings an origin back by a good check only when it could not be connected to', () => {
    const both = boardOf([pool('a', 4, { active: activeRules(health) })])
    for (const each of [1, 2, 3, 4]) both.board.onProbe(`a-${each}`, up, 0)
    both.report('a-1', 'connect', 0, 2)
    both.report('a-2', 'gateway-error', 0, 5)
    both.board.onProbe('a-1', up, 1000)
    both.board.onProbe('a-2', up, 1000)
    expect([both.tier('a-1'), both.tier('a-2')]).toEqual(['trial', 'ejected'])
  })

  it('believes another worker, within the same limits', () => {
    const { board, tier } = boardOf([pool('a', 2)])
    board.adoptEjection('a-1', 5000, 0)
    board.adoptEjection('a-2', 5000, 0)
    board.adoptEjection('nobody', 5000, 0)
    expect([tier('a-1'), tier('a-2')]).toEqual(['ejected', 'unknown'])
    board.advance(5000)
    expect(tier('a-1')).toBe('trial')
  })
})

describe('regions', () => {
  it('have a bit each, for as long as one origin is usable', () => {
    const checked = { active: activeRules(health) }
    const { board, events } = boardOf([pool('a', 2, checked), pool('b', 1, checked)])
    expect([board.low, board.high]).toEqual([3, 0])
    const { version } = board
    board.onProbe('a-1', down, 0)
    expect(board.low).toBe(3)
    board.onProbe('a-2', down, 0)
    expect(board.low).toBe(2)
    board.onProbe('b-1', down, 0)
    expect(board.low).toBe(0)
    expect(board.version).toBeGreaterThan(version)
    board.onProbe('a-1', up, 0)
    board.onProbe('a-1', up, 0)
    expect(board.low).toBe(1)
    const moves = events.flatMap(({ regions }) => regions)
    expect(moves).toEqual([
      { region: 'a', isUp: false },
      { region: 'b', isUp: false },
      { region: 'a', isUp: true },
    ])
  })

  it('beyond the 32nd have theirs in the second word', () => {
    const pools = Array.from({ length: 40 }, (_, i) =>
      pool(`p${i}`, 1, { active: activeRules(health) }),
    )
    const { board, events } = boardOf(pools)
    expect([board.low, board.high]).toEqual([-1, 255])
    board.onProbe('p39-1', down, 0)
    board.onProbe('p31-1', down, 0)
    expect([board.low >>> 0, board.high]).toEqual([0x7fffffff, 127])
    expect(events.flatMap(({ regions }) => regions.map((each) => each.region))).toEqual([
      'p39',
      'p31',
    ])
  })

  it('shed clients when too few of their origins are up', () => {
    const checked = { active: activeRules(health) }
    const { board } = boardOf([pool('a', 4, checked), pool('b', 1, checked)], { spillBelow: 0.75 })
    board.onProbe('a-1', down, 0)
    expect(board.shares).toBeUndefined()
    board.onProbe('a-2', down, 0)
    expect(board.shares?.[0]).toBeCloseTo(0.5 / 0.75)
    expect(board.shares?.[1]).toBe(1)
  })

  it('drain by the origin’s own wish', () => {
    const { board, tier } = boardOf([pool('a', 1, { active: activeRules(health) })])
    board.onProbe('a-1', { ...up, drain: true }, 0)
    expect(tier('a-1')).toBe('draining')
    expect(board.low).toBe(0)
    board.onProbe('a-1', up, 0)
    expect(tier('a-1')).toBe('up')
  })
})

describe('a reload', () => {
  it('keeps what is known of origins that stay', () => {
    const checked = { active: activeRules(health) }
    const old = boardOf([pool('a', 3, checked)])
    for (const id of ['a-1', 'a-2', 'a-3']) old.board.onProbe(id, up, 0)
    old.board.onProbe('a-1', down, 0)
    old.board.onProbe('a-1', down, 0)
    old.report('a-2', 'truncated', 0, 5)
    const renewed = boardOf([pool('b', 1), pool('a', 3, checked)], { previous: old.board })
    expect(['a-1', 'a-2', 'a-3', 'b-1'].map((id) => renewed.tier(id))).toEqual([
      'down',
      'ejected',
      'up',
      'unknown',
    ])
    // Requests from before the reload still move the old board; that must not hold up the new one.
    old.board.advance(5000)
    old.report('a-3', 'connect', 5000, 2)
    expect(renewed.tier('a-3')).toBe('up')
    renewed.board.advance(5000)
    expect(renewed.tier('a-2')).toBe('trial')
  })

  it('forgets the verdict of checks that are no longer made', () => {
    const old = boardOf([pool('a', 1, { active: activeRules(health) })])
    old.board.onProbe('a-1', down, 0)
    const renewed = boardOf([pool('a', 1)], { previous: old.board })
    expect(renewed.tier('a-1')).toBe('unknown')
  })
})

describe('ProbeScheduler', () => {
  const target = (id: string) => ({
    // Only the id matters here; the runtime's prober reads the rest.
    origin: { id } as OriginAddress,
    health,
  })

  function schedulerOf(
    answer: (id: string, round: number) => Promise<ProbeResult>,
    patience?: number,
  ) {
    const clock = new VirtualClock()
    const { board, events, tier } = boardOf([pool('a', 2, { active: activeRules(health) })])
    const asked: { id: string; at: number }[] = []
    const rounds = new Map<string, number>()
    const scheduler = new ProbeScheduler(
      ['a-1', 'a-2'].map(target),
      board,
      ({ origin }) => {
        asked.push({ id: origin.id, at: clock.time })
        const round = (rounds.get(origin.id) ?? 0) + 1
        rounds.set(origin.id, round)
        return answer(origin.id, round)
      },
      clock,
      random(),
      undefined,
      patience,
    )
    scheduler.start()
    return { clock, board, events, asked, scheduler, tier }
  }

  it('leaves the checks to whoever makes them, until three intervals pass without one', async () => {
    const { clock, asked, board, scheduler, tier } = schedulerOf(async () => up, 3)
    const hear = (id: string, result: ProbeResult) => {
      board.onProbe(id, result, clock.time)
      scheduler.heard(id)
    }
    for (let i = 0; i < 10; i++) {
      await clock.pass(5000)
      hear('a-1', up)
      hear('a-2', i < 9 ? up : { ...down, immediate: true })
    }
    expect(asked).toEqual([])
    expect([tier('a-1'), tier('a-2')]).toEqual(['up', 'down'])
    await clock.pass(14_999)
    expect(asked).toEqual([])
    // Nobody says anything any more: it asks itself, and goes on.
    await clock.pass(30_002)
    expect(asked.filter(({ id }) => id === 'a-1').map(({ at }) => at)).toEqual([
      65_000, 80_000, 95_000,
    ])
  })

  it('takes other origins, and leaves those alone that stay', async () => {
    const { clock, asked, scheduler } = schedulerOf(async () => up)
    const [a1, a2] = ['a-1', 'a-2'].map(target)
    scheduler.retarget([a1!, a2!])
    await clock.pass(600)
    asked.length = 0
    scheduler.retarget([a1!, target('a-3')])
    await clock.pass(10_000)
    expect(asked.some(({ id }) => id === 'a-2')).toBe(false)
    expect(asked.filter(({ id }) => id === 'a-3').map(({ at }) => at)[0]).toBe(1100)
    scheduler.stop()
    scheduler.retarget([target('a-4')])
    asked.length = 0
    await clock.pass(20_000)
    expect(asked).toEqual([])
  })

  it('asks each origin in its interval, faster when in doubt, and tells the board', async () => {
    const { clock, asked, events, tier } = schedulerOf(async (id, round) =>
      id === 'a-1' || round < 3 ? up : down,
    )
    await clock.pass(499)
    expect(asked).toEqual([])
    await clock.pass(19_501)
    const times = (id: string) => asked.filter((each) => each.id === id).map((each) => each.at)
    expect(times('a-1')).toEqual([500, 5500, 10_500, 15_500])
    expect(times('a-2')).toEqual([500, 5500, 10_500, 11_500, 16_500])
    expect(tier('a-1')).toBe('up')
    expect(tier('a-2')).toBe('down')
    expect(events.at(-1)).toMatchObject({
      at: 11_500,
      origin: 'a-2',
      to: 'down',
      cause: 'probe: 503',
    })
  })

  it('asks once an interval though its own answer shows an ejection, and stops when told to', async () => {
    const { clock, board, asked, scheduler, tier } = schedulerOf(async (id, round) =>
      id === 'a-1' && round < 3 ? down : up,
    )
    let shown = 0
    board.subscribe(({ origin, to }) => {
      if (to !== 'ejected') return
      shown++
      scheduler.hurry(origin)
    })
    await clock.pass(2000)
    // It is down by its checks, and fails requests until it would be ejected for those too.
    for (let i = 0; i < 8; i++) {
      board.report(board.indexOf('a-1'), 'connect', clock.time)
      board.report(board.indexOf('a-2'), 'ok', clock.time)
    }
    for (let second = 0; second < 60; second++) {
      await clock.pass(1000)
      board.report(board.indexOf('a-1'), 'connect', clock.time)
    }
    expect(shown).toBeGreaterThan(0)
    expect(tier('a-1')).toBe('ejected')
    const before = asked.length
    await clock.pass(50_000)
    expect(asked.length - before).toBeLessThanOrEqual(20)
    scheduler.stop()
    expect(clock.pending).toBe(0)
  })

  it('takes silence, rejection and late answers for failures, and never asks twice at once', async () => {
    let late: ((result: ProbeResult) => void) | undefined
    const { clock, asked, board, tier } = schedulerOf((id) =>
      id === 'a-1'
        ? new Promise((resolve) => {
            late ??= resolve
          })
        : Promise.reject(new Error('connection refused')),
    )
    await clock.pass(2400)
    expect(asked.filter((each) => each.id === 'a-1')).toHaveLength(1)
    await clock.pass(200)
    expect(tier('a-1')).toBe('down')
    expect(tier('a-2')).toBe('down')
    expect(board.states().map((each) => each.lastProbe)).toEqual([
      'no answer in 2000 ms',
      'connection refused',
    ])
    late?.(up)
    await clock.pass(100)
    expect(board.states()[0]?.lastProbe).toBe('no answer in 2000 ms')
  })

  it('hurries on demand and stops for good', async () => {
    const { clock, asked, scheduler } = schedulerOf(async () => up)
    await clock.pass(1000)
    scheduler.hurry('a-1')
    await clock.pass(600)
    expect(asked.filter((each) => each.id === 'a-1').map((each) => each.at)).toEqual([500, 1500])
    scheduler.stop()
    expect(clock.pending).toBe(0)
    await clock.pass(60_000)
    expect(asked).toHaveLength(3)
  })
})

describe('slow start', () => {
  it.each([
    [0, 0.1],
    [1500, 0.1],
    [15_000, 0.5],
    [30_000, 1],
    [-5, 0.1],
  ])('after %i ms an origin gets %f of its weight', (elapsed, factor) => {
    expect(slowStartFactor(elapsed, 30_000)).toBeCloseTo(factor)
  })
  it('can be off, or steeper at first', () => {
    expect(slowStartFactor(0, 0)).toBe(1)
    expect(slowStartFactor(7500, 30_000, 2)).toBe(0.5)
  })
})

describe('whatever happens', () => {
  it('a pool never loses all its origins, half stay unless connections fail, and ejections end', () => {
    const outcomes = [
      'ok',
      'connect',
      'timeout',
      'truncated',
      'gateway-error',
      'cancelled',
    ] as const
    const step = fc.record({
      origin: fc.nat(4),
      outcome: fc.constantFrom(...outcomes),
      wait: fc.nat(3000),
      begin: fc.boolean(),
    })
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 50, maxLength: 300 }),
        fc.boolean(),
        (steps, mayRefuse) => {
          const { board } = boardOf([pool('a', 5)])
          const least = mayRefuse ? 1 : 3
          let now = 0
          for (const { origin, outcome, wait, begin } of steps) {
            now += wait
            board.advance(now)
            if (begin) board.began(origin, now)
            board.report(origin, !mayRefuse && outcome === 'connect' ? 'reset' : outcome, now)
            const usable = board
              .states()
              .filter((each) => ['up', 'unknown', 'trial'].includes(each.tier))
            if (usable.length < least) throw new Error(`${usable.length} left`)
            if (board.low !== 1) throw new Error('the region lost its bit')
          }
          board.advance(now + 400_000)
          expect(board.states().every((each) => each.tier !== 'ejected')).toBe(true)
        },
      ),
      { numRuns: 200 },
    )
  })
})
