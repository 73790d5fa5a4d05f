/**
 * `meridian start`: one process, or a primary with worker processes that share the sockets. Signals:
 * SIGTERM and SIGINT drain and exit 0, SIGHUP reloads, SIGUSR1 reopens the access log.
 */
import cluster from 'node:cluster'
import { availableParallelism } from 'node:os'
import { type AdminServer, startAdmin } from './admin-server.ts'
import { instanceView } from './admin-view.ts'
import { runPrimary } from './cluster.ts'
import { runWorker } from './cluster-worker.ts'
import { type ConfigBundle, ConfigFile } from './config-file.ts'
import { Instance, type InstanceOptions } from './instance.ts'
import { operationsLog } from './operations-log.ts'
import { openOrdersFile, savedOrders } from './orders-file.ts'
import { openRolloutFile } from './rollout-file.ts'
import { keptBy } from './rollout-keeper.ts'
import { addressesOf, followFile, type RunningGateway, reloadNow } from './running.ts'

export interface StartOptions {
  /** Instead of the config's `workers`. */
  readonly workers?: number | 'auto' | undefined
}

/**
 * Starts a gateway from a config file and keeps it running: watches the file, handles signals.
 * @throws ConfigError, ConfigFileError, GeoFileError
 */
export async function startFromFile(path: string, options: StartOptions): Promise<RunningGateway> {
  const file = new ConfigFile(path)
  const bundle = await file.load()
  if (cluster.isWorker) return runWorker(file, bundle)
  const workers = options.workers ?? bundle.config.workers
  const count = workers === 'auto' ? availableParallelism() : workers
  if (count > 1) return runPrimary(bundle, count)
  const running = await startGateway(file, bundle)
  onSignals(running)
  return running
}

export interface SingleGateway extends RunningGateway {
  readonly instance: Instance
  reload(): Promise<boolean>
}

/** One process, without signal handlers: for the CLI, the demo and tests. */
export async function startGateway(
  file: ConfigFile,
  bundle: ConfigBundle,
  options: InstanceOptions = {},
): Promise<SingleGateway> {
  const rollouts = await openRolloutFile(bundle, options.log ?? operationsLog)
  const keeper = rollouts === undefined ? undefined : keptBy(rollouts)
  const orders = await openOrdersFile(bundle, options.log ?? operationsLog)
  const instance = await Instance.start(bundle, {
    rollouts: keeper,
    orders: await savedOrders(bundle),
    ...options,
  })
  let admin: AdminServer | undefined
  const { config } = bundle
  try {
    if (config.admin.enabled) {
      const view = instanceView(instance, file, orders)
      const { log } = instance.platform
      admin = await startAdmin(bundle, view, () => instance.telemetry.mask, log)
    }
  } catch (error) {
    await instance.stop()
    throw error
  }
  const stopWatching = followFile(file, instance)
  return {
    instance,
    addresses: addressesOf(config.listen.addresses, instance.ports),
    control: admin?.address,
    reload: () => reloadNow(file, instance),
    close: async () => {
      stopWatching()
      await instance.stop()
      await admin?.close()
      await rollouts?.flushed()
      await orders?.flushed()
    },
  }
}

function onSignals(running: SingleGateway): void {
  let isStopping = false
  const stop = () => {
    if (isStopping) return
    isStopping = true
    void running.close().then(() => process.exit(0))
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  process.on('SIGHUP', () => void running.reload())
  process.on('SIGUSR1', () => running.instance.reopenLog())
}
