import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import manifest from '../../../package.json' with { type: 'json' }
import { ConfigError } from '../../config/errors.ts'
import type { MeridianConfigInput } from '../../config/schema.ts'
import { type ByteSink, type ByteStream, RequestBodyError } from '../../exchange.ts'
import { exposition } from '../../telemetry/exposition.ts'
import { WEB_CAPABILITIES } from './capabilities.ts'
import { webDecoder } from './decoder.ts'
import { WebGateway, type WebGatewayOptions } from './instance.ts'
import { WebBody } from './request-body.ts'
import { serve } from './serve.ts'
import { ReaderStream, readableFrom } from './streams.ts'
import { VERSION } from './version.ts'

const BIG = 3_000_000
const MANAGED = readFileSync(new URL('../../../rules/managed.json', import.meta.url), 'utf8')

/** What the origin does on each path. */
const PAGES: Readonly<Record<string, (req: IncomingMessage, res: ServerResponse) => void>> = {
  '/hello': (_, res) => res.end('hello'),
  '/host': (req, res) => res.end(JSON.stringify(req.headers)),
  '/gzip': (_, res) => {
    const body = gzipSync('squeezed')
    res.writeHead(200, { 'content-encoding': 'gzip', 'content-length': body.length }).end(body)
  },
  '/empty': (_, res) => res.writeHead(204).end(),
  '/redirect': (_, res) => res.writeHead(302, { location: 'http://elsewhere.test/' }).end(),
  '/cookies': (_, res) => res.writeHead(200, { 'set-cookie': ['a=1', 'b=2; Path=/'] }).end(),
  '/cut-known': (_, res) => {
    res.writeHead(200, { 'content-length': 200_000 }).write('x'.repeat(1000))
    setTimeout(() => res.destroy(), 20)
  },
  '/cut-chunked': (_, res) => {
    res.writeHead(200, { 'cache-control': 'max-age=60' }).write('x'.repeat(1000))
    setTimeout(() => res.destroy(), 20)
  },
  '/slow': () => {},
  '/stall': (_, res) => {
    res.writeHead(200).write('x')
  },
  '/big': (_, res) => {
    res.writeHead(200, { 'content-length': BIG }).end(Buffer.alloc(BIG, 'b'))
  },
  '/echo': (req, res) => {
    res.writeHead(200, { 'x-length': req.headers['content-length'] ?? 'none' })
    req.pipe(res)
  },
  '/busy': (_, res) => res.writeHead(503).end('busy'),
  '/cached': (_, res) => res.writeHead(200, { 'cache-control': 'max-age=60' }).end('kept'),
}

let origin: Server
let url: string
/** Where nothing listens. */
let closed: string
let hits: Record<string, number> = {}

beforeAll(async () => {
  const gone = createServer()
  await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve))
  closed = `http://127.0.0.1:${(gone.address() as AddressInfo).port}`
  gone.close()
  origin = createServer((req, res) => {
    const path = (req.url ?? '').split('?')[0] as string
    hits[path] = (hits[path] ?? 0) + 1
    const page = PAGES[path]
    if (page === undefined) res.writeHead(404).end()
    else page(req, res)
  })
  await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`
})
afterAll(() => {
  origin.closeAllConnections()
  origin.close()
})

async function gatewayWith(
  more: Partial<MeridianConfigInput> = {},
  options: Partial<WebGatewayOptions> = {},
): Promise<WebGateway> {
  const config: MeridianConfigInput = {
    pools: {
      app: {
        origins: [{ url }],
        timeouts: { firstByte: '5s', idle: '250ms' },
      },
    },
    routes: [
      { match: { path: '/cached' }, pools: ['app'], cache: {} },
      { match: { path: '/cut-chunked' }, pools: ['app'], cache: {} },
      { pools: ['app'] },
    ],
    ...more,
  }
  return WebGateway.create({
    config: JSON.stringify(config),
    rulesets: { managed: MANAGED },
    ...options,
  })
}

const ask = (web: WebGateway, path: string, init?: RequestInit) =>
  serve(web.gateway, new Request(`http://shop.example${path}`, init), { ip: '192.0.2.7' })

