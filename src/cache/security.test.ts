/** Poisoning, deception, credentials: what one client does must not reach another. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type BodySource, HeaderList } from '../exchange.ts'
import { type AskOptions, bytes, type Fields, reply, World } from './world.fixture.ts'

const FRESH = { 'Cache-Control': 'max-age=60' }

/** An origin that shows everything it was sent, and may be cached. */
function mirror(world: World, fields: Fields = {}): void {
  world.origin = (o) =>
    reply(200, { ...FRESH, ...fields }, `${o.authority} ${o.pathAndQuery} ${o.headers.join('|')}`)
}

describe('fields that are not in the key do not reach the origin', () => {
  it.each([
    'X-Forwarded-Host',
    'X-Host',
    'X-Original-URL',
    'X-Rewrite-URL',
    'X-Forwarded-Scheme',
    'X-Forwarded-Prefix',
    'X-Forwarded-Port',
    'X-HTTP-Method-Override',
    'X-HTTP-Method',
    'X-Method-Override',
    'Forwarded',
    'x-middleware-prefetch',
  ])('%s', async (name) => {
    const world = new World()
    mirror(world)
    await world.ask('/', { headers: { [name]: 'evil.example', Accept: '*/*' } })
    const victim = await world.ask('/')
    expect(victim.outcome).toBe('hit')
    expect(victim.text).not.toContain('evil')
    expect(victim.text).toContain('Accept')
  })

  it('an odd Accept-Encoding is sent as it is compared', async () => {
    const world = new World()
    mirror(world, { Vary: 'Accept-Encoding' })
    await world.ask('/', { headers: { 'Accept-Encoding': 'gzip;q=0.001, evil' } })
    const victim = await world.ask('/', { headers: { 'Accept-Encoding': 'gzip' } })
    expect(victim.outcome).toBe('hit')
    expect(victim.text).toBe('example.com / Accept-Encoding|gzip')
  })
})

describe('the key is what is forwarded', () => {
  const differ: [string, AskOptions, string, AskOptions][] = [
    ['/a?x=1', {}, '/a?x=2', {}],
    ['/a?x=1', {}, '/a?X=1', {}],
    ['/a', {}, '/a?', {}],
    ['/a', {}, '/A', {}],
    ['/a', {}, '//a', {}],
    ['/a', { authority: 'example.com' }, '/a', { authority: 'example.com:8443' }],
    ['/a', { authority: 'example.com' }, '/a', { authority: 'example.com.' }],
    ['/a?x=1&y=2', {}, '/a?y=2&x=1', {}],
    ['/a;x', {}, '/a', {}],
  ]
  it.each(differ)('%s %j is not %s %j', async (a, first, b, second) => {
    const world = new World()
    mirror(world)
    await world.ask(a, first)
    await world.ask(b, second)
    expect(world.asked).toHaveLength(2)
  })

  it.each([
    { name: 'excluded', query: { mode: 'exclude', names: ['utm_*', 'gclid'] }, sent: '/a?id=1' },
    { name: 'included', query: { mode: 'include', names: ['id'] }, sent: '/a?id=1' },
    { name: 'none', query: { mode: 'none' }, sent: '/a' },
  ] as const)(
    'parameters left out of the key are left out of the request: $name',
    async ({ query, sent }) => {
      const world = new World({
        route: { key: { query: { ...query, names: [...('names' in query ? query.names : [])] } } },
      })
      mirror(world)
      await world.ask('/a?utm_source=evil&id=1&gclid=2')
      expect(world.asked[0]?.pathAndQuery).toBe(sent)
      expect((await world.ask('/a?id=1&utm%5Fmedium=x')).outcome).toBe('hit')
    },
  )

  it('hidden parameters stay in the key: separators that origins disagree on', async () => {
    const world = new World({ route: { key: { query: { mode: 'exclude', names: ['utm_*'] } } } })
    mirror(world)
    await world.ask('/a?utm_x=1;id=evil')
    expect(world.asked[0]?.pathAndQuery).toBe('/a?utm_x=1;id=evil')
    await world.ask('/a')
    expect(world.asked).toHaveLength(2)
  })

  it('sorts by name and keeps the order of equal names', async () => {
    const world = new World({ route: { key: { query: { mode: 'all', sort: true } } } })
    mirror(world)
    await world.ask('/a?b=2&a=2&a=1')
    expect(world.asked[0]?.pathAndQuery).toBe('/a?a=2&a=1&b=2')
    expect((await world.ask('/a?a=2&b=2&a=1')).outcome).toBe('hit')
    await world.ask('/a?a=1&a=2&b=2')
    expect(world.asked).toHaveLength(2)
  })

  it('takes fields, cookies and country buckets in', async () => {
    const key = {
      headers: ['x-plan'],
      cookies: ['ab'],
      countryGroups: { dach: ['DE', 'AT', 'CH'] },
    }
    const world = new World({ route: { key } })
    mirror(world)
    const base = { headers: { 'X-Plan': 'a', Cookie: 'ab=1; sid=x' }, country: 'DE' }
    await world.ask('/', base)
    expect((await world.ask('/', { ...base, country: 'AT' })).outcome).toBe('hit')
    expect(
      (await world.ask('/', { ...base, headers: { 'X-Plan': 'a', Cookie: 'sid=y; ab=1' } }))
        .outcome,
    ).toBe('hit')
    await world.ask('/', { ...base, country: 'FR' })
    await world.ask('/', { ...base, headers: { ...base.headers, 'X-Plan': 'b' } })
    await world.ask('/', { ...base, headers: { ...base.headers, Cookie: 'ab=2' } })
    expect(world.asked).toHaveLength(4)
  })

  it('an alias is forwarded as the host it stands for', async () => {
    const world = new World({ route: { key: { hostAlias: { 'www.example.com': 'example.com' } } } })
    mirror(world)
    await world.ask('/', { authority: 'www.example.com' })
    expect(world.asked[0]?.authority).toBe('example.com')
    expect((await world.ask('/')).outcome).toBe('hit')
  })
})

