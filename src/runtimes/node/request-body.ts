/**
 * A client's request body on Node: read on demand, with a replayable prefix in memory.
 *
 * `pipe()` is not used: on HTTP/2 a truncated upload emits `end` after `aborted`, so a plain pipe hands a
 * cut body to the origin as a complete one. Completeness is decided here, from the parser's own flags.
 */
import type { Readable } from 'node:stream'
import {
  type BodyPrefix,
  type BodySource,
  type ByteSink,
  type ByteStream,
  RequestBodyError,
} from '../../exchange.ts'

export interface NodeBodyOptions {
  /** From Content-Length; null for chunked and HTTP/2 bodies without one. */
  readonly length: number | null
  readonly maxBytes: number
  /** How much is kept for another attempt. */
  readonly replayBytes: number
  /** Longest time between two pieces. */
  readonly idleMs: number
  /** Called before the first byte is asked for: sends 100 Continue. */
  readonly onFirstRead: (() => void) | undefined
  /** Whether the protocol says that the body came whole. */
  readonly isComplete: () => boolean
}

const NOTHING = new Uint8Array(0)

export class NodeBody implements BodySource {
  readonly length: number | null
  readonly #stream: Readable
  readonly #options: NodeBodyOptions
  #maxBytes: number
  #kept: Uint8Array[] = []
  #keptBytes = 0
  #receivedBytes = 0
  #keepsAll = true
  #ended = false
  #failure: RequestBodyError | undefined
  #attached = false
  #sink: ByteSink | undefined
  #waiters: (() => void)[] = []
  #idleTimer: NodeJS.Timeout | undefined
  #lastDataAt = 0

  constructor(stream: Readable, options: NodeBodyOptions) {
    this.#stream = stream
    this.#options = options
    this.#maxBytes = options.maxBytes
    this.length = options.length
  }

  get isReplayable(): boolean {
    return this.#keepsAll && this.#failure === undefined
  }

  /** Whether what is left can be read and dropped at little cost. */
  get isShort(): boolean {
    return !this.#isHeldBack && this.length !== null && this.length <= this.#options.replayBytes
  }

  /** The client waits for a 100 Continue, which must not be sent behind a final response. */
  get #isHeldBack(): boolean {
    return !this.#attached && this.#options.onFirstRead !== undefined
  }

  limitTo(maxBytes: number): void {
    this.#maxBytes = maxBytes
  }

  /** Bytes read from the client so far. */
  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /** The runtime saw the body fail (a parse error, a reset). */
  fail(error: RequestBodyError): void {
    if (this.#ended || this.#failure !== undefined) return
    this.#failure = error
    this.#settle()
    this.#sink?.fail(error)
  }

  prefix(limit: number): BodyPrefix | Promise<BodyPrefix> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#ended || this.#keptBytes >= limit) return this.#prefixNow(limit)
    this.#attach()
    return new Promise((resolve, reject) => {
      const check = () => {
        if (this.#failure !== undefined) reject(this.#failure)
        else if (this.#ended || this.#keptBytes >= limit) {
          if (!this.#ended && this.#sink === undefined) this.#stream.pause()
          resolve(this.#prefixNow(limit))
        } else this.#waiters.push(check)
      }
      check()
      this.#stream.resume()
    })
  }

  #prefixNow(limit: number): BodyPrefix {
    const all = concat(this.#kept, this.#keptBytes)
    if (all.length <= limit) return { bytes: all, truncated: !this.#ended }
    return { bytes: all.subarray(0, limit), truncated: true }
  }

  open(): Uint8Array | ByteStream {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#ended && this.#keepsAll) return concat(this.#kept, this.#keptBytes)
    return {
      length: this.length,
      pipe: (sink) => this.#pipe(sink),
      resume: () => {
        if (this.#sink !== undefined) this.#stream.resume()
      },
      cancel: () => {
        this.#sink = undefined
        if (this.#attached && !this.#ended) this.#stream.pause()
      },
    }
  }

  #pipe(sink: ByteSink): void {
    let flowing = true
    for (const chunk of this.#kept) flowing = sink.write(chunk)
    if (!this.isReplayableLater()) this.#drop()
    if (this.#failure !== undefined) {
      sink.fail(this.#failure)
      return
    }
    if (this.#ended) {
      sink.end()
      return
    }
    this.#sink = sink
    this.#attach()
    if (flowing) this.#stream.resume()
  }

  /** Whether what is still to come could fit the replay limit. */
  isReplayableLater(): boolean {
    return this.#keepsAll && (this.length === null || this.length <= this.#options.replayBytes)
  }

  #drop(): void {
    this.#kept = []
    this.#keptBytes = 0
    this.#keepsAll = false
  }

  discard(): void {
    if (this.#ended || this.#failure !== undefined || this.#isHeldBack) return
    this.#attach()
    this.#drop()
    this.#sink = undefined
    this.#stream.resume()
  }

  #attach(): void {
    if (this.#attached) return
    this.#attached = true
    this.#options.onFirstRead?.()
    const stream = this.#stream
    stream.on('data', (chunk: Uint8Array) => this.#onData(chunk))
    stream.on('end', () => this.#onEnd())
    stream.on('close', () => this.#onEnd())
    stream.on('error', () => this.fail(new RequestBodyError('body-cut')))
    this.#lastDataAt = performance.now()
    const { idleMs } = this.#options
    this.#idleTimer = setInterval(
      () => {
        if (!stream.isPaused() && performance.now() - this.#lastDataAt > idleMs) {
          this.fail(new RequestBodyError('request-timeout'))
        }
      },
      Math.max(50, idleMs / 4),
    )
    this.#idleTimer.unref()
  }

  #onData(chunk: Uint8Array): void {
    this.#lastDataAt = performance.now()
    this.#receivedBytes += chunk.length
    if (this.#failure !== undefined) return
    if (this.#receivedBytes > this.#maxBytes) {
      this.fail(new RequestBodyError('body-too-large'))
      return
    }
    const sink = this.#sink
    if (this.#keepsAll) {
      this.#kept.push(chunk)
      this.#keptBytes += chunk.length
      const mustKeep = sink === undefined
      if (!mustKeep && this.#keptBytes > this.#options.replayBytes) this.#drop()
    }
    if (sink !== undefined) {
      if (!sink.write(chunk)) this.#stream.pause()
    } else if (this.#waiters.length > 0) {
      this.#wake()
    }
  }

  #onEnd(): void {
    if (this.#ended || this.#failure !== undefined) return
    if (!this.#options.isComplete()) {
      this.fail(new RequestBodyError('body-cut'))
      return
    }
    this.#ended = true
    this.#settle()
    this.#sink?.end()
  }

  #settle(): void {
    clearInterval(this.#idleTimer)
    this.#wake()
  }

  #wake(): void {
    const waiters = this.#waiters
    if (waiters.length === 0) return
    this.#waiters = []
    for (const wake of waiters) wake()
  }
}

function concat(chunks: readonly Uint8Array[], total: number): Uint8Array {
  if (chunks.length === 0) return NOTHING
  if (chunks.length === 1) return chunks[0] as Uint8Array
  return Buffer.concat(chunks as Uint8Array[], total)
}
