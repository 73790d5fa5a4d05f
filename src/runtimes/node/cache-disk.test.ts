import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { StoredResponse } from '../../cache/policy/stored-response.ts'
import { Drain, FedStream, reply, settle, VirtualClock, World } from '../../cache/world.fixture.ts'
import type { ByteStream } from '../../exchange.ts'
import type { Logger } from '../../ports.ts'
import { DiskStore, type DiskStoreOptions } from './cache-disk.ts'
import { PurgeLog } from './purge-log.ts'

const FRESH = { 'Cache-Control': 'max-age=600' }
const log: Logger = { info: () => undefined, warn: () => undefined, error: () => undefined }
let directory = ''

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'meridian-cache-'))
})
afterEach(async () => {
  // A write may still be under way.
  await rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 })
})

async function disk(options: Partial<DiskStoreOptions> = {}): Promise<DiskStore> {
  const store = new DiskStore({
    directory,
    capacityBytes: 50e6,
    maxObject: 20e6,
    clock: new VirtualClock(),
    log,
    ...options,
  })
  await store.start()
  await store.ready()
  return store
}

/** What a cache stores of a response, for tests of the store alone. */
async function made(
  path: string,
  body: string,
  fields = {},
  headers = {},
): Promise<StoredResponse> {
  const world = new World({ cache: { memoryBytes: 64e6, maxMemoryObject: 30e6 } })
  world.origin = () => reply(200, { ...FRESH, ETag: '"a"', ...fields }, body)
  await world.ask(path, { headers })
  return world.cache.memory.peek(`https://example.com${path}`)!.responses[0]!
}

async function text(response: StoredResponse | undefined): Promise<string> {
  const body = response?.openBody() ?? null
  if (body === null || 'byteLength' in body) return new TextDecoder().decode(body ?? undefined)
  return collect(body)
}

function collect(body: ByteStream): Promise<string> {
  return new Promise((resolve, reject) => {
    const sink = new Drain()
    body.pipe({
      write: (chunk) => {
        sink.write(chunk)
        queueMicrotask(() => body.resume())
        return false
      },
      end: () => resolve(sink.text),
      fail: reject,
    })
  })
}

async function files(): Promise<string[]> {
  const found = await readdir(directory, { recursive: true, withFileTypes: true })
  return found
    .filter((f) => f.isFile() && /^[0-9a-f]{56}$/.test(f.name))
    .map((f) => join(f.parentPath, f.name))
}

