/** Identity through the whole gateway: what is stored, and what reaches an origin. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { rawToken, type Signer, signer } from '../../src/iam/world.fixture.ts'
import type { KeySource } from '../../src/ports.ts'
import { type Simulated, type SimulatedConfig, simulated } from '../harness/simulated.ts'

const ISSUER = 'https://id.example.com'
/** The simulated clock's wall time at the start, seconds. */
const NOW = 1_700_000_001

let key: Signer
beforeAll(async () => {
  key = await signer('ES256', 'k1')
})

const serving = (keys: readonly unknown[]): KeySource => ({
  fetch: async () => ({
    status: 200,
    headers: {},
    body: new TextEncoder().encode(JSON.stringify({ keys })),
  }),
})

function config(algorithms?: readonly string[]): SimulatedConfig {
  return {
    iam: {
      publicOrigin: 'https://example.com',
      issuers: [
        {
          id: 'main',
          issuer: ISSUER,
          jwks: { url: `${ISSUER}/jwks` },
          ...(algorithms !== undefined && { algorithms: algorithms as never }),
        },
      ],
      metadata: [{ path: '/', scopes: ['read'] }],
    },
    routes: [
      {
        id: 'site',
        pools: ['app'],
        cache: {},
        auth: { audience: 'api' },
      },
    ],
  }
}

const token = (claims: object = {}) =>
  rawToken(
    { alg: 'ES256', kid: 'k1', typ: 'at+jwt' },
    {
      iss: ISSUER,
      sub: 'alice',
      aud: 'api',
      exp: NOW + 600,
      iat: NOW,
      client_id: 'a',
      jti: '1',
      ...claims,
    },
    key,
  )

const bearer = (text: string) => ({ headers: ['authorization', `Bearer ${text}`] })

/** Waits also for what the platform's own cryptography does. */
async function ask(
  g: Simulated,
  target: string,
  question: object,
): Promise<{ status: number; text: string }> {
  const { reply } = g.begin(target, question)
  const { status, body } = await reply
  return { status, text: body instanceof Uint8Array ? new TextDecoder().decode(body) : '' }
}

it('A45: what is in the cache is for nobody without a token', async () => {
  const g = await simulated(
    config(),
    () => ({ headers: ['cache-control', 'public, max-age=60'], body: 'secret' }),
    serving([key.jwk]),
  )
  const good = bearer(await token())
  for (let i = 0; i < 3; i++) {
    expect(await ask(g, '/a', good)).toEqual({ status: 200, text: 'secret' })
  }
  expect(g.asked).toEqual(['/a'])
  const others = [
    {},
    bearer('x.y.z'),
    bearer(await token({ exp: NOW - 600 })),
    bearer(await token({ aud: 'another' })),
    { headers: ['authorization', 'Basic YTpi'] },
    { method: 'HEAD' },
    { headers: ['if-none-match', '*'] },
    { headers: ['cache-control', 'only-if-cached'] },
    { headers: ['range', 'bytes=0-1'] },
  ]
  for (const other of others) {
    const { status, text } = await ask(g, '/a', other)
    expect(status).toBe(401)
    expect(text).not.toContain('secret')
  }
  expect(g.asked).toEqual(['/a'])
})

describe('resource metadata', () => {
  it('is for everybody, on the public host alone', async () => {
    const g = await simulated(config(), undefined, serving([]))
    const path = '/.well-known/oauth-protected-resource'
    const published = await g.ask(path)
    expect(published.status).toBe(200)
    expect(published.headers.get('content-type')).toBe('application/json')
    expect(JSON.parse(published.text)).toMatchObject({
      resource: 'https://example.com',
      authorization_servers: [ISSUER],
      scopes_supported: ['read'],
    })
    const challenge = (await g.ask('/')).headers.all('www-authenticate').join()
    expect(challenge).toContain(`resource_metadata="https://example.com${path}"`)
    expect((await g.ask(path, { host: 'other.example' })).status).toBe(401)
    expect((await g.ask(`${path}/x`)).status).toBe(401)
    expect((await g.ask(path, { method: 'POST' })).status).toBe(401)
    expect(g.asked).toEqual([])
  })
})

const dir = process.env.WYCHEPROOF_DIR
if (dir === undefined) console.log('WYCHEPROOF_DIR is not set: its tokens are not sent')

interface Group {
  readonly public?: { readonly keys?: readonly unknown[] }
  readonly tests: readonly { readonly jws: unknown; readonly result: string }[]
}

describe.runIf(dir !== undefined)('Wycheproof', () => {
  // Their payloads are no access tokens: whether signed well or not, none may pass.
  it('none of its tokens reaches an origin', async () => {
    const file = join(dir as string, 'json_web_signature_test.json')
    const { testGroups } = JSON.parse(readFileSync(file, 'utf8')) as { testGroups: Group[] }
    let sent = 0
    for (const group of testGroups) {
      if (group.public === undefined) continue
      const keys = group.public.keys ?? [group.public]
      const g = await simulated(config(), undefined, serving(keys))
      for (const { jws } of group.tests) {
        const text = typeof jws === 'string' ? jws : JSON.stringify(jws)
        if (!/^[\x21-\x7e]+$/.test(text)) continue
        const { status } = await ask(g, '/', bearer(text))
        expect([400, 401, 429, 503]).toContain(status)
        sent++
      }
      expect(g.asked).toEqual([])
    }
    expect(sent).toBeGreaterThan(100)
  })
})
