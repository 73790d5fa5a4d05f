/** RFC 9111 §4.3 to §5 by section, and Cache-Status, each through `respond` on a virtual clock. */
import { describe, expect, it } from 'vitest'
import { type Fields, reply, World } from './world.fixture.ts'

const FRESH = { 'Cache-Control': 'max-age=60' }

describe('§4.3 validation', () => {
  it('asks with what it has, and freshens what it has', async () => {
    const world = new World()
    const lastModified = world.date(-5000)
    world.origin = () =>
      reply(
        200,
        {
          'Cache-Control': 'max-age=1',
          ETag: '"a"',
          'Last-Modified': lastModified,
          A: '1',
          B: '1',
        },
        'body',
      )
    await world.ask('/')
    world.clock.advance(2000)
    world.origin = () =>
      reply(
        304,
        {
          'Cache-Control': 'max-age=60',
          ETag: '"a"',
          A: '2',
          'Content-Length': '99',
          'Content-Encoding': 'br',
        },
        null,
      )
    const answer = await world.ask('/')
    expect(world.lastAsked().get('if-none-match')).toBe('"a"')
    expect(world.lastAsked().get('if-modified-since')).toBe(lastModified)
    expect(answer).toMatchObject({ status: 200, text: 'body', outcome: 'revalidated' })
    expect(answer.headers.get('a')).toBe('2')
    expect(answer.headers.get('b')).toBe('1')
    expect(answer.headers.get('content-length')).toBe('4')
    expect(answer.headers.has('content-encoding')).toBe(false)
    world.clock.advance(30_000)
    expect((await world.ask('/')).headers.get('a')).toBe('2')
    expect(world.asked).toHaveLength(2)
  })

  it('takes a new answer in place of the old one', async () => {
    const world = new World()
    world.origin = () => reply(200, { 'Cache-Control': 'max-age=1', ETag: '"a"' }, 'old')
    await world.ask('/')
    world.clock.advance(2000)
    world.origin = () => reply(200, { ...FRESH, ETag: '"b"' }, 'new')
    expect((await world.ask('/')).text).toBe('new')
    expect((await world.ask('/')).text).toBe('new')
    expect(world.asked).toHaveLength(2)
  })

  it('drops what a no-store answer replaces', async () => {
    const world = new World()
    world.origin = () => reply(200, { 'Cache-Control': 'max-age=1', ETag: '"a"' }, 'old')
    await world.ask('/')
    world.clock.advance(2000)
    world.origin = () => reply(200, { 'Cache-Control': 'no-store' }, 'secret')
    await world.ask('/')
    expect(world.cache.stats().memory.entries).toBe(0)
  })

  it('fetches the whole again when a 304 names something unknown', async () => {
    const world = new World()
    world.origin = () =>
      reply(
        200,
        { 'Cache-Control': 'max-age=1', ETag: '"a"', 'Last-Modified': world.date(-60) },
        'old',
      )
    await world.ask('/')
    world.clock.advance(2000)
    world.origin = (o) =>
      o.headers.includes('If-None-Match')
        ? reply(304, { ETag: '"zzz"' }, null)
        : reply(200, { ...FRESH, ETag: '"zzz"' }, 'whole')
    expect((await world.ask('/')).text).toBe('whole')
    expect(world.asked).toHaveLength(3)
  })

  it('lets a 304 choose among variants', async () => {
    const world = new World()
    world.origin = () => reply(200, { ...FRESH, Vary: 'Foo', ETag: '"v"' }, 'shared')
    await world.ask('/', { headers: { Foo: '1' } })
    world.origin = () => reply(304, { ETag: '"v"', Vary: 'Foo', ...FRESH }, null)
    expect((await world.ask('/', { headers: { Foo: '2' } })).text).toBe('shared')
    expect((await world.ask('/', { headers: { Foo: '2' } })).outcome).toBe('hit')
    expect(world.asked).toHaveLength(2)
  })

  it.each([
    { name: 'strong tag', ask: { 'If-None-Match': '"a"' }, status: 304 },
    { name: 'weak tag', ask: { 'If-None-Match': 'W/"a"' }, status: 304 },
    { name: 'tag in a list', ask: { 'If-None-Match': '"x", "a"' }, status: 304 },
    { name: 'another tag', ask: { 'If-None-Match': '"x"' }, status: 200 },
    {
      name: 'another tag beats a good date',
      ask: { 'If-None-Match': '"x"', 'If-Modified-Since': 'LM' },
      status: 200,
    },
    { name: 'same date', ask: { 'If-Modified-Since': 'LM' }, status: 304 },
    {
      name: 'earlier date',
      ask: { 'If-Modified-Since': 'Sun, 06 Nov 1994 08:49:37 GMT' },
      status: 200,
    },
    { name: 'no date', ask: { 'If-Modified-Since': 'yesterday' }, status: 200 },
  ])('answers a client that has a copy: $name', async ({ ask, status }) => {
    const world = new World()
    const lastModified = world.date(-5000)
    world.origin = () =>
      reply(
        200,
        {
          ...FRESH,
          ETag: '"a"',
          'Last-Modified': lastModified,
          'Content-Length': '4',
          'Content-Type': 'a/b',
        },
        'body',
      )
    await world.ask('/')
    const headers = Object.fromEntries(
      Object.entries(ask).map(([name, value]) => [name, value === 'LM' ? lastModified : value]),
    )
    const answer = await world.ask('/', { headers })
    expect(answer.status).toBe(status)
    expect(world.asked).toHaveLength(1)
    if (status === 304) {
      expect(answer.headers.get('etag')).toBe('"a"')
      expect(answer.headers.has('content-length')).toBe(false)
      expect(answer.reply.body).toBeNull()
    }
  })

  it.each([
    { name: 'when it was made', seconds: 0, status: 304 },
    { name: 'later', seconds: 1, status: 304 },
    { name: 'before', seconds: -1, status: 200 },
  ])('takes Date for a missing Last-Modified: a copy from $name', async ({ seconds, status }) => {
    const world = new World()
    world.origin = () => reply(200, { ...FRESH, Date: world.date(0) }, 'body')
    await world.ask('/')
    const since = world.date(seconds)
    const answer = await world.ask('/', { headers: { 'If-Modified-Since': since } })
    expect(answer.status).toBe(status)
    expect(world.asked).toHaveLength(1)
  })

  it('leaves it to the origin whether a copy of what is not stored is current', async () => {
    const world = new World()
    world.origin = () =>
      reply(200, { 'Cache-Control': 'no-store', Date: world.date(0) }, `page ${world.asked.length}`)
    await world.ask('/')
    const headers = { 'If-Modified-Since': world.date(0) }
    expect((await world.ask('/', { headers })).status).toBe(200)
  })

  it('fills from a conditional request and still answers 304', async () => {
    const world = new World()
    world.origin = () => reply(200, { ...FRESH, ETag: '"a"' }, 'body')
    const first = await world.ask('/', { headers: { 'If-None-Match': '"a"' } })
    expect(first.status).toBe(304)
    expect(world.lastAsked().has('if-none-match')).toBe(false)
    expect(await world.ask('/')).toMatchObject({ text: 'body', outcome: 'hit' })
  })

  it('leaves If-Match to the origin', async () => {
    const world = new World()
    world.origin = () => reply(200, { ...FRESH, ETag: '"a"' }, 'body')
    await world.ask('/')
    world.origin = () => reply(412, {}, '')
    expect((await world.ask('/', { headers: { 'If-Match': '"x"' } })).status).toBe(412)
  })
})

