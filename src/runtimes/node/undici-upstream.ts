/**
 * The Upstream port on Node: undici's `dispatch` on a pool per origin, straight into a byte stream.
 *
 * Chunks are queued until the reader attaches, which is a microtask after the header; a small reply thus
 * leaves the gateway as one write. Bodies of small known length are collected before the promise
 * resolves, so that a cut body can still fail over (nothing has been sent to the client yet).
 */
import { isIP, type LookupFunction, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Readable } from 'node:stream'
import { buildConnector, type Dispatcher, Pool } from 'undici'
import { type ByteSink, type ByteStream, RequestBodyError } from '../../exchange.ts'
import {
  type OriginAddress,
  type Upstream,
  type UpstreamCall,
  UpstreamError,
  type UpstreamErrorClass,
  type UpstreamReply,
  type UpstreamRequest,
} from '../../ports.ts'
import { fixedLookup, type Resolver } from './resolver.ts'

/** Below the 5 s at which many origins close idle connections. */
const DEFAULT_KEEP_ALIVE_MS = 4000
/** Above this much queued for a slow reader, the origin is paused. */
const QUEUE_BYTES = 64 * 1024

interface OriginPool {
  readonly pool: Pool
  readonly key: string
  /** Of the name's addresses: with other addresses, connections to the old ones are let go. */
  version: number
  /** For requests that must not share a connection with earlier ones; made when one comes. */
  fresh: Pool | undefined
}

export interface UndiciUpstreamOptions {
  /** Resolves names of origins; without it, Node does, once for each connection. */
  readonly resolver?: Resolver | undefined
  /** Told how long each new TCP connection took, TLS not counted; by the origin's id in the config. */
  readonly onConnected?: ((originId: string, durationMs: number) => void) | undefined
}

export class UndiciUpstream implements Upstream {
  readonly #pools = new Map<string, OriginPool>()
  readonly #onConnected: UndiciUpstreamOptions['onConnected']
  readonly #resolver: Resolver | undefined

  constructor(options: UndiciUpstreamOptions = {}) {
    this.#onConnected = options.onConnected
    this.#resolver = options.resolver
  }

  send(origin: OriginAddress, request: UpstreamRequest): UpstreamCall {
    const call = new Call(request)
    const entry = this.#entry(origin)
    if (request.fresh === true) {
      entry.fresh ??= this.#make(origin)
      call.dispatch(entry.fresh, origin)
    } else call.dispatch(entry.pool, origin)
    return call
  }

  retain(origins: readonly OriginAddress[]): void {
    const wanted = new Set(origins.map((origin) => origin.id))
    this.#resolver?.retain(new Set(origins.map((origin) => origin.hostname)))
    for (const [id, entry] of this.#pools) {
      if (wanted.has(id)) continue
      this.#pools.delete(id)
      letGo(entry)
    }
  }

  async close(): Promise<void> {
    const pools = [...this.#pools.values()]
    this.#pools.clear()
    this.#resolver?.close()
    await Promise.all(pools.flatMap(({ pool, fresh }) => [pool.destroy(), fresh?.destroy()]))
  }

  #entry(origin: OriginAddress): OriginPool {
    const known = this.#pools.get(origin.id)
    const key = poolKey(origin)
    const version = this.#resolver === undefined ? 0 : this.#versionOf(origin, this.#resolver)
    if (known !== undefined && known.key === key) {
      // The first answer comes after the first connection was begun, and is no change.
      if (known.version === 0) known.version = version
      if (known.version === version) return known
    }
    if (known !== undefined) letGo(known)
    const entry: OriginPool = { pool: this.#make(origin), key, version, fresh: undefined }
    this.#pools.set(origin.id, entry)
    return entry
  }

  #versionOf({ hostname, socketPath, addresses }: OriginAddress, resolver: Resolver): number {
    return socketPath === undefined && addresses === undefined ? resolver.version(hostname) : 0
  }

  /** How sockets to the origin find it; undefined: as Node does. */
  lookupOf({ addresses }: OriginAddress): LookupFunction | undefined {
    return addresses === undefined ? this.#resolver?.lookup : fixedLookup(addresses)
  }

