/**
 * A response body on its way through a `ResponseWindow`. It is read before anybody asks for it, until the
 * first window has been seen: a block that is found there can still become the answer. A later one cuts
 * the body, so that the client sees a truncation and never a clean end.
 */
import type { ByteSink, ByteStream } from '../exchange.ts'
import type { WafBlock } from './pass.ts'
import type { ResponseWindow } from './response-window.ts'

/** Hears of a block that came too late to be the answer. */
export interface LateBlocks {
  cutShort(block: WafBlock): void
}

/** The WAF ended the body. */
export class ResponseCut extends Error {
  override readonly name = 'ResponseCut'
}

export class InspectedStream implements ByteStream {
  readonly length: number | null
  readonly #source: ByteStream
  readonly #window: ResponseWindow
  readonly #late: LateBlocks
  #sink: ByteSink | undefined
  /** Inspected, and not yet taken by the sink. */
  readonly #free: Uint8Array[] = []
  #decide: ((block: WafBlock | undefined) => void) | undefined
  #block: WafBlock | undefined
  #isDecided = false
  #ended: { readonly trailers: readonly string[] | undefined } | undefined
  #failure: Error | undefined
  /** The source was told to wait. */
  #isStopped = false
  #isFull = false
  #isPumping = false
  #isOver = false

  constructor(source: ByteStream, window: ResponseWindow, late: LateBlocks) {
    this.length = source.length
    this.#source = source
    this.#window = window
    this.#late = late
  }

  /**
   * Reads up to the first verdict.
   * @returns how the response ends instead, or undefined when this stream may be sent
   */
  begin(): WafBlock | undefined | Promise<WafBlock | undefined> {
    this.#source.pipe({
      write: (chunk) => this.#take(chunk),
      end: (trailers) => {
        if (this.#isOver) return
        this.#ended = { trailers }
        this.#lookAtRest()
      },
      fail: (error) => {
        if (this.#isOver || this.#failure !== undefined) return
        this.#failure = error
        this.#lookAtRest()
      },
    })
    if (this.#isDecided) return this.#block
    return new Promise((resolve) => {
      this.#decide = resolve
    })
  }

  pipe(sink: ByteSink): void {
    this.#sink = sink
    this.#pump()
  }

  resume(): void {
    this.#isFull = false
    this.#pump()
  }

  cancel(reason?: Error): void {
    if (!this.#isOver && this.#ended === undefined) this.#source.cancel(reason)
    this.#isOver = true
    this.#free.length = 0
    this.#conclude(undefined)
  }

  #take(chunk: Uint8Array): boolean {
    if (this.#isOver || this.#failure !== undefined) return false
    // Told to wait for nothing, a source would send it again and again.
    if (chunk.length === 0) return !this.#isStopped
    const { released, block } = this.#window.push(chunk)
    if (block !== undefined) {
      this.#end(block)
      return false
    }
    if (released.length > 0) {
      this.#free.push(...released)
      this.#conclude(undefined)
      this.#pump()
    }
    // What is held until the first verdict is bounded by the window.
    this.#isStopped = this.#isDecided && (this.#free.length > 0 || this.#isFull)
    return !this.#isStopped
  }

  /** No more is coming: what is held is seen, and sent if it may be. */
  #lookAtRest(): void {
    const { released, block } = this.#window.end()
    if (block !== undefined) {
      this.#end(block)
      return
    }
    this.#free.push(...released)
    this.#conclude(undefined)
    this.#pump()
  }

  #end(block: WafBlock): void {
    const isComing = this.#ended === undefined && this.#failure === undefined
    // Settled before the source is stopped: some tell of their end while they are.
    if (this.#isDecided) {
      this.#ended = undefined
      this.#failure = new ResponseCut('the response was cut by a rule')
      this.#late.cutShort(block)
    } else {
      this.#isOver = true
      this.#conclude(block)
    }
    if (isComing) this.#source.cancel()
    this.#pump()
  }

  #conclude(block: WafBlock | undefined): void {
    if (this.#isDecided) return
    this.#isDecided = true
    this.#block = block
    this.#decide?.(block)
  }

  /** The sink may call back into `resume`, the source into `write`. */
  #pump(): void {
    const sink = this.#sink
    if (sink === undefined || this.#isPumping) return
    this.#isPumping = true
    while (!this.#isOver && !this.#isFull) {
      const chunk = this.#free.shift()
      if (chunk !== undefined) {
        // Set first: the sink may have drained, and said so, by the time it has answered.
        this.#isFull = true
        if (sink.write(chunk)) this.#isFull = false
      } else if (this.#failure !== undefined) {
        this.#isOver = true
        sink.fail(this.#failure)
      } else if (this.#ended !== undefined) {
        this.#isOver = true
        sink.end(this.#ended.trailers)
      } else if (this.#isStopped) {
        this.#isStopped = false
        // It may send at once: that is written as it comes, not held until this loop looks again.
        this.#isPumping = false
        this.#source.resume()
        this.#isPumping = true
      } else break
    }
    this.#isPumping = false
  }
}