describe('§4.3.5 HEAD', () => {
  it('is answered from GET, without a body', async () => {
    const world = new World()
    world.origin = () => reply(200, FRESH, 'body')
    await world.ask('/')
    const head = await world.ask('/', { method: 'HEAD' })
    expect(head.reply.body).toBeNull()
    expect(head.headers.get('content-length')).toBe('4')
    expect(world.asked).toHaveLength(1)
  })

  it('freshens what is stored, or throws it out', async () => {
    const world = new World()
    const short = { 'Cache-Control': 'max-age=1', ETag: '"a"' }
    world.origin = () => reply(200, short, 'body')
    await world.ask('/')
    world.clock.advance(2000)
    world.origin = () => reply(200, { ...FRESH, ETag: '"a"', A: '2' }, null)
    await world.ask('/', { method: 'HEAD' })
    expect(await world.ask('/')).toMatchObject({ outcome: 'hit', text: 'body' })
    world.clock.advance(61_000)
    world.origin = () => reply(200, { ...FRESH, 'Content-Length': '5' }, null)
    await world.ask('/', { method: 'HEAD' })
    expect(world.cache.stats().memory.entries).toBe(0)
  })
})

describe('§4.4 invalidation', () => {
  it.each([
    { method: 'POST', status: 200, gone: true },
    { method: 'PUT', status: 204, gone: true },
    { method: 'DELETE', status: 302, gone: true },
    { method: 'M-SEARCH', status: 200, gone: true },
    { method: 'POST', status: 500, gone: false },
    { method: 'POST', status: 404, gone: false },
    { method: 'OPTIONS', status: 200, gone: false },
  ])('$method answered by $status', async ({ method, status, gone }) => {
    const world = new World()
    world.origin = () => reply(200, FRESH, 'x')
    await world.ask('/a')
    world.origin = () => reply(status, {}, '')
    await world.ask('/a', { method })
    world.origin = () => reply(200, FRESH, 'y')
    expect((await world.ask('/a')).text).toBe(gone ? 'y' : 'x')
  })

  it.each([
    { field: 'Location', value: '/b', gone: true },
    { field: 'Location', value: 'b', gone: true },
    { field: 'Content-Location', value: './x/../b', gone: true },
    { field: 'Location', value: 'https://example.com/b', gone: true },
    { field: 'Location', value: '//example.com/b#part', gone: true },
    { field: 'Location', value: 'https://example.com.evil/b', gone: false },
    { field: 'Location', value: 'https://other.example/b', gone: false },
    { field: 'Location', value: 'http://example.com/b', gone: false },
  ])('$field: $value', async ({ field, value, gone }) => {
    const world = new World()
    world.origin = () => reply(200, FRESH, 'x')
    await world.ask('/b')
    world.origin = () => reply(201, { [field]: value }, '')
    await world.ask('/a', { method: 'POST' })
    world.origin = () => reply(200, FRESH, 'y')
    expect((await world.ask('/b')).text).toBe(gone ? 'y' : 'x')
  })

  it('by group (RFC 9875)', async () => {
    const world = new World()
    world.origin = (o) =>
      reply(200, { ...FRESH, 'Cache-Groups': o.pathAndQuery === '/b' ? '"g", "h"' : '"i"' }, 'x')
    await world.ask('/b')
    await world.ask('/c')
    world.origin = () => reply(200, { 'Cache-Group-Invalidation': '"g"' }, '')
    await world.ask('/a', { method: 'POST' })
    world.origin = () => reply(200, FRESH, 'y')
    expect((await world.ask('/b')).text).toBe('y')
    expect((await world.ask('/c')).text).toBe('x')
  })

  it('a POST that answers what GET would get is kept for GET (RFC 9110 §9.3.3)', async () => {
    const world = new World()
    world.origin = () => reply(200, { ...FRESH, 'Content-Location': '/a' }, 'made')
    await world.ask('/a', { method: 'POST' })
    expect(await world.ask('/a')).toMatchObject({ text: 'made', outcome: 'hit' })
    await world.ask('/b', { method: 'POST' })
    await world.ask('/b')
    expect(world.asked).toHaveLength(3)
  })
})

