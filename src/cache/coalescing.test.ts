/** One origin request for many clients: sharing, releasing, dying, leaving. */
import { describe, expect, it } from 'vitest'
import type { ByteStream, Reply } from '../exchange.ts'
import { UpstreamError } from '../ports.ts'
import type { CacheRequest } from './key/cache-key.ts'
import { answerOf, bytes, Drain, FedStream, reply, settle, World } from './world.fixture.ts'

const FRESH = { 'Cache-Control': 'max-age=60' }

interface Waiting {
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: Error) => void
}

/** An origin that answers when the test says so. */
function held(world: World): Waiting[] {
  const waiting: Waiting[] = []
  world.origin = () =>
    new Promise<Reply>((resolve, reject) => {
      waiting.push({ resolve, reject })
    })
  return waiting
}

function drain(answer: Reply): Drain {
  const sink = new Drain()
  const { body } = answer
  if (body === null) sink.end()
  else if ('byteLength' in body) {
    sink.write(body)
    sink.end()
  } else body.pipe(sink)
  return sink
}

describe('joining', () => {
  it('40 cold requests make one origin request', async () => {
    const world = new World()
    const waiting = held(world)
    const asked = Array.from({ length: 40 }, () => world.ask('/'))
    await settle()
    expect(waiting).toHaveLength(1)
    waiting[0]!.resolve(reply(200, FRESH, 'once'))
    const answers = await Promise.all(asked)
    expect(answers.every((answer) => answer.text === 'once')).toBe(true)
    expect(
      answers.filter((a) => a.headers.get('cache-status')?.includes('collapsed')),
    ).toHaveLength(39)
    expect(world.asked).toHaveLength(1)
  })

  it("a failure that stale content hides from one is the origin's own answer for who may not have it", async () => {
    const world = new World({ profile: 'rfc9111' })
    world.origin = () => reply(200, { 'Cache-Control': 'max-age=1, stale-if-error=60' }, 'old')
    await world.ask('/')
    world.clock.advance(2000)
    const waiting = held(world)
    const hidden = world.ask('/')
    const strict = world.ask('/', { headers: { 'Cache-Control': 'no-cache' } })
    await settle()
    expect(waiting).toHaveLength(1)
    waiting[0]!.resolve(reply(503, {}, 'out'))
    await settle()
    waiting[1]!.resolve(reply(503, {}, 'out'))
    expect(await hidden).toMatchObject({ status: 200, text: 'old', outcome: 'stale' })
    expect(await strict).toMatchObject({ status: 503, text: 'out' })
  })

  it('does not join a body whose header came before it asked for a validated or a younger one', async () => {
    const world = new World({ profile: 'rfc9111' })
    world.origin = () => reply(200, FRESH, new FedStream(10))
    await world.ask('/')
    world.clock.advance(3000)
    for (const [directives, isJoined] of [
      ['max-age=5', true],
      ['no-cache', false],
    ] as const) {
      const before = world.asked.length
      await world.ask('/', { headers: { 'Cache-Control': directives } })
      expect(world.asked.length - before, directives).toBe(isJoined ? 0 : 1)
    }
  })

  it('a joiner gets its first byte while the fill is going on, and all bytes', async () => {
    const world = new World()
    const stream = new FedStream(10)
    world.origin = () => reply(200, { ...FRESH, 'Content-Length': '10' }, stream)
    const leader = drain((await world.ask('/')).reply)
    stream.write('01234')
    const late = await world.ask('/')
    const joiner = drain(late.reply)
    expect(late.reason).toBe('collapsed')
    expect([leader.text, joiner.text]).toEqual(['01234', '01234'])
    stream.write('56789')
    stream.sink?.end()
    expect([leader, joiner]).toMatchObject([
      { text: '0123456789', ended: true },
      { text: '0123456789', ended: true },
    ])
    expect(await world.ask('/')).toMatchObject({ outcome: 'hit', text: '0123456789' })
    expect(world.asked).toHaveLength(1)
  })

  it('variants are fetched beside each other', async () => {
    const world = new World()
    const waiting = held(world)
    const first = world.ask('/', { headers: { Foo: '1' } })
    const others = ['1', '2', '2'].map((foo) => world.ask('/', { headers: { Foo: foo } }))
    await settle()
    expect(waiting).toHaveLength(1)
    waiting[0]!.resolve(reply(200, { ...FRESH, Vary: 'Foo' }, 'one'))
    await settle()
    expect(waiting).toHaveLength(2)
    waiting[1]!.resolve(reply(200, { ...FRESH, Vary: 'Foo' }, 'two'))
    const texts = (await Promise.all([first, ...others])).map((answer) => answer.text)
    expect(texts).toEqual(['one', 'one', 'two', 'two'])
  })

  it('revalidations are one as well', async () => {
    const world = new World()
    world.origin = () => reply(200, { 'Cache-Control': 'max-age=1', ETag: '"a"' }, 'body')
    await world.ask('/')
    world.clock.advance(2000)
    const waiting = held(world)
    const asked = Array.from({ length: 10 }, () => world.ask('/'))
    await settle()
    expect(waiting).toHaveLength(1)
    waiting[0]!.resolve(reply(304, { ...FRESH, ETag: '"a"' }, null))
    for (const answer of await Promise.all(asked)) expect(answer.text).toBe('body')
  })

  it.each([
    { name: 'credentials', options: { headers: { Authorization: 'x' } } },
    { name: 'a principal', options: { principal: 'api-key' } },
    { name: 'a range', options: { headers: { Range: 'bytes=0-1' } } },
    { name: 'HEAD', options: { method: 'HEAD' } },
    { name: 'POST', options: { method: 'POST' } },
  ])('never shares a fetch made with $name', async ({ options }) => {
    const world = new World()
    const waiting = held(world)
    const asked = [world.ask('/', options), world.ask('/', options)]
    await settle()
    expect(waiting).toHaveLength(2)
    for (const one of waiting) one.resolve(reply(200, { 'Cache-Control': 'private' }, ''))
    await Promise.all(asked)
  })
})

