import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { decodeBase64Url, encodeBase64Url, isBase64Url } from './encoding.ts'
import { examineKey, examineKeys } from './key-set.ts'
import { hasRocaFingerprint } from './roca.ts'
import { NOW, rawToken, type Signer, signer, type World, world } from './world.fixture.ts'

const ISSUER = 'https://id.example.com'
let first: Signer
let second: Signer
let rsa: Signer

beforeAll(async () => {
  first = await signer('ES256', 'first')
  second = await signer('ES256', 'second')
  rsa = await signer('RS256', 'rsa')
})

let serial = 0
function token(by: Signer, kid = by.jwk.kid): Promise<string> {
  const claims = { iss: ISSUER, sub: 'alice', aud: 'api', exp: NOW + 80_000, jti: `${serial++}` }
  return rawToken({ alg: by.algorithm, typ: 'at+jwt', kid }, claims, by)
}

let w: World
let route: ReturnType<World['route']>
beforeEach(() => {
  w = world({ issuers: [{ id: 'main', issuer: ISSUER, jwks: { url: `${ISSUER}/jwks` } }] })
  w.source.answer = { body: { keys: [first.jwk] } }
  route = w.route({ audience: 'api' })
})

const ask = async (by: Signer, kid?: unknown) => w.ask(route, { token: await token(by, kid) })
const settled = () => new Promise((resolve) => setImmediate(resolve))

describe('life cycle of a remote key set', () => {
  it('A25: an outage of two hours is not ours, and costs few attempts', async () => {
    expect(await ask(first)).toBe('200 jwt alice')
    w.clock.advance(11 * 60_000)
    w.source.answer = { status: 500, body: 'x' }
    const results = new Set<string>()
    for (let second = 0; second < 7200; second += 5) {
      results.add(await ask(first))
      await settled()
      w.clock.advance(5000)
    }
    expect([...results]).toEqual(['200 jwt alice'])
    expect(w.source.fetches.length).toBeGreaterThan(100)
    expect(w.source.fetches.length).toBeLessThanOrEqual(130)
    // Back again: the next attempt is taken.
    w.source.answer = { body: { keys: [second.jwk] } }
    w.clock.advance(61_000)
    await ask(first)
    await settled()
    expect(await ask(second)).toBe('200 jwt alice')
  })

  it('gives up after `maxStale`: the answer is 503, never 401', async () => {
    await ask(first)
    w.source.answer = new Error('refused')
    w.clock.advance(600_000 + 86_400_000 - 1)
    expect(await ask(first)).not.toMatch('503')
    w.clock.advance(2000)
    expect(await ask(first)).toBe('503 keys_unavailable')
  })

  it('A27: unknown key ids cause one fetch; the outage is no reason to log anybody out', async () => {
    const known = await token(first)
    expect(await w.ask(route, { token: known })).toBe('200 jwt alice')
    w.clock.advance(60_000)
    w.source.answer = new Error('refused')
    const before = w.source.fetches.length
    const forged = await token(second, 'unknown')
    for (let i = 0; i < 1000; i++) {
      w.clock.advance(25)
      const text = `${forged.slice(0, -4)}${(1000 + i).toString(36).padStart(3, 'A')}A`
      expect(await w.ask(route, { token: text })).toBe('503 keys_unavailable')
    }
    expect(w.source.fetches.length - before).toBe(1)
    expect(await ask(first)).toBe('200 jwt alice')
  })

  it('an unknown key id with the issuer up: one fetch, then 401 within the cooldown', async () => {
    await ask(first)
    w.clock.advance(30_000)
    for (let i = 0; i < 20; i++) expect(await ask(second)).toBe('401 key_not_found')
    expect(w.source.fetches.length).toBe(2)
    w.source.answer = { body: { keys: [first.jwk, second.jwk] } }
    w.clock.advance(29_000)
    expect(await ask(second)).toBe('401 key_not_found')
    w.clock.advance(1000)
    const together = [ask(second), ask(second), ask(second)]
    expect(await Promise.all(together)).toEqual(Array(3).fill('200 jwt alice'))
    expect(w.source.fetches.length).toBe(3)
  })

  it('waits a second for an answer, not longer, and leaves no timer', async () => {
    await ask(first)
    w.clock.advance(30_000)
    w.source.answer = 'hang'
    const asked = ask(second)
    while (w.clock.timers < 2) await settled()
    w.clock.advance(1000)
    expect(await asked).toBe('503 keys_unavailable')
    expect(await ask(first)).toBe('200 jwt alice')
    w.clock.advance(4000)
    await settled()
    expect(w.clock.timers).toBe(0)
  })

  it('A29: a key that is rotated out takes its known tokens along', async () => {
    const old = await token(first)
    expect(await w.ask(route, { token: old })).toBe('200 jwt alice')
    expect(await w.ask(route, { token: old })).toBe('200 jwt alice')
    w.source.answer = { body: { keys: [second.jwk] } }
    w.clock.advance(30_000)
    expect(await ask(second)).toBe('200 jwt alice')
    expect(await w.ask(route, { token: old })).toBe('401 key_not_found')
  })

  it('A29: a refresh with the same key keeps them', async () => {
    const old = await token(first)
    await w.ask(route, { token: old })
    w.source.answer = { body: { keys: [first.jwk, second.jwk] } }
    w.clock.advance(30_000)
    await ask(second)
    const hits = w.identity.tokens.hits
    expect(await w.ask(route, { token: old })).toBe('200 jwt alice')
    expect(w.identity.tokens.hits).toBe(hits + 1)
  })

  it.each<[string, unknown]>([
    ['empty', { keys: [] }],
    ['not a set', { jwks: [] }],
    ['not JSON', '<html>'],
    ['only bad keys', { keys: [{ kty: 'oct', k: 'AAAA' }] }],
    ['too many keys', { keys: new Array(65).fill({ kty: 'RSA' }) }],
    ['too large', { keys: [], pad: 'x'.repeat(262_144) }],
  ])('refuses a set that is %s, and keeps the old one', async (_name, body) => {
    await ask(first)
    w.source.answer = { body }
    w.clock.advance(11 * 60_000)
    expect(await ask(first)).toBe('200 jwt alice')
    await settled()
    expect(await ask(first)).toBe('200 jwt alice')
    expect(w.source.fetches.length).toBe(2)
  })

  it('cold start without the issuer: 503 with Retry-After, then it heals', async () => {
    w.source.answer = { status: 302, headers: { location: 'https://evil.example' }, body: '' }
    expect(await ask(first)).toBe('503 keys_unavailable')
    expect(await ask(first)).toBe('503 keys_unavailable')
    expect(w.source.fetches.length).toBe(1)
    w.source.answer = { body: { keys: [first.jwk] } }
    w.clock.advance(1000)
    expect(await ask(first)).toBe('200 jwt alice')
  })

  it('takes max-age within a minute and a day', async () => {
    w.source.answer = { body: { keys: [first.jwk] }, headers: { 'cache-control': 'max-age=1' } }
    await ask(first)
    w.clock.advance(40_000)
    await ask(first)
    expect(w.source.fetches.length).toBe(1)
    w.clock.advance(10_000)
    await ask(first)
    expect(w.source.fetches.length).toBe(2)
  })
})

