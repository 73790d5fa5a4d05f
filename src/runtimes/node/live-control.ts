/** The control port's eye on one process while it is watched, and on all worker processes. */
import type { LivePoint, LiveRegion, LiveTake, LiveView } from '../../admin/live-view.ts'
import { isInMask } from '../../steering/regions.ts'
import { CATALOGUE } from '../../telemetry/catalogue.ts'
import { MetricsRegistry, type MetricsSnapshot } from '../../telemetry/metrics.ts'
import { nodeClock } from './clock.ts'
import type { Instance } from './instance.ts'

/** What one process has done since it was last asked. */
export function takeLive(instance: Instance): LiveTake {
  const { health, regions, config, drains } = instance.snapshot
  const at = (id: string): LivePoint | null => {
    const index = regions.indexOf(id)
    if (index === undefined) return null
    const { latitude, longitude } = regions.at(index)
    return Number.isNaN(latitude) || Number.isNaN(longitude) ? null : { latitude, longitude }
  }
  const { gateway } = config.geo
  const inFlight = instance.telemetry.metrics.inFlight.valueAt(0)
  return {
    ...instance.telemetry.live.take(),
    inFlight: Number.isNaN(inFlight) ? 0 : inFlight,
    regions: regions.ids().map(
      (id, index): LiveRegion => ({
        id,
        healthy: isInMask(health.low, health.high, index),
        drained: config.regions[index]?.drain === true || drains.get(id) !== undefined,
        at: at(id),
      }),
    ),
    gateway: gateway === undefined ? null : 'region' in gateway ? at(gateway.region) : gateway,
  }
}

export function instanceLiveView(instance: Instance): LiveView {
  const { metrics } = instance.telemetry
  return {
    take: async () => [takeLive(instance)],
    clock: nodeClock,
    onSubscribers: (count) => metrics.liveSubscribers.set([], count),
    onDropped: () => metrics.liveDropped.add([]),
  }
}

export interface LiveCounts extends Pick<LiveView, 'onSubscribers' | 'onDropped'> {
  snapshot(): MetricsSnapshot
}

/** The primary has no gateway and so no metrics of its own but these. */
export function liveCounts(): LiveCounts {
  const registry = new MetricsRegistry(64)
  const subscribers = registry.scalar(CATALOGUE.liveSubscribers)
  const dropped = registry.scalar(CATALOGUE.liveDropped)
  return {
    onSubscribers: (count) => subscribers.set([], count),
    onDropped: () => dropped.add([]),
    snapshot: () => registry.snapshot(),
  }
}

export function workersLiveView(askAll: () => Promise<unknown[]>, counts: LiveCounts): LiveView {
  return {
    // Workers answer with what `takeLive` makes.
    take: async () => (await askAll()) as LiveTake[],
    clock: nodeClock,
    ...counts,
  }
}