describe('releasing', () => {
  it('20 private answers take two latencies at first, then one', async () => {
    const world = new World()
    const waiting = held(world)
    const asked = Array.from({ length: 20 }, () => world.ask('/'))
    await settle()
    expect(waiting).toHaveLength(1)
    waiting[0]!.resolve(reply(200, { 'Cache-Control': 'private' }, '0'))
    await settle()
    expect(waiting).toHaveLength(20)
    for (let i = 1; i < 20; i++) {
      waiting[i]!.resolve(reply(200, { 'Cache-Control': 'private' }, String(i)))
    }
    const texts = (await Promise.all(asked)).map((answer) => answer.text)
    expect(new Set(texts).size).toBe(20)

    // Known not to be shareable: nobody waits for anybody.
    const again = Array.from({ length: 20 }, () => world.ask('/'))
    await settle()
    expect(waiting).toHaveLength(40)
    for (const one of waiting) one.resolve(reply(200, { 'Cache-Control': 'private' }, ''))
    await Promise.all(again)
  })

  it('forgets that something is private when it is shareable again', async () => {
    const world = new World()
    world.origin = () => reply(200, { 'Cache-Control': 'private' }, 'x')
    await world.ask('/')
    world.origin = () => reply(200, FRESH, 'y')
    await world.ask('/')
    world.clock.advance(61_000)
    const waiting = held(world)
    const asked = [world.ask('/'), world.ask('/')]
    await settle()
    expect(waiting).toHaveLength(1)
    waiting[0]!.resolve(reply(200, FRESH, 'z'))
    await Promise.all(asked)
  })

  it('does not wait for ever', async () => {
    const world = new World({ route: { coalesce: { waitMs: '2s' } } })
    const waiting = held(world)
    const leader = world.ask('/')
    const follower = world.ask('/')
    await settle()
    world.clock.advance(2000)
    await settle()
    expect(waiting).toHaveLength(2)
    waiting[1]!.resolve(reply(200, FRESH, 'second'))
    expect((await follower).text).toBe('second')
    waiting[0]!.resolve(reply(200, FRESH, 'first'))
    await leader
  })

  it('an answer that is stale on arrival is nobody else’s', async () => {
    const world = new World()
    const waiting = held(world)
    const asked = [world.ask('/'), world.ask('/')]
    await settle()
    waiting[0]!.resolve(reply(200, { 'Cache-Control': 'max-age=0', ETag: '"a"' }, 'mine'))
    await settle()
    expect(waiting).toHaveLength(2)
    waiting[1]!.resolve(reply(304, { 'Cache-Control': 'max-age=0', ETag: '"a"' }, null))
    expect((await Promise.all(asked)).map((answer) => answer.text)).toEqual(['mine', 'mine'])
  })
})

