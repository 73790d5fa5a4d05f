import { describe, expect, it } from 'vitest'
import { attemptWorld, bodyOf } from './scripted.fixture.ts'

const refusing = { a1: { fails: 'connect' as const }, b1: { fails: 'connect' as const } }
const up = { a1: {}, b1: {} }

function world(init: Partial<Parameters<typeof attemptWorld>[0]> = {}) {
  const made = attemptWorld({
    acts: { ...refusing },
    ...init,
    policy: { holdMs: 2000, ...init.policy },
  })
  const comeBack = () => {
    for (const [id, act] of Object.entries(up)) made.upstream.script(id, act)
  }
  return { ...made, comeBack }
}

describe('while nothing can be reached', () => {
  it('a request waits, and is answered as soon as one of those who were sent ahead is', async () => {
    const { request, clock, comeBack, counted, hold } = world()
    const all = Array.from({ length: 50 }, () => request().done)
    await clock.pass(1500)
    // One may be on its way.
    expect(hold.waiting).toBeGreaterThanOrEqual(49)
    comeBack()
    await clock.pass(200)
    expect(await Promise.all(all)).toEqual(all.map(() => ({ status: 200 })))
    expect(counted).toEqual(all.map(() => 'held:served'))
    expect(hold.waiting).toBe(0)
  })

  it('an origin that comes up by its checks wakes everybody at once', async () => {
    const { request, clock, comeBack, hold, health } = world({ policy: { holdMs: 60_000 } })
    health.down.add(0).add(1)
    const all = Array.from({ length: 20 }, () => request().done)
    await clock.pass(1010)
    comeBack()
    health.down.clear()
    const at = clock.time
    hold.recovered(1)
    await clock.pass(5)
    expect(await Promise.all(all)).toEqual(all.map(() => ({ status: 200 })))
    expect(clock.time - at).toBe(5)
  })

  it('the origins are asked no more than ten times a second, however many wait', async () => {
    const { request, clock, upstream, hold } = world({ policy: { holdMs: 5000 } })
    for (let i = 0; i < 200; i++) request()
    await clock.pass(500)
    const before = upstream.sent.length
    await clock.pass(3000)
    // One that is sent ahead makes three tries.
    expect(upstream.sent.length - before).toBeLessThanOrEqual(3 * 31)
    expect(upstream.sent.length - before).toBeGreaterThan(30)
    expect(hold.waiting).toBeGreaterThan(190)
    await clock.pass(3000)
    expect(hold.waiting).toBe(0)
  })

  it.each([
    ['its time is over', {}, {}, 2000],
    ['the deadline is nearer', { deadlineMs: 700 }, {}, 700],
  ])('it fails when %s', async (_what, policy, _more, after) => {
    const { request, clock, counted } = world({ policy })
    const { done } = request()
    let failedAt = 0
    const start = clock.time
    void done.then(() => {
      failedAt = clock.time - start
    })
    await clock.pass(5000)
    expect(await done).toEqual({ problem: 'origin-connect' })
    expect(failedAt).toBeGreaterThanOrEqual(after - 1)
    expect(failedAt).toBeLessThan(after + 110)
    expect(counted).toEqual(['held:failed'])
  })

  it('a request that was under way when all went waits with the others', async () => {
    const acts = {
      a1: [{ fails: 'reset' as const }, { fails: 'connect' as const }],
      b1: refusing.b1,
    }
    const { request, clock, comeBack } = world({ acts })
    const { done } = request()
    await clock.pass(1000)
    comeBack()
    await clock.pass(300)
    expect(await done).toEqual({ status: 200 })
  })

  it('a request that breaks whatever takes it is sent twice, not for as long as it waits', async () => {
    const { request, clock, upstream } = world({
      acts: { a1: { fails: 'reset' }, b1: { fails: 'connect' } },
      policy: { holdMs: 60_000, tries: 2 },
    })
    const { done } = request()
    await clock.pass(60_000)
    expect(await done).toHaveProperty('problem')
    expect(upstream.sent.filter((each) => each.origin === 'a1')).toHaveLength(2)
  })

  it('no more than the room holds wait; the others fail at once', async () => {
    const { request, clock, counted, hold } = world({ mostWaiters: 5 })
    const all = Array.from({ length: 8 }, () => request())
    await clock.pass(120)
    expect(hold.waiting).toBeLessThanOrEqual(5)
    expect(counted.filter((each) => each === 'held:full').length).toBe(3)
    for (const { attempts } of all) attempts.cancel()
    await clock.pass(1)
    expect(hold.waiting).toBe(0)
  })

  it('a client that leaves frees its place', async () => {
    const { request, clock, hold, upstream } = world()
    const { attempts, done } = request()
    await clock.pass(300)
    attempts.cancel()
    expect(await done).toEqual({ problem: 'client-closed' })
    expect(hold.waiting).toBe(0)
    const { length } = upstream.sent
    await clock.pass(3000)
    expect(upstream.sent.length).toBe(length)
  })

  it.each<[string, () => ReturnType<ReturnType<typeof world>['request']>['done']]>([
    ['a POST', () => run('POST')],
    ['a body that was read', () => run('PUT', 'spent')],
    ['a route that does not hold', () => run('GET', undefined, { policy: { holdMs: 0 } })],
    [
      'an origin that answers, badly',
      () => run('GET', undefined, { acts: { a1: { fails: 'connect' }, b1: { fails: 'reset' } } }),
    ],
    ['another origin up', () => run('GET', undefined, { places: { a: 5 }, policy: { tries: 2 } })],
  ])('nothing waits for %s', async (_what, start) => {
    expect(await start()).toHaveProperty('problem')
  })

  async function run(
    method: string,
    state?: 'spent',
    init: Partial<Parameters<typeof attemptWorld>[0]> = {},
  ) {
    const acts = Object.fromEntries(
      ['a1', 'a2', 'a3', 'a4', 'a5', 'b1'].map((id) => [id, { fails: 'connect' as const }]),
    )
    const { request, clock, hold } = world({ acts, ...init })
    const { done } = request(method, [], state === undefined ? null : bodyOf(state))
    await clock.pass(200)
    expect(hold.waiting).toBe(0)
    return done
  }
})
