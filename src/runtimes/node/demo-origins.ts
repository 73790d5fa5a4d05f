/**
 * Three small real origins for the demo, the tests and the benchmark: each answers with JSON naming its
 * region, and has paths for caching, slowness, errors, large bodies, events and WebSockets.
 *
 * Run by itself it is one origin in a process of its own, so that somebody can kill it:
 * `node dist/runtimes/node/demo-origins.js REGION PORT`.
 */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { pathToFileURL } from 'node:url'
import { echoFrames } from './demo-websocket.ts'

export const DEMO_REGIONS = ['eu-central-1', 'us-east-1', 'ap-southeast-1'] as const

export interface DemoOrigin {
  readonly region: string
  readonly port: number
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  /** Requests answered or under way, health checks not counted. */
  readonly hits: () => number
  /** What `/healthz` says from now on: 200 or 503. */
  readonly setHealthy: (isHealthy: boolean) => void
  /** Stops listening and cuts every connection, like a crash. */
  readonly close: () => Promise<void>
}

export interface DemoOrigins {
  readonly origins: readonly DemoOrigin[]
  readonly close: () => Promise<void>
}

export interface DemoOriginsOptions {
  /** One for each region; 0 picks a free one, which is also the default. */
  readonly ports?: readonly number[]
  readonly regions?: readonly string[]
}

/** Largest answer of `/bytes/N`, bytes. */
const MAX_BYTES = 1024 ** 3
const MAX_WAIT_MS = 600_000
const CHUNK = Buffer.alloc(64 * 1024, 'meridian ')
const ETAG = '"demo-1"'
/** RFC 6455 §1.3. */
const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** What one origin knows while it runs. */
interface OriginState {
  readonly region: string
  isHealthy: boolean
  hits: number
}

type Handler = (
  state: OriginState,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
) => void

function json(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  const text = `${JSON.stringify(body)}\n`
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...headers,
  })
  response.end(text)
}

/** A whole number from the query or path, between 0 and `most`. */
function whole(text: string | null | undefined, fallback: number, most: number): number {
  const value = text === null || text === undefined || text === '' ? fallback : Number(text)
  return Number.isInteger(value) ? Math.min(Math.max(value, 0), most) : fallback
}

function describe(state: OriginState, request: IncomingMessage, url: URL): Record<string, unknown> {
  return {
    region: state.region,
    method: request.method,
    path: url.pathname,
    query: url.search.slice(1),
    requestId: request.headers['x-request-id'] ?? null,
    forwardedFor: request.headers['x-forwarded-for'] ?? null,
    host: request.headers.host ?? null,
    hit: state.hits,
  }
}

/** Writes `total` bytes with back-pressure, then ends. */
function sendBytes(response: ServerResponse, total: number): void {
  let left = total
  const more = (): void => {
    while (left > 0) {
      const piece = left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left)
      left -= piece.length
      if (!response.write(piece)) {
        response.once('drain', more)
        return
      }
    }
    response.end()
  }
  more()
}

/** Runs `send` every `everyMs` until it answers false or the client has gone. */
function repeat(response: ServerResponse, everyMs: number, send: (count: number) => boolean): void {
  let count = 0
  const timer = setInterval(() => {
    count++
    if (!send(count)) clearInterval(timer)
  }, everyMs)
  response.on('close', () => clearInterval(timer))
}

