/**
 * Pools at run time: origins with their load, and how one is chosen among those that may be used.
 */
import type { OriginAddress, Random } from '../ports.ts'
import type { RetryBudget } from './retry-budget.ts'

export interface Origin {
  readonly id: string
  /** Its number on the health board. */
  readonly health: number
  readonly address: OriginAddress
  /** 0 to 1000; 0 takes nothing. */
  readonly weight: number
  /** Host header instead of the client's. */
  readonly host: string | undefined
  /** Attempts under way. */
  inFlight: number
}

export type Balance = 'least-request' | 'round-robin' | 'random' | 'ip-hash'

export interface Pool {
  readonly id: string
  readonly origins: readonly Origin[]
  readonly balance: Balance
  readonly connectTimeoutMs: number
  readonly firstByteTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly budget: RetryBudget
  /** Position of round robin. */
  turn: number
}

/** What the balancer must know of health; `health/` implements it. */
export interface OriginHealth {
  /** @param origin `Origin.health` */
  isUp(origin: number): boolean
}

/** Origins already tried for this request; small, so a list. */
export type Tried = readonly Origin[]

/**
 * The next origin to try.
 * @param mustBeUp  false when nothing healthy is left and failing open is better than refusing
 * @param key       for `ip-hash`: the client's address
 * @returns undefined when every origin has been tried, or none may be used
 */
export function chooseOrigin(
  pool: Pool,
  health: OriginHealth,
  tried: Tried,
  mustBeUp: boolean,
  key: string,
  random: Random,
): Origin | undefined {
  const { origins } = pool
  if (origins.length === 1) {
    const only = origins[0] as Origin
    return isUsable(only, health, tried, mustBeUp) ? only : undefined
  }
  switch (pool.balance) {
    case 'least-request':
      return leastRequest(pool, health, tried, mustBeUp, random)
    case 'round-robin':
      return roundRobin(pool, health, tried, mustBeUp)
    case 'random':
      return weightedRandom(origins, health, tried, mustBeUp, random)
    case 'ip-hash':
      return rendezvous(origins, health, tried, mustBeUp, key)
  }
}

function isUsable(origin: Origin, health: OriginHealth, tried: Tried, mustBeUp: boolean): boolean {
  return origin.weight > 0 && !tried.includes(origin) && (!mustBeUp || health.isUp(origin.health))
}

/** The less busy of two drawn by weight ("power of two choices", Mitzenmacher 2001). */
function leastRequest(
  pool: Pool,
  health: OriginHealth,
  tried: Tried,
  mustBeUp: boolean,
  random: Random,
): Origin | undefined {
  const first = weightedRandom(pool.origins, health, tried, mustBeUp, random)
  if (first === undefined) return undefined
  const second = weightedRandom(pool.origins, health, tried, mustBeUp, random) ?? first
  return (second.inFlight + 1) / second.weight < (first.inFlight + 1) / first.weight
    ? second
    : first
}

function weightedRandom(
  origins: readonly Origin[],
  health: OriginHealth,
  tried: Tried,
  mustBeUp: boolean,
  random: Random,
): Origin | undefined {
  let total = 0
  let chosen: Origin | undefined
  // Reservoir sampling by weight: one pass, nothing allocated.
  for (const origin of origins) {
    if (!isUsable(origin, health, tried, mustBeUp)) continue
    total += origin.weight
    if (random.next() * total < origin.weight) chosen = origin
  }
  return chosen
}

/** Each origin in turn, `weight` shares of a cycle each, spread by a golden-ratio stride. */
function roundRobin(
  pool: Pool,
  health: OriginHealth,
  tried: Tried,
  mustBeUp: boolean,
): Origin | undefined {
  const { origins } = pool
  let total = 0
  for (const origin of origins) {
    if (isUsable(origin, health, tried, mustBeUp)) total += origin.weight
  }
  if (total === 0) return undefined
  pool.turn = (pool.turn + 0.618_033_988_749_895) % 1
  let point = pool.turn * total
  for (const origin of origins) {
    if (!isUsable(origin, health, tried, mustBeUp)) continue
    point -= origin.weight
    if (point < 0) return origin
  }
  return origins.find((origin) => isUsable(origin, health, tried, mustBeUp))
}

/** Highest random weight (Thaler and Ravishankar 1998): a client keeps its origin while that is up. */
function rendezvous(
  origins: readonly Origin[],
  health: OriginHealth,
  tried: Tried,
  mustBeUp: boolean,
  key: string,
): Origin | undefined {
  let best: Origin | undefined
  let bestScore = Number.NEGATIVE_INFINITY
  for (const origin of origins) {
    if (!isUsable(origin, health, tried, mustBeUp)) continue
    const unit = (hash32(origin.id, hash32(key, 0x811c9dc5)) + 0.5) / 4294967296
    const score = -origin.weight / Math.log(unit)
    if (score > bestScore) {
      bestScore = score
      best = origin
    }
  }
  return best
}

/** FNV-1a with a final mix; for spreading only. */
export function hash32(text: string, seed: number): number {
  let hash = seed
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  }
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
