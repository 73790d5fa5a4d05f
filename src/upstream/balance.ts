/** How one origin of a pool is chosen among those that a request may go to. */
import type { Millis } from '../exchange.ts'
import type { Random } from '../ports.ts'
import { type Origin, type OriginHealth, type Pool, type Scope, weigh } from './pool.ts'

/**
 * The next origin to try.
 * @param tried     origins that this request has been to
 * @param mayTrial  whether the request could fail over from an origin on trial
 * @param key       what hashing goes by: the client's address
 * @returns undefined when every origin has been tried, or none may be used
 */
export function chooseOrigin(
  pool: Pool,
  health: OriginHealth,
  tried: readonly Origin[],
  scope: Scope,
  mayTrial: boolean,
  key: string,
  now: Millis,
  random: Random,
): Origin | undefined {
  const total = weigh(pool, health, tried, scope, mayTrial, now)
  if (total === 0) return undefined
  const { origins } = pool
  if (origins.length === 1) return origins[0]
  switch (pool.balance) {
    case 'least-request':
      return leastLoaded(pool, total, random, requestLoad, now)
    case 'peak-ewma':
      return leastLoaded(pool, total, random, latencyLoad, now)
    case 'round-robin':
      pool.turn = (pool.turn + 0.618_033_988_749_895) % 1
      return at(pool, pool.turn * total)
    case 'random':
      return at(pool, random.next() * total)
    case 'ip-hash':
      return rendezvous(pool, key, Number.POSITIVE_INFINITY, total)
    case 'ip-hash-bounded':
      return rendezvous(pool, key, LOAD_BOUND, total)
    case 'maglev':
      return lookUp(pool, key)
  }
}

/** The origin at a point of the row of shares. */
function at(pool: Pool, point: number): Origin | undefined {
  const { origins, shares } = pool
  let last: Origin | undefined
  let left = point
  for (let i = 0; i < origins.length; i++) {
    const share = shares[i] as number
    if (share === 0) continue
    last = origins[i]
    left -= share
    if (left < 0) return last
  }
  // Rounding may leave a hair of the last share.
  return last
}

type Load = (origin: Origin, share: number, now: Millis) => number

const requestLoad: Load = (origin, share) => (origin.load.inFlight + 1) / share

/** What a request would wait: latency times those in front of it. An unknown one is tried at once. */
const latencyLoad: Load = (origin, share, now) =>
  (origin.latency.read(now) * (origin.load.inFlight + 1) + origin.load.inFlight) / share

/** The less loaded of two drawn by share ("power of two choices", Mitzenmacher 2001). */
function leastLoaded(
  pool: Pool,
  total: number,
  random: Random,
  load: Load,
  now: Millis,
): Origin | undefined {
  const first = at(pool, random.next() * total)
  const second = at(pool, random.next() * total)
  if (first === undefined || second === undefined || first === second) return first
  const { origins, shares } = pool
  const firstLoad = load(first, shares[origins.indexOf(first)] as number, now)
  return load(second, shares[origins.indexOf(second)] as number, now) < firstLoad ? second : first
}

/** An origin takes at most this much of its share of all requests under way. */
const LOAD_BOUND = 1.25

/**
 * Highest random weight (Thaler and Ravishankar 1998): a client keeps its origin while that is up. With a
 * bound, the next in the client's order takes over while the first has more than its share (Mirrokni et
 * al. 2018).
 */
function rendezvous(pool: Pool, key: string, bound: number, total: number): Origin | undefined {
  const { origins, shares } = pool
  let underWay = 1
  if (bound !== Number.POSITIVE_INFINITY) {
    for (let i = 0; i < origins.length; i++) {
      if ((shares[i] as number) > 0) underWay += (origins[i] as Origin).load.inFlight
    }
  }
  const seed = hash32(key, 0x811c9dc5)
  let best: Origin | undefined
  let bestScore = Number.NEGATIVE_INFINITY
  for (let i = 0; i < origins.length; i++) {
    const share = shares[i] as number
    if (share === 0) continue
    const origin = origins[i] as Origin
    if (origin.load.inFlight >= Math.ceil((bound * underWay * share) / total)) continue
    const unit = (hash32(origin.id, seed) + 0.5) / 4294967296
    const score = -share / Math.log(unit)
    if (score > bestScore) {
      bestScore = score
      best = origin
    }
  }
  return best
}

/** Prime, and a hundred times more than the origins of any sensible pool. */
const TABLE_SIZE = 16_381

/**
 * Maglev's table (Eisenbud et al. 2016, §3.4): a look-up instead of a hash for each origin, and an origin
 * that comes or goes moves few others. Origins of more weight take more turns.
 */
export function maglevTable(
  origins: readonly { readonly id: string; readonly weight: number }[],
): Uint16Array {
  const table = new Uint16Array(TABLE_SIZE).fill(0xffff)
  const heaviest = Math.max(1, ...origins.map((origin) => origin.weight))
  const offsets = origins.map(({ id }) => hash32(id, 0x6f66) % TABLE_SIZE)
  const skips = origins.map(({ id }) => (hash32(id, 0x736b) % (TABLE_SIZE - 1)) + 1)
  const positions = origins.map(() => 0)
  const credits = origins.map(() => 0)
  for (let filled = 0; filled < TABLE_SIZE; ) {
    const before = filled
    for (let i = 0; i < origins.length && filled < TABLE_SIZE; i++) {
      credits[i] = (credits[i] as number) + (origins[i]?.weight ?? 0) / heaviest
      if ((credits[i] as number) < 1) continue
      credits[i] = (credits[i] as number) - 1
      let slot: number
      do {
        slot =
          ((offsets[i] as number) + (positions[i] as number) * (skips[i] as number)) % TABLE_SIZE
        positions[i] = (positions[i] as number) + 1
      } while (table[slot] !== 0xffff)
      table[slot] = i
      filled++
    }
    if (filled === before && origins.every((origin) => origin.weight === 0)) break
  }
  return table
}

/** The client's entry; while its origin is out, the next entry of one that is not. */
function lookUp(pool: Pool, key: string): Origin | undefined {
  const { origins, shares, table } = pool
  if (table === undefined) return at(pool, 0)
  const start = hash32(key, 0x811c9dc5) % TABLE_SIZE
  for (let i = 0; i < TABLE_SIZE; i++) {
    const index = table[(start + i) % TABLE_SIZE] as number
    if ((shares[index] ?? 0) > 0) return origins[index]
  }
  return undefined
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
