/** The reserve: what it keeps in a bucket, and what it never gives. */
import { env } from 'cloudflare:test'
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { StoredResponse } from '../../src/cache/policy/stored-response.ts'
import {
  keepsItsPromises,
  MAX_OBJECT,
  storedFor,
  text,
} from '../../src/cache/store/store-contract.fixture.ts'
import { World } from '../../src/cache/world.fixture.ts'
import { webClock } from '../../src/runtimes/web/clock.ts'
import type { EdgeEnv, ObjectBucket } from '../../src/runtimes/workers/bindings.ts'
import { ReserveStore, type ReserveSurroundings } from '../../src/runtimes/workers/reserve-store.ts'
import { until } from '../harness/wait.ts'
import { origins } from '../suite/harness.ts'
import { type Isolate, isolate, unique } from './isolate.fixture.ts'

const EVERYTHING = { minObject: 0, maxObject: MAX_OBJECT, minLifetime: 0, keep: 60_000 }

/** A store over the bucket of the tests, or over one that behaves as a test says. */
function reserve(around: Partial<ReserveSurroundings> = {}, bucket: ObjectBucket = env.RESERVE) {
  const logged: string[] = []
  const seen: string[] = []
  const note = (line: string) => void logged.push(line)
  const store = new ReserveStore({
    bucket,
    clock: webClock,
    log: { info: note, warn: note, error: note },
    keepAlive: () => {},
  })
  store.attach({
    cache: undefined,
    config: EVERYTHING,
    hasPurges: () => true,
    keyPrefixes: () => [''],
    observe: { looked: (one) => void seen.push(one), wrote: (one) => void seen.push(one) },
    ...around,
  })
  return { store, seen, logged }
}

const made = (path: string, body: string, fields = {}): Promise<StoredResponse> =>
  storedFor(webClock, path, body, fields)
const only = async () => {
  const { objects } = await env.RESERVE.list({ prefix: '' })
  expect(objects).toHaveLength(1)
  return objects[0]!.key
}

