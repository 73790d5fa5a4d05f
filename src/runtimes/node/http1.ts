/**
 * HTTP/1.1 on `node:http`: requests become exchanges, replies become bytes. What the parser refuses is
 * answered and recorded like any other refusal.
 *
 * Traps this file is written around: a refused request must also stop those already parsed on its
 * connection; one connection with 2,000 pipelined requests would make 2,000 concurrent handlers; no
 * default ends a client that does not read its response.
 */
import http, { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import type { ListenConfig } from '../../config/sections/listen.ts'
import { type InterimSink, type Reply, RequestBodyError } from '../../exchange.ts'
import type { Gateway, Passage, Peer } from '../../gateway.ts'
import type { Vetted } from '../../http/front.ts'
import type { ProblemCode } from '../../http/problem.ts'
import { type ProxiedSocket, peerOf } from './peer.ts'
import { hold, release } from './read-hold.ts'
import { NodeBody } from './request-body.ts'
import { joinTunnel } from './tunnel.ts'
import { WriteGuard } from './write-guard.ts'

/** What is kept for a client connection. */
interface Connection {
  readonly front: Http1Front
  readonly peer: Peer
  /** Requests handed to the gateway and not yet answered. */
  inFlight: Serving[]
  /** Parsed requests above the pipelining cap. */
  waiting: Serving[]
  /** Nothing more is taken from this connection. */
  closing: boolean
  /** What to write once the earlier requests are answered: the parser refused what followed. */
  onIdle: (() => void) | undefined
  served: number
}

/** One request and its response on the way. */
class Serving implements InterimSink {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly connection: Connection
  readonly expectsContinue: boolean
  body: NodeBody | null = null
  exchange: Passage | undefined
  reply: Reply | undefined
  bytesOut = 0

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    connection: Connection,
    expectsContinue: boolean,
  ) {
    this.request = request
    this.response = response
    this.connection = connection
    this.expectsContinue = expectsContinue
  }

  interim(status: number, headers: readonly string[]): void {
    if (this.request.httpVersionMinor === 1) writeHints(this.response, status, headers)
  }
}

/** A new connection's first request may be on its way for so long when a drain begins. */
const FRESH_MS = 500

const CONNECTION = Symbol('connection')
const SERVING = Symbol('serving')
interface Marked {
  [CONNECTION]?: Connection
}
interface MarkedResponse {
  [SERVING]?: Serving
}

export class Http1Front {
  readonly server: http.Server
  readonly #gateway: Gateway
  readonly #listen: ListenConfig
  /** Connections without a request so far, and since when: Node does not count them as idle. */
  readonly #fresh = new Map<Duplex, number>()
  #draining = false

