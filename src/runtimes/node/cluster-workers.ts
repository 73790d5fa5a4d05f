/**
 * The worker processes as the primary has them: forked, replaced when they die, asked by IPC one or all, and brought to
 * where the others are.
 */
import cluster, { type Worker } from 'node:cluster'
import type { RuntimeState } from '../../admin/state-view.ts'
import { ConfigError } from '../../config/errors.ts'
import { encodeHex } from '../../iam/encoding.ts'
import type { RolloutStatus } from '../../steering/rollouts.ts'
import type { AlertNotice } from '../../telemetry/alerts/notice.ts'
import type { CacheQuestion, PurgeAudit } from './cache-control.ts'
import { nodeRandom } from './clock.ts'
import type { Command, FromWorker, Question } from './cluster-messages.ts'
import type { ControlQuestion } from './control.ts'
import { operationsLog } from './operations-log.ts'
import type { OrdersFile } from './orders-file.ts'
import type { RolloutQuestion } from './rollout-control.ts'
import type { RolloutFile } from './rollout-file.ts'
import { RolloutPositions } from './rollout-keeper.ts'

const ANSWER_MS = 5000
/** Warming is as slow as the origins are. */
const WARM_ANSWER_MS = 600_000
/** Purges kept for a worker that is not there; beyond it, it is told to purge everything. */
const MISSED_PURGES = 1000
/** A worker that dies younger than this is started again only after a pause, which doubles. */
const YOUNG_MS = 5000
const LONGEST_PAUSE_MS = 30_000

/** Compiling a config and judging recorded requests takes what it takes. */
const COMPILE_ANSWER_MS = 120_000

function patienceFor(ask: Question['ask']): number {
  if (ask === 'cache-warm') return WARM_ANSWER_MS
  return /^(config|rules|publish)-/.test(ask) ? COMPILE_ANSWER_MS : ANSWER_MS
}

export class Workers {
  readonly #pending = new Map<number, (answer: unknown) => void>()
  readonly #count: number
  /** The same for workers that are started later. */
  readonly #drawnSecret = encodeHex(nodeRandom.bytes(32))
  readonly #ready = new Set<Worker>()
  /** Purges that a worker has missed, by its number, while there was none. */
  readonly #missed = new Map<number, CacheQuestion[]>()
  #nextId = 1
  #pauseMs = 250
  /** What orders have made of the workers; undefined before the first. */
  #state: RuntimeState | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #isStopping = false
  readonly #rollouts: RolloutPositions
  /** Ports that the first worker got. */
  ports: readonly number[] = []

  readonly #orders: OrdersFile | undefined

  /**
   * @param file   where rollouts are kept over a restart; undefined: nowhere
   * @param orders where orders are
   */
  constructor(count: number, file: RolloutFile | undefined, orders: OrdersFile | undefined) {
    this.#count = count
    this.#orders = orders
    this.#rollouts = new RolloutPositions((saved) => file?.save(saved))
  }

