/** The control port's hand on the regions of one process, and on those of all worker processes. */
import {
  type ControlOrigin,
  type ControlRegion,
  mergeRegions,
  type RegionsView,
} from '../../admin/regions-view.ts'
import type { OriginHealth } from '../../health/board.ts'
import type { OriginAddress } from '../../ports.ts'
import type { Drain } from '../../steering/drains.ts'
import { isInMask } from '../../steering/regions.ts'
import type { Asker } from './control.ts'
import type { Instance } from './instance.ts'

/** What the primary asks of a worker about its regions. */
export type RegionQuestion =
  | { readonly ask: 'regions-list' }
  /** `isNoted`: by this process, in events and the log. */
  | { readonly ask: 'regions-drain'; readonly drain: Drain; readonly isNoted?: boolean }
  | {
      readonly ask: 'regions-enable'
      readonly region: string
      readonly by: string
      readonly isNoted?: boolean
    }

export function answerAboutRegions(instance: Instance, question: RegionQuestion): unknown {
  const { drains } = instance.snapshot
  switch (question.ask) {
    case 'regions-list':
      return regionsOf(instance)
    case 'regions-drain': {
      const { drain, isNoted } = question
      drains.drain(drain)
      if (isNoted === true) {
        const { region, by, reason, until } = drain
        note(instance, 'region-drained', {
          region,
          by,
          ...(reason === null ? {} : { reason }),
          ...(until === null ? {} : { until: new Date(until).toISOString() }),
        })
      }
      return true
    }
    case 'regions-enable': {
      const { region, by, isNoted } = question
      drains.enable(region)
      if (isNoted === true) note(instance, 'region-enabled', { region, by })
      return true
    }
  }
}

function note(instance: Instance, what: string, detail: Record<string, string>): void {
  instance.telemetry.note('steering', what, detail)
  instance.platform.log.warn(what.replace('-', ' '), detail)
}

function regionsOf(instance: Instance): ControlRegion[] {
  const { snapshot, platform } = instance
  const { health, regions, config, pools, drains } = snapshot
  drains.advance(platform.clock.now())
  const states = new Map(health.states().map((state) => [state.id, state]))
  return regions.ids().map((name, index): ControlRegion => {
    const region = config.regions.find((one) => one.id === name)
    const drain = drains.get(name)
    const drainedBy =
      drain !== undefined ? 'operator' : region?.drain === true ? ('config' as const) : null
    const isUp = isInMask(health.low, health.high, index)
    const inflight = (region?.pools ?? [])
      .flatMap((pool) => pools.get(pool)?.origins ?? [])
      .reduce((sum, origin) => sum + origin.load.inFlight, 0)
    return {
      name,
      state: drainedBy !== null ? (inflight > 0 ? 'draining' : 'drained') : isUp ? 'up' : 'down',
      drained: drainedBy !== null,
      drainedBy,
      since: drain?.since ?? null,
      until: drain?.until ?? null,
      by: drain?.by ?? null,
      reason: drain?.reason ?? null,
      inflight,
      pools: (region?.pools ?? []).map((pool) => ({
        name: pool,
        origins: (pools.get(pool)?.origins ?? []).map(({ id, address }) =>
          originOf(id, urlOf(address), states.get(id)),
        ),
      })),
    }
  })
}

function urlOf({ scheme, hostname, port, socketPath }: OriginAddress): string {
  if (socketPath !== undefined) return `unix:${socketPath}`
  return `${scheme}://${hostname.includes(':') ? `[${hostname}]` : hostname}:${port}`
}

function originOf(id: string, url: string, state: OriginHealth | undefined): ControlOrigin {
  if (state === undefined) {
    return { id, url, healthy: false, health: 'unknown', why: 'not on the health board' }
  }
  const healthy = state.tier === 'up' || state.tier === 'unknown' || state.tier === 'trial'
  const check = state.lastProbe === null ? 'not checked' : `last check: ${state.lastProbe}`
  return { id, url, healthy, health: state.tier, why: `${state.tier}, ${check}` }
}

export function regionsView({ all, order, size }: Asker): RegionsView {
  return {
    list: async () => mergeRegions((await all({ ask: 'regions-list' })) as ControlRegion[][]),
    drain: async ({ region, until, reason, by }) => {
      const drain = { region, since: Date.now(), until, by, reason }
      const done = await order({ ask: 'regions-drain', drain })
      return { workers: done.length, of: size() }
    },
    enable: async (region, by) => {
      const done = await order({ ask: 'regions-enable', region, by })
      return { workers: done.length, of: size() }
    },
  }
}