  constructor(gateway: Gateway, listen: ListenConfig) {
    this.#gateway = gateway
    this.#listen = listen
    const { timeouts, limits } = listen
    this.server = http.createServer({
      maxHeaderSize: limits.headerBytes,
      headersTimeout: timeouts.header,
      requestTimeout: timeouts.request,
      keepAliveTimeout: timeouts.keepAlive,
      connectionsCheckingInterval: 1000,
      insecureHTTPParser: false,
      // Checked by the front, which also leaves a record.
      requireHostHeader: false,
      joinDuplicateHeaders: false,
      noDelay: true,
      highWaterMark: 64 * 1024,
    })
    // One more than allowed, so that reaching it is seen: the parser drops what is above it silently.
    this.server.maxHeadersCount = limits.headerFields + 1
    this.server.timeout = 0
    this.server.maxRequestsPerSocket = limits.requestsPerConnection
    this.server.maxConnections = limits.connections
    this.server.on('connection', (socket) => {
      this.#fresh.set(socket, performance.now())
      socket.on('close', () => this.#fresh.delete(socket))
    })
    this.server.on('request', (request, response) => this.#onRequest(request, response, false))
    this.server.on('checkContinue', (request, response) => this.#onRequest(request, response, true))
    this.server.on('checkExpectation', (request, response) =>
      this.#onRequest(request, response, false),
    )
    this.server.on('upgrade', (request, socket, head) => this.#onUpgrade(request, socket, head))
    this.server.on('connect', (request, socket) => this.#onConnect(request, socket))
    this.server.on('clientError', (error, socket) => this.#onClientError(error, socket))
    // Node sets up its connection list when a server begins to listen. This one never does (connections
    // are handed to it), and without the list no header or request timeout fires and no idle connection
    // is closed by a drain.
    this.server.emit('listening')
  }

  /** Finish what is under way, take nothing new on kept-alive connections. To be called until all are gone. */
  drain(): void {
    this.#draining = true
    this.server.closeIdleConnections()
    const longAgo = performance.now() - FRESH_MS
    for (const [socket, since] of this.#fresh) if (since < longAgo) socket.destroy()
  }

  #connectionOf(socket: Duplex): Connection {
    const marked = socket as Duplex & Marked
    const known = marked[CONNECTION]
    if (known !== undefined) return known
    const connection: Connection = {
      front: this,
      peer: peerOf(socket as TLSSocket & ProxiedSocket),
      inFlight: [],
      waiting: [],
      closing: false,
      onIdle: undefined,
      served: 0,
    }
    marked[CONNECTION] = connection
    this.#fresh.delete(socket)
    // Before Node's own listeners, one of which would let the next waiting request begin.
    socket.prependListener('close', () => onConnectionClosed(connection))
    return connection
  }

  #onRequest(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void {
    const connection = this.#connectionOf(request.socket)
    if (connection.closing) return
    const serving = new Serving(request, response, connection, expectsContinue)
    if (connection.inFlight.length >= this.#listen.limits.pipelinedRequests) {
      connection.waiting.push(serving)
      // What has been read is parsed in any case; no more is read until these have begun.
      hold(request.socket)
      return
    }
    this.#serve(serving)
  }

  #serve(serving: Serving): void {
    const { request, response, connection } = serving
    connection.inFlight.push(serving)
    connection.served++
    ;(response as ServerResponse & MarkedResponse)[SERVING] = serving
    response.on('close', onResponseClose)
    const exchange = this.#gateway.admit(
      {
        method: request.method ?? '',
        target: request.url ?? '',
        version: request.httpVersionMinor === 0 ? '1.0' : '1.1',
        headers: request.rawHeaders,
        secure: connection.peer.tls !== null,
        malformed:
          request.httpVersionMajor === 1 && request.httpVersionMinor <= 1
            ? undefined
            : 'bad-version',
      },
      connection.peer,
      serving,
      bodyOf,
    )
    serving.exchange = exchange
    exchange.interim = serving
    if (exchange.refusal !== undefined) connection.closing = true
    const reply = this.#gateway.handle(exchange)
    if (reply instanceof Promise) reply.then((answer) => this.#write(serving, answer))
    else this.#write(serving, reply)
  }

  #write(serving: Serving, reply: Reply): void {
    const { response, connection, request } = serving
    serving.reply = reply
    // Not `response.socket`: a response behind others on its connection has none yet.
    if (response.destroyed || request.socket.destroyed) {
      discardBody(reply)
      return
    }
    if (reply.tunnel !== undefined) return
    const headers = reply.headers
    // Those before a refused request keep the connection until that has had its answer.
    const isLast = connection.inFlight.at(-1) === serving && connection.onIdle === undefined
    const mustClose =
      (isLast && (connection.closing || this.#draining)) ||
      (serving.body !== null && !request.complete && !serving.body.isShort)
    if (mustClose) {
      connection.closing = true
      headers.push('connection', 'close')
    }
    response.writeHead(reply.status, headers)
    const { body } = reply
    if (body === null || request.method === 'HEAD') {
      response.end()
      if (body !== null) discardBody(reply)
    } else if (body instanceof Uint8Array) {
      serving.bytesOut = body.length
      response.end(body)
      if (request.socket.writableLength > 0) this.#guard(serving)
    } else {
      const guard = this.#guard(serving)
      body.pipe({
        write(chunk) {
          serving.bytesOut += chunk.length
          const flowing = response.write(chunk)
          if (!flowing) guard.stalled()
          return flowing
        },
        end() {
          response.end()
          serving.body?.discard()
        },
        // A cut body must look cut: destroy the connection, never end the response.
        fail: () => cut(response),
      })
      // The first piece may be long in coming, and a waiting event stream has to open.
      if (serving.bytesOut === 0 && !response.writableEnded) response.flushHeaders()
      response.on('drain', () => {
        guard.flowing()
        body.resume()
      })
      // An origin may answer while it still takes the request's body.
      return
    }
    serving.body?.discard()
  }

  #guard(serving: Serving): WriteGuard {
    const { socket } = serving.request
    const guard = new WriteGuard(
      () => socket.bytesWritten - socket.writableLength,
      this.#listen.timeouts.write,
      () => serving.response.destroy(),
    )
    serving.response.on('close', () => guard.stop())
    if (serving.response.writableLength > 0) guard.stalled()
    return guard
  }

  /** A response is over, whole or cut: the record is written here, and the next request starts. */
  onClosed(serving: Serving): void {
    const { connection, exchange, response } = serving
    const index = connection.inFlight.indexOf(serving)
    if (index < 0) return
    connection.inFlight.splice(index, 1)
    const isWhole = response.writableFinished
    if (exchange !== undefined) {
      if (!isWhole) {
        exchange.abort()
        if (serving.reply !== undefined) discardBody(serving.reply)
      }
      this.#gateway.finish(exchange, serving.reply, {
        bytesIn: serving.body?.receivedBytes ?? 0,
        bytesOut: serving.bytesOut,
        complete: isWhole,
      })
    }
    if (connection.closing) {
      connection.waiting = []
      release(serving.request.socket)
      if (connection.inFlight.length === 0) connection.onIdle?.()
      return
    }
    const next = connection.waiting.shift()
    if (next === undefined) return
    if (connection.waiting.length === 0) release(next.request.socket)
    this.#serve(next)
  }

  /** The body of a request that has passed the front. */
  openBody(serving: Serving, vetted: Vetted): NodeBody | null {
    const { request, response } = serving
    if (vetted.bodyLength === 0) return null
    const { limits, timeouts } = this.#listen
    const body = new NodeBody(request, {
      length: vetted.bodyLength,
      maxBytes: limits.body,
      replayBytes: 64 * 1024,
      idleMs: timeouts.body,
      onFirstRead: serving.expectsContinue ? () => response.writeContinue() : undefined,
      isComplete: () => request.complete,
    })
    serving.body = body
    return body
  }

  /** The parser refused something on this connection (or a timeout of the server ended it). */
  #onClientError(error: Error & { code?: string }, socket: Duplex): void {
    const connection = this.#connectionOf(socket)
    const code = parserProblem(error.code)
    if (socket.destroyed || error.code === 'ECONNRESET' || error.code === 'EPIPE') {
      socket.destroy()
      return
    }
    if (connection.closing && connection.inFlight.length === 0) {
      socket.destroy()
      return
    }
    connection.closing = true
    connection.waiting = []
    const last = connection.inFlight.at(-1)
    if (last?.body != null && !last.request.complete) {
      // Broken in the middle of a body: its own exchange answers, or is cut if it has begun to.
      last.body.fail(
        new RequestBodyError(
          code === 'request-timeout' || code === 'body-too-large' ? code : 'body-cut',
        ),
      )
      connection.onIdle = () => endSoon(socket)
      if (last.response.headersSent) socket.destroy()
      return
    }
    if (connection.inFlight.length > 0) connection.onIdle = () => this.#refuse(socket, code)
    else this.#refuse(socket, code)
  }

  /** A problem answer on a bare socket, with its record. */
  #refuse(socket: Duplex, code: ProblemCode): void {
    const { exchange, reply } = this.#gateway.refuse(code, this.#connectionOf(socket).peer)
    let text = `HTTP/1.1 ${reply.status} ${STATUS_CODES[reply.status] ?? ''}\r\n`
    for (let i = 0; i < reply.headers.length; i += 2) {
      text += `${reply.headers[i]}: ${reply.headers[i + 1]}\r\n`
    }
    const body = reply.body instanceof Uint8Array ? Buffer.from(reply.body) : Buffer.alloc(0)
    if (socket.writable) {
      socket.write(Buffer.concat([Buffer.from(`${text}connection: close\r\n\r\n`, 'latin1'), body]))
    }
    endSoon(socket)
    this.#gateway.finish(exchange, reply, { bytesIn: 0, bytesOut: body.length, complete: true })
  }