  /** Those that serve: one that is still starting hears neither questions nor commands. */
  get live(): Worker[] {
    return [...this.#ready].filter((worker) => worker.isConnected())
  }

  get isStopping(): boolean {
    return this.#isStopping
  }

  /** @throws ConfigError when a worker cannot start */
  async start(): Promise<void> {
    cluster.setupPrimary({ serialization: 'advanced' })
    await Promise.all(Array.from({ length: this.#count }, (_, number) => this.#fork(number, true)))
  }

  /** @param number of the place it takes: its folders are those of the one before it */
  #fork(number: number, isFirst: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const worker = cluster.fork({
        MERIDIAN_WORKER: String(number),
        MERIDIAN_WORKERS: String(this.#count),
        MERIDIAN_DRAWN_SECRET: this.#drawnSecret,
      })
      const startedAt = performance.now()
      let isReady = false
      worker.on('message', (message: FromWorker) => {
        if ('ready' in message) {
          isReady = true
          const [sibling] = this.live
          this.#ready.add(worker)
          if (!isFirst) void this.#inTurn(() => this.#join(worker, sibling))
          if (this.ports.length === 0) this.ports = message.ready
          for (const question of this.#missed.get(number) ?? []) void this.ask(worker, question)
          this.#missed.delete(number)
          resolve()
        } else if ('failed' in message) {
          reject(new ConfigError([{ path: 'workers', message: message.failed }]))
        } else if ('health' in message) {
          for (const other of this.live) if (other !== worker) other.send(message)
        } else if ('rollout' in message) {
          this.#rolloutChanged(worker, message.rollout)
        } else if ('revoked' in message) {
          const question = { ask: 'defence-revoke', revocation: message.revoked, by: '' } as const
          for (const other of this.live) if (other !== worker) void this.ask(other, question)
        } else if ('purged' in message) {
          void this.purge({ ask: 'cache-adopt', notes: message.purged }, undefined, worker)
        } else if ('alert' in message) {
          void this.#alert(message.alert)
        } else {
          this.#pending.get(message.id)?.(message.answer)
        }
      })
      worker.on('exit', (code, signal) => {
        this.#ready.delete(worker)
        this.#rollouts.forget(worker.id)
        if (this.#isStopping) return
        if (!this.#missed.has(number)) this.#missed.set(number, [])
        if (isFirst && !isReady) {
          reject(
            new ConfigError([
              {
                path: 'workers',
                message: `a worker ended with ${signal ?? code} before it was ready`,
              },
            ]),
          )
          return
        }
        const age = performance.now() - startedAt
        const pause = age < YOUNG_MS ? this.#pauseMs : 0
        this.#pauseMs = age < YOUNG_MS ? Math.min(LONGEST_PAUSE_MS, this.#pauseMs * 2) : 250
        operationsLog.error('a worker ended and is replaced', {
          pid: worker.process.pid,
          code,
          signal,
          pause,
        })
        setTimeout(() => {
          if (!this.#isStopping)
            void this.#fork(number, false).catch((error: Error) =>
              operationsLog.error('a worker did not start', { error: error.message }),
            )
        }, pause)
      })
    })
  }

  /** Keeps it for the next start. Back in one process is back in all: each sees only its own requests fail. */
  #rolloutChanged(worker: Worker, status: RolloutStatus): void {
    this.#rollouts.moved(worker.id, status)
    if (status.phase !== 'rolled-back' || this.#isStopping) return
    for (const other of this.live) {
      if (other !== worker) void this.ask(other, { ask: 'rollout-adopt', all: [status] })
    }
  }

  /** A worker that takes another's place is put where the others are, not where they once began. */
  async #join(worker: Worker, sibling: Worker | undefined): Promise<void> {
    const fresh = sibling === undefined ? undefined : await this.ask(sibling, { ask: 'state-take' })
    // Rollouts have moved on since the last order; where they are is kept elsewhere.
    const last = this.#state === undefined ? undefined : { ...this.#state, rollouts: [] }
    const state = (fresh as RuntimeState | undefined) ?? last
    if (state === undefined || !worker.isConnected()) return
    await this.ask(worker, { ask: 'state-restore', state })
  }

  /** One worker delivers what all see, so that nothing is told once by each. */
  async #alert(notice: AlertNotice): Promise<void> {
    const [first] = this.live
    const taken = first === undefined ? undefined : await this.ask(first, { ask: 'alert', notice })
    if (taken === true) return
    operationsLog.error('an alert was not delivered: no worker takes it', {
      alert: notice.alert,
      summary: notice.summary,
    })
  }

  ask(worker: Worker, question: Question): Promise<unknown> {
    const id = this.#nextId++
    return new Promise((resolve) => {
      const patience = patienceFor(question.ask)
      const timer = setTimeout(() => settle(undefined), patience)
      const settle = (value: unknown) => {
        clearTimeout(timer)
        this.#pending.delete(id)
        resolve(value)
      }
      this.#pending.set(id, settle)
      worker.send({ ...question, id })
    })
  }

  /** One that answers. @throws when none does */
  async first(question: Question): Promise<unknown> {
    for (const worker of this.live) {
      const found = await this.ask(worker, question)
      if (found !== undefined) return found
    }
    throw new Error('no worker answers')
  }

  /**
   * Every worker carries it out, the first one notes it, and what they have become by it is kept for those
   * that take another's place. One after another, with those.
   */
  order(question: ControlQuestion): Promise<unknown[]> {
    return this.#inTurn(async () => {
      const answers = await Promise.all(
        this.live.map((worker, index) =>
          this.ask(
            worker,
            index === 0 ? ({ ...question, isNoted: true } as ControlQuestion) : question,
          ),
        ),
      )
      this.#state = (await this.first({ ask: 'state-take' })) as RuntimeState
      this.#orders?.save(this.#state)
      await this.#orders?.flushed()
      return answers.filter((one) => one !== undefined)
    })
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(run)
    this.#turn = done.catch(() => {})
    return done
  }

  async askAll(question: Question): Promise<unknown[]> {
    const answers = await Promise.all(this.live.map((worker) => this.ask(worker, question)))
    return answers.filter((one) => one !== undefined)
  }

  /** @param by goes to one of them, which notes the order */
  async orderRollout(question: RolloutQuestion, by: string | undefined): Promise<unknown[]> {
    const answers = await Promise.all(
      this.live.map((worker, index) =>
        this.ask(
          worker,
          index === 0 && by !== undefined && question.ask === 'rollout-command'
            ? { ...question, by }
            : question,
        ),
      ),
    )
    return answers.filter((one) => one !== undefined)
  }

  /**
   * Every worker purges, and those that are being replaced will.
   * @param audit goes to one of them
   * @param from  the worker that has done it already
   */
  async purge(
    question: CacheQuestion,
    audit: PurgeAudit | undefined,
    from?: Worker,
  ): Promise<unknown[]> {
    for (const [number, questions] of this.#missed) {
      questions.push(question)
      if (questions.length > MISSED_PURGES) {
        const notes = [{ name: 'all', soft: false }]
        this.#missed.set(number, [{ ask: 'cache-adopt', notes }])
      }
    }
    const others = this.live.filter((worker) => worker !== from)
    const answers = await Promise.all(
      others.map((worker, index) =>
        this.ask(
          worker,
          index === 0 && audit !== undefined && question.ask === 'cache-purge'
            ? { ...question, audit }
            : question,
        ),
      ),
    )
    return answers.filter((one) => one !== undefined)
  }

  tell(command: Command['command']): void {
    for (const worker of this.live) worker.send({ command })
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined)
    const ended = workers.map(
      (worker) => new Promise<void>((resolve) => worker.once('exit', () => resolve())),
    )
    this.tell('stop')
    for (const worker of workers) if (!this.#ready.has(worker)) worker.process.kill('SIGKILL')
    await Promise.all(ended)
  }
}
