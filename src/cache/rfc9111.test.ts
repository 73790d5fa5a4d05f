/** The rules of RFC 9111 by section, each through `respond` on a virtual clock. */
import { describe, expect, it } from 'vitest'
import { type Fields, reply, World } from './world.fixture.ts'

interface Case {
  readonly name: string
  readonly fields?: Fields | ((world: World) => Fields)
  readonly status?: number
  readonly first?: Fields
  readonly second?: Fields
  readonly waitMs?: number
  readonly hit: boolean
}

async function hitsAgain(world: World, c: Case): Promise<boolean> {
  const fields = typeof c.fields === 'function' ? c.fields(world) : (c.fields ?? {})
  world.origin = () => reply(c.status ?? 200, fields, 'body')
  await world.ask('/', { headers: c.first ?? {} })
  world.clock.advance(c.waitMs ?? 1000)
  await world.ask('/', { headers: c.second ?? c.first ?? {} })
  return world.asked.length === 1
}

const FRESH = { 'Cache-Control': 'max-age=60' }

describe('§3 storing', () => {
  it.each<Case>([
    { name: 'explicit freshness', fields: FRESH, hit: true },
    { name: 'nothing said', fields: {}, hit: false },
    { name: 'no-store', fields: { 'Cache-Control': 'max-age=60, no-store' }, hit: false },
    { name: 'private', fields: { 'Cache-Control': 'max-age=60, private' }, hit: false },
    {
      name: 'private with names',
      fields: { 'Cache-Control': 'max-age=60, private="a"' },
      hit: true,
    },
    {
      name: 'must-understand, known status, no-store beside it',
      fields: { 'Cache-Control': 'max-age=60, no-store, must-understand' },
      hit: true,
    },
    {
      name: 'must-understand, unknown status',
      fields: { 'Cache-Control': 'max-age=60, must-understand' },
      status: 599,
      hit: false,
    },
    { name: 'an unknown status with freshness', fields: FRESH, status: 599, hit: true },
    { name: '500 with freshness', fields: FRESH, status: 500, hit: true },
    { name: 'Authorization', fields: FRESH, first: { Authorization: 'x' }, hit: false },
    {
      name: 'Authorization and s-maxage',
      fields: { 'Cache-Control': 's-maxage=60' },
      first: { Authorization: 'x' },
      hit: true,
    },
    {
      name: 'Authorization and must-revalidate',
      fields: { 'Cache-Control': 'max-age=60, must-revalidate' },
      first: { Authorization: 'x' },
      hit: true,
    },
    { name: 'Vary: *', fields: { ...FRESH, Vary: '*' }, hit: false },
    { name: 'Vary: Foo, *', fields: { ...FRESH, Vary: ['Foo', '*'] }, hit: false },
  ])('$name', async (c) => {
    expect(await hitsAgain(new World({ profile: 'rfc9111' }), c)).toBe(c.hit)
  })

  it('does not keep connection fields, nor the fields that directives name (§3.1)', async () => {
    const world = new World()
    world.origin = () =>
      reply(200, {
        'Cache-Control': 'max-age=60, no-cache="secret"',
        Connection: 'close, listed',
        Listed: '1',
        'Keep-Alive': 'timeout=5',
        'Proxy-Authenticate': 'Basic',
        'Transfer-Encoding': 'chunked',
        Upgrade: 'h2c',
        Secret: '1',
        Kept: '1',
      })
    await world.ask('/')
    const { headers } = await world.ask('/')
    expect(world.asked).toHaveLength(1)
    expect(headers.names()).not.toEqual(expect.arrayContaining(['connection']))
    for (const name of [
      'listed',
      'keep-alive',
      'proxy-authenticate',
      'transfer-encoding',
      'upgrade',
      'secret',
    ]) {
      expect(headers.has(name)).toBe(false)
    }
    expect(headers.get('kept')).toBe('1')
  })
})

