import { describe, expect, it } from 'vitest'
import type { RolloutPlan } from './rollout.ts'
import { Rollout, Rollouts } from './rollouts.ts'
import { clients } from './steering.fixture.ts'

const plan: RolloutPlan = {
  id: 'shop',
  steps: [1, 10, 50, 100],
  bakeMs: 60_000,
  gate: { errorPoints: 0.5, p95Ratio: 1.3, minSamples: 100 },
}
const all = clients(5000)

/** Requests of everybody, again and again, a hundred a second. */
function run(
  rollout: Rollout,
  from: number,
  to: number,
  fresh: { errors?: number; ms?: number; healthy?: number } = {},
) {
  const events = []
  for (let now = from; now < to; now += 10) {
    const arm = rollout.armOf(all[(now / 10) % all.length]!)
    const isError = arm === 'new' && (now * 7919) % 1000 < (fresh.errors ?? 0) * 1000
    rollout.count(arm, isError, arm === 'new' ? (fresh.ms ?? 100) : 100)
    const event = rollout.review(fresh.healthy ?? 1, now)
    if (event !== undefined) events.push({ at: now, ...event })
  }
  return events
}

describe('a rollout under traffic', () => {
  it('goes through its steps, each for its time, and only adds clients', () => {
    const rollout = new Rollout(plan, 'dc', 'cloud', 0)
    let before = new Set<number>()
    const seen: number[] = []
    for (let now = 0; now < 300_000; now += 10_000) {
      run(rollout, now, now + 10_000)
      const inside = new Set(all.filter((hash) => rollout.armOf(hash) === 'new'))
      expect([...before].every((hash) => inside.has(hash))).toBe(true)
      before = inside
      seen.push(rollout.percent)
    }
    expect([...new Set(seen)]).toEqual([1, 10, 50, 100])
    expect(rollout.status(300_000)).toMatchObject({
      rollout: 'shop',
      phase: 'done',
      percent: 100,
      from: 'dc',
      to: 'cloud',
    })
  })

  it.each<[string, object, number]>([
    ['fails', { errors: 0.05 }, 30_000],
    ['is slow', { ms: 200 }, 100_000],
    ['is half down', { healthy: 0.4 }, 10_001],
  ])('goes back to nobody when the new pool %s, and stays there', (_what, fresh, within) => {
    const rollout = new Rollout({ ...plan, steps: [10, 100] }, 'dc', 'cloud', 0)
    run(rollout, 0, 10_000)
    const [event, ...more] = run(rollout, 10_000, 120_000, fresh)
    expect(event).toMatchObject({ percent: 0, phase: 'rolled-back' })
    expect(event!.at).toBeLessThanOrEqual(within)
    expect(more).toEqual([])
    expect(run(rollout, 120_000, 300_000)).toEqual([])
    expect(all.some((hash) => rollout.armOf(hash) === 'new')).toBe(false)
  })

  it('waits at a step for as long as there is too little to compare', () => {
    const rollout = new Rollout(plan, 'dc', 'cloud', 0)
    for (let now = 0; now < 3_600_000; now += 60_000) {
      rollout.count(rollout.armOf(all[now % 5000]!), false, 100)
      expect(rollout.review(1, now)).toBeUndefined()
    }
    expect(rollout.percent).toBe(1)
  })

  it('is moved by operators', () => {
    const rollout = new Rollout(plan, 'dc', 'cloud', 0)
    expect(rollout.command('advance', 1)).toMatchObject({ percent: 10 })
    expect(rollout.command('freeze', 2)).toMatchObject({ phase: 'frozen' })
    expect(run(rollout, 3, 200_000)).toEqual([])
    expect(rollout.command('rollback', 200_001)).toMatchObject({ percent: 0 })
    expect(rollout.command('rollback', 200_002)).toBeUndefined()
  })
})

