/** What becomes of telemetry on its way: batches, other tries, losses that are counted, an end in time. */
import { describe, expect, it } from 'vitest'
import type { Uplink } from '../../src/ports.ts'
import { Sender } from '../../src/telemetry/otlp/sender.ts'
import { seededRandom, VirtualClock } from '../../src/upstream/scripted.fixture.ts'

type Answer = { status: number; retryAfter?: string; body?: string } | 'hang' | Error

function world(answers: (tries: number) => Answer = () => ({ status: 200 }), most = 100_000) {
  const clock = new VirtualClock()
  const bodies: { at: number; body: string }[] = []
  const counts = { sent: 0, full: 0, rejected: 0, failed: 0, retried: 0 }
  const log: string[] = []
  const uplink: Uplink = {
    post: async (_url, _headers, body) => {
      bodies.push({ at: clock.time, body })
      const answer = answers(bodies.length)
      if (answer === 'hang') return new Promise(() => {})
      if (answer instanceof Error) throw answer
      return { status: answer.status, retryAfter: answer.retryAfter, body: answer.body ?? '' }
    },
  }
  const sender = new Sender(
    {
      signal: 'traces',
      url: 'http://collector.test/v1/traces',
      headers: {},
      timeoutMs: 1000,
      most,
      gatherMs: 1000,
      patienceMs: 120_000,
      envelope: ['[', ']'],
      rejectedField: 'rejectedSpans',
    },
    {
      uplink,
      clock,
      random: seededRandom(),
      log: {
        info: (message) => log.push(`info ${message}`),
        warn: (message) => log.push(`warn ${message}`),
        error: (message) => log.push(`error ${message}`),
      },
      counts: {
        sent: (_signal, items) => {
          counts.sent += items
        },
        dropped: (_signal, reason, items) => {
          counts[reason] += items
        },
        retried: () => {
          counts.retried++
        },
      },
    },
  )
  return { sender, clock, bodies, counts, log }
}

