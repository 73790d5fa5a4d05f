/** Logins on a clock that moves when it is told, with a provider that does as it is told. */
import { beforeEach, describe, expect, it } from 'vitest'
import type { HeaderList } from '../../exchange.ts'
import {
  type OpenIdClientOptions,
  OpenIdError,
  type OpenIdGrant,
  type OpenIdProvider,
} from '../../ports.ts'
import { Denied } from '../denied.ts'
import { encodeBase64Url } from '../encoding.ts'
import type { RouteAuth } from '../route-auth.ts'
import { NOW, request, SECRETS, shown, type World, world } from '../world.fixture.ts'
import type { Login, LoginAnswer } from './login.ts'

const SITE = 'https://api.example.com'
const ISSUER = 'https://id.example.com'
const MINUTE = 60_000

class FakeProvider implements OpenIdProvider {
  redeemed: string[] = []
  refreshed: string[] = []
  grant: OpenIdGrant = grantOf({})
  failure: OpenIdError | undefined
  async authorizationUrl(parameters: Readonly<Record<string, string>>) {
    if (this.failure !== undefined) throw this.failure
    return `${ISSUER}/authorize?${new URLSearchParams(parameters)}`
  }
  async redeem(callback: string) {
    this.redeemed.push(callback)
    if (this.failure !== undefined) throw this.failure
    return this.grant
  }
  async refresh(refreshToken: string) {
    this.refreshed.push(refreshToken)
    await Promise.resolve()
    if (this.failure !== undefined) throw this.failure
    return this.grant
  }
  async revoke() {}
  async logoutUrl() {
    return undefined
  }
}

function grantOf(part: Partial<OpenIdGrant>): OpenIdGrant {
  return {
    claims: { sub: 'alice', iss: ISSUER, aud: 'web', exp: NOW + 300, iat: NOW, ...part.claims },
    idToken: 'x',
    refreshToken: 'r1',
    accessLifetime: 3600,
    scope: undefined,
    ...Object.fromEntries(Object.entries(part).filter(([name]) => name !== 'claims')),
  }
}

let provider: FakeProvider
let w: World
let route: RouteAuth
let login: Login
let jar: Map<string, string>

let drawn = 0
const random = {
  next: () => 0.5,
  bytes: (count: number) => {
    drawn++
    return Uint8Array.from({ length: count }, (_, i) =>
      i === 0 ? drawn : i === 1 ? drawn >> 8 : i,
    )
  },
}

const config = (more: object = {}, iam: object = {}) => ({
  publicOrigin: SITE,
  ...iam,
  login: { issuer: ISSUER, clientId: 'web', secret: { env: 'SEAL' }, ...more },
})

function open(more: object = {}): void {
  const openId = (_: OpenIdClientOptions) => provider
  w = world(config(more), { random, openId, ...(w && { clock: w.clock, previous: w.identity }) })
  expect(w.problems).toEqual([])
  route = w.route({ methods: ['session'] })
  login = w.identity.login as Login
}

beforeEach(() => {
  SECRETS.SEAL = 'a secret of at least thirty-two bytes'
  provider = new FakeProvider()
  jar = new Map()
  w = undefined as never
  open()
})

/** A request with the browser's cookies, taken off as the gateway does. */
function asked(target: string, method = 'GET', more: string[] = []) {
  const [path = '/', query = ''] = target.split('?')
  const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
  const headers = ['accept', 'text/html', ...more, ...(cookie === '' ? [] : ['cookie', cookie])]
  const plain = request({ path, query, method, headers })
  const own = login.names.take(plain.headers)
  if (own === undefined) return plain
  return Object.assign(plain, { headers: own.headers as HeaderList, login: own.login })
}

function keep(fields: readonly string[]): void {
  for (const field of fields) {
    const pair = field.split(';')[0] as string
    const name = pair.slice(0, pair.indexOf('='))
    if (field.includes('Max-Age=0')) jar.delete(name)
    else jar.set(name, pair.slice(name.length + 1))
  }
}

/** Whatever comes of it, with its cookies kept. */
function after(answer: LoginAnswer): LoginAnswer {
  if ('location' in answer) keep(answer.cookies)
  return answer
}

/** Begins, and is back from the provider: the target of the callback. */
async function begun(page = '/page'): Promise<string> {
  const answer = after(await login.begin(asked(page), page))
  if (!('location' in answer)) throw new Error(answer.cause)
  const state = new URL(answer.location).searchParams.get('state')
  return `/.meridian/login/callback?code=c&state=${state}`
}

