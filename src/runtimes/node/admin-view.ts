/** What the control port shows of one process's gateway. */
import {
  type AdminView,
  ExplainError,
  type OriginStatus,
  type RegionStatus,
  type StatusReport,
} from '../../admin/view.ts'
import type { OriginHealth } from '../../health/board.ts'
import { isInMask } from '../../steering/regions.ts'
import { threatReport } from '../../steps/threats.ts'
import type { Explanation } from '../../telemetry/explain.ts'
import { exposition, mergeSnapshots } from '../../telemetry/exposition.ts'
import { instanceCacheView } from './cache-control.ts'
import type { ConfigFile } from './config-file.ts'
import { askInstance, askingViews } from './control.ts'
import { dashboardFiles } from './dashboard-files.ts'
import { explainExchange } from './explain.ts'
import { oldest } from './geo-file.ts'
import type { Instance } from './instance.ts'
import { instanceLiveView } from './live-control.ts'
import { instanceMirrorView } from './mirror-control.ts'
import type { OrdersFile } from './orders-file.ts'
import { instanceRolloutView } from './rollout-control.ts'
import { VERSION } from './version.ts'

export function instanceView(instance: Instance, file: ConfigFile, orders?: OrdersFile): AdminView {
  const asker = askInstance(instance, file, orders)
  return {
    status: () => statusOf(instance, 1),
    readiness: () =>
      instance.isStopping
        ? { ready: false, reasons: ['shutting down'] }
        : { ready: true, reasons: [] },
    metrics: (own = []) => exposition(mergeSnapshots([instance.telemetry.metrics.snapshot(), own])),
    config: () => instance.bundle.config,
    explain: async (query): Promise<Explanation> => {
      const result = await explainExchange(instance, query)
      if (typeof result === 'string') throw new ExplainError(result)
      return result
    },
    events: (since, limit, kind) => instance.telemetry.events.since(since, limit, kind),
    threats: (limit) => threatReport(instance.gateway.services, instance.snapshot, limit),
    cache: instanceCacheView(instance),
    rollouts: instanceRolloutView(instance),
    mirrors: instanceMirrorView(instance),
    ...askingViews(asker),
    live: instanceLiveView(instance),
    page: dashboardFiles(),
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
    ...(instance.redis === undefined ? {} : { redis: instance.redis.status() }),
    ...(instance.fleet === undefined ? {} : { sharedLimits: instance.fleet.status() }),
  }
}

/** Regions with their pools' origins; pools that stand in no region come last, under their own names. */
function regionsOf(instance: Instance): RegionStatus[] {
  const { snapshot } = instance
  const { names } = instance.platform
  const { health, regions, config, pools } = snapshot
  const states = new Map(health.states().map((state) => [state.id, state]))
  const placed = new Set<string>()
  const statusOfPools = (poolNames: readonly string[]): OriginStatus[] =>
    poolNames.flatMap((name) => {
      placed.add(name)
      return (pools.get(name)?.origins ?? []).map(({ id, address }) => {
        const known = address.addresses ?? names?.addresses(address.hostname)
        return {
          ...originStatus(id, name, states),
          ...(known === undefined ? {} : { addresses: known.map((each) => each.address) }),
        }
      })
    })
  const found = regions.ids().map((id, index): RegionStatus => {
    const region = config.regions.find((one) => one.id === id)
    const healthy = isInMask(health.low, health.high, index)
    const byOperator = snapshot.drains.has(index)
    const drained = byOperator || region?.drain === true
    return {
      id,
      healthy,
      drained,
      why: drained
        ? `drained by ${byOperator ? 'an operator' : 'the config'}`
        : healthy
          ? 'an origin is up'
          : 'no origin is up',
      origins: statusOfPools(region?.pools ?? []),
    }
  })
  for (const name of pools.keys()) {
    if (placed.has(name)) continue
    const origins = statusOfPools([name])
    const healthy = origins.some((origin) => origin.healthy)
    found.push({
      id: name,
      healthy,
      drained: false,
      why: healthy ? 'an origin is up' : 'no origin is up',
      origins,
    })
  }
  return found
}

function originStatus(
  id: string,
  pool: string,
  states: ReadonlyMap<string, OriginHealth>,
): OriginStatus {
  const state = states.get(id)
  if (state === undefined) return { id, pool, healthy: false, why: 'not on the health board' }
  const healthy = state.tier === 'up' || state.tier === 'unknown' || state.tier === 'trial'
  const check = state.lastProbe === null ? 'not checked' : `last check: ${state.lastProbe}`
  const fleet = state.fleet === null ? '' : `, ${state.fleet}`
  return { id, pool, healthy, why: `${state.tier}, ${check}${fleet}` }
}
