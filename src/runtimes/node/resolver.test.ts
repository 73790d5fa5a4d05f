import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { OriginAddress } from '../../ports.ts'
import { seededRandom, VirtualClock } from '../../upstream/scripted.fixture.ts'
import { type NameService, type ResolvedAddress, Resolver } from './resolver.ts'
import { UndiciUpstream } from './undici-upstream.ts'

const v4 = (address: string): ResolvedAddress => ({ address, family: 4 })
const v6 = (address: string): ResolvedAddress => ({ address, family: 6 })

function world(addresses: ResolvedAddress[], ttl: number[] = [10]) {
  const clock = new VirtualClock()
  const state = { addresses, ttl, fails: false, asked: 0 }
  const names: NameService = {
    lookup: async () => {
      state.asked++
      if (state.fails) throw Object.assign(new Error('EAI_AGAIN'), { code: 'EAI_AGAIN' })
      return state.addresses
    },
    lifetimes: async () => state.ttl,
  }
  const changes: string[] = []
  const resolver = new Resolver(clock, seededRandom(), names, {
    changed: (name, all) => changes.push(`${name} ${all.join(' ')}`),
  })
  const all = () =>
    new Promise<string[]>((resolve, reject) => {
      resolver.lookup('app.test', { all: true }, (error, found) =>
        error ? reject(error) : resolve((found as ResolvedAddress[]).map((each) => each.address)),
      )
    })
  return { clock, state, resolver, changes, all }
}

describe('the resolver', () => {
  it.each([
    ['as DNS says', [10], 9000, 10_000],
    ['the shortest of several', [300, 5], 4500, 5000],
    ['half a minute at most', [86_400], 27_000, 30_000],
    ['half a minute for what is not in DNS', [], 27_000, 30_000],
    ['a second at least', [0], 900, 1000],
  ])('believes an answer %s', async (_what, ttl, least, most) => {
    const { clock, state, all } = world([v4('10.0.0.1')], ttl)
    await all()
    await clock.pass(least - 1)
    expect(state.asked).toBe(1)
    await clock.pass(most - least + 2)
    expect(state.asked).toBe(2)
  })

  it('notices a change within the time to live, and tells', async () => {
    const { clock, state, all, resolver, changes } = world([v4('10.0.0.1')])
    expect(await all()).toEqual(['10.0.0.1'])
    const before = resolver.version('app.test')
    await clock.pass(11_000)
    expect(resolver.version('app.test')).toBe(before)
    state.addresses = [v4('10.0.0.2')]
    await clock.pass(11_000)
    expect(await all()).toEqual(['10.0.0.2'])
    expect(resolver.version('app.test')).not.toBe(before)
    expect(changes).toEqual(['app.test 10.0.0.2'])
  })

  it('keeps the last good answer while it gets none, and asks on', async () => {
    const { clock, state, all, changes } = world([v4('10.0.0.1')])
    await all()
    state.fails = true
    await clock.pass(60_000)
    expect(await all()).toEqual(['10.0.0.1'])
    expect(state.asked).toBeGreaterThan(20)
    state.fails = false
    state.addresses = []
    await clock.pass(5000)
    expect(await all()).toEqual(['10.0.0.1'])
    state.addresses = [v4('10.0.0.3')]
    await clock.pass(5000)
    expect(changes).toEqual(['app.test 10.0.0.3'])
  })

  it('says why when there never was an answer, and asks again for the next one', async () => {
    const { state, all } = world([v4('10.0.0.1')])
    state.fails = true
    await expect(all()).rejects.toMatchObject({ code: 'EAI_AGAIN' })
    state.fails = false
    expect(await all()).toEqual(['10.0.0.1'])
  })

  it('gives every address a turn, families alternating, without calling an order a change', async () => {
    const addresses = [v4('10.0.0.1'), v4('10.0.0.2'), v6('fd00::1')]
    const { clock, state, all, changes } = world(addresses)
    const seen = [await all(), await all(), await all()]
    expect(new Set(seen.map(([first]) => first)).size).toBe(3)
    expect(seen[0]).toEqual(['10.0.0.1', 'fd00::1', '10.0.0.2'])
    state.addresses = [...addresses].reverse()
    await clock.pass(11_000)
    expect(changes).toEqual([])
  })

  it('asks for a watched name within its limits, found or not, until nobody watches', async () => {
    const { clock, state, resolver } = world([v4('10.0.0.1')], [3600])
    const heard: unknown[] = []
    state.fails = true
    const narrow = resolver.watch('app.test', { leastMs: 100, mostMs: 5000 }, () =>
      heard.push(resolver.addresses('app.test')),
    )
    const wide = resolver.watch('app.test', { leastMs: 1000, mostMs: 60_000 }, () => {})
    await clock.pass(10_000)
    expect([heard, state.asked]).toEqual([[], 6])
    state.fails = false
    await clock.pass(2000)
    expect(heard).toEqual([[v4('10.0.0.1')]])
    const asked = state.asked
    await clock.pass(20_000)
    expect(state.asked - asked).toBeGreaterThanOrEqual(4)
    resolver.retain(new Set())
    expect(resolver.addresses('app.test')).toEqual([v4('10.0.0.1')])
    narrow()
    wide()
    resolver.retain(new Set())
    expect(resolver.addresses('app.test')).toBeUndefined()
  })

  it('leaves addresses alone, and forgets names that nobody needs', async () => {
    const { clock, state, all, resolver } = world([v4('10.0.0.1')])
    expect(resolver.version('127.0.0.1')).toBe(0)
    expect(resolver.version('::1')).toBe(0)
    await all()
    resolver.retain(new Set())
    await clock.pass(60_000)
    expect(state.asked).toBe(1)
  })
})

describe('connections to a name', () => {
  const servers: http.Server[] = []
  let port = 0
  beforeAll(async () => {
    // Two addresses of this machine on one port: what a name moves between.
    for (const address of ['127.0.0.1', '127.0.0.2']) {
      const server = http.createServer((_, response) => response.end(address))
      await new Promise<void>((resolve) => server.listen(port, address, resolve))
      port = (server.address() as AddressInfo).port
      servers.push(server)
    }
  })
  afterAll(() => {
    for (const server of servers) {
      server.closeAllConnections()
      server.close()
    }
  })

  it('follow it to its new address, though the old one still answers', async () => {
    const { clock, state, resolver } = world([v4('127.0.0.1')])
    const upstream = new UndiciUpstream({ resolver })
    const origin: OriginAddress = {
      id: 'app',
      scheme: 'http',
      hostname: 'app.test',
      port,
      maxConnections: 4,
      http2: false,
    }
    const ask = async () => {
      const { body } = await upstream.send(origin, {
        method: 'GET',
        path: '/',
        headers: ['host', 'app.test'],
        body: null,
        connectTimeoutMs: 2000,
        firstByteTimeoutMs: 2000,
        idleTimeoutMs: 2000,
        collectBytes: 1000,
      }).reply
      return Buffer.from(body as Uint8Array).toString()
    }
    try {
      expect([await ask(), await ask()]).toEqual(['127.0.0.1', '127.0.0.1'])
      state.addresses = [v4('127.0.0.2')]
      expect(await ask()).toBe('127.0.0.1')
      await clock.pass(11_000)
      expect([await ask(), await ask()]).toEqual(['127.0.0.2', '127.0.0.2'])
    } finally {
      await upstream.close()
    }
  })
})