describe('the fetch entry', () => {
  it('passes an answer on, with the host and address that the client had', async () => {
    const web = await gatewayWith()
    const response = await ask(web, '/host', { headers: { 'x-own': '1' } })
    const seen = (await response.json()) as Record<string, string>
    expect(response.status).toBe(200)
    expect(seen).toMatchObject({
      host: url.slice(7),
      'x-forwarded-host': 'shop.example',
      'x-forwarded-for': '192.0.2.7',
      'accept-encoding': 'identity',
      'x-own': '1',
    })
  })

  it.each([
    { path: '/empty', status: 204, text: '' },
    { path: '/redirect', status: 302, text: '' },
    { path: '/gzip', status: 200, text: 'squeezed' },
    { path: '/busy', status: 503, text: 'busy' },
    { path: '/nothing', status: 404, text: '' },
  ])('answers $path with $status', async ({ path, status, text }) => {
    const web = await gatewayWith()
    const response = await ask(web, path)
    expect(response.status).toBe(status)
    expect(await response.text()).toBe(text)
    // What fetch has decoded is not said to be encoded.
    expect(response.headers.get('content-encoding')).toBeNull()
  })

  it('keeps cookies apart, and answers HEAD without a body', async () => {
    const web = await gatewayWith()
    expect((await ask(web, '/cookies')).headers.getSetCookie()).toEqual(['a=1', 'b=2; Path=/'])
    const head = await ask(web, '/big', { method: 'HEAD' })
    expect(head.headers.get('content-length')).toBe(String(BIG))
    expect(head.body).toBeNull()
  })

  it('answers from the cache without a promise', async () => {
    const web = await gatewayWith()
    hits = {}
    expect(await (await ask(web, '/cached')).text()).toBe('kept')
    const second = ask(web, '/cached')
    expect(second).toBeInstanceOf(Response)
    expect((second as Response).headers.get('cache-status')).toContain('hit')
    expect(await (second as Response).text()).toBe('kept')
    expect(hits['/cached']).toBe(1)
  })

  it.each(['/cut-known', '/cut-chunked'])('never ends %s cleanly, nor keeps it', async (path) => {
    const web = await gatewayWith()
    hits = {}
    for (let i = 1; i <= 2; i++) {
      const response = await ask(web, path)
      expect(response.status).toBe(200)
      await expect(response.text()).rejects.toThrow()
      expect(hits[path]).toBe(i)
    }
  })

  it.each([
    { path: '/hello', status: 200 },
    { path: '/slow', status: 504 },
  ])('answers $path in time with $status', async ({ path, status }) => {
    const web = await gatewayWith({
      routes: [{ pools: ['app'], retry: { tries: 1 }, timeouts: { firstByte: '300ms' } }],
    })
    expect((await ask(web, path)).status).toBe(status)
  })

  it('cuts a response that stalls', async () => {
    const web = await gatewayWith()
    await expect((await ask(web, '/stall')).text()).rejects.toThrow(/no data/)
  })

  it('goes to another origin when one refuses, for a POST too', async () => {
    const web = await gatewayWith({
      pools: { dead: { origins: [{ url: closed }] }, app: { origins: [{ url }] } },
      routes: [{ pools: ['dead', 'app'] }],
    })
    const response = await ask(web, '/echo', { method: 'POST', body: 'once' })
    expect(await response.text()).toBe('once')
    expect(response.headers.get('x-length')).toBe('4')
  })

  it('streams a large upload and its echo', async () => {
    const web = await gatewayWith()
    let left = 40
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (left-- > 0) controller.enqueue(new Uint8Array(50_000).fill(7))
        else controller.close()
      },
    })
    const init = { method: 'POST', body, duplex: 'half' } as RequestInit
    const echoed = new Uint8Array(await (await ask(web, '/echo', init)).arrayBuffer())
    expect(echoed.length).toBe(2_000_000)
  })

  it('refuses a body above the limit, and one that is cut', async () => {
    const web = await gatewayWith({ listen: { limits: { body: '1KiB' } } })
    const stream = (chunks: number) =>
      new ReadableStream<Uint8Array>({
        pull(controller) {
          if (chunks-- > 0) controller.enqueue(new Uint8Array(600))
          else controller.error(new Error('gone'))
        },
      })
    const post = (body: ReadableStream) =>
      ask(web, '/echo', { method: 'POST', body, duplex: 'half' } as RequestInit)
    expect((await post(stream(3))).status).toBe(413)
    expect((await post(stream(1))).status).toBe(400)
  })

  it('refuses a Host that is not the host of the URL', async () => {
    const web = await gatewayWith()
    const request = (host: string) =>
      serve(web.gateway, new Request('http://shop.example/hello', { headers: { host } }))
    expect((await request('shop.example:80')).status).toBe(200)
    expect((await request('other.example')).status).toBe(400)
  })

  it('stops the origin when the client leaves', async () => {
    const web = await gatewayWith()
    const response = await ask(web, '/big')
    const reader = response.body?.getReader()
    await reader?.read()
    await reader?.cancel()
    expect(exposition(web.telemetry.metrics.snapshot())).toMatch(/requests_in_flight(\{\})? 0$/m)
    const leaving = new AbortController()
    const waiting = ask(web, '/slow', { signal: leaving.signal })
    leaving.abort()
    expect((await waiting).status).toBe(499)
  })

  it('keeps the config that runs when a new one is wrong', async () => {
    const web = await gatewayWith()
    expect(await web.reload({ config: '{"routes": [{"pools": ["none"]}]}' })).toBe(false)
    expect(web.lastError).toContain('there is no pool "none"')
    expect((await ask(web, '/hello')).status).toBe(200)
    expect(await web.reload({ config: '{"routes": [{"respond": {"status": 418}}]}' })).toBe(true)
    expect((await ask(web, '/hello')).status).toBe(418)
  })
})

