/** The control port called with JSON Web Tokens of the config's issuers. */
import { createHash } from 'node:crypto'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { beforeAll, describe, expect, it } from 'vitest'
import type { AuditEntry } from '../../src/admin/audit.ts'
import { parseConfig } from '../../src/config/load.ts'
import { ask, valuesOf } from '../harness/client.ts'
import { program } from '../harness/process.ts'
import { type TestConfig, withDefaults, world } from '../harness/world.ts'

const ISSUER = 'https://issuer.example'
const AUDIENCE = 'meridian-control'
const TOKEN = 'a-token-of-some-length'

let keys: { publicKey: CryptoKey; privateKey: CryptoKey }
let jwk: object

beforeAll(async () => {
  keys = await generateKeyPair('ES256')
  jwk = { ...(await exportJWK(keys.publicKey)), kid: 'k', alg: 'ES256', use: 'sig' }
})

const good: JWTPayload = {
  iss: ISSUER,
  aud: AUDIENCE,
  sub: 'alice',
  jti: 't1',
  scope: 'openid meridian.admin',
  amr: ['pwd', 'mfa'],
}

async function tokenOf(claims: JWTPayload, ends = '1h', key = keys.privateKey) {
  return new SignJWT({ ...good, ...claims })
    .setProtectedHeader({ alg: 'ES256', kid: 'k', typ: 'at+jwt' })
    .setIssuedAt()
    .setExpirationTime(ends)
    .sign(key)
}

function configOf(jwt: object = {}): TestConfig {
  return {
    admin: { jwt: { audience: AUDIENCE, ...jwt } },
    iam: {
      default: 'none',
      issuers: [
        { id: 'staff', issuer: ISSUER, jwks: { keys: [jwk as never] } },
        { id: 'other', issuer: 'https://other.example', jwks: { keys: [jwk as never] } },
      ],
    },
    penaltyBox: {},
    routes: [{ id: 'r', respond: { body: 'x' } }],
  }
}

