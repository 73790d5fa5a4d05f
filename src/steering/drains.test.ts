import { describe, expect, it } from 'vitest'
import { DrainBoard } from './drains.ts'
import { explain } from './explain.ts'
import { maskOf } from './regions.ts'
import { PLACES, worldOf } from './steering.fixture.ts'

const order = { since: 0, until: null, by: 'somebody', reason: null }
const three = ['eu-central-1', 'us-east-1', 'ap-southeast-1']

function drainsOf(world: ReturnType<typeof worldOf>): DrainBoard {
  return world.plan.init.drains
}

describe('a region that an operator drains', () => {
  it('gets nothing at once, and its clients back at once', () => {
    const world = worldOf({ regions: three })
    const drains = drainsOf(world)
    // Twice: decisions are kept by place.
    for (let i = 0; i < 2; i++) expect(world.where(PLACES.frankfurt)).toBe('eu-central-1')
    drains.drain({ ...order, region: 'eu-central-1' })
    for (let i = 0; i < 2; i++) expect(world.where(PLACES.frankfurt)).toBe('us-east-1')
    expect(world.decide(PLACES.frankfurt)).toMatchObject({
      reason: 'failover',
      order: ['us-east-1', 'ap-southeast-1'],
    })
    expect(drains.enable('eu-central-1')).toBe(true)
    expect(drains.enable('eu-central-1')).toBe(false)
    expect(world.where(PLACES.frankfurt)).toBe('eu-central-1')
  })

  it('is no last resort, and counts neither as residency nor as ill', () => {
    const world = worldOf({
      regions: three,
      residency: [{ id: 'eu', from: { countries: ['DE'] }, allowTags: ['EU'] }],
    })
    drainsOf(world).drain({ ...order, region: 'eu-central-1' })
    expect(world.decide(PLACES.frankfurt)).toMatchObject({
      outcome: 'denied',
      code: 'residency-unavailable',
      status: 503,
      lastResort: [],
    })
    const none = maskOf([])
    expect(world.decide(PLACES.newYork, none)).toMatchObject({
      code: 'region-unavailable',
      lastResort: ['us-east-1', 'ap-southeast-1'],
    })
    const told = explain(world.plan, PLACES.newYork, { clientHash: 1 }, world.regions.all)
    expect(told.candidates.map((each) => [each.region, each.outcome])).toEqual([
      ['eu-central-1', 'drained'],
      ['us-east-1', 'chosen'],
      ['ap-southeast-1', 'available'],
    ])
  })

  it('comes back by itself when its time is over', () => {
    const world = worldOf({ regions: three })
    const drains = drainsOf(world)
    drains.drain({ ...order, region: 'eu-central-1', until: 1000 })
    drains.drain({ ...order, region: 'us-east-1', until: 2000 })
    drains.advance(999)
    expect(world.where(PLACES.frankfurt)).toBe('ap-southeast-1')
    drains.advance(1000)
    expect(world.where(PLACES.frankfurt)).toBe('eu-central-1')
    expect(drains.list().map((one) => one.region)).toEqual(['us-east-1'])
    drains.advance(5000)
    expect(drains.any).toBe(false)
  })

  it('stays so over a reload that moves, removes and brings back regions', () => {
    const before = new DrainBoard(worldOf({ regions: three }).regions)
    before.drain({ ...order, region: 'us-east-1' })
    const without = new DrainBoard(worldOf({ regions: ['eu-central-1'] }).regions, before)
    expect([without.any, without.list().length]).toEqual([false, 1])
    const again = new DrainBoard(
      worldOf({ regions: ['us-east-1', 'eu-central-1'] }).regions,
      without,
    )
    expect([again.has(0), again.has(1)]).toEqual([true, false])
  })

  it('may be any of 64', () => {
    const regions = Array.from({ length: 64 }, (_, i) => ({
      id: `r${i}`,
      latitude: i,
      longitude: i,
      tags: [],
    }))
    const world = worldOf({ regions })
    const drains = drainsOf(world)
    for (let i = 0; i < 63; i++) drains.drain({ ...order, region: `r${i}` })
    expect(world.where(PLACES.frankfurt)).toBe('r63')
    expect([drains.has(31), drains.has(32), drains.has(63)]).toEqual([true, true, false])
  })
})
