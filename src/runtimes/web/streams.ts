/**
 * Between the gateway's byte streams and the Web's. Back-pressure holds in both directions, and a cut body
 * errors the stream: it never ends cleanly.
 */
import type { ByteSink, ByteStream } from '../../exchange.ts'

/** Above this much unread, the producer is told to wait. */
const QUEUE_BYTES = 64 * 1024

/** How a body's delivery went; called once. */
export type OnDelivered = (bytes: number, complete: boolean) => void

/**
 * A Web stream that pulls from a byte stream. Chunks are handed over as they are, never transferred: the
 * cache may hold them too, so this must not become a `bytes` stream.
 */
export function readableFrom(
  source: ByteStream,
  onDelivered?: OnDelivered,
): ReadableStream<Uint8Array> {
  let isStarted = false
  let isOver = false
  let bytes = 0
  const over = (complete: boolean): void => {
    if (isOver) return
    isOver = true
    onDelivered?.(bytes, complete)
  }
  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (isStarted) {
          source.resume()
          return
        }
        isStarted = true
        source.pipe({
          write(chunk) {
            if (isOver) return false
            bytes += chunk.byteLength
            controller.enqueue(chunk)
            return (controller.desiredSize ?? 0) > 0
          },
          end() {
            if (isOver) return
            over(true)
            controller.close()
          },
          fail(error) {
            if (isOver) return
            over(false)
            controller.error(error)
          },
        })
      },
      cancel(reason: unknown) {
        over(false)
        source.cancel(reason instanceof Error ? reason : undefined)
      },
    },
    { highWaterMark: QUEUE_BYTES, size: (chunk) => chunk?.byteLength ?? 1 },
  )
}

export interface ReadOptions {
  /** Bytes that must come, when the sender said so; fewer is a failure. */
  readonly length: number | null
  /** Longest wait for a piece, milliseconds. */
  readonly idleMs: number
  /** Makes the error for a body that was cut, or stalled. */
  readonly cut: (detail: string, cause?: unknown) => Error
  /** Stops what the stream comes from. */
  readonly stop?: ((reason?: Error) => void) | undefined
  /** The stream is over, however it ended; called once. */
  readonly onOver?: (() => void) | undefined
}

/** A byte stream that reads a Web stream, piece by piece, no faster than its sink takes them. */
export class ReaderStream implements ByteStream {
  readonly length: number | null
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #options: ReadOptions
  #sink: ByteSink | undefined
  #isReading = false
  #isPaused = false
  #isOver = false
  #received = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(stream: ReadableStream<Uint8Array>, options: ReadOptions) {
    this.length = options.length
    this.#reader = stream.getReader()
    this.#options = options
  }

  pipe(sink: ByteSink): void {
    this.#sink = sink
    void this.#read()
  }

  resume(): void {
    this.#isPaused = false
    if (this.#sink !== undefined) void this.#read()
  }

  cancel(reason?: Error): void {
    if (this.#isOver) return
    this.#end()
    if (this.#options.stop === undefined) this.#reader.cancel(reason).catch(ignore)
    else this.#options.stop(reason)
  }

  async #read(): Promise<void> {
    if (this.#isReading || this.#isOver) return
    this.#isReading = true
    while (!this.#isPaused && !this.#isOver) {
      let piece: { done: boolean; value?: Uint8Array | undefined }
      try {
        this.#timer = setTimeout(stalled, this.#options.idleMs, this)
        piece = await this.#reader.read()
      } catch (error) {
        this.fail(this.#options.cut('the body broke off', error))
        break
      } finally {
        clearTimeout(this.#timer)
      }
      if (this.#isOver) break
      if (piece.done) {
        this.#complete()
        break
      }
      if (piece.value === undefined || piece.value.byteLength === 0) continue
      this.#received += piece.value.byteLength
      if (this.#sink?.write(piece.value) === false) this.#isPaused = true
    }
    this.#isReading = false
  }

  /** Some runtimes end a stream cleanly that the sender cut: the length tells. */
  #complete(): void {
    const { length, cut } = this.#options
    if (length !== null && this.#received !== length) {
      this.fail(cut(`${this.#received} of ${length} bytes came`))
      return
    }
    this.#end()
    this.#sink?.end()
  }

  fail(error: Error): void {
    if (this.#isOver) return
    this.#end()
    this.#options.stop?.(error)
    this.#sink?.fail(error)
  }

  stalled(): void {
    this.fail(this.#options.cut(`no data in ${this.#options.idleMs} ms`))
  }

  #end(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#options.onOver?.()
  }
}

const stalled = (stream: ReaderStream): void => stream.stalled()
const ignore = (): void => {}

/** All of a byte stream in one array. */
export function collect(stream: ByteStream): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = []
    let total = 0
    stream.pipe({
      write(chunk) {
        chunks.push(chunk)
        total += chunk.byteLength
        return true
      },
      end: () => resolve(concat(chunks, total)),
      fail: reject,
    })
  })
}

export function concat(chunks: readonly Uint8Array[], total: number): Uint8Array {
  if (chunks.length === 1) return chunks[0] as Uint8Array
  const whole = new Uint8Array(total)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.byteLength
  }
  return whole
}
