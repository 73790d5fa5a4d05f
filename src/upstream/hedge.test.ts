import { describe, expect, it } from 'vitest'
import { attemptWorld, bodyOf } from './scripted.fixture.ts'

const places = { a: 2 }
const hedge = { afterMs: 100, percent: 5 }

/** Requests go to the first origin first: the second one is known to be good. */
function world(init: Partial<Parameters<typeof attemptWorld>[0]> = {}) {
  const made = attemptWorld({ places, acts: {}, ...init, policy: { hedge, ...init.policy } })
  made.places[0]!.pool.turn = 0.5
  return made
}

describe('a hedged request', () => {
  it('is answered by whichever origin is first, and the other is called off', async () => {
    const { clock, request, upstream, counted, places } = world({
      acts: { a1: { after: 1500 }, a2: { after: 10, status: 204 } },
    })
    const { done } = request()
    await clock.pass(111)
    expect(await done).toEqual({ status: 204 })
    expect(
      upstream.sent.map(({ origin, at, cancelled }) => [origin, at - 1000, cancelled]),
    ).toEqual([
      ['a1', 0, true],
      ['a2', 100, false],
    ])
    await clock.pass(5000)
    expect(counted).toEqual(['hedge:won'])
    expect(places[0]!.pool.origins.map((origin) => origin.load.inFlight)).toEqual([0, 0])
  })

  it('is sent once when it is quick', async () => {
    const { clock, request, upstream } = world()
    const { done } = request()
    await clock.pass(5000)
    expect(await done).toEqual({ status: 200 })
    expect(upstream.sent).toHaveLength(1)
  })

  it('whose hedge fails still has the first answer, and the other way about', async () => {
    for (const [slow, other] of [
      [{ after: 500 }, { fails: 'reset' as const }],
      [{ after: 500, fails: 'reset' as const }, { after: 800 }],
    ] as const) {
      const { clock, request, counted } = world({ acts: { a1: slow, a2: other } })
      const { done } = request()
      await clock.pass(3000)
      expect(await done).toEqual({ status: 200 })
      expect(counted).toEqual(['fails' in slow ? 'hedge:won' : 'hedge:lost'])
    }
  })

  it.each([
    ['POST', 'POST', null, {}],
    ['PUT', 'PUT', bodyOf('replayable'), {}],
    ['a GET with a body', 'GET', bodyOf('replayable'), {}],
    ['one try', 'GET', null, { tries: 1 }],
    ['no hedge in the config', 'GET', null, { hedge: undefined }],
    ['too little known of the pool', 'GET', null, { hedge: { afterMs: undefined, percent: 5 } }],
  ])('is none: %s', async (_what, method, body, policy) => {
    const { clock, request, upstream } = world({ acts: { a1: { after: 1000 } }, policy })
    const { done } = request(method, [], body)
    await clock.pass(3000)
    expect(await done).toEqual({ status: 200 })
    expect(upstream.sent).toHaveLength(1)
  })

  it('is none in a panic, and never goes to an origin that is down', async () => {
    const slow = { a1: { after: 1000 } }
    const panicking = world({ acts: slow })
    panicking.health.share = 0.49
    panicking.request()
    const down = world({ acts: slow })
    down.health.down.add(1)
    down.request()
    await panicking.clock.pass(3000)
    await down.clock.pass(3000)
    expect(panicking.upstream.sent).toHaveLength(1)
    expect(down.upstream.sent).toHaveLength(1)
  })

  it('waits for the 95th percentile, and adds no more than its share of load', async () => {
    const { clock, request, upstream, counted } = world({
      places: { a: 3 },
      policy: { hedge: { afterMs: undefined, percent: 5 } },
    })
    for (let i = 0; i < 200; i++) {
      request()
      await clock.pass(1)
    }
    expect(upstream.sent).toHaveLength(200)
    for (const id of ['a1', 'a2', 'a3']) upstream.script(id, { after: 50 })
    // Everything is slow at once: hedging all of it would double the load.
    for (let i = 0; i < 1000; i++) {
      request()
      await clock.pass(1)
    }
    await clock.pass(1000)
    const extra = upstream.sent.length - 1200
    expect(extra).toBeGreaterThan(5)
    expect(extra).toBeLessThanOrEqual(1200 * 0.05 + 2)
    expect(counted).toContain('hedge:refused')
  })
})