describe('the store', () => {
  beforeEach(() => reserve().store.clear())

  it('keeps its promises', () => keepsItsPromises(reserve().store, webClock))

  it('gives nothing that is cut, changed, or of another key, and deletes it', async () => {
    const { store, seen } = reserve()
    const response = await made('/a', 'x'.repeat(200))
    await store.put(response, 8)
    const name = await only()
    const good = new Uint8Array(await (await env.RESERVE.get(name))!.arrayBuffer())
    const broken = [new Uint8Array(), good.subarray(0, 20), good.subarray(0, -1)]
    for (let at = 0; at < good.length; at += 37) {
      const flipped = good.slice()
      flipped[at]! ^= 1
      broken.push(flipped)
    }
    for (const bytes of broken) {
      await env.RESERVE.put(name, bytes)
      seen.length = 0
      expect(await store.lookup(response.key)).toBeUndefined()
      expect(seen).toEqual(['damaged'])
      await until('it is deleted', async () => (await env.RESERVE.get(name)) === null)
    }
    const other = await made('/b', 'y')
    await store.put(other, 8)
    await env.RESERVE.put(await only(), good)
    expect(await store.lookup(other.key)).toBeUndefined()
    await env.RESERVE.put(name, good)
    expect(await text((await store.lookup(response.key))?.responses[0])).toBe('x'.repeat(200))
  })

  it('takes what is large and lives long, and nothing of an older name stays', async () => {
    const config = { ...EVERYTHING, minObject: 10, minLifetime: 3_600_000 }
    const { store, seen } = reserve({ config })
    const long = { 'Cache-Control': 'max-age=600, stale-if-error=3600' }
    await store.put(await made('/a', 'long enough', long), 8)
    expect(await store.lookup('https://example.com/a')).toBeDefined()
    await store.put(await made('/b', 'long enough'), 8)
    await store.put(await made('/c', 'short', long), 8)
    await store.put(await made('/d', 'x'.repeat(MAX_OBJECT + 1), long), 8)
    expect(seen).toEqual(['written', 'found', 'unfit', 'unfit', 'unfit'])
    await only()
    await store.put(await made('/a', 'short', long), 8)
    expect(await store.lookup('https://example.com/a')).toBeUndefined()
  })

  it('writes the same again only when that gains something', async () => {
    const { store, seen } = reserve()
    const response = await made('/a', 'body', { Date: 'Thu, 01 Jan 2026 00:00:00 GMT' })
    const later = await made('/a', 'body', { Date: 'Thu, 01 Jan 2026 00:00:01 GMT' })
    for (const one of [response, later]) await store.put(one, 8)
    await store.put(response.with({ receivedAt: response.receivedAt + 400_000 }), 8)
    await store.put(await made('/a', 'body', { ETag: '"b"' }), 8)
    expect(seen).toEqual(['written', 'known', 'written', 'written'])
  })

  it('deletes what was purged or is past all use, and shows what is purged softly', async () => {
    const { cache } = new World()
    cache.epochs.stamp()
    const { store, seen } = reserve({ cache })
    const response = await made('/a', 'body', { 'Cache-Tag': 'red' })
    await store.put(response, 8)
    cache.epochs.adopt('tag:red', true, webClock.now() + 1)
    expect(await store.lookup(response.key)).toBeDefined()
    cache.epochs.adopt('tag:red', false, webClock.now() + 1)
    expect(await store.lookup(response.key)).toBeUndefined()
    const old = (await made('/b', 'body')).with({ receivedWall: webClock.now() - 700_000 })
    await store.put(old, 8)
    expect(await store.lookup(old.key)).toBeUndefined()
    expect(seen.filter((one) => one !== 'written')).toEqual(['found', 'purged', 'expired'])
    await until('both are deleted', async () => {
      return (await env.RESERVE.list({ prefix: '' })).objects.length === 0
    })
  })

  it('forgets the URL of an unsafe request, and gives nothing while purges are unknown', async () => {
    const { cache } = new World()
    let hasPurges = true
    const { store } = reserve({ cache, hasPurges: () => hasPurges })
    const response = await made('/a', 'body')
    await store.put(response, 8)
    hasPurges = false
    expect(await store.lookup(response.key)).toBeUndefined()
    hasPurges = true
    expect(await store.lookup(response.key)).toBeDefined()
    cache.epochs.purge(`url:${response.url}`, false)
    await until('it is deleted', async () => {
      return (await env.RESERVE.list({ prefix: '' })).objects.length === 0
    })
  })

  it('loses no variant when several write at once', async () => {
    const stores = [reserve().store, reserve().store, reserve().store]
    const variants = ['en', 'de', 'fr']
    await Promise.all(
      stores.map(async (store, i) => {
        const lang = variants[i]!
        const fields = { Vary: 'Foo' }
        await store.put(await storedFor(webClock, '/v', lang, fields, { Foo: lang }), 8)
      }),
    )
    const found = (await stores[0]!.lookup('https://example.com/v'))!.responses
    expect((await Promise.all(found.map(text))).sort()).toEqual(['de', 'en', 'fr'])
  })

  it('leaves a bucket alone that fails or hangs, says so once, and comes back', async () => {
    let calls = 0
    let mode: 'fails' | 'hangs' | 'works' = 'fails'
    const bucket: ObjectBucket = {
      get: (name) => {
        calls++
        if (mode === 'works') return env.RESERVE.get(name)
        return mode === 'fails' ? Promise.reject(new Error('no bucket')) : new Promise(() => {})
      },
      put: (name, bytes, options) => env.RESERVE.put(name, bytes, options),
      delete: (names) => env.RESERVE.delete(names),
      list: (options) => env.RESERVE.list(options),
    }
    vi.useFakeTimers()
    onTestFinished(() => void vi.useRealTimers())
    let now = 1000
    vi.spyOn(webClock, 'monotonic').mockImplementation(() => now)
    onTestFinished(() => void vi.restoreAllMocks())
    const { store, seen, logged } = reserve({}, bucket)
    const look = async () => {
      const looking = store.lookup('https://example.com/a')
      await vi.advanceTimersByTimeAsync(2500)
      expect(await looking).toBeUndefined()
    }
    for (let i = 0; i < 6; i++) await look()
    expect([calls, seen.filter((one) => one === 'failed').length]).toEqual([3, 3])
    expect(logged).toHaveLength(1)
    mode = 'hangs'
    now += 31_000
    for (let i = 0; i < 6; i++) await look()
    expect(calls).toBe(4)
    mode = 'works'
    now += 31_000
    vi.useRealTimers()
    expect(await store.lookup('https://example.com/a')).toBeUndefined()
    expect(seen.at(-1)).toBe('nothing')
    expect(logged).toHaveLength(2)
  })
})