  #onConnect(request: IncomingMessage, socket: Duplex): void {
    const connection = this.#connectionOf(socket)
    connection.closing = true
    void request
    this.#refuse(socket, 'method-not-allowed')
  }

  /**
   * Node hands over the socket for any `Upgrade`; only a WebSocket handshake is one. Everything else is
   * served as the plain request that it also is, and the connection is closed after it, since Node's
   * parser has let go of it.
   */
  #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const connection = this.#connectionOf(socket)
    if (connection.closing) return
    const response = new http.ServerResponse(request)
    response.assignSocket(socket as TLSSocket)
    response.shouldKeepAlive = false
    const serving = new Serving(request, response, connection, false)
    connection.inFlight.push(serving)
    ;(response as ServerResponse & MarkedResponse)[SERVING] = serving
    response.on('close', onResponseClose)
    response.on('finish', () => endSoon(socket))
    socket.on('error', () => socket.destroy())
    socket.on('close', () => response.destroy())
    const hasBody =
      request.headers['content-length'] !== undefined ||
      request.headers['transfer-encoding'] !== undefined
    const exchange = this.#gateway.admit(
      {
        method: request.method ?? '',
        target: request.url ?? '',
        version: request.httpVersionMinor === 0 ? '1.0' : '1.1',
        headers: request.rawHeaders,
        secure: connection.peer.tls !== null,
        malformed: hasBody ? 'bad-framing' : undefined,
      },
      connection.peer,
      serving,
      noBody,
    )
    serving.exchange = exchange
    connection.closing = true
    void Promise.resolve(this.#gateway.handle(exchange)).then((reply) => {
      serving.reply = reply
      if (reply.tunnel === undefined) this.#write(serving, reply)
      else {
        // The tunnel owns the socket from here.
        response.detachSocket(socket as TLSSocket)
        joinTunnel(socket, head, reply, (bytesIn, bytesOut) => {
          this.#gateway.finish(exchange, reply, { bytesIn, bytesOut, complete: true })
        })
        serving.exchange = undefined
      }
    })
  }
}

