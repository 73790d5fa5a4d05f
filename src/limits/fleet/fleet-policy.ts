/**
 * Limits that a fleet counts together: how one is counted by a store that all gateways share, and what is
 * done while the store is away. Compiled from `limits[].shared`; everything wrong in it is reported here.
 */
import type { Report } from '../../config/errors.ts'
import type { LimitConfig } from '../../config/sections/limits.ts'
import type { Millis } from '../../exchange.ts'
import type { Algorithm } from '../algorithm.ts'
import { CalendarPeriods, FixedPeriods, type Periods } from '../calendar.ts'
import { Gcra } from '../gcra.ts'
import { KeyHasher } from '../key-hash.ts'

export type FleetMode = 'lease' | 'strict' | 'async'
export type OnFailure = 'local' | 'open' | 'closed'

/** How a store counts one limit; what it takes besides a key, a cost and the time. */
export interface Counting {
  readonly algorithm: 'gcra' | 'sliding' | 'two-window' | 'exact' | 'fixed' | 'calendar'
  /** Settings of the algorithm, in the order that the store's script takes them. */
  readonly parameters: readonly number[]
  /** First part of every key. Equal for states that may be compared: a limit that changes keeps its usage. */
  readonly name: string
  readonly limit: number
  /** Units that may come at once: the burst, or the limit. */
  readonly atOnce: number
  /** Until one unit is back; 0 where units come back together. */
  readonly unitMs: Millis
  /** `fixed` and `calendar`. */
  readonly periods: Periods | undefined
  readonly mitigationMs: Millis
}

export interface FleetPolicy {
  readonly mode: FleetMode
  readonly onFailure: OnFailure
  /** How long a lease is planned to last; its units are void after twice of it. */
  readonly leaseMs: Millis
  /** `async`: between two exchanges with the store. */
  readonly intervalMs: Millis
  /** Keys of which something is remembered here. */
  readonly slots: number
  readonly counting: Counting
  /** This gateway's part of the limit, for when it is alone: a table of its own. */
  readonly share: (gateways: number, now: Millis) => Algorithm
}

const LONGEST_LEASE_MS: Millis = 250
const DEFAULT_INTERVAL_MS: Millis = 1000
/** Between two exchanges a fleet may go over by the load of an interval: a tenth of a window at most. */
const LEAST_INTERVALS = 10
const DEFAULT_SLOTS = 16_384

/** Algorithms whose guarantee bears that a unit is used a moment after it was counted. */
const LEASABLE: ReadonlySet<string> = new Set(['gcra', 'fixed', 'calendar'])
const PERIOD_MS = { hour: 3_600_000, day: 86_400_000, week: 604_800_000, month: 2_419_200_000 }

/**
 * @param template the limit as a table of one process, compiled without a problem
 * @param smaller  the same with another limit and burst
 * @returns undefined after a reported problem
 */
export function compileFleet(
  config: LimitConfig,
  path: string,
  template: Algorithm,
  smaller: (limit: number, burst: number | undefined, now: Millis) => Algorithm,
  report: Report,
): FleetPolicy | undefined {
  const { shared } = config
  if (shared === undefined) return undefined
  const countsResponses = config.phase === 'response'
  const mode =
    shared.mode ?? (LEASABLE.has(config.algorithm) && !countsResponses ? 'lease' : 'strict')
  const windowMs = config.window ?? PERIOD_MS[config.period ?? 'month']
  const isSound = checkMode(config, mode, windowMs, path, report)
  const counting = countingOf(config, mode, template)
  if (counting === undefined || !isSound) return undefined
  const { limit } = config
  return {
    mode,
    onFailure: shared.onFailure,
    leaseMs: Math.min(LONGEST_LEASE_MS, windowMs / 10),
    intervalMs: shared.interval ?? DEFAULT_INTERVAL_MS,
    slots: config.slots ?? DEFAULT_SLOTS,
    counting,
    share: (gateways, now) => {
      const part = (units: number) => Math.max(1, Math.floor(units / gateways))
      const burst = config.algorithm === 'gcra' ? part(counting.atOnce) : undefined
      return smaller(part(limit), burst, now)
    },
  }
}

