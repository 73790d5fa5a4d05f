/** Regions on the control port. The runtime implements it, for all worker processes. */
import type { Millis } from '../exchange.ts'

export interface ControlOrigin {
  readonly id: string
  readonly url: string
  readonly healthy: boolean
  /** The health board's tier: up, unknown, trial, draining, ejected, down. */
  readonly health: string
  /** One sentence. */
  readonly why: string
}

export interface ControlRegion {
  readonly name: string
  /** `draining` while requests are still under way there, `drained` once none is. */
  readonly state: 'up' | 'down' | 'draining' | 'drained'
  readonly drained: boolean
  /** Whether the config or an operator says so; null when not drained. */
  readonly drainedBy: 'config' | 'operator' | null
  /** Milliseconds since the epoch. */
  readonly since: Millis | null
  readonly until: Millis | null
  readonly by: string | null
  readonly reason: string | null
  /** Attempts under way at its origins, in all processes together. */
  readonly inflight: number
  readonly pools: readonly { readonly name: string; readonly origins: readonly ControlOrigin[] }[]
}

export interface DrainOrder {
  readonly region: string
  /** Milliseconds since the epoch; null: until it is enabled. */
  readonly until: Millis | null
  readonly reason: string | null
  readonly by: string
}

/** How many processes have carried an order out, and how many there are. */
export interface Done {
  readonly workers: number
  readonly of: number
  /** False when the other gateways of a fleet could not be told. */
  readonly isTold?: boolean | undefined
}

export interface RegionsView {
  list(): Promise<readonly ControlRegion[]>
  drain(order: DrainOrder): Promise<Done>
  enable(region: string, by: string): Promise<Done>
}

/** The same regions as several processes see them: what is under way is added up. */
export function mergeRegions(lists: readonly (readonly ControlRegion[])[]): ControlRegion[] {
  const [first = [], ...others] = lists
  return first.map((region) => {
    let { inflight } = region
    for (const other of others) {
      const same = other.find(({ name }) => name === region.name)
      inflight += same?.inflight ?? 0
    }
    const drainState = inflight > 0 ? ('draining' as const) : ('drained' as const)
    return {
      ...region,
      inflight,
      state: region.drained ? drainState : region.state,
    }
  })
}
