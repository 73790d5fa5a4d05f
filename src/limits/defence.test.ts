import { createHmac } from 'node:crypto'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { ConcurrencySection, PenaltyBoxSection } from '../config/sections/limits.ts'
import type { IpAddress } from '../exchange.ts'
import { parseIp } from '../http/ip.ts'
import { AdaptiveConcurrency, refusalProbability } from './adaptive.ts'
import { FakeClock, SEED } from './exchange.fixture.ts'
import { PenaltyBox } from './penalty-box.ts'
import { WaitingRoom, type WaitingRoomVerdict } from './waiting-room.ts'

const ip = (text: string) => parseIp(text) as IpAddress

describe('penalty box', () => {
  it('R28: three blocks, and the fourth request is refused; terms double', () => {
    const clock = new FakeClock()
    const box = new PenaltyBox(v.parse(PenaltyBoxSection, {}), clock, SEED)
    const offend = () => [1, 2, 3].map(() => box.record(ip('192.0.2.1'), 'waf'))
    expect(box.blockedFor(ip('192.0.2.1'))).toBe(0)
    expect(offend()).toEqual([false, false, true])
    expect(box.blockedFor(ip('192.0.2.1'))).toBe(60)
    expect(box.blockedFor(ip('192.0.2.2'))).toBe(0)
    expect(box.size).toBe(1)
    clock.ms = 60_000
    expect(box.blockedFor(ip('192.0.2.1'))).toBe(0)
    offend()
    expect(box.blockedFor(ip('192.0.2.1'))).toBe(120)
    for (let i = 0; i < 20; i++) {
      clock.ms += box.blockedFor(ip('192.0.2.1')) * 1000
      offend()
    }
    expect(box.blockedFor(ip('192.0.2.1'))).toBe(86_400)
    // A day in the box, then fifty minutes without offence: a first offender again.
    clock.ms += 86_400_000 + 10 * 300_000
    offend()
    expect(box.blockedFor(ip('192.0.2.1'))).toBe(60)
    box.release(ip('192.0.2.1'))
    expect(box.blockedFor(ip('192.0.2.1'))).toBe(0)
  })

  it('R22: a ban of 30 days holds after 25', () => {
    const clock = new FakeClock()
    const config = v.parse(PenaltyBoxSection, { minimum: '30d', maximum: '30d', threshold: 1 })
    const box = new PenaltyBox(config, clock, SEED)
    box.record(ip('192.0.2.1'), 'waf')
    clock.ms = 25 * 86_400_000
    expect(box.blockedFor(ip('192.0.2.1'))).toBe(5 * 86_400)
  })

  it('forgets what is long ago, counts IPv6 by /64, spares the exempt', () => {
    const clock = new FakeClock()
    const config = v.parse(PenaltyBoxSection, {})
    const box = new PenaltyBox(config, clock, SEED, (address) => address.text === '198.51.100.1')
    box.record(ip('192.0.2.1'), 'waf')
    box.record(ip('192.0.2.1'), 'waf')
    clock.ms = 300_000
    expect(box.record(ip('192.0.2.1'), 'waf')).toBe(false)
    expect(box.record(ip('192.0.2.1'), 'waf')).toBe(true)
    for (const n of [1, 2, 3]) box.record(ip(`2001:db8::${n}`), 'waf')
    expect(box.blockedFor(ip('2001:db8::ff'))).toBe(60)
    for (let i = 0; i < 9; i++) box.record(ip('198.51.100.1'), 'waf')
    expect(box.blockedFor(ip('198.51.100.1'))).toBe(0)
    expect(box.blockedFor(undefined)).toBe(0)
  })

  it('a flood of single offences frees nobody', () => {
    const clock = new FakeClock()
    const config = v.parse(PenaltyBoxSection, { slots: 64 })
    const box = new PenaltyBox(config, clock, SEED)
    for (let i = 0; i < 3; i++) box.record(ip('192.0.2.1'), 'waf')
    for (let i = 0; i < 5000; i++) box.record(ip(`10.0.${i >> 8}.${i & 255}`), 'auth')
    expect(box.blockedFor(ip('192.0.2.1'))).toBe(60)
  })
})