describe('capabilities', () => {
  const fetchOnly = { ...WEB_CAPABILITIES, platform: 'Cloudflare Workers', addresses: false }
  it.each([
    { origin: { url: 'unix:/run/app.sock' }, path: 'pools.app.origins[0].url' },
    { origin: { url: 'http://10.0.0.5:8080' }, path: 'pools.app.origins[0].url' },
    { origin: { url: 'http://[2001:db8::1]' }, path: 'pools.app.origins[0].url' },
    {
      origin: { url: 'https://a.test', host: 'b.test' },
      path: 'pools.app.origins[0].host',
    },
    {
      origin: { url: 'https://a.test', tls: { verify: false } },
      path: 'pools.app.origins[0].tls.verify',
    },
    {
      origin: { url: 'https://a.test', tls: { serverName: 'b.test' } },
      path: 'pools.app.origins[0].tls.serverName',
    },
  ])('refuses $origin at load', async ({ origin: entry, path }) => {
    const config = { pools: { app: { origins: [entry] } }, routes: [{ pools: ['app'] }] }
    const failure = await WebGateway.create({
      config: JSON.stringify(config),
      capabilities: fetchOnly,
    }).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(ConfigError)
    expect((failure as ConfigError).problems.map((problem) => problem.path)).toEqual([path])
  })

  it('refuses checks by TCP and a geo database', async () => {
    const app = { origins: [{ url: 'https://a.test' }], health: { type: 'tcp' as const } }
    const failure = await gatewayWith({
      pools: { app },
      geo: { database: './geo.mmdb' },
    }).catch((error: unknown) => error)
    expect((failure as ConfigError).problems.map((problem) => problem.path)).toEqual([
      'pools.app.health.type',
      'geo.database',
    ])
  })
})

