import { describe, expect, it } from 'vitest'
import { HeaderList } from '../exchange.ts'
import { compile, FakeClock, problems, request } from './exchange.fixture.ts'
import { addRateLimitFields } from './fields.ts'
import type { Limits } from './limits.ts'
import type { LimitResult } from './result.ts'

/** `A4` admitted with 4 left; `D2` denied, come back in 2 s; `D` denied for good; `-` no policy. */
function shown(result: LimitResult | undefined): string {
  if (result === undefined) return '-'
  if (result.allowed) return `A${result.remaining}`
  return result.retryAfter === 0 ? 'D' : `D${result.retryAfter}`
}

function run(limits: Limits, clock: FakeClock, times: readonly number[]): string {
  return times
    .map((ms) => {
      clock.ms = ms
      return shown(limits.check(request(), 'address'))
    })
    .join(' ')
}

describe('algorithms on a fake clock', () => {
  it.each([
    {
      name: 'R1 gcra 5 in 10 s, burst 5',
      policy: { algorithm: 'gcra', limit: 5, window: '10s', burst: 5 },
      times: [0, 0, 0, 0, 0, 0, 1999, 2000, 2000, 12000, 12000, 12000, 12000, 12000, 12000],
      expected: 'A4 A3 A2 A1 A0 D2 D1 A0 D2 A4 A3 A2 A1 A0 D2',
    },
    {
      name: 'R3 two-window 10 in 60 s',
      policy: { algorithm: 'two-window', limit: 10, window: '60s' },
      times: [
        ...new Array<number>(10).fill(55000),
        55000,
        60000,
        66000,
        72000,
        72000,
        90000,
        90000,
        90000,
        90000,
      ],
      expected: 'A9 A8 A7 A6 A5 A4 A3 A2 A1 A0 D11 D6 A0 A0 D6 A2 A1 A0 D6',
    },
    {
      name: 'sliding 3 in 10 s gives a unit back a segment late',
      policy: { algorithm: 'sliding', limit: 3, window: '10s', segments: 10 },
      times: [500, 1500, 2500, 2600, 10400, 10999, 11000, 11001, 12000],
      expected: 'A2 A1 A0 D9 D1 D1 A0 D1 A0',
    },
    {
      name: 'exact 3 in 10 s',
      policy: { algorithm: 'exact', limit: 3, window: '10s' },
      times: [0, 1, 2, 3, 9999, 10000, 10000, 10001, 10002],
      expected: 'A2 A1 A0 D10 D1 A0 D1 A0 A0',
    },
    {
      name: 'fixed 2 in 10 s',
      policy: { algorithm: 'fixed', limit: 2, window: '10s' },
      times: [9000, 9500, 9999, 10000, 10001, 10002],
      expected: 'A1 A0 D1 A1 A0 D10',
    },
    {
      name: 'R23 window of half a second',
      policy: { algorithm: 'sliding', limit: 2, window: '500ms', segments: 5 },
      times: [0, 0, 0, 499, 599, 600, 600],
      expected: 'A1 A0 D1 D1 D1 A1 A0',
    },
    {
      name: 'R23 gcra of half a second',
      policy: { algorithm: 'gcra', limit: 2, window: '0.5s', burst: 2 },
      times: [0, 0, 0, 249, 250, 250],
      expected: 'A1 A0 D1 D1 A0 D1',
    },
  ])('$name', ({ policy, times, expected }) => {
    const clock = new FakeClock()
    expect(run(compile([{ id: 'p', ...policy }], clock), clock, times)).toBe(expected)
  })

  it('R2: costs, and a cost above the burst never passes', () => {
    const clock = new FakeClock()
    const policy = { id: 'p', limit: 60, window: '60s', burst: 10, cost: 'path.length' }
    const limits = compile([policy], clock)
    const charge = (ms: number, cost: number) => {
      clock.ms = ms
      const result = limits.check(request({ path: '/'.repeat(cost) }), 'address')
      return `${shown(result)} r${result?.remaining}`
    }
    const found = [charge(0, 4), charge(0, 4), charge(0, 4), charge(0, 2)]
    found.push(charge(1999, 3), charge(2000, 2), charge(2000, 11))
    expect(found).toEqual(['A6 r6', 'A2 r2', 'D2 r2', 'A0 r0', 'D2 r1', 'A0 r0', 'D r0'])
  })

  it.each(['sliding', 'gcra', 'two-window', 'exact', 'fixed'])(
    'R24: %s survives a clock that steps back 10 s or forward an hour',
    (algorithm) => {
      const clock = new FakeClock()
      const limits = compile(
        [{ id: 'p', algorithm, limit: 3, window: '2s', ...(algorithm === 'gcra' && { burst: 3 }) }],
        clock,
      )
      clock.ms = 20_000
      for (let i = 0; i < 5; i++) limits.check(request(), 'address')
      clock.ms = 10_000
      let waited = 0
      while (!limits.check(request(), 'address')?.allowed) {
        clock.ms += 100
        waited += 100
      }
      // A window, and half of one more where the algorithm itself remembers the last one.
      expect(waited).toBeLessThanOrEqual(3000)
      clock.ms += 3_600_000
      expect(limits.check(request(), 'address')).toMatchObject({ allowed: true, remaining: 2 })
    },
  )
})

