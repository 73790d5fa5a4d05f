/** Who attacks, told from what is usual: sketch, score, and what becomes of it. */
import fc from 'fast-check'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { ThreatsSection } from '../../src/config/sections/threats.ts'
import { parseIp } from '../../src/http/ip.ts'
import { judge } from '../../src/telemetry/threats/judgement.ts'
import { HeavyKeys } from '../../src/telemetry/threats/sketch.ts'
import {
  type AnomalyChange,
  type Finished,
  mergeThreats,
  Threats,
} from '../../src/telemetry/threats/threats.ts'

describe('the heaviest keys', () => {
  it('hold every key above its share, and are never too light nor heavier than they admit', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 400 }),
        fc.integer({ min: 1, max: 12 }),
        (stream, capacity) => {
          const sketch = new HeavyKeys<number, string>(capacity)
          const truth = new Map<number, number>()
          for (const key of stream) {
            sketch.add(key, `k${key}`, 1)
            truth.set(key, (truth.get(key) ?? 0) + 1)
          }
          const found = new Map(sketch.top(capacity).map((one) => [one.key, one]))
          expect(sketch.size).toBeLessThanOrEqual(capacity)
          for (const [key, count] of truth) {
            const one = found.get(key)
            if (count > stream.length / capacity) expect(one).toBeDefined()
            if (one === undefined) continue
            expect(one.weight).toBeGreaterThanOrEqual(count)
            expect(one.weight - one.error).toBeLessThanOrEqual(count)
            expect(one.label).toBe(`k${key}`)
          }
          const weights = sketch.top(capacity).map((one) => one.weight)
          expect(weights).toEqual([...weights].sort((a, b) => b - a))
        },
      ),
    )
  })

  it('let the past fade', () => {
    const sketch = new HeavyKeys<string, string>(2)
    sketch.add('old', 'old', 100)
    sketch.fade(0.01)
    sketch.add('new', 'new', 5)
    sketch.add('newer', 'newer', 1)
    expect(sketch.top(2).map(({ key }) => key)).toEqual(['new', 'newer'])
  })
})

const usual = { rate: 1, faultShare: 0.05, refusedShare: 0.01 }
const of = (requests: number, faults = 0, refused = 0) => ({
  seconds: 10,
  requests,
  faults,
  refused,
})

describe('the score', () => {
  it.each([
    { name: 'as usual', traffic: of(10), usual, from: 0, to: 0 },
    { name: 'twice as much', traffic: of(40), usual, from: 0, to: 20 },
    { name: 'a rush of good requests', traffic: of(100_000), usual, from: 70, to: 85 },
    { name: 'a scan: all in vain', traffic: of(60, 60), usual, from: 75, to: 85 },
    { name: 'a fast scan', traffic: of(400, 400), usual, from: 95, to: 100 },
    { name: 'an attack: all refused', traffic: of(40, 0, 40), usual, from: 85, to: 100 },
    { name: 'a few refused of many', traffic: of(20, 0, 1), usual, from: 0, to: 10 },
    { name: 'two requests, both refused', traffic: of(2, 0, 2), usual, from: 20, to: 35 },
    {
      name: 'refused, nothing known yet',
      traffic: of(40, 0, 40),
      usual: undefined,
      from: 85,
      to: 100,
    },
    { name: 'many, nothing known yet', traffic: of(100_000), usual: undefined, from: 0, to: 0 },
    {
      name: 'what is mostly in vain is usual here',
      traffic: of(20, 17),
      usual: { ...usual, faultShare: 0.8 },
      from: 0,
      to: 20,
    },
  ])('of $name is $from to $to', ({ traffic, usual, from, to }) => {
    const { score } = judge(traffic, usual, 2)
    expect(score).toBeGreaterThanOrEqual(from)
    expect(score).toBeLessThanOrEqual(to)
  })

  it('is said in words and numbers', () => {
    expect(judge(of(1240, 992, 6), usual, 2).why).toBe(
      '124 requests/s, usually 1; 0.5 % refused, usually 1 %; 80 % asked in vain, usually 5 %',
    )
  })
})