describe('examination of keys', () => {
  it.each<[string, (jwk: Record<string, unknown>) => Record<string, unknown>, string]>([
    ['private', (jwk) => ({ ...jwk, d: 'AAAA' }), 'private'],
    ['encryption', (jwk) => ({ ...jwk, use: 'enc' }), 'not for signatures'],
    ['operations', (jwk) => ({ ...jwk, key_ops: ['sign'] }), 'not for verifying'],
    ['exponent 1', (jwk) => ({ ...jwk, e: 'AQ' }), 'exponent'],
    ['exponent 3', (jwk) => ({ ...jwk, e: 'Aw' }), 'exponent'],
    ['even exponent', (jwk) => ({ ...jwk, e: 'AQAC' }), 'exponent'],
    ['alg of another kind', (jwk) => ({ ...jwk, alg: 'ES256' }), 'alg'],
    ['alg for encryption', (jwk) => ({ ...jwk, alg: 'RSA-OAEP' }), 'alg'],
    ['short', (jwk) => ({ ...jwk, n: (jwk.n as string).slice(0, 172) }), 'modulus of 1032 bits'],
    ['stray bits', (jwk) => ({ ...jwk, n: `${jwk.n}=` }), 'base64url'],
    ['kid', (jwk) => ({ ...jwk, kid: 7 }), 'bad kid'],
    ['type', (jwk) => ({ ...jwk, kty: 'AKP' }), 'unknown key type'],
  ])('%s', (_name, change, problem) => {
    expect(examineKey(change(rsa.jwk))).toContain(problem)
    expect(typeof examineKey(rsa.jwk)).toBe('object')
  })

  it('two keys with one id: neither counts; the same key twice is one', () => {
    const twin = { ...second.jwk, kid: 'first' }
    const { set, problems } = examineKeys([first.jwk, twin, rsa.jwk, rsa.jwk])
    expect(set.keys.map((key) => key.keyId)).toEqual(['rsa'])
    expect(problems).toHaveLength(1)
  })

  it('a point that is not on its curve', async () => {
    const bytes = decodeBase64Url(first.jwk.y as string) as Uint8Array
    bytes[31] = (bytes[31] as number) ^ 1
    const key = examineKey({ ...first.jwk, y: encodeBase64Url(bytes) })
    expect(typeof key === 'string' ? key : await key.import('ES256')).toBeUndefined()
  })

  it('ROCA: powers of 65537 modulo the product of the small primes', () => {
    let product = 1n
    for (let n = 3n; n <= 167n; n += 2n) {
      let isPrime = true
      for (let d = 3n; d * d <= n; d += 2n) if (n % d === 0n) isPrime = false
      if (isPrime) product *= n
    }
    const weak = (65_537n ** 9n % product) + product * 3n
    const bytes = (value: bigint) => {
      const hex = value.toString(16)
      const even = hex.length % 2 === 0 ? hex : `0${hex}`
      return Uint8Array.from(even.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
    }
    expect(hasRocaFingerprint(bytes(weak))).toBe(true)
    expect(hasRocaFingerprint(bytes(weak + 2n))).toBe(false)
    expect(hasRocaFingerprint(decodeBase64Url(rsa.jwk.n as string) as Uint8Array)).toBe(false)
  })
})

it('base64url has one spelling for each value', () => {
  for (let length = 0; length < 20; length++) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 89 + length * 31) & 255)
    const text = encodeBase64Url(bytes)
    expect(text).toBe(Buffer.from(bytes).toString('base64url'))
    expect(decodeBase64Url(text)).toEqual(bytes)
  }
  for (const text of ['A', 'AB', 'AAB', 'AA==', 'A A', 'AAé', 'AA+A', 'AA/A', 'AAAAA']) {
    expect(isBase64Url(text, 0, text.length)).toBe(false)
  }
})
