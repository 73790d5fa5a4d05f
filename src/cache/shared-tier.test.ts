/** A tier that other processes write to: what they have is used before the origin is asked. */
import { describe, expect, it } from 'vitest'
import type { CacheStore } from './store/cache-store.ts'
import { MemoryStore } from './store/memory-store.ts'
import { reply, World } from './world.fixture.ts'

const FIELDS = { 'Cache-Control': 'max-age=10', ETag: '"1"' }

/** As many caches as asked for on one clock and one tier, and what the origin was asked. */
function fleet(count: number) {
  const inner = new MemoryStore({ capacityBytes: 1e6, admission: 'lru' })
  const lower: CacheStore = {
    name: 'shared',
    isShared: true,
    lookup: async (key) => {
      const found = inner.lookup(key)
      // Written and read as bytes: another object.
      return found && { key, responses: found.responses.map((one) => one.with({})) }
    },
    put: async (response, most) => inner.put(response, most),
    remove: async (key) => inner.remove(key),
    clear: () => inner.clear(),
  }
  const worlds = Array.from({ length: count }, () => new World({ cache: { lower } }))
  const asked = () => worlds.reduce((sum, world) => sum + world.asked.length, 0)
  const advance = (ms: number) => {
    for (const world of worlds) world.clock.advance(ms)
  }
  for (const world of worlds) {
    world.origin = ({ headers }) =>
      headers.includes('If-None-Match') ? reply(304, FIELDS, null) : reply(200, FIELDS, 'body')
  }
  return { worlds, asked, advance }
}

describe('a shared tier', () => {
  it('makes one origin request for a fleet, and one validation when it is stale', async () => {
    const { worlds, asked, advance } = fleet(4)
    for (let round = 1; round <= 3; round++) {
      for (const world of worlds) {
        const { status, text } = await world.ask('/')
        expect([status, text]).toEqual([200, 'body'])
        // And now from its own memory.
        expect((await world.ask('/')).outcome).toBe('hit')
      }
      expect(asked()).toBe(round)
      advance(11_000)
    }
  })

  it('gives nobody what an unsafe request has changed, whoever knows of the change', async () => {
    const { worlds, asked } = fleet(3)
    const [one, two, three] = worlds as [World, World, World]
    for (const path of ['/a', '/b']) await one.ask(path)
    one.origin = () => reply(201, { Location: '/b' }, null)
    await one.ask('/a', { method: 'POST' })
    const before = asked()
    await two.ask('/a')
    await three.ask('/b')
    expect(asked() - before).toBe(2)
  })

  it('keeps what an unsafe request has tried to change and could not', async () => {
    const { worlds, asked } = fleet(2)
    const [one, two] = worlds as [World, World]
    await one.ask('/a')
    one.origin = () => reply(403, {}, null)
    await one.ask('/a', { method: 'POST' })
    const before = asked()
    expect((await two.ask('/a')).text).toBe('body')
    expect(asked()).toBe(before)
  })

  it('never puts an older response in the place of a newer one', async () => {
    const { worlds, advance } = fleet(2)
    const [one, two] = worlds as [World, World]
    await one.ask('/')
    await two.ask('/')
    advance(11_000)
    // The tier keeps what the second wrote; the first validates it for itself.
    one.origin = () => reply(200, { ...FIELDS, ETag: '"2"' }, 'newer')
    expect((await one.ask('/')).text).toBe('newer')
    two.clock.advance(1000)
    expect((await two.ask('/')).text).toBe('newer')
    expect((await one.ask('/')).text).toBe('newer')
    expect(two.asked).toHaveLength(0)
  })
})
