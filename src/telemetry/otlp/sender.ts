/**
 * One signal's way to the collector: what waits is bounded in number and bytes, sent in batches one after the
 * other, and tried again with growing pauses while the collector asks for it. What finds no room, is refused
 * or cannot be sent in time is dropped and counted; nobody ever waits for it.
 */
import type { Millis } from '../../exchange.ts'
import type { Clock, Logger, Random, Uplink } from '../../ports.ts'

/** Most items and bytes of one request. */
const BATCH_ITEMS = 512
const BATCH_CHARACTERS = 1024 * 1024
/** Most characters that wait, whatever their number. */
const MOST_CHARACTERS = 16 * 1024 * 1024
const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 30_000
/** Statuses that ask for another try (OTLP/HTTP §failures-1). */
const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504])

export type Signal = 'traces' | 'metrics' | 'logs'
export type DropReason = 'full' | 'rejected' | 'failed'

export interface SenderCounts {
  sent(signal: Signal, items: number): void
  dropped(signal: Signal, reason: DropReason, items: number): void
  retried(signal: Signal): void
}

export interface SenderOptions {
  readonly signal: Signal
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** For one request. */
  readonly timeoutMs: Millis
  /** Items that wait at most. */
  readonly most: number
  /** How long an item may wait for others. */
  readonly gatherMs: Millis
  /** How long a batch is tried before it is given up. */
  readonly patienceMs: Millis
  /** What stands before and behind the items. */
  readonly envelope: readonly [before: string, after: string]
  /** Name of the count of refused items in a partial success. */
  readonly rejectedField: string
}

export interface SenderPorts {
  readonly uplink: Uplink
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly counts: SenderCounts
  /** Tells the runtime of work that goes on behind the answer. */
  readonly keepAlive?: ((work: Promise<unknown>) => void) | undefined
}

interface Item {
  readonly json: string
  readonly count: number
}

export class Sender {
  readonly #options: SenderOptions
  readonly #ports: SenderPorts
  #waiting: Item[] = []
  #count = 0
  #characters = 0
  #isRunning = false
  #isStopped = false
  #isFailing = false
  /** Ends a pause early. */
  #wake: (() => void) | undefined
  #idle: (() => void)[] = []

  constructor(options: SenderOptions, ports: SenderPorts) {
    this.#options = options
    this.#ports = ports
  }

  /** Items that wait or are under way. */
  get waiting(): number {
    return this.#count
  }

  get isIdle(): boolean {
    return !this.#isRunning
  }

