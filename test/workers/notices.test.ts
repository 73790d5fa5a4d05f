/** What isolates tell each other: purges and revocations. */
import { env } from 'cloudflare:test'
import { SignJWT } from 'jose'
import { beforeEach, describe, expect, it } from 'vitest'
import type { MeridianConfigInput } from '../../src/config/schema.ts'
import type { EdgeEnv } from '../../src/runtimes/workers/bindings.ts'
import type { Notice } from '../../src/runtimes/workers/notice-board.ts'
import { until } from '../harness/wait.ts'
import { origins } from '../suite/harness.ts'
import { type Isolate, isolate, unique } from './isolate.fixture.ts'

const EDGE_TOKEN = 'secret-of-the-test'
const SECRET = 'a secret of at least thirty-two bytes'
const BEARER = { authorization: `Bearer ${EDGE_TOKEN}`, 'content-type': 'application/json' }
const BINDINGS = { NOTICES: env.NOTICES, EDGE_TOKEN, JWT_SECRET: SECRET } as EdgeEnv

const order = (one: Isolate, path: string, body: object): Promise<Response> =>
  one.ask(`/.meridian/${path}`, { method: 'POST', headers: BEARER, body: JSON.stringify(body) })

beforeEach(() => origins.reset())

describe('a purge', () => {
  const routes = [{ id: 'site', cache: {} }]
  const outcome = async (one: Isolate, path: string): Promise<string> => {
    const response = await one.ask(path)
    await response.text()
    await one.settle()
    return /\b(hit|fwd=[a-z-]+)/.exec(response.headers.get('cache-status') ?? '')?.[1] ?? 'none'
  }

  it('is done where it is ordered, and heard of elsewhere within seconds', async () => {
    const path = `/cached/${unique('page')}`
    const [first, second] = [isolate({ routes }, BINDINGS), isolate({ routes }, BINDINGS)] as const
    await outcome(first, path)
    expect(await outcome(first, path)).toBe('hit')
    expect(await outcome(second, path)).toBe('hit')
    const urls = [`http://gateway.test${path}`]
    const dry = await order(first, 'cache/purge', { urls, dryRun: true })
    expect(await dry.json()).toEqual({ dryRun: true, matched: 1 })
    expect((await order(first, 'cache/purge', { urls })).status).toBe(200)
    await until('the other isolate asks anew', async () => {
      await outcome(second, path)
      return (await origins.hits(path)) === 2
    })
    expect(await outcome(second, path)).toBe('hit')
    expect(await outcome(first, `/cached/${unique('other')}`)).toMatch(/^fwd=/)
  })

  it('is not forgotten: what the Cache API still has is not believed by an isolate that starts now', async () => {
    const path = `/cached/${unique('page')}`
    const first = isolate({ routes }, BINDINGS)
    await outcome(first, path)
    expect(await outcome(isolate({ routes }, BINDINGS), path)).toBe('hit')
    await order(first, 'cache/purge', { urls: [`http://gateway.test${path}`] })
    expect(await outcome(isolate({ routes }, BINDINGS), path)).toMatch(/^fwd=/)
  })

  it('may be there when the board cannot be read: then nothing older than the isolate is believed', async () => {
    const path = `/cached/${unique('page')}`
    await outcome(isolate({ routes }, BINDINGS), path)
    await order(isolate({ routes }, BINDINGS), 'cache/purge', {
      urls: [`http://gateway.test${path}`],
    })
    const NOTICES = {
      idFromName: (name: string) => env.NOTICES.idFromName(name),
      get: () => ({ since: () => Promise.reject(new Error('no such object')) }),
    } as unknown as NonNullable<EdgeEnv['NOTICES']>
    const deaf = isolate({ routes }, { ...BINDINGS, NOTICES })
    expect(await outcome(deaf, path)).toMatch(/^fwd=/)
    expect(await outcome(deaf, path)).toBe('hit')
    expect(deaf.logged.join()).toContain('nothing older than this isolate')
  })

  it('is refused when other isolates would not hear of it', async () => {
    const one = isolate({ routes }, { EDGE_TOKEN })
    const refused = await order(one, 'cache/purge', { everything: true })
    expect(refused.status).toBe(409)
    expect(await refused.text()).toContain('NOTICES')
    expect(one.logged.join()).toContain('nothing can be purged or revoked')
    const wrong = await order(isolate({ routes }, BINDINGS), 'cache/purge', { url: 'x' })
    expect(wrong.status).toBe(400)
  })
})

