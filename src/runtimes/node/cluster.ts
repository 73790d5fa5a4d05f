/**
 * Several processes on one set of sockets: the primary forks and replaces workers, and has the control
 * port; workers serve. Questions to workers go by IPC, numbered, with a time limit.
 */
import cluster, { type Worker } from 'node:cluster'
import type { RuntimeState } from '../../admin/state-view.ts'
import type { StatusReport } from '../../admin/view.ts'
import { type AdminView, ExplainError, type ExplainQuery } from '../../admin/view.ts'
import type { PurgeNote } from '../../cache/response-cache.ts'
import { ConfigError } from '../../config/errors.ts'
import { decodeHex, encodeHex } from '../../iam/encoding.ts'
import type { Revocation } from '../../iam/revocation.ts'
import type { RolloutStatus } from '../../steering/rollouts.ts'
import { threatReport } from '../../steps/threats.ts'
import type { AlertNotice } from '../../telemetry/alerts/notice.ts'
import type { EventKind, GatewayEvent } from '../../telemetry/events.ts'
import type { Explanation } from '../../telemetry/explain.ts'
import { exposition, mergeSnapshots } from '../../telemetry/exposition.ts'
import { Mask } from '../../telemetry/mask.ts'
import type { MetricsSnapshot } from '../../telemetry/metrics.ts'
import { mergeThreats, type ThreatReport } from '../../telemetry/threats/threats.ts'
import { startAdmin } from './admin-server.ts'
import { statusOf } from './admin-view.ts'
import {
  answerAboutCache,
  type CacheQuestion,
  cacheView,
  type PurgeAudit,
} from './cache-control.ts'
import { workerNumber } from './cache-tiers.ts'
import { nodeRandom } from './clock.ts'
import type { ConfigBundle, ConfigFile } from './config-file.ts'
import {
  type Asker,
  answerControl,
  askingViews,
  type ControlQuestion,
  isControlQuestion,
} from './control.ts'
import { dashboardFiles } from './dashboard-files.ts'
import { explainExchange } from './explain.ts'
import { type HealthNote, siblingsOf } from './health-siblings.ts'
import { Instance } from './instance.ts'
import { liveCounts, takeLive, workersLiveView } from './live-control.ts'
import { type MirrorQuestion, mirrorStatus, mirrorView } from './mirror-control.ts'
import { operationsLog } from './operations-log.ts'
import { type OrdersFile, openOrdersFile, savedOrders } from './orders-file.ts'
import {
  answerAboutRollouts,
  isAboutRollouts,
  type RolloutQuestion,
  rolloutView,
} from './rollout-control.ts'
import { openRolloutFile, type RolloutFile, savedRollouts } from './rollout-file.ts'
import { RolloutKeeper, RolloutPositions } from './rollout-keeper.ts'
import { addressesOf, type RunningGateway, reloadNow, watch } from './start.ts'

const ANSWER_MS = 5000
/** Warming is as slow as the origins are. */
const WARM_ANSWER_MS = 600_000
/** Purges kept for a worker that is not there; beyond it, it is told to purge everything. */
const MISSED_PURGES = 1000
/** A worker that dies younger than this is started again only after a pause, which doubles. */
const YOUNG_MS = 5000
const LONGEST_PAUSE_MS = 30_000

type Question =
  | CacheQuestion
  | RolloutQuestion
  | MirrorQuestion
  | ControlQuestion
  | { readonly ask: 'metrics' | 'status' | 'live' }
  | { readonly ask: 'threats'; readonly limit: number }
  | { readonly ask: 'alert'; readonly notice: AlertNotice }
  | { readonly ask: 'explain'; readonly query: ExplainQuery }
  | {
      readonly ask: 'events'
      readonly since: number
      readonly limit: number
      readonly kind: EventKind | undefined
    }
/** Compiling a config and judging recorded requests takes what it takes. */
const COMPILE_ANSWER_MS = 120_000

function patienceFor(ask: Question['ask']): number {
  if (ask === 'cache-warm') return WARM_ANSWER_MS
  return /^(config|rules|publish)-/.test(ask) ? COMPILE_ANSWER_MS : ANSWER_MS
}