  /** @param count items in the text, which joins them by commas */
  add(json: string, count: number): void {
    const { signal, most } = this.#options
    const isFull = this.#count + count > most && this.#count > 0
    if (this.#isStopped || isFull || this.#characters + json.length > MOST_CHARACTERS) {
      this.#ports.counts.dropped(signal, 'full', count)
      return
    }
    this.#waiting.push({ json, count })
    this.#count += count
    this.#characters += json.length
    if (!this.#isRunning) {
      this.#isRunning = true
      const work = this.#run()
      this.#ports.keepAlive?.(work)
    } else if (this.#waiting.length === BATCH_ITEMS && !this.#isFailing) this.#wake?.()
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      if (this.#waiting.length < BATCH_ITEMS && !this.#isStopped) {
        await this.#pause(this.#options.gatherMs)
      }
      const batch = this.#take()
      await this.#deliver(batch)
      for (const { count, json } of batch) {
        this.#count -= count
        this.#characters -= json.length
      }
    }
    this.#isRunning = false
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  #take(): Item[] {
    let characters = 0
    let end = 0
    for (; end < this.#waiting.length && end < BATCH_ITEMS; end++) {
      characters += (this.#waiting[end] as Item).json.length
      if (characters > BATCH_CHARACTERS && end > 0) break
    }
    return this.#waiting.splice(0, end)
  }

  async #deliver(batch: readonly Item[]): Promise<void> {
    const { signal, url, headers, timeoutMs, envelope, patienceMs } = this.#options
    const { clock, uplink, counts, random } = this.#ports
    const body = envelope[0] + batch.map(({ json }) => json).join(',') + envelope[1]
    let items = 0
    for (const { count } of batch) items += count
    const until = clock.monotonic() + patienceMs
    for (let tries = 0; ; tries++) {
      let why: string
      let pause: Millis | undefined
      try {
        const answer = await uplink.post(url, headers, body, timeoutMs)
        if (answer.status >= 200 && answer.status < 300) {
          this.#took(items, answer.body)
          return
        }
        why = `status ${answer.status}`
        if (!RETRYABLE.has(answer.status)) {
          counts.dropped(signal, 'rejected', items)
          this.#failed(`${why}: ${answer.body.slice(0, 200)}`)
          return
        }
        pause = retryAfter(answer.retryAfter, clock.now())
      } catch (error) {
        why = error instanceof Error ? error.message : String(error)
      }
      this.#failed(why)
      pause ??= Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** tries) * (0.5 + random.next() / 2)
      if (this.#isStopped || clock.monotonic() + pause > until) {
        counts.dropped(signal, 'failed', items)
        return
      }
      counts.retried(signal)
      await this.#pause(pause)
    }
  }

  /** The collector may have taken a part only; what it refuses must not be sent again. */
  #took(items: number, body: string): void {
    const { signal, rejectedField, url } = this.#options
    const { counts, log } = this.#ports
    const { rejected, message } = partialSuccess(body, rejectedField)
    const refused = Math.min(rejected, items)
    counts.sent(signal, items - refused)
    if (refused > 0) {
      counts.dropped(signal, 'rejected', refused)
      this.#failed(`${refused} of ${items} refused: ${message}`)
      return
    }
    if (!this.#isFailing) return
    this.#isFailing = false
    log.info(`${signal} reach the collector again`, { url })
  }

  /** Said once, until it works again. */
  #failed(why: string): void {
    if (this.#isFailing) return
    this.#isFailing = true
    const { signal, url } = this.#options
    this.#ports.log.warn(`the collector does not take ${signal}`, {
      url,
      error: why,
      hint: 'see telemetry.otlp; what cannot be sent is counted in meridian_otlp_dropped_total',
    })
  }

  #pause(duration: Millis): Promise<void> {
    if (this.#isStopped) return Promise.resolve()
    return new Promise((resolve) => {
      const end = () => {
        cancel()
        this.#wake = undefined
        resolve()
      }
      const cancel = this.#ports.clock.after(duration, end)
      this.#wake = end
    })
  }

  /**
   * Sends what waits, each batch once more at most; what comes after is dropped.
   * @param timeoutMs what is not sent by then is dropped too
   */
  async stop(timeoutMs: Millis): Promise<void> {
    this.#isStopped = true
    this.#wake?.()
    if (!this.#isRunning) return
    const { clock, counts } = this.#ports
    await new Promise<void>((resolve) => {
      const cancel = clock.after(timeoutMs, () => {
        const { length } = this.#waiting
        if (length > 0) {
          const items = this.#waiting.splice(0)
          counts.dropped(
            this.#options.signal,
            'failed',
            items.reduce((sum, { count }) => sum + count, 0),
          )
        }
        resolve()
      })
      this.#idle.push(() => {
        cancel()
        resolve()
      })
    })
  }
}

/** Seconds or a date (RFC 9110 §10.2.3). */
function retryAfter(text: string | undefined, now: Millis): Millis | undefined {
  if (text === undefined) return undefined
  if (/^[0-9]{1,6}$/.test(text)) return Number(text) * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

function partialSuccess(body: string, field: string): { rejected: number; message: string } {
  const none = { rejected: 0, message: '' }
  if (!body.includes(field)) return none
  try {
    const { partialSuccess: part } = JSON.parse(body) as {
      partialSuccess?: Record<string, unknown>
    }
    const rejected = Number(part?.[field] ?? 0)
    if (!Number.isSafeInteger(rejected) || rejected < 0) return none
    return { rejected, message: String(part?.errorMessage ?? '').slice(0, 200) }
  } catch {
    // A collector that answers in another encoding has taken everything: the status says so.
    return none
  }
}
