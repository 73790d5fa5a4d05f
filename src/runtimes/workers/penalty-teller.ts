/**
 * Tells the notice board whom this isolate has shut out: gathered for a moment, sent behind an answer and
 * never in its way. What cannot be told stays in the isolate's own box.
 */
import type { Millis } from '../../exchange.ts'
import type { Clock, Logger } from '../../ports.ts'
import type { ShutOut } from './penalty-ledger.ts'

const GATHER_MS = 200
const BATCH = 500
/** Clients that wait to be told; more stay this isolate's alone. */
const MOST_WAITING = 2000
/** Sending that has not ended by then never will: its request was over, and the platform has stopped it. */
const GIVEN_UP_MS = 10_000

export type PenaltyNews = 'sent' | 'received' | 'failed'

export interface TellerOptions {
  readonly send: (clients: readonly ShutOut[]) => Promise<void>
  readonly clock: Clock
  readonly log: Logger
  readonly keepAlive: (work: Promise<unknown>) => void
  readonly observe: (news: PenaltyNews, clients: number) => void
}

export class PenaltyTeller {
  readonly #options: TellerOptions
  readonly #waiting = new Map<string, ShutOut>()
  #sendingSince: Millis | undefined
  #hasFailed = false

  constructor(options: TellerOptions) {
    this.#options = options
  }

  tell(client: ShutOut): void {
    const { clock, keepAlive, observe } = this.#options
    if (this.#waiting.size >= MOST_WAITING) {
      observe('failed', 1)
      return
    }
    this.#waiting.set(client.key, client)
    const now = clock.monotonic()
    if (this.#sendingSince !== undefined && now - this.#sendingSince < GIVEN_UP_MS) return
    this.#sendingSince = now
    keepAlive(this.#send())
  }

  async #send(): Promise<void> {
    const { clock, send, observe } = this.#options
    while (this.#waiting.size > 0) {
      await new Promise<void>((resolve) => {
        clock.after(GATHER_MS, () => resolve())
      })
      const batch = [...this.#waiting.values()].slice(0, BATCH)
      for (const { key } of batch) this.#waiting.delete(key)
      try {
        await send(batch)
        observe('sent', batch.length)
        this.#hasFailed = false
      } catch (error) {
        observe('failed', batch.length)
        this.#failed(error)
      }
      this.#sendingSince = clock.monotonic()
    }
    this.#sendingSince = undefined
  }

  #failed(error: unknown): void {
    if (this.#hasFailed) return
    this.#hasFailed = true
    this.#options.log.warn(
      'the notice board takes no penalties: each isolate shuts out clients by itself',
      { error: error instanceof Error ? error.message : String(error) },
    )
  }
}