describe('§4.1 Vary', () => {
  const varied = { ...FRESH, Vary: 'Foo' }
  it.each<Case>([
    { name: 'same', fields: varied, first: { Foo: '1' }, hit: true },
    { name: 'different', fields: varied, first: { Foo: '1' }, second: { Foo: '2' }, hit: false },
    { name: 'missing now', fields: varied, first: { Foo: '1' }, second: { Bar: '1' }, hit: false },
    { name: 'missing then', fields: varied, first: { Bar: '1' }, second: { Foo: '1' }, hit: false },
    {
      name: 'missing is not empty',
      fields: varied,
      first: { Bar: '1' },
      second: { Foo: '' },
      hit: false,
    },
    {
      name: 'lines joined',
      fields: varied,
      first: { Foo: '1, 2' },
      second: { Foo: ['1', '2'] },
      hit: true,
    },
    {
      name: 'white space',
      fields: varied,
      first: { Foo: '1,2' },
      second: { Foo: ' 1 , 2 ' },
      hit: true,
    },
    {
      name: 'codings that end in the same set',
      fields: { ...FRESH, Vary: 'Accept-Encoding' },
      first: { 'Accept-Encoding': 'gzip, br' },
      second: { 'Accept-Encoding': 'br;q=1.0, gzip;q=0.8' },
      hit: true,
    },
    {
      name: 'other codings',
      fields: { ...FRESH, Vary: 'Accept-Encoding' },
      first: { 'Accept-Encoding': 'gzip, br' },
      second: { 'Accept-Encoding': 'gzip' },
      hit: false,
    },
    {
      name: 'languages in another order',
      fields: { ...FRESH, Vary: 'Accept-Language' },
      first: { 'Accept-Language': 'en, de' },
      second: { 'Accept-Language': 'de, eN' },
      hit: true,
    },
    {
      name: 'the language liked best is here',
      fields: { ...FRESH, Vary: 'Accept-Language', 'Content-Language': 'de' },
      first: { 'Accept-Language': 'en, de' },
      second: { 'Accept-Language': 'fr;q=0.5, de;q=1' },
      hit: true,
    },
  ])('$name', async (c) => {
    expect(await hitsAgain(new World(), c)).toBe(c.hit)
  })

  it('keeps variants beside each other, up to the cap', async () => {
    const world = new World({ route: { vary: { maxVariants: 2 } } })
    world.origin = (o) => {
      const foo = o.headers[o.headers.indexOf('Foo') + 1]
      return reply(200, varied, `for ${foo}`)
    }
    for (const foo of ['1', '2']) await world.ask('/', { headers: { Foo: foo } })
    expect((await world.ask('/', { headers: { Foo: '1' } })).text).toBe('for 1')
    expect((await world.ask('/', { headers: { Foo: '2' } })).text).toBe('for 2')
    expect(world.asked).toHaveLength(2)
    await world.ask('/', { headers: { Foo: '3' } })
    await world.ask('/', { headers: { Foo: '1' } })
    expect(world.asked).toHaveLength(4)
  })
})

describe('§4.2 freshness', () => {
  it.each<Case>([
    { name: 'within max-age', fields: FRESH, waitMs: 59_000, hit: true },
    { name: 'past max-age', fields: FRESH, waitMs: 60_000, hit: false },
    {
      name: 's-maxage over max-age',
      fields: { 'Cache-Control': 'max-age=1, s-maxage=60' },
      waitMs: 30_000,
      hit: true,
    },
    {
      name: 'shorter s-maxage',
      fields: { 'Cache-Control': 'max-age=60, s-maxage=1' },
      waitMs: 2000,
      hit: false,
    },
    {
      name: 'max-age over Expires',
      fields: (w) => ({ 'Cache-Control': 'max-age=60', Expires: w.date(-60), Date: w.date() }),
      hit: true,
    },
    {
      name: 'Expires',
      fields: (w) => ({ Expires: w.date(60), Date: w.date() }),
      waitMs: 59_000,
      hit: true,
    },
    {
      name: 'Expires past',
      fields: (w) => ({ Expires: w.date(60), Date: w.date() }),
      waitMs: 61_000,
      hit: false,
    },
    { name: 'Expires without Date', fields: (w) => ({ Expires: w.date(60) }), hit: true },
    { name: 'invalid Expires', fields: { Expires: '0' }, hit: false },
    { name: 'Age eats lifetime', fields: { ...FRESH, Age: '50' }, waitMs: 11_000, hit: false },
    { name: 'Age leaves some', fields: { ...FRESH, Age: '50' }, waitMs: 9_000, hit: true },
    { name: 'bad Age ignored', fields: { ...FRESH, Age: '-7200' }, hit: true },
    { name: 'first Age of a list', fields: { ...FRESH, Age: '0, 7200' }, hit: true },
    { name: 'old Date is age', fields: (w) => ({ ...FRESH, Date: w.date(-100) }), hit: false },
    {
      name: 'Date in the future is no youth',
      fields: (w) => ({ ...FRESH, Date: w.date(1000) }),
      waitMs: 61_000,
      hit: false,
    },
    {
      name: 'a tenth of the time since Last-Modified',
      fields: (w) => ({ 'Last-Modified': w.date(-1000), Date: w.date() }),
      waitMs: 99_000,
      hit: true,
    },
    {
      name: 'and no more',
      fields: (w) => ({ 'Last-Modified': w.date(-1000), Date: w.date() }),
      waitMs: 101_000,
      hit: false,
    },
    {
      name: 'no guess about 403',
      fields: (w) => ({ 'Last-Modified': w.date(-1000), Date: w.date() }),
      status: 403,
      hit: false,
    },
    {
      name: 'a guess about 599 if public',
      fields: (w) => ({ 'Last-Modified': w.date(-1000), 'Cache-Control': 'public' }),
      status: 599,
      hit: true,
    },
    {
      name: 'short guesses about errors',
      fields: (w) => ({ 'Last-Modified': w.date(-100_000) }),
      status: 404,
      waitMs: 11_000,
      hit: false,
    },
    {
      name: 'targeted field over all (RFC 9213)',
      fields: (w) => ({
        'CDN-Cache-Control': 'max-age=60',
        'Cache-Control': 'no-store',
        Expires: w.date(-5),
      }),
      hit: true,
    },
    {
      name: 'targeted no-store',
      fields: { ...FRESH, 'CDN-Cache-Control': 'no-store' },
      hit: false,
    },
    {
      name: 'broken targeted field',
      fields: { 'Cache-Control': 'no-store', 'CDN-Cache-Control': 'max-age=60, &' },
      hit: false,
    },
  ])('$name', async (c) => {
    expect(await hitsAgain(new World(), c)).toBe(c.hit)
  })

  it('says Age, keeps Date, counts by the monotonic clock', async () => {
    const world = new World()
    const date = world.date()
    world.origin = () => reply(200, { ...FRESH, Date: date, Age: '5' }, 'x')
    await world.ask('/')
    world.clock.advance(10_500)
    world.clock.step(-3_600_000)
    const { headers } = await world.ask('/')
    expect(headers.get('age')).toBe('15')
    expect(headers.get('date')).toBe(date)
    expect(headers.get('cache-status')).toBe('test; hit; ttl=45')
  })

  it('counts the time that the answer took as age', async () => {
    const world = new World()
    world.origin = () => {
      world.clock.advance(20_000)
      return reply(200, { ...FRESH, Age: '1' }, 'x')
    }
    await world.ask('/')
    expect((await world.ask('/')).headers.get('age')).toBe('21')
  })
})

