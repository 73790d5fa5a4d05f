/** Content codings towards clients, over real sockets. */
import type { ServerResponse } from 'node:http'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bestCoding } from '../../src/cache/compression.ts'
import { ask } from '../harness/client.ts'
import type { HttpOrigin } from '../harness/origin.ts'
import { pool, type TestGateway, World } from '../harness/world.ts'

const TEXT = 'the quick brown fox jumps over the lazy dog. '.repeat(200)
const HTML = { 'content-type': 'text/html; charset=utf-8', etag: '"v1"' }
const world = new World()
let origin: HttpOrigin
let gateway: TestGateway
let answer: (response: ServerResponse) => void
let count = 0

beforeAll(async () => {
  origin = await world.origin((_request, response) => answer(response))
  gateway = await world.gateway({
    pools: { app: pool([origin]) },
    routes: [
      {
        id: 'site',
        pools: ['app'],
        cache: {},
        compression: { types: ['text/*', 'application/*+json'] },
      },
    ],
  })
})
afterAll(() => world.close())

/** A URL that nobody has asked for, answered with these fields. */
function fresh(fields: Record<string, string>, body: string | Buffer = TEXT, status = 200): string {
  answer = (response) => response.writeHead(status, fields).end(body)
  return `${gateway.url}/${++count}`
}
const get = (url: string, encoding: string | undefined, more: Record<string, string> = {}) =>
  ask(url, {
    headers: { ...(encoding === undefined ? {} : { 'accept-encoding': encoding }), ...more },
  })
const CACHED = { ...HTML, 'cache-control': 'max-age=60' }

it.each([
  ['gzip', 'gzip'],
  ['x-gzip', 'gzip'],
  ['gzip, br', 'br'],
  ['gzip;q=1, br;q=0.5', 'gzip'],
  ['*', 'br'],
  ['*;q=0.5, br;q=0', 'gzip'],
  ['identity;q=0', undefined],
  ['identity;q=0, gzip;q=0.1', 'gzip'],
  ['identity, gzip;q=0.5', undefined],
  ['identity, gzip', 'gzip'],
  ['gzip;q=0, br;q=0', undefined],
  ['deflate', undefined],
  ['', undefined],
  ['br;q=nonsense', undefined],
])('Accept-Encoding "%s" chooses %s', (accept, coding) => {
  expect(bestCoding(accept, ['br', 'gzip'])).toBe(coding)
})

describe('a stored response', () => {
  it('is encoded once for each coding, and one fetch serves all', async () => {
    const url = fresh({ ...CACHED, 'content-length': String(TEXT.length) })
    const before = origin.hits.length
    const made = () => gateway.metric('meridian_compression_responses_total', { how: 'made' })
    const madeBefore = await made()
    const plain = await get(url, undefined)
    expect(plain.text).toBe(TEXT)
    expect(plain.get('etag')).toBe('"v1"')
    expect(plain.get('vary')).toBe('Accept-Encoding')
    for (let i = 0; i < 3; i++) {
      for (const [coding, decode] of [
        ['gzip', gunzipSync],
        ['br', brotliDecompressSync],
      ] as const) {
        const got = await get(url, coding)
        expect(decode(got.body).toString()).toBe(TEXT)
        expect(got.get('content-encoding')).toBe(coding)
        expect(got.get('content-length')).toBe(String(got.body.length))
        expect(got.get('etag')).toBe('W/"v1"')
        expect(got.get('accept-ranges')).toBeUndefined()
        expect(got.body.length).toBeLessThan(TEXT.length / 10)
      }
    }
    expect(origin.hits.length - before).toBe(1)
    expect((await made()) - madeBefore).toBe(2)
    expect((await get(url, 'br')).get('cache-status')).toMatch(
      /^meridian; hit; ttl=\d+; detail=br$/,
    )
    const { entries } = (await (
      await fetch(`${gateway.running.control}/cache/entry?url=${encodeURIComponent(url)}`)
    ).json()) as { entries: { codings: Record<string, number>; storedBytes: number }[] }
    const codings = entries[0]!.codings
    expect(Object.keys(codings).sort()).toEqual(['br 4', 'gzip 4'])
    const kept = Object.values(codings).reduce((sum, bytes) => sum + bytes, 0)
    expect(entries[0]!.storedBytes).toBeGreaterThan(TEXT.length + kept)
    expect(await gateway.metric('meridian_compression_saved_bytes_total')).toBeGreaterThan(40_000)
  })

  it('answers conditions on either tag, and ranges without a coding', async () => {
    const url = fresh(CACHED)
    await get(url, undefined)
    const weak = await get(url, 'gzip', { 'if-none-match': 'W/"v1"' })
    expect([weak.status, weak.get('etag'), weak.get('vary')]).toEqual([
      304,
      'W/"v1"',
      'Accept-Encoding',
    ])
    const strong = await get(url, undefined, { 'if-none-match': '"v1"' })
    expect([strong.status, strong.get('etag')]).toEqual([304, '"v1"'])
    const span = await get(url, 'gzip', { range: 'bytes=0-8', 'if-range': '"v1"' })
    expect([span.status, span.text, span.get('content-encoding')]).toEqual([
      206,
      'the quick',
      undefined,
    ])
    // A weak tag names no bytes: the whole, and without a coding.
    const whole = await get(url, 'gzip', { range: 'bytes=0-8', 'if-range': 'W/"v1"' })
    expect([whole.status, whole.text, whole.get('content-encoding')]).toEqual([
      200,
      TEXT,
      undefined,
    ])
  })

  it('loses its codings with a purge', async () => {
    const url = fresh(CACHED)
    for (let i = 0; i < 2; i++) await get(url, 'gzip')
    await fetch(`${gateway.running.control}/cache/purge`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ urls: [url] }),
    })
    answer = (response) => response.writeHead(200, CACHED).end(TEXT.toUpperCase())
    for (let i = 0; i < 2; i++) {
      expect(gunzipSync((await get(url, 'gzip')).body).toString()).toBe(TEXT.toUpperCase())
    }
  })
})