describe('§5.2.1 request directives', () => {
  it.each([
    { control: 'no-cache', ageMs: 1000, asks: 2 },
    { control: 'max-age=5', ageMs: 6000, asks: 2 },
    { control: 'max-age=5', ageMs: 1000, asks: 1 },
    { control: 'min-fresh=55', ageMs: 10_000, asks: 2 },
    { control: 'max-stale=30', ageMs: 80_000, asks: 1 },
    { control: 'max-stale', ageMs: 800_000, asks: 1 },
    { control: 'max-stale=10', ageMs: 80_000, asks: 2 },
  ])('$control at $ageMs ms', async ({ control, ageMs, asks }) => {
    const letter = new World({ profile: 'rfc9111' })
    letter.origin = () => reply(200, FRESH, 'x')
    await letter.ask('/')
    letter.clock.advance(ageMs)
    await letter.ask('/', { headers: { 'Cache-Control': control } })
    expect(letter.asked).toHaveLength(asks)
  })

  it('are ignored by the safe profile: no client makes the origin work', async () => {
    const world = new World()
    world.origin = () => reply(200, FRESH, 'x')
    await world.ask('/', { headers: { 'Cache-Control': 'no-store' } })
    for (const headers of [{ 'Cache-Control': 'no-cache' }, { Pragma: 'no-cache' }] as Fields[]) {
      expect((await world.ask('/', { headers })).outcome).toBe('hit')
    }
  })

  it('only-if-cached', async () => {
    const world = new World({ profile: 'rfc9111' })
    const answer = await world.ask('/', { headers: { 'Cache-Control': 'only-if-cached' } })
    expect(answer.status).toBe(504)
    expect(world.asked).toHaveLength(0)
  })
})

describe('Cache-Status (RFC 9211)', () => {
  it('says what happened and why', async () => {
    const world = new World()
    world.origin = () => reply(200, { ...FRESH, ETag: '"a"' }, 'x')
    const lines: (string | undefined)[] = []
    const ask = async (...args: Parameters<World['ask']>) => {
      lines.push((await world.ask(...args)).headers.get('cache-status'))
    }
    await ask('/')
    await ask('/')
    world.clock.advance(61_000)
    world.origin = () => reply(304, { ...FRESH, ETag: '"a"' }, null)
    await ask('/')
    world.origin = () => reply(200, { 'Cache-Control': 'private' }, 'x')
    await ask('/private')
    await ask('/', { method: 'POST' })
    await ask('/', { policy: { ...world.policy, bypass: true } })
    expect(lines).toEqual([
      'test; fwd=uri-miss; fwd-status=200; stored; detail=explicit',
      'test; hit; ttl=60',
      'test; fwd=stale; fwd-status=304; stored; detail=explicit',
      'test; fwd=uri-miss; fwd-status=200; detail=private',
      'test; fwd=method; fwd-status=200; detail=post',
      'test; fwd=bypass; fwd-status=200; detail=disabled',
    ])
  })
})
