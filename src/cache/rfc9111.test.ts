/** RFC 9111 §3 to §4.2 by section, each through `respond` on a virtual clock. */
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

it('early refresh: the nearer the end, the likelier', async () => {
  const world = new World({ route: { stale: { earlyRefresh: 1 } } })
  world.origin = () => {
    world.clock.advance(500)
    return reply(200, FRESH, String(world.asked.length))
  }
  await world.ask('/')
  for (let i = 0; i < 50; i++) expect((await world.ask('/')).text).toBe('1')
  world.clock.advance(59_000)
  for (let i = 0; i < 20; i++) expect((await world.ask('/')).outcome).toBe('hit')
  expect(world.asked).toHaveLength(2)
})