// Shared by all requests and responses: no closure for each.
const bodyOf = (serving: Serving, vetted: Vetted) =>
  serving.connection.front.openBody(serving, vetted)
const noBody = () => null

/** Node tells only the response whose turn it is that its connection is gone. */
function onConnectionClosed(connection: Connection): void {
  connection.closing = true
  connection.waiting = []
  connection.onIdle = undefined
  for (const serving of [...connection.inFlight]) connection.front.onClosed(serving)
}

function onResponseClose(this: ServerResponse): void {
  const serving = (this as ServerResponse & MarkedResponse)[SERVING]
  serving?.connection.front.onClosed(serving)
}

function discardBody(reply: Reply): void {
  const { body } = reply
  if (body !== null && !(body instanceof Uint8Array)) body.cancel()
  if (reply.tunnel !== undefined) (reply.tunnel as Duplex).destroy()
}

/** Ends a response in the middle. Where only the connection's end tells the body's, by a reset. */
function cut(response: ServerResponse): void {
  const { socket } = response
  if (socket instanceof Socket && !(socket instanceof TLSSocket) && !response.chunkedEncoding) {
    socket.resetAndDestroy()
  } else response.destroy()
}

/**
 * 102, and 103 with its links (RFC 8297). A hint that `node:http` finds malformed is left out.
 */
function writeHints(response: ServerResponse, status: number, fields: readonly string[]): void {
  if (response.headersSent || response.destroyed) return
  if (status === 102) response.writeProcessing()
  if (status !== 103) return
  const links: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i]?.toLowerCase() === 'link') links.push(...(fields[i + 1] ?? '').split(/,\s*(?=<)/))
  }
  if (links.length === 0) return
  try {
    response.writeEarlyHints({ link: links })
  } catch {
    // The response itself is still to come.
  }
}

/** Says that nothing more comes, and lets go of the socket even if the client does not. */
function endSoon(socket: Duplex): void {
  socket.end()
  release(socket)
  socket.resume()
  setTimeout(() => socket.destroy(), 1000).unref()
}

/** What the client is told about a request that the parser refused. */
function parserProblem(code: string | undefined): ProblemCode {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return 'request-timeout'
    case 'HPE_HEADER_OVERFLOW':
      return 'fields-too-large'
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return 'body-too-large'
    case 'HPE_INVALID_VERSION':
      return 'bad-version'
    case 'HPE_INVALID_TRANSFER_ENCODING':
    case 'HPE_INVALID_CONTENT_LENGTH':
    case 'HPE_UNEXPECTED_CONTENT_LENGTH':
      return 'bad-framing'
    default:
      return 'bad-request'
  }
}
