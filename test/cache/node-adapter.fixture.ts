/**
 * The cache alone behind a socket: a bare node:http proxy around `ResponseCache`, for tests that want real
 * connections without the rest of the gateway.
 */
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import * as v from 'valibot'
import { compileCachePolicy } from '../../src/cache/policy/cache-policy.ts'
import type { CacheRequest, Forward, ForwardOptions } from '../../src/cache/response-cache.ts'
import { ResponseCache } from '../../src/cache/response-cache.ts'
import { CacheSection, RouteCacheSection } from '../../src/config/sections/cache.ts'
import {
  type ByteSink,
  type ByteStream,
  HeaderList,
  type Reply,
  UNKNOWN_GEO,
} from '../../src/exchange.ts'
import { type Clock, type Random, UpstreamError } from '../../src/ports.ts'

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delay, run) {
    const timer = setTimeout(run, delay)
    timer.unref()
    return () => clearTimeout(timer)
  },
}
export const systemRandom: Random = {
  next: () => Math.random(),
  bytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
}

const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'proxy-authorization',
])

class IncomingStream implements ByteStream {
  readonly length: number | null
  readonly #message: http.IncomingMessage
  constructor(message: http.IncomingMessage, length: number | null) {
    this.#message = message
    this.length = length
  }

  pipe(sink: ByteSink): void {
    let received = 0
    let isDone = false
    const message = this.#message
    const finish = () => {
      if (isDone) return
      isDone = true
      sink.end()
    }
    message.on('data', (chunk: Buffer) => {
      received += chunk.length
      if (!sink.write(chunk)) message.pause()
      // Node reports bytes beyond Content-Length as a broken message although this one is complete.
      if (received === this.length) finish()
    })
    message.on('end', finish)
    message.on('error', (error) => {
      if (isDone) return
      isDone = true
      sink.fail(error)
    })
    message.on('close', () => {
      if (isDone) return
      isDone = true
      sink.fail(new UpstreamError('truncated', 'closed'))
    })
  }

  resume(): void {
    this.#message.resume()
  }

  cancel(): void {
    this.#message.destroy()
  }
}

function forwarder(origin: { host: string; port: number }, body: Buffer | null): Forward {
  return (options: ForwardOptions) =>
    new Promise<Reply>((resolve, reject) => {
      const headers: string[] = []
      for (let i = 0; i < options.headers.length; i += 2) {
        const name = options.headers[i] as string
        if (HOP_BY_HOP.has(name.toLowerCase()) || name.toLowerCase() === 'host') continue
        headers.push(name, options.headers[i + 1] as string)
      }
      headers.push('Host', options.authority)
      const request = http.request({
        ...origin,
        method: options.method,
        path: options.pathAndQuery,
        headers,
        agent: false,
      })
      request.on('response', (message) => {
        const fields: string[] = []
        for (let i = 0; i < message.rawHeaders.length; i += 2) {
          const name = (message.rawHeaders[i] as string).toLowerCase()
          if (name === 'transfer-encoding' || name === 'keep-alive') continue
          fields.push(message.rawHeaders[i] as string, message.rawHeaders[i + 1] as string)
        }
        const status = message.statusCode ?? 502
        const length = message.headers['content-length']
        const isEmpty = options.method === 'HEAD' || status === 204 || status === 304
        if (isEmpty) message.resume()
        resolve({
          status,
          headers: fields,
          body: isEmpty
            ? null
            : new IncomingStream(message, length === undefined ? null : Number(length)),
        })
      })
      request.on('error', (error) => reject(new UpstreamError('reset', error.message)))
      options.control.onAbort = { cancel: () => request.destroy() }
      request.end(options.withBody ? (body ?? undefined) : undefined)
    })
}

function send(response: http.ServerResponse, reply: Reply, isHead: boolean): void {
  const headers: string[] = []
  for (let i = 0; i < reply.headers.length; i += 2) {
    if (HOP_BY_HOP.has((reply.headers[i] as string).toLowerCase())) continue
    headers.push(reply.headers[i] as string, reply.headers[i + 1] as string)
  }
  response.writeHead(reply.status, headers)
  const { body } = reply
  if (body === null || isHead) {
    if (body !== null && 'cancel' in body) body.cancel()
    response.end()
    return
  }
  if ('byteLength' in body) {
    response.end(body)
    return
  }
  response.on('drain', () => body.resume())
  response.on('close', () => body.cancel())
  body.pipe({
    write: (chunk) => response.write(chunk),
    end: () => response.end(),
    fail: () => response.destroy(),
  })
}

export interface Adapter {
  readonly port: number
  readonly cache: ResponseCache
  close(): Promise<void>
}

/** Starts the proxy on an ephemeral port of the loopback. */
export async function startAdapter(
  origin: { host: string; port: number },
  profile: 'safe' | 'rfc9111',
  route: v.InferInput<typeof RouteCacheSection> = {},
  listenPort = 0,
): Promise<Adapter> {
  const shared = v.parse(CacheSection, { profile })
  const policy = compileCachePolicy(v.parse(RouteCacheSection, route), shared)
  const cache = new ResponseCache({
    clock: systemClock,
    random: systemRandom,
    name: shared.name,
    statusHeader: true,
    memoryBytes: shared.memory,
    admission: shared.admission,
    maxMemoryObject: shared.maxMemoryObject,
    fillMemory: shared.fillMemory,
  })
  const server = http.createServer((incoming, response) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const body = chunks.length > 0 ? Buffer.concat(chunks) : null
      const raw = incoming.url ?? '/'
      const mark = raw.indexOf('?')
      const request: CacheRequest = {
        method: incoming.method ?? 'GET',
        scheme: 'http',
        authority: incoming.headers.host ?? 'localhost',
        target: {
          raw,
          path: mark < 0 ? raw : raw.slice(0, mark),
          query: mark < 0 ? '' : raw.slice(mark + 1),
          pathAndQuery: raw,
        },
        headers: new HeaderList(incoming.rawHeaders),
        geo: UNKNOWN_GEO,
        principal: undefined,
        body: null,
        cacheStatus: undefined,
        served: undefined,
        aborted: false,
        onAbort: undefined,
      }
      response.on('close', () => {
        request.aborted = true
        request.onAbort?.cancel()
      })
      const fail = (error: Error) => {
        response.writeHead(502, { 'x-error': error.message.replace(/[^ -~]/g, '') })
        response.end()
      }
      Promise.resolve()
        .then(() => cache.respond(request, policy, forwarder(origin, body)))
        .then((reply) => send(response, reply, incoming.method === 'HEAD'))
        .catch(fail)
    })
  })
  server.listen(listenPort, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    cache,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}
