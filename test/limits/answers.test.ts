/** What limits do to answers: pacing, costs, fields, reloads; and a flood, through the whole gateway. */
import { describe, expect, it } from 'vitest'
import type { ByteSink, ByteStream } from '../../src/exchange.ts'
import { type SimulatedConfig, simulated } from '../harness/simulated.ts'

/** A body that counts what was taken from it, and keeps to back-pressure. */
class Source implements ByteStream {
  readonly length: number
  given = 0
  cancelled = false
  #sink: ByteSink | undefined
  constructor(length: number) {
    this.length = length
  }
  pipe(sink: ByteSink): void {
    this.#sink = sink
    this.resume()
  }
  resume(): void {
    while (this.given < this.length && !this.cancelled) {
      this.given += 10_000
      if (this.#sink?.write(new Uint8Array(10_000)) === false) return
    }
    if (!this.cancelled) this.#sink?.end()
  }
  cancel(): void {
    this.cancelled = true
  }
}

describe('bandwidth', () => {
  // 100,000 bytes a second, 20,000 at once.
  const limits: SimulatedConfig['limits'] = [
    { id: 'line', algorithm: 'bandwidth', limit: 100_000, window: '1s', burst: 20_000 },
  ]

  it('paces a stream, and holds the origin back instead of its bytes', async () => {
    const source = new Source(220_000)
    const g = await simulated({ limits }, () => ({ body: source }))
    const { body } = await g.begin('/').reply
    let received = 0
    let isOver = false
    ;(body as ByteStream).pipe({
      write(chunk) {
        received += chunk.length
        return true
      },
      end: () => {
        isOver = true
      },
      fail: () => {},
    })
    for (const second of [0, 1]) {
      await g.clock.pass(second * 1000)
      const most = 20_000 + second * 100_000
      expect(received).toBeLessThanOrEqual(most)
      expect(received).toBeGreaterThan(most - 10_000)
      expect(source.given - received).toBeLessThanOrEqual(20_000)
    }
    expect(isOver).toBe(false)
    await g.clock.pass(1001)
    expect([received, isOver]).toEqual([220_000, true])
    expect(g.metric('meridian_bandwidth_wait_seconds_total', { limit: 'line' })).toBeCloseTo(2, 0)
  })

  it('a client that does not read, or leaves, is not sent to and stops the origin', async () => {
    const source = new Source(200_000)
    const g = await simulated({ limits }, () => ({ body: source }))
    const { body } = await g.begin('/').reply
    const paced = body as ByteStream
    let received = 0
    const sink = {
      write(chunk: Uint8Array) {
        received += chunk.length
        return false
      },
      end: () => {},
      fail: () => {},
    }
    paced.pipe(sink)
    await g.clock.pass(10_000)
    expect(received).toBeLessThanOrEqual(10_000)
    paced.resume()
    const before = received
    expect(before).toBeGreaterThan(5000)
    paced.cancel()
    await g.clock.pass(10_000)
    expect([received, source.cancelled]).toEqual([before, true])
  })

  it('paces what is in memory above the burst, and many small answers to one client', async () => {
    const g = await simulated({ limits }, ({ path }) => ({
      body: 'x'.repeat(path === '/large' ? 120_000 : 10_000),
    }))
    const started = g.clock.monotonic()
    const large = await g.ask('/large')
    expect([large.text.length, large.headers.get('content-length')]).toEqual([120_000, '120000'])
    expect(g.clock.monotonic() - started).toBeGreaterThanOrEqual(1000)
    await g.clock.pass(60_000)
    const taken = async () => {
      const { body } = await g.begin('/').reply
      return body instanceof Uint8Array
    }
    expect([await taken(), await taken(), await taken()]).toEqual([true, true, false])
    expect((await g.ask('/', { method: 'HEAD' })).status).toBe(200)
    expect((await g.ask('/', { ip: '192.0.2.2' })).text).toHaveLength(10_000)
  })

  it('what is owed is owed after a reload', async () => {
    const g = await simulated({ limits }, () => ({ body: 'x'.repeat(20_000) }))
    await g.ask('/')
    await g.reload({ limits })
    const { body } = await g.begin('/').reply
    expect(body).not.toBeInstanceOf(Uint8Array)
  })
})

describe('costs', () => {
  it('the origin states what a request cost', async () => {
    const g = await simulated(
      { limits: [{ id: 'units', limit: 100, window: '100s', burst: 100, costHeader: 'x-cost' }] },
      () => ({ headers: ['X-Cost', '40'] }),
    )
    const left = async () => (await g.ask('/')).headers.get('ratelimit')?.match(/r=(\d+)/)?.[1]
    // The field tells what the check found; the difference is charged when the answer is there.
    expect([await left(), await left(), await left()]).toEqual(['99', '59', '19'])
    expect((await g.ask('/')).status).toBe(429)
  })

  it('a background refresh is charged, and its cost is what the origin says', async () => {
    const limits: SimulatedConfig['limits'] = [
      {
        id: 'units',
        limit: 100,
        window: '1h',
        burst: 100,
        phase: 'origin',
        costHeader: 'x-cost',
      },
      { id: 'once', algorithm: 'concurrency', limit: 1, phase: 'origin' },
    ]
    const g = await simulated(
      { limits, routes: [{ id: 'site', pools: ['app'], cache: {} }] },
      () => ({
        headers: ['x-cost', '10', 'cache-control', 'max-age=1, stale-while-revalidate=60'],
        body: 'kept',
      }),
    )
    await g.ask('/a')
    await g.clock.pass(2000)
    expect((await g.ask('/a')).headers.has('ratelimit')).toBe(false)
    await g.clock.pass(100)
    expect(g.asked).toEqual(['/a', '/a'])
    // Nothing is held: the refresh has let go of its place.
    expect((await g.ask('/b')).headers.get('ratelimit')).toMatch(/^"(once";r=0|units";r=79)/)
  })

  it('responses are counted by status even where the limit only logs', async () => {
    const g = await simulated(
      {
        limits: [
          {
            id: 'errors',
            algorithm: 'exact',
            limit: 2,
            window: '60s',
            phase: 'response',
            countStatus: [401],
            action: 'log',
          },
        ],
      },
      () => ({ status: 401 }),
    )
    for (let i = 0; i < 4; i++) expect((await g.ask('/')).status).toBe(401)
    expect(g.metric('meridian_limit_decisions_total', { decision: 'logged' })).toBe(2)
  })
})

describe('RateLimit fields', () => {
  const limits: SimulatedConfig['limits'] = [{ id: 'edge', limit: 100, window: '60s', burst: 5 }]

  it('are each client’s own: neither ours nor the origin’s are kept', async () => {
    const g = await simulated(
      { limits, routes: [{ id: 'site', pools: ['app'], cache: {} }] },
      () => ({
        headers: [
          'cache-control',
          'max-age=60',
          'RateLimit',
          '"app";r=7',
          'X-RateLimit-Remaining',
          '7',
        ],
        body: 'kept',
      }),
    )
    const first = await g.ask('/')
    expect(first.headers.all('ratelimit')).toEqual(['"app";r=7', '"edge";r=4;t=1'])
    for (let i = 0; i < 3; i++) {
      const { headers } = await g.ask('/', { ip: `192.0.2.${i + 2}` })
      expect(headers.get('cache-status')).toContain('hit')
      expect(headers.all('ratelimit')).toEqual(['"edge";r=4;t=1'])
      expect(headers.has('x-ratelimit-remaining')).toBe(false)
    }
  })

  it('R30: a reload keeps what was used', async () => {
    const sliding = (limit: number): SimulatedConfig => ({
      limits: [{ id: 'edge', algorithm: 'sliding', limit, window: '60s' }],
    })
    const g = await simulated(sliding(100))
    for (let i = 0; i < 30; i++) await g.ask('/')
    await g.reload(sliding(50))
    expect((await g.ask('/')).headers.get('ratelimit')).toMatch(/^"edge";r=19;/)
    await g.reload(sliding(20))
    const denied = await g.ask('/')
    expect([denied.status, denied.headers.get('ratelimit')?.slice(0, 10)]).toEqual([
      429,
      '"edge";r=0',
    ])
  })

  it('a denial says it once, for the limit that denied, and its wait is spread', async () => {
    const g = await simulated({
      limits: [
        { id: 'wide', limit: 1000, window: '60s', burst: 1000 },
        {
          id: 'narrow',
          limit: 1,
          window: '1h',
          burst: 1,
          key: ['host'],
          phase: 'identity',
        },
      ],
    })
    await g.ask('/')
    const waits = new Set<number>()
    for (let i = 0; i < 20; i++) {
      const { headers, status } = await g.ask('/')
      expect(status).toBe(429)
      expect(headers.all('ratelimit-policy')).toEqual(['"narrow";q=1;w=3600'])
      waits.add(Number(headers.get('retry-after')))
    }
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(3600)
    expect(Math.max(...waits)).toBeLessThanOrEqual(3960)
    expect(waits.size).toBeGreaterThan(10)
  })
})

it('a flood is limited and shut out, whoever else comes is served', async () => {
  const g = await simulated({
    limits: [{ id: 'edge', limit: 10, window: '1s', burst: 10, slots: 512 }],
    penaltyBox: { slots: 512 },
    waf: { rulesets: ['basic'] },
  })
  const served = { attackers: 0, others: 0 }
  const refused = { attackers: 0, others: 0 }
  for (let second = 0; second < 20; second++) {
    for (let i = 0; i < 20; i++) {
      for (let n = 0; n < 6; n++) {
        const { status } = await await g.begin(n === 0 ? '/.env' : '/', { ip: `203.0.113.${i}` })
          .reply
        if (status === 200) served.attackers++
        else refused.attackers++
      }
    }
    for (let i = 0; i < 100; i++) {
      const ip = `10.${second}.${i >> 4}.${i & 15}`
      const { status } = await g.begin('/', { ip }).reply
      if (status === 200) served.others++
      else refused.others++
    }
    await g.clock.pass(1000)
  }
  expect(refused.others).toBe(0)
  expect(served.others).toBe(2000)
  // Three attacks each, and what came between them; then nothing.
  expect(served.attackers).toBeLessThanOrEqual(20 * 15)
  expect(refused.attackers).toBeGreaterThanOrEqual(20 * 100)
  expect(g.events('shut-out')).toHaveLength(20)
})
