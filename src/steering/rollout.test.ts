import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type ArmWindow,
  beginRollout,
  bucketOf,
  commandRollout,
  type GateVerdict,
  isInNewArm,
  judgeArms,
  type RolloutPlan,
  reviewRollout,
  rolloutSalt,
} from './rollout.ts'
import { clients } from './steering.fixture.ts'

const gate = { errorPoints: 0.5, p95Ratio: 1.3, minSamples: 400 }
const plan: RolloutPlan = { id: 'to-cloud', steps: [1, 5, 25, 50, 100], bakeMs: 300_000, gate }
const good: GateVerdict = { verdict: 'good' }

describe('the split', () => {
  const all = clients(50_000)
  const salt = rolloutSalt('to-cloud')

  it('is as large as asked, within half a point, and only grows', () => {
    let before = new Set<number>()
    for (const percent of [0, 0.01, 1, 5, 10, 25, 50, 99, 100]) {
      const inside = new Set(all.filter((hash) => isInNewArm(hash, salt, percent)))
      expect(Math.abs((inside.size / all.length) * 100 - percent)).toBeLessThan(0.5)
      expect([...before].every((hash) => inside.has(hash))).toBe(true)
      before = inside
    }
    expect(before.size).toBe(new Set(all).size)
  })

  it('is independent between rollouts', () => {
    const other = rolloutSalt('to-edge')
    const both = all.filter((hash) => isInNewArm(hash, salt, 50) && isInNewArm(hash, other, 50))
    expect(both.length / all.length).toBeCloseTo(0.25, 1)
  })

  it('is monotone for any client and share', () => {
    const percent = fc.double({ min: 0, max: 100, noNaN: true })
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.nat(0xffffffff), percent, percent, (hash, seed, a, b) => {
        const bucket = bucketOf(hash, seed)
        expect(bucket).toBeGreaterThanOrEqual(0)
        expect(bucket).toBeLessThan(10_000)
        const [less, more] = a < b ? [a, b] : [b, a]
        expect(!isInNewArm(hash, seed, less) || isInNewArm(hash, seed, more)).toBe(true)
      }),
    )
  })
})

describe('the gate', () => {
  const arm = (requests: number, errors: number, p95Ms = 100): ArmWindow => ({
    requests,
    errors,
    p95Ms,
  })
  it.each<[string, ArmWindow, ArmWindow, object]>([
    ['the same', arm(5000, 10), arm(5000, 10), { verdict: 'good' }],
    ['too few to say', arm(5000, 10), arm(399, 300), { verdict: 'unsure', samples: 399 }],
    ['clearly more errors', arm(5000, 10), arm(5000, 100), { verdict: 'bad', why: 'errors' }],
    ['more by chance', arm(400, 1), arm(400, 5), { verdict: 'good' }],
    ['significantly but hardly more', arm(500_000, 500), arm(500_000, 1500), { verdict: 'good' }],
    ['fewer errors', arm(5000, 500), arm(5000, 5), { verdict: 'good' }],
    ['slower', arm(5000, 0, 100), arm(5000, 0, 131), { verdict: 'bad', why: 'latency' }],
    ['a little slower', arm(5000, 0, 100), arm(5000, 0, 129), { verdict: 'good' }],
    ['nothing known of time', arm(5000, 0, Number.NaN), arm(5000, 0, 50), { verdict: 'good' }],
  ])('%s', (_name, old, fresh, expected) => {
    expect(judgeArms(old, fresh, gate)).toMatchObject(expected)
  })
})

describe('the stages', () => {
  it('go on only after a good time at each', () => {
    let state = beginRollout(plan, 0)
    const percents: number[] = []
    for (let now = 0; state.phase !== 'done'; now += 10_000) {
      percents.push(state.percent)
      state = reviewRollout(plan, state, good, 1, now)
    }
    expect([...new Set(percents)]).toEqual([1, 5, 25, 50])
    expect(percents.filter((percent) => percent === 5).length).toBe(30)
    expect(state).toMatchObject({ percent: 100, phase: 'done' })
  })

  it('wait while nothing can be said', () => {
    const state = beginRollout(plan, 0)
    const unsure: GateVerdict = { verdict: 'unsure', samples: 3 }
    expect(reviewRollout(plan, state, unsure, 1, 1e9).percent).toBe(1)
  })

  const errors: GateVerdict = { verdict: 'bad', why: 'errors', value: 2 }
  const slow: GateVerdict = { verdict: 'bad', why: 'latency', value: 2 }
  it.each<[string, GateVerdict[], number, string]>([
    ['errors', [errors], 1, 'rolled-back'],
    ['one slow window', [slow], 1, 'baking'],
    ['two in a row', [slow, slow], 1, 'rolled-back'],
    ['two with a good one between', [slow, good, slow], 1, 'baking'],
    ['half of the new pool down', [good], 0.49, 'rolled-back'],
  ])('with %s', (_name, verdicts, healthy, phase) => {
    let state = beginRollout(plan, 0)
    for (const verdict of verdicts) state = reviewRollout(plan, state, verdict, healthy, 10_000)
    expect(state.phase).toBe(phase)
    expect(state.percent).toBe(phase === 'rolled-back' ? 0 : 1)
  })

  it('stay back after a rollback until an operator acts, even after the last step', () => {
    let state = reviewRollout(
      plan,
      { ...beginRollout(plan, 0), phase: 'done', percent: 100 },
      errors,
      1,
      1,
    )
    expect(state).toMatchObject({ phase: 'rolled-back', percent: 0 })
    for (let i = 0; i < 100; i++) state = reviewRollout(plan, state, good, 1, i * 1e6)
    expect(state.percent).toBe(0)
    state = commandRollout(plan, state, 'advance', 5)
    expect(state).toMatchObject({ phase: 'baking', percent: 1 })
    state = commandRollout(plan, state, 'advance', 5)
    expect(state.percent).toBe(5)
    state = commandRollout(plan, state, 'freeze', 5)
    expect(reviewRollout(plan, state, good, 1, 1e9).percent).toBe(5)
    state = commandRollout(plan, state, 'resume', 10)
    expect(state).toMatchObject({ phase: 'baking', since: 10 })
    expect(commandRollout(plan, state, 'rollback', 11)).toMatchObject({ phase: 'rolled-back' })
  })
})