const HANDLERS: Readonly<Record<string, Handler>> = {
  /** `?max-age=SECONDS&swr=SECONDS`: may be cached. */
  cached(state, request, response, url) {
    const maxAge = whole(url.searchParams.get('max-age'), 60, 1e9)
    const stale = whole(url.searchParams.get('swr'), 0, 1e9)
    const control = stale > 0 ? `, stale-while-revalidate=${stale}` : ''
    json(response, 200, describe(state, request, url), {
      'cache-control': `public, max-age=${maxAge}${control}`,
    })
  },
  /** Must be revalidated each time; answers 304 to the right `If-None-Match`. */
  etag(state, request, response, url) {
    const headers = { etag: ETAG, 'cache-control': 'no-cache' }
    if (request.headers['if-none-match'] === ETAG) {
      response.writeHead(304, headers)
      response.end()
      return
    }
    json(response, 200, describe(state, request, url), headers)
  },
  /** `?ms=N`: the answer begins after so long. */
  slow(state, request, response, url) {
    const timer = setTimeout(
      () => json(response, 200, describe(state, request, url)),
      whole(url.searchParams.get('ms'), 1000, MAX_WAIT_MS),
    )
    response.on('close', () => clearTimeout(timer))
  },
  /** `?count=N&ms=M`: N lines, one every M milliseconds. */
  drip(state, _request, response, url) {
    const lines = whole(url.searchParams.get('count'), 5, 100_000)
    response.writeHead(200, { 'content-type': 'text/plain' })
    response.flushHeaders()
    repeat(response, Math.max(1, whole(url.searchParams.get('ms'), 200, MAX_WAIT_MS)), (count) => {
      if (count <= lines) response.write(`${state.region} ${count}\n`)
      if (count >= lines) response.end()
      return count < lines
    })
  },
  /** `/status/503` */
  status(state, request, response, url) {
    const status = Math.max(200, whole(url.pathname.split('/')[2], 200, 599))
    if (status === 204 || status === 304) {
      response.writeHead(status)
      response.end()
      return
    }
    json(response, status, describe(state, request, url))
  },
  /** Announces more than it sends, then closes in an orderly way. */
  cut(_state, _request, response) {
    response.writeHead(200, { 'content-type': 'text/plain', 'content-length': 1000 })
    response.write('cut here')
    setImmediate(() => response.socket?.end())
  },
  /** Resets the connection without an answer. */
  reset(_state, request) {
    request.socket.resetAndDestroy()
  },
  /** `/bytes/N`, with `?chunked` of unknown length. */
  bytes(_state, _request, response, url) {
    const total = whole(url.pathname.split('/')[2], 1024, MAX_BYTES)
    const headers: Record<string, string | number> = { 'content-type': 'application/octet-stream' }
    if (!url.searchParams.has('chunked')) headers['content-length'] = total
    response.writeHead(200, headers)
    sendBytes(response, total)
  },
  /** The header fields as they arrived, in order. */
  headers(state, request, response) {
    const fields: [string, string][] = []
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
      fields.push([request.rawHeaders[i] ?? '', request.rawHeaders[i + 1] ?? ''])
    }
    json(response, 200, { region: state.region, headers: fields })
  },
  /** Length and SHA-256 of the request body. */
  echo(state, request, response) {
    const hash = createHash('sha256')
    let length = 0
    request.on('data', (chunk: Buffer) => {
      length += chunk.length
      hash.update(chunk)
    })
    request.on('end', () => {
      json(response, 200, { region: state.region, length, sha256: hash.digest('hex') })
    })
  },
  /** `?ms=N`: server-sent events until the client leaves. */
  events(state, _request, response, url) {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    response.flushHeaders()
    const everyMs = Math.max(1, whole(url.searchParams.get('ms'), 1000, MAX_WAIT_MS))
    repeat(response, everyMs, (count) => {
      response.write(`id: ${count}\ndata: {"region":"${state.region}","count":${count}}\n\n`)
      return true
    })
  },
  /** 200 or 503; `POST /healthz?ok=0` switches it off, `?ok=1` on. */
  healthz(state, request, response, url) {
    if (request.method === 'POST') state.isHealthy = url.searchParams.get('ok') !== '0'
    json(response, state.isHealthy ? 200 : 503, { region: state.region, healthy: state.isHealthy })
  },
}

