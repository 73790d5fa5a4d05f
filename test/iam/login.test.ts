/** Login of browsers over real sockets: a gateway, a provider, an application, and a browser's cookies. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ask } from '../harness/client.ts'
import type { HttpOrigin } from '../harness/origin.ts'
import { until } from '../harness/wait.ts'
import { type TestConfig, type TestGateway, World } from '../harness/world.ts'
import { Browser, SITE } from './browser.fixture.ts'
import { CLIENT, Provider } from './provider.fixture.ts'

const SESSION = '__Host-meridian-session'
const CALLBACK = `${SITE}/.meridian/login/callback`

let w: World
let provider: Provider
let app: HttpOrigin
let gateway: TestGateway
let browser: Browser

function config(login: object = {}): TestConfig {
  process.env.TEST_LOGIN_CLIENT = CLIENT.secret
  process.env.TEST_LOGIN_SEAL = 'a secret of at least thirty-two bytes'
  process.env.TEST_LOGIN_SEAL_NEXT = 'another secret of thirty-two bytes and more'
  const auth = (more: object = {}) => ({ methods: ['session' as const], ...more })
  return {
    trustedProxies: ['127.0.0.1'],
    pools: { app: { origins: [{ id: 'a', url: app.url }] } },
    iam: {
      publicOrigin: SITE,
      login: {
        issuer: provider.issuer,
        clientId: CLIENT.id,
        clientSecret: { env: 'TEST_LOGIN_CLIENT' },
        secret: { env: 'TEST_LOGIN_SEAL' },
        map: { tenant: 'org' },
        ...login,
      },
    },
    routes: [
      { id: 'public', match: { path: '/public' }, pools: ['app'], auth: 'none' },
      { id: 'admin', match: { path: '/admin' }, pools: ['app'], auth: auth({ roles: ['root'] }) },
      {
        id: 'step-up',
        match: { path: '/pay' },
        pools: ['app'],
        auth: auth({ authContext: { acr: ['urn:mfa'] } }),
      },
      {
        id: 'maybe',
        match: { path: '/maybe' },
        pools: ['app'],
        auth: auth({ optional: true }),
      },
      {
        id: 'site',
        pools: ['app'],
        auth: auth({ allow: 'auth.claims["org"][0] eq "acme"' }),
        cache: {},
      },
    ],
  }
}

const logins = (outcome: string, reason = 'none') =>
  gateway.metric('meridian_logins_total', { outcome, reason })

/** As far as the provider's answer: the callback that the browser would now ask for. */
async function almost(page = '/page'): Promise<URL> {
  const sent = await browser.send(page)
  const back = await ask(sent.get('location') as string)
  const location = new URL(back.get('location') as string)
  expect(location.href.startsWith(CALLBACK)).toBe(true)
  return location
}
const pathOf = (url: URL) => url.pathname + url.search

beforeEach(async () => {
  w = new World()
  provider = await Provider.start()
  w.onClose(() => provider.origin.close())
  app = await w.origin((request, response) => {
    response.setHeader('cache-control', 'public, max-age=60')
    response.end(`page ${request.url}`)
  })
  gateway = await w.gateway(config())
  browser = new Browser(gateway.url)
})
afterEach(() => w.close())