describe.each([
  { name: 'checksummed', key: undefined },
  { name: 'encrypted', key: new Uint8Array(32).fill(7) },
])('the store on disk, $name', ({ key }) => {
  it.each([0, 1, 65_536, 65_537, 300_000])('gives back %i bytes', async (size) => {
    const store = await disk({ key })
    const body = 'abcdefgh'.repeat(Math.ceil(size / 8)).slice(0, size)
    const response = await made('/a', body, { 'Last-Modified': 'Sun, 06 Nov 1994 08:49:37 GMT' })
    await store.put(response)
    for (const again of [store, await disk({ key })]) {
      const found = (await again.lookup(response.key))?.responses[0]
      expect(found).toMatchObject({
        status: 200,
        etag: '"a"',
        lastModifiedAt: response.lastModifiedAt,
      })
      expect(found?.fields).toEqual(response.fields)
      expect(await text(found)).toBe(body)
      expect(again.stats().entries).toBe(1)
    }
  })

  it('keeps variants apart and removes them', async () => {
    const store = await disk({ key })
    const one = await made('/a', 'one', { Vary: 'Foo' }, { Foo: '1' })
    const two = await made('/a', 'two', { Vary: 'Foo' }, { Foo: '2' })
    await store.put(one)
    await store.put(two)
    expect((await store.lookup(one.key))?.responses).toHaveLength(2)
    await store.remove(one.key, one)
    expect(await text((await store.lookup(one.key))?.responses[0])).toBe('two')
    await store.remove(one.key)
    expect(await store.lookup(one.key)).toBeUndefined()
    expect(await files()).toEqual([])
  })

  it('never gives back what is damaged', async () => {
    const response = await made('/a', 'x'.repeat(200_000))
    const store = await disk({ key })
    await store.put(response)
    const [path] = await files()
    const good = await readFile(path!)
    for (let i = 0; i < 60; i++) {
      const bad = Buffer.from(good)
      const at = Math.floor((i / 60) * good.length)
      bad[at] = (bad[at] as number) ^ 0x55
      await writeFile(path!, bad)
      const again = await disk({ key })
      const found = (await again.lookup(response.key))?.responses[0]
      // Padding behind the header means nothing; anything else is noticed.
      if (found !== undefined) expect(await text(found)).toBe('x'.repeat(200_000))
      else expect(again.stats().entries).toBe(0)
      await writeFile(path!, good)
    }
    for (const size of [0, 10, 5000, good.length - 1]) {
      await writeFile(path!, good)
      await truncate(path!, size)
      const again = await disk({ key })
      expect(await again.lookup(response.key)).toBeUndefined()
    }
  })

  it('notices damage in the middle of a stream', async () => {
    const response = await made('/a', 'x'.repeat(500_000))
    const store = await disk({ key })
    await store.put(response)
    const [path] = await files()
    const bad = await readFile(path!)
    bad[400_000] = (bad[400_000] as number) ^ 1
    await writeFile(path!, bad)
    const found = (await store.lookup(response.key))?.responses[0]
    await expect(collect(found?.openBody() as ByteStream)).rejects.toThrow()
  })

  it('reads ranges', async () => {
    const body = Array.from({ length: 60_000 }, (_, i) => String(i).padStart(5, '0')).join('')
    const store = await disk({ key })
    const response = await made('/a', body)
    await store.put(response)
    const source = (await store.lookup(response.key))?.responses[0]?.source
    for (const [first, last] of [
      [0, 0],
      [65_530, 65_545],
      [299_999, 299_999],
      [100, 250_000],
    ]) {
      expect(await collect(source!.open({ first: first!, last: last! }))).toBe(
        body.slice(first, last! + 1),
      )
    }
  })
})

it('without the key nothing can be read', async () => {
  const response = await made('/a', 'secret body', { A: 'secret field' })
  await (await disk({ key: new Uint8Array(32).fill(1) })).put(response)
  const [path] = await files()
  expect((await readFile(path!)).includes('secret')).toBe(false)
  const other = await disk({ key: new Uint8Array(32).fill(2) })
  expect(await other.lookup(response.key)).toBeUndefined()
})

it('stays within its size: what was not used longest goes', async () => {
  const store = await disk({ capacityBytes: 60_000 })
  const all = await Promise.all(
    ['/1', '/2', '/3', '/4'].map((path) => made(path, 'x'.repeat(15_000))),
  )
  for (const response of all.slice(0, 3)) await store.put(response)
  await store.lookup(all[0]!.key)
  await store.put(all[3]!)
  expect(store.stats().bytes).toBeLessThanOrEqual(60_000)
  expect(await store.lookup(all[0]!.key)).toBeDefined()
  expect(await store.lookup(all[1]!.key)).toBeUndefined()
})

it('a disk that fails is left alone, and the cache goes on', async () => {
  const clock = new VirtualClock()
  const store = await disk({ clock })
  await rm(join(directory, 'tmp'), { recursive: true })
  const response = await made('/a', 'x')
  await store.put(response)
  expect(await store.lookup(response.key)).toBeUndefined()
  await store.start()
  await store.put(response)
  expect(store.stats()).toMatchObject({ entries: 0, rejected: 1 })
  clock.advance(61_000)
  await store.put(response)
  expect(store.stats().entries).toBe(1)
})