describe('adaptive concurrency', () => {
  /** 40 servers of 100 ms behind a queue, in steps of 10 ms; half of them between 30 s and 60 s. */
  function simulate(load: number, enforce: boolean) {
    const config = v.parse(ConcurrencySection, { mode: enforce ? 'enforce' : 'observe' })
    const control = new AdaptiveConcurrency(config)
    const timeout = 2000
    const waiting: number[] = []
    const busy: { start: number; end: number }[] = []
    const good = { before: 0, during: 0, after: 0 }
    const latencies: number[] = []
    let due = 0
    for (let now = 0; now < 120_000; now += 10) {
      const servers = now >= 30_000 && now < 60_000 ? 20 : 40
      for (let i = busy.length - 1; i >= 0; i--) {
        const job = busy[i] as { start: number; end: number }
        if (job.end > now) continue
        busy.splice(i, 1)
        const latency = now - job.start
        control.finish(Math.min(latency, timeout), now)
        if (latency > timeout) continue
        latencies.push(latency)
        good[now < 30_000 ? 'before' : now < 60_000 ? 'during' : 'after']++
      }
      due += load * 4
      for (; due >= 1; due--) if (control.start('critical')) waiting.push(now)
      while (busy.length < servers && waiting.length > 0) {
        busy.push({ start: waiting.shift() as number, end: now + 100 })
      }
    }
    latencies.sort((a, b) => a - b)
    const possible = (servers: number, seconds: number) =>
      Math.min(load * 400, servers * 10) * seconds
    return {
      during: good.during / possible(20, 30),
      after: good.after / possible(40, 60),
      p99: latencies[Math.floor(latencies.length * 0.99)] as number,
      limit: control.limit,
    }
  }

  it.each([0.7, 1.5])(
    'R26: at load %f an origin at half its capacity still does its work',
    (load) => {
      const controlled = simulate(load, true)
      expect(controlled.during).toBeGreaterThanOrEqual(0.95)
      expect(controlled.after).toBeGreaterThanOrEqual(0.95)
      expect(controlled.p99).toBeLessThanOrEqual(1000)
      // The same without the limit: what it is for.
      const free = simulate(load, false)
      expect(free.during).toBeLessThan(0.5)
    },
  )

  it('sheds the least important first, and always lets something through', () => {
    const config = v.parse(ConcurrencySection, { mode: 'enforce', initial: 10, minimum: 1 })
    const control = new AdaptiveConcurrency(config)
    const started = (priority: 'critical' | 'default' | 'sheddable' | 'batch') => {
      let count = 0
      while (control.start(priority)) count++
      return count
    }
    expect([
      started('batch'),
      started('sheddable'),
      started('default'),
      started('critical'),
    ]).toEqual([5, 2, 2, 1])
    expect(control.shed).toBe(4)
    for (let i = 0; i < 10; i++) control.finish(undefined, 0)
    expect(control.inFlight).toBe(0)
    expect(control.limit).toBe(10)
  })

  it('admission control refuses in proportion to what fails', () => {
    expect(refusalProbability(100, 95, 0.95, 1)).toBe(0)
    expect(refusalProbability(100, 0, 0.95, 1)).toBeCloseTo(0.99)
    expect(refusalProbability(99, 50, 1, 1)).toBeCloseTo(0.49)
    expect(refusalProbability(99, 50, 1, 2)).toBeCloseTo(0.7)
  })
})