function bodyOf(text: string): BodySource & { discarded: boolean } {
  return {
    length: text.length,
    prefix: () => ({ bytes: bytes(text), truncated: false }),
    open: () => bytes(text),
    isReplayable: true,
    discarded: false,
    discard() {
      this.discarded = true
    },
  }
}

describe('a GET with a body', () => {
  it('is dropped, passed or refused, and never stored with its body', async () => {
    const body = bodyOf('x=evil')
    const dropping = new World({ route: { security: { fatGet: 'drop' } } })
    mirror(dropping)
    await dropping.ask('/', { body })
    expect(dropping.asked[0]?.withBody).toBe(false)
    expect(body.discarded).toBe(true)
    expect((await dropping.ask('/')).outcome).toBe('hit')

    const passing = new World()
    mirror(passing)
    expect((await passing.ask('/', { body })).reason).toBe('body-of-get')
    expect(passing.asked[0]?.withBody).toBe(true)
    await passing.ask('/')
    expect(passing.asked).toHaveLength(2)

    const refusing = new World({ route: { security: { fatGet: 'reject' } } })
    expect((await refusing.ask('/', { body })).status).toBe(400)
    expect(refusing.asked).toHaveLength(0)
  })
})

describe('what is not stored in profile safe', () => {
  const cases: {
    name: string
    path?: string
    fields: Fields
    ask?: AskOptions
    status?: number
    reason: string
  }[] = [
    { name: 'Set-Cookie', fields: { ...FRESH, 'Set-Cookie': 'a=b' }, reason: 'set-cookie' },
    {
      name: 'a page named like a stylesheet',
      path: '/account/x.css',
      fields: { ...FRESH, 'Content-Type': 'text/html' },
      reason: 'deception',
    },
    {
      name: 'JSON named like an image',
      path: '/me;x.png',
      fields: { ...FRESH, 'Content-Type': 'application/json' },
      reason: 'deception',
    },
    { name: 'an encoded slash', path: '/a%2fb', fields: FRESH, reason: 'ambiguous-path' },
    {
      name: 'credentials',
      fields: FRESH,
      ask: { headers: { Authorization: 'x' } },
      reason: 'authorization',
    },
    { name: 'a principal', fields: FRESH, ask: { principal: 'jwt' }, reason: 'authorization' },
    { name: 'Vary: Cookie', fields: { ...FRESH, Vary: 'Cookie' }, reason: 'vary-bypass' },
    {
      name: 'a guess about a page for a cookie',
      fields: { 'Last-Modified': 'Sun, 06 Nov 1994 08:49:37 GMT' },
      ask: { headers: { Cookie: 'sid=1' } },
      reason: 'no-freshness',
    },
    {
      name: '400 without freshness',
      fields: { 'Last-Modified': 'Sun, 06 Nov 1994 08:49:37 GMT' },
      status: 400,
      reason: 'no-freshness',
    },
    { name: '431 without freshness', fields: {}, status: 431, reason: 'no-freshness' },
    { name: '500 without freshness', fields: {}, status: 500, reason: 'no-freshness' },
    {
      name: 'a very large header',
      fields: { ...FRESH, A: 'x'.repeat(40_000) },
      reason: 'header-too-large',
    },
  ]
  it.each(cases)('$name', async ({ path = '/', fields, ask = {}, status = 200, reason }) => {
    const world = new World()
    world.origin = () => reply(status, fields, 'x')
    expect((await world.ask(path, ask)).reason).toBe(reason)
    await world.ask(path, ask)
    expect(world.asked).toHaveLength(2)
  })

  it('what is said to be public is stored', async () => {
    for (const [path, fields] of [
      ['/', { 'Cache-Control': 'public, max-age=60', 'Set-Cookie': 'a=b' }],
      ['/', { 'Cache-Control': 's-maxage=60', 'Set-Cookie': 'a=b' }],
      ['/', { 'CDN-Cache-Control': 'max-age=60', 'Set-Cookie': 'a=b' }],
      ['/x.css', { 'Cache-Control': 'public, max-age=60', 'Content-Type': 'text/html' }],
      ['/x.css', { ...FRESH, 'Content-Type': 'text/css' }],
      ['/a.b/c', { ...FRESH, 'Content-Type': 'text/html' }],
    ] as const) {
      const world = new World()
      world.origin = () => reply(200, fields, 'x')
      await world.ask(path)
      expect((await world.ask(path)).outcome).toBe('hit')
    }
  })

  it('a forced lifetime does not override private and cookies', async () => {
    for (const fields of [{ 'Cache-Control': 'private' }, { 'Set-Cookie': 'a=b' }] as Fields[]) {
      const world = new World({ route: { ttl: { override: '1h' } } })
      world.origin = () => reply(200, fields, 'x')
      await world.ask('/')
      await world.ask('/')
      expect(world.asked).toHaveLength(2)
    }
  })

  it('cookies can be stripped instead', async () => {
    const world = new World({ route: { security: { setCookie: 'strip' } } })
    world.origin = () => reply(200, { ...FRESH, 'Set-Cookie': 'a=b' }, 'x')
    expect((await world.ask('/')).headers.has('set-cookie')).toBe(false)
    expect((await world.ask('/')).headers.has('set-cookie')).toBe(false)
    expect(world.asked).toHaveLength(1)
  })
})