describe('calendar quotas', () => {
  it('begin at the edge of a local day, also when the clocks change', () => {
    const clock = new FakeClock()
    const limits = compile(
      [{ id: 'p', algorithm: 'calendar', period: 'day', timeZone: 'Europe/Berlin', limit: 1 }],
      clock,
    )
    const at = (iso: string) => {
      clock.wall = Date.parse(iso)
      return shown(limits.check(request(), 'address'))
    }
    // 2025-03-30 has 23 hours in Berlin.
    expect(at('2025-03-29T22:59:59Z')).toBe('A0')
    expect(at('2025-03-29T23:00:00Z')).toBe('A0')
    expect(at('2025-03-29T23:00:01Z')).toBe('D82799')
    expect(at('2025-03-30T22:00:00Z')).toBe('A0')
  })

  it('R22: a month and a ban of 30 days hold after 25 days', () => {
    const clock = new FakeClock()
    const limits = compile(
      [
        { id: 'month', algorithm: 'calendar', period: 'month', limit: 2, mitigation: '30d' },
        { id: 'long', limit: 2, window: '30d', burst: 2 },
      ],
      clock,
    )
    const day = (n: number) => {
      clock.ms = n * 86_400_000
      clock.wall = Date.UTC(2025, 0, 1) + clock.ms
      return limits.check(request(), 'address')
    }
    expect([day(0), day(0), day(0), day(25), day(29), day(31)].map(shown)).toEqual([
      'A1',
      'A0',
      `D${30 * 86_400}`,
      `D${5 * 86_400}`,
      `D${86_400}`,
      // February, and both units of the other policy are back.
      'A1',
    ])
  })

  it('R30: a reload keeps what was used', () => {
    const clock = new FakeClock()
    for (const shape of [
      { algorithm: 'sliding', window: '60s' },
      { algorithm: 'two-window', window: '60s' },
      { algorithm: 'fixed', window: '60s' },
      { algorithm: 'exact', window: '60s' },
      { algorithm: 'calendar', period: 'day' },
      { algorithm: 'concurrency' },
    ]) {
      const first = compile([{ id: 'p', limit: 100, ...shape }], clock)
      const second = (used: number) => {
        for (let i = 0; i < used; i++) first.check(request(), 'address')
        return compile([{ id: 'p', limit: 50, ...shape }], clock, { previous: first })
      }
      expect(second(20).check(request(), 'address')).toMatchObject({ remaining: 29 })
      expect(second(60).check(request(), 'address')).toMatchObject({ allowed: false, remaining: 0 })
    }
    const gcra = { id: 'p', window: '60s' }
    const first = compile([{ ...gcra, limit: 100, burst: 100 }], clock)
    for (let i = 0; i < 20; i++) first.check(request(), 'address')
    const second = compile([{ ...gcra, limit: 50, burst: 50 }], clock, { previous: first })
    expect(second.check(request(), 'address')).toMatchObject({ remaining: 29 })
  })
})