describe('waiting room', () => {
  const START = 1_000_000_000_000
  function room(more: object = {}) {
    let seed = 7
    return new WaitingRoom({
      id: 'sale',
      admitPerSecond: 10,
      sessionMs: 600_000,
      opensAt: 0,
      sign: (text) => createHmac('sha256', 'secret').update(text).digest('base64url'),
      random: () => {
        seed = (seed * 16_807) % 2_147_483_647
        return seed / 2_147_483_647
      },
      ...more,
    })
  }
  const shown = (verdict: WaitingRoomVerdict) =>
    verdict.admitted ? 'in' : `${verdict.position} ${verdict.waitSeconds}s`

  it('admits at its rate and in order; a visitor who was admitted stays in', () => {
    const sale = room()
    const visitors = Array.from({ length: 40 }, (_, i) => `visitor ${i}`)
    const cookies = new Map<string, string>()
    const visit = (name: string, now: number) => {
      const verdict = sale.visit({ name, cookie: cookies.get(name) }, now)
      cookies.set(name, verdict.cookie)
      return shown(verdict)
    }
    const first = visitors.map((name) => visit(name, START))
    expect(first.filter((text) => text === 'in')).toHaveLength(10)
    expect(first.slice(10, 12)).toEqual(['1 1s', '2 1s'])
    expect(first[39]).toBe('30 3s')
    expect(sale.queued(START)).toBe(30)
    const second = visitors.map((name) => visit(name, START + 1000))
    expect(second.filter((text) => text === 'in')).toHaveLength(20)
    expect(second.slice(0, 20)).toEqual(Array(20).fill('in'))
    expect(visit('visitor 0', START + 600_999)).toBe('in')
    // Ten minutes away: the session has ended, and with an empty queue a new ticket is good at once.
    expect(visit('visitor 5', START + 1_300_000)).toBe('in')
  })

  it('R29: a ticket that somebody else copied, or a changed one, goes to the back', () => {
    const sale = room()
    for (let i = 0; i < 50; i++) sale.visit({ name: `${i}`, cookie: undefined }, START)
    const mine = sale.visit({ name: '2001:db8::/64 ua', cookie: undefined }, START)
    expect(shown(mine)).toBe('41 5s')
    const again = sale.visit({ name: '2001:db8::/64 ua', cookie: mine.cookie }, START)
    expect(shown(again)).toBe('41 5s')
    const copied = sale.visit({ name: '2001:db8:0:1::/64 ua', cookie: mine.cookie }, START)
    expect(shown(copied)).toBe('42 5s')
    const forged = mine.cookie.replace(/^ticket\.\d+/, 'ticket.1')
    expect(shown(sale.visit({ name: '2001:db8::/64 ua', cookie: forged }, START))).toBe('43 5s')
    const session = `session.${START * 2}~${'A'.repeat(43)}`
    expect(shown(sale.visit({ name: 'x', cookie: session }, START))).toBe('44 5s')
  })

  it('draws the order of those who came before the opening', () => {
    const sale = room({ opensAt: START + 60_000 })
    const early = Array.from({ length: 100 }, (_, i) => {
      const verdict = sale.visit({ name: `${i}`, cookie: undefined }, START)
      expect(verdict.admitted).toBe(false)
      return verdict.cookie
    })
    const late = sale.visit({ name: 'late', cookie: undefined }, START + 60_000)
    expect(shown(late)).toBe('101 11s')
    const admitted = (now: number) =>
      early
        .map((cookie, i) => [i, sale.visit({ name: `${i}`, cookie }, now).admitted] as const)
        .filter(([, isIn]) => isIn)
        .map(([i]) => i)
    const soon = admitted(START + 62_000)
    expect(soon.length).toBeGreaterThan(10)
    expect(soon.length).toBeLessThan(30)
    expect(Math.max(...soon)).toBeGreaterThan(50)
    expect(admitted(START + 70_000)).toHaveLength(100)
    expect(sale.visit({ name: 'late', cookie: late.cookie }, START + 70_100).admitted).toBe(true)
  })

  it('does not save up admissions while nobody comes', () => {
    const sale = room()
    sale.visit({ name: 'first', cookie: undefined }, START)
    const crowd = Array.from({ length: 30 }, (_, i) =>
      sale.visit({ name: `${i}`, cookie: undefined }, START + 3_600_000),
    )
    expect(crowd.filter((verdict) => verdict.admitted)).toHaveLength(10)
  })
})
