import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { OutlierSection } from '../config/sections/health.ts'
import { HealthBoard } from './board.ts'
import { FleetHealth } from './fleet.ts'
import { outlierRules } from './outlier.ts'

const FRESH_MS = 15_000
const bad = { ok: false, detail: 'refused', immediate: true }
const good = { ok: true, detail: '200' }

class Gateway {
  readonly board = new HealthBoard(
    [
      {
        id: 'p',
        origins: ['a', 'b'].map((id) => ({ id, weight: 100 })),
        active: { intervalMs: 5000, fastIntervalMs: 1000, timeoutMs: 2000, rise: 2, fall: 2 },
        outlier: outlierRules(v.parse(OutlierSection, {})),
        maxEjected: 0.5,
      },
    ],
    [],
    { next: () => 0.5, bytes: (count) => new Uint8Array(count) },
    () => {},
  )
  readonly fleet: FleetHealth
  constructor(name: string) {
    this.fleet = new FleetHealth(name, FRESH_MS, 0)
  }
  tier(id: string) {
    return this.board.states().find((state) => state.id === id)?.tier
  }
}

/** Gateways that hear each other, unless one is cut off. */
function fleetOf(...names: string[]) {
  const all = names.map((name) => new Gateway(name))
  let now = 1000
  const tell = (cut: readonly Gateway[] = []) => {
    for (const from of all) {
      const reports = from.fleet.reports(from.board, ['a', 'b'], now)
      if (cut.includes(from)) continue
      for (const to of all) {
        if (cut.includes(to)) continue
        for (const report of reports) to.fleet.accept(report, to.board, now)
      }
    }
    for (const { fleet, board } of all) fleet.review(board, now)
  }
  const probe = (gateway: Gateway, origin: string, result: typeof good | typeof bad) => {
    gateway.board.onProbe(origin, result, now)
  }
  const pass = (ms: number) => {
    now += ms
  }
  for (const gateway of all) for (const id of ['a', 'b']) probe(gateway, id, good)
  return { all, tell, probe, pass, at: () => now }
}

describe('the fleet’s opinion', () => {
  it.each<[string, number[], string[]]>([
    ['nobody fails', [], ['up', 'up', 'up']],
    ['one alone is not believed', [0], ['down', 'up', 'up']],
    ['two of three are', [0, 1], ['down', 'down', 'down']],
  ])('%s', (_what, failing, tiers) => {
    const { all, tell, probe } = fleetOf('x', 'y', 'z')
    for (const i of failing) probe(all[i]!, 'a', bad)
    tell()
    expect(all.map((gateway) => gateway.tier('a'))).toEqual(tiers)
    expect(all.map((gateway) => gateway.tier('b'))).toEqual(['up', 'up', 'up'])
  })

  it('ends as soon as the majority ends, without an echo of itself', () => {
    const { all, tell, probe } = fleetOf('x', 'y', 'z')
    probe(all[0]!, 'a', bad)
    probe(all[1]!, 'a', bad)
    for (let i = 0; i < 5; i++) tell()
    expect(all[2]!.board.states()[0]).toMatchObject({
      tier: 'down',
      active: 'up',
      fleet: '2 of 3 gateways cannot use it',
    })
    for (let i = 0; i < 2; i++) probe(all[1]!, 'a', good)
    tell()
    expect(all.map((gateway) => gateway.tier('a'))).toEqual(['down', 'up', 'up'])
  })

  it('never says that what failed here is up', () => {
    const { all, tell, probe, at } = fleetOf('x', 'y', 'z')
    for (let i = 0; i < 2; i++) all[0]!.board.report(0, 'connect', at())
    probe(all[1]!, 'b', bad)
    tell()
    expect(all[0]!.tier('a')).toBe('ejected')
    expect(all[1]!.tier('b')).toBe('down')
  })

  it('leaves a gateway its last usable origin, and takes it when there is another', () => {
    const { all, tell, probe } = fleetOf('x', 'y', 'z')
    for (const i of [0, 1]) probe(all[i]!, 'a', bad)
    probe(all[2]!, 'b', bad)
    tell()
    expect([all[2]!.tier('a'), all[2]!.tier('b')]).toEqual(['up', 'down'])
    for (let i = 0; i < 2; i++) probe(all[2]!, 'b', good)
    tell()
    expect([all[2]!.tier('a'), all[2]!.tier('b')]).toEqual(['down', 'up'])
    // The other one goes: what only others cannot use is better than nothing.
    probe(all[2]!, 'b', bad)
    tell()
    expect([all[2]!.tier('a'), all[2]!.tier('b')]).toEqual(['up', 'down'])
  })

  it('grows old: a gateway that hears nobody is on its own', () => {
    const { all, tell, probe, pass, at } = fleetOf('x', 'y', 'z')
    for (const i of [0, 1]) probe(all[i]!, 'a', bad)
    tell()
    expect(all[2]!.fleet.gateways(at())).toBe(3)
    for (let i = 0; i < 3; i++) {
      pass(5000)
      tell([all[2]!])
    }
    expect(all[2]!.tier('a')).toBe('down')
    pass(1)
    tell([all[2]!])
    expect(all[2]!.tier('a')).toBe('up')
    expect(all[2]!.fleet.gateways(at())).toBe(1)
    expect(all[0]!.fleet.gateways(at())).toBe(2)
  })

  it('takes no older word for a newer one, nor one on origins that are not here', () => {
    const { all, at } = fleetOf('x')
    const [x] = all
    for (const node of ['y', 'z']) {
      x!.fleet.accept({ node, origin: 'a', isUp: false, epoch: 9 }, x!.board, at())
      x!.fleet.accept({ node, origin: 'a', isUp: true, epoch: 8 }, x!.board, at())
      x!.fleet.accept({ node, origin: 'elsewhere', isUp: false, epoch: 9 }, x!.board, at())
    }
    x!.fleet.review(x!.board, at())
    expect(x!.tier('a')).toBe('down')
  })
})
