/** When a folder is tended: soon after the start, after each hour, and again when something did not work. */
import { fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Logger } from '../../../ports.ts'
import { SETTLE_MS } from './compact.ts'
import { HOUR_MS, hourOf } from './layout.ts'
import { type TendReport, type TendSettings, tend } from './tend.ts'
import type { TenderAnswer } from './tender.ts'

const FIRST_MS = 1000
const RETRY_MS = 5 * 60_000
/** Beyond the moment from which an hour counts as finished. */
const MARGIN_MS = 5000

const TENDER = fileURLToPath(new URL('./tender.js', import.meta.url))

export class Schedule {
  readonly #settings: () => TendSettings | undefined
  readonly #log: Logger
  readonly #onReport: (report: TendReport) => void
  #timer: NodeJS.Timeout | undefined
  #stopTender: (() => void) | undefined
  #isStopped = false

  /** @param settings asked for at each pass, since a reload may change them */
  constructor(
    settings: () => TendSettings | undefined,
    log: Logger,
    onReport: (report: TendReport) => void,
  ) {
    this.#settings = settings
    this.#log = log
    this.#onReport = onReport
  }

  start(): void {
    this.#after(FIRST_MS)
  }

  #after(delay: number): void {
    if (this.#isStopped) return
    this.#timer = setTimeout(() => void this.#pass(), delay)
    this.#timer.unref()
  }

  async #pass(): Promise<void> {
    const settings = this.#settings()
    let isDone = true
    if (settings !== undefined) {
      try {
        const report = await this.#tend(settings)
        this.#onReport(report)
        isDone = !report.isBusy && report.failures.length === 0 && report.uploaded.failed === 0
      } catch (error) {
        isDone = false
        if (!this.#isStopped) {
          this.#log.error('the analytics folder was not tended', {
            dir: settings.dir,
            error: error instanceof Error ? error.message : String(error),
          })
        }
      }
    }
    const now = Date.now()
    const nextHour = hourOf(now) + HOUR_MS + SETTLE_MS + MARGIN_MS - now
    this.#after(isDone ? nextHour : Math.min(nextHour, RETRY_MS))
  }

  #tend(settings: TendSettings): Promise<TendReport> {
    // A bundle of the gateway into one file has no such file beside it.
    if (!existsSync(TENDER)) return tend(settings, this.#log)
    return new Promise((resolve, reject) => {
      const child = fork(TENDER, [], { serialization: 'advanced', execArgv: [] })
      this.#stopTender = () => child.disconnect()
      child.once('message', (answer: TenderAnswer) => {
        if ('report' in answer) resolve(answer.report)
        else reject(new Error(answer.error))
      })
      child.once('error', reject)
      child.once('exit', (code, signal) => {
        this.#stopTender = undefined
        reject(new Error(`the process ended with ${signal ?? code}`))
      })
      child.send(settings)
    })
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
    this.#stopTender?.()
  }
}
