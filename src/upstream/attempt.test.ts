import { describe, expect, it } from 'vitest'
import type { UpstreamErrorClass } from '../ports.ts'
import { type BodyState, backoffMs, resendAfter, retryAfterMs, retryDepth } from './resend.ts'
import { type Act, attemptWorld, bodyOf } from './scripted.fixture.ts'

const KINDS: UpstreamErrorClass[] = [
  'connect',
  'stale-connection',
  'reset',
  'protocol',
  'timeout',
  'truncated',
  'cancelled',
  'request-body',
]

describe('what is sent again', () => {
  // Rows: kind. Columns: repeatable or not, by state of the body.
  const table: Record<UpstreamErrorClass, [repeatable: string, unsafe: string]> = {
    connect: ['elsewhere', 'elsewhere'],
    'stale-connection': ['same-fresh', 'no'],
    reset: ['elsewhere', 'no'],
    protocol: ['only-elsewhere', 'no'],
    timeout: ['only-elsewhere', 'no'],
    truncated: ['elsewhere', 'no'],
    cancelled: ['no', 'no'],
    'request-body': ['no', 'no'],
  }
  it.each(KINDS)('after %s', (kind) => {
    for (const body of ['none', 'replayable'] as BodyState[]) {
      expect([resendAfter(kind, true, body), resendAfter(kind, false, body)]).toEqual(table[kind])
    }
    expect([resendAfter(kind, true, 'spent'), resendAfter(kind, false, 'spent')]).toEqual([
      'no',
      'no',
    ])
  })

  const cases: [
    what: string,
    request: { method?: string; headers?: string[]; body?: 'replayable' | 'spent'; key?: boolean },
    first: Act,
    hits: string,
    outcome: number | string,
  ][] = [
    ['GET refused', {}, { fails: 'connect' }, 'a1 b1', 200],
    ['POST refused', { method: 'POST', body: 'replayable' }, { fails: 'connect' }, 'a1 b1', 200],
    [
      'POST refused, body read',
      { method: 'POST', body: 'spent' },
      { fails: 'connect' },
      'a1',
      'origin-connect',
    ],
    ['GET reset', {}, { fails: 'reset' }, 'a1 b1', 200],
    [
      'POST reset',
      { method: 'POST', body: 'replayable' },
      { fails: 'reset' },
      'a1',
      'origin-reset',
    ],
    ['PUT reset', { method: 'PUT', body: 'replayable' }, { fails: 'reset' }, 'a1 b1', 200],
    [
      'PUT reset, body read',
      { method: 'PUT', body: 'spent' },
      { fails: 'reset' },
      'a1',
      'origin-reset',
    ],
    ['GET late', {}, { after: 60_000 }, 'a1 b1', 200],
    ['POST late', { method: 'POST' }, { after: 60_000 }, 'a1', 'origin-timeout'],
    ['GET cut', {}, { fails: 'truncated' }, 'a1 b1', 200],
    ['POST cut', { method: 'POST' }, { fails: 'truncated' }, 'a1', 'origin-truncated'],
    ['GET nonsense', {}, { fails: 'protocol' }, 'a1 b1', 200],
    ['GET 503', {}, { status: 503 }, 'a1 b1', 200],
    ['POST 503', { method: 'POST' }, { status: 503 }, 'a1', 503],
    ['GET 500', {}, { status: 500 }, 'a1', 500],
    ['GET 429', {}, { status: 429 }, 'a1', 429],
    ['GET, body of the client cut', {}, { fails: 'request-body' }, 'a1', 'body-cut'],
    [
      'POST reset, with a key',
      { method: 'POST', headers: ['Idempotency-Key', 'k'] },
      { fails: 'reset' },
      'a1',
      'origin-reset',
    ],
    [
      'POST reset, with a key, opted in',
      { method: 'POST', headers: ['Idempotency-Key', 'k'], key: true },
      { fails: 'reset' },
      'a1 b1',
      200,
    ],
    [
      'POST reset, opted in without a key',
      { method: 'POST', key: true },
      { fails: 'reset' },
      'a1',
      'origin-reset',
    ],
  ]
  it.each(cases)('%s', async (_what, { method, headers, body, key }, first, hits, outcome) => {
    const world = attemptWorld({ acts: { a1: first }, policy: { idempotencyKey: key === true } })
    const { done } = world.request(method, headers, body === undefined ? null : bodyOf(body))
    await world.clock.pass(5000)
    expect(await done).toEqual(
      typeof outcome === 'number' ? { status: outcome } : { problem: outcome },
    )
    expect(world.upstream.sent.map((each) => each.origin).join(' ')).toBe(hits)
    expect(
      world.places.every(({ pool }) => pool.origins.every((one) => one.load.inFlight === 0)),
    ).toBe(true)
  })
})

