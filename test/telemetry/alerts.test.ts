/** What alerts say and when; how they are signed, tried again and held back. */
import { createHmac } from 'node:crypto'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { AlertsSection } from '../../src/config/sections/alerts.ts'
import { isWebhook } from '../../src/config/webhook.ts'
import type { Exchange } from '../../src/exchange.ts'
import { AlertCourier, readyAlerts } from '../../src/telemetry/alerts/courier.ts'
import { AlertMonitor } from '../../src/telemetry/alerts/monitor.ts'
import type { AlertNotice } from '../../src/telemetry/alerts/notice.ts'
import { exchangeOf } from '../../src/telemetry/exchange.fixture.ts'
import { emptyRecord } from '../../src/telemetry/record.ts'
import { pause, until } from '../harness/wait.ts'

const SECRET = 'a secret of the receiver'

class Time {
  ms = 0
  #timers: { at: number; run: () => void }[] = []
  now = () => 1_790_000_000_000 + this.ms
  monotonic = () => this.ms
  after = (delay: number, run: () => void) => {
    const timer = { at: this.ms + delay, run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer)
    }
  }
  get waiting(): number {
    return this.#timers.length
  }
  advance(ms: number): void {
    const end = this.ms + ms
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)
      if (next === undefined) break
      this.#timers = this.#timers.filter((one) => one !== next)
      this.ms = Math.max(this.ms, next.at)
      next.run()
    }
    this.ms = end
  }
}

const alertsOf = (when: object, more: object = {}) =>
  v.parse(AlertsSection, [
    { name: 'pager', when, url: 'https://pager.example/hook', secret: { env: 'S' }, ...more },
  ])

const event = (what: string, detail: AlertNotice['detail']) =>
  ({ id: 'a-1', sequence: 1, time: 0, kind: 'security', what, detail }) as const

describe('an alert', () => {
  const watch = (when: object, matches?: (x: Exchange) => boolean) => {
    const time = new Time()
    const told: AlertNotice[] = []
    const ready = alertsOf(when).map((config) => ({ config, matches }))
    const monitor = new AlertMonitor(ready, time, (notice) => told.push(notice))
    monitor.start()
    const answered = (count: number, facts: object) => {
      for (let i = 0; i < count; i++) {
        monitor.observe(Object.assign(emptyRecord(), facts), exchangeOf({}, facts))
      }
    }
    return { time, told, monitor, answered }
  }

  it('tells of a region that is down, and that it is up again, each once', () => {
    const { told, monitor } = watch({ regionDown: ['eu'] })
    for (const eu of [true, false, false, true, true]) {
      monitor.regions(
        new Map([
          ['eu', eu],
          ['us', !eu],
        ]),
      )
    }
    expect(told.map(({ subject, state }) => [subject, state])).toEqual([
      ['region eu', 'firing'],
      ['region eu', 'resolved'],
    ])
    expect(told[0]?.summary).toBe('region eu is down: no origin is up')
  })

  it('tells of failovers and of anomalies that are bad enough', () => {
    const { told, monitor } = watch({ failover: true, anomaly: 90 })
    monitor.event(event('failover', { from: 'eu', to: 'us', because: 'timeout', route: 'r' }))
    monitor.event(event('anomaly', { network: 'a', route: 'r', score: 85, why: 'x' }))
    monitor.event(event('anomaly', { network: 'b', route: 'r', score: 95, why: 'y' }))
    monitor.event(event('matched', {}))
    expect(told.map(({ summary }) => summary)).toEqual([
      'requests of region eu are answered by us: timeout',
      'b is anomalous on route r, score 95: y',
    ])
  })

  it.each([
    { when: { errorShare: 0.5 }, bad: { status: 502, outcome: 'origin-reset' }, words: 'failed' },
    {
      when: { blockedShare: 0.5 },
      bad: { status: 429, outcome: 'rate-limited' },
      words: 'refused',
    },
  ])('takes a share of the last minute: $words', ({ when, bad, words }) => {
    const { time, told, answered } = watch(when)
    const good = { status: 200, outcome: 'served' }
    // Too few to say anything.
    answered(19, bad)
    time.advance(10_000)
    expect(told).toEqual([])
    answered(10, bad)
    answered(29, good)
    time.advance(10_000)
    expect(told.map(({ summary }) => summary)).toEqual([
      expect.stringMatching(new RegExp(`^50 % of the requests .*${words}, 29 of 58 in 60 s`)),
    ])
    // It goes on; nothing new is to be said until the minute is over.
    answered(1, bad)
    time.advance(40_000)
    expect(told).toHaveLength(1)
    time.advance(20_000)
    expect(told.map(({ state }) => state)).toEqual(['firing', 'resolved'])
  })

  const isSlow = ({ outcome }: Exchange) => outcome === 'slow'

  it('counts requests that match an expression, whatever share of all they are', () => {
    const { time, told, answered } = watch({ expression: 'x', count: 3, over: '30s' }, isSlow)
    answered(2, { outcome: 'slow' })
    answered(500, { outcome: 'served' })
    time.advance(5000)
    expect(told).toEqual([])
    answered(1, { outcome: 'slow' })
    time.advance(5000)
    expect(told).toMatchObject([
      {
        state: 'firing',
        subject: 'expression',
        summary: '0.6 % of the requests matched, 3 of 503 in 30 s; the limit is 3 requests',
        detail: { requests: 503, limit: 3 },
      },
    ])
    time.advance(30_000)
    expect(told.map(({ state }) => state)).toEqual(['firing', 'resolved'])
  })

  it('takes the share of requests that match an expression', () => {
    const { time, told, answered } = watch({ expression: 'x', share: 0.25 }, isSlow)
    answered(10, { outcome: 'slow' })
    answered(31, { outcome: 'served' })
    time.advance(10_000)
    expect(told).toEqual([])
    answered(1, { outcome: 'slow' })
    time.advance(10_000)
    expect(told.map(({ summary }) => summary)).toEqual([
      '26.2 % of the requests matched, 11 of 42 in 60 s; the limit is 25 %',
    ])
  })
})

