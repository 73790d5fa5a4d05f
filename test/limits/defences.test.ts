/** Penalty box, origin limits, adaptive concurrency and waiting rooms, through the whole gateway. */
import { describe, expect, it } from 'vitest'
import { type SimulatedConfig, simulated } from '../harness/simulated.ts'

const WAF: SimulatedConfig = { waf: { rulesets: ['basic'] } }
const cached = (more: object = {}) => ({
  routes: [{ id: 'site', pools: ['app'], cache: {}, ...more }],
})
const fresh = () => ({ headers: ['cache-control', 'max-age=60'], body: 'kept' })

describe('the penalty box', () => {
  it('R28: three blocks, and nothing of the client is looked at for a minute, then two', async () => {
    const g = await simulated({ ...WAF, penaltyBox: {} })
    for (let i = 0; i < 3; i++) expect((await g.ask('/.env')).status).toBe(403)
    const refused = await g.ask('/')
    expect(refused.status).toBe(429)
    expect(refused.headers.get('retry-after')).toBe('60')
    expect(JSON.parse(refused.text).type).toMatch(/#abnormal-usage-detected$/)
    expect(await g.why('/')).toContain('accept: The client is in the penalty box')
    expect(g.metric('meridian_waf_matches_total')).toBe(3)
    expect(g.asked).toEqual([])
    expect((await g.ask('/', { ip: '192.0.2.2' })).status).toBe(200)
    expect(g.metric('meridian_penalty_clients')).toBe(1)
    expect(g.events('shut-out').map(({ detail }) => detail.because)).toEqual(['waf'])
    await g.clock.pass(60_000)
    for (let i = 0; i < 3; i++) expect((await g.ask('/.env')).status).toBe(403)
    expect((await g.ask('/')).headers.get('retry-after')).toBe('120')
    expect(g.metric('meridian_penalty_terms_total')).toBe(2)
    expect(g.events('shut-out')).toHaveLength(2)
  })

  it.each([
    { event: 'notFound', target: '/missing', headers: [], count: 30 },
    { event: 'auth', target: '/private', headers: ['x-api-key', 'mk_abcd_wrong'], count: 15 },
    { event: 'limit', target: '/limited', headers: [], count: 31 },
  ])('$event adds up', async ({ event, target, headers, count }) => {
    const g = await simulated(
      {
        penaltyBox: {},
        iam: { apiKeys: { keys: [] } },
        limits: [
          {
            id: 'l',
            limit: 1,
            window: '1h',
            burst: 1,
            when: 'http.request.uri.path eq "/limited"',
          },
        ],
        routes: [
          {
            id: 'private',
            match: { path: '/private' },
            pools: ['app'],
            auth: { methods: ['api-key'] },
          },
          { id: 'site', pools: ['app'], cache: false, auth: 'none' },
        ],
      },
      ({ path }) => ({ status: path === '/missing' ? 404 : 200 }),
    )
    for (let i = 0; i < count; i++) {
      expect((await g.ask(target, { headers })).outcome, `${i}`).not.toBe('penalized')
    }
    expect((await g.ask('/')).outcome).toBe('penalized')
    expect(g.metric('meridian_penalty_events_total', { event })).toBe(
      count - (event === 'limit' ? 1 : 0),
    )
    expect(g.events('shut-out')).toHaveLength(1)
  })

  it('holds nothing against who sent no credentials, or met a limit that all share', async () => {
    const g = await simulated({
      penaltyBox: { threshold: 1 },
      iam: { apiKeys: { keys: [] } },
      limits: [{ id: 'all', limit: 1, window: '1h', burst: 1, key: ['host'] }],
      routes: [{ id: 'site', pools: ['app'], auth: { methods: ['api-key'] } }],
    })
    const outcomes = []
    for (let i = 0; i < 3; i++) outcomes.push((await g.ask('/')).outcome)
    expect(outcomes).toEqual(['unauthenticated', 'rate-limited', 'rate-limited'])
    expect(g.metric('meridian_penalty_events_total')).toBe(0)
  })

  it('spares proxies and exempt networks, and survives a reload that may exempt', async () => {
    const config: SimulatedConfig = {
      ...WAF,
      trustedProxies: ['10.1.0.0/16'],
      penaltyBox: { threshold: 10, exempt: ['198.51.100.0/24'] },
    }
    const g = await simulated(config)
    for (const ip of ['10.1.0.1', '198.51.100.1', '192.0.2.1']) await g.ask('/.env', { ip })
    expect((await g.ask('/', { ip: '10.1.0.1' })).status).toBe(200)
    expect((await g.ask('/', { ip: '198.51.100.1' })).status).toBe(200)
    const behind = { ip: '10.1.0.1', headers: ['x-forwarded-for', '192.0.2.1'] }
    expect((await g.ask('/', behind)).status).toBe(429)
    await g.reload({ ...config, penaltyBox: { threshold: 20 } })
    expect((await g.ask('/')).status).toBe(429)
    await g.reload({ ...config, penaltyBox: { exempt: ['192.0.2.1'] } })
    expect((await g.ask('/')).status).toBe(200)
  })
})

describe('limits of phase origin', () => {
  const limits: SimulatedConfig['limits'] = [
    { id: 'origin', limit: 2, window: '60s', burst: 2, phase: 'origin' },
  ]

  it('charge what reaches the origin: hits are free, a refusal is not kept', async () => {
    const g = await simulated({ limits, ...cached() }, fresh)
    for (let i = 0; i < 5; i++) expect((await g.ask('/a')).status).toBe(200)
    expect((await g.ask('/b')).headers.get('ratelimit')).toBe('"origin";r=0;t=30')
    const refused = await g.ask('/c')
    expect([refused.status, refused.headers.get('cache-control')]).toEqual([429, 'no-store'])
    expect(JSON.parse(refused.text)).toMatchObject({
      type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
      'violated-policies': ['origin'],
    })
    expect(await g.why('/c')).toMatch(
      /^forward: Limit origin denied it: 0 of 2 left, \d+ s to wait/,
    )
    expect((await g.ask('/a')).status).toBe(200)
    expect((await g.ask('/c', { ip: '192.0.2.2' })).status).toBe(200)
    expect(g.asked).toEqual(['/a', '/b', '/c'])
    expect((await g.ask('/c')).text).toBe('kept')
    expect(
      g.metric('meridian_limit_decisions_total', { limit: 'origin', decision: 'denied' }),
    ).toBe(2)
  })

  it('charge what is not cached before it is sent, and all or nothing', async () => {
    const two: SimulatedConfig['limits'] = [
      { id: 'wide', limit: 100, window: '60s', burst: 100, phase: 'origin' },
      { id: 'narrow', limit: 1, window: '60s', burst: 1, phase: 'origin' },
    ]
    const g = await simulated({ limits: two })
    for (let i = 0; i < 10; i++) await g.ask('/')
    expect(g.asked).toHaveLength(1)
    await g.reload({ limits: [two[0]!] })
    expect((await g.ask('/')).headers.get('ratelimit')).toBe('"wide";r=98;t=1')
  })

  it('who waits for a response that somebody over the limit asked for gets it all the same', async () => {
    const g = await simulated(
      {
        limits: [{ id: 'origin', limit: 1, window: '60s', burst: 1, phase: 'origin' }],
        ...cached(),
      },
      ({ path }) => ({ ...fresh(), ...(path === '/slow' && { after: 50 }) }),
    )
    await g.ask('/a')
    const over = g.begin('/slow')
    const other = g.begin('/slow', { ip: '192.0.2.2' })
    await g.clock.pass(100)
    expect([(await over.reply).status, (await other.reply).status]).toEqual([429, 200])
    expect(g.asked).toEqual(['/a', '/slow'])
  })

  it('stale content stands in where the route permits it', async () => {
    const g = await simulated(
      { limits, ...cached({ cache: { stale: { ifError: '1h' } } }) },
      () => ({ headers: ['cache-control', 'max-age=1'], body: 'old' }),
    )
    for (const path of ['/a', '/b']) await g.ask(path)
    await g.clock.pass(2000)
    const stale = await g.ask('/a')
    expect([stale.status, stale.text, stale.outcome]).toEqual([200, 'old', 'served'])
    expect(g.asked).toEqual(['/a', '/b'])
  })
})

describe('adaptive concurrency', () => {
  const concurrency: SimulatedConfig['concurrency'] = {
    mode: 'enforce',
    minimum: 4,
    initial: 4,
    priorities: [
      { when: 'http.request.uri.path eq "/vital"', priority: 'critical' },
      { when: 'http.request.uri.path eq "/batch"', priority: 'batch' },
    ],
  }

  it('sheds the least important first, says when to come back, and lets go on every path', async () => {
    const g = await simulated({ concurrency }, () => ({ after: 100, body: 'late' }))
    const [first, second, third] = [g.begin('/'), g.begin('/'), g.begin('/')]
    const shed = await g.begin('/').reply
    expect(shed.status).toBe(503)
    expect(shed.headers.join(' ')).toMatch(/proxy-status meridian; error=connection_limit_reached/)
    expect(shed.headers.join(' ')).toMatch(/retry-after \d/)
    expect(await g.why('/batch')).toBe(
      'forward: Pool app has 3 requests under way; its limit is 4, and this one is batch.',
    )
    const vital = g.begin('/vital')
    expect(g.metric('meridian_concurrency_in_flight', { pool: 'app' })).toBe(4)
    expect(g.metric('meridian_concurrency_shed_total', { decision: 'refused' })).toBe(2)
    expect(g.events('shedding')).toHaveLength(1)
    second.leave()
    await second.reply
    await g.clock.pass(0)
    expect(g.metric('meridian_concurrency_in_flight')).toBe(3)
    await g.clock.pass(100)
    for (const one of [first, third, vital]) expect((await one.reply).status).toBe(200)
    expect(g.metric('meridian_concurrency_in_flight')).toBe(0)
  })

  it('only observes unless it is told to enforce; a reload keeps what is under way', async () => {
    const observe = { ...concurrency, mode: 'observe' as const }
    const g = await simulated({ concurrency: observe }, () => ({ after: 100 }))
    const many = Array.from({ length: 6 }, () => g.begin('/'))
    expect(g.metric('meridian_concurrency_shed_total', { decision: 'observed' })).toBe(3)
    await g.reload({ concurrency })
    expect((await g.begin('/').reply).status).toBe(503)
    await g.clock.pass(100)
    for (const { reply } of many) expect((await reply).status).toBe(200)
    expect(g.metric('meridian_concurrency_in_flight')).toBe(0)
    expect((await g.ask('/')).status).toBe(200)
  })

  it('follows the latency of the origin down', async () => {
    let after = 10
    const g = await simulated({ concurrency: { ...concurrency, initial: 100 } }, () => ({ after }))
    const load = async (rounds: number) => {
      for (let i = 0; i < rounds; i++) {
        const wave = Array.from({ length: 20 }, () => g.begin('/vital'))
        await g.clock.pass(250)
        for (const { reply } of wave) await reply
      }
    }
    await load(20)
    expect(g.metric('meridian_concurrency_limit')).toBe(100)
    after = 200
    await load(20)
    expect(g.metric('meridian_concurrency_limit')).toBeLessThan(50)
  })
})

describe('a waiting room', () => {
  const room = (more: object = {}): SimulatedConfig => ({
    waitingRooms: [
      {
        id: 'sale',
        when: 'http.request.uri.path eq "/sale"',
        admitPerSecond: 2,
        secret: { env: 'ROOM' },
        ...more,
      },
    ],
  })
  const cookie = (headers: { get(name: string): string | undefined }) => [
    'cookie',
    headers.get('set-cookie')?.split(';')[0] ?? '',
  ]
  const html = ['accept', 'text/html,*/*;q=0.8']

  it('gives a place in the line, as a page or as JSON, and admits at its rate', async () => {
    const g = await simulated(room())
    const seen = []
    for (let i = 0; i < 4; i++) seen.push(await g.ask('/sale', { ip: `192.0.2.${i}` }))
    expect(seen.map(({ status }) => status)).toEqual([200, 200, 503, 503])
    const last = seen[3]!
    expect(JSON.parse(last.text)).toMatchObject({
      type: 'urn:meridian:problem:waiting-room',
      position: 2,
      waitSeconds: 1,
    })
    expect(last.headers.get('retry-after')).toBe('1')
    expect(last.headers.get('set-cookie')).toMatch(
      /^meridian-room-sale=[^;]+; Path=\/; Max-Age=86400; HttpOnly; SameSite=Lax; Secure$/,
    )
    const page = await g.ask('/sale', {
      ip: '192.0.2.3',
      headers: [...cookie(last.headers), ...html],
    })
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(page.text).toContain('<strong>2</strong>')
    expect(page.text).toContain('http-equiv="refresh"')
    expect(page.headers.get('cache-control')).toBe('no-store')
    expect((await g.ask('/other', { ip: '192.0.2.9' })).status).toBe(200)
    expect((await g.ask('/sale', { ip: '192.0.2.9', method: 'OPTIONS' })).status).toBe(200)
    expect(g.metric('meridian_waiting_room_queue', { room: 'sale' })).toBe(2)
    expect(g.events('waiting-room')).toHaveLength(1)
    await g.clock.pass(1000)
    const inside = await g.ask('/sale', { ip: '192.0.2.3', headers: cookie(page.headers) })
    expect(inside.status).toBe(200)
    expect(inside.headers.get('set-cookie')).toContain('Max-Age=600')
    // A reload keeps the line and the sessions.
    await g.reload(room())
    const again = await g.ask('/sale', { ip: '192.0.2.3', headers: cookie(inside.headers) })
    expect(again.status).toBe(200)
    expect(await g.why('/sale', { ip: '192.0.2.8' })).toMatch(
      /^guard: Number 1 in waiting room sale/,
    )
    expect(g.asked.filter((path) => path === '/sale')).toHaveLength(5)
  })

  it('R29: a ticket that another network or browser copied goes to the back', async () => {
    const g = await simulated(room({ admitPerSecond: 1 }))
    const ask = (ip: string, headers: readonly string[]) => g.ask('/sale', { ip, headers })
    await ask('192.0.2.1', [])
    const mine = await ask('2001:db8::1', [])
    const ticket = cookie(mine.headers)
    const position = async (ip: string, headers: readonly string[]) =>
      JSON.parse((await ask(ip, headers)).text).position
    expect(await position('2001:db8::2', ticket)).toBe(1)
    expect(await position('2001:db8:0:1::1', ticket)).toBe(2)
    expect(await position('2001:db8::1', [...ticket, 'user-agent', 'another'])).toBe(3)
  })

  it('admits who waited when the process that gave the ticket is gone', async () => {
    const before = await simulated(room())
    let last = await before.ask('/sale')
    for (let i = 0; i < 50; i++) last = await before.ask('/sale', { headers: ['user-agent', 'x'] })
    const after = await simulated(room())
    const headers = [...cookie(last.headers), 'user-agent', 'x']
    expect((await after.ask('/sale', { headers })).status).toBe(503)
    await after.clock.pass(30_000)
    expect((await after.ask('/sale', { headers })).status).toBe(200)
  })

  it('opens and closes when it is told', async () => {
    const at = (ms: number) => new Date(1_700_000_000_000 + ms).toISOString()
    const g = await simulated(room({ opensAt: at(61_000), closesAt: at(121_000) }))
    const early = await g.ask('/sale', { headers: html })
    expect(early.status).toBe(503)
    expect(early.text).toContain('We open soon')
    await g.clock.pass(60_500)
    expect((await g.ask('/sale', { headers: cookie(early.headers) })).status).toBe(200)
    for (let i = 0; i < 10; i++) await g.ask('/sale', { headers: ['user-agent', `${i}`] })
    expect((await g.ask('/sale', { ip: '192.0.2.9' })).status).toBe(503)
    await g.clock.pass(60_000)
    const open = await g.ask('/sale', { ip: '192.0.2.9' })
    expect([open.status, open.headers.has('set-cookie')]).toEqual([200, false])
  })

  it.each([
    {
      more: {
        secret: { env: 'ROOM' },
        opensAt: '2030-01-02T00:00:00Z',
        closesAt: '2030-01-01T00:00:00Z',
      },
      says: 'closes before it opens',
    },
    { more: { when: 'nonsense' }, says: 'waitingRooms[0].when' },
  ])('$says', async ({ more, says }) => {
    await expect(simulated(room(more))).rejects.toThrow(says)
  })
})
