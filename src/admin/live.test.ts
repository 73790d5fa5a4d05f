import { describe, expect, it } from 'vitest'
import { NO_SAMPLE } from '../telemetry/live-sample.ts'
import { LiveHub } from './live.ts'
import type { LiveTake, LiveView } from './live-view.ts'
import { adminWorld } from './world.fixture.ts'

const TAKE: LiveTake = {
  sample: { ...NO_SAMPLE, requests: 3, durations: [40, 3] },
  events: [],
  inFlight: 1,
  regions: [{ id: 'eu', healthy: true, drained: false, at: null }],
  gateway: null,
}

function world(take: () => Promise<readonly LiveTake[]> = async () => [TAKE]) {
  let now = 0
  let takes = 0
  const timers: { at: number; run: () => void }[] = []
  const subscribers: number[] = []
  let dropped = 0
  const view: LiveView = {
    take: () => {
      takes++
      return take()
    },
    clock: {
      now: () => 1_000_000 + now,
      monotonic: () => now,
      after: (delay, run) => {
        timers.push({ at: now + delay, run })
        return () => {}
      },
    },
    onSubscribers: (count) => subscribers.push(count),
    onDropped: () => dropped++,
  }
  const settle = async () => {
    for (let i = 0; i < 10; i++) await Promise.resolve()
  }
  return {
    view,
    hub: new LiveHub(view),
    subscribers,
    takes: () => takes,
    dropped: () => dropped,
    timers,
    pass: async (ms: number) => {
      await settle()
      const end = now + ms
      for (;;) {
        const next = timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
        if (next === undefined) break
        timers.splice(timers.indexOf(next), 1)
        now = next.at
        next.run()
        await settle()
      }
      now = end
    },
  }
}

function reader(stream: ReadableStream<Uint8Array> | undefined) {
  if (stream === undefined) throw new Error('refused')
  const source = stream.getReader()
  const decoder = new TextDecoder()
  return {
    next: async () => {
      const { done, value } = await source.read()
      return done ? undefined : decoder.decode(value)
    },
    cancel: () => source.cancel(),
  }
}

function frameOf(text: string | undefined) {
  return JSON.parse(/^data: (.*)$/m.exec(text ?? '')?.[1] ?? 'null') as Record<string, unknown>
}

describe('/live', () => {
  it('sends each reader the same frame once a second, with the seconds it stands for', async () => {
    const w = world()
    const one = reader(w.hub.subscribe())
    const two = reader(w.hub.subscribe())
    await w.pass(1000)
    expect(await one.next()).toBe(': live\n\n')
    await two.next()
    await one.next()
    await two.next()
    const [a, b] = [await one.next(), await two.next()]
    expect(a).toBe(b)
    expect(a).toMatch(/^event: frame\nid: 2\ndata: .*\n\n$/)
    expect(frameOf(a)).toMatchObject({
      seconds: 1,
      at: 1_001_000,
      workers: 1,
      requests: 3,
      inFlight: 1,
      latency: { p50: 2, p95: 2, p99: 2 },
      regions: TAKE.regions,
    })
    expect(w.takes()).toBe(2)
  })

  it('asks nothing while nobody reads', async () => {
    const w = world()
    await w.pass(5000)
    expect(w.takes()).toBe(0)
    const one = reader(w.hub.subscribe())
    await w.pass(2000)
    await one.cancel()
    const before = w.takes()
    await w.pass(60_000)
    expect(w.takes()).toBe(before)
    expect(w.timers).toEqual([])
    expect(w.subscribers).toEqual([1, 0])
    const again = reader(w.hub.subscribe())
    await w.pass(0)
    await again.next()
    expect(frameOf(await again.next())).toMatchObject({ seconds: 0 })
  })

  it('cuts off and counts a reader that does not keep up; the others go on', async () => {
    const w = world()
    const slow = reader(w.hub.subscribe())
    const quick = reader(w.hub.subscribe())
    await quick.next()
    for (let i = 0; i < 12; i++) {
      await w.pass(1000)
      await quick.next()
    }
    expect(w.dropped()).toBe(1)
    expect(w.hub.readers).toBe(1)
    await expect(slow.next()).rejects.toThrow('keep up')
    expect(w.subscribers.at(-1)).toBe(1)
  })

  it('lets in 16 readers and refuses the next one with 503', async () => {
    const w = world()
    const { call } = adminWorld({ live: w.view })
    const answers = await Promise.all(Array.from({ length: 16 }, () => call('GET', '/live')))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    const refused = await call('GET', '/live')
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toBe('10')
    await answers[0]?.body?.cancel()
    const next = await call('GET', '/live')
    expect(next.status).toBe(200)
    expect(next.headers.get('content-type')).toContain('text/event-stream')
    expect((await call('HEAD', '/live')).status).toBe(200)
    expect(w.subscribers.at(-1)).toBe(16)
  })

  it('ends after the frames that were asked for, and after a quarter of an hour', async () => {
    const w = world()
    const two = reader(w.hub.subscribe(2))
    const all = reader(w.hub.subscribe())
    await w.pass(3000)
    expect([await two.next(), await two.next(), await two.next()]).toHaveLength(3)
    expect(await two.next()).toBeUndefined()
    const reading = (async () => {
      let frames = 0
      while ((await all.next()) !== undefined) frames++
      return frames
    })()
    for (let i = 0; i < 905; i++) await w.pass(1000)
    expect(await reading).toBe(902)
    expect(w.hub.readers).toBe(0)
  })

  it.each([
    { what: 'no worker answers', take: async () => [], title: 'No worker answers.' },
    {
      what: 'the gateway fails',
      take: () => Promise.reject(new Error('secret')),
      title: 'The gateway does not answer.',
    },
  ])('says so when $what, and goes on', async ({ take, title }) => {
    const w = world(take)
    const one = reader(w.hub.subscribe())
    await w.pass(1000)
    await one.next()
    const text = await one.next()
    expect(text).toMatch(/^event: fault\n/)
    expect(frameOf(text)).toEqual({ title })
    expect(await one.next()).toMatch(/^event: fault\n/)
  })

  it('calls a region down that one process finds down, and keeps the busiest flows', async () => {
    const flows = Array.from({ length: 250 }, (_, i) => ({
      latitude: (i % 90) - 45,
      longitude: i,
      to: 'eu',
      counts: { origin: i, cache: 0, blocked: 0, failed: 0 },
    }))
    const down = { ...TAKE, regions: [{ ...TAKE.regions[0]!, healthy: false }] }
    const w = world(async () => [{ ...TAKE, sample: { ...NO_SAMPLE, flows } }, down])
    const one = reader(w.hub.subscribe(1))
    await w.pass(0)
    await one.next()
    const frame = frameOf(await one.next())
    expect(frame).toMatchObject({
      workers: 2,
      inFlight: 2,
      regions: [{ id: 'eu', healthy: false }],
    })
    expect(frame.flows).toHaveLength(200)
    expect(frame.unplaced).toBe((49 * 50) / 2)
  })

  it('wants the token, and is not there where nothing can be watched', async () => {
    const w = world()
    const { call } = adminWorld({ live: w.view })
    expect((await call('GET', '/live', undefined, { authorization: '' })).status).toBe(401)
    expect((await call('GET', '/live?frames=0')).status).toBe(400)
    expect((await adminWorld().call('GET', '/live')).status).toBe(404)
    expect(w.takes()).toBe(0)
  })
})
