/** The worker's side of a cluster: serves, answers the primary's questions, and says what the others should know. */
import type { PurgeNote } from '../../cache/response-cache.ts'
import { decodeHex } from '../../iam/encoding.ts'
import { threatReport } from '../../steps/threats.ts'
import { statusOf } from './admin-view.ts'
import { answerAboutCache } from './cache-control.ts'
import { workerNumber } from './cache-tiers.ts'
import type { Asked, Command, FromWorker, Heard, Question } from './cluster-messages.ts'
import type { ConfigBundle, ConfigFile } from './config-file.ts'
import { answerControl, isControlQuestion } from './control.ts'
import { explainExchange } from './explain.ts'
import { type HealthNote, siblingsOf } from './health-siblings.ts'
import { Instance } from './instance.ts'
import { takeLive } from './live-control.ts'
import { mirrorStatus } from './mirror-control.ts'
import { savedOrders } from './orders-file.ts'
import { answerAboutRollouts, isAboutRollouts } from './rollout-control.ts'
import { savedRollouts } from './rollout-file.ts'
import { RolloutKeeper } from './rollout-keeper.ts'
import { addressesOf, followFile, type RunningGateway, reloadNow } from './running.ts'
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
  const stopWatching = followFile(file, instance)
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