  #make(origin: OriginAddress): Pool {
    const { tls } = origin
    const lookup = this.lookupOf(origin)
    return new Pool(originUrl(origin), {
      connections: origin.maxConnections,
      pipelining: 1,
      allowH2: origin.http2,
      maxHeaderSize: 64 * 1024,
      // Own timers do the timing: undici's are coarse (half a second and more).
      headersTimeout: 0,
      connect: this.#connector(origin, {
        timeout: 30_000,
        autoSelectFamily: true,
        keepAlive: true,
        ...(lookup === undefined ? {} : { lookup }),
        ...(origin.socketPath === undefined ? {} : { socketPath: origin.socketPath }),
        ...(tls === undefined
          ? {}
          : {
              rejectUnauthorized: tls.verify,
              ...(tls.ca === undefined ? {} : { ca: tls.ca }),
              ...(tls.cert === undefined ? {} : { cert: tls.cert }),
              ...(tls.key === undefined ? {} : { key: tls.key }),
            }),
      }),
      keepAliveTimeout: origin.keepAliveMs ?? DEFAULT_KEEP_ALIVE_MS,
      // An origin's own Keep-Alive hint may shorten it, never stretch it.
      keepAliveMaxTimeout: origin.keepAliveMs ?? DEFAULT_KEEP_ALIVE_MS,
    })
  }

  #connector(
    { id, partOf, tls, hostname }: OriginAddress,
    options: buildConnector.BuildOptions,
  ): buildConnector.connector {
    const connect = buildConnector(options)
    const originId = partOf ?? id
    const name = tls?.serverName ?? hostname
    // An address is not sent by SNI (RFC 6066 §3); the certificate is checked for it all the same.
    const servername = isIP(name) === 0 ? name : ''
    const onConnected = this.#onConnected
    return (target, callback) => {
      const startedAt = performance.now()
      // undici's connector gives back the socket it begins with; its types do not say so.
      const own = tls === undefined ? target : { ...target, servername, host: name }
      const socket = connect(own, callback) as unknown as Socket | undefined
      socket?.once('connect', () => onConnected?.(originId, performance.now() - startedAt))
      // A reset says nothing of its connection: whether it had answered before is to be known.
      socket?.on('error', (error: SocketFailure) => {
        error.bytesRead = socket.bytesRead
      })
      return socket
    }
  }
}

/** Requests under way end first. */
function letGo({ pool, fresh }: OriginPool): void {
  void pool.close()
  void fresh?.close()
}

function originUrl(origin: OriginAddress): string {
  const host = origin.hostname.includes(':') ? `[${origin.hostname}]` : origin.hostname
  return `${origin.scheme}://${host}:${origin.port === 0 ? 80 : origin.port}`
}

const keys = new WeakMap<OriginAddress, string>()

/** What a pool was made of: another value under the same id needs another pool. */
function poolKey(origin: OriginAddress): string {
  let key = keys.get(origin)
  if (key === undefined) {
    key = JSON.stringify([
      originUrl(origin),
      origin.addresses,
      origin.socketPath,
      origin.tls,
      origin.maxConnections,
      origin.keepAliveMs,
      origin.http2,
    ])
    keys.set(origin, key)
  }
  return key
}

/** Its types leave out what its request takes. */
type DispatchOptions = Dispatcher.DispatchOptions & { servername?: string }

/** One exchange: undici's handler, the pending reply and the body's stream in one object. */
class Call implements UpstreamCall, ByteStream {
  readonly reply: Promise<UpstreamReply>
  length: number | null = null
  readonly #request: UpstreamRequest
  #resolve: (reply: UpstreamReply) => void = ignore
  #reject: (error: UpstreamError) => void = ignore
  #abort: ((error?: Error) => void) | undefined
  #resumeOrigin: (() => void) | undefined
  #timer: NodeJS.Timeout | undefined
  #late: NodeJS.Immediate | undefined
  /** When it began to wait for a connection; undefined when one was there. */
  #startedAt: number | undefined
  #connected = false
  #answered = false
  #settled = false
  #ended = false
  #failure: UpstreamError | undefined
  #chunks: Uint8Array[] = []
  #queued = 0
  #paused = false
  #sink: ByteSink | undefined
  #collecting = false
  #result: { status: number; headers: string[]; body: Uint8Array | ByteStream | null } | undefined
  #reason: UpstreamError | undefined