describe('the board', () => {
  it('hands out pages, and keeps the oldest names as one purge of everything older', async () => {
    const board = env.NOTICES.get(env.NOTICES.idFromName(unique('board')))
    const names = Array.from({ length: 8192 }, (_, i) => `tag:${i}`)
    const first = await board.purge(names, false)
    await board.purge(['tag:last'], true)
    const seen: string[] = []
    let page = await board.since(0)
    for (;;) {
      expect(page.notices.length).toBeLessThanOrEqual(500)
      for (const notice of page.notices) if (notice.kind === 'purge') seen.push(notice.name)
      if (!page.hasMore) break
      page = await board.since(page.sequence)
    }
    expect(seen).toHaveLength(8193 - 2048 + 1)
    expect(seen).not.toContain('tag:2047')
    expect(seen).toContain('tag:2048')
    expect(seen).toContain('tag:last')
    const all = page.notices.find(
      (notice: Notice) => notice.kind === 'purge' && notice.name === 'all',
    )
    expect(all).toMatchObject({ soft: false, at: first })
    expect((await board.since(page.sequence)).notices).toEqual([])
  })
})

describe('a revocation', () => {
  const config: Partial<MeridianConfigInput> = {
    iam: {
      issuers: [{ id: 'own', issuer: 'https://id.test', secret: { env: 'JWT_SECRET' } }],
    },
    routes: [
      { id: 'account', match: { path: '/account' }, auth: { audience: 'shop' } },
      { id: 'site', auth: 'none' },
    ],
  }
  const token = (sub: string): Promise<string> =>
    new SignJWT({ client_id: 'web', jti: unique('token') })
      .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt' })
      .setIssuer('https://id.test')
      .setAudience('shop')
      .setSubject(sub)
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(new TextEncoder().encode(SECRET))
  const statusFor = async (one: Isolate, jwt: string): Promise<number> => {
    const response = await one.ask('/account', { headers: { authorization: `Bearer ${jwt}` } })
    await response.text()
    await one.settle()
    return response.status
  }

  it('shuts a subject out of every isolate, and can be taken back', async () => {
    const sub = unique('mallory')
    const [jwt, other] = [await token(sub), await token(unique('alice'))]
    const [first, second] = [isolate(config, BINDINGS), isolate(config, BINDINGS)] as const
    for (const one of [first, second]) expect(await statusFor(one, jwt)).toBe(200)
    const expiresAt = Math.ceil(Date.now() / 1000) + 600
    expect((await order(first, 'revocations', { kind: 'sub', value: sub, expiresAt })).status).toBe(
      201,
    )
    expect(await statusFor(first, jwt)).toBe(401)
    await until('the other isolate refuses', async () => (await statusFor(second, jwt)) === 401)
    const third = isolate(config, BINDINGS)
    expect(await statusFor(third, jwt)).toBe(401)
    for (const one of [first, second, third]) expect(await statusFor(one, other)).toBe(200)
    const list = await third.ask('/.meridian/revocations', { headers: BEARER })
    expect(await list.json()).toMatchObject({
      revocations: expect.arrayContaining([{ kind: 'sub', value: sub, expiresAt }]),
    })
    const back = await third.ask(`/.meridian/revocations?kind=sub&value=${sub}`, {
      method: 'DELETE',
      headers: BEARER,
    })
    expect(back.status).toBe(204)
    expect(await statusFor(third, jwt)).toBe(200)
    await until('the others accept again', async () => (await statusFor(first, jwt)) === 200)
    expect(await statusFor(isolate(config, BINDINGS), jwt)).toBe(200)
  })

  it('that nobody can read refuses tokens, and them alone, until it can be read', async () => {
    let isBroken = true
    const NOTICES = {
      idFromName: (name: string) => env.NOTICES.idFromName(name),
      get: (id: object) =>
        isBroken
          ? { since: () => Promise.reject(new Error('no such object')) }
          : env.NOTICES.get(id),
    } as unknown as NonNullable<EdgeEnv['NOTICES']>
    const one = isolate(config, { ...BINDINGS, NOTICES })
    const jwt = await token(unique('alice'))
    expect(await statusFor(one, jwt)).toBe(503)
    expect((await one.ask('/page')).status).toBe(200)
    expect(one.logged.filter((line) => line.includes('no such object'))).toHaveLength(1)
    isBroken = false
    await until('tokens are accepted', async () => (await statusFor(one, jwt)) === 200)
    isBroken = true
    expect(await statusFor(one, jwt)).toBe(200)
  })
})