function answer(state: OriginState, request: IncomingMessage, response: ServerResponse): void {
  // Only origin form has a path; `OPTIONS *` and the like are answered as the root.
  const target = request.url?.startsWith('/') === true ? request.url : '/'
  const url = new URL(`http://origin${target}`)
  const name = url.pathname.split('/')[1] ?? ''
  if (name !== 'healthz') state.hits++
  response.setHeader('x-origin-region', state.region)
  const handler = Object.hasOwn(HANDLERS, name) ? HANDLERS[name] : undefined
  if (handler === undefined) {
    json(response, 200, describe(state, request, url), { 'cache-control': 'no-store' })
  } else {
    handler(state, request, response, url)
  }
  // A body that no handler reads would hold the connection.
  if (name !== 'echo') request.resume()
}

/** `/ws` echoes every message. */
function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const key = request.headers['sec-websocket-key']
  const isWebSocket = request.headers.upgrade?.toLowerCase() === 'websocket'
  if (!isWebSocket || key === undefined || !(request.url ?? '').startsWith('/ws')) {
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    return
  }
  const accept = createHash('sha1')
    .update(key + WEBSOCKET_GUID)
    .digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
  echoFrames(socket, head)
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject)
      // A TCP server that listens has an address with a port.
      resolve((server.address() as AddressInfo).port)
    })
  })
}

/** @param port 0 picks a free one */
export async function startDemoOrigin(region: string, port = 0): Promise<DemoOrigin> {
  const state: OriginState = { region, isHealthy: true, hits: 0 }
  // Longer than any gateway keeps an idle connection, so that it is the gateway that closes.
  const server = createServer({ keepAliveTimeout: 120_000 }, (request, response) =>
    answer(state, request, response),
  )
  const upgraded = new Set<Duplex>()
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    upgraded.add(socket)
    socket.on('close', () => upgraded.delete(socket))
    state.hits++
    upgrade(request, socket, head)
  })
  const actualPort = await listen(server, port)
  return {
    region,
    port: actualPort,
    url: `http://127.0.0.1:${actualPort}`,
    hits: () => state.hits,
    setHealthy: (isHealthy) => {
      state.isHealthy = isHealthy
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
        for (const socket of upgraded) socket.destroy()
      }),
  }
}

/** Starts one origin for each region; all or none. */
export async function startDemoOrigins(options: DemoOriginsOptions = {}): Promise<DemoOrigins> {
  const regions = options.regions ?? DEMO_REGIONS
  const started = await Promise.allSettled(
    regions.map((region, i) => startDemoOrigin(region, options.ports?.[i] ?? 0)),
  )
  const origins: DemoOrigin[] = []
  const failures: unknown[] = []
  for (const result of started) {
    if (result.status === 'fulfilled') origins.push(result.value)
    else failures.push(result.reason)
  }
  const close = async (): Promise<void> => {
    await Promise.all(origins.map((origin) => origin.close()))
  }
  if (failures.length > 0) {
    await close()
    throw failures[0]
  }
  return { origins, close }
}

async function main(region: string | undefined, portText: string | undefined): Promise<void> {
  const port = Number(portText ?? 0)
  if (region === undefined || !Number.isInteger(port) || port < 0 || port > 65535) {
    process.stderr.write('usage: demo-origins REGION [PORT]\n')
    process.exitCode = 2
    return
  }
  try {
    const origin = await startDemoOrigin(region, port)
    // A parent process reads this line to learn the port.
    process.stdout.write(`${JSON.stringify({ region, port: origin.port, pid: process.pid })}\n`)
    const stop = (): void => {
      void origin.close()
    }
    process.once('SIGTERM', stop)
    process.once('SIGINT', stop)
    // Started by the demo: when that is gone, however it ended, nobody needs this origin.
    process.once('disconnect', () => process.exit(0))
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}

const entry = process.argv[1]
if (entry !== undefined && import.meta.url === pathToFileURL(entry).href) {
  await main(process.argv[2], process.argv[3])
}
