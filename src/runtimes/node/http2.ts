/**
 * HTTP/2 on `node:http2`, stream by stream (the compatibility layer builds request and response objects
 * that are not needed here). Session budgets close clients that reset, ping or change settings in floods:
 * nghttp2 alone swallows 20,000 of each.
 */
import http2, { type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { ListenConfig } from '../../config/sections/listen.ts'
import { type InterimSink, type Reply, RequestBodyError } from '../../exchange.ts'
import type { Gateway, Passage, Peer } from '../../gateway.ts'
import type { Vetted } from '../../http/front.ts'
import { type ProxiedSocket, peerOf } from './peer.ts'
import { NodeBody } from './request-body.ts'
import { WriteGuard } from './write-guard.ts'

/** Over this window the budgets below count. */
const BUDGET_WINDOW_MS = 10_000
/** PINGs and SETTINGS a session may send in a window. */
const CONTROL_FRAMES = 200

interface SessionState {
  readonly peer: Peer
  resets: number
  control: number
  windowStart: number
}

class Serving implements InterimSink {
  readonly stream: ServerHttp2Stream
  readonly endsWithHeaders: boolean
  body: NodeBody | null = null
  exchange: Passage | undefined
  reply: Reply | undefined
  bytesOut = 0
  isWhole = false
  /** It was this side that gave up on the stream. */
  wasCutHere = false

  constructor(stream: ServerHttp2Stream, endsWithHeaders: boolean) {
    this.stream = stream
    this.endsWithHeaders = endsWithHeaders
  }

  interim(status: number, headers: readonly string[]): void {
    sendHints(this.stream, status, headers)
  }
}

const STATE = Symbol('session-state')
interface MarkedSession {
  [STATE]?: SessionState
}

export class Http2Front {
  readonly server: http2.Http2Server
  readonly #gateway: Gateway
  readonly #listen: ListenConfig
  readonly #sessions = new Set<ServerHttp2Session>()

  constructor(gateway: Gateway, listen: ListenConfig) {
    this.#gateway = gateway
    this.#listen = listen
    this.server = http2.createServer({
      settings: {
        maxConcurrentStreams: listen.limits.http2Streams,
        enablePush: false,
        enableConnectProtocol: false,
        initialWindowSize: 256 * 1024,
        maxHeaderListSize: listen.limits.headerBytes,
      },
      maxSessionMemory: 16,
      maxHeaderListPairs: Math.max(listen.limits.headerFields, 4) + 4,
      maxSessionInvalidFrames: 100,
      peerMaxConcurrentStreams: 100,
    })
    this.server.on('session', (session) => this.#onSession(session))
    // The types leave the raw header list out.
    this.server.on('stream', ((
      stream: ServerHttp2Stream,
      _headers: http2.IncomingHttpHeaders,
      flags: number,
      rawHeaders: string[],
    ) => this.#onStream(stream, flags, rawHeaders)) as (...args: unknown[]) => void)
    this.server.on('sessionError', (_error, session) => session.destroy())
    this.server.setTimeout(0)
  }

  drain(): void {
    for (const session of this.#sessions) session.close()
  }

  destroy(): void {
    for (const session of this.#sessions) session.destroy()
  }

  #onSession(session: ServerHttp2Session): void {
    const state: SessionState = {
      peer: peerOf(session.socket as TLSSocket & ProxiedSocket),
      resets: 0,
      control: 0,
      windowStart: performance.now(),
    }
    ;(session as ServerHttp2Session & MarkedSession)[STATE] = state
    this.#sessions.add(session)
    session.on('close', () => this.#sessions.delete(session))
    session.on('error', () => session.destroy())
    session.setTimeout(this.#listen.timeouts.keepAlive, () => session.close())
    const onControl = () => {
      renewWindow(state)
      if (++state.control > CONTROL_FRAMES) calmDown(session)
    }
    session.on('ping', onControl)
    session.on('remoteSettings', onControl)
  }

  #onStream(stream: ServerHttp2Stream, flags: number, rawHeaders: readonly string[]): void {
    const session = stream.session as (ServerHttp2Session & MarkedSession) | undefined
    const state = session?.[STATE]
    stream.on('error', ignore)
    if (session === undefined || state === undefined || session.destroyed) return
    const serving = new Serving(stream, (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0)
    stream.on('close', () => {
      // Whatever code the client chose, or made nghttp2 choose: the work was for nothing.
      if (!serving.isWhole && !serving.wasCutHere) {
        renewWindow(state)
        if (++state.resets > this.#listen.limits.http2Resets) calmDown(session)
      }
      this.#onClosed(serving)
    })
    const exchange = this.#gateway.admit(
      rawRequest(rawHeaders, state.peer),
      state.peer,
      serving,
      (self, vetted) => this.#openBody(self, vetted),
    )
    serving.exchange = exchange
    exchange.interim = serving
    const reply = this.#gateway.handle(exchange)
    if (reply instanceof Promise) reply.then((answer) => this.#write(serving, answer))
    else this.#write(serving, reply)
  }

  #openBody(serving: Serving, vetted: Vetted): NodeBody | null {
    const { stream } = serving
    if (serving.endsWithHeaders) return null
    let sawEnd = false
    stream.on('end', () => {
      sawEnd = true
    })
    const body = new NodeBody(stream, {
      length: vetted.bodyLength,
      maxBytes: this.#listen.limits.body,
      replayBytes: 64 * 1024,
      idleMs: this.#listen.timeouts.body,
      onFirstRead: vetted.expectContinue
        ? () => stream.additionalHeaders({ ':status': 100 })
        : undefined,
      // `end` also comes after `aborted`: only an end without a reset is one.
      isComplete: () => sawEnd && !stream.aborted && stream.rstCode === 0,
    })
    stream.on('aborted', () => body.fail(new RequestBodyError('body-cut')))
    // nghttp2 drops malformed trailer fields without a word. A trailer section that is empty behind it
    // was one of those (or says nothing): RFC 9113 §8.2.1 has such a message treated as malformed.
    stream.on('trailers', ((_trailers: unknown, _flags: number, raw: readonly string[]) => {
      if (raw.length > 0) return
      body.fail(new RequestBodyError('body-cut'))
      stream.close(http2.constants.NGHTTP2_PROTOCOL_ERROR)
    }) as (...args: unknown[]) => void)
    serving.body = body
    return body
  }

  #write(serving: Serving, reply: Reply): void {
    const { stream } = serving
    serving.reply = reply
    const { body } = reply
    if (stream.destroyed || stream.closed || stream.headersSent) {
      if (body !== null && !(body instanceof Uint8Array)) body.cancel()
      return
    }
    const isHead = serving.exchange?.method === 'HEAD'
    const hasNoBody = body === null || isHead
    stream.respond(headerObject(reply), { endStream: hasNoBody })
    if (hasNoBody) {
      serving.isWhole = true
      if (body !== null && !(body instanceof Uint8Array)) body.cancel()
    } else if (body instanceof Uint8Array) {
      serving.bytesOut = body.length
      stream.end(body, () => {
        serving.isWhole = true
      })
      if (stream.writableLength > 0) this.#guard(serving).stalled()
    } else {
      const guard = this.#guard(serving)
      body.pipe({
        write(chunk) {
          serving.bytesOut += chunk.length
          const flowing = stream.write(chunk)
          if (!flowing) guard.stalled()
          return flowing
        },
        end() {
          stream.end(() => {
            serving.isWhole = true
          })
          serving.body?.discard()
        },
        // A cut body must look cut: `close` would end the stream before it resets it.
        fail: (error) => {
          serving.wasCutHere = true
          stream.destroy(error)
        },
      })
      stream.on('drain', () => {
        guard.flowing()
        body.resume()
      })
      // An origin may answer while it still takes the request's body.
      return
    }
    serving.body?.discard()
  }

  #guard(serving: Serving): WriteGuard {
    const { stream } = serving
    const guard = new WriteGuard(
      () => serving.bytesOut - stream.writableLength,
      this.#listen.timeouts.write,
      () => {
        serving.wasCutHere = true
        stream.close(http2.constants.NGHTTP2_CANCEL)
      },
    )
    stream.on('close', () => guard.stop())
    return guard
  }

  #onClosed(serving: Serving): void {
    const { exchange, reply } = serving
    if (exchange === undefined) return
    serving.exchange = undefined
    if (!serving.isWhole) {
      exchange.abort()
      if (reply !== undefined && reply.body !== null && !(reply.body instanceof Uint8Array)) {
        reply.body.cancel()
      }
    }
    this.#gateway.finish(exchange, reply, {
      bytesIn: serving.body?.receivedBytes ?? 0,
      bytesOut: serving.bytesOut,
      complete: serving.isWhole,
    })
  }
}

const ignore = () => {}

/** 103 with its links (RFC 8297); other interim responses mean nothing behind a proxy. */
function sendHints(stream: ServerHttp2Stream, status: number, fields: readonly string[]): void {
  if (status !== 103 || stream.headersSent || stream.destroyed || stream.closed) return
  const links: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i]?.toLowerCase() === 'link') links.push(fields[i + 1] ?? '')
  }
  if (links.length > 0) stream.additionalHeaders({ ':status': 103, link: links })
}