it('lifetimes by the policy: default, status, bounds', async () => {
  const route = {
    ttl: { default: '10s', min: '5s', max: '20s', status: { '404': '2s', '500': '1s' } },
  } as const
  for (const [status, fields, lives] of [
    [200, {}, 10],
    [404, {}, 2],
    [500, {}, 1],
    [200, { 'Cache-Control': 'max-age=1' }, 5],
    [200, { 'Cache-Control': 'max-age=100' }, 20],
    [200, { 'Cache-Control': 'max-age=0' }, 0],
  ] as const) {
    const world = new World({ route })
    world.origin = () => reply(status, fields, 'x')
    const answer = await world.ask('/')
    expect(answer.status).toBe(status)
    if (lives === 0) {
      expect((await world.ask('/')).outcome).toBe('miss')
      continue
    }
    world.clock.advance(lives * 1000 - 1)
    expect((await world.ask('/')).outcome).toBe('hit')
    world.clock.advance(1)
    expect((await world.ask('/')).outcome).not.toBe('hit')
  }
})

describe('whatever somebody sends', () => {
  const steering = [...new World().policy.stripUnkeyed]
  const field = fc.tuple(
    fc.constantFrom(...steering, 'authorization', 'cookie', 'range', 'if-none-match', 'if-range'),
    fc.constantFrom('evil', 'bytes=0-9', '"evil"', 'a=evil', 'evil, evil', ''),
    fc.boolean(),
  )
  const request = fc.record({
    method: fc.constantFrom('GET', 'GET', 'GET', 'HEAD', 'POST', 'PUT', 'QUERY'),
    path: fc.constantFrom('/', '/a', '/a.css', '/a?x=1', '/a?x=1&x=2', '/a;b', '/a%2fb'),
    fields: fc.array(field, { maxLength: 5 }),
    answer: fc.constantFrom<Fields>(
      { 'Cache-Control': 'max-age=60' },
      { 'Cache-Control': 'max-age=60', ETag: '"1"' },
      { 'Cache-Control': 'max-age=60', 'Set-Cookie': 'a=evil' },
      { 'Cache-Control': 'private, max-age=60' },
      { 'Cache-Control': 'max-age=60', Vary: 'Cookie' },
      { 'Last-Modified': 'Sun, 06 Nov 1994 08:49:37 GMT' },
    ),
  })

  it('the next client gets the page and nothing of it', () =>
    fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 4 }), async (requests) => {
        const world = new World()
        let answer: Fields = {}
        world.origin = (options) => {
          const headers = new HeaderList(options.headers)
          // It believes every field that steers origins, and shows who has credentials.
          const shown = [...steering, 'authorization'].flatMap((name) => headers.all(name))
          const cookie = 'Set-Cookie' in answer || answer['Cache-Control'] === undefined
          if (cookie || 'Vary' in answer) shown.push(...headers.all('cookie'))
          const isPrivate = answer['Cache-Control']?.includes('private') === true
          const who = shown.length > 0 || isPrivate ? ` for ${shown.join()}evil` : ''
          return reply(200, answer, `page ${options.pathAndQuery} ${options.method}${who}`)
        }
        for (const one of requests) {
          answer = one.answer
          const list: string[] = []
          for (const [name, value, isUpper] of one.fields) {
            list.push(isUpper ? name.toUpperCase() : name, value)
          }
          const sent = world.request(one.path, { method: one.method })
          const asked = { ...sent, headers: new HeaderList(list) }
          await Promise.resolve(world.send(asked)).catch(() => undefined)
          answer = { 'Cache-Control': 'max-age=60' }
          const victim = await world.ask(one.path)
          expect(victim.text).toBe(`page ${one.path} GET`)
          expect(victim.headers.get('set-cookie')).toBeUndefined()
          expect(victim.status).toBe(200)
        }
      }),
      { numRuns: 3000 },
    ))
})
