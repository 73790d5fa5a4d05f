/**
 * Several processes on one set of sockets: the primary forks and replaces workers, and has the control port;
 * workers serve.
 */
import type { StatusReport } from '../../admin/view.ts'
import { type AdminView, ExplainError } from '../../admin/view.ts'
import type { GatewayEvent } from '../../telemetry/events.ts'
import type { Explanation } from '../../telemetry/explain.ts'
import { exposition, mergeSnapshots } from '../../telemetry/exposition.ts'
import { Mask } from '../../telemetry/mask.ts'
import type { MetricsSnapshot } from '../../telemetry/metrics.ts'
import { mergeThreats, type ThreatReport } from '../../telemetry/threats/threats.ts'
import { startAdmin } from './admin-server.ts'
import { cacheView } from './cache-control.ts'
import { nodeRandom } from './clock.ts'
import type { Question } from './cluster-messages.ts'
import { Workers } from './cluster-workers.ts'
import type { ConfigBundle } from './config-file.ts'
import { type Asker, askingViews } from './control.ts'
import { dashboardFiles } from './dashboard-files.ts'
import { liveCounts, workersLiveView } from './live-control.ts'
import { mirrorView } from './mirror-control.ts'
import { operationsLog } from './operations-log.ts'
import { openOrdersFile } from './orders-file.ts'
import { rolloutView } from './rollout-control.ts'
import { openRolloutFile } from './rollout-file.ts'
import { addressesOf, type RunningGateway } from './running.ts'

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