function scene(config: object = {}) {
  const changes: AnomalyChange[] = []
  const threats = new Threats(
    v.parse(ThreatsSection, config),
    (ip) => ip.text,
    (change) => changes.push(change),
  )
  const clock = { now: 1_000_000 }
  const ask = (ip: string, facts: Partial<Finished> = {}) =>
    threats.observe(
      parseIp(ip),
      { route: 'shop', status: 200, outcome: 'served', wasBlocked: false, ...facts },
      clock.now,
    )
  /** Ordinary visitors for so many windows: ten networks, five requests each a window, some 404. */
  const visitors = (windows: number) => {
    for (let w = 0; w < windows; w++) {
      for (let n = 0; n < 50; n++) {
        ask(`198.51.${100 + (n % 10)}.7`, n === 13 ? { status: 404 } : {})
        clock.now += 200
      }
    }
  }
  return { threats, changes, clock, ask, visitors }
}

const NOT_FOUND = { status: 404 } as const
const BLOCKED = { status: 403, outcome: 'blocked', wasBlocked: true } as const

describe('a network', () => {
  it('that scans is anomalous within its first seconds, once, until it is quiet', () => {
    const { threats, changes, clock, ask, visitors } = scene()
    visitors(30)
    expect(changes).toEqual([])
    let bad = 0
    for (let i = 0; i < 300; i++) {
      if (ask(`203.0.113.${i % 200}`, NOT_FOUND)) bad++
      clock.now += 20
    }
    expect(changes).toMatchObject([{ isOver: false, network: '203.0.113.0/24', route: 'shop' }])
    expect(changes[0]?.why).toMatch(/usually .*100 % asked in vain, usually 2 %/)
    // From the moment it was found, all that is in vain counts against its clients; what is good does not.
    expect(bad).toBeGreaterThan(200)
    expect(ask('203.0.113.9')).toBe(false)
    expect(threats.report(10, clock.now).anomalies).toMatchObject([{ network: '203.0.113.0/24' }])
    clock.now += 61_000
    visitors(1)
    expect(threats.count(clock.now)).toBe(0)
    expect(changes.map(({ isOver }) => isOver)).toEqual([false, true])
    expect(ask('203.0.113.9', NOT_FOUND)).toBe(false)
  })

  it('that is always busy is compared with itself', () => {
    const { changes, clock, ask, visitors } = scene()
    visitors(20)
    // A proxy of a company: 40 times the visitors of another network, growing slowly.
    for (let w = 0; w < 60; w++) {
      for (let n = 0; n < 100 + w * 3; n++) {
        ask('192.0.2.1')
        clock.now += 30
      }
      clock.now += 10_000 - (((100 + w * 3) * 30) % 10_000)
    }
    expect(changes).toEqual([])
  })

  it('of IPv6 is a /48; routes are judged apart', () => {
    const { threats, changes, clock, ask } = scene()
    for (let i = 0; i < 64; i++) {
      ask(`2001:db8:7:${i.toString(16)}::${i}`, BLOCKED)
      ask(`2001:db8:8:${i.toString(16)}::${i}`, { route: 'api' })
      clock.now += 50
    }
    expect(changes).toMatchObject([{ network: '2001:db8:7::/48', route: 'shop' }])
    expect(threats.report(10, clock.now).attackers).toEqual([
      { network: '2001:db8:7::/48', refused: 64, error: 0 },
    ])
  })

  it('does not vanish in a flood of others, and memory is bounded', () => {
    const { threats, clock, ask } = scene({ capacity: 64 })
    for (let i = 0; i < 32; i++) ask('203.0.113.5', BLOCKED)
    for (let i = 0; i < 5000; i++) {
      ask(`10.${i >> 8}.${i & 255}.1`, i % 2 === 0 ? NOT_FOUND : BLOCKED)
      clock.now += 1
    }
    const report = threats.report(100, clock.now)
    expect(report.watched).toBe(64)
    expect(threats.displaced).toBeGreaterThan(4000)
    expect(report.anomalies).toMatchObject([{ network: '203.0.113.0/24' }])
    expect(report.attackers[0]).toMatchObject({ network: '203.0.113.0/24' })
  })

  it('is one network in the reports of several processes', () => {
    const attacker = { network: 'a', refused: 2, error: 0 }
    const anomaly = { network: 'a', route: 'r', score: 80, why: '', age: 1 }
    const merged = mergeThreats(
      [
        { attackers: [attacker], anomalies: [anomaly], watched: 1 },
        {
          attackers: [attacker, { network: 'b', refused: 3, error: 1 }],
          anomalies: [{ ...anomaly, score: 90 }],
          watched: 2,
        },
      ],
      1,
    )
    expect(merged).toEqual({
      attackers: [{ network: 'a', refused: 4, error: 0 }],
      anomalies: [{ ...anomaly, score: 90 }],
      watched: 3,
    })
  })
})
