/** What the control port shows of one process's gateway. */
import {
  type AdminView,
  ExplainError,
  type RegionStatus,
  type StatusReport,
} from '../../admin/view.ts'
import type { Explanation } from '../../telemetry/explain.ts'
import { exposition } from '../../telemetry/exposition.ts'
import { explainExchange } from './explain.ts'
import { oldest } from './geo-file.ts'
import type { Instance } from './instance.ts'
import { VERSION } from './version.ts'

export function instanceView(instance: Instance): AdminView {
  return {
    status: () => statusOf(instance, 1),
    readiness: () =>
      instance.isStopping
        ? { ready: false, reasons: ['shutting down'] }
        : { ready: true, reasons: [] },
    metrics: () => exposition(instance.telemetry.metrics.snapshot()),
    config: () => instance.bundle.config,
    explain: async (query): Promise<Explanation> => {
      const result = await explainExchange(instance, query)
      if (typeof result === 'string') throw new ExplainError(result)
      return result
    },
    events: (since, limit, kind) => instance.telemetry.events.since(since, limit, kind),
    onRefused: (reason, peer, path) =>
      instance.telemetry.note('security', 'admin-refused', { reason, peer, path }),
    onFailed: (error, path) =>
      instance.platform.log.error('the control port failed', {
        path,
        error: error.stack ?? error.message,
      }),
  }
}

export function statusOf(instance: Instance, workers: number): StatusReport {
  return {
    version: VERSION,
    runtime: `node ${process.version}`,
    startedAt: instance.startedAt,
    workers,
    config: {
      hash: instance.bundle.hash,
      file: instance.bundle.path,
      loadedAt: instance.loadedAt,
      lastError: instance.lastError,
    },
    geo: { source: 'mmdb', builtAt: oldest(instance.geo.databases) },
    regions: regionsOf(instance),
  }
}

function regionsOf(instance: Instance): RegionStatus[] {
  void instance
  return []
}