function caller(control: string) {
  return async (token: string | undefined, method = 'GET', path = '/status', body?: object) =>
    ask(`${control}${path}`, {
      method,
      headers: {
        'content-type': 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
}

const ban = ['POST', '/penalties', { address: '203.0.113.7' }] as const

describe('a token with the scope and a second factor', () => {
  it('lets its bearer in, and nobody else', async () => {
    const w = world()
    const g = await w.gateway(configOf({ issuers: ['staff'] }))
    const call = caller(g.running.control as string)
    const stranger = await generateKeyPair('ES256')
    const MFA = 'insufficient_user_authentication'
    const cases: readonly (readonly [string, string | undefined, number, string | undefined])[] = [
      ['no token', undefined, 401, undefined],
      ['good', await tokenOf({}), 200, undefined],
      ['without the second factor', await tokenOf({ amr: ['pwd'] }), 401, MFA],
      ['that does not say how', await tokenOf({ amr: undefined }), 401, MFA],
      ['without a scope', await tokenOf({ scope: 'openid' }), 403, 'insufficient_scope'],
      ['for somebody else', await tokenOf({ aud: 'site' }), 401, 'invalid_token'],
      [
        'of an issuer that is not listed',
        await tokenOf({ iss: 'https://other.example' }),
        401,
        'invalid_token',
      ],
      ['of a stranger', await tokenOf({}, '1h', stranger.privateKey), 401, 'invalid_token'],
      ['that has run out', await tokenOf({}, '-1h'), 401, 'invalid_token'],
      [
        'that is bound to a key',
        await tokenOf({ cnf: { jkt: 'x'.repeat(43) } }),
        401,
        'invalid_token',
      ],
      ['that is none', 'a.b.c', 401, 'invalid_token'],
    ]
    for (const [name, token, status, error] of cases) {
      const answer = await call(token, ...ban)
      const challenge = valuesOf(answer.fields, 'www-authenticate')[0] ?? ''
      expect([name, answer.status]).toEqual([name, status])
      expect([name, /error="(\w+)"/.exec(challenge)?.[1]]).toEqual([name, error])
    }
    const { penalties } = (await call(await tokenOf({}), 'GET', '/penalties')).json<{
      penalties: object[]
    }>()
    expect(penalties).toHaveLength(1)
    const { entries } = (await call(await tokenOf({}), 'GET', '/audit')).json<{
      entries: AuditEntry[]
    }>()
    expect(entries.map(({ outcome }) => outcome)).toEqual(
      cases.map(([, , status]) => (status === 200 ? 'done' : 'refused')),
    )
    expect(entries[1]).toMatchObject({ principal: 'jwt:alice', action: 'penalty.ban' })
    expect(JSON.stringify(entries)).not.toContain('eyJ')
  })

  it('and the reading scope may look and change nothing; a revoked one is out at once', async () => {
    const w = world()
    const g = await w.gateway({ ...configOf({ amr: [], maxAge: '10m' }) })
    const call = caller(g.running.control as string)
    const now = Math.floor(Date.now() / 1000)
    const reader = await tokenOf({ scope: 'meridian.read', amr: undefined, auth_time: now })
    expect((await call(reader)).status).toBe(200)
    expect((await call(reader, ...ban)).status).toBe(403)
    const late = await tokenOf({ auth_time: now - 3600 })
    expect([(await call(late)).status, (await call(await tokenOf({}))).status]).toEqual([401, 401])
    const admin = await tokenOf({ sub: 'root', auth_time: now })
    const revoked = await call(admin, 'POST', '/revocations', { token: reader })
    expect(revoked.status).toBe(200)
    expect((await call(reader)).status).toBe(401)
    // Tokens that have run out or are revoked are no guesses: nobody is locked out by a page left open.
    for (let i = 0; i < 12; i++) expect((await call(reader)).status).toBe(401)
    expect((await call(admin)).status).toBe(200)
    for (let i = 0; i < 12; i++) await call('a.b.c')
    expect((await call(admin)).status).toBe(429)
  })

  it.each([
    [{ jwt: { audience: 'x' } }, 'admin.jwt: tokens need an issuer'],
    [{ jwt: {} }, 'admin.jwt'],
    [{ jwt: { audience: 'x', scope: 'y' } }, 'admin.jwt.scope'],
  ])('a config of %j is told what is missing', (admin, problem) => {
    const text = JSON.stringify({ admin, routes: [{ respond: { body: 'x' } }] })
    expect(() => parseConfig(text)).toThrow(problem)
  })

  it('an issuer that is not there is told', () => {
    const text = JSON.stringify({ ...configOf({ issuers: ['staf'] }) })
    expect(() => parseConfig(text)).toThrow(
      /admin\.jwt\.issuers\[0\].*no issuer "staf"[\s\S]*staff/,
    )
  })
})

describe('in worker processes', { timeout: 60_000 }, () => {
  it('the primary asks a worker, and the plain token goes on working', async () => {
    const w = world()
    const { admin, ...rest } = configOf()
    const config = { ...rest, workers: 2, admin: { ...admin, token: { env: 'ADMIN' } } }
    const file = w.put('meridian.json', JSON.stringify(withDefaults(config, w.folder)))
    const run = program('cli/main.js', ['start', '--config', file], { ADMIN: TOKEN })
    const call = caller(await run.says(/control port on (http:\/\/\S+)/))
    const alice = await tokenOf({})
    expect((await call(alice, ...ban)).json()).toMatchObject({ workers: 2, of: 2 })
    expect((await call(TOKEN)).status).toBe(200)
    expect((await call(await tokenOf({ amr: [] }))).status).toBe(401)
    const value = createHash('sha256').update(alice).digest('hex')
    const order = { kind: 'token', value }
    expect((await call(TOKEN, 'POST', '/revocations', order)).json()).toMatchObject({ workers: 2 })
    for (let i = 0; i < 4; i++) expect((await call(alice)).status).toBe(401)
    run.kill('SIGTERM')
    expect(await run.exited()).toBe(0)
  })
})