describe('dying', () => {
  it('a failed fetch is everybody’s failure, once', async () => {
    const world = new World()
    const waiting = held(world)
    const asked = Array.from({ length: 5 }, () => world.ask('/'))
    await settle()
    waiting[0]!.reject(new UpstreamError('connect', 'refused'))
    for (const one of asked) await expect(one).rejects.toThrow('refused')
    expect(waiting).toHaveLength(1)
  })

  it.each([
    { name: 'cut', length: null, end: (s: FedStream) => s.sink?.fail(new Error('cut')) },
    { name: 'short', length: 10, end: (s: FedStream) => s.sink?.end() },
  ])('a $name body is an error for each reader and is not stored', async ({ length, end }) => {
    const world = new World()
    const stream = new FedStream(length)
    world.origin = () => reply(200, FRESH, stream)
    const leader = drain((await world.ask('/')).reply)
    const joiner = drain((await world.ask('/')).reply)
    stream.write('half')
    end(stream)
    for (const sink of [leader, joiner]) {
      expect(sink.ended).toBe(false)
      expect(sink.failed).toBeInstanceOf(Error)
    }
    expect(world.cache.stats().memory.entries).toBe(0)
    expect(world.cache.stats().fillingBytes).toBe(0)
    world.origin = () => reply(200, FRESH, 'whole')
    expect((await world.ask('/')).text).toBe('whole')
  })

  it.each([
    { name: 'the same', etag: '"1"', again: '"1"', served: true },
    { name: 'another version', etag: '"1"', again: '"2"', served: false },
    { name: 'only weakly the same', etag: 'W/"1"', again: 'W/"1"', served: false },
  ])('who got nothing yet gets it once more, when it is $name', async ({ etag, again, served }) => {
    const world = new World()
    const stream = new FedStream(4)
    world.origin = () => reply(200, { ...FRESH, ETag: etag, 'Content-Length': '4' }, stream)
    const leader = drain((await world.ask('/')).reply)
    const early = drain((await world.ask('/')).reply)
    stream.write('bo')
    const none = new World()
    const dead = new FedStream(4)
    none.origin = () => reply(200, { ...FRESH, ETag: etag, 'Content-Length': '4' }, dead)
    drain((await none.ask('/')).reply)
    const joiners = [drain((await none.ask('/')).reply), drain((await none.ask('/')).reply)]
    none.origin = () => reply(200, { ...FRESH, ETag: again, 'Content-Length': '4' }, 'body')
    dead.sink?.fail(new Error('cut'))
    stream.sink?.fail(new Error('cut'))
    await settle()
    await settle()
    // These had a part of it: nothing can make that good.
    for (const sink of [leader, early]) expect(sink).toMatchObject({ text: 'bo', ended: false })
    for (const sink of joiners) {
      expect(sink).toMatchObject({ text: served ? 'body' : '', ended: served })
      expect(sink.failed === undefined).toBe(served)
    }
    expect(none.asked.length).toBeLessThanOrEqual(3)
  })

  it('a reader that has stopped taking hears of it, too', async () => {
    const world = new World()
    const stream = new FedStream()
    world.origin = () => reply(200, FRESH, stream)
    const { body } = (await world.ask('/')).reply
    const sink = new Drain()
    sink.accepts = false
    ;(body as ByteStream).pipe(sink)
    stream.write('a')
    stream.write('b')
    stream.sink?.fail(new Error('cut'))
    expect(sink).toMatchObject({ text: 'a', ended: false })
    expect(sink.failed).toBeDefined()
  })
})

