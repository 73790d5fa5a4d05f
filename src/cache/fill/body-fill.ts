/**
 * A body on its way in, read by any number of readers, each at its own pace. While it is to be stored it
 * is kept whole, so the origin is never slowed; otherwise only a window is kept and the slowest reader
 * sets the pace. A producer that dies is an error for every reader, never a clean end.
 */
import type { ByteSink, ByteStream } from '../../exchange.ts'

export interface BodyFillEvents {
  /** All bytes are here and their number is what was announced; `whole` is null when not kept. */
  complete(whole: Uint8Array | null): void
  failed(error: Error): void
  /** More came than may be kept: it goes on, but will not be stored. */
  overflowed(): void
  /** The last reader left before the end. Answer true to go on without one. */
  abandoned(): boolean
}

export interface BodyFillOptions {
  /** Most bytes kept for storing; 0 keeps a window only. */
  readonly keepBytes: number
  /** How far the fastest reader may be ahead of the slowest once nothing is stored. */
  readonly windowBytes: number
}

export class TruncatedBody extends Error {
  override readonly name = 'TruncatedBody'
}

export class BodyFill implements ByteSink {
  readonly #source: ByteStream
  readonly #events: BodyFillEvents
  readonly #options: BodyFillOptions
  readonly #readers = new Set<FillReader>()
  #chunks: Uint8Array[] = []
  /** Index of the first chunk still held. */
  #firstIndex = 0
  #received = 0
  #isKept: boolean
  #whole: Uint8Array | undefined
  #state: 'open' | 'ended' | 'failed' = 'open'
  #error: Error | undefined
  #trailers: readonly string[] | undefined
  #isSourcePaused = false

  constructor(source: ByteStream, options: BodyFillOptions, events: BodyFillEvents) {
    this.#source = source
    this.#options = options
    this.#events = events
    this.#isKept = options.keepBytes > 0
  }

  /** Begins to read. Call it after the first reader was made. */
  start(): void {
    this.#source.pipe(this)
  }

