/**
 * What the gateway does, stage by stage, told to any runtime. Nothing here knows which one it is, but for
 * the table of differences in docs/runtimes.md.
 */
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { MeridianConfigInput } from '../../src/config/schema.ts'
import { pairOf, posedBy, solved } from '../harness/solve.ts'
import { differences, expected } from './differences.ts'
import { type Ask, type Harness, type MakeHarness, origins, suiteConfig } from './harness.ts'

let count = 0
/** Counters may be shared by all harnesses: every test names its own. */
const unique = (name: string): string => `${name}-${Date.now().toString(36)}-${count++}`

export function gatewaySuite(makeHarness: MakeHarness): void {
  let harness: Harness | undefined
  const start = async (more: Partial<MeridianConfigInput> = {}): Promise<Harness> => {
    harness = await makeHarness(suiteConfig(more))
    return harness
  }
  const statusOf = async (response: Response) => {
    await response.arrayBuffer()
    return response.status
  }

  beforeEach(() => origins.reset())
  afterEach(async () => {
    await harness?.close()
    harness = undefined
  })

  describe('geo', () => {
    it.each([
      { country: 'DE', region: 'eu' },
      { country: 'US', region: 'us' },
      { country: 'SG', region: 'ap' },
      // Unknown: measured from where the gateway stands.
      { country: undefined, region: 'eu' },
      { country: 'T1', region: 'eu' },
    ])('a client in $country is served by $region', async ({ country, region }) => {
      const { fetch } = await start()
      const response = await fetch('/page', { country })
      expect(await response.text()).toBe(`${region} /page`)
      expect(response.headers.get('x-region')).toBe(region)
    })

    it('a client cannot choose its country', async () => {
      const { fetch } = await start({ trustedProxies: [] })
      const response = await fetch('/page', { headers: { 'x-test-country': 'US' } })
      expect(response.headers.get('x-region')).not.toBe('us')
      await response.arrayBuffer()
    })
  })

  describe('residency', () => {
    const residency: Partial<MeridianConfigInput> = {
      residency: [
        {
          id: 'gdpr',
          from: { europeanUnion: true },
          allowTags: ['GDPR'],
          onUnknown: 'deny',
          scope: 'named',
        },
      ],
      routes: [{ id: 'account', match: { path: '/account' }, residency: 'gdpr' }, { id: 'site' }],
    }
    it.each([
      { country: 'DE', down: false, status: 200, region: 'eu' },
      { country: 'US', down: true, status: 200, region: 'us' },
      { country: 'DE', down: true, status: 503, region: null },
      { country: undefined, down: false, status: 503, region: null },
    ])('a $country client, Frankfurt down: $down, gets $status', async (c) => {
      const { fetch } = await start(residency)
      if (c.down) await origins.become('eu', 'refusing')
      for (let i = 0; i < 6; i++) {
        const response = await fetch('/account', { country: c.country })
        const acceptable = c.status === 503 ? [451, 502, 503] : [c.status]
        expect(acceptable).toContain(response.status)
        expect(response.headers.get('x-region')).toBe(c.region)
        await response.arrayBuffer()
      }
      if (c.status === 503) {
        expect(await origins.hits('/account', 'us')).toBe(0)
        expect(await origins.hits('/account', 'ap')).toBe(0)
      }
    })
  })

  describe('WAF', () => {
    const attacks: { name: string; path: string; ask?: Ask }[] = [
      {
        name: 'SQL in the query',
        path: "/item?id=7'%20union%20select%20password%20from%20users--",
      },
      { name: 'a script in the query', path: '/find?q=%3Cscript%3Ealert(1)%3C/script%3E' },
      { name: 'a path out of the root', path: '/read?file=../../../../etc/passwd' },
      {
        name: 'SQL in a JSON body',
        path: '/echo',
        ask: {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ user: { id: "1' or '1'='1' union select null,version()--" } }),
        },
      },
    ]
    it.each(attacks)('blocks $name, and no origin sees it', async ({ path, ask }) => {
      const { fetch } = await start({ waf: {} })
      const response = await fetch(path, ask)
      expect(response.status).toBe(403)
      expect(response.headers.get('content-type')).toContain('application/problem+json')
      const body = (await response.json()) as { requestId: string }
      expect(body.requestId).toBe(response.headers.get('x-request-id'))
      expect(await origins.hits(new URL(path, 'http://x').pathname)).toBe(0)
    })

    it('blocks what hides in a compressed body', async () => {
      const { fetch } = await start({ waf: {} })
      const attack = new Blob([`{"id":"1' union select password from users--"}`])
      const packed = attack.stream().pipeThrough(new CompressionStream('gzip'))
      const response = await fetch('/echo', {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
        body: await new Response(packed).arrayBuffer(),
      })
      expect(await statusOf(response)).toBe(403)
      expect(await origins.hits('/echo')).toBe(0)
    })

    it.each([
      { path: '/item?id=7&sort=price', ask: {} },
      { path: '/find?q=select+a+nice+table+from+our+union+of+shops', ask: {} },
      {
        path: '/echo',
        ask: {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: '{"name":"O\'Brien","note":"drop by at 5 -- thanks"}',
        },
      },
    ])('lets $path pass', async ({ path, ask }) => {
      const { fetch } = await start({ waf: {} })
      const response = await fetch(path, ask)
      expect(response.status).toBe(200)
      if ('body' in ask) expect(await response.text()).toBe(ask.body)
      else await response.arrayBuffer()
    })
  })

  describe('challenge', () => {
    it('asks a browser once, and lets it pass with its clearance, but not what is blocked', async () => {
      const { fetch } = await start({
        waf: {
          rulesets: [
            {
              name: 'managed',
              overrides: [{ ids: ['cross-site-scripting', 'attack-score'], action: 'challenge' }],
            },
          ],
          challenge: { secret: { env: 'CHALLENGE_SECRET' }, difficulty: 8 },
        },
      })
      const path = '/find?q=%3Cscript%3Ealert(1)%3C/script%3E'
      const browser = { accept: 'text/html,*/*;q=0.8', 'user-agent': 'Browser/1' }
      const program = await fetch(path, { headers: { 'user-agent': 'Browser/1' } })
      expect([program.status, await program.json()]).toMatchObject([
        403,
        { type: 'urn:meridian:problem:challenge' },
      ])
      const page = await fetch(path, { headers: browser })
      expect([page.status, page.headers.get('content-type')]).toEqual([
        403,
        'text/html; charset=utf-8',
      ])
      const body = await solved(posedBy(await page.text()))
      const post = (headers: Record<string, string>) =>
        fetch('/.meridian/challenge', { method: 'POST', headers, body })
      expect(await statusOf(await post({ ...browser, 'user-agent': 'Other/1' }))).toBe(403)
      const done = await post(browser)
      expect(await statusOf(done)).toBe(204)
      const cookie = pairOf(done.headers.get('set-cookie'))
      expect(cookie).toMatch(/^meridian-clearance=/)
      expect(await origins.hits('/find')).toBe(0)
      const having = (more: Record<string, string>) => ({ headers: { ...browser, ...more } })
      expect(await statusOf(await fetch(path, having({ cookie })))).toBe(200)
      expect(await statusOf(await fetch(path, having({ cookie, 'user-agent': 'Other/1' })))).toBe(
        403,
      )
      const sql = "/item?id=7'%20union%20select%20password%20from%20users--"
      expect(await statusOf(await fetch(sql, having({ cookie })))).toBe(403)
      expect([await origins.hits('/find'), await origins.hits('/item')]).toEqual([1, 0])
      expect(await origins.hits('/.meridian/challenge')).toBe(0)
    })
  })

  describe('limits', () => {
    it('refuses what is above the burst, and only that client', async () => {
      const id = unique('burst')
      const { fetch } = await start({ limits: [{ id, limit: 6, window: '60s', burst: 3 }] })
      const statuses: number[] = []
      for (let i = 0; i < 5; i++)
        statuses.push(await statusOf(await fetch('/x', { ip: '192.0.2.1' })))
      expect(statuses).toEqual([200, 200, 200, 429, 429])
      const denied = await fetch('/x', { ip: '192.0.2.1' })
      expect(Number(denied.headers.get('retry-after'))).toBeGreaterThan(0)
      expect(denied.headers.get('ratelimit-policy')).toContain(`"${id}";q=6;w=60`)
      await denied.arrayBuffer()
      expect(await statusOf(await fetch('/x', { ip: '192.0.2.2' }))).toBe(200)
      expect(await origins.hits('/x')).toBe(4)
    })
  })

  describe('identity', () => {
    it('serves who may, and refuses all others before the origin', async () => {
      const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
      const other = await generateKeyPair('ES256')
      const jwk = { ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256', use: 'sig' }
      const { fetch } = await start({
        iam: {
          default: 'none',
          issuers: [{ id: 'test', issuer: 'https://issuer.test', jwks: { keys: [jwk] } }],
        },
        routes: [
          {
            id: 'private',
            match: { path: '/private' },
            auth: { methods: ['jwt'], issuers: ['test'], audience: ['api'] },
          },
          { id: 'site' },
        ],
      })
      const token = (audience: string, key = privateKey, expires = '1h') =>
        new SignJWT({ scope: 'read' })
          .setProtectedHeader({ alg: 'ES256', kid: 'k', typ: 'at+jwt' })
          .setIssuer('https://issuer.test')
          .setAudience(audience)
          .setSubject('somebody')
          .setIssuedAt(Math.floor(Date.now() / 1000) - 7200)
          .setExpirationTime(expires === '1h' ? Math.floor(Date.now() / 1000) + 3600 : 1)
          .sign(key)
      const ask = (bearer: string | undefined): Ask =>
        bearer === undefined ? {} : { headers: { authorization: `Bearer ${bearer}` } }
      expect(await statusOf(await fetch('/private', ask(undefined)))).toBe(401)
      expect(await statusOf(await fetch('/private', ask('no.such.token')))).toBe(401)
      expect(await statusOf(await fetch('/private', ask(await token('other'))))).toBe(401)
      const forged = await token('api', other.privateKey)
      expect(await statusOf(await fetch('/private', ask(forged)))).toBe(401)
      const old = await token('api', privateKey, 'past')
      expect(await statusOf(await fetch('/private', ask(old)))).toBe(401)
      expect(await origins.hits('/private')).toBe(0)
      expect(await statusOf(await fetch('/private', ask(await token('api'))))).toBe(200)
      expect(await origins.hits('/private')).toBe(1)
    })
  })

  describe('cache', () => {
    const cached: Partial<MeridianConfigInput> = { routes: [{ id: 'site', cache: {} }] }

    it('answers the second request by itself', async () => {
      const { fetch } = await start(cached)
      const path = `/cached/${unique('page')}`
      const first = await (await fetch(path)).text()
      const again = await fetch(path)
      expect(await again.text()).toBe(first)
      expect(again.headers.get('cache-status')).toContain('hit')
      expect(again.headers.get('age')).not.toBeNull()
      expect(await origins.hits(path)).toBe(1)
    })

    it('keeps variants apart, and private answers out', async () => {
      const { fetch } = await start(cached)
      const path = `/language/${unique('page')}`
      for (const variant of ['one', 'two', 'one', 'two']) {
        const response = await fetch(path, { headers: { 'x-variant': variant } })
        expect(await response.text()).toBe(`variant ${variant}`)
      }
      expect(await origins.hits(path)).toBe(2)
      const secret = `/private/${unique('page')}`
      for (let i = 0; i < 2; i++) await (await fetch(secret)).arrayBuffer()
      expect(await origins.hits(secret)).toBe(2)
    })

    it('does not keep a body that was cut', async () => {
      const { fetch } = await start(cached)
      const path = `/cut-known/${unique('page')}`
      for (let i = 0; i < 2; i++)
        await fetch(path)
          .then((r) => r.arrayBuffer())
          .catch(() => {})
      expect(await origins.hits(path)).toBe(2)
    })
  })

  describe('failover', () => {
    it.each(['refusing', 'failing'] as const)(
      'no client of a region that is %s notices',
      async (state) => {
        const { fetch } = await start({ routes: [{ id: 'site', retry: { budget: 100 } }] })
        await origins.become('eu', state)
        for (let i = 0; i < 12; i++) {
          const response = await fetch(`/page/${i}`, { country: 'DE' })
          expect(response.status).toBe(200)
          expect(response.headers.get('x-region')).not.toBe('eu')
          await response.arrayBuffer()
        }
      },
    )

    it('never sends a POST twice that may have arrived', async () => {
      const { fetch } = await start()
      await origins.become('eu', 'failing')
      const response = await fetch('/echo', { method: 'POST', body: 'once', country: 'DE' })
      expect(await statusOf(response)).toBe(503)
      expect(await origins.hits('/echo')).toBe(1)
    })

    it('answers 502 or 503 when nothing is left', async () => {
      const { fetch } = await start()
      for (const region of ['eu', 'us', 'ap'] as const) await origins.become(region, 'refusing')
      const response = await fetch('/page', { country: 'DE' })
      expect([502, 503]).toContain(response.status)
      await response.arrayBuffer()
    })
  })

  describe('explain', () => {
    it('says which step answered and why', async () => {
      const { explain } = await start({ waf: {} })
      const passed = await explain('/page', { country: 'US' })
      const step = (name: string) => passed.steps.find((one) => one.step === name)
      expect(step('locate')?.detail).toMatchObject({ country: 'US' })
      expect(JSON.stringify(step('steer'))).toContain('us-east-1')
      expect(passed.answer).toMatchObject({ status: 200, outcome: 'served' })
      const blocked = await explain("/item?id=7'%20union%20select%20password%20from%20users--")
      expect(blocked.answer).toMatchObject({ status: 403, outcome: 'blocked' })
      expect(blocked.steps.find((one) => one.step === 'inspect')?.outcome).toBe('answered')
      expect(await origins.hits('/item')).toBe(0)
    })
  })

  describe('on the wire', () => {
    it('keeps cookies apart, follows no redirect, answers HEAD and 204 without a body', async () => {
      const { fetch } = await start()
      const cookies = await fetch('/cookies')
      expect(cookies.headers.getSetCookie()).toEqual(['a=1', 'b=2; Path=/'])
      await cookies.arrayBuffer()
      const redirect = await fetch('/redirect', { redirect: 'manual' })
      expect([redirect.status, redirect.headers.get('location')]).toEqual([302, '/seen'])
      expect(await (await fetch('/page', { method: 'HEAD' })).text()).toBe('')
      expect(await statusOf(await fetch('/empty'))).toBe(204)
    })

    it('gives gzip bodies to the client intact', async () => {
      const { fetch } = await start()
      expect(await (await fetch('/gzip')).text()).toBe('squeezed '.repeat(100))
    })

    it('streams events as they come', async () => {
      const { fetch } = await start()
      const reader = (await fetch('/events')).body?.getReader()
      const first = new TextDecoder().decode((await reader?.read())?.value)
      expect(first).toBe('data: 1\n\n')
      let rest = ''
      for (;;) {
        const piece = await reader?.read()
        if (piece === undefined || piece.done) break
        rest += new TextDecoder().decode(piece.value)
      }
      expect(rest).toBe('data: 2\n\n')
    })

    it('streams a large body both ways', async () => {
      const { fetch } = await start()
      const body = 'large '.repeat(200_000)
      const response = await fetch('/echo', { method: 'POST', body })
      expect((await response.text()).length).toBe(body.length)
    })
  })

  describe('differences', () => {
    /** What each row of the table looks at. */
    const cases: Readonly<Record<string, (harness: Harness) => Promise<string>>> = {
      'origin-host': async ({ fetch }) => {
        const { headers } = (await (await fetch('/seen')).json()) as Seen
        return headers.host === headers['x-forwarded-host'] ? "the client's" : "the origin's"
      },
      'origin-accept-encoding': async ({ fetch }) => {
        const response = await fetch('/seen', { headers: { 'accept-encoding': 'gzip' } })
        const { headers } = (await response.json()) as Seen
        return headers['accept-encoding'] ?? 'none'
      },
      'post-to-a-dead-origin': async ({ fetch }) => {
        await origins.become('eu', 'refusing')
        const ask = { method: 'POST', body: 'x' }
        return String(await statusOf(await fetch('/echo', ask)))
      },
      'cut-known-length': ({ fetch }) => endOf(fetch('/cut-known')),
      'cut-chunked': ({ fetch }) => endOf(fetch('/cut-chunked')),
      'cf-connecting-ip-from-a-client': async ({ fetch }) => {
        const ask = { headers: { 'cf-connecting-ip': '203.0.113.9' } }
        const { headers } = (await (await fetch('/seen', ask)).json()) as Seen
        return JSON.stringify(headers).includes('203.0.113.9') ? 'believed' : 'not believed'
      },
    }

    it('the table has a case for each row, and a row for each case', () => {
      expect(differences().map((row) => row.id)).toEqual(Object.keys(cases))
    })

    it.each(Object.keys(cases))('%s is as the table says', async (id) => {
      // Nobody in front is trusted: what a client sends is a client's.
      const running = await start({ trustedProxies: [] })
      expect(await cases[id]?.(running)).toBe(expected(id, running.runtime))
    })
  })
}

interface Seen {
  readonly headers: Readonly<Record<string, string>>
}

async function endOf(answer: Promise<Response>): Promise<string> {
  try {
    await (await answer).arrayBuffer()
    return 'ends cleanly'
  } catch {
    return 'is seen as cut'
  }
}
