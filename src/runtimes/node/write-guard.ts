/**
 * Ends clients that do not read their response. No Node default does: header and request timeouts are
 * about the request, and a drip of a few bytes resets a socket's inactivity timeout.
 */
/** A client must take at least this many bytes in each period while it holds us up. */
const MIN_BYTES_A_PERIOD = 1024

export class WriteGuard {
  readonly #taken: () => number
  readonly #periodMs: number
  readonly #giveUp: () => void
  #timer: NodeJS.Timeout | undefined
  #takenBefore = 0

  /** @param taken bytes of the response that the client's side has accepted so far */
  constructor(taken: () => number, periodMs: number, giveUp: () => void) {
    this.#taken = taken
    this.#periodMs = periodMs
    this.#giveUp = giveUp
  }

  /** The client does not keep up: from now on it must make progress. */
  stalled(): void {
    if (this.#timer !== undefined) return
    this.#takenBefore = this.#taken()
    this.#timer = setInterval(() => {
      const taken = this.#taken()
      if (taken - this.#takenBefore < MIN_BYTES_A_PERIOD) {
        this.stop()
        this.#giveUp()
      }
      this.#takenBefore = taken
    }, this.#periodMs)
    this.#timer.unref()
  }

  flowing(): void {
    this.stop()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