function checkMode(
  config: LimitConfig,
  mode: FleetMode,
  windowMs: Millis,
  path: string,
  report: Report,
): boolean {
  const { shared, algorithm } = config
  const before = `${path}.shared`
  let isSound = true
  const refuse: Report = (...problem) => {
    isSound = false
    report(...problem)
  }
  if (mode === 'lease' && !LEASABLE.has(algorithm)) {
    refuse(
      `${before}.mode`,
      `a leased unit is used later than it is counted, which "${algorithm}" does not bear`,
      'use mode "strict", or algorithm "gcra"',
    )
  }
  if (mode === 'async' && (algorithm === 'sliding' || algorithm === 'exact')) {
    refuse(
      `${before}.mode`,
      `counting behind the answers would void the guarantee of "${algorithm}"`,
      'use mode "strict", or algorithm "gcra"',
    )
  }
  if (mode !== 'strict' && config.phase === 'response') {
    refuse(
      `${before}.mode`,
      'what is charged when the response is there can only be looked at before',
      'use mode "strict"',
    )
  }
  if (shared?.interval !== undefined && mode !== 'async') {
    refuse(`${before}.interval`, `mode "${mode}" has no interval`, 'it is for mode "async"')
  }
  const intervalMs = shared?.interval ?? DEFAULT_INTERVAL_MS
  if (mode === 'async' && windowMs < LEAST_INTERVALS * intervalMs) {
    refuse(
      `${before}.interval`,
      `the window must be at least ten intervals long, or the fleet goes far over the limit`,
      `at most "${Math.floor(windowMs / LEAST_INTERVALS)}ms" here, or use mode "lease"`,
    )
  }
  return isSound
}

function countingOf(
  config: LimitConfig,
  mode: FleetMode,
  template: Algorithm,
): Counting | undefined {
  const { limit, algorithm, window: windowMs = 0 } = config
  const shared = { limit, atOnce: limit, unitMs: 0, mitigationMs: config.mitigation ?? 0 }
  const prefix = `${config.id}:${keyTag(config)}`
  switch (algorithm) {
    case 'gcra': {
      if (!(template instanceof Gcra)) return undefined
      const { interval, capacity } = template
      const burst = capacity / interval
      // Counted behind the answers, a fleet may go over; it owes that, for a window at most.
      const surcharge = config.costHeader !== undefined || config.phase === 'response'
      const debt = mode === 'async' ? limit * interval : surcharge ? capacity : 0
      return {
        ...shared,
        algorithm,
        parameters: [interval, capacity, capacity + debt, burst],
        name: `${prefix}:g`,
        atOnce: burst,
        unitMs: windowMs / limit,
        periods: undefined,
      }
    }
    case 'sliding': {
      const segmentMs = Math.ceil(windowMs / config.segments)
      return {
        ...shared,
        algorithm,
        parameters: [limit, segmentMs, config.segments + 1, 0],
        name: `${prefix}:s${segmentMs}x${config.segments}`,
        periods: undefined,
      }
    }
    case 'two-window':
    case 'exact':
      return {
        ...shared,
        algorithm,
        parameters: [limit, windowMs, 0, 0],
        name: `${prefix}:${algorithm === 'exact' ? 'e' : 'w'}${windowMs}`,
        periods: undefined,
      }
    case 'fixed':
      return {
        ...shared,
        algorithm,
        parameters: [limit, windowMs, 0, 0],
        name: `${prefix}:f${windowMs}`,
        periods: new FixedPeriods(windowMs),
      }
    case 'calendar': {
      // Both were checked when the template was compiled.
      const periods = new CalendarPeriods(config.period ?? 'month', config.timeZone)
      return {
        ...shared,
        algorithm,
        parameters: [limit, 0, 0, 0],
        name: `${prefix}:c${config.period}`,
        periods,
      }
    }
    case 'concurrency':
    case 'bandwidth':
      return undefined
  }
}

/** Tells keys of other parts apart, whose hashes could be equal. */
function keyTag(config: LimitConfig): string {
  const hasher = new KeyHasher(new Uint8Array(8))
  hasher.text(JSON.stringify(config.key))
  hasher.hash()
  return (hasher.low >>> 0).toString(36)
}