/** Ends a connection that floods. Without an error Node would send the code of an ordinary end. */
function calmDown(session: ServerHttp2Session): void {
  session.destroy(new Error('flood'), http2.constants.NGHTTP2_ENHANCE_YOUR_CALM)
}

function renewWindow(state: SessionState): void {
  const now = performance.now()
  if (now - state.windowStart > BUDGET_WINDOW_MS) {
    state.windowStart = now
    state.resets = 0
    state.control = 0
  }
}

/** Pseudo fields apart, cookie crumbs joined (RFC 9113 §8.2.3). */
function rawRequest(rawHeaders: readonly string[], peer: Peer) {
  let method = ''
  let target = ''
  let authority: string | undefined
  let cookie: string | undefined
  const headers: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    const value = rawHeaders[i + 1] as string
    if (name === ':method') method = value
    else if (name === ':path') target = value
    else if (name === ':authority') authority = value
    else if (name === 'cookie') cookie = cookie === undefined ? value : `${cookie}; ${value}`
    else if (name.charCodeAt(0) !== 58) headers.push(name, value)
  }
  if (cookie !== undefined) headers.push('cookie', cookie)
  return { method, target, version: '2' as const, headers, authority, secure: peer.tls !== null }
}

function headerObject(reply: Reply): http2.OutgoingHttpHeaders {
  const out: Record<string, string | string[] | number> = { ':status': reply.status }
  const { headers } = reply
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase()
    const value = headers[i + 1] as string
    const before = out[name]
    if (before === undefined) out[name] = value
    else if (Array.isArray(before)) before.push(value)
    else out[name] = [String(before), value]
  }
  return out
}