type Asked = Question & { readonly id: number }
type Command = { readonly command: 'reload' | 'reopen-log' | 'stop' }
/** What others found out of origins. */
type Heard = { readonly health: readonly HealthNote[] }
type FromWorker =
  | { readonly ready: readonly number[] }
  | { readonly failed: string }
  | { readonly purged: readonly PurgeNote[] }
  | { readonly rollout: RolloutStatus }
  | { readonly revoked: Revocation }
  | { readonly health: readonly HealthNote[] }
  | { readonly alert: AlertNotice }
  | { readonly id: number; readonly answer: unknown }

// The worker's side --------------------------------------------------------------------------------

/** A worker process: serves until the primary says stop, or disconnects. */
export async function runWorker(file: ConfigFile, bundle: ConfigBundle): Promise<RunningGateway> {
  const send = (message: FromWorker) => process.send?.(message)
  let instance: Instance
  try {
    instance = await Instance.start(bundle, {
      worker: workerNumber(),
      drawnSecret: takeSecret(),
      siblings: siblingsOf(workerNumber() ?? 0, tellHealth(send)),
      rollouts: new RolloutKeeper(await savedRollouts(bundle), (rollout) => send({ rollout })),
      orders: await savedOrders(bundle),
      tellAlert: (alert) => send({ alert }),
      onRevoked: (revoked) => send({ revoked }),
    })
  } catch (error) {
    // The primary says it; this process has nothing to add.
    const failed = error instanceof Error ? error.message : String(error)
    await new Promise((resolve) => process.send?.({ failed } satisfies FromWorker, resolve))
    process.exit(1)
  }
  const stopWatching = watch(file, instance)
  const close = async () => {
    stopWatching()
    await instance.stop()
  }
  let isStopping = false
  const stop = () => {
    if (isStopping) return
    isStopping = true
    void close().then(() => process.exit(0))
  }
  process.on('message', (message: Asked | Command | Heard) => {
    if ('health' in message) {
      for (const note of message.health) instance.heardHealth(note)
      return
    }
    if ('command' in message) {
      if (message.command === 'reload') void reloadNow(file, instance)
      else if (message.command === 'reopen-log') instance.reopenLog()
      else stop()
      return
    }
    void answer(instance, file, message).then((value) => send({ id: message.id, answer: value }))
  })
  tellPurges(instance, (purged) => send({ purged }))
  process.on('disconnect', stop)
  // The primary decides; the terminal sends these to the whole group.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'] as const)
    process.on(signal, () => {})
  send({ ready: [...instance.ports] })
  return { addresses: addressesOf(bundle.config.listen.addresses, instance.ports), close }
}

/** What the primary drew for all of its workers. Taken out of the environment: children would inherit it. */
function takeSecret(): Uint8Array | undefined {
  const text = process.env.MERIDIAN_DRAWN_SECRET
  delete process.env.MERIDIAN_DRAWN_SECRET
  return text === undefined ? undefined : decodeHex(text)
}

/** What is found out of origins in one turn of the loop goes out together. */
function tellHealth(send: (message: FromWorker) => unknown): (note: HealthNote) => void {
  let pending: HealthNote[] = []
  return (note) => {
    pending.push(note)
    if (pending.length > 1) return
    setImmediate(() => {
      send({ health: pending })
      pending = []
    })
  }
}

/** What unsafe requests have invalidated here is told to the others, once for each turn of the loop. */
function tellPurges(instance: Instance, tell: (notes: readonly PurgeNote[]) => void): void {
  let pending: PurgeNote[] = []
  instance.gateway.services.cache?.epochs.onPurge((name, soft, _at, isOwn) => {
    if (!isOwn) return
    if (pending.length === 0) {
      setImmediate(() => {
        tell(pending)
        pending = []
      })
    }
    pending.push({ name, soft })
  })
}