describe('keys', () => {
  const perKey = (key: unknown[], more: object = {}) => {
    const clock = new FakeClock()
    return compile([{ id: 'p', algorithm: 'exact', limit: 1, window: '60s', key, ...more }], clock)
  }

  it.each([
    {
      name: 'R9 one /64',
      key: ['ip'],
      a: { ip: '2001:db8::1' },
      b: { ip: '2001:db8::2' },
      same: true,
    },
    {
      name: 'two /64',
      key: ['ip'],
      a: { ip: '2001:db8::1' },
      b: { ip: '2001:db8:0:1::1' },
      same: false,
    },
    {
      name: 'whole IPv6',
      key: ['ip/128'],
      a: { ip: '2001:db8::1' },
      b: { ip: '2001:db8::2' },
      same: false,
    },
    {
      name: '/48',
      key: ['ip/48'],
      a: { ip: '2001:db8::1' },
      b: { ip: '2001:db8:0:1::1' },
      same: true,
    },
    {
      name: 'R9 mapped',
      key: ['ip'],
      a: { ip: '::ffff:1.2.3.4' },
      b: { ip: '1.2.3.4' },
      same: true,
    },
    {
      name: 'R9 NAT64',
      key: ['ip'],
      a: { ip: '64:ff9b::1.2.3.4' },
      b: { ip: '1.2.3.4' },
      same: true,
    },
    { name: 'IPv4 whole', key: ['ip'], a: { ip: '1.2.3.4' }, b: { ip: '1.2.3.5' }, same: false },
    { name: 'network', key: ['network'], a: { ip: '1.2.3.4' }, b: { ip: '1.2.3.5' }, same: true },
    {
      name: 'R11 values do not run into each other',
      key: ['header:a', 'header:b'],
      a: { headers: ['a', 'a', 'b', 'b:c'] },
      b: { headers: ['a', 'a:b', 'b', 'c'] },
      same: false,
    },
    {
      name: 'principal',
      key: ['principal'],
      a: { principal: { subject: 'x' } },
      b: { principal: { subject: 'y' } },
      same: false,
    },
    {
      name: 'claim',
      key: ['claim:org'],
      a: { principal: { claims: { org: 7 } } },
      b: { principal: { subject: 'other', claims: { org: 7 } } },
      same: true,
    },
    {
      name: 'query, name encoded',
      key: ['query:key', 'ip'],
      a: { query: 'a=1&key=x%20y' },
      b: { query: 'k%65y=x+y' },
      same: true,
    },
    {
      name: 'cookie',
      key: ['cookie:s', 'ip'],
      a: { headers: ['Cookie', 'xs=2; s=1'] },
      b: { headers: ['Cookie', 's=1', 'Cookie', 's=2'] },
      same: true,
    },
    {
      name: 'expression',
      key: [{ expression: 'method' }],
      a: {},
      b: { method: 'PUT' },
      same: false,
    },
    { name: 'route', key: ['route'], a: { route: 'a' }, b: { route: 'b' }, same: false },
  ])('$name', ({ key, a, b, same }) => {
    const limits = perKey(key, { phase: 'identity' })
    expect(limits.check(request(a), 'identity')?.allowed).toBe(true)
    expect(limits.check(request(b), 'identity')?.allowed).toBe(!same)
  })

  it.each([
    { onMissing: undefined, phase: 'address', expected: ['-', '-'] },
    { onMissing: 'shared', phase: 'address', expected: ['A0', 'D60'] },
    { onMissing: 'deny', phase: 'address', expected: ['D', 'D'] },
    { onMissing: undefined, phase: 'identity', expected: ['D', 'D'] },
  ] as const)('R11 a missing part: $phase, $onMissing', ({ onMissing, phase, expected }) => {
    const limits = perKey(['header:x', 'ip'], { onMissing, phase })
    expect([1, 2].map(() => shown(limits.check(request(), phase)))).toEqual(expected)
  })

  it('R10: takes the resolved client address, whatever the header says', () => {
    const limits = perKey(['ip'])
    const spoofed = (n: number) => request({ headers: ['X-Forwarded-For', `10.0.0.${n}`] })
    expect(limits.check(spoofed(1), 'address')?.allowed).toBe(true)
    expect(limits.check(spoofed(2), 'address')?.allowed).toBe(false)
  })
})