describe('a kept-alive connection that the origin had closed', () => {
  it('costs a free try at the same origin, on a new connection, and no opinion of it', async () => {
    const world = attemptWorld({
      acts: { a1: [{ fails: 'stale-connection' }, {}] },
      policy: { tries: 1 },
    })
    while (world.places[0]!.pool.budget.mayRetry(1000));
    const { done } = world.request()
    await world.clock.pass(10)
    expect(await done).toEqual({ status: 200 })
    expect(world.upstream.sent.map(({ origin, fresh }) => [origin, fresh])).toEqual([
      ['a1', false],
      ['a1', true],
    ])
    expect(world.counted).toEqual([])
  })

  it('twice in a row is an ordinary failure', async () => {
    const world = attemptWorld({ acts: { a1: { fails: 'stale-connection' } } })
    const { done } = world.request()
    await world.clock.pass(10)
    expect(await done).toEqual({ status: 200 })
    expect(world.upstream.sent.map(({ origin }) => origin)).toEqual(['a1', 'a1', 'b1'])
  })

  it('is an error for a POST, which may have arrived', async () => {
    const world = attemptWorld({ acts: { a1: { fails: 'stale-connection' } } })
    const { done } = world.request('POST')
    await world.clock.pass(10)
    expect(await done).toEqual({ problem: 'origin-reset' })
    expect(world.upstream.sent).toHaveLength(1)
  })
})

describe('where to', () => {
  it('origins of the region first, then one other region, and no third', async () => {
    const world = attemptWorld({
      places: { a: 2, b: 1, c: 1 },
      acts: Object.fromEntries(['a1', 'a2', 'b1', 'c1'].map((id) => [id, { fails: 'reset' }])),
      policy: { tries: 10 },
    })
    const { done } = world.request()
    await world.clock.pass(5000)
    expect(await done).toEqual({ problem: 'origin-reset' })
    const origins = world.upstream.sent.map((each) => each.origin)
    expect(new Set(origins.slice(0, 2))).toEqual(new Set(['a1', 'a2']))
    expect(origins[2]).toBe('b1')
    expect(origins).not.toContain('c1')
  })

  it('skips a region that is down without counting it', async () => {
    const world = attemptWorld({ places: { a: 1, b: 1, c: 1 }, acts: { b1: { fails: 'reset' } } })
    world.health.down.add(0)
    const { done } = world.request()
    await world.clock.pass(100)
    expect(await done).toEqual({ status: 200 })
    expect(world.upstream.sent.map((each) => each.origin)).toEqual(['b1', 'c1'])
  })

  it('the same origin again after a pause that grows, where there is no other', async () => {
    const pauses: number[][] = []
    for (let seed = 1; seed <= 50; seed++) {
      const world = attemptWorld({
        seed: seed * 7919,
        places: { a: 1 },
        acts: { a1: [{ fails: 'connect' }, { fails: 'connect' }, {}] },
      })
      const { done } = world.request('POST')
      await world.clock.pass(1000)
      expect(await done).toEqual({ status: 200 })
      const at = world.upstream.sent.map((each) => each.at)
      pauses.push([at[1]! - at[0]! - 1, at[2]! - at[1]! - 1])
    }
    expect(Math.max(...pauses.map(([first]) => first!))).toBeLessThanOrEqual(25)
    expect(Math.max(...pauses.map(([, second]) => second!))).toBeLessThanOrEqual(50)
    expect(Math.max(...pauses.map(([, second]) => second!))).toBeGreaterThan(30)
    expect(new Set(pauses.map(([first]) => first)).size).toBeGreaterThan(20)
  })

  it.each(['timeout', 'protocol'] as const)('not the same origin after %s', async (fails) => {
    const world = attemptWorld({ places: { a: 1 }, acts: { a1: { fails } } })
    const { done } = world.request()
    await world.clock.pass(1000)
    expect(await done).toEqual({ problem: `origin-${fails}` })
    expect(world.upstream.sent).toHaveLength(1)
  })

  it('backs off to a quarter of a second at most', () => {
    expect([0, 1, 2, 3, 4, 20].map((repeat) => backoffMs(repeat, 1))).toEqual([
      25, 50, 100, 200, 250, 250,
    ])
  })
})

