/** Gauges that are read when somebody scrapes: how things are, not what has happened. */
import { isInMask } from '../../steering/regions.ts'
import type { Parts } from './assemble.ts'
import { nodeClock } from './clock.ts'
import { oldest } from './geo-file.ts'

export function watchGauges(parts: Parts): void {
  const { gateway, geo, access, fleet, redis, share } = parts
  const { metrics } = parts.telemetry
  metrics.registry.onCollect(() => {
    metrics.geoAge.set([], Math.max(0, (Date.now() - oldest(geo.databases)) / 1000))
    metrics.logDropped.setTotal([], access.dropped)
    fleet?.observe(metrics)
    const known = gateway.snapshot.identity?.revocations.size
    if (known !== undefined) metrics.revocations.set([], known)
    const age = parts.revocations?.age
    if (age !== undefined) metrics.revocationsAge.set([], age / 1000)
    if (redis !== undefined) metrics.redisUp.set([], redis.state === 'up' ? 1 : 0)
    const { health, regions, drains } = gateway.snapshot
    drains.advance(nodeClock.now())
    if (share !== undefined) metrics.fleetGateways.set([], share.gateways)
    // Addresses come and go; what is gone is not to be shown for ever.
    metrics.originHealthy.forget()
    for (const state of health.states()) {
      const isUp = state.tier === 'up' || state.tier === 'unknown' || state.tier === 'trial'
      metrics.originHealthy.set([state.id], isUp ? 1 : 0)
    }
    regions.ids().forEach((id, index) => {
      const isUp = isInMask(health.low, health.high, index)
      metrics.regionHealthy.set([id], isUp ? 1 : 0)
      const isDrained = drains.has(index) || regions.at(index).drain
      metrics.regionDrained.set([id], isDrained ? 1 : 0)
    })
    if (gateway.services.cache !== undefined) {
      metrics.observeCache(gateway.services.cache.stats())
    }
  })
}