describe('several policies', () => {
  const window = '60s'
  it('R13: charges all or none, and names those that denied', () => {
    const clock = new FakeClock()
    const limits = compile(
      [
        { id: 'first', algorithm: 'exact', limit: 9, window },
        { id: 'second', algorithm: 'exact', limit: 2, window },
        { id: 'third', algorithm: 'exact', limit: 9, window, key: ['method'] },
      ],
      clock,
    )
    for (let i = 0; i < 2; i++) limits.check(request(), 'address')
    for (let i = 0; i < 5; i++) {
      expect(limits.check(request(), 'address')).toMatchObject({
        allowed: false,
        status: 429,
        reason: 'limit',
        violated: ['second'],
      })
    }
    const other = limits.check(request({ ip: '192.0.2.9' }), 'address')
    // The third, by method, was charged twice and now once more; the denied five left it alone.
    expect(other).toMatchObject({ allowed: true })
    expect(limits.usage().map(({ used }) => used)).toEqual([2, 2, 1])
    const third = limits.route([], '', () => {}).address.slice(2)
    const only = { ...limits.global, address: third }
    expect(limits.check(request(), 'address', only)).toMatchObject({ remaining: 5 })
  })

  it('a policy in mode log denies nobody and says so', () => {
    const clock = new FakeClock()
    const limits = compile(
      [{ id: 'dry', algorithm: 'exact', limit: 1, window, action: 'log' }],
      clock,
    )
    expect(limits.check(request(), 'address')).toBeUndefined()
    expect(limits.check(request(), 'address')).toMatchObject({ allowed: true, logged: ['dry'] })
  })

  it('conditions, route scope and phases select', () => {
    const clock = new FakeClock()
    const limits = compile(
      [
        { id: 'login', algorithm: 'exact', limit: 1, window, when: 'path eq /login' },
        { id: 'special', algorithm: 'exact', limit: 5, window, scope: 'route' },
        { id: 'late', algorithm: 'exact', limit: 7, window, phase: 'origin' },
      ],
      clock,
    )
    const unknown: string[] = []
    const route = limits.route(['special', 'nope'], 'routes[0].limits', (path) =>
      unknown.push(path),
    )
    expect(unknown).toEqual(['routes[0].limits[1]'])
    expect(shown(limits.check(request(), 'address'))).toBe('-')
    expect(shown(limits.check(request(), 'address', route))).toBe('A4')
    expect(shown(limits.check(request({ path: '/login' }), 'address'))).toBe('A0')
    expect(shown(limits.check(request({ path: '/login' }), 'address', route))).toBe('D60')
    expect(shown(limits.check(request(), 'identity', route))).toBe('-')
    // R16: only what the cache does not answer reaches this phase.
    expect(shown(limits.check(request(), 'origin', route))).toBe('A6')
  })
})

describe('counting responses', () => {
  const login = {
    id: 'login',
    algorithm: 'exact',
    limit: 5,
    window: '60s',
    when: 'path eq /login',
    phase: 'response',
    countStatus: [401, 403],
    mitigation: '600s',
  }
  it('R7, R8: failures count, successes do not; then ten minutes whatever the rate', () => {
    const clock = new FakeClock()
    const limits = compile([login], clock)
    const attempt = (status: number, path = '/login') => {
      const x = request({ path })
      const result = limits.check(x, 'address')
      if (result?.allowed !== false) limits.settle(x, limits.global, [result], status, undefined)
      return result?.allowed ?? true
    }
    expect([401, 401, 403, 401, 200, 401].map((s) => attempt(s))).toEqual(Array(6).fill(true))
    expect(limits.check(request({ path: '/login' }), 'address')).toMatchObject({
      allowed: false,
      status: 429,
      retryAfter: 600,
    })
    expect(attempt(200, '/other')).toBe(true)
    clock.ms = 599_000
    expect(limits.check(request({ path: '/login' }), 'address')).toMatchObject({
      allowed: false,
      reason: 'mitigation',
      retryAfter: 1,
    })
    clock.ms = 601_000
    expect(attempt(200)).toBe(true)
  })

  it('an origin states the cost, a failure gives it back', () => {
    const clock = new FakeClock()
    const limits = compile(
      [{ id: 'a', limit: 10, window: '10s', burst: 10, costHeader: 'x-cost', refundOnError: true }],
      clock,
    )
    const exchange = (status: number, cost?: string) => {
      const x = request()
      const result = limits.check(x, 'address')
      const headers = new HeaderList(cost === undefined ? [] : ['X-Cost', cost])
      if (result?.allowed) limits.settle(x, limits.global, [result], status, headers)
      return shown(result)
    }
    expect(exchange(200, '4')).toBe('A9')
    expect(exchange(503, '4')).toBe('A5')
    expect(exchange(200, 'NaN')).toBe('A5')
    expect(exchange(200, '1e9')).toBe('A4')
    // The debt goes to twice the burst at most.
    expect(exchange(200, '1000000')).toBe('A3')
    expect(exchange(200)).toBe('D11')
  })
})

