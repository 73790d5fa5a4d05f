/** Several pieces sent one after the other as one body: parts of a multipart reply, slices of an object. */
import type { ByteSink, ByteStream } from '../../exchange.ts'

/** A piece; a function is asked for it when its turn comes. */
export type Piece =
  | Uint8Array
  | ByteStream
  | (() => Uint8Array | ByteStream | Promise<Uint8Array | ByteStream>)

export class JoinedStream implements ByteStream {
  readonly length: number
  readonly #pieces: readonly Piece[]
  #next = 0
  #sink: ByteSink | undefined
  #current: ByteStream | undefined
  #isPaused = false
  #isDone = false
  #isRunning = false

  /** @param length of all pieces together */
  constructor(pieces: readonly Piece[], length: number) {
    this.#pieces = pieces
    this.length = length
  }

  pipe(sink: ByteSink): void {
    this.#sink = sink
    this.#advance()
  }

  resume(): void {
    this.#isPaused = false
    if (this.#current === undefined) this.#advance()
    else this.#current.resume()
  }

  cancel(reason?: Error): void {
    this.#isDone = true
    this.#current?.cancel(reason)
  }

  #advance(): void {
    // A piece may end while it is being begun.
    if (this.#isRunning) return
    this.#isRunning = true
    while (!this.#isPaused && !this.#isDone && this.#current === undefined) {
      const piece = this.#pieces[this.#next++]
      if (piece === undefined) {
        this.#isDone = true
        this.#sink?.end()
        break
      }
      const opened = typeof piece === 'function' ? piece() : piece
      if (opened instanceof Promise) {
        this.#wait(opened)
        break
      }
      this.#send(opened)
    }
    this.#isRunning = false
  }

  #send(piece: Uint8Array | ByteStream): void {
    const sink = this.#sink
    if (sink === undefined) return
    if ('byteLength' in piece) {
      if (piece.byteLength > 0 && !sink.write(piece)) this.#isPaused = true
      return
    }
    this.#current = piece
    piece.pipe({
      write: (chunk) => {
        if (this.#isDone) return true
        const goesOn = sink.write(chunk)
        this.#isPaused = !goesOn
        return goesOn
      },
      end: () => {
        this.#current = undefined
        this.#advance()
      },
      fail: (error) => this.#fail(error),
    })
  }

  #wait(opening: Promise<Uint8Array | ByteStream>): void {
    const waiting: ByteStream = { length: null, pipe: () => {}, resume: () => {}, cancel: () => {} }
    this.#current = waiting
    opening.then(
      (piece) => {
        this.#current = undefined
        if (this.#isDone) {
          if ('cancel' in piece) piece.cancel()
          return
        }
        this.#send(piece)
        if (this.#current === undefined) this.#advance()
      },
      (error: unknown) => this.#fail(error instanceof Error ? error : new Error(String(error))),
    )
  }

  #fail(error: Error): void {
    if (this.#isDone) return
    this.#isDone = true
    this.#current = undefined
    this.#sink?.fail(error)
  }
}