it.each([
  ['no-transform', { ...HTML, 'cache-control': 'no-transform' }, {}, 200],
  ['an encoded body', { ...HTML, 'content-encoding': 'deflate' }, {}, 200],
  ['another type', { 'content-type': 'image/png' }, {}, 200],
  ['an event stream', { 'content-type': 'text/event-stream' }, {}, 200],
  ['a digest', { ...HTML, 'repr-digest': 'sha-256=:AAAA:' }, {}, 200],
  ['a span', { ...HTML, 'content-range': 'bytes 0-8999/9000' }, { range: 'bytes=0-8999' }, 206],
  ['a client with a session', { ...HTML, 'cache-control': 'no-store' }, { cookie: 'a=b' }, 200],
  ['a new session', { ...HTML, 'set-cookie': 'a=b', 'cache-control': 'no-store' }, {}, 200],
])('%s is left alone', async (_what, fields, request, status) => {
  const got = await get(fresh(fields, TEXT, status), 'gzip, br', request)
  expect(got.status).toBe(status)
  expect(got.text).toBe(TEXT)
  expect(got.get('content-encoding')).toBe(
    'content-encoding' in fields ? fields['content-encoding'] : undefined,
  )
})

it('short bodies and answers to HEAD have no coding', async () => {
  expect((await get(fresh(HTML, 'short'), 'gzip')).get('content-encoding')).toBeUndefined()
  const url = fresh({ ...HTML, 'content-length': String(TEXT.length) }, '')
  const head = await ask(url, { method: 'HEAD', headers: { 'accept-encoding': 'gzip' } })
  expect(head.get('content-encoding')).toBeUndefined()
  expect(head.get('vary')).toBe('Accept-Encoding')
})

describe('a stream', () => {
  const STREAM = { 'content-type': 'application/feed+json', 'cache-control': 'no-store' }

  it('passes on what a slow origin has said, and ends whole', async () => {
    let finish = (): void => {}
    answer = (response) => {
      response.writeHead(200, STREAM).write(TEXT)
      finish = () => response.end(TEXT)
    }
    const response = await fetch(`${gateway.url}/${++count}`, {
      headers: { 'accept-encoding': 'gzip' },
    })
    expect(response.headers.get('content-encoding')).toBe('gzip')
    const reader = response.body!.getReader()
    let text = ''
    const decoder = new TextDecoder()
    // The origin says nothing more until all of the first half is here.
    while (text.length < TEXT.length) text += decoder.decode((await reader.read()).value)
    finish()
    for (let got = await reader.read(); !got.done; got = await reader.read()) {
      text += decoder.decode(got.value)
    }
    expect(text).toBe(TEXT + TEXT)
  })

  it('that is cut is cut for the client', async () => {
    answer = (response) => {
      response.writeHead(200, STREAM).write(TEXT)
      setTimeout(() => response.destroy(), 50)
    }
    const got = await get(`${gateway.url}/${++count}`, 'gzip')
    expect([got.get('content-encoding'), got.complete]).toEqual(['gzip', false])
  })

  it('of many megabytes arrives byte for byte', async () => {
    const big = Buffer.from(TEXT.repeat(1000))
    const got = await get(fresh(STREAM, big), 'br')
    expect(brotliDecompressSync(got.body).equals(big)).toBe(true)
  })
})
