import { describe, expect, it } from 'vitest'
import { emptyCacheControl } from '../../cache/http/cache-control.ts'
import { StoredResponse } from '../../cache/policy/stored-response.ts'
import { VirtualClock } from '../../cache/world.fixture.ts'
import { type ByteCache, CacheApiStore } from './cache-api-store.ts'

const KEY = 'https://shop.example/page'

function stored(clock: VirtualClock, body: string, more: { lifetime?: number } = {}) {
  return new StoredResponse({
    key: KEY,
    url: KEY,
    status: 200,
    fields: ['Set-Cookie', 'a=b', 'Vary', 'Foo'],
    body: new TextEncoder().encode(body),
    vary: [],
    signature: '',
    language: undefined,
    control: emptyCacheControl(),
    lifetime: 60_000,
    initialAge: 0,
    receivedAt: clock.monotonic(),
    receivedWall: clock.now(),
    date: clock.now(),
    etag: undefined,
    lastModified: undefined,
    lastModifiedAt: Number.NaN,
    fetchTook: 0,
    stamp: clock.now(),
    epochNames: [],
    range: undefined,
    ...more,
  })
}

/** The platform's cache; `gate` holds back what changes it. */
function platform() {
  const kept = new Map<string, { bytes: Uint8Array; headers: Headers }>()
  const state = { gate: undefined as Promise<void> | undefined, puts: 0 }
  const cache: ByteCache = {
    match: async (url) => {
      const found = kept.get(url)
      return found && new Response(found.bytes.slice())
    },
    put: async (url, response) => {
      state.puts++
      const bytes = new Uint8Array(await response.arrayBuffer())
      await state.gate
      kept.set(url, { bytes, headers: response.headers })
    },
    delete: async (url) => {
      await state.gate
      return kept.delete(url)
    },
  }
  const clock = new VirtualClock()
  const store = new CacheApiStore({ cache: () => cache, clock, keepAlive: () => {} })
  return { kept, state, clock, store }
}

const bodyOf = async (store: CacheApiStore): Promise<string | undefined> => {
  const found = await store.lookup(KEY)
  return found && new TextDecoder().decode(found.responses[0]?.body ?? undefined)
}
/** Lets promises that wait for nothing go on. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 0))

describe('the Cache API store', () => {
  it('hides what it keeps from the platform: its cookies, its Vary, its freshness', async () => {
    const { kept, clock, store } = platform()
    await store.put(stored(clock, 'page'), 8)
    const headers = [...kept.values()][0]!.headers
    expect([...headers.keys()].sort()).toEqual(['cache-control', 'content-type'])
    expect(headers.get('cache-control')).toBe(`public, max-age=${60 + 86_400}`)
    expect(await bodyOf(store)).toBe('page')
  })

  it('asks the platform for no longer than a purge is remembered', async () => {
    const { kept, clock, store } = platform()
    await store.put(stored(clock, 'page', { lifetime: 10 * 365 * 86_400_000 }), 8)
    const headers = [...kept.values()][0]!.headers
    expect(headers.get('cache-control')).toBe(`public, max-age=${365 * 86_400}`)
  })

  it.each([
    { name: 'shorter than its first word', damage: (bytes: Uint8Array) => bytes.subarray(0, 2) },
    { name: 'cut in its body', damage: (bytes: Uint8Array) => bytes.subarray(0, -1) },
    {
      name: 'of another key',
      damage: (bytes: Uint8Array) => bytes.map((b) => (b === 112 ? 113 : b)),
    },
    { name: 'no JSON', damage: (bytes: Uint8Array) => bytes.fill(120, 4) },
  ])('takes an entry that is $name for a miss', async ({ damage }) => {
    const { kept, clock, store } = platform()
    await store.put(stored(clock, 'page'), 8)
    for (const [url, entry] of kept) kept.set(url, { ...entry, bytes: damage(entry.bytes) })
    expect(await store.lookup(KEY)).toBeUndefined()
  })

  it('does not give back what is being taken out, nor miss what is being put in', async () => {
    const { state, clock, store } = platform()
    let open = () => {}
    const close = () => {
      state.gate = new Promise((resolve) => {
        open = resolve
      })
    }
    const page = stored(clock, 'page')
    close()
    void store.put(page, 8)
    const found = bodyOf(store)
    open()
    expect(await found).toBe('page')
    close()
    void store.remove(KEY, page)
    const gone = bodyOf(store)
    open()
    expect(await gone).toBeUndefined()
  })

  it('does not wait for ever for a change that the platform has stopped', async () => {
    const { state, clock, store } = platform()
    // The request that began it was over: its promise neither ends nor fails.
    state.gate = new Promise(() => {})
    void store.put(stored(clock, 'old'), 8)
    await settled()
    state.gate = undefined
    const next = store.put(stored(clock, 'new'), 8)
    const found = bodyOf(store)
    await settled()
    expect(state.puts).toBe(1)
    clock.advance(5000)
    await next
    expect(state.puts).toBe(2)
    expect(await bodyOf(store)).toBe('new')
    expect(await found).toBeUndefined()
  })
})