describe('another process', () => {
  it('puts it where it is there, and leaves it where the plan is another', () => {
    const there = new Rollout(plan, 'dc', 'cloud', 0)
    there.command('advance', 1000)
    const here = new Rollout(plan, 'dc', 'cloud', 50_000)
    expect(here.adopt(there.status(11_000), 60_000)).toMatchObject({ percent: 10 })
    expect(here.status(60_000)).toMatchObject({ step: 1, phase: 'baking', sinceMs: 10_000 })
    const changed = new Rollout({ ...plan, steps: [5, 100] }, 'dc', 'cloud', 0)
    expect(changed.adopt(there.status(11_000), 60_000)).toBeUndefined()
    expect(changed.percent).toBe(5)
    there.command('rollback', 12_000)
    expect(changed.adopt(there.status(12_000), 60_000)).toMatchObject({ phase: 'rolled-back' })
  })
})

describe('a restart', () => {
  const began = (steps?: number[]) =>
    new Rollout({ ...plan, steps: steps ?? plan.steps }, 'dc', 'cloud', 0)

  it.each<[string, ('advance' | 'rollback' | 'freeze')[], number[] | undefined, object]>([
    ['goes on at the step', ['advance', 'advance'], undefined, { percent: 50, phase: 'baking' }],
    ['stays frozen', ['advance', 'freeze'], undefined, { percent: 10, phase: 'frozen' }],
    ['stays back', ['advance', 'rollback'], undefined, { percent: 0, phase: 'rolled-back' }],
    ['stays back under other steps', ['rollback'], [5, 100], { percent: 0, phase: 'rolled-back' }],
    ['goes no further under other steps', ['advance'], [5, 60], { percent: 5, phase: 'baking' }],
  ])('%s', (_what, commands, steps, expected) => {
    const before = began()
    for (const command of commands) before.command(command, 5)
    const after = began(steps)
    expect(after.restore(JSON.parse(JSON.stringify(before.status(1000))), 7)).toBe(true)
    expect(after.status(7)).toMatchObject({ ...expected, sinceMs: 0 })
    run(after, 10, 1000)
    expect(after.status(1000)).toMatchObject(expected)
  })

  it('to other pools begins anew', () => {
    const before = began()
    before.command('advance', 0)
    const other = new Rollout(plan, 'dc', 'edge', 0)
    expect(other.restore(before.status(0), 0)).toBe(false)
    expect(other.percent).toBe(1)
  })

  it('is prepared for by telling of every change, once', () => {
    const rollout = began()
    const told: unknown[] = []
    new Rollouts(new Map([['shop', rollout]])).watch(({ percent, phase }) =>
      told.push([percent, phase]),
    )
    run(rollout, 0, 140_000)
    rollout.command('freeze', 140_000)
    rollout.command('freeze', 140_001)
    rollout.command('rollback', 140_002)
    expect(told).toEqual([
      [10, 'baking'],
      [10, 'frozen'],
      [0, 'rolled-back'],
    ])
  })
})

describe('a reload', () => {
  it.each<[string, number[], string, object]>([
    ['with nothing changed', [1, 10, 50, 100], 'cloud', { percent: 10, phase: 'baking' }],
    ['with a step in between', [1, 5, 20, 100], 'cloud', { percent: 5, phase: 'baking' }],
    ['with larger steps only', [20, 100], 'cloud', { percent: 20, phase: 'baking' }],
    ['that ends below', [1, 5], 'cloud', { percent: 5, phase: 'done' }],
    ['to another pool', [1, 10, 50, 100], 'other', { percent: 1, phase: 'baking' }],
  ])('%s', (_what, steps, to, expected) => {
    const before = new Rollout(plan, 'dc', 'cloud', 0)
    before.command('advance', 1)
    const after = new Rollout({ ...plan, steps }, 'dc', to, 100, before)
    expect(new Rollouts(new Map([['shop', after]])).status(100)[0]).toMatchObject(expected)
  })

  it('does not undo a rollback', () => {
    const before = new Rollout(plan, 'dc', 'cloud', 0)
    before.command('rollback', 1)
    const after = new Rollout({ ...plan, steps: [50, 100] }, 'dc', 'cloud', 100, before)
    expect(after.status(100)).toMatchObject({ percent: 0, phase: 'rolled-back' })
  })
})