describe('streams', () => {
  it('ask a producer for no more than is read', async () => {
    let produced = 0
    const source = endless(() => produced++)
    const reader = readableFrom(source).getReader()
    await reader.read()
    await new Promise((resolve) => setTimeout(resolve, 20))
    // 64 KiB of queue, in pieces of 16 KiB, and what was read.
    expect(produced).toBeLessThanOrEqual(6)
    await reader.cancel()
    expect(source.isCancelled).toBe(true)
  })

  it('read no more than the sink takes', async () => {
    let pulled = 0
    const stream = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          pulled++
          controller.enqueue(new Uint8Array(1000))
        },
      },
      { highWaterMark: 0 },
    )
    const body = new ReaderStream(stream, { length: null, idleMs: 1000, cut: cutError })
    let got = 0
    body.pipe({ write: () => ++got % 3 !== 0, end: () => {}, fail: () => {} })
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect([got, pulled]).toEqual([3, 3])
    body.resume()
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect([got, pulled]).toEqual([6, 6])
    body.cancel()
  })

  it('call a body cut that is shorter than announced', async () => {
    const stream = new Blob(['four']).stream()
    const body = new ReaderStream(stream, { length: 5, idleMs: 1000, cut: cutError })
    const outcome = await new Promise<string>((resolve) => {
      body.pipe({
        write: () => true,
        end: () => resolve('ended'),
        fail: (error) => resolve(error.message),
      })
    })
    expect(outcome).toBe('4 of 5 bytes came')
  })

  it('replay a body while it is kept whole', async () => {
    const options = { length: null, maxBytes: 1e6, replayBytes: 100, idleMs: 1000 }
    const short = new WebBody(new Blob(['short']).stream(), options)
    expect(await short.prefix(3)).toMatchObject({ truncated: true })
    expect(await drained(short.open())).toBe(5)
    expect(short.isReplayable).toBe(true)
    expect(await drained(short.open())).toBe(5)
    const long = new WebBody(new Blob(['l'.repeat(5000)]).stream(), options)
    expect(await drained(long.open())).toBe(5000)
    expect(long.isReplayable).toBe(false)
    const cut = new WebBody(new Blob(['cut']).stream(), { ...options, length: 4 })
    await expect(cut.prefix(10)).rejects.toBeInstanceOf(RequestBodyError)
  })
})

describe('content codings', () => {
  const text = Buffer.from('plain text, '.repeat(500))
  it.each([
    { coding: 'gzip', bytes: gzipSync(text) },
    { coding: 'deflate', bytes: deflateSync(text) },
    { coding: 'deflate', bytes: deflateRawSync(text) },
  ])('$coding is taken off', async ({ coding, bytes }) => {
    const decoded = await webDecoder.decode(coding, bytes, 100_000)
    expect(Buffer.from(decoded?.bytes ?? [])).toEqual(text)
    expect(decoded).toMatchObject({ end: 'complete', consumed: bytes.length })
    const cut = await webDecoder.decode(coding, bytes.subarray(0, bytes.length - 8), 100_000)
    expect(cut?.end).toBe('cut')
  })

  it('a bomb costs what is wanted of it', async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000), { level: 1 })
    const decoded = await webDecoder.decode('gzip', bomb, 65_536)
    expect([decoded?.end, decoded?.bytes.length]).toEqual(['full', 65_536])
    // The runtime takes its own queue of input, and no more.
    expect(decoded?.consumed).toBeLessThanOrEqual(65_536)
    expect(bomb.length).toBeGreaterThan(131_072)
  })

  it('what is not a coding, or not that one, is said to be', async () => {
    expect((await webDecoder.decode('gzip', text, 100))?.end).toBe('broken')
    expect(webDecoder.decode('br', text, 100)).toBeUndefined()
  })
})

it('carries the version of the package', () => {
  expect(VERSION).toBe(manifest.version)
})

const cutError = (detail: string) => new Error(detail)

function endless(onPiece: () => void): ByteStream & { isCancelled: boolean } {
  let sink: ByteSink | undefined
  const pump = () => {
    do onPiece()
    while (sink?.write(new Uint8Array(16_384)))
  }
  return {
    isCancelled: false,
    length: null,
    pipe(to) {
      sink = to
      pump()
    },
    resume: pump,
    cancel() {
      this.isCancelled = true
    },
  }
}

function drained(body: Uint8Array | ByteStream): Promise<number> {
  if (body instanceof Uint8Array) return Promise.resolve(body.length)
  return new Promise((resolve, reject) => {
    let total = 0
    body.pipe({
      write(chunk) {
        total += chunk.length
        return true
      },
      end: () => resolve(total),
      fail: reject,
    })
  })
}