async function logIn(): Promise<LoginAnswer> {
  return after(await login.callback(asked(await begun()), 'client'))
}

/** A request of a page: who it is, or why not. */
async function page(options: { route?: RouteAuth; method?: string } = {}): Promise<string> {
  const x = asked('/page', options.method)
  const found = await w.identity.identify(x, options.route ?? route)
  const note = login.sessions.noteOf(x)
  if (note !== undefined) keep(note.cookies)
  return shown(found)
}

const ALICE = '200 session alice'

describe('a session', () => {
  it('ends so long after the login, however busy it is', async () => {
    open({ lifetime: '2h', idle: '30m' })
    await logIn()
    for (let minutes = 0; minutes < 120; minutes += 10) {
      expect(await page()).toBe(ALICE)
      w.clock.advance(10 * MINUTE)
    }
    expect(await page()).toBe('401 session_expired')
  })

  it('ends when nothing was asked for so long', async () => {
    open({ idle: '1h' })
    await logIn()
    w.clock.advance(60 * MINUTE - 1)
    expect(await page()).toBe(ALICE)
    w.clock.advance(60 * MINUTE - 1)
    expect(await page()).toBe(ALICE)
    w.clock.advance(60 * MINUTE)
    expect(await page()).toBe('401 session_expired')
  })

  it('is written again after a quarter of that, not with each answer', async () => {
    open({ idle: '1h' })
    await logIn()
    const first = [...jar.values()]
    w.clock.advance(15 * MINUTE - 1)
    await page()
    expect([...jar.values()]).toEqual(first)
    w.clock.advance(1)
    await page()
    expect([...jar.values()]).not.toEqual(first)
  })

  it('is as good as a token for policies, and as bad for them', async () => {
    provider.grant = grantOf({
      claims: { roles: ['ops'], acr: 'urn:mfa', auth_time: NOW - 100 },
      scope: 'openid read',
    })
    await logIn()
    const may = (auth: object) => page({ route: w.route({ methods: ['session'], ...auth }) })
    expect(await may({ roles: ['ops'], scopes: ['read'] })).toBe(ALICE)
    expect(await may({ scopes: ['write'] })).toBe('403 insufficient_scope')
    expect(await may({ roles: ['root'] })).toBe('403 policy_denied')
    expect(await may({ authContext: { acr: ['urn:mfa'], maxAge: '2m' } })).toBe(ALICE)
    w.clock.advance(21_000)
    const weak = { authContext: { acr: ['urn:mfa'], maxAge: '2m' } }
    expect(await may(weak)).toBe('401 insufficient_user_authentication')
    // A token's route is none of a session's.
    w = world(
      { ...config(), issuers: [{ id: 'main', issuer: ISSUER, jwks: { url: `${ISSUER}/jwks` } }] },
      { random, openId: () => provider, clock: w.clock },
    )
    expect(await page({ route: w.route({ audience: 'api' }) })).toBe('401 credentials_missing')
  })

  it('that does not suffice is sent to log in again, when it is not a new one', async () => {
    await logIn()
    const strict = w.route({
      methods: ['session'],
      authContext: { acr: ['urn:mfa'], maxAge: '5m' },
    })
    const helped = async () => {
      const x = asked('/page')
      const denied = (await w.identity.identify(x, strict)) as Denied
      expect(denied).toBeInstanceOf(Denied)
      return w.identity.isHelpedByLogin(x, strict, denied)
    }
    expect(await helped()).toBe(false)
    w.clock.advance(61_000)
    expect(await helped()).toBe(true)
    const answer = await login.begin(asked('/page'), '/page', strict.authContext)
    const { searchParams } = new URL((answer as { location: string }).location)
    expect([searchParams.get('acr_values'), searchParams.get('max_age')]).toEqual([
      'urn:mfa',
      '300',
    ])
  })

  it('is ended by a revocation of its user, of those from before', async () => {
    await logIn()
    w.identity.revocations.add({
      kind: 'sub',
      value: 'alice',
      before: NOW + 1,
      expiresAt: NOW + 9e4,
    })
    expect(await page()).toBe('401 session_revoked')
    w.clock.advance(2000)
    await logIn()
    expect(await page()).toBe(ALICE)
  })

  it('is 503 while nobody knows who is revoked', async () => {
    await logIn()
    w.identity.revocations.isKnown = false
    expect(await page()).toBe('503 revocations_unknown')
    w.identity.revocations.isKnown = true
    expect(await page()).toBe(ALICE)
  })

  it('is over after a logout, in the copy as well, also after a reload', async () => {
    await logIn()
    const copy = new Map(jar)
    after(await login.logout(asked('/.meridian/login/logout', 'POST', ['origin', SITE])))
    expect(jar.size).toBe(0)
    for (const [name, value] of copy) jar.set(name, value)
    expect(await page()).toBe('401 session_revoked')
    open()
    expect(await page()).toBe('401 session_revoked')
  })

  it('of another client or provider is none, under the same secret', async () => {
    await logIn()
    open({ clientId: 'other' })
    expect(await page()).toBe('401 session_invalid')
    open({ issuer: 'https://other.example.com' })
    expect(await page()).toBe('401 session_invalid')
  })
})

