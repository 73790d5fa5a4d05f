import { describe, expect, it } from 'vitest'
import { emptyCacheControl } from '../http/cache-control.ts'
import { StoredResponse } from '../policy/stored-response.ts'
import { seeded } from '../world.fixture.ts'
import { FrequencySketch, hashKey } from './frequency-sketch.ts'
import { MemoryStore } from './memory-store.ts'

function stored(key: string, size = 1000, signature = ''): StoredResponse {
  return new StoredResponse({
    key,
    url: key,
    status: 200,
    fields: ['A', 'b'],
    body: new Uint8Array(size),
    vary: signature === '' ? [] : ['foo'],
    signature,
    language: undefined,
    control: emptyCacheControl(),
    lifetime: 1000,
    initialAge: 0,
    receivedAt: 0,
    receivedWall: 0,
    date: 0,
    etag: undefined,
    lastModified: undefined,
    lastModifiedAt: Number.NaN,
    fetchTook: 0,
    stamp: 1,
    epochNames: [],
    range: undefined,
  })
}

describe.each(['tinylfu', 'lru'] as const)('the memory store (%s)', (admission) => {
  it('keeps variants of a key together', () => {
    const store = new MemoryStore({ capacityBytes: 1e6, admission })
    const [a, b, c] = [stored('k', 10, '\n=1'), stored('k', 10, '\n=2'), stored('k', 10, '\n=1')]
    store.put(a!, 8)
    store.put(b!, 8)
    store.put(c!, 8)
    expect(store.lookup('k')?.responses).toEqual([c, b])
    store.remove('k', c)
    expect(store.lookup('k')?.responses).toEqual([b])
    store.remove('k')
    expect(store.lookup('k')).toBeUndefined()
    expect(store.stats()).toMatchObject({ entries: 0, bytes: 0 })
  })

  it('never holds more than its capacity, and counts what it holds', () => {
    const random = seeded(3)
    const store = new MemoryStore({ capacityBytes: 1e6, admission })
    const sizes = new Map<string, number>()
    for (let i = 0; i < 5000; i++) {
      const key = `k${Math.floor(random.next() * 400)}`
      if (random.next() < 0.1) store.remove(key)
      else if (store.lookup(key) === undefined || random.next() < 0.2) {
        const response = stored(key, 1 + Math.floor(random.next() ** 4 * 900_000))
        sizes.set(key, response.size)
        store.put(response, 8)
      }
      expect(store.stats().bytes).toBeLessThanOrEqual(1e6)
    }
    let counted = 0
    for (const [key, size] of sizes) if (store.peek(key) !== undefined) counted += size
    expect(counted).toBe(store.stats().bytes)
  })

  it('an object larger than the store leaves the others alone', () => {
    const store = new MemoryStore({ capacityBytes: 100_000, admission })
    store.put(stored('small', 100), 8)
    store.put(stored('huge', 200_000), 8)
    expect(store.lookup('huge')).toBeUndefined()
    expect(store.lookup('small')).toBeDefined()
  })

  it('bears the cost of codings, which go with their response', async () => {
    const store = new MemoryStore({ capacityBytes: 100_000, admission })
    const response = stored('k', 1000)
    store.put(response, 8)
    const plain = store.stats().bytes
    let made = 0
    const encode = (size: number) => () => {
      made++
      return Promise.resolve(new Uint8Array(size))
    }
    const both = [response.coded('br 5', encode(400)), response.coded('br 5', encode(400))]
    await Promise.all(both)
    expect([made, store.stats().bytes - plain]).toEqual([1, 656])
    expect(response.coded('br 5', encode(400))).toBeInstanceOf(Uint8Array)
    // A 304 that freshens keeps the bytes and what was made of them; other bytes have none.
    const fresher = response.with({ receivedAt: 5 })
    store.put(fresher, 8)
    expect([fresher.size, store.stats().bytes - plain]).toEqual([response.size, 656])
    expect(response.with({ body: new Uint8Array(9) }).codings).toBeUndefined()
    // More than the store holds is made, given and not kept.
    expect(await fresher.coded('gzip 5', encode(200_000))).toHaveLength(200_000)
    expect(store.stats().bytes - plain).toBe(656)
    // The same for a response that was let go while its coding was made.
    const late = fresher.coded('gzip 5', encode(500))
    store.remove('k')
    await late
    expect(fresher.codings?.sizes()).toEqual({ 'br 5': 400 })
    expect(store.stats()).toMatchObject({ entries: 0, bytes: 0 })
  })

  it('can be shrunk', () => {
    const store = new MemoryStore({ capacityBytes: 1e6, admission })
    for (let i = 0; i < 300; i++) store.put(stored(`k${i}`), 8)
    store.shrinkTo(50_000)
    expect(store.stats().bytes).toBeLessThanOrEqual(50_000)
    expect(store.stats().entries).toBeGreaterThan(0)
  })
})

it('a scan does not push out what is popular', () => {
  const kept = (admission: 'tinylfu' | 'lru') => {
    const store = new MemoryStore({ capacityBytes: 300_000, admission })
    const get = (key: string) => {
      const hit = store.lookup(key) !== undefined
      if (!hit) store.put(stored(key), 8)
      return hit
    }
    for (let round = 0; round < 10; round++) for (let i = 0; i < 60; i++) get(`hot${i}`)
    for (let i = 0; i < 2000; i++) get(`scan${i}`)
    let hits = 0
    for (let i = 0; i < 60; i++) if (get(`hot${i}`)) hits++
    return hits
  }
  expect(kept('lru')).toBe(0)
  expect(kept('tinylfu')).toBeGreaterThan(50)
})

it('the sketch counts to fifteen, and forgets', () => {
  const sketch = new FrequencySketch(1000)
  const hash = hashKey('a')
  for (let i = 0; i < 40; i++) sketch.add(hash)
  expect(sketch.estimate(hash)).toBe(15)
  expect(sketch.estimate(hashKey('b'))).toBeLessThan(3)
  for (let i = 0; i < 30_000; i++) sketch.add(hashKey(`other${i}`))
  expect(sketch.estimate(hash)).toBeLessThan(15)
})