describe('a Worker with a reserve', () => {
  beforeEach(() => origins.reset())
  const EDGE_TOKEN = 'secret-of-the-test'
  const BINDINGS = { RESERVE: env.RESERVE, NOTICES: env.NOTICES, EDGE_TOKEN } as EdgeEnv
  const config = {
    cache: { reserve: { minObject: '1B', minLifetime: '1s' } },
    routes: [{ id: 'site', cache: {} }],
  } as const
  const headers = { authorization: `Bearer ${EDGE_TOKEN}`, 'content-type': 'application/json' }
  const ask = async (one: Isolate, path: string): Promise<{ hit: boolean; body: string }> => {
    const response = await one.ask(path)
    const body = await response.text()
    await one.settle()
    return { hit: /; hit\b/.test(response.headers.get('cache-status') ?? ''), body }
  }
  /** Another data centre: its Cache API has nothing. */
  const elsewhere = async () => {
    const { caches } = globalThis as unknown as { caches: { open(name: string): Promise<unknown> } }
    vi.stubGlobal('caches', {
      open: caches.open.bind(caches),
      default: await caches.open(unique('colo')),
    })
    onTestFinished(() => void vi.unstubAllGlobals())
  }

  it('serves what memory and the Cache API have lost, until it is purged', async () => {
    const path = `/cached/${unique('page')}`
    const first = isolate({ ...config, routes: [...config.routes] }, BINDINGS)
    const { body } = await ask(first, path)
    await elsewhere()
    const second = isolate({ ...config, routes: [...config.routes] }, BINDINGS)
    expect(await ask(second, path)).toEqual({ hit: true, body })
    expect(await origins.hits(path)).toBe(1)
    const metrics = await (await second.ask('/.meridian/metrics', { headers })).text()
    expect(metrics).toContain('meridian_cache_reserve_lookups_total{outcome="found"} 1')
    const order = { urls: [`http://gateway.test${path}`] }
    const purge = { method: 'POST', headers, body: JSON.stringify(order) }
    expect((await second.ask('/.meridian/cache/purge', purge)).status).toBe(200)
    await elsewhere()
    const third = isolate({ ...config, routes: [...config.routes] }, BINDINGS)
    expect((await ask(third, path)).hit).toBe(false)
    expect(await origins.hits(path)).toBe(2)
  })

  it('is not there without the binding, and answers all the same when it is broken', async () => {
    const path = `/cached/${unique('page')}`
    const broken = new Proxy({}, { get: () => () => Promise.reject(new Error('no bucket')) })
    const bad = isolate(
      { ...config, routes: [...config.routes] },
      {
        RESERVE: broken as ObjectBucket,
      },
    )
    for (let i = 0; i < 5; i++) expect((await bad.ask(`${path}/${i}`)).status).toBe(200)
    await bad.settle()
    expect(bad.logged.filter((line) => line.includes('no bucket'))).toHaveLength(1)
    const plain = isolate({ routes: [...config.routes] })
    expect((await ask(plain, path)).hit).toBe(false)
    expect(plain.logged.join()).not.toContain('RESERVE')
    const wants = isolate({ ...config, routes: [...config.routes] })
    await ask(wants, path)
    expect(wants.logged.join()).toContain('RESERVE')
  })
})
