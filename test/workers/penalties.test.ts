/** What isolates tell each other: who is shut out. */
import { env } from 'cloudflare:test'
import { describe, expect, it } from 'vitest'
import type { MeridianConfigInput } from '../../src/config/schema.ts'
import type { EdgeEnv } from '../../src/runtimes/workers/bindings.ts'
import { MOST_PENALTIES, type ShutOut } from '../../src/runtimes/workers/penalty-ledger.ts'
import { until } from '../harness/wait.ts'
import { from, type Isolate, isolate, unique } from './isolate.fixture.ts'

const EDGE_TOKEN = 'secret-of-the-test'
const BEARER = { authorization: `Bearer ${EDGE_TOKEN}`, 'content-type': 'application/json' }
const BINDINGS = { NOTICES: env.NOTICES, EDGE_TOKEN } as EdgeEnv
const config: Partial<MeridianConfigInput> = {
  // Two refusals are enough, though a score decays from the moment it is given.
  penaltyBox: { threshold: 3, weights: { notFound: 2 }, exempt: ['203.0.113.0/24'] },
  routes: [
    { id: 'lost', match: { path: '/lost' }, respond: { status: 404, body: 'lost' } },
    { id: 'site', respond: { body: 'site' } },
  ],
}
let hosts = 1
/** A client that no other test knows. */
const stranger = () => `198.51.100.${hosts++}`

const status = async (one: Isolate, path: string, ip: string): Promise<number> => {
  const response = await one.ask(path, from(ip))
  await response.text()
  return response.status
}
const offend = async (one: Isolate, ip: string): Promise<void> => {
  for (let i = 0; i < 2; i++) expect(await status(one, '/lost', ip)).toBe(404)
}
const control = (one: Isolate, method: string, query: string, body?: object) =>
  one.ask(`/.meridian/penalties${query}`, {
    method,
    headers: BEARER,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })

describe('a penalty', () => {
  it('of one isolate is one of all, within a second or so, and can be lifted', async () => {
    const [first, second] = [isolate(config, BINDINGS), isolate(config, BINDINGS)] as const
    const [ip, other] = [stranger(), stranger()]
    for (const one of [first, second]) expect(await status(one, '/', ip)).toBe(200)
    await offend(first, ip)
    const startedAt = Date.now()
    expect(await status(first, '/', ip)).toBe(429)
    await until('the other isolate refuses', async () => (await status(second, '/', ip)) === 429)
    expect(Date.now() - startedAt).toBeLessThan(3000)
    // An isolate that starts now knows before its first answer.
    const third = isolate(config, BINDINGS)
    expect(await status(third, '/', ip)).toBe(429)
    for (const one of [first, second, third]) expect(await status(one, '/', other)).toBe(200)
    const list = (await (await control(third, 'GET', '')).json()) as { penalties: object[] }
    expect(list.penalties).toContainEqual({ key: ip, secondsLeft: expect.any(Number), terms: 1 })
    expect((await control(third, 'DELETE', `?address=${ip}`)).status).toBe(204)
    expect(await status(third, '/', ip)).toBe(200)
    for (const one of [first, second]) {
      await until('it is let out', async () => (await status(one, '/', ip)) === 200)
    }
    expect(await status(isolate(config, BINDINGS), '/', ip)).toBe(200)
    const metrics = await (await first.ask('/.meridian/metrics', { headers: BEARER })).text()
    expect(metrics).toContain('meridian_penalties_shared_total{direction="sent"} 1')
  })

  it('can be an operator’s, for whoever is not exempt', async () => {
    const [first, second] = [isolate(config, BINDINGS), isolate(config, BINDINGS)] as const
    const ip = stranger()
    expect((await control(first, 'POST', '', { address: 'x', seconds: 60 })).status).toBe(400)
    const exempt = await control(first, 'POST', '', { address: '203.0.113.1', seconds: 60 })
    expect(exempt.status).toBe(409)
    expect((await control(first, 'POST', '', { address: ip, seconds: 60 })).status).toBe(201)
    expect(await status(first, '/', ip)).toBe(429)
    expect(await status(second, '/', ip)).toBe(429)
    const alone = isolate(config, { EDGE_TOKEN })
    expect((await control(alone, 'GET', '')).status).toBe(409)
    expect(alone.logged.join()).toContain('a penalty box of its own')
  })

  it('stays the isolate’s own while the board fails, which is said once and delays nobody', async () => {
    const NOTICES = {
      idFromName: () => ({}),
      get: () => ({
        since: () => Promise.resolve({ notices: [], sequence: 0, hasMore: false }),
        shutOut: () => Promise.reject(new Error('no such object')),
      }),
    } as unknown as NonNullable<EdgeEnv['NOTICES']>
    const one = isolate(config, { ...BINDINGS, NOTICES })
    for (let i = 0; i < 3; i++) {
      const ip = stranger()
      await offend(one, ip)
      expect(await status(one, '/', ip)).toBe(429)
      await one.settle()
    }
    expect(one.logged.filter((line) => line.includes('no such object'))).toHaveLength(1)
    // A board that hangs is waited for by the first request alone, and not for long.
    const hangs = { idFromName: () => ({}), get: () => ({ since: () => new Promise(() => {}) }) }
    const two = isolate(config, { ...BINDINGS, NOTICES: hangs as never })
    const ip = stranger()
    await status(two, '/', ip)
    const startedAt = Date.now()
    await offend(two, ip)
    expect(await status(two, '/', ip)).toBe(429)
    expect(Date.now() - startedAt).toBeLessThan(1000)
  })
})

describe('the ledger', () => {
  const board = () => env.NOTICES.get(env.NOTICES.idFromName(unique('ledger')))

  it('has the longer of two penalties, and numbers only what is news', async () => {
    const one = board()
    await one.shutOut([{ key: '192.0.2.1', time: 60_000, terms: 1 }])
    await one.shutOut([{ key: '192.0.2.1', time: 30_000, terms: 1 }])
    const first = (await one.since(0, 0)).penalties!
    expect(first.sequence).toBe(1)
    expect(first.penalties[0]!.time).toBeGreaterThan(50_000)
    await one.shutOut([{ key: '192.0.2.1', time: 120_000, terms: 2 }])
    const second = (await one.since(0, first.sequence)).penalties!
    expect(second.penalties).toMatchObject([{ key: '192.0.2.1', terms: 2 }])
    expect((await one.since(0)).penalties).toBeUndefined()
    await one.letOut('192.0.2.1')
    expect((await one.since(0, second.sequence)).penalties!.penalties).toMatchObject([{ time: 0 }])
    expect(await one.penalties()).toEqual([])
  })

  it('ends with time, is bounded, and gives up those with the least time left', async () => {
    const one = board()
    const some = (from: number, count: number, time: number) =>
      Array.from({ length: count }, (_, i) => ({
        key: `10.${from}.${i >> 8}.${i & 255}`,
        time,
        terms: 1,
      }))
    await one.shutOut([{ key: '192.0.2.9', time: 1, terms: 1 }])
    await one.shutOut(some(1, 100, 60_000))
    await one.shutOut(some(2, MOST_PENALTIES - 50, 600_000))
    const left = await one.penalties()
    expect(left).toHaveLength(MOST_PENALTIES)
    expect(left.filter(({ key }: ShutOut) => key.startsWith('10.1.'))).toHaveLength(50)
    expect(left.some(({ key }: ShutOut) => key === '192.0.2.9')).toBe(false)
    const page = (await one.since(0, 0)).penalties!
    expect([page.penalties.length, page.hasMore]).toEqual([1000, true])
  })
})