describe('behind the cache', () => {
  const settled = async (done: () => boolean) => {
    for (let i = 0; i < 400 && !done(); i++) await new Promise((resolve) => setTimeout(resolve, 5))
  }

  it('what memory has lost comes from disk; large bodies are streamed to it and from it', async () => {
    const store = await disk()
    const world = new World({ cache: { lower: store, memoryBytes: 2e6, maxMemoryObject: 100_000 } })
    const body = '0123456789'.repeat(100_000)
    const stream = new FedStream(body.length)
    world.origin = () => reply(200, { ...FRESH, 'Content-Length': String(body.length) }, stream)
    const first = await world.ask('/large')
    const received = collect(first.reply.body as ByteStream)
    for (let at = 0; at < body.length; at += 50_000) stream.write(body.slice(at, at + 50_000))
    stream.sink?.end()
    expect(await received).toBe(body)
    await settled(() => store.stats().entries === 1)

    const hit = await world.ask('/large')
    expect(hit.outcome).toBe('hit')
    expect(await collect(hit.reply.body as ByteStream)).toBe(body)
    const part = await world.ask('/large', { headers: { Range: 'bytes=500000-500009' } })
    expect(part.status).toBe(206)
    expect(await collect(part.reply.body as ByteStream)).toBe('0123456789')
    const parts = await world.ask('/large', { headers: { Range: 'bytes=0-4,700000-700009,-3' } })
    expect([parts.status, parts.outcome]).toEqual([206, 'hit'])
    const sent = await collect(parts.reply.body as ByteStream)
    expect(sent.length).toBe(Number(parts.headers.get('content-length')))
    expect(sent.match(/Content-Range: (\S+ \S+)\r\n\r\n\d+/g)).toEqual([
      'Content-Range: bytes 0-4/1000000\r\n\r\n01234',
      'Content-Range: bytes 700000-700009/1000000\r\n\r\n0123456789',
      'Content-Range: bytes 999997-999999/1000000\r\n\r\n789',
    ])
    expect(world.asked).toHaveLength(1)

    world.origin = () => reply(200, FRESH, 'small')
    await world.ask('/small')
    await settled(() => store.stats().entries === 2)
    world.cache.memory.clear()
    expect(await world.ask('/small')).toMatchObject({ text: 'small', outcome: 'hit' })
    expect(world.asked).toHaveLength(2)
  })

  it('a large body that is cut leaves nothing', async () => {
    const store = await disk()
    const world = new World({ cache: { lower: store, maxMemoryObject: 1000 } })
    const stream = new FedStream(10_000)
    world.origin = () => reply(200, FRESH, stream)
    const sink = new Drain()
    ;((await world.ask('/')).reply.body as ByteStream).pipe(sink)
    stream.write('x'.repeat(5000))
    stream.sink?.fail(new Error('cut'))
    expect(sink.failed).toBeDefined()
    await settled(() => false || world.cache.stats().fillsUnderWay === 0)
    await settle()
    expect(await files()).toEqual([])
    expect(store.stats().entries).toBe(0)
  })

  it('purges survive a restart', async () => {
    const path = join(directory, 'purges.log')
    const store = await disk()
    const world = new World({ cache: { lower: store } })
    const purges = new PurgeLog(path, log)
    await purges.attach(world.cache.epochs, 0)
    world.origin = () => reply(200, { ...FRESH, 'Cache-Tag': 'x' }, 'old')
    await world.ask('/a')
    await settled(() => store.stats().entries === 1)
    world.cache.purge({ mode: 'hard', tags: ['x'] })
    await purges.flushed()
    await writeFile(path, `${await readFile(path, 'utf8')}{"name":"cut`)

    const next = new World({ cache: { lower: await disk() } })
    next.clock.advance(1000)
    await new PurgeLog(path, log).attach(next.cache.epochs, 0)
    next.origin = () => reply(200, FRESH, 'new')
    expect((await next.ask('/a')).text).toBe('new')
  })
})
