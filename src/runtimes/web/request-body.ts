/**
 * A client's request body that comes as a Web stream: read on demand, with a replayable prefix in memory.
 */
import {
  type BodyPrefix,
  type BodySource,
  type ByteSink,
  type ByteStream,
  RequestBodyError,
} from '../../exchange.ts'
import { concat } from './streams.ts'

export interface WebBodyOptions {
  /** From Content-Length; null when the client did not say. */
  readonly length: number | null
  readonly maxBytes: number
  /** How much is kept for another attempt. */
  readonly replayBytes: number
  /** Longest time between two pieces, milliseconds. */
  readonly idleMs: number
}

export class WebBody implements BodySource {
  readonly length: number | null
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #options: WebBodyOptions
  #kept: Uint8Array[] = []
  #keptBytes = 0
  #receivedBytes = 0
  #keepsAll = true
  #isEnded = false
  #isReading = false
  #isPaused = false
  #failure: RequestBodyError | undefined
  #sink: ByteSink | undefined
  /** Waits of `prefix`, each with the bytes that it wants. */
  #waiters: { readonly limit: number; readonly wake: () => void }[] = []

  constructor(stream: ReadableStream<Uint8Array>, options: WebBodyOptions) {
    this.length = options.length
    this.#reader = stream.getReader()
    this.#options = options
  }

  get isReplayable(): boolean {
    return this.#keepsAll && this.#failure === undefined
  }

  /** Bytes read from the client so far. */
  get receivedBytes(): number {
    return this.#receivedBytes
  }

  prefix(limit: number): BodyPrefix | Promise<BodyPrefix> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#isEnded || this.#keptBytes >= limit) return this.#prefixNow(limit)
    return new Promise((resolve, reject) => {
      this.#waiters.push({
        limit,
        wake: () => {
          if (this.#failure === undefined) resolve(this.#prefixNow(limit))
          else reject(this.#failure)
        },
      })
      void this.#read()
    })
  }

  #prefixNow(limit: number): BodyPrefix {
    const all = concat(this.#kept, this.#keptBytes)
    if (all.length <= limit) return { bytes: all, truncated: !this.#isEnded }
    return { bytes: all.subarray(0, limit), truncated: true }
  }

  open(): Uint8Array | ByteStream {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#isEnded && this.#keepsAll) return concat(this.#kept, this.#keptBytes)
    return {
      length: this.length,
      pipe: (sink) => this.#pipe(sink),
      resume: () => {
        this.#isPaused = false
        if (this.#sink !== undefined) void this.#read()
      },
      cancel: () => {
        this.#sink = undefined
      },
    }
  }

  #pipe(sink: ByteSink): void {
    let isFlowing = true
    for (const chunk of this.#kept) isFlowing = sink.write(chunk)
    const { length } = this
    const mayFit = length === null || length <= this.#options.replayBytes
    if (!this.#keepsAll || !mayFit) this.#drop()
    if (this.#failure !== undefined) {
      sink.fail(this.#failure)
      return
    }
    if (this.#isEnded) {
      sink.end()
      return
    }
    this.#sink = sink
    this.#isPaused = !isFlowing
    void this.#read()
  }

  #drop(): void {
    this.#kept = []
    this.#keptBytes = 0
    this.#keepsAll = false
  }

  discard(): void {
    if (this.#isEnded || this.#failure !== undefined) return
    this.#drop()
    this.#sink = undefined
    this.#isEnded = true
    // Cancelled, not drained: what the connection needs then is the runtime's own business.
    this.#reader.cancel().catch(() => {})
  }

  #isWanted(): boolean {
    if (this.#isEnded || this.#failure !== undefined) return false
    return this.#waiters.length > 0 || (this.#sink !== undefined && !this.#isPaused)
  }

  async #read(): Promise<void> {
    if (this.#isReading) return
    this.#isReading = true
    while (this.#isWanted()) {
      const timer = setTimeout(
        () => this.#fail(new RequestBodyError('request-timeout')),
        this.#options.idleMs,
      )
      try {
        const piece = await this.#reader.read()
        if (piece.done) this.#onEnd()
        else this.#onData(piece.value)
      } catch {
        this.#fail(new RequestBodyError('body-cut'))
      } finally {
        clearTimeout(timer)
      }
    }
    this.#isReading = false
  }

  #onData(chunk: Uint8Array): void {
    this.#receivedBytes += chunk.byteLength
    if (this.#failure !== undefined || this.#isEnded) return
    if (this.#receivedBytes > this.#options.maxBytes) {
      this.#fail(new RequestBodyError('body-too-large'))
      return
    }
    const sink = this.#sink
    if (this.#keepsAll) {
      this.#kept.push(chunk)
      this.#keptBytes += chunk.byteLength
      if (sink !== undefined && this.#keptBytes > this.#options.replayBytes) this.#drop()
    }
    if (sink !== undefined && !sink.write(chunk)) this.#isPaused = true
    this.#wake()
  }

  #onEnd(): void {
    if (this.#isEnded || this.#failure !== undefined) return
    if (this.length !== null && this.length !== this.#receivedBytes) {
      this.#fail(new RequestBodyError('body-cut'))
      return
    }
    this.#isEnded = true
    this.#wake()
    this.#sink?.end()
  }

  #fail(error: RequestBodyError): void {
    if (this.#isEnded || this.#failure !== undefined) return
    this.#failure = error
    this.#reader.cancel(error).catch(() => {})
    this.#wake()
    this.#sink?.fail(error)
  }

  #wake(): void {
    const isSettled = this.#isEnded || this.#failure !== undefined
    const ready = this.#waiters.filter(({ limit }) => isSettled || this.#keptBytes >= limit)
    if (ready.length === 0) return
    this.#waiters = this.#waiters.filter((waiter) => !ready.includes(waiter))
    for (const { wake } of ready) wake()
  }
}
