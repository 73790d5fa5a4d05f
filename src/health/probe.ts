/**
 * Active checks over time: when each origin is asked, and what becomes of the answer. How one asks is
 * the runtime's business (`Prober`).
 */
import type { HealthConfig } from '../config/sections/health.ts'
import type { Millis } from '../exchange.ts'
import type { Clock, OriginAddress, Random } from '../ports.ts'
import { type ActiveRules, nextProbeDelay, type ProbeResult } from './active.ts'
import type { HealthBoard } from './board.ts'

/** Asks one origin once. Rejections count as failures; the scheduler waits no longer than the timeout. */
export type Prober = (target: ProbeTarget) => Promise<ProbeResult>

export interface ProbeTarget {
  readonly origin: OriginAddress
  readonly health: HealthConfig
}

export function activeRules(config: HealthConfig): ActiveRules {
  return {
    intervalMs: config.interval,
    fastIntervalMs: config.fastInterval,
    timeoutMs: config.timeout,
    rise: config.rise,
    fall: config.fall,
  }
}

/**
 * Judges the answer to an HTTP check. Redirects are not followed: where they lead is another server.
 * @param body at most `bodyLimit` bytes of it, as text; undefined when it was not read
 * @param state value of the `x-meridian-state` field, by which an origin may say `drain`
 */
export function judgeHttpProbe(
  config: HealthConfig,
  status: number,
  body: string | undefined,
  state: string | undefined,
): ProbeResult {
  const isExpected = config.expect.some((range) => status >= range.first && status <= range.last)
  if (!isExpected) {
    return { ok: false, detail: status >= 300 && status < 400 ? `redirect ${status}` : `${status}` }
  }
  if (config.body !== undefined && body?.includes(config.body) !== true) {
    return { ok: false, detail: `${status} without the expected text` }
  }
  return { ok: true, detail: `${status}`, drain: state?.trim().toLowerCase() === 'drain' }
}

/** First checks are spread over this time, or the interval if that is shorter. */
const FIRST_PHASE_MS = 1000

interface Job {
  readonly target: ProbeTarget
  readonly rules: ActiveRules
  cancel: (() => void) | undefined
  /** Number of the check under way or last made; answers of earlier ones are too late. */
  round: number
  running: boolean
}

export class ProbeScheduler {
  readonly #jobs = new Map<string, Job>()
  readonly #board: HealthBoard
  readonly #probe: Prober
  readonly #clock: Clock
  readonly #random: Random
  readonly #onResult: ((id: string, result: ProbeResult, durationMs: Millis) => void) | undefined
  readonly #patience: number
  #isStarted = false

  /**
   * @param onResult told of every check, for metrics and for workers that do not check themselves
   * @param patience intervals to wait for somebody else's check before making one: 1 for whoever checks,
   *                 more for those that hear of it (`heard`)
   */
  constructor(
    targets: readonly ProbeTarget[],
    board: HealthBoard,
    probe: Prober,
    clock: Clock,
    random: Random,
    onResult?: (id: string, result: ProbeResult, durationMs: Millis) => void,
    patience = 1,
  ) {
    this.#patience = patience
    this.#board = board
    this.#probe = probe
    this.#clock = clock
    this.#random = random
    this.#onResult = onResult
    for (const target of targets) this.#add(target)
  }

  start(): void {
    this.#isStarted = true
    for (const job of this.#jobs.values()) this.#begin(job)
  }

  stop(): void {
    this.#isStarted = false
    for (const job of this.#jobs.values()) end(job)
  }

  /** Checks these origins and no others; those that it checks already go on as they were. */
  retarget(targets: readonly ProbeTarget[]): void {
    const wanted = new Set(targets.map(({ origin }) => origin.id))
    for (const [id, job] of this.#jobs) {
      if (wanted.has(id)) continue
      end(job)
      this.#jobs.delete(id)
    }
    for (const target of targets) {
      const known = this.#jobs.get(target.origin.id)
      if (known !== undefined && known.target.origin === target.origin) continue
      if (known !== undefined) end(known)
      const job = this.#add(target)
      if (this.#isStarted) this.#begin(job)
    }
  }

  #add(target: ProbeTarget): Job {
    const rules = activeRules(target.health)
    const job: Job = { target, rules, cancel: undefined, round: 0, running: false }
    this.#jobs.set(target.origin.id, job)
    return job
  }

  #begin(job: Job): void {
    const phase = Math.min(FIRST_PHASE_MS, job.rules.intervalMs)
    if (this.#patience > 1) this.#later(job)
    else this.#schedule(job, phase * this.#random.next())
  }

  /** Somebody else's check, which the board has been told of: ours can wait. */
  heard(id: string): void {
    const job = this.#jobs.get(id)
    if (job === undefined || job.running || !this.#isStarted) return
    job.cancel?.()
    this.#later(job)
  }

  #later(job: Job): void {
    const delay = nextProbeDelay(
      this.#board.active(job.target.origin.id),
      job.rules,
      this.#random.next(),
    )
    this.#schedule(job, delay * this.#patience)
  }

  /** Checks an origin soon, out of turn: after it was ejected. */
  hurry(id: string): void {
    const job = this.#jobs.get(id)
    if (job === undefined || job.running || job.cancel === undefined) return
    job.cancel()
    this.#schedule(job, job.rules.fastIntervalMs * this.#random.next())
  }

  #schedule(job: Job, delay: Millis): void {
    job.cancel = this.#clock.after(delay, () => this.#run(job))
  }

  #run(job: Job): void {
    const startedAt = this.#clock.monotonic()
    const round = ++job.round
    job.running = true
    const finish = (result: ProbeResult): void => {
      if (job.round !== round || !job.running) return
      cancelTimeout()
      job.running = false
      // The board may show an ejection by this very answer; what is planned below is soon enough for it.
      job.cancel = undefined
      const id = job.target.origin.id
      const now = this.#clock.monotonic()
      this.#board.onProbe(id, result, now)
      this.#onResult?.(id, result, now - startedAt)
      this.#later(job)
    }
    const cancelTimeout = this.#clock.after(job.rules.timeoutMs, () =>
      finish({ ok: false, detail: `no answer in ${job.rules.timeoutMs} ms` }),
    )
    job.cancel = cancelTimeout
    this.#probe(job.target).then(finish, (error: unknown) =>
      finish({ ok: false, detail: error instanceof Error ? error.message : String(error) }),
    )
  }
}

/** An answer to a check that is under way comes too late. */
function end(job: Job): void {
  job.cancel?.()
  job.cancel = undefined
  job.round++
  job.running = false
}