describe('leaving', () => {
  it('the leader’s client leaves before the header: the others are served', async () => {
    const world = new World()
    const waiting = held(world)
    const request = world.request('/')
    const led = world.send(request) as Promise<Reply>
    const follower = world.ask('/')
    await settle()
    request.aborted = true
    request.onAbort?.cancel()
    waiting[0]!.resolve(reply(200, FRESH, 'kept'))
    expect((await follower).text).toBe('kept')
    await led
    expect((await world.ask('/')).outcome).toBe('hit')
  })

  it('the leader’s client leaves in the middle: the fill is finished and kept', async () => {
    const world = new World()
    const stream = new FedStream(4)
    world.origin = () => reply(200, FRESH, stream)
    const { body } = (await world.ask('/')).reply
    stream.write('ab')
    ;(body as ByteStream).cancel()
    expect(stream.isCancelled).toBe(false)
    stream.write('cd')
    stream.sink?.end()
    expect(await world.ask('/')).toMatchObject({ text: 'abcd', outcome: 'hit' })
  })

  it('a long rest that nobody wants is not fetched', async () => {
    const world = new World({
      cache: { memoryBytes: 64e6, maxMemoryObject: 32e6, fillMemory: 64e6 },
    })
    const stream = new FedStream(20e6)
    world.origin = () => reply(200, FRESH, stream)
    const { body } = (await world.ask('/')).reply
    stream.write('ab')
    ;(body as ByteStream).cancel()
    expect(stream.isCancelled).toBe(true)
    expect(world.cache.stats()).toMatchObject({ fillsUnderWay: 0, fillingBytes: 0 })
  })

  it('a private body that nobody waits for any more is not fetched', async () => {
    const world = new World()
    const waiting = held(world)
    const request = world.request('/')
    const led = world.send(request) as Promise<Reply>
    await settle()
    request.aborted = true
    request.onAbort?.cancel()
    const stream = new FedStream()
    waiting[0]!.resolve(reply(200, { 'Cache-Control': 'private' }, stream))
    await led
    expect(stream.isCancelled).toBe(true)
  })

  it('a follower leaves while it waits', async () => {
    const world = new World()
    const waiting = held(world)
    const leader = world.ask('/')
    const request = world.request('/')
    const follower = world.send(request) as Promise<Reply>
    await settle()
    request.aborted = true
    request.onAbort?.cancel()
    await expect(follower).rejects.toMatchObject({ kind: 'cancelled' })
    waiting[0]!.resolve(reply(200, FRESH, 'x'))
    await leader
  })
})