  get isKept(): boolean {
    return this.#isKept
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /** Bytes received so far. */
  get received(): number {
    return this.#received
  }

  /** Bytes held now for this fill. */
  get length(): number | null {
    return this.#source.length
  }

  /** Whether a reader made now would see the body from its first byte. */
  get canJoin(): boolean {
    return this.#firstIndex === 0 && this.#state !== 'failed'
  }

  /**
   * @param isClient false for a reader that stores: it does not keep a fill going by itself
   * @param again    where a reader that got nothing may have the same body when this one dies
   */
  reader(isClient = true, again?: SecondSource): FillReader {
    const reader = new FillReader(this, isClient, again)
    this.#readers.add(reader)
    return reader
  }

  write(chunk: Uint8Array): boolean {
    if (this.#state !== 'open') return true
    this.#received += chunk.byteLength
    if (this.#isKept && this.#received > this.#options.keepBytes) {
      this.#isKept = false
      this.#events.overflowed()
      if (this.#readers.size === 0) {
        this.cancel(new TruncatedBody('too large to keep, and nobody reads it'))
        return true
      }
    }
    this.#chunks.push(chunk)
    for (const reader of this.#readers) reader.pump()
    if (this.#isKept) return true
    return this.#makeRoom()
  }

  end(trailers?: readonly string[]): void {
    if (this.#state !== 'open') return
    const announced = this.#source.length
    if (announced !== null && announced !== this.#received) {
      this.fail(new TruncatedBody(`${this.#received} of ${announced} bytes came`))
      return
    }
    this.#state = 'ended'
    this.#trailers = trailers
    if (this.#isKept) {
      this.#whole = join(this.#chunks, this.#received)
      this.#chunks = []
    }
    this.#events.complete(this.#whole ?? null)
    for (const reader of this.#readers) reader.pump()
  }

  fail(error: Error): void {
    if (this.#state !== 'open') return
    this.#state = 'failed'
    this.#error = error
    this.#events.failed(error)
    for (const reader of this.#readers) reader.pump()
    this.#readers.clear()
    this.#chunks = []
  }

  /** Gives up: readers see an error, the source is told to stop. */
  cancel(reason: Error): void {
    if (this.#state !== 'open') return
    this.#source.cancel(reason)
    this.fail(reason)
  }

  /** What a reader at this place is to write next. */
  next(index: number, position: number): Uint8Array | undefined {
    if (this.#whole !== undefined) {
      return position < this.#whole.byteLength
        ? position === 0
          ? this.#whole
          : this.#whole.subarray(position)
        : undefined
    }
    return this.#chunks[index - this.#firstIndex]
  }

  /** Index that follows a chunk handed out by `next`. */
  get firstIndex(): number {
    return this.#firstIndex
  }

  outcome(): { state: 'open' | 'ended' | 'failed'; error?: Error; trailers?: readonly string[] } {
    return {
      state: this.#state,
      ...(this.#error === undefined ? {} : { error: this.#error }),
      ...(this.#trailers === undefined ? {} : { trailers: this.#trailers }),
    }
  }

  left(reader: FillReader): void {
    if (!this.#readers.delete(reader) || this.#state !== 'open') return
    if (reader.isClient && !this.#hasClients() && !this.#events.abandoned()) {
      this.cancel(new TruncatedBody('nobody reads it any more'))
      return
    }
    this.advanced()
  }

  #hasClients(): boolean {
    for (const reader of this.#readers) if (reader.isClient) return true
    return false
  }

  /** A reader took something: perhaps the source may go on. */
  advanced(): void {
    if (this.#isKept || this.#state !== 'open') return
    if (this.#makeRoom() && this.#isSourcePaused) {
      this.#isSourcePaused = false
      this.#source.resume()
    }
  }

  /** Drops what everybody has; false when the slowest reader is too far behind. */
  #makeRoom(): boolean {
    let slowest = Number.POSITIVE_INFINITY
    for (const reader of this.#readers) if (reader.index < slowest) slowest = reader.index
    const droppable = Math.min(this.#chunks.length, slowest - this.#firstIndex)
    if (droppable > 0) {
      this.#chunks.splice(0, droppable)
      this.#firstIndex += droppable
    }
    let held = 0
    for (const chunk of this.#chunks) held += chunk.byteLength
    if (held <= this.#options.windowBytes) return true
    this.#isSourcePaused = true
    return false
  }
}

/** The body once more, byte for byte; undefined when it cannot be had. */
export type SecondSource = () => Promise<Uint8Array | ByteStream | undefined>

/** One client's view of a fill. */
export class FillReader implements ByteStream {
  readonly #fill: BodyFill
  #sink: ByteSink | undefined
  #isPaused = false
  #isPumping = false
  #isDone = false
  index = 0
  position = 0

  readonly isClient: boolean
  #again: SecondSource | undefined
  /** What it reads since the fill died. */
  #second: ByteStream | undefined

  constructor(fill: BodyFill, isClient: boolean, again?: SecondSource) {
    this.#fill = fill
    this.isClient = isClient
    this.#again = again
  }

  get length(): number | null {
    return this.#fill.length
  }

  pipe(sink: ByteSink): void {
    this.#sink = sink
    this.pump()
  }

  resume(): void {
    this.#isPaused = false
    if (this.#second !== undefined) this.#second.resume()
    else this.pump()
  }

  cancel(): void {
    this.#again = undefined
    this.#second?.cancel()
    if (this.#isDone) {
      this.#sink = undefined
      return
    }
    this.#isDone = true
    this.#sink = undefined
    this.#fill.left(this)
  }

  pump(): void {
    const sink = this.#sink
    if (sink === undefined || this.#isPumping || this.#isDone) return
    this.#isPumping = true
    const before = this.index
    while (!this.#isPaused && !this.#isDone) {
      const chunk = this.#fill.next(this.index, this.position)
      if (chunk !== undefined) {
        this.index++
        this.position += chunk.byteLength
        if (chunk.byteLength > 0 && !sink.write(chunk)) this.#isPaused = true
        continue
      }
      const { state, error, trailers } = this.#fill.outcome()
      if (state === 'open') break
      this.#finish()
      if (state === 'ended') sink.end(trailers)
      else this.#died(sink, error ?? new TruncatedBody('the body was cut'))
    }
    // A paused reader still hears at once that the body is dead.
    if (this.#isPaused && !this.#isDone && this.#fill.outcome().state === 'failed') {
      this.#finish()
      this.#died(sink, this.#fill.outcome().error ?? new TruncatedBody('the body was cut'))
    }
    this.#isPumping = false
    if (this.index !== before && !this.#isDone) this.#fill.advanced()
  }

  /** The fill is dead: who got nothing yet may have the body from elsewhere, the others see it cut. */
  #died(sink: ByteSink, error: Error): void {
    const again = this.position === 0 ? this.#again : undefined
    if (again === undefined) {
      sink.fail(error)
      return
    }
    this.#again = undefined
    again().then(
      (body) => {
        // Its client may have left meanwhile.
        if (this.#sink === undefined) {
          if (body !== undefined && 'cancel' in body) body.cancel()
        } else if (body === undefined) sink.fail(error)
        else if ('byteLength' in body) {
          if (body.byteLength > 0) sink.write(body)
          sink.end()
        } else {
          this.#second = body
          body.pipe(sink)
        }
      },
      () => sink.fail(error),
    )
  }

  #finish(): void {
    this.#isDone = true
    this.#fill.left(this)
  }
}

/** One exact-size array: a view would keep its parents, and their slabs, alive. */
export function join(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const whole = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.byteLength
  }
  return whole
}