  constructor(request: UpstreamRequest) {
    this.#request = request
    this.reply = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  dispatch(pool: Pool, origin: OriginAddress): void {
    const request = this.#request
    const { body } = request
    // No spreading here: V8 keeps copies made by it alive until a full collection.
    const options: DispatchOptions = {
      path: request.path,
      // undici types list the common methods only; the front has checked that this one is a token.
      method: request.method as Dispatcher.HttpMethod,
      headers: request.headers,
      body: body === null ? null : body instanceof Uint8Array ? body : readableFrom(body),
      bodyTimeout: request.idleTimeoutMs,
    }
    // Else undici takes the Host that the client sent for the name in TLS, and drops the connection when
    // the next request has another. `#connector` sets the name.
    if (origin.tls !== undefined) options.servername = origin.hostname
    // On an HTTP/2 connection there is nothing to close: the connections of the fresh pool are young.
    if (request.fresh === true) options.reset = true
    if (request.upgrade !== undefined) options.upgrade = request.upgrade
    try {
      // The handler interface of undici's core, which hands over raw header buffers; the newer one
      // parses them into an object first.
      pool.dispatch(options, this as unknown as Dispatcher.DispatchHandler)
    } catch (error) {
      this.onError(error as Error)
    }
    // An idle connection has taken it by now.
    if (this.#connected || this.#failure !== undefined) return
    if (request.totalTimeoutMs !== undefined) this.#startedAt = performance.now()
    this.#timer = setTimeout(onTimer, request.connectTimeoutMs, this)
  }

  cancel(reason?: Error): void {
    if (this.#ended || this.#failure !== undefined) return
    this.#giveUp(new UpstreamError('cancelled', reason?.message ?? 'cancelled'))
  }

  #giveUp(error: UpstreamError): void {
    this.#reason = error
    this.#stopTimer()
    this.#abort?.(error)
    this.#fail(error)
  }

  /** After a turn for reading: when this process was late, the answer may be there already. */
  late(): void {
    this.#late = setImmediate(onLate, this)
  }

  #stopTimer(): void {
    clearTimeout(this.#timer)
    clearImmediate(this.#late)
    this.#timer = undefined
  }

  timedOut(): void {
    this.#giveUp(
      this.#connected
        ? new UpstreamError('timeout', 'no response header in time')
        : new UpstreamError('connect', 'no connection in time'),
    )
  }

  // undici's handler -------------------------------------------------------------------------------

  onConnect(abort: (error?: Error) => void): void {
    if (this.#failure !== undefined) {
      abort(this.#failure)
      return
    }
    this.#abort = abort
    this.#connected = true
    this.#stopTimer()
    const { firstByteTimeoutMs, totalTimeoutMs } = this.#request
    let left = firstByteTimeoutMs
    if (totalTimeoutMs !== undefined) {
      const waited = this.#startedAt === undefined ? 0 : performance.now() - this.#startedAt
      left = Math.min(left, Math.max(1, totalTimeoutMs - waited))
    }
    this.#timer = setTimeout(onTimer, left, this)
  }

  onBodySent(): void {
    clearImmediate(this.#late)
    this.#timer?.refresh()
  }

  onRequestSent(): void {
    if (this.#request.body !== null) this.onBodySent()
  }

  onUpgrade(status: number, rawHeaders: Buffer[], socket: Duplex): void {
    this.#stopTimer()
    this.#settled = true
    this.#ended = true
    this.#resolve({ status, headers: decodeHeaders(rawHeaders), body: null, tunnel: socket })
  }

  onHeaders(status: number, rawHeaders: Buffer[], resume: () => void): boolean {
    if (status < 200) {
      this.#request.interim?.interim(status, decodeHeaders(rawHeaders))
      return true
    }
    this.#stopTimer()
    this.#answered = true
    this.#resumeOrigin = resume
    const headers = decodeHeaders(rawHeaders)
    const isHead = this.#request.method === 'HEAD'
    this.length = isHead || status === 204 || status === 304 ? 0 : contentLengthOf(headers)
    const result = { status, headers, body: this.length === 0 ? null : this }
    this.#result = result
    if (this.length !== null && this.length > 0 && this.length <= this.#request.collectBytes) {
      this.#collecting = true
    } else {
      this.#settled = true
      this.#resolve(result)
    }
    return true
  }

  onData(chunk: Uint8Array): boolean {
    // The parser flushes with nothing; whoever pauses at that and is resumed is in an endless loop.
    if (chunk.length === 0) return true
    const sink = this.#sink
    if (sink !== undefined) {
      if (sink.write(chunk)) return true
      this.#paused = true
      return false
    }
    this.#chunks.push(chunk)
    this.#queued += chunk.length
    if (this.#collecting || this.#queued < QUEUE_BYTES) return true
    this.#paused = true
    return false
  }

  onComplete(): void {
    this.#ended = true
    if (this.#failure !== undefined) return
    const sink = this.#sink
    if (sink !== undefined) {
      sink.end()
      return
    }
    const result = this.#result
    // Whole before anybody read it: bytes, not a stream.
    if (result !== undefined && result.body === this) {
      result.body = this.#takeQueued()
      this.#queued = 0
    }
    if (this.#collecting && !this.#settled && result !== undefined) {
      this.#settled = true
      this.#resolve(result)
    }
  }

  onError(error: Error): void {
    this.#stopTimer()
    if (this.#failure !== undefined) return
    this.#fail(this.#reason ?? this.#classify(error))
  }

  #classify(error: SocketFailure): UpstreamError {
    const detail = error.code === undefined ? error.message : `${error.code}: ${error.message}`
    let kind: UpstreamErrorClass
    if (error instanceof RequestBodyError) kind = 'request-body'
    // REFUSED_STREAM: the origin says that it has not begun (RFC 9113 §8.7). Node tells only in words.
    else if (!this.#connected || detail.includes('NGHTTP2_REFUSED_STREAM')) kind = 'connect'
    else if (this.#answered) kind = 'truncated'
    else if (error.code?.startsWith('HPE_') || error.code === 'UND_ERR_HEADERS_OVERFLOW')
      kind = 'protocol'
    else if (error.code === 'UND_ERR_HEADERS_TIMEOUT') kind = 'timeout'
    else {
      const bytesRead = error.socket?.bytesRead ?? error.bytesRead ?? 0
      kind = bytesRead > 0 ? 'stale-connection' : 'reset'
    }
    return new UpstreamError(kind, detail, { cause: error })
  }

  #fail(error: UpstreamError): void {
    this.#failure = error
    if (!this.#settled) {
      this.#settled = true
      this.#reject(error)
      return
    }
    this.#sink?.fail(error)
  }

  // The body's stream -------------------------------------------------------------------------------

  pipe(sink: ByteSink): void {
    let flowing = true
    for (const chunk of this.#chunks) flowing = sink.write(chunk)
    this.#chunks = []
    this.#queued = 0
    if (this.#failure !== undefined) {
      sink.fail(this.#failure)
      return
    }
    if (this.#ended) {
      sink.end()
      return
    }
    this.#sink = sink
    if (flowing) this.resume()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#resumeOrigin?.()
  }

  #takeQueued(): Uint8Array | null {
    const chunks = this.#chunks
    this.#chunks = []
    if (chunks.length === 0) return null
    return chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks, this.#queued)
  }
}

/** undici adds `socket` to its own errors, the connector above `bytesRead` to the system's. */
type SocketFailure = Error & {
  code?: string
  socket?: { bytesRead?: number }
  bytesRead?: number
}

const ignore = () => {}
const onTimer = (call: Call) => call.late()
const onLate = (call: Call) => call.timedOut()

function decodeHeaders(raw: Buffer[]): string[] {
  const headers = new Array<string>(raw.length)
  for (let i = 0; i < raw.length; i++) headers[i] = (raw[i] as Buffer).toString('latin1')
  return headers
}

function contentLengthOf(headers: readonly string[]): number | null {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    if (name.length === 14 && name.toLowerCase() === 'content-length') return Number(headers[i + 1])
  }
  return null
}

/** A Node stream over a byte stream, for undici; a failure destroys it, so nothing is completed. */
function readableFrom(source: ByteStream): Readable {
  const readable = new Readable({
    highWaterMark: QUEUE_BYTES,
    read() {
      if (started) source.resume()
      else {
        started = true
        source.pipe({
          write: (chunk) => readable.push(chunk),
          end: () => readable.push(null),
          fail: (error) => readable.destroy(error),
        })
      }
    },
    destroy(error, callback) {
      source.cancel(error ?? undefined)
      callback(error)
    },
  })
  let started = false
  // undici takes its listener away when the exchange ends; a body that fails after that harms nobody.
  readable.on('error', ignore)
  return readable
}
