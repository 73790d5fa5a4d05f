import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { hmacSha256 } from '../expression/sha256.ts'
import type { Denied } from './denied.ts'
import { utf8 } from './encoding.ts'
import { NOW, rawToken, request, type Signer, signer, type World, world } from './world.fixture.ts'

const ISSUER = 'https://id.example.com'
let rsa: Signer
let ec: Signer
let ed: Signer
let stranger: Signer

beforeAll(async () => {
  rsa = await signer('RS256', 'rsa')
  ec = await signer('ES256', 'ec')
  ed = await signer('EdDSA', 'ed')
  stranger = await signer('ES256', 'ec')
})

const CLAIMS = {
  iss: ISSUER,
  sub: 'alice',
  aud: 'api://orders',
  exp: NOW + 3600,
  iat: NOW - 10,
  jti: 't1',
  client_id: 'app',
  scope: 'orders:read',
}
type Claims = Record<string, unknown>

function token(claims: Claims = {}, header: Claims = {}, by: Signer = ec): Promise<string> {
  const all: Claims = { ...CLAIMS, ...claims }
  for (const name of Object.keys(all)) if (all[name] === undefined) delete all[name]
  const head: Claims = { alg: by.algorithm, typ: 'at+jwt', kid: by.jwk.kid, ...header }
  for (const name of Object.keys(head)) if (head[name] === undefined) delete head[name]
  return rawToken(head, all, by)
}

function config(more: object = {}, issuer: object = {}) {
  return {
    publicOrigin: 'https://api.example.com',
    issuers: [
      {
        id: 'main',
        issuer: ISSUER,
        jwks: { url: `${ISSUER}/jwks` },
        profile: 'rfc9068',
        map: { tenant: 'org', roles: 'realm_access.roles' },
        ...issuer,
      },
    ],
    metadata: [{ path: '/' }],
    ...more,
  }
}

const ORDERS = { audience: 'api://orders' }
let w: World
let orders: ReturnType<World['route']>

function begin(more: object = {}, issuer: object = {}, auth: object = ORDERS): void {
  w = world(config(more, issuer))
  w.source.answer = { body: { keys: [rsa.jwk, ec.jwk, ed.jwk] } }
  orders = w.route(auth)
  expect(w.problems).toEqual([])
}

beforeEach(() => begin())

