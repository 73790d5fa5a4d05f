/** What every tier of the cache promises, whichever keeps the bytes; for the tests of each. */
import { expect } from 'vitest'
import { until } from '../../../test/harness/wait.ts'
import type { Clock } from '../../ports.ts'
import type { StoredResponse } from '../policy/stored-response.ts'
import { Drain, reply, World } from '../world.fixture.ts'
import type { CacheStore } from './cache-store.ts'

/** The largest body that the store under test takes, unless it is memory. */
export const MAX_OBJECT = 100_000

/** A response as a cache stores it, by the clock of the store. */
export async function storedFor(
  clock: Clock,
  path: string,
  body: string,
  fields = {},
  headers = {},
): Promise<StoredResponse> {
  const world = new World({ cache: { memoryBytes: 64e6, maxMemoryObject: 30e6 } })
  world.origin = () => reply(200, { 'Cache-Control': 'max-age=600', ETag: '"a"', ...fields }, body)
  await world.ask(path, { headers })
  const response = world.cache.memory.peek(`https://example.com${path}`)!.responses[0]!
  return response.with({
    receivedAt: clock.monotonic(),
    receivedWall: clock.now(),
    stamp: clock.now(),
  })
}

export async function text(response: StoredResponse | undefined): Promise<string> {
  const body = response?.openBody() ?? null
  if (body === null || 'byteLength' in body) return new TextDecoder().decode(body ?? undefined)
  const sink = new Drain()
  body.pipe(sink)
  await until('the body', () => sink.ended)
  return sink.text
}

export async function keepsItsPromises(store: CacheStore, clock: Clock): Promise<void> {
  const made = (path: string, body: string, fields = {}, headers = {}) =>
    storedFor(clock, path, body, fields, headers)
  expect(await store.lookup('nothing')).toBeUndefined()

  // Fields, facts and bytes come back as they were; what cannot be JSON too.
  for (const size of [0, 1, 65_537, MAX_OBJECT]) {
    const response = await made(`/size/${size}`, 'abcdefgh'.repeat(size / 8 + 1).slice(0, size))
    await store.put(response, 8)
    const found = (await store.lookup(response.key))?.responses
    expect(found).toHaveLength(1)
    const { key, url, status, fields, vary, etag, lifetime, epochNames, lastModifiedAt } = response
    const facts = { key, url, status, fields, vary, etag, lifetime, epochNames, lastModifiedAt }
    expect(found?.[0]).toMatchObject(facts)
    expect(found?.[0]?.bodyLength).toBe(size)
    expect(await text(found?.[0])).toBe(await text(response))
  }

  // Variants lie side by side, and the same variant is replaced.
  const en = await made('/v', 'hello', { Vary: 'Foo' }, { Foo: 'en' })
  const de = await made('/v', 'hallo', { Vary: 'Foo' }, { Foo: 'de' })
  const again = await made('/v', 'good day', { Vary: 'Foo', ETag: '"b"' }, { Foo: 'en' })
  for (const response of [en, de, again]) await store.put(response, 8)
  const bodies = async () =>
    (await Promise.all(((await store.lookup(en.key))?.responses ?? []).map(text))).sort()
  expect(await bodies()).toEqual(['good day', 'hallo'])

  // A 304 changed the fields, not the bytes.
  const current = (await store.lookup(en.key))!.responses.find(({ etag }) => etag === '"b"')!
  await store.put(current.with({ fields: [...current.fields, 'X-New', '1'] }), 8)
  const freshened = (await store.lookup(en.key))!.responses.find(({ etag }) => etag === '"b"')
  expect(freshened?.fields.slice(-2)).toEqual(['X-New', '1'])
  expect(await text(freshened)).toBe('good day')

  // One goes, then all of the key, then everything.
  await store.remove(en.key, freshened)
  expect(await bodies()).toEqual(['hallo'])
  await store.remove(en.key)
  expect(await store.lookup(en.key)).toBeUndefined()
  await Promise.all([de, again].map((response) => store.put(response, 8)))
  expect(await bodies()).toEqual(['good day', 'hallo'])
  await store.clear()
  expect(await store.lookup(en.key)).toBeUndefined()
  expect(await store.lookup('https://example.com/size/1')).toBeUndefined()

  // Too large for a tier with a limit is not there, and breaks nothing.
  if (store.name !== 'memory') {
    const large = await made('/large', 'x'.repeat(MAX_OBJECT + 1))
    await store.put(large, 8)
    expect(await store.lookup(large.key)).toBeUndefined()
  }
}
