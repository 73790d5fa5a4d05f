import { describe, expect, it } from 'vitest'
import type { PurgeRequest } from '../response-cache.ts'
import { reply, World } from '../world.fixture.ts'
import { PurgeEpochs } from './epochs.ts'

const FIELDS = {
  'Cache-Control': 'max-age=60',
  ETag: '"a"',
  'Cache-Tag': 'shop, red',
  'Surrogate-Key': 'big fast',
}

async function stored(): Promise<World> {
  const world = new World()
  world.origin = () => reply(200, FIELDS, 'old')
  await world.ask('/shop/shoes/1?x=1')
  world.origin = () => reply(200, FIELDS, 'new')
  return world
}

describe('purging', () => {
  it.each<{ what: Omit<PurgeRequest, 'mode'>; gone: boolean }>([
    { what: { urls: ['https://example.com/shop/shoes/1?x=1'] }, gone: true },
    { what: { urls: ['https://example.com/shop/shoes/1'] }, gone: false },
    { what: { urls: ['http://example.com/shop/shoes/1?x=1'] }, gone: false },
    { what: { hosts: ['EXAMPLE.com'] }, gone: true },
    { what: { hosts: ['www.example.com'] }, gone: false },
    { what: { prefixes: ['example.com/'] }, gone: true },
    { what: { prefixes: ['example.com/shop'] }, gone: true },
    { what: { prefixes: ['example.com/shop/shoes/'] }, gone: true },
    { what: { prefixes: ['example.com/sho'] }, gone: false },
    { what: { tags: ['red'] }, gone: true },
    { what: { tags: ['fast'] }, gone: true },
    { what: { tags: ['blue'] }, gone: false },
    { what: { everything: true }, gone: true },
  ])('$what', async ({ what, gone }) => {
    const world = await stored()
    world.cache.purge({ mode: 'hard', ...what })
    expect((await world.ask('/shop/shoes/1?x=1')).text).toBe(gone ? 'new' : 'old')
    expect(world.asked).toHaveLength(gone ? 2 : 1)
    expect((await world.ask('/shop/shoes/1?x=1')).outcome).toBe('hit')
  })

  it('all variants go together', async () => {
    const world = new World()
    world.origin = () => reply(200, { ...FIELDS, Vary: 'Foo' }, 'old')
    for (const foo of ['1', '2', '3']) await world.ask('/', { headers: { Foo: foo } })
    world.cache.purge({ mode: 'hard', urls: ['https://example.com/'] })
    for (const foo of ['1', '2', '3']) await world.ask('/', { headers: { Foo: foo } })
    expect(world.asked).toHaveLength(6)
  })

  it('softly: validated, and at hand when the origin is down', async () => {
    const world = await stored()
    world.cache.purge({ mode: 'soft', tags: ['red'] })
    world.origin = () => Promise.reject(new Error('down'))
    expect(await world.ask('/shop/shoes/1?x=1')).toMatchObject({ text: 'old', outcome: 'stale' })
    world.origin = () => reply(304, FIELDS, null)
    expect(await world.ask('/shop/shoes/1?x=1')).toMatchObject({
      text: 'old',
      outcome: 'revalidated',
    })
    expect(world.lastAsked().get('if-none-match')).toBe('"a"')
    expect((await world.ask('/shop/shoes/1?x=1')).outcome).toBe('hit')
  })

  it('tags are not shown', async () => {
    const world = await stored()
    for (let i = 0; i < 2; i++) {
      const { headers } = await world.ask('/shop/shoes/1?x=1')
      expect(headers.has('cache-tag') || headers.has('surrogate-key')).toBe(false)
    }
  })
})

describe('epochs', () => {
  it('are strictly ordered, whatever the clock does', () => {
    let now = 1000
    const epochs = new PurgeEpochs(() => now)
    const before = epochs.stamp()
    epochs.purge('all', false)
    const after = epochs.stamp()
    now = 10
    expect(epochs.verdict(['all'], before)).toBe('hard')
    expect(epochs.verdict(['all'], after)).toBe('live')
    expect(epochs.stamp()).toBeGreaterThan(after)
  })

  it('of other nodes count, and later fills are later', () => {
    const epochs = new PurgeEpochs(() => 1000)
    const old = epochs.stamp()
    epochs.purge('tag:x', false, 5000)
    expect(epochs.verdict(['tag:x'], old)).toBe('hard')
    expect(epochs.verdict(['tag:x'], epochs.stamp())).toBe('live')
  })

  it('forgotten ones purge more, never less', () => {
    const epochs = new PurgeEpochs(() => 1000, 10)
    const old = epochs.stamp()
    epochs.purge('url:first', false)
    for (let i = 0; i < 20; i++) epochs.purge(`url:${i}`, false)
    expect(epochs.size).toBe(10)
    expect(epochs.verdict(['url:first'], old)).toBe('hard')
    expect(epochs.verdict(['url:first'], epochs.stamp())).toBe('live')
  })
})