interface Post {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

describe('the courier', () => {
  function courier(answers: (number | Error)[] = [], more: object = {}) {
    const time = new Time()
    const posts: Post[] = []
    const counted: string[] = []
    const errors: string[] = []
    const sender = new AlertCourier({
      clock: time,
      random: { next: () => 0.5, bytes: (count) => new Uint8Array(count).fill(7) },
      uplink: {
        post: async (url, headers, body) => {
          posts.push({ url, headers, body })
          const answer = answers.shift() ?? 204
          if (typeof answer !== 'number') throw answer
          return { status: answer, retryAfter: undefined, body: '' }
        },
      },
      log: {
        info: () => {},
        warn: () => {},
        error: (message, fields) => errors.push(`${message} ${JSON.stringify(fields)}`),
      },
      count: (_alert, outcome) => counted.push(outcome),
    })
    sender.configure(
      readyAlerts(alertsOf({ failover: true }, more), () => SECRET, isWebhook).alerts,
    )
    const notice = (state: 'firing' | 'resolved' = 'firing', subject = 'region eu') =>
      sender.send({
        alert: 'pager',
        subject,
        state,
        summary: 'eu is down',
        detail: { region: 'eu' },
        time: time.now(),
      })
    const counts = (count: number) =>
      until(`${count} are counted`, () => counted.length >= count || undefined)
    return { time, posts, counted, errors, notice, counts, sender }
  }

  it('signs as Standard Webhooks do, a fresh time with each try, and puts no secret into it', async () => {
    const { time, posts, counted, notice, counts } = courier([503, new Error('reset')])
    notice()
    for (let tries = 1; tries <= 2; tries++) {
      await until(
        'it waits for the next try',
        () => (posts.length === tries && time.waiting === 1) || undefined,
      )
      time.advance(5000)
    }
    await counts(1)
    expect(counted).toEqual(['delivered'])
    expect(posts).toHaveLength(3)
    for (const { url, headers, body } of posts) {
      expect(url).toBe('https://pager.example/hook')
      const content = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`
      const mac = createHmac('sha256', SECRET).update(content).digest('base64')
      expect(headers['webhook-signature']).toBe(`v1,${mac}`)
      expect(JSON.stringify([headers, body])).not.toContain(SECRET)
    }
    expect(new Set(posts.map(({ headers }) => headers['webhook-timestamp'])).size).toBe(3)
    expect(new Set(posts.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
    expect(JSON.parse(posts[0]!.body)).toEqual({
      type: 'meridian.alert.firing',
      timestamp: new Date(1_790_000_000_000).toISOString(),
      data: {
        alert: 'pager',
        state: 'firing',
        summary: 'eu is down',
        detail: { region: 'eu' },
        suppressed: 0,
      },
    })
  })

  it('gives up after six tries, at once when it is refused, and says so', async () => {
    const lost = courier(Array.from({ length: 10 }, () => 500))
    lost.notice()
    for (let tries = 1; tries < 6; tries++) {
      await until('it waits', () => lost.time.waiting === 1 || undefined)
      lost.time.advance(400_000)
    }
    await lost.counts(1)
    expect([lost.counted, lost.posts.length]).toEqual([['failed'], 6])
    expect(lost.errors).toEqual([expect.stringMatching(/could not be delivered.*answered 500/)])
    const refused = courier([401])
    refused.notice()
    await refused.counts(1)
    expect([refused.counted, refused.posts.length]).toEqual([['refused'], 1])
  })

  it('says the same thing once in an interval, and does not forget what came back', async () => {
    const { time, posts, counted, notice, counts } = courier()
    const states = () => posts.map(({ body }) => JSON.parse(body).data)
    // Three processes see it, and see its end.
    for (let i = 0; i < 3; i++) notice()
    for (let i = 0; i < 3; i++) notice('resolved')
    await counts(4)
    expect(states().map(({ state }) => state)).toEqual(['firing', 'resolved'])
    // It is back within the interval, and stays: told when it may be.
    time.advance(60_000)
    notice()
    await pause(10)
    expect(posts).toHaveLength(2)
    time.advance(240_000)
    await until('it is told', () => posts.length === 3 || undefined)
    expect(states()[2]).toMatchObject({ state: 'firing', suppressed: 1 })
    // Back and over again within the interval: nobody needs to know.
    notice('resolved')
    await until('its end is told', () => posts.length === 4 || undefined)
    notice()
    notice('resolved')
    time.advance(600_000)
    await pause(10)
    expect(posts).toHaveLength(4)
    expect(counted.filter((one) => one === 'suppressed')).toHaveLength(4)
    // Other subjects are none of its business.
    notice('firing', 'region us')
    await until('the other one is told', () => posts.length === 5 || undefined)
  })

  it('holds at most a hundred messages, and counts what it drops', async () => {
    const { counted, errors, notice, posts, time, sender } = courier(
      Array.from({ length: 500 }, () => new Error('away')),
    )
    for (let i = 0; i < 130; i++) notice('firing', `failover ${i}`)
    expect(counted).toEqual(Array(30).fill('dropped'))
    expect(errors).toHaveLength(30)
    await until('all wait for their next try', () => time.waiting === 100 || undefined)
    expect(posts).toHaveLength(100)
    sender.stop()
  })

  it.each([
    ['short', 'https://a.example', [['secret', /16 characters/]]],
    ['whsec_####', 'https://a.example', [['secret', /whsec_/]]],
    [`whsec_${Buffer.alloc(24, 1).toString('base64')}`, 'https://a.example', []],
    [SECRET, 'ftp://a.example', [['url', /no http/]]],
  ] as const)('is ready with the secret %s for %s, or says why not', (secret, url, expected) => {
    const configs = alertsOf({ failover: true }, { url: { env: 'URL' } })
    const { faults } = readyAlerts(
      configs,
      (ref) => ('env' in ref && ref.env === 'URL' ? url : secret),
      isWebhook,
    )
    expect(faults.map(({ field }) => field)).toEqual(expected.map(([field]) => field))
    for (const [i, { message }] of faults.entries()) expect(message).toMatch(expected[i]![1])
  })
})
