/** A response body on its way: tells health when it is cut, and ends the origin's in-flight count. */
import type { ByteSink, ByteStream, Millis } from '../exchange.ts'
import { type Clock, UpstreamError, type UpstreamErrorClass } from '../ports.ts'
import type { Origin } from './pool.ts'

interface Reporter {
  report(origin: number, outcome: UpstreamErrorClass, now: Millis): void
}

export class WatchedStream implements ByteStream {
  readonly length: number | null
  readonly #inner: ByteStream
  readonly #origin: Origin
  readonly #health: Reporter
  readonly #clock: Clock
  #isOver = false

  constructor(inner: ByteStream, origin: Origin, health: Reporter, clock: Clock) {
    this.length = inner.length
    this.#inner = inner
    this.#origin = origin
    this.#health = health
    this.#clock = clock
  }

  pipe(sink: ByteSink): void {
    this.#inner.pipe({
      write: (chunk) => sink.write(chunk),
      end: (trailers) => {
        this.#over()
        sink.end(trailers)
      },
      fail: (error) => {
        if (!this.#isOver && error instanceof UpstreamError) {
          this.#health.report(this.#origin.health, error.kind, this.#clock.monotonic())
        }
        this.#over()
        sink.fail(error)
      },
    })
  }

  resume(): void {
    this.#inner.resume()
  }

  cancel(reason?: Error): void {
    this.#over()
    this.#inner.cancel(reason)
  }

  #over(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#origin.load.inFlight--
  }
}