describe('a refresh', () => {
  const due = 3600 - 60

  it('comes before the access token ends, once, and its claims count', async () => {
    await logIn()
    w.clock.advance(due * 1000 - 1)
    expect(await page()).toBe(ALICE)
    expect(provider.refreshed).toEqual([])
    w.clock.advance(1)
    provider.grant = grantOf({ claims: { roles: ['new'] }, refreshToken: 'r2' })
    const old = new Map(jar)
    const both = [page(), page(), page()]
    expect(await Promise.all(both)).toEqual([ALICE, ALICE, ALICE])
    expect(provider.refreshed).toEqual(['r1'])
    const fresh = new Map(jar)
    // A request that was on its way with the cookie from before.
    jar = new Map(old)
    w.clock.advance(59_000)
    expect(await page({ route: w.route({ methods: ['session'], roles: ['new'] }) })).toBe(ALICE)
    expect(provider.refreshed).toEqual(['r1'])
    jar = fresh
    w.clock.advance(due * 1000)
    open({ idle: '8h' })
    expect(await page()).toBe(ALICE)
    expect(provider.refreshed).toEqual(['r1', 'r2'])
  })

  it.each([
    ['is refused', new OpenIdError('refused', 'invalid_grant'), '401 session_expired'],
    ['fails', new OpenIdError('unavailable', 'down'), '503 login_unavailable'],
  ])(
    'that %s leaves the session until the access token ends, and no longer',
    async (_, failure, end) => {
      open({ idle: '8h' })
      await logIn()
      w.clock.advance(due * 1000)
      provider.failure = failure
      expect(await page()).toBe(ALICE)
      w.clock.advance(60_000 - 1)
      expect(await page()).toBe(ALICE)
      w.clock.advance(1)
      expect(await page()).toBe(end)
      // Not even where nobody has to log in, when nobody can say who it is.
      const optional = w.route({ methods: ['session'], optional: true })
      expect(await page({ route: optional })).toBe(
        failure.kind === 'refused' ? '200 anonymous' : end,
      )
    },
  )

  it('that brings another user is none', async () => {
    open({ idle: '8h' })
    await logIn()
    w.clock.advance(3600 * 1000)
    provider.grant = grantOf({ claims: { sub: 'mallory' } })
    expect(await page()).toBe('401 session_expired')
  })

  it('is not needed without a refresh token: the lifetime alone counts', async () => {
    provider.grant = grantOf({ refreshToken: undefined })
    open({ idle: '8h' })
    await logIn()
    w.clock.advance(2 * 3600 * 1000)
    expect(await page()).toBe(ALICE)
    expect(provider.refreshed).toEqual([])
  })
})