async function answer(instance: Instance, file: ConfigFile, question: Question): Promise<unknown> {
  if (isAboutRollouts(question)) return answerAboutRollouts(instance, question)
  if (isControlQuestion(question)) return answerControl(instance, file, question)
  switch (question.ask) {
    case 'metrics':
      return instance.telemetry.metrics.snapshot()
    case 'mirror-status':
      return mirrorStatus(instance)
    case 'status':
      return statusOf(instance, 1)
    case 'live':
      return takeLive(instance)
    case 'threats':
      return threatReport(instance.gateway.services, instance.snapshot, question.limit) ?? null
    case 'alert':
      instance.alerts.deliver(question.notice)
      return true
    case 'events':
      return instance.telemetry.events.since(question.since, question.limit, question.kind)
    case 'explain':
      return explainExchange(instance, question.query)
    default:
      return answerAboutCache(instance, question)
  }
}

// The primary's side -------------------------------------------------------------------------------

class Workers {
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

/** @throws ConfigError when a worker or the control port cannot start */
export async function runPrimary(bundle: ConfigBundle, count: number): Promise<RunningGateway> {
  const { config } = bundle
  const file = await openRolloutFile(bundle, operationsLog)
  const orders = await openOrdersFile(bundle, operationsLog)
  const workers = new Workers(count, file, orders)
  let closeAdmin = async () => {}
  const close = async () => {
    await workers.stop()
    await closeAdmin()
    await file?.flushed()
    await orders?.flushed()
  }
  let stopped: Promise<never> | undefined
  const stop = () => {
    stopped ??= close().then(() => process.exit(0))
  }
  // Before the workers start: the first of them serves before the last one is there.
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  process.on('SIGHUP', () => workers.tell('reload'))
  process.on('SIGUSR1', () => workers.tell('reopen-log'))
  try {
    await workers.start()
  } catch (error) {
    if (stopped !== undefined) await stopped
    throw error
  }
  let control: string | undefined
  if (config.admin.enabled) {
    const mask = new Mask(config.telemetry.mask, nodeRandom.bytes(16))
    try {
      const view = primaryView(workers)
      const admin = await startAdmin(bundle, view, () => mask, operationsLog)
      control = admin.address
      closeAdmin = () => admin.close()
    } catch (error) {
      await workers.stop()
      throw error
    }
  }
  return { addresses: addressesOf(config.listen.addresses, workers.ports), control, close }
}

function primaryView(workers: Workers): AdminView {
  const first = (question: Question) => workers.first(question)
  const asker: Asker = {
    first,
    all: (question) => workers.askAll(question),
    order: (question) => workers.order(question),
    size: () => workers.live.length,
  }
  const counts = liveCounts()
  return {
    status: async () => ({
      ...((await first({ ask: 'status' })) as StatusReport),
      workers: workers.live.length,
    }),
    readiness: () => {
      if (workers.isStopping) return { ready: false, reasons: ['shutting down'] }
      return workers.live.length > 0
        ? { ready: true, reasons: [] }
        : { ready: false, reasons: ['no worker is running'] }
    },
    metrics: async (own = []) => {
      const found = (await workers.askAll({ ask: 'metrics' })) as MetricsSnapshot[]
      return exposition(mergeSnapshots([...found, counts.snapshot(), own]))
    },
    config: () => first({ ask: 'config-show' }),
    explain: async (query): Promise<Explanation> => {
      const result = (await first({ ask: 'explain', query })) as Explanation | string
      if (typeof result === 'string') throw new ExplainError(result)
      return result
    },
    events: async (since, limit, kind) => {
      const found = (await workers.askAll({
        ask: 'events',
        since,
        limit,
        kind,
      })) as GatewayEvent[][]
      return found
        .flat()
        .sort((a, b) => a.time - b.time)
        .slice(-limit)
    },
    cache: cacheView((question, audit) =>
      question.ask === 'cache-purge' ? workers.purge(question, audit) : workers.askAll(question),
    ),
    rollouts: rolloutView((question, by) => workers.orderRollout(question, by)),
    mirrors: mirrorView((question) => workers.askAll(question)),
    ...askingViews(asker),
    live: workersLiveView(() => workers.askAll({ ask: 'live' }), counts),
    page: dashboardFiles(),
    threats: async (limit) => {
      const reports = await workers.askAll({ ask: 'threats', limit })
      const known = reports.filter((one): one is ThreatReport => one !== null)
      return known.length === 0 ? undefined : mergeThreats(known, limit)
    },
    onFailed: (error, path) =>
      operationsLog.error('the control port failed', { path, error: error.message }),
  }
}
