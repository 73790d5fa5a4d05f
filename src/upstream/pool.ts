/**
 * Pools at run time: origins with their load, and which of them a request may go to. How one is chosen
 * among those is in `balance.ts`.
 */
import type { Millis } from '../exchange.ts'
import type { OriginAddress } from '../ports.ts'
import type { LatencySketch } from './latency.ts'
import type { PeakEwma } from './peak-ewma.ts'
import type { HedgeBudget, RetryBudget } from './retry-budget.ts'

export interface Origin {
  readonly id: string
  /** Its number on the health board. */
  readonly health: number
  readonly address: OriginAddress
  /** 0 to 1000; 0 takes nothing. */
  readonly weight: number
  /** Host header instead of the client's. */
  readonly host: string | undefined
  readonly load: OriginLoad
  readonly latency: PeakEwma
}

/** One object over reloads, so that attempts of an older snapshot end in it as well. */
export interface OriginLoad {
  /** Attempts under way. */
  inFlight: number
  /** Until then it asked to be left alone (`Retry-After`); monotonic. */
  restUntil: Millis
}

export type Balance =
  | 'least-request'
  | 'peak-ewma'
  | 'round-robin'
  | 'random'
  | 'ip-hash'
  | 'ip-hash-bounded'
  | 'maglev'

export interface Panic {
  /** Share of the pool's weight that is usable, 0 to 1, below which it panics. */
  readonly below: number
  /** Send to all of its origins as if they were well, or to none of them. */
  readonly mode: 'all' | 'none'
}

export interface Pool {
  readonly id: string
  /** Replaced when a name gets other addresses. */
  origins: readonly Origin[]
  readonly balance: Balance
  readonly connectTimeoutMs: number
  readonly firstByteTimeoutMs: number
  readonly idleTimeoutMs: number
  /** Time in which an origin that came back gets its full share; 0 is at once. */
  readonly slowStartMs: Millis
  readonly panic: Panic | undefined
  readonly budget: RetryBudget
  readonly hedges: HedgeBudget
  /** Time to the response header, over all origins. */
  readonly latency: LatencySketch
  /** Share of each origin in the choice under way, by index; 0 may not be chosen. Scratch. */
  shares: Float64Array
  /** Lookup table of `maglev`. */
  table: Uint16Array | undefined
  /** Position of round robin. */
  turn: number
}

/** How gladly an origin is chosen; balancing takes the best kind that is there. */
export const OUT = 0
/** Back from an ejection: one request at a time, and only such as could fail over. */
export const TRIAL = 1
/** Its first check is still to come. */
export const UNKNOWN = 2
export const UP = 3
export type Standing = typeof OUT | typeof TRIAL | typeof UNKNOWN | typeof UP

/** What balancing must know of health; `health/` implements it. Origins by `Origin.health`. */
export interface OriginHealth {
  isUp(origin: number): boolean
  standing(origin: number): Standing
  /** Share of its weight that an origin gets, 0.1 to 1: less while it comes back. */
  slowStart(origin: number, windowMs: Millis, now: Millis): number
  /** Share of a pool's weight that is usable, 0 to 1. */
  usableShare(pool: string): number
}

/** Which origins of a pool come into question. */
export type Scope =
  /** Those that are well. */
  | 'healthy'
  /** All that were not tried: failing open is better than refusing. */
  | 'any'

/** Whether less of the pool is usable than it needs. */
export function isInPanic(pool: Pool, health: OriginHealth, below: number): boolean {
  return health.usableShare(pool.id) < below
}

/** Whether the origin may get a request now, were it the only one. */
export function isAvailable(origin: Origin, health: OriginHealth, now: Millis): boolean {
  return origin.weight > 0 && origin.load.restUntil <= now && health.isUp(origin.health)
}

/**
 * Writes each origin's share into `pool.shares`.
 * @param tried     origins that this request has been to
 * @param mayTrial  whether the request could fail over from an origin on trial
 * @returns the sum; 0 when none may be chosen
 */
export function weigh(
  pool: Pool,
  health: OriginHealth,
  tried: readonly Origin[],
  scope: Scope,
  mayTrial: boolean,
  now: Millis,
): number {
  const { origins, shares, panic } = pool
  const isPanic = panic !== undefined && isInPanic(pool, health, panic.below)
  if (isPanic && panic.mode === 'none') return 0
  const ignoresHealth = scope === 'any' || isPanic
  const best = ignoresHealth ? OUT : bestStanding(pool, health, tried, now)
  if (best === OUT && !ignoresHealth) return 0
  let total = 0
  for (let i = 0; i < origins.length; i++) {
    const origin = origins[i] as Origin
    let share = tried.includes(origin) ? 0 : origin.weight
    if (share > 0 && !ignoresHealth) {
      const standing = origin.load.restUntil > now ? OUT : health.standing(origin.health)
      const isChosen = standing === best || (standing === TRIAL && mayTrial)
      share = isChosen ? share * health.slowStart(origin.health, pool.slowStartMs, now) : 0
    }
    shares[i] = share
    total += share
  }
  return total
}

function bestStanding(
  pool: Pool,
  health: OriginHealth,
  tried: readonly Origin[],
  now: Millis,
): Standing {
  let best: Standing = OUT
  for (const origin of pool.origins) {
    if (origin.weight === 0 || origin.load.restUntil > now || tried.includes(origin)) continue
    const standing = health.standing(origin.health)
    if (standing > best) best = standing
    if (best === UP) return UP
  }
  return best
}
