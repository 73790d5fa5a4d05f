/** Content codings through node:zlib, off the main thread. */
import type { Transform } from 'node:stream'
import zlib from 'node:zlib'
import type { ByteSink, ByteStream } from '../../exchange.ts'
import type { Compressor, ContentCoding } from '../../ports.ts'

/** In Node since 22.15; the types of the oldest supported version do not have it. */
const createZstd = (
  zlib as unknown as { createZstdCompress?: (options: object) => Transform & Flushing }
).createZstdCompress
/** ZSTD_c_compressionLevel. */
const ZSTD_LEVEL = 100

interface Flushing {
  flush(callback: () => void): void
}

function engineFor(coding: ContentCoding, level: number, length: number): Transform & Flushing {
  switch (coding) {
    case 'gzip':
      return zlib.createGzip({ level })
    case 'br':
      return zlib.createBrotliCompress({
        params: {
          [zlib.constants.BROTLI_PARAM_QUALITY]: level,
          [zlib.constants.BROTLI_PARAM_SIZE_HINT]: length,
        },
      })
    case 'zstd':
      if (createZstd === undefined) throw new Error('this Node has no zstd')
      return createZstd({ params: { [ZSTD_LEVEL]: level } })
  }
}

export const nodeCompressor: Compressor = {
  codings: createZstd === undefined ? ['br', 'gzip'] : ['br', 'gzip', 'zstd'],
  bytes: (coding, level, body) =>
    new Promise((resolve, reject) => {
      const engine = engineFor(coding, level, body.byteLength)
      const pieces: Uint8Array[] = []
      engine.on('data', (piece: Uint8Array) => pieces.push(piece))
      engine.on('end', () => resolve(Buffer.concat(pieces)))
      engine.on('error', reject)
      engine.end(body)
    }),
  stream: (coding, level, source) => new CodedStream(coding, level, source),
}

class CodedStream implements ByteStream {
  readonly length = null
  readonly #source: ByteStream
  readonly #engine: Transform & Flushing
  #trailers: readonly string[] | undefined
  #isOver = false
  #isFlushing = false

  constructor(coding: ContentCoding, level: number, source: ByteStream) {
    this.#source = source
    this.#engine = engineFor(coding, level, source.length ?? 0)
  }

  pipe(sink: ByteSink): void {
    const engine = this.#engine
    const fail = (error: Error): void => {
      if (this.#isOver) return
      this.#isOver = true
      engine.destroy()
      sink.fail(error)
    }
    engine.on('data', (piece: Uint8Array) => {
      if (!this.#isOver && !sink.write(piece)) engine.pause()
    })
    engine.on('drain', () => this.#source.resume())
    engine.on('end', () => {
      if (this.#isOver) return
      this.#isOver = true
      sink.end(this.#trailers)
    })
    engine.on('error', (error) => {
      this.#source.cancel(error)
      fail(error)
    })
    this.#source.pipe({
      write: (chunk) => {
        if (this.#isOver) return true
        const hasRoom = engine.write(chunk)
        // What a slow origin has said so far must not wait in the encoder for the rest.
        if (!this.#isFlushing) {
          this.#isFlushing = true
          setTimeout(() => this.#flush(), FLUSH_MS).unref()
        }
        return hasRoom
      },
      end: (trailers) => {
        this.#trailers = trailers
        if (!this.#isOver) engine.end()
      },
      fail,
    })
  }

  #flush(): void {
    if (this.#isOver || this.#engine.writableEnded) return
    // Bytes that come while it flushes need a flush of their own.
    this.#isFlushing = false
    this.#engine.flush(() => {})
  }

  resume(): void {
    this.#engine.resume()
  }

  cancel(reason?: Error): void {
    this.#isOver = true
    this.#engine.destroy()
    this.#source.cancel(reason)
  }
}

/** How long bytes may stay in the encoder; flushing after each piece would cost most of the gain. */
const FLUSH_MS = 20