describe('a sender', () => {
  it('gathers for a moment, then sends in batches, in order', async () => {
    const { sender, clock, bodies, counts } = world()
    for (let i = 0; i < 1100; i++) sender.add(String(i), 1)
    await clock.pass(900)
    expect(bodies.map(({ body }) => JSON.parse(body).length)).toEqual([512, 512])
    await clock.pass(200)
    expect(bodies.flatMap(({ body }) => JSON.parse(body))).toEqual([...Array(1100).keys()])
    expect(bodies).toHaveLength(3)
    expect(counts).toMatchObject({ sent: 1100, full: 0, rejected: 0, failed: 0 })
    expect(sender.waiting).toBe(0)
    sender.add('1', 1)
    await clock.pass(1000)
    expect(counts.sent).toBe(1101)
  })

  it.each([
    { name: 'refused', answer: new Error('connect ECONNREFUSED'), first: [500, 1000] },
    { name: '503', answer: { status: 503 }, first: [500, 1000] },
    { name: '429 with a time', answer: { status: 429, retryAfter: '7' }, first: [7000, 7000] },
    {
      name: '503 with a date',
      answer: { status: 503, retryAfter: new Date(1_700_000_010_000).toUTCString() },
      first: [7900, 8100],
    },
  ])(
    'tries again when it is $name, says so once, and when it works again',
    async ({ answer, first }) => {
      const { sender, clock, bodies, counts, log } = world((tries) =>
        tries < 4 ? answer : { status: 200 },
      )
      sender.add('1', 1)
      await clock.pass(60_000)
      expect(bodies).toHaveLength(4)
      const pause = bodies[1]!.at - bodies[0]!.at
      expect(pause).toBeGreaterThanOrEqual(first[0]!)
      expect(pause).toBeLessThanOrEqual(first[1]!)
      expect(counts).toMatchObject({ sent: 1, retried: 3, failed: 0 })
      expect(log).toEqual([
        'warn the collector does not take traces',
        'info traces reach the collector again',
      ])
    },
  )

  it('gives a batch up in the end, counts it, and goes on with the next', async () => {
    let isUp = false
    const { sender, clock, bodies, counts } = world(() =>
      isUp ? { status: 200 } : { status: 503 },
    )
    sender.add('1,2', 2)
    await clock.pass(200_000)
    expect(counts).toMatchObject({ sent: 0, failed: 2 })
    const pauses = bodies.slice(1).map(({ at }, i) => at - bodies[i]!.at)
    expect(Math.max(...pauses)).toBeLessThanOrEqual(30_000)
    expect(pauses.at(-1)!).toBeGreaterThan(pauses[0]! * 4)
    isUp = true
    sender.add('3', 1)
    await clock.pass(1000)
    expect(counts).toMatchObject({ sent: 1, failed: 2 })
  })

  it.each([400, 401, 404, 413, 500])('does not try again after %d', async (status) => {
    const { sender, clock, bodies, counts } = world(() => ({ status }))
    sender.add('1,2', 2)
    await clock.pass(200_000)
    expect(bodies).toHaveLength(1)
    expect(counts).toMatchObject({ rejected: 2, failed: 0, sent: 0, retried: 0 })
  })

  it.each([
    { body: '{"partialSuccess":{"rejectedSpans":"2","errorMessage":"no"}}', rejected: 2 },
    { body: '{"partialSuccess":{"rejectedSpans":1}}', rejected: 1 },
    { body: '{"partialSuccess":{"rejectedSpans":99}}', rejected: 3 },
    { body: '{"partialSuccess":{"rejectedSpans":0,"errorMessage":"slow"}}', rejected: 0 },
    { body: '{"partialSuccess":{}}', rejected: 0 },
    { body: 'rejectedSpans', rejected: 0 },
    { body: '\u0001\u0002', rejected: 0 },
  ])('counts what a partial success refuses: $body', async ({ body, rejected }) => {
    const { sender, clock, bodies, counts } = world(() => ({ status: 200, body }))
    sender.add('1,2,3', 3)
    await clock.pass(200_000)
    expect(bodies).toHaveLength(1)
    expect(counts).toMatchObject({ sent: 3 - rejected, rejected })
  })

  it('drops and counts what finds no room, and nobody waits', async () => {
    const { sender, clock, counts } = world(() => 'hang', 100)
    await clock.pass(0)
    for (let i = 0; i < 1000; i++) sender.add('x', 1)
    expect(counts.full).toBe(900)
    await clock.pass(10_000)
    // What is under way counts too: memory is bounded by it.
    sender.add('x', 1)
    expect(counts.full).toBe(901)
    expect(sender.waiting).toBe(100)
    const huge = world()
    for (let i = 0; i < 40; i++) huge.sender.add('x'.repeat(1_000_000), 1)
    expect(huge.counts.full).toBe(24)
  })

  it('sends what waits when it stops', async () => {
    const { sender, clock, bodies, counts } = world()
    for (let i = 0; i < 600; i++) sender.add('1', 1)
    const stopped = sender.stop(3000)
    await clock.pass(0)
    await stopped
    expect(bodies).toHaveLength(2)
    expect(counts.sent).toBe(600)
    sender.add('1', 1)
    expect(counts.full).toBe(1)
  })

  it.each([
    { name: 'hangs', answer: 'hang' as const, failed: 88 },
    { name: 'fails', answer: { status: 503 }, failed: 600 },
  ])('is not held up at its end by a collector that $name', async ({ answer, failed }) => {
    const { sender, clock, counts } = world(() => answer)
    for (let i = 0; i < 600; i++) sender.add('1', 1)
    let isOver = false
    void sender.stop(3000).then(() => {
      isOver = true
    })
    await clock.pass(3000)
    expect(isOver).toBe(true)
    expect(counts.failed).toBe(failed)
  })
})