describe('Retry-After', () => {
  const now = Date.parse('Tue, 24 Nov 2026 10:00:00 GMT')
  it.each<[string, number | undefined]>([
    ['0', 0],
    [' 7 ', 7000],
    ['Tue, 24 Nov 2026 10:00:05 GMT', 5000],
    ['Tue, 24 Nov 2026 09:00:00 GMT', 0],
    ['-1', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['2026', 2_026_000],
    ['9999999999', undefined],
  ])('%j is %s ms', (text, expected) => {
    expect(retryAfterMs(['X', 'y', 'Retry-After', text], now)).toBe(expected)
  })

  const unavailable = (seconds: string): Act => ({
    status: 503,
    headers: ['Retry-After', seconds],
  })
  it('of up to two seconds is waited for when there is nowhere else', async () => {
    const world = attemptWorld({ places: { a: 1 }, acts: { a1: [unavailable('2'), {}] } })
    const { done } = world.request()
    await world.clock.pass(5000)
    expect(await done).toEqual({ status: 200 })
    const [first, second] = world.upstream.sent
    expect(second!.at - first!.at).toBe(2001)
  })

  it.each([
    ['is longer', '3', {}],
    ['does not fit the deadline', '2', { deadlineMs: 1500 }],
  ])('that %s is the answer', async (_what, seconds, policy) => {
    const world = attemptWorld({ places: { a: 1 }, acts: { a1: unavailable(seconds) }, policy })
    const { done } = world.request()
    await world.clock.pass(5000)
    expect(await done).toEqual({ status: 503 })
    expect(world.upstream.sent).toHaveLength(1)
  })

  it.each([
    ['5', 5000],
    ['600', 30_000],
  ])('of %s s takes the origin out for %i ms, and is no failure of it', async (seconds, rest) => {
    const world = attemptWorld({ places: { a: 2 }, acts: { a1: unavailable(seconds), a2: {} } })
    const seen = async () => {
      const { done } = world.request()
      await world.clock.pass(5)
      return done
    }
    for (let i = 0; i < 4; i++) expect(await seen()).toEqual({ status: 200 })
    const toFirst = () => world.upstream.sent.filter((each) => each.origin === 'a1').length
    expect(toFirst()).toBe(1)
    expect(world.health.reports).toContain('0:overloaded')
    expect(world.health.reports).not.toContain('0:gateway-error')
    await world.clock.pass(rest - 100)
    for (let i = 0; i < 4; i++) await seen()
    expect(toFirst()).toBe(1)
    await world.clock.pass(100)
    for (let i = 0; i < 4; i++) await seen()
    expect(toFirst()).toBe(2)
  })
})

describe('limits in time', () => {
  it('all tries together end at the deadline, whatever each of them may take', async () => {
    const world = attemptWorld({ acts: { a1: { after: 60_000 }, b1: { after: 60_000 } } })
    const { done } = world.request('GET', [], null, { deadlineMs: 3000 })
    await world.clock.pass(2999)
    let isOver = false
    void done.then(() => {
      isOver = true
    })
    expect(isOver).toBe(false)
    await world.clock.pass(2)
    expect(await done).toEqual({ problem: 'deadline' })
    expect(world.upstream.sent.map(({ timeouts }) => timeouts)).toEqual([
      { connect: 500, firstByte: 2000, total: 3000 },
      { connect: 500, firstByte: 1000, total: 1000 },
    ])
  })

  it('one try ends at `perTry`, connecting included', async () => {
    const world = attemptWorld({ acts: { a1: { after: 60_000 } } })
    const { done } = world.request('GET', [], null, { perTryMs: 300 })
    await world.clock.pass(400)
    expect(await done).toEqual({ status: 200 })
    expect(world.upstream.sent[0]!.timeouts).toEqual({ connect: 300, firstByte: 300, total: 300 })
  })

  it('a trusted proxy shortens the deadline and never lengthens it', async () => {
    const world = attemptWorld({ acts: { a1: { after: 60_000 }, b1: { after: 60_000 } } })
    world.request('GET', [], null, {}, 700)
    world.request('GET', [], null, { announceDeadline: true }, 700_000)
    await world.clock.pass(1)
    expect(world.upstream.sent.map(({ timeouts }) => timeouts.total)).toEqual([700, 10_000])
    expect(world.upstream.sent[0]!.fields).toEqual({})
    expect(world.upstream.sent[1]!.fields).toEqual({ 'x-request-timeout-ms': '10000' })
    await world.clock.pass(60_000)
  })

  it('an adaptive first-byte timeout leaves the last try its time', async () => {
    const world = attemptWorld({
      places: { a: 2 },
      acts: { a1: {}, a2: {} },
      policy: { tries: 2, adaptive: true },
    })
    for (let i = 0; i < 120; i++) world.request()
    await world.clock.pass(10)
    world.upstream.script('a1', { after: 1500 })
    world.upstream.script('a2', { after: 1500 })
    const { done } = world.request()
    await world.clock.pass(3000)
    expect(await done).toEqual({ status: 200 })
    expect(world.upstream.sent.slice(-2).map(({ timeouts }) => timeouts.firstByte)).toEqual([
      300, 2000,
    ])
  })

  it('a client that leaves ends tries and pauses, and counts for nothing', async () => {
    const world = attemptWorld({ acts: { a1: { after: 1000 } } })
    const { attempts, done } = world.request()
    await world.clock.pass(10)
    attempts.cancel()
    expect(await done).toEqual({ problem: 'client-closed' })
    expect(world.upstream.sent.map((each) => each.cancelled)).toEqual([true])
    const pausing = attemptWorld({
      places: { a: 1 },
      acts: { a1: { status: 503, headers: ['retry-after', '1'] } },
    })
    const second = pausing.request()
    await pausing.clock.pass(10)
    second.attempts.cancel()
    expect(await second.done).toEqual({ problem: 'client-closed' })
    await pausing.clock.pass(5000)
    expect(pausing.upstream.sent).toHaveLength(1)
  })
})

describe('limits in load', () => {
  it('an empty budget ends with the first error, and is counted', async () => {
    const world = attemptWorld({ acts: { a1: { fails: 'reset' } }, budget: 0 })
    while (world.places[0]!.pool.budget.mayRetry(1000));
    const { done } = world.request()
    await world.clock.pass(10)
    expect(await done).toEqual({ problem: 'origin-reset' })
    expect(world.upstream.sent).toHaveLength(1)
    expect(world.counted).toEqual(['empty:a'])
  })

  it('an empty budget passes a 503 on as it is', async () => {
    const world = attemptWorld({ acts: { a1: { status: 503 } }, budget: 0 })
    while (world.places[0]!.pool.budget.mayRetry(1000));
    const { done } = world.request()
    await world.clock.pass(10)
    expect(await done).toEqual({ status: 503 })
    expect(world.counted).toEqual(['empty:a'])
  })

  it.each([
    [undefined, 'a1 b1', '1'],
    ['1', 'a1 b1', '2'],
    ['2', 'a1', undefined],
    ['999', 'a1', undefined],
    ['nonsense', 'a1 b1', '1'],
  ])('behind gateways that sent it %s times: %s', async (marker, hits, next) => {
    const world = attemptWorld({ acts: { a1: { fails: 'reset' } } })
    world.request('GET', marker === undefined ? [] : ['x-meridian-retry', marker])
    await world.clock.pass(10)
    expect(world.upstream.sent.map((each) => each.origin).join(' ')).toBe(hits)
    expect(world.upstream.sent[1]?.fields['x-meridian-retry']).toBe(next)
    expect(retryDepth('1000')).toBe(0)
  })
})
