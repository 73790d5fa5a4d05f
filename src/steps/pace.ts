/**
 * Paces response bodies by the bandwidth limits that apply. A piece is charged, waited for, and sent; while
 * it waits the sender behind it is told to stop, so that no more than what it had already sent is held.
 */
import type { ByteSink, ByteStream, Millis, Reply } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import type { BandwidthMeter } from '../limits/bandwidth.ts'
import type { Passage } from '../passage.ts'
import type { Clock } from '../ports.ts'

/** Timers are no finer; what is owed stays owed. */
const LEAST_WAIT: Millis = 1

/** Replaces the body by a paced one, unless all of it may be sent at once. */
export function pace(x: Passage, reply: Reply, services: Services): void {
  const { body } = reply
  if (body === null || x.method === 'HEAD' || x.plan === undefined) return
  const meters = x.snapshot.limits.bandwidth(x, x.plan.limits)
  if (meters.length === 0) return
  if (body instanceof Uint8Array && meters.every((meter) => meter.fits(body.length))) {
    for (const meter of meters) meter.take(body.length)
    return
  }
  const { bandwidthWait } = services.telemetry.metrics
  reply.body = new PacedStream(body, meters, services.platform.clock, (id, ms) =>
    bandwidthWait.add([id], ms / 1000),
  )
}

export class PacedStream implements ByteStream {
  readonly length: number | null
  readonly #source: Uint8Array | ByteStream
  readonly #meters: readonly BandwidthMeter[]
  readonly #clock: Clock
  readonly #onWait: (id: string, ms: Millis) => void
  readonly #piece: number
  #sink: ByteSink | undefined
  /** Arrived and not sent; the first from `#sent` on. */
  readonly #held: Uint8Array[] = []
  #sent = 0
  /** The next piece has been charged. */
  #isCharged = false
  #isFull = false
  /** The source was told to stop. */
  #isStopped = false
  #isPumping = false
  #isOver = false
  #ended: { readonly trailers: readonly string[] | undefined } | undefined
  #stopTimer: (() => void) | undefined

  constructor(
    source: Uint8Array | ByteStream,
    meters: readonly BandwidthMeter[],
    clock: Clock,
    onWait: (id: string, ms: Millis) => void,
  ) {
    this.length = source.length
    this.#source = source
    this.#meters = meters
    this.#clock = clock
    this.#onWait = onWait
    this.#piece = Math.min(...meters.map(({ piece }) => piece))
  }

  pipe(sink: ByteSink): void {
    this.#sink = sink
    const source = this.#source
    if (source instanceof Uint8Array) {
      this.#held.push(source)
      this.#ended = { trailers: undefined }
      this.#pump()
      return
    }
    source.pipe({
      write: (chunk) => {
        if (this.#isOver) return false
        // Told to wait for nothing, a source would send it again and again.
        if (chunk.length === 0) return !this.#isStopped
        this.#held.push(chunk)
        this.#pump()
        this.#isStopped = this.#held.length > 0 || this.#isFull
        return !this.#isStopped
      },
      end: (trailers) => {
        this.#ended = { trailers }
        this.#pump()
      },
      fail: (error) => {
        if (this.#isOver) return
        this.#finish()
        sink.fail(error)
      },
    })
  }

  resume(): void {
    this.#isFull = false
    this.#pump()
  }

  cancel(reason?: Error): void {
    this.#finish()
    if (!(this.#source instanceof Uint8Array)) this.#source.cancel(reason)
  }

  #finish(): void {
    this.#isOver = true
    this.#held.length = 0
    this.#stopTimer?.()
    this.#stopTimer = undefined
  }

  /** Sends what may be sent now. The sink may call back into `resume`, the source into `write`. */
  #pump(): void {
    if (this.#isPumping) return
    this.#isPumping = true
    while (!this.#isOver && !this.#isFull && this.#stopTimer === undefined) {
      const chunk = this.#held[0]
      if (chunk === undefined) {
        if (this.#ended !== undefined) {
          this.#finish()
          this.#sink?.end(this.#ended.trailers)
        } else if (this.#isStopped && !(this.#source instanceof Uint8Array)) {
          this.#isStopped = false
          this.#source.resume()
          continue
        }
        break
      }
      const size = Math.min(this.#piece, chunk.length - this.#sent)
      if (!this.#isCharged && this.#mustWait(size)) break
      this.#isCharged = false
      const piece = size === chunk.length ? chunk : chunk.subarray(this.#sent, this.#sent + size)
      this.#sent += size
      if (this.#sent === chunk.length) {
        this.#held.shift()
        this.#sent = 0
      }
      // Set first: the sink may have drained, and said so, by the time it has answered.
      this.#isFull = true
      if (this.#sink?.write(piece) !== false) this.#isFull = false
    }
    this.#isPumping = false
  }

  #mustWait(bytes: number): boolean {
    let wait = 0
    let slowest: BandwidthMeter | undefined
    for (const meter of this.#meters) {
      const own = meter.take(bytes)
      if (own > wait) {
        wait = own
        slowest = meter
      }
    }
    this.#isCharged = true
    if (slowest === undefined || wait < LEAST_WAIT) return false
    this.#onWait(slowest.id, wait)
    this.#stopTimer = this.#clock.after(wait, () => {
      this.#stopTimer = undefined
      this.#pump()
    })
    return true
  }
}