describe('tokens', () => {
  it.each<{ name: string; claims?: Claims; header?: Claims; expected: string }>([
    { name: 'A2 valid', expected: '200 jwt alice' },
    { name: 'A3 expired by the skew', claims: { exp: NOW - 30 }, expected: '401 token_expired' },
    { name: 'A4 within the skew', claims: { exp: NOW - 29 }, expected: '200 jwt alice' },
    { name: 'A5', claims: { nbf: NOW + 31 }, expected: '401 token_not_yet_valid' },
    { name: 'A6', claims: { nbf: NOW + 30 }, expected: '200 jwt alice' },
    { name: 'A7 no exp', claims: { exp: undefined }, expected: '401 claim_missing' },
    { name: 'exp as text', claims: { exp: `${NOW + 60}` }, expected: '401 claim_invalid' },
    { name: 'iat ahead', claims: { iat: NOW + 31 }, expected: '401 token_not_yet_valid' },
    {
      name: 'lives too long',
      claims: { exp: NOW + 86_400 - 9 },
      expected: '401 token_lifetime',
    },
    { name: 'no jti', claims: { jti: undefined }, expected: '401 claim_missing' },
    { name: 'A9 aud list', claims: { aud: ['x', 'api://orders'] }, expected: '200 jwt alice' },
    { name: 'other aud', claims: { aud: 'api://other' }, expected: '401 audience_mismatch' },
    { name: 'aud empty', claims: { aud: [] }, expected: '401 audience_mismatch' },
    { name: 'aud mixed', claims: { aud: ['api://orders', 1] }, expected: '401 audience_mismatch' },
    { name: 'A11 slash', claims: { iss: `${ISSUER}/` }, expected: '401 issuer_unknown' },
    { name: 'no iss', claims: { iss: undefined }, expected: '401 issuer_unknown' },
    { name: 'A12 none', header: { alg: 'none' }, expected: '401 alg_not_allowed' },
    { name: 'A12 None', header: { alg: 'None' }, expected: '401 alg_not_allowed' },
    { name: 'A12 nOnE', header: { alg: 'nOnE' }, expected: '401 alg_not_allowed' },
    { name: 'A17 crit', header: { crit: ['x'] }, expected: '401 token_malformed' },
    { name: 'A17 empty crit', header: { crit: [] }, expected: '401 token_malformed' },
    { name: 'A17 b64', header: { b64: false }, expected: '401 token_malformed' },
    { name: 'zip', header: { zip: 'DEF' }, expected: '401 token_malformed' },
    { name: 'cty', header: { cty: 'JWT' }, expected: '401 token_malformed' },
    { name: 'A23 typ JWT', header: { typ: 'JWT' }, expected: '401 type_mismatch' },
    { name: 'no typ', header: { typ: undefined }, expected: '401 type_mismatch' },
    { name: 'typ in full', header: { typ: 'application/AT+jwt' }, expected: '200 jwt alice' },
    { name: 'kid of another key', header: { kid: 'rsa' }, expected: '401 key_not_found' },
    { name: 'kid traversal', header: { kid: '../../ec' }, expected: '401 key_not_found' },
    { name: 'kid number', header: { kid: 1 }, expected: '401 token_malformed' },
    { name: 'no kid, one key fits', header: { kid: undefined }, expected: '200 jwt alice' },
  ])('$name', async ({ claims, header, expected }) => {
    expect(await w.ask(orders, { token: await token(claims, header) })).toBe(expected)
  })

  it('takes each algorithm with its key, and EdDSA under both its names', async () => {
    const results = [
      await token({}, {}, rsa),
      await token({}, {}, ed),
      await token({}, { alg: 'Ed25519' }, ed),
    ].map((text) => w.ask(orders, { token: text }))
    expect(await Promise.all(results)).toEqual(new Array(3).fill('200 jwt alice'))
  })

  it('A1: without credentials a bare challenge, also for a scheme that is not ours', async () => {
    for (const headers of [[], ['Authorization', 'Basic eDp5']]) {
      const denied = (await w.identity.identify(request({ headers }), orders)) as Denied
      expect(denied).toMatchObject({ status: 401, code: 'unauthenticated' })
      expect(denied.challenges[0]).toBe(
        'Bearer realm="api", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"',
      )
      expect(denied.challenges[1]).toMatch(/^DPoP realm="api", .*, algs="ES256 /)
    }
  })

  it('A13: HS256 with the RSA public key as secret', async () => {
    const secret = utf8(JSON.stringify(rsa.jwk))
    const text = await rawToken({ alg: 'HS256', typ: 'at+jwt', kid: 'rsa' }, CLAIMS, (data) =>
      hmacSha256(secret, data),
    )
    expect(await w.ask(orders, { token: text })).toBe('401 alg_not_allowed')
  })

  it('A15: keys and addresses in the header count for nothing, and nothing is fetched', async () => {
    await w.ask(orders, { token: await token() })
    const before = w.source.fetches.length
    for (const header of [
      { jwk: stranger.jwk },
      { jku: 'https://evil.example/jwks' },
      { x5u: 'https://evil.example/cert' },
    ]) {
      const text = await token({}, header, stranger)
      expect(await w.ask(orders, { token: text })).toBe('401 signature_invalid')
    }
    expect(w.source.fetches.length).toBe(before)
  })

  it('A19: one byte too many; more than one spelling; five parts', async () => {
    const good = await token()
    expect(await w.ask(orders, { token: good })).toBe('200 jwt alice')
    const [header, payload, signature] = good.split('.') as [string, string, string]
    const cases = {
      [`${header}.${payload}.${signature}${'A'.repeat(8193 - good.length)}`]: 'token_too_large',
      [`${good}=`]: 'token_malformed',
      [`${header}=.${payload}.${signature}`]: 'token_malformed',
      [`${header}.${payload}`]: 'token_malformed',
      [`${good}.a.b`]: 'token_malformed',
      [`${header}..${signature}`]: 'token_malformed',
      [`${header}.${payload}.`]: 'token_malformed',
    }
    for (const [text, reason] of Object.entries(cases)) {
      expect(await w.ask(orders, { token: text })).toBe(`401 ${reason}`)
    }
    // Unused bits of the last character.
    const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const at = last.indexOf(good.at(-1) as string)
    const other = good.slice(0, -1) + last[at + 1]
    expect(await w.ask(orders, { token: other })).toBe('401 token_malformed')
  })

  it.each([
    ['{"iss":"https://id.example.com","sub":"a","sub":"b"}', 'twice the same name'],
    ['{"iss":"https://id.example.com","exp":1e400}', 'a number without end'],
    [`{"iss":"https://id.example.com","a":${'['.repeat(40)}${']'.repeat(40)}}`, 'deep'],
    ['\ufeff{"iss":"https://id.example.com"}', 'a byte order mark'],
    ['["iss"]', 'not an object'],
    ['{"iss":"https://id.example.com"', 'cut'],
    ['{"iss":"https://id.example.com","a":"\u0001"}', 'a control character'],
    ['{"iss":"https://id.example.com","a":01}', 'not JSON'],
  ])('refuses %s: %s', async (payload) => {
    const header = { alg: 'ES256', typ: 'at+jwt', kid: 'ec' }
    const text = await rawToken(header, payload, ec)
    expect(await w.ask(orders, { token: text })).toBe('401 token_malformed')
  })

  it('keeps no prototype from the claims', async () => {
    const payload = JSON.stringify(CLAIMS).replace('{', '{"__proto__":{"admin":true},')
    const text = await rawToken({ alg: 'ES256', typ: 'at+jwt', kid: 'ec' }, payload, ec)
    const x = request({ token: text })
    await w.identity.identify(x, orders)
    expect(Object.getPrototypeOf(x.principal?.claims)).toBeNull()
    expect(Object.keys(x.principal?.claims ?? {})).not.toContain('__proto__')
    expect(Object.isFrozen(x.principal?.claims)).toBe(true)
  })

  it('answers for a known token without a promise, and again asks what may have changed', async () => {
    const text = await token()
    const first = w.identity.identify(request({ token: text }), orders)
    expect(first).toBeInstanceOf(Promise)
    await first
    const again = w.identity.identify(request({ token: text }), orders)
    expect(again).toMatchObject({ kind: 'jwt', subject: 'alice', clientId: 'app' })
    // Another route's audience is asked of the known token too.
    const other = w.route({ audience: 'api://other' })
    expect(w.identity.identify(request({ token: text }), other)).toMatchObject({
      reason: 'audience_mismatch',
    })
    w.clock.advance(299_000)
    expect(w.identity.identify(request({ token: text }), orders)).toMatchObject({ kind: 'jwt' })
    w.clock.advance(2000)
    const verifiedAnew = w.identity.identify(request({ token: text }), orders)
    expect(verifiedAnew).toBeInstanceOf(Promise)
    await verifiedAnew
    w.clock.advance(3600_000)
    expect(await w.ask(orders, { token: text })).toBe('401 token_expired')
  })

  it('refuses a client unseen after twenty bad signatures in a minute', async () => {
    const bad = async (n: number) =>
      w.ask(orders, { token: await token({ jti: `${n}` }, {}, stranger) })
    for (let i = 0; i < 21; i++) expect(await bad(i)).toBe('401 signature_invalid')
    expect(await bad(22)).toBe('429 too_many_failures')
    expect(await w.ask(orders, { token: await token(), ip: '192.0.2.9' })).toBe('200 jwt alice')
    w.clock.advance(60_000)
    expect(await w.ask(orders, { token: await token() })).toBe('200 jwt alice')
  })
})

describe('places', () => {
  it('A21: two Authorization fields', async () => {
    const good = await token()
    const headers = ['Authorization', `Bearer ${good}`, 'authorization', `Bearer ${good}`]
    expect(await w.ask(orders, { headers })).toBe('400 invalid_request')
  })

  it('A22: header and cookie', async () => {
    begin({ cookie: 'session' })
    const good = await token()
    const cookie = ['Cookie', `a=b; session=${good}`]
    expect(await w.ask(orders, { headers: cookie })).toBe('200 jwt alice')
    expect(await w.ask(orders, { headers: cookie, token: good })).toBe('400 multiple_credentials')
    expect(await w.ask(orders, { headers: [...cookie, ...cookie] })).toBe(
      '400 multiple_credentials',
    )
  })

  it('a cookie from another site permits nothing that changes something', async () => {
    begin({ cookie: 'session' })
    const cookie = ['Cookie', `session=${await token()}`]
    const post = (...more: string[]) =>
      w.ask(orders, { method: 'POST', headers: [...cookie, ...more] })
    expect(await post('Sec-Fetch-Site', 'cross-site')).toBe('403 cross_site_cookie')
    expect(await post('Origin', 'https://evil.example')).toBe('403 cross_site_cookie')
    expect(await post('Origin', 'https://api.example.com')).toBe('200 jwt alice')
    expect(await post('Sec-Fetch-Site', 'same-origin')).toBe('200 jwt alice')
  })

  it.each([
    ['bearer', '200 jwt alice'],
    ['BEARER  ', '200 jwt alice'],
    ['Bearer\t', '401 credentials_missing'],
    ['Token', '401 credentials_missing'],
  ])('scheme %j', async (scheme, expected) => {
    const headers = ['Authorization', `${scheme} ${await token()}`]
    expect(await w.ask(orders, { headers })).toBe(expected)
  })

  it.each(['Bearer', 'Bearer ', 'Bearer a b', 'Bearer a, Bearer b'])('%j', async (value) => {
    expect(await w.ask(orders, { headers: ['Authorization', value] })).toBe('400 invalid_request')
  })

  it('a query parameter only where the route says so; it does not travel on', async () => {
    const good = await token()
    expect(await w.ask(orders, { query: `access_token=${good}` })).toBe('401 credentials_missing')
    const route = w.route({ ...ORDERS, queryToken: 'access_token' })
    const x = request({ query: `a=1&access_token=${good}&b=2` })
    await w.identity.identify(x, route)
    expect(x.principal?.subject).toBe('alice')
    expect(w.identity.stripped(x, route)).toEqual({ path: '/v1/orders', query: 'a=1&b=2' })
  })

  it('A44: a preflight passes without a token', async () => {
    const headers = ['Origin', 'https://app.example', 'Access-Control-Request-Method', 'PUT']
    expect(await w.ask(orders, { method: 'OPTIONS', headers })).toBe('200 anonymous')
    expect(await w.ask(orders, { method: 'OPTIONS' })).toBe('401 credentials_missing')
  })
})

describe('what a caller may', () => {
  it('A24: a scope is missing', async () => {
    const route = w.route({ ...ORDERS, scopes: ['orders:read', 'orders:write'] })
    const denied = (await w.identity.identify(request({ token: await token() }), route)) as Denied
    expect(denied).toMatchObject({ status: 403, reason: 'insufficient_scope', code: 'forbidden' })
    expect(denied.challenges[0]).toContain(
      'error="insufficient_scope", error_description="the scope does not suffice", scope="orders:read orders:write"',
    )
  })

  it.each<{ name: string; auth: object; claims: Claims; expected: string }>([
    { name: 'any scope', auth: { anyScope: ['a', 'orders:read'] }, claims: {}, expected: '200' },
    {
      name: 'no such scope',
      auth: { anyScope: ['a'] },
      claims: {},
      expected: '403 insufficient_scope',
    },
    {
      name: 'role',
      auth: { roles: ['admin'] },
      claims: { realm_access: { roles: ['admin'] } },
      expected: '200',
    },
    { name: 'no role', auth: { roles: ['admin'] }, claims: {}, expected: '403 policy_denied' },
    {
      name: 'claim',
      auth: { claims: { plan: ['a', 'b'] } },
      claims: { plan: 'b' },
      expected: '200',
    },
    {
      name: 'claim list',
      auth: { claims: { groups: 'x' } },
      claims: { groups: ['y', 'x'] },
      expected: '200',
    },
    {
      name: 'no claim',
      auth: { claims: { plan: 'a' } },
      claims: {},
      expected: '403 policy_denied',
    },
    {
      name: 'allow',
      auth: { allow: 'auth.tenant eq acme' },
      claims: { org: 'acme' },
      expected: '200',
    },
    {
      name: 'not allowed',
      auth: { allow: 'auth.tenant eq acme' },
      claims: {},
      expected: '403 policy_denied',
    },
    {
      name: 'deny wins',
      auth: { allow: 'auth.tenant eq acme', deny: 'method eq GET' },
      claims: { org: 'acme' },
      expected: '403 policy_denied',
    },
  ])('$name', async ({ auth, claims, expected }) => {
    const route = w.route({ ...ORDERS, ...auth })
    expect(await w.ask(route, { token: await token(claims) })).toMatch(expected)
  })

  it('leaves no principal behind when it refuses', async () => {
    const x = request({ token: await token() })
    await w.identity.identify(x, w.route({ ...ORDERS, roles: ['admin'] }))
    expect(x.principal).toBeUndefined()
  })

  it('A39: step-up says what is asked for', async () => {
    const route = w.route({ ...ORDERS, authContext: { acr: ['urn:mfa'], maxAge: '300s' } })
    const ask = async (claims: Claims) =>
      (await w.identity.identify(request({ token: await token(claims) }), route)) as Denied
    for (const claims of [
      {},
      { acr: 'urn:mfa' },
      { acr: 'urn:mfa', auth_time: NOW - 301 },
      { acr: 'urn:password', auth_time: NOW },
    ]) {
      const denied = await ask(claims)
      expect(denied).toMatchObject({ status: 401, reason: 'insufficient_user_authentication' })
      expect(denied.challenges[0]).toContain(
        'error="insufficient_user_authentication", error_description="a stronger or more recent authentication is required", acr_values="urn:mfa", max_age="300"',
      )
    }
    expect(await ask({ acr: 'urn:mfa', auth_time: NOW - 300 })).toMatchObject({ kind: 'jwt' })
  })

  it('nobody passes a route that says nothing, anybody one that says "none"', async () => {
    const good = await token()
    expect(await w.ask(w.route(undefined), { token: good })).toBe('403 policy_denied')
    expect(await w.ask(w.route('none'), {})).toBe('200 anonymous')
    begin({ default: 'none' })
    expect(await w.ask(w.route(undefined), {})).toBe('200 anonymous')
  })

  it('optional: anonymous without credentials, never with bad ones', async () => {
    const route = w.route({ ...ORDERS, optional: true })
    expect(await w.ask(route, {})).toBe('200 anonymous')
    expect(await w.ask(route, { token: await token() })).toBe('200 jwt alice')
    expect(await w.ask(route, { token: 'x' })).toBe('401 token_malformed')
  })

  it('only the issuers of the route', async () => {
    begin({}, {}, ORDERS)
    const two = world({
      issuers: [
        { id: 'a', issuer: ISSUER, jwks: { keys: [ec.jwk] } },
        { id: 'b', issuer: 'legacy', secret: { env: 'HS' }, types: ['JWT', null] },
      ],
    })
    const legacy = (header: object) =>
      rawToken(header, { ...CLAIMS, iss: 'legacy' }, (data) =>
        hmacSha256(utf8('not a published sample, and long enough for it'), data),
      )
    const routeA = two.route({ ...ORDERS, issuers: ['a'] })
    const both = two.route(ORDERS)
    expect(two.problems).toEqual([])
    expect(await two.ask(both, { token: await legacy({ alg: 'HS256', typ: 'JWT' }) })).toMatch(
      '200',
    )
    expect(await two.ask(both, { token: await legacy({ alg: 'HS256' }) })).toMatch('200')
    expect(await two.ask(routeA, { token: await legacy({ alg: 'HS256' }) })).toBe(
      '401 issuer_unknown',
    )
    expect(await two.ask(both, { token: await legacy({ alg: 'HS384' }) })).toBe(
      '401 alg_not_allowed',
    )
    expect(await two.ask(routeA, { token: await token() })).toBe('200 jwt alice')
  })
})

describe('revocation', () => {
  it.each<[string, Parameters<World['identity']['revocations']['add']>[0], string]>([
    ['A31 jti', { kind: 'jti', value: 't1', expiresAt: NOW + 99 }, '401 token_revoked'],
    ['sub', { kind: 'sub', value: 'alice', expiresAt: NOW + 99 }, '401 token_revoked'],
    ['client', { kind: 'client', value: 'app', expiresAt: NOW + 99 }, '401 token_revoked'],
    ['issuer', { kind: 'issuer', value: ISSUER, expiresAt: NOW + 99 }, '401 token_revoked'],
    [
      'A31 sub before now',
      { kind: 'sub', value: 'alice', before: NOW, expiresAt: NOW + 99 },
      '401 token_revoked',
    ],
    [
      'A31 issued later',
      { kind: 'sub', value: 'alice', before: NOW - 10, expiresAt: NOW + 99 },
      '200 jwt alice',
    ],
    [
      'another issuer',
      { kind: 'sub', value: 'alice', issuer: 'x', expiresAt: NOW + 99 },
      '200 jwt alice',
    ],
    ['another', { kind: 'jti', value: 't2', expiresAt: NOW + 99 }, '200 jwt alice'],
  ])('%s', async (_name, revocation, expected) => {
    const text = await token()
    expect(await w.ask(orders, { token: text })).toBe('200 jwt alice')
    w.identity.revocations.add(revocation)
    expect(await w.ask(orders, { token: text })).toBe(expected)
    w.identity.revocations.remove(revocation.kind, revocation.value)
    expect(await w.ask(orders, { token: text })).toBe('200 jwt alice')
  })

  it('forgets entries whose tokens have expired, and survives a reload', async () => {
    w.identity.revocations.add({ kind: 'jti', value: 't1', expiresAt: NOW + 10 })
    const reloaded = world(config(), { previous: w.identity, keys: w.source })
    expect(await reloaded.ask(reloaded.route(ORDERS), { token: await token() })).toBe(
      '401 token_revoked',
    )
    w.identity.revocations.expire(NOW + 10)
    expect(w.identity.revocations.size).toBe(0)
  })
})

describe('identity fields for origins', () => {
  it('A2, A41: wiped in every spelling, set from the verified claims', async () => {
    begin({ headers: { claims: { 'x-plan': 'plan', 'x-name': 'name' } } })
    const spoofed = [
      'X-Auth-Subject',
      'root',
      'x_auth_subject',
      'root',
      'X-AUTH-Extra',
      '1',
      'x_plan',
      'gold',
      'X-Name-B64',
      'cm9vdA',
      'Accept',
      '*/*',
    ]
    const open = request({ headers: spoofed })
    await w.identity.identify(open, w.route('none'))
    expect(w.identity.originFields(open, w.route('none'))).toEqual(['Accept', '*/*'])
    expect(w.identity.originFields(open, undefined)).toEqual(['Accept', '*/*'])

    const claims = {
      plan: 'silver',
      name: 'Jürgen\r\nX-Evil: 1',
      org: 'acme',
      realm_access: { roles: ['a,b', 'c'] },
    }
    const x = request({ headers: spoofed, token: await token(claims) })
    await w.identity.identify(x, orders)
    expect(w.identity.originFields(x, orders)).toEqual([
      ...['Accept', '*/*', 'x-auth-method', 'jwt', 'x-auth-subject', 'alice'],
      ...['x-auth-issuer', ISSUER, 'x-auth-client', 'app', 'x-auth-tenant', 'acme'],
      ...['x-auth-scopes', 'orders:read', 'x-auth-roles', 'a%2Cb,c', 'x-plan', 'silver'],
      ...['x-name-b64', 'SsO8cmdlbg0KWC1FdmlsOiAx'],
    ])
    const passing = w.route({ ...ORDERS, forwardToken: 'pass' })
    expect(w.identity.originFields(x, passing)).toContain('Authorization')
  })

  it('takes the cookie with the token out, and leaves the others', async () => {
    begin({ cookie: 'session' })
    const x = request({ headers: ['Cookie', `a=1; session=${await token()}; b=2`] })
    await w.identity.identify(x, orders)
    expect(w.identity.originFields(x, orders).slice(0, 2)).toEqual(['Cookie', 'a=1; b=2'])
  })
})

describe('resource metadata', () => {
  it('is served for each resource, and named in its challenges', () => {
    begin({ metadata: [{ path: '/' }, { path: '/v1', scopes: ['a'], name: 'Orders' }] })
    const text = w.identity.metadata?.document('/.well-known/oauth-protected-resource/v1')
    expect(JSON.parse(new TextDecoder().decode(text))).toMatchObject({
      resource: 'https://api.example.com/v1',
      authorization_servers: [ISSUER],
      scopes_supported: ['a'],
      bearer_methods_supported: ['header'],
      resource_name: 'Orders',
    })
    expect(
      w.identity.metadata?.document('/.well-known/oauth-protected-resource/v2'),
    ).toBeUndefined()
    const route = w.route({ ...ORDERS, resource: '/v1/orders' })
    expect(route.denied('credentials_missing').challenges[0]).toContain(
      'resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/v1"',
    )
  })
})

describe('configuration', () => {
  it.each<[object, unknown, string]>([
    [{}, { methods: ['jwt'] }, 'routes[0].auth.audience: an audience is required'],
    [{}, { ...ORDERS, issuers: ['nope'] }, 'there is no issuers[0] "nope"'],
    [{}, { ...ORDERS, methods: ['api-key'] }, 'there are no API keys'],
    [{}, { ...ORDERS, methods: ['opaque'] }, 'opaque tokens need an introspection endpoint'],
    [{ issuers: [{ id: 'a', issuer: 'a' }] }, 'none', 'either `jwks` or `secret`'],
    [
      { issuers: [{ id: 'a', issuer: 'a', jwks: { url: 'https://a' }, algorithms: ['HS256'] }] },
      'none',
      'HS256 needs `secret`',
    ],
    [
      {
        issuers: [{ id: 'a', issuer: 'a', secret: { env: 'HS' }, algorithms: ['HS256', 'RS256'] }],
      },
      'none',
      'RS256 does not work with a shared secret',
    ],
    [
      { issuers: [{ id: 'a', issuer: 'a', secret: { env: 'PEPPER' } }] },
      'none',
      'HS256 needs a secret of at least 32 bytes',
    ],
    [
      { issuers: [{ id: 'a', issuer: 'a', secret: { env: 'UNSET' } }] },
      'none',
      'the environment variable UNSET is not set',
    ],
    [
      { issuers: [{ id: 'a', issuer: 'a', jwks: { keys: [{ kty: 'oct', k: 'AAAA' }] } }] },
      'none',
      'a symmetric key',
    ],
    [{ publicOrigin: undefined }, 'none', 'resource metadata needs `iam.publicOrigin`'],
    [
      { publicOrigin: undefined, metadata: [] },
      { ...ORDERS, sender: 'dpop' },
      'DPoP needs `iam.publicOrigin`',
    ],
  ])('%j with %j', (more, auth, message) => {
    const bad = world(config(more))
    bad.route(auth)
    expect(bad.problems.join('\n')).toContain(message)
  })
})