describe('a login that was begun', () => {
  const fault = async (target: string) => {
    const answer = await login.callback(asked(target), 'client')
    return 'fault' in answer ? answer.fault : 'completed'
  }

  it('is good for ten minutes, and once, also after a reload', async () => {
    const late = await begun()
    w.clock.advance(10 * MINUTE + 1)
    expect(await fault(late)).toBe('login_expired')
    const target = await begun()
    w.clock.advance(10 * MINUTE)
    expect(await fault(target)).toBe('completed')
    expect(await fault(target)).toBe('login_replayed')
    open()
    expect(await fault(target)).toBe('login_replayed')
    expect(provider.redeemed).toHaveLength(1)
  })

  it('leaves others of the same browser alone, up to a number', async () => {
    const targets = [await begun('/a'), await begun('/b'), await begun('/c'), await begun('/d')]
    expect(jar.size).toBe(4)
    const second = await login.callback(asked(targets[1] as string), 'client')
    expect(second).toMatchObject({ location: `${SITE}/b`, status: 303 })
    expect(await fault(targets[0] as string)).toBe('completed')
    await begun('/e')
    expect([...jar.keys()].filter((name) => name.includes('login'))).toHaveLength(1)
    expect(await fault(targets[3] as string)).toBe('state_unknown')
  })

  it('keeps what was asked for, not what it cannot be', async () => {
    for (const [asks, gets] of [
      ['/a?b=c#d', '/a?b=c#d'],
      [`/${'x'.repeat(3000)}`, '/'],
      ['//evil.test', '/'],
    ]) {
      const target = await begun(asks)
      const answer = await login.callback(asked(target), 'client')
      expect(answer).toMatchObject({ location: SITE + gets })
    }
  })

  it('sends nobody anywhere while the provider is away', async () => {
    provider.failure = new OpenIdError('unavailable', 'down')
    expect(await login.begin(asked('/a'), '/a')).toMatchObject({ fault: 'provider_unavailable' })
  })
})

describe('a config', () => {
  const problems = (more: object, iam: object = {}, openId: unknown = () => provider) => {
    const { problems } = world(config(more, iam), { random, openId: openId as never })
    return problems.join('\n')
  }

  it.each<[object, object, string]>([
    [{}, { publicOrigin: undefined }, 'iam.login: a login needs `iam.publicOrigin`'],
    [{}, { publicOrigin: 'http://app.example.com' }, 'iam.publicOrigin: a login over plain http'],
    [{ secret: { env: 'HS_SHORT' } }, {}, 'iam.login.secret: the environment variable HS_SHORT'],
    [{ secret: [{ env: 'SEAL' }, { env: 'PEPPER' }] }, {}, 'iam.login.secret[1]: the secret has 6'],
    [{ scopes: ['profile'] }, {}, 'iam.login.scopes: without the scope "openid"'],
    [{ lifetime: '10m' }, {}, 'iam.login.idle: a session cannot be idle for longer'],
    [{ parameters: { state: 'x' } }, {}, 'iam.login.parameters.state: the gateway sets'],
    [
      { clientSecret: { env: 'NONE' } },
      {},
      'iam.login.clientSecret: the environment variable NONE',
    ],
  ])('with %j %j is told where it is wrong', (more, iam, expected) => {
    expect(problems(more, iam)).toContain(expected)
  })

  it('tells a route what it lacks', () => {
    const without = world({})
    without.route({ methods: ['session'] })
    expect(without.problems.join()).toContain('routes[0].auth.methods: there is no login')
    w.route({ methods: ['session'], sender: 'dpop' })
    expect(w.problems.join()).toContain('routes[0].auth.sender: a session')
    expect(() => problems({ path: '/' })).toThrow('a path such as')
    expect(() => problems({ logout: { to: '//evil.test' } })).toThrow('a path such as')
    expect(() => problems({ issuer: 'http://id.example.com' })).toThrow('https')
  })

  it('keeps the claims that are named, and those that are read', async () => {
    provider.grant = grantOf({ claims: { email: 'a@b', org: { id: 'acme' }, other: 'x' } })
    open({ claims: ['email'], map: { tenant: 'org.id' } })
    await logIn()
    const found = await w.identity.identify(asked('/page'), route)
    if (found instanceof Denied) throw new Error(found.reason)
    expect(found.tenant).toBe('acme')
    expect(Object.keys(found.claims).sort()).toEqual([
      'client_id',
      'email',
      'exp',
      'org',
      'scope',
      'sub',
    ])
    expect(Object.getPrototypeOf(found.claims)).toBe(null)
  })

  it('draws what nobody can guess', async () => {
    const first = new URL(
      (after(await login.begin(asked('/'), '/')) as { location: string }).location,
    )
    const { searchParams } = first
    expect(searchParams.get('state')).toHaveLength(32)
    expect(searchParams.get('nonce')).not.toBe(searchParams.get('state'))
    expect(searchParams.get('code_challenge')).toHaveLength(
      encodeBase64Url(new Uint8Array(32)).length,
    )
    // Nothing of it can be read from the cookie.
    expect([...jar.values()].join()).not.toContain(searchParams.get('state'))
  })
})