describe('a browser that logs in', () => {
  it('comes back to its page as its user, and the origin sees who it is but no cookie of ours', async () => {
    browser.cookies.set('theme', 'dark')
    const page = await browser.visit('/page?a=1&b=%2F')
    expect(page.visited.map((url) => url.split('?')[0])).toEqual([
      `${SITE}/page`,
      `${provider.issuer}/authorize`,
      CALLBACK,
      `${SITE}/page`,
    ])
    expect([page.status, page.text]).toEqual([200, 'page /page?a=1&b=%2F'])
    expect(page.all('cache-control')).toContain('private')
    const asked = provider.authorizations[0] as URLSearchParams
    expect(Object.fromEntries(asked)).toMatchObject({
      client_id: 'web',
      response_type: 'code',
      redirect_uri: CALLBACK,
      scope: 'openid profile email',
      code_challenge_method: 'S256',
    })
    expect(app.hits).toHaveLength(1)
    expect(app.hits[0]?.headers).toMatchObject({
      cookie: 'theme=dark',
      'x-auth-method': 'session',
      'x-auth-subject': 'alice',
      'x-auth-issuer': provider.issuer,
      'x-auth-client': 'web',
      'x-auth-tenant': 'acme',
      'x-auth-scopes': 'openid,orders:read',
      'x-auth-roles': 'admin,ops',
    })
    expect([...browser.cookies.keys()]).toEqual(['theme', SESSION])
    // And again, without the provider; by itself, the page's own requests too.
    const before = provider.origin.hits.length
    const data = await browser.send('/data', {
      method: 'POST',
      headers: { accept: '*/*', 'sec-fetch-mode': 'cors', 'sec-fetch-site': 'same-origin' },
    })
    expect(data.status).toBe(200)
    expect(provider.origin.hits.length).toBe(before)
    // On a route for everybody the cookie is not passed on either.
    await browser.send('/public')
    expect(app.hits.at(-1)?.headers.cookie).toBe('theme=dark')
    expect([await logins('begun'), await logins('completed')]).toEqual([1, 1])
  })

  it('is asked only where a person navigates: everything else is 401, also for what is cached', async () => {
    await browser.visit('/page')
    const [visits, hits] = [provider.origin.hits.length, app.hits.length]
    const others: Record<string, string>[] = [
      { accept: 'application/json' },
      { 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' },
      { 'sec-fetch-dest': 'iframe' },
      { 'sec-purpose': 'prefetch' },
      { host: 'other.test' },
    ]
    for (const headers of others) {
      browser.cookies.clear()
      const answer = await browser.send('/page', { headers })
      expect([answer.status, answer.get('content-type')]).toEqual([401, 'application/problem+json'])
      expect(answer.all('set-cookie')).toEqual([])
      expect(answer.text).not.toContain('page /page')
    }
    expect((await browser.send('/page', { method: 'POST' })).status).toBe(401)
    expect((await browser.send('/page')).status).toBe(302)
    expect([provider.origin.hits.length, app.hits.length]).toEqual([visits, hits])
  })

  it('is bound by the policies of a route as everybody else', async () => {
    expect((await browser.visit('/admin')).status).toBe(403)
    provider.user = { sub: 'mallory', org: 'evil' }
    browser.cookies.clear()
    expect((await browser.visit('/page')).status).toBe(403)
    expect(app.hits).toHaveLength(0)
    // Optional: with the session, without one, and with one that is of no use.
    await browser.send('/maybe')
    expect(app.hits.at(-1)?.headers['x-auth-subject']).toBe('mallory')
    browser.cookies.set(SESSION, '1:nonsense')
    expect((await browser.send('/maybe')).status).toBe(200)
    expect(app.hits.at(-1)?.headers['x-auth-subject']).toBeUndefined()
  })

  it('is refused when another site sends it with an unsafe method', async () => {
    await browser.visit('/page')
    for (const headers of [
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { origin: 'https://evil.test' },
    ]) {
      expect((await browser.send('/page', { method: 'POST', headers })).status).toBe(403)
    }
    expect(app.hits).toHaveLength(1)
  })

  it('is sent to step up once, not for ever', async () => {
    await browser.visit('/page')
    const answer = await browser.send('/pay')
    // The session is new: the provider has just decided how to authenticate.
    expect([answer.status, answer.get('location')]).toEqual([401, undefined])
  })
})

describe('a callback', () => {
  it.each([
    ['a forged state', (url: URL) => url.searchParams.set('state', 'A'.repeat(32))],
    ['no state', (url: URL) => url.searchParams.delete('state')],
    ['two states', (url: URL) => url.searchParams.append('state', 'x')],
    ['no code', (url: URL) => url.searchParams.delete('code')],
    ['a code of nobody', (url: URL) => url.searchParams.set('code', 'f'.repeat(32))],
    ['another issuer', (url: URL) => url.searchParams.set('iss', 'https://evil.test')],
    ['no issuer, where the provider promises one', (url: URL) => url.searchParams.delete('iss')],
  ])('with %s makes no session', async (_, change) => {
    const url = await almost()
    change(url)
    const answer = await browser.send(pathOf(url))
    expect([400, 403]).toContain(answer.status)
    expect(answer.json()).toMatchObject({ type: 'urn:meridian:problem:login-failed' })
    expect(browser.cookies.has(SESSION)).toBe(false)
    expect(await logins('completed')).toBe(0)
  })

  it('is worth nothing in another browser, and is worth something once', async () => {
    const url = await almost()
    const stranger = new Browser(gateway.url)
    expect((await stranger.send(pathOf(url))).status).toBe(400)
    // The cookie of one login does not fit another one's state.
    const cookie = [...browser.cookies].find(([name]) => name.includes('login'))
    const second = new Browser(gateway.url)
    await second.send('/page')
    const [name] = [...second.cookies.keys()]
    browser.cookies.set(name as string, cookie?.[1] as string)
    const done = await browser.send(pathOf(url))
    expect([done.status, done.get('location')]).toEqual([303, `${SITE}/page`])
    browser.cookies.clear()
    browser.cookies.set(cookie?.[0] as string, cookie?.[1] as string)
    const asked = provider.origin.hits.length
    const replay = await browser.send(pathOf(url))
    expect([replay.status, browser.cookies.has(SESSION)]).toEqual([400, false])
    expect(await logins('failed', 'login_replayed')).toBe(1)
    expect(provider.origin.hits.length).toBe(asked)
  })

  it.each([
    ['the wrong nonce', { nonce: 'another' }],
    ['an ID token of another issuer', { tokenIssuer: 'https://evil.test' }],
    ['an ID token that another key signed', { wrongKey: true }],
    ['another issuer in its answer', { responseIssuer: 'https://evil.test' }],
    ['a refusal', { deny: true }],
  ])('after %s makes no session', async (_, faults) => {
    Object.assign(provider.faults, faults)
    const page = await browser.visit('/page')
    expect([400, 403]).toContain(page.status)
    expect(page.visited).toHaveLength(3)
    expect(browser.cookies.has(SESSION)).toBe(false)
    expect(app.hits).toHaveLength(0)
  })

  it('of a client that fails again and again is refused unseen', async () => {
    const url = await almost()
    const asked = () => provider.origin.hits.filter((hit) => hit.path === '/token').length
    let status = 0
    for (let i = 0; i < 30 && status !== 429; i++) {
      browser.cookies.clear()
      const next = i === 0 ? url : await almost()
      next.searchParams.set('code', 'f'.repeat(32))
      status = (await browser.send(pathOf(next))).status
    }
    expect([status, asked()]).toEqual([429, 21])
  })
})

describe('the page to come back to', () => {
  it.each([
    ['//evil.test/x', 400],
    ['https://evil.test/', 400],
    ['/\\evil.test', 400],
    ['\\\\evil.test', 400],
    ['/%0d%0aset-cookie:a=b', 302],
    ['%2F%2Fevil.test', 400],
    ['%2F%5Cevil.test', 400],
    ['%09//evil.test', 400],
    ['javascript:alert(1)', 400],
    ['@evil.test', 400],
    ['/@evil.test', 302],
    ['/a?b=//evil.test', 302],
    ['%ff', 400],
  ])('of a login for %s is one of this site, or refused', async (to, expected) => {
    const answer = await browser.send(`/.meridian/login?to=${to.replaceAll('\\', '%5C')}`)
    // Line breaks are never part of a page.
    expect(answer.status).toBe(to.includes('%0d') ? 400 : expected)
    if (answer.status !== 302) return
    expect(answer.get('location')?.startsWith(`${provider.issuer}/authorize?`)).toBe(true)
    const page = await browser.visit(`/.meridian/login?to=${to}`)
    expect(page.visited.at(-1)?.startsWith(`${SITE}/`)).toBe(true)
  })

  it('is kept from a request whose path looks like a host', async () => {
    const page = await browser.visit('//evil.test/x')
    for (const address of page.visited) {
      const { origin } = new URL(address)
      expect([SITE, provider.issuer]).toContain(origin)
    }
  })
})

describe('a session', () => {
  it('that was changed in any place is none', async () => {
    await browser.visit('/page')
    const good = browser.cookies.get(SESSION) as string
    const flip = (at: number) => {
      const other = good[at] === 'A' ? 'B' : 'A'
      return good.slice(0, at) + other + good.slice(at + 1)
    }
    const bad = [
      ...[2, 30, Math.floor(good.length / 2), good.length - 30, good.length - 3].map(flip),
      good.slice(0, -5),
      good.replace('1:', '2:'),
      '1:a.b.c.d.e',
      '',
    ]
    for (const value of bad) {
      browser.cookies.set(SESSION, value)
      const answer = await browser.send('/page', { headers: { accept: 'application/json' } })
      expect([value, answer.status]).toEqual([value, 401])
    }
    // A login that was begun is sealed by the same key, and is no session.
    browser.cookies.clear()
    await browser.send('/page')
    const [begun] = [...browser.cookies.values()]
    browser.cookies.set(SESSION, `1:${begun}`)
    const answer = await browser.send('/page', { headers: { accept: 'application/json' } })
    expect(answer.status).toBe(401)
    expect(app.hits).toHaveLength(1)
  })

  it('holds while the secret is rotated, and ends with its secret', async () => {
    await browser.visit('/page')
    const json = { headers: { accept: 'application/json' } }
    const reload = async (secret: object) => {
      const before = await gateway.metric('meridian_config_reloads_total', { result: 'success' })
      gateway.write(config({ secret }))
      await until(
        'the reload',
        async () =>
          (await gateway.metric('meridian_config_reloads_total', { result: 'success' })) > before,
      )
    }
    await reload([{ env: 'TEST_LOGIN_SEAL_NEXT' }, { env: 'TEST_LOGIN_SEAL' }])
    expect((await browser.send('/page', json)).status).toBe(200)
    await reload([{ env: 'TEST_LOGIN_SEAL_NEXT' }])
    expect((await browser.send('/page', json)).status).toBe(401)
  })

  it('that is longer than a cookie is cut, and put together again', async () => {
    provider.user = {
      ...provider.user,
      groups: Array.from({ length: 300 }, (_, i) => `group-${i}`),
    }
    expect((await browser.visit('/page')).status).toBe(200)
    expect([...browser.cookies.keys()]).toEqual([SESSION, `${SESSION}.1`])
    browser.cookies.delete(`${SESSION}.1`)
    expect((await browser.send('/page', { headers: { accept: '*/*' } })).status).toBe(401)
    provider.user = {
      ...provider.user,
      groups: Array.from({ length: 2000 }, (_, i) => `group-${i}`),
    }
    browser.cookies.clear()
    const page = await browser.visit('/page')
    expect([page.status, browser.cookies.size]).toEqual([500, 1])
    expect(gateway.log.some(({ fields }) => `${fields.hint}`.includes('iam.login.claims'))).toBe(
      true,
    )
  })

  it('is refreshed before the access token ends, once for all requests', async () => {
    provider.accessLifetime = 0
    await browser.visit('/page', { stopAt: `${SITE}/page` })
    provider.accessLifetime = 3600
    provider.user = { ...provider.user, roles: ['admin'] }
    const old = browser.cookies.get(SESSION)
    const stale = new Browser(gateway.url)
    stale.cookies.set(SESSION, old as string)
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, i) => stale.send(`/part-${i}`, { headers: { accept: '*/*' } })),
    )
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    expect(provider.refreshes).toBe(1)
    expect(app.hits.at(-1)?.headers['x-auth-roles']).toBe('admin')
    expect(stale.cookies.get(SESSION)).not.toBe(old)
    // Late, with the cookie from before.
    expect((await browser.send('/late')).status).toBe(200)
    expect(provider.refreshes).toBe(1)
    expect(await logins('refreshed')).toBe(9)
  })

  it('ends with a logout, here and at the provider, and a copy of its cookie with it', async () => {
    await browser.visit('/page')
    const copy = new Map(browser.cookies)
    expect((await browser.send('/.meridian/login/logout')).status).toBe(405)
    const forged = await browser.send('/.meridian/login/logout', {
      method: 'POST',
      headers: { 'sec-fetch-site': 'cross-site' },
    })
    expect([forged.status, browser.cookies.size]).toEqual([403, 1])
    const out = await browser.send('/.meridian/login/logout', {
      method: 'POST',
      headers: { origin: SITE },
    })
    const location = new URL(out.get('location') as string)
    expect([out.status, location.origin + location.pathname]).toEqual([
      303,
      `${provider.issuer}/logout`,
    ])
    expect(location.searchParams.get('post_logout_redirect_uri')).toBe(`${SITE}/`)
    expect(provider.revoked).toHaveLength(1)
    expect(browser.cookies.size).toBe(0)
    for (const [name, value] of copy) browser.cookies.set(name, value)
    const again = await browser.send('/page', { headers: { accept: '*/*' } })
    expect(again.status).toBe(401)
  })
})

describe('a provider that is down', () => {
  it('is 503 and never an open door, for logins and for sessions that need it', async () => {
    provider.accessLifetime = 0
    const url = await almost()
    provider.faults.tokenStatus = 502
    const failed = await browser.send(pathOf(url))
    expect([failed.status, failed.get('retry-after')]).toEqual([503, '5'])
    // Nobody was asked for the code: the same login goes on.
    delete provider.faults.tokenStatus
    expect((await browser.send(pathOf(url))).status).toBe(303)
    await provider.origin.close()
    const answer = await browser.send('/page')
    expect([answer.status, answer.json().type]).toEqual([
      503,
      'urn:meridian:problem:identity-unavailable',
    ])
    const other = await w.gateway(config())
    const fresh = new Browser(other.url)
    const sent = await fresh.send('/page')
    expect([sent.status, sent.get('location'), fresh.cookies.size]).toEqual([503, undefined, 0])
    expect(app.hits).toHaveLength(0)
  })
})