describe('concurrency', () => {
  it('holds a unit until the release, once', () => {
    const clock = new FakeClock()
    const limits = compile([{ id: 'c', algorithm: 'concurrency', limit: 2 }], clock)
    const first = limits.check(request(), 'address')
    limits.check(request(), 'address')
    expect(limits.check(request(), 'address')).toMatchObject({ allowed: false, retryAfter: 1 })
    expect(limits.check(request({ ip: '192.0.2.2' }), 'address')).toMatchObject({ allowed: true })
    limits.release([first])
    expect(shown(limits.check(request(), 'address'))).toBe('A0')
    expect(limits.usage()[0]?.used).toBe(2)
  })
})

describe('bandwidth', () => {
  it('lets a burst pass, then says how long to wait', () => {
    const clock = new FakeClock()
    const limits = compile(
      [{ id: 'b', algorithm: 'bandwidth', limit: 1000, window: '1s', burst: 500 }],
      clock,
    )
    const [meter] = limits.bandwidth(request())
    expect([meter?.take(500), meter?.take(100), meter?.take(100)]).toEqual([0, 100, 200])
    clock.ms = 700
    expect(meter?.take(500)).toBe(0)
    const [again] = limits.bandwidth(request())
    expect(again?.take(250)).toBe(250)
  })
})

describe('fields', () => {
  it('R14: policy and state as Structured Field lists', () => {
    const clock = new FakeClock()
    const limits = compile([{ id: 'plan', limit: 100, window: '60s', burst: 100 }], clock)
    let result: LimitResult | undefined
    for (let i = 0; i < 58; i++) result = limits.check(request(), 'address')
    const headers: string[] = []
    addRateLimitFields(headers, [result])
    expect(headers).toEqual([
      'ratelimit-policy',
      '"plan";q=100;w=60',
      'ratelimit',
      '"plan";r=42;t=1',
    ])
  })

  it('shows the policy nearest to its limit, or the one that denied, with Retry-After', () => {
    const clock = new FakeClock()
    const limits = compile(
      [
        { id: 'wide', algorithm: 'exact', limit: 50, window: '60s' },
        { id: 'narrow', algorithm: 'exact', limit: 2, window: '30s', phase: 'identity' },
        {
          id: 'quiet',
          algorithm: 'exact',
          limit: 3,
          window: '30s',
          headers: false,
          phase: 'origin',
        },
      ],
      clock,
    )
    const fields = (jitter = 0) => {
      const headers: string[] = []
      const phases = ['address', 'identity', 'origin'] as const
      addRateLimitFields(
        headers,
        phases.map((phase) => limits.check(request(), phase)),
        jitter,
      )
      return headers.join(' ')
    }
    expect(fields()).toBe('ratelimit-policy "narrow";q=2;w=30 ratelimit "narrow";r=1;t=30')
    expect(fields()).toContain('"narrow";r=0;t=30')
    expect(fields(0.99)).toMatch(/"narrow";r=0;t=30 retry-after 32$/)
  })
})

describe('configuration', () => {
  it.each([
    [{ algorithm: 'gcra', limit: 1 }, 'limits[0].window: a window is required'],
    [{ limit: 1_000_000_000, window: '1s' }, 'limits[0].limit: more than 1,000,000 units'],
    [{ algorithm: 'exact', limit: 101, window: '1s' }, 'limits[0].limit: "exact" keeps'],
    [{ algorithm: 'calendar', limit: 1 }, 'limits[0].period: a period is required'],
    [
      { algorithm: 'calendar', period: 'day', timeZone: 'Mars/Base', limit: 1 },
      'limits[0].timeZone: "Mars/Base" is not a time zone',
    ],
    [{ limit: 1, window: '1s', key: ['header:x'] }, 'limits[0].key[0]: a value that the client'],
    [{ limit: 1, window: '1s', key: ['principal'] }, 'limits[0].phase: the key needs an identity'],
    [{ limit: 1, window: '1s', countStatus: [401] }, 'limits[0].countStatus: statuses'],
    [{ algorithm: 'concurrency', limit: 1, window: '1s' }, 'limits[0].window: "concurrency" has'],
  ])('%j is refused', (policy, message) => {
    expect(problems([{ id: 'p', ...policy }])[0]).toContain(message)
  })
})