describe('slow readers', () => {
  it('do not slow a fill that is stored', async () => {
    const world = new World()
    const stream = new FedStream()
    world.origin = () => reply(200, FRESH, stream)
    const slow = new Drain()
    slow.accepts = false
    ;((await world.ask('/')).reply.body as ByteStream).pipe(slow)
    const fast = drain((await world.ask('/')).reply)
    const piece = 'x'.repeat(10_000)
    for (let i = 0; i < 50; i++) expect(stream.write(piece)).toBe(true)
    stream.sink?.end()
    expect(slow.size).toBe(10_000)
    expect(fast).toMatchObject({ size: 500_000, ended: true })
    slow.accepts = true
    const request = world.request('/')
    expect(answerOf(await world.send(request), request).text).toHaveLength(500_000)
  })

  it('set the pace of what is not stored, and memory stays small', async () => {
    const world = new World({ cache: { maxMemoryObject: 1_000_000 } })
    const stream = new FedStream()
    world.origin = () => reply(200, FRESH, stream)
    const sink = new Drain()
    const { body } = (await world.ask('/')).reply
    ;(body as ByteStream).pipe(sink)
    const piece = 'x'.repeat(100_000)
    let sent = 0
    sink.accepts = false
    while (sent < 100_000_000 && stream.write(piece)) sent += piece.length
    expect(sent).toBeLessThan(1_500_000)
    sink.accepts = true
    ;(body as ByteStream).resume()
    expect(stream.resumed).toBe(1)
    expect(sink.size).toBeGreaterThan(sent)
    stream.sink?.end()
    expect(sink.ended).toBe(true)
    expect(world.cache.stats().memory.entries).toBe(0)
  })

  it('a body announced as too large is passed on as it is', async () => {
    const world = new World({ cache: { maxMemoryObject: 1000 } })
    const stream = new FedStream(1001)
    world.origin = () => reply(200, FRESH, stream)
    const answer = await world.ask('/')
    expect(answer.reply.body).toBe(stream)
    expect(answer.reason).toBe('too-large')
  })
})

describe('purges and unsafe requests against fills', () => {
  const cases: { name: string; act: (world: World) => unknown }[] = [
    {
      name: 'a purge',
      act: (w) => w.cache.purge({ mode: 'hard', urls: ['https://example.com/'] }),
    },
    { name: 'a purge by tag', act: (w) => w.cache.purge({ mode: 'hard', tags: ['t'] }) },
    {
      name: 'a POST',
      act: (w) => {
        w.origin = () => reply(200, {}, '')
        return w.ask('/', { method: 'POST' })
      },
    },
  ]
  it.each(cases)('$name during a fill voids it', async ({ act }) => {
    const world = new World()
    const stream = new FedStream()
    world.origin = () => reply(200, { ...FRESH, 'Cache-Tag': 't' }, stream)
    const sink = drain((await world.ask('/')).reply)
    stream.write('ol')
    await act(world)
    world.origin = () => reply(200, FRESH, 'new')
    expect((await world.ask('/')).text).toBe('new')
    stream.write('d')
    stream.sink?.end()
    expect(sink).toMatchObject({ text: 'old', ended: true })
    expect((await world.ask('/')).text).toBe('new')
  })

  it.each(cases)('$name before the header voids it', async ({ act }) => {
    const world = new World()
    const waiting = held(world)
    const old = world.ask('/')
    await settle()
    await act(world)
    world.origin = () => reply(200, FRESH, 'new')
    waiting[0]!.resolve(reply(200, { ...FRESH, 'Cache-Tag': 't' }, 'old'))
    expect((await old).text).toBe('old')
    expect((await world.ask('/')).text).toBe('new')
  })

  it('does not let a later request join a voided fill', async () => {
    const world = new World()
    const waiting = held(world)
    const old = world.ask('/')
    await settle()
    world.cache.purge({ mode: 'hard', hosts: ['example.com'] })
    const later = world.ask('/')
    await settle()
    expect(waiting).toHaveLength(2)
    waiting[1]!.resolve(reply(200, FRESH, 'new'))
    waiting[0]!.resolve(reply(200, FRESH, 'old'))
    expect((await later).text).toBe('new')
    await old
    expect((await world.ask('/')).text).toBe('new')
  })
})

it('a hit is answered without a promise', async () => {
  const world = new World()
  world.origin = () => reply(200, FRESH, 'x')
  await world.ask('/')
  const request: CacheRequest = world.request('/')
  const answer = world.send(request)
  expect(answer).not.toBeInstanceOf(Promise)
  expect((answer as Reply).body).toEqual(bytes('x'))
})
