import { describe, expect, it } from 'vitest'
import { Mirror, type MirrorReport } from './mirror.ts'
import {
  type Act,
  FakeHealth,
  PushStream,
  poolOf,
  ScriptedUpstream,
  seededRandom,
  VirtualClock,
} from './scripted.fixture.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

function world(act: Act = { body: 'same' }, most = 4) {
  const clock = new VirtualClock()
  const upstream = new ScriptedUpstream(clock, { m1: act })
  const health = new FakeHealth()
  const pool = poolOf('m', [100])
  const mirror = new Mirror({
    pool,
    methods: new Set(['GET']),
    credentials: false,
    most,
    timeoutMs: 1000,
  })
  const reports: MirrorReport[] = []
  const begin = (target = mirror) =>
    target.begin(
      {
        method: 'GET',
        path: '/',
        fields: () => ['Cookie', 'a=b', 'Authorization', 'x', 'Accept', '*/*'],
        body: null,
        clientKey: 'c',
      },
      { upstream, clock, random: seededRandom(), health },
      (report) => reports.push(report),
    )
  return { clock, upstream, health, pool, mirror, reports, begin }
}

describe('a mirror', () => {
  it.each<[string, Act, { status?: number; body?: string }, string]>([
    ['the same', { body: 'same' }, {}, 'match'],
    ['another body of the same length', { body: 'sane' }, {}, 'body'],
    ['no body', {}, {}, 'body'],
    ['another status', { status: 500, body: 'same' }, {}, 'status'],
    ['nothing', { fails: 'connect' }, {}, 'failed'],
    ['nothing in time', { after: 60_000 }, {}, 'failed'],
    ['more than is compared', { body: 'x'.repeat(70_000) }, {}, 'unknown'],
    ['both more', { body: 'x'.repeat(70_000) }, { body: 'x'.repeat(70_000) }, 'unknown'],
  ])('that answers with %s', async (_what, act, main, result) => {
    const { clock, reports, begin, mirror, pool } = world(act)
    const comparison = begin()
    const reply = { status: main.status ?? 200, headers: [], body: bytes(main.body ?? 'same') }
    expect(comparison?.mainAnswered(reply)).toBe(reply)
    await clock.pass(5000)
    expect(reports.map((report) => report.result)).toEqual([result])
    expect([mirror.underWay, pool.origins[0]!.load.inFlight]).toEqual([0, 0])
  })

  it('sees no credentials unless it may, and is told what it is', async () => {
    const { clock, upstream, begin, mirror } = world()
    begin()
    begin(new Mirror({ ...mirror.policy, credentials: true }))
    await clock.pass(10)
    expect(upstream.sent.map((each) => each.fields)).toEqual([
      { Accept: '*/*', 'x-meridian-mirror': '1' },
      { Cookie: 'a=b', Authorization: 'x', Accept: '*/*', 'x-meridian-mirror': '1' },
    ])
  })

  it('that hangs holds no more than its share, and the rest is dropped at once', async () => {
    const { clock, reports, begin, mirror, upstream } = world({ after: 60_000 })
    for (let i = 0; i < 100; i++) begin()
    expect(upstream.sent).toHaveLength(4)
    expect(reports.filter((report) => report.result === 'dropped')).toHaveLength(96)
    await clock.pass(1500)
    expect(mirror.underWay).toBe(0)
    begin()
    expect(upstream.sent).toHaveLength(5)
    await clock.pass(5000)
  })

  it('that is down is left alone', () => {
    const { begin, health, upstream, reports } = world()
    health.down.add(0)
    expect(begin()).toBeUndefined()
    expect(upstream.sent).toHaveLength(0)
    expect(reports[0]?.result).toBe('dropped')
  })

  it('is compared with a stream as it passes, which it neither holds nor changes', async () => {
    for (const [end, result] of [
      ['end', 'match'],
      ['fail', 'unknown'],
      ['cancel', 'unknown'],
    ] as const) {
      const { clock, begin, reports } = world({ body: 'in pieces' })
      const inner = new PushStream()
      const reply = begin()!.mainAnswered({ status: 200, headers: [], body: inner })
      const got: string[] = []
      const body = reply.body as PushStream
      body.pipe({
        write: (chunk) => {
          got.push(new TextDecoder().decode(chunk))
          return true
        },
        end: () => got.push('end'),
        fail: () => got.push('fail'),
      })
      inner.push('in ')
      expect(got).toEqual(['in '])
      await clock.pass(100)
      expect(reports).toEqual([])
      inner.push('pieces')
      if (end === 'end') inner.end()
      else if (end === 'fail') inner.fail(new Error('cut'))
      else body.cancel()
      expect(reports.map((report) => report.result)).toEqual([result])
      expect(inner.cancelled).toBe(end === 'cancel')
    }
  })

  it('is not blamed when the main answer failed', async () => {
    const { clock, begin, reports } = world()
    begin()!.mainFailed()
    await clock.pass(10)
    expect(reports.map((report) => report.result)).toEqual(['unknown'])
  })
})