describe('§4.2.4 and RFC 5861: stale', () => {
  const down = () => Promise.reject(new Error('down'))
  it.each([
    { control: 'max-age=1', stale: true },
    { control: 'max-age=1, must-revalidate', stale: false },
    { control: 'max-age=1, proxy-revalidate', stale: false },
    { control: 'max-age=1, s-maxage=1', stale: false },
    { control: 'max-age=1, no-cache', stale: false },
    { control: 's-maxage=1, stale-if-error=60', stale: true },
    { control: 'max-age=1, must-revalidate, stale-if-error=60', stale: false },
    { control: 'max-age=1, stale-if-error=5', stale: false },
  ])('when the origin is down: $control', async ({ control, stale }) => {
    const world = new World()
    world.origin = () => reply(200, { 'Cache-Control': control, ETag: '"a"' }, 'old')
    await world.ask('/')
    world.clock.advance(10_000)
    world.origin = down
    const answer = world.ask('/')
    if (stale) {
      expect(await answer).toMatchObject({ status: 200, text: 'old', outcome: 'stale' })
    } else await expect(answer).rejects.toThrow('down')
  })

  it('hides 503 but not 404', async () => {
    const world = new World()
    world.origin = () => reply(200, { 'Cache-Control': 'max-age=1', ETag: '"a"' }, 'old')
    await world.ask('/')
    world.clock.advance(5000)
    world.origin = () => reply(503, {}, 'sorry')
    expect(await world.ask('/')).toMatchObject({
      status: 200,
      text: 'old',
      reason: 'stale-if-error',
    })
    world.origin = () => reply(404, {}, 'gone')
    expect(await world.ask('/')).toMatchObject({ status: 404 })
  })

  it('revalidates in the background, once, and then answers anew', async () => {
    const world = new World()
    const control = 's-maxage=1, stale-while-revalidate=30'
    world.origin = () => reply(200, { 'Cache-Control': control, ETag: '"a"' }, 'old')
    await world.ask('/')
    world.clock.advance(5000)
    world.origin = () => reply(200, { 'Cache-Control': 'max-age=60', ETag: '"b"' }, 'new')
    const stale = await world.ask('/')
    expect(stale).toMatchObject({ text: 'old', outcome: 'stale', reason: 'while-revalidate' })
    expect(world.lastAsked().get('if-none-match')).toBe('"a"')
    expect(world.asked.at(-1)?.isDetached).toBe(true)
    expect((await world.ask('/')).text).toBe('new')
    expect(world.asked).toHaveLength(2)
  })

  it('gives a stale answer when the origin is slow', async () => {
    const world = new World({ route: { stale: { afterMs: '500ms' } } })
    world.origin = () => reply(200, { 'Cache-Control': 'max-age=1', ETag: '"a"' }, 'old')
    await world.ask('/')
    world.clock.advance(5000)
    let answer: (r: ReturnType<typeof reply>) => void = () => undefined
    world.origin = () => new Promise((resolve) => (answer = resolve))
    const asked = world.ask('/')
    world.clock.advance(500)
    expect(await asked).toMatchObject({ text: 'old', reason: 'origin-slow' })
    answer(reply(200, FRESH, 'new'))
    await Promise.resolve()
    await Promise.resolve()
    expect((await world.ask('/')).text).toBe('new')
    expect(world.asked).toHaveLength(2)
  })
})

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
    world.origin = () => reply(200, { 'Cache-Control': 'max-age=1', ETag: '"a"' }, 'old')
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
