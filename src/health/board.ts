/**
 * Health of all origins, and of the regions they make up. Checks and live traffic come in, bits for
 * steering and tiers for balancing come out. Keyed by origin id, so that a reload of the config
 * keeps what is known. No timers: `advance` lets time pass.
 */
import type { Millis } from '../exchange.ts'
import type { Random } from '../ports.ts'
import {
  type ActiveHealth,
  type ActiveRules,
  afterProbe,
  NEVER_CHECKED,
  type ProbeResult,
} from './active.ts'
import { type EjectionCause, type Outcome, Outlier, type OutlierRules } from './outlier.ts'
import { slowStartFactor } from './slow-start.ts'

/** How good an origin is to send to; balancing takes the first tier that is not empty. */
export type Tier =
  | 'up'
  /** Not heard of yet: usable, after the ones known to be up. */
  | 'unknown'
  /** Back from an ejection; one request at a time. */
  | 'trial'
  /** Takes no new work by its own wish. */
  | 'draining'
  /** Ejected because of live traffic. */
  | 'ejected'
  /** Failed its checks. */
  | 'down'

export interface HealthPool {
  readonly id: string
  readonly origins: readonly { readonly id: string; readonly weight: number }[]
  /** Undefined: no active checks. */
  readonly active?: ActiveRules | undefined
  readonly outlier: OutlierRules
  /** Largest share of the pool that may be ejected, 0 to 1. */
  readonly maxEjected: number
}

export interface HealthRegion {
  readonly id: string
  /** Ids of pools. */
  readonly pools: readonly string[]
  /** Below this share of origins up (0 to 1) the region sheds clients; 0 is off. */
  readonly spillBelow: number
}

/** A change of an origin's tier, for logs, metrics and events. */
export interface HealthEvent {
  readonly at: Millis
  readonly origin: string
  readonly from: Tier
  readonly to: Tier
  /** What brought it about: `probe: 503`, `connect`, `ejection over`, … */
  readonly cause: string
  /** Regions that have lost their last usable origin by it, or have one again. */
  readonly regions: readonly { readonly region: string; readonly isUp: boolean }[]
}

export interface OriginHealth {
  readonly id: string
  readonly tier: Tier
  readonly active: ActiveHealth['state']
  readonly phase: Outlier['phase']
  /** End of the ejection, monotonic; null when not ejected. */
  readonly ejectedUntil: Millis | null
  readonly ejections: number
  /** When it came up last, monotonic; for slow start. Null at the start and while it is not up. */
  readonly upSince: Millis | null
  readonly lastProbe: string | null
  /** Why the fleet counts it as down; null when it does not. */
  readonly fleet: string | null
}

/** An origin that joins a pool. */
export interface JoiningOrigin {
  readonly id: string
  readonly weight: number
  /** Another id under which the same server was known: what is known of it is taken over. */
  readonly knownAs?: string | undefined
}

interface OriginRecord {
  readonly id: string
  active: ActiveHealth
  readonly outlier: Outlier
  activeRules: ActiveRules | undefined
  outlierRules: OutlierRules
  draining: boolean
  /** Whether live traffic has succeeded, for origins without checks. */
  heard: boolean
  trialSince: Millis | undefined
  upSince: Millis | null
  lastProbe: string | null
  /** Why other gateways count it as down. */
  fleet: string | null
  tier: Tier
  /** Its pool no longer has it; what is under way there ends. */
  isLeaving: boolean
}

interface PoolRecord {
  readonly pool: HealthPool
  readonly members: readonly number[]
  /** By member. */
  readonly weights: readonly number[]
}

/** A trial request that has not been heard of for this long counts as lost, and another may try. */
const TRIAL_PATIENCE_MS = 30_000

export class HealthBoard {
  /** Bit i: region i has an origin to send to (`high`: regions 32 to 63). */
  low = 0
  high = 0
  /** Share of its clients that each region can bear; undefined while all bear all. */
  shares: Float64Array | undefined
  /** Changes with every change of a tier. */
  version = 0
  readonly #origins: OriginRecord[] = []
  readonly #index = new Map<string, number>()
  readonly #pools = new Map<string, PoolRecord>()
  /** Numbers of origins that have left, for others. */
  readonly #free: number[] = []
  readonly #regions: readonly HealthRegion[]
  readonly #random: Random
  readonly #onEvent: (event: HealthEvent) => void
  readonly #listeners = new Set<(event: HealthEvent) => void>()
  /** Earliest time at which an ejection ends. */
  #nextChange = Number.POSITIVE_INFINITY

  /** @param previous the board before a reload: origins of the same id keep their state */
  constructor(
    pools: readonly HealthPool[],
    regions: readonly HealthRegion[],
    random: Random,
    onEvent: (event: HealthEvent) => void,
    previous?: HealthBoard,
  ) {
    this.#regions = regions
    this.#random = random
    this.#onEvent = onEvent
    for (const pool of pools) {
      const members = pool.origins.map(({ id }) =>
        this.#adopt(id, pool, previous === undefined ? undefined : previous.#find(id)),
      )
      const weights = pool.origins.map(({ weight }) => weight)
      this.#pools.set(pool.id, { pool, members, weights })
    }
    this.#plan()
    this.#refresh()
  }

  #adopt(id: string, pool: HealthPool, kept: OriginRecord | undefined): number {
    const known = this.#index.get(id)
    if (known !== undefined) return known
    const hadChecks = kept?.activeRules !== undefined
    const record: OriginRecord = {
      id,
      // A verdict of checks that are no longer made would last for ever.
      active:
        kept !== undefined && hadChecks && pool.active !== undefined ? kept.active : NEVER_CHECKED,
      // A copy: two boards that moved one memory would leave each other's tiers behind.
      outlier: kept?.outlier.copy() ?? new Outlier(),
      activeRules: pool.active,
      outlierRules: pool.outlier,
      draining: kept?.draining === true && pool.active !== undefined,
      heard: kept?.heard ?? false,
      trialSince: undefined,
      upSince: kept?.upSince ?? null,
      lastProbe: kept?.lastProbe ?? null,
      fleet: kept?.fleet ?? null,
      tier: 'unknown',
      isLeaving: false,
    }
    record.tier = tierOf(record)
    const index = this.#free.pop() ?? this.#origins.length
    this.#origins[index] = record
    this.#index.set(id, index)
    return index
  }

  /**
   * Gives a pool other origins. Those that stay keep their state and number; new ones begin with a small
   * share; the others get nothing any more, and keep their number until `release`.
   */
  setOrigins(poolId: string, origins: readonly JoiningOrigin[], now: Millis): void {
    this.advance(now)
    const entry = this.#pools.get(poolId)
    if (entry === undefined) return
    const members = origins.map(({ id, knownAs }) => {
      const present = this.#find(id)
      if (present !== undefined) {
        if (present.isLeaving) this.#return(present, now)
        return this.indexOf(id)
      }
      const kept = knownAs === undefined ? undefined : this.#find(knownAs)
      const index = this.#adopt(id, entry.pool, kept)
      if (kept === undefined) this.#at(index).upSince = now
      return index
    })
    this.#pools.set(poolId, {
      pool: entry.pool,
      members,
      weights: origins.map(({ weight }) => weight),
    })
    for (const index of entry.members) {
      if (members.includes(index)) continue
      const record = this.#at(index)
      record.isLeaving = true
      this.#settle(record, 'no longer an address of its name', now)
    }
    this.#plan()
    this.#refresh()
  }

  #return(record: OriginRecord, now: Millis): void {
    record.isLeaving = false
    this.#settle(record, 'an address of its name again', now)
  }

  /** The name of an origin stands for another server now: what was known is of no use. */
  renew(id: string, now: Millis): void {
    const record = this.#find(id)
    if (record === undefined) return
    record.active = NEVER_CHECKED
    record.outlier.close()
    record.draining = false
    record.heard = false
    record.lastProbe = null
    record.fleet = null
    this.#settle(record, 'its name has another address', now)
  }

  /** Forgets an origin that has left its pool and has nothing under way: its number goes to another. */
  release(id: string): void {
    const index = this.#index.get(id)
    if (index === undefined || !this.#at(index).isLeaving) return
    this.#index.delete(id)
    this.#free.push(index)
  }

  #plan(): void {
    for (const { outlier } of this.#origins) {
      if (outlier.phase === 'open') this.#nextChange = Math.min(this.#nextChange, outlier.until)
    }
  }

  #find(id: string): OriginRecord | undefined {
    const index = this.#index.get(id)
    return index === undefined ? undefined : this.#origins[index]
  }

  /** An origin's number, for the calls of the hot path; -1 for an id that is not on the board. */
  indexOf(id: string): number {
    return this.#index.get(id) ?? -1
  }

  tier(index: number): Tier {
    return this.#at(index).tier
  }

  /** Whether a request may be sent to the origin now. On trial, one at a time may. */
  isUp(index: number): boolean {
    const record = this.#at(index)
    return isUsable(record.tier) && (record.tier !== 'trial' || record.trialSince === undefined)
  }

  /**
   * How gladly the origin is chosen: 3 up, 2 before its first check, 1 on trial and free, 0 not at all.
   * One that is not checked and not heard of is as good as any: there is nothing better to wait for.
   */
  standing(index: number): 0 | 1 | 2 | 3 {
    const { tier, activeRules, trialSince } = this.#at(index)
    if (tier === 'up') return 3
    if (tier === 'unknown') return activeRules === undefined ? 3 : 2
    return tier === 'trial' && trialSince === undefined ? 1 : 0
  }

  /** When the origin came up last; null if it has been up from the start. */
  upSince(index: number): Millis | null {
    return this.#at(index).upSince
  }

  /** Share of its weight that an origin gets while it comes back, 0.1 to 1. */
  slowStart(index: number, windowMs: Millis, now: Millis): number {
    const { upSince } = this.#at(index)
    return upSince === null || windowMs === 0 ? 1 : slowStartFactor(now - upSince, windowMs)
  }

  /** Calls `listener` with every change of a tier; the answer ends it. */
  subscribe(listener: (event: HealthEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Share of a pool's weight that is usable, 0 to 1; for panic rules. */
  usableShare(poolId: string): number {
    const entry = this.#pools.get(poolId)
    return entry === undefined ? 0 : this.#poolShare(entry)
  }

  /** An attempt begins: on trial, it is the one that decides. */
  began(index: number, now: Millis): void {
    const record = this.#at(index)
    if (record.tier !== 'trial') return
    record.trialSince = now
    this.#nextChange = Math.min(this.#nextChange, now + TRIAL_PATIENCE_MS)
  }

  /** An attempt ended. @param now monotonic */
  report(index: number, outcome: Outcome, now: Millis): void {
    this.advance(now)
    const record = this.#at(index)
    record.trialSince = undefined
    const cause = record.outlier.report(outcome, record.outlierRules, now)
    if (outcome === 'ok') record.heard = true
    if (cause !== undefined && this.#mayEject(index, record, cause)) {
      this.#eject(record, cause, now)
      return
    }
    if (cause === 'relapse') record.outlier.close()
    this.#settle(record, outcome === 'ok' ? 'traffic' : outcome, now)
  }

  /** A check ended. */
  onProbe(id: string, result: ProbeResult, now: Millis): void {
    this.advance(now)
    const record = this.#find(id)
    if (record?.activeRules === undefined) return
    record.lastProbe = result.detail
    record.draining = result.ok && result.drain === true
    record.active = afterProbe(record.active, result, record.activeRules)
    // A good check proves that one can connect. It proves nothing about real requests: an origin whose
    // health page answers while everything else fails would flap. Nor does it shorten a second ejection.
    const { outlier } = record
    const isOver = outlier.phase === 'open' && outlier.cause === 'connect' && outlier.level <= 1
    if (result.ok && isOver) outlier.tryAgain()
    this.#settle(record, `probe: ${result.detail}`, now)
  }

  /** What another worker or node found out about an origin. @param until monotonic time of this process */
  adoptEjection(id: string, until: Millis, now: Millis): void {
    this.advance(now)
    const index = this.indexOf(id)
    if (index < 0) return
    const record = this.#at(index)
    if (record.outlier.phase === 'open' || until <= now || !this.#mayEject(index, record, 'told'))
      return
    record.outlier.openUntil(until, 'told')
    this.#settle(record, 'told', now)
  }

  /** How long an ejection found out here still lasts; 0 for one that others told of. */
  ejectedFor(id: string, now: Millis): Millis {
    const outlier = this.#find(id)?.outlier
    const isOwn = outlier?.phase === 'open' && outlier.cause !== 'told'
    return isOwn ? Math.max(0, outlier.until - now) : 0
  }

  /**
   * What this machine itself found out: never what the fleet says, or the fleet would believe its own echo.
   * Undefined while nothing is known.
   */
  ownVerdict(id: string): 'up' | 'down' | undefined {
    const record = this.#find(id)
    if (record === undefined || record.isLeaving) return undefined
    if (record.active.state === 'down' || record.outlier.phase === 'open') return 'down'
    if (record.outlier.phase === 'trial') return undefined
    return record.active.state === 'up' || record.heard ? 'up' : undefined
  }

  /**
   * What the fleet says of an origin. It can only take one out of use, and not the last usable one: what this
   * gateway found to fail stays out whatever others see.
   * @param why for people; null: the fleet does not count it as down
   */
  setFleet(id: string, why: string | null, now: Millis): void {
    this.advance(now)
    const record = this.#find(id)
    if (record === undefined) return
    const isSpare = this.#origins.some((other) => other !== record && isUsable(other.tier))
    const fleet = isSpare ? why : null
    if (record.fleet === fleet) return
    record.fleet = fleet
    this.#settle(record, fleet ?? 'the fleet does not keep it out', now)
  }

  /** Ends ejections whose time has come. Cheap when there are none: call it with every request. */
  advance(now: Millis): void {
    if (now < this.#nextChange) return
    this.#nextChange = Number.POSITIVE_INFINITY
    for (const record of this.#origins) {
      const { outlier } = record
      if (outlier.phase === 'open' && now >= outlier.until) {
        outlier.tryAgain()
        record.trialSince = undefined
        this.#settle(record, 'ejection over', now)
      } else if (outlier.phase === 'open') {
        this.#nextChange = Math.min(this.#nextChange, outlier.until)
      }
      const { trialSince } = record
      if (trialSince === undefined) continue
      if (now >= trialSince + TRIAL_PATIENCE_MS) record.trialSince = undefined
      else this.#nextChange = Math.min(this.#nextChange, trialSince + TRIAL_PATIENCE_MS)
    }
  }

  /** Everything about every origin: for `explain`, metrics and the admin API. */
  states(): OriginHealth[] {
    return [...this.#index.values()].map((index) => this.#stateOf(this.#at(index)))
  }

  #stateOf(record: OriginRecord): OriginHealth {
    return {
      id: record.id,
      tier: record.tier,
      active: record.active.state,
      phase: record.outlier.phase,
      ejectedUntil: record.outlier.phase === 'open' ? record.outlier.until : null,
      ejections: record.outlier.level,
      upSince: record.upSince,
      lastProbe: record.lastProbe,
      fleet: record.fleet,
    }
  }

  /** State of the checks of an origin, for the scheduler. */
  active(id: string): ActiveHealth {
    return this.#find(id)?.active ?? NEVER_CHECKED
  }

  #at(index: number): OriginRecord {
    const record = this.#origins[index]
    if (record === undefined) throw new RangeError(`no origin ${index}`)
    return record
  }

  #eject(record: OriginRecord, cause: EjectionCause, now: Millis): void {
    record.outlier.eject(cause, record.outlierRules, now, this.#random.next())
    this.#settle(record, cause, now)
  }

  /**
   * How much may be ejected. Failures that traffic itself could have caused (a request that makes every
   * origin answer 503) take at most a share of a pool, rounded down but at least one; beyond that a pool
   * is given up as a whole, and of the pools again at most that share. Refused connections prove
   * themselves, so for them only the last rule holds: the last usable origin of a pool goes only while
   * another pool has one, for otherwise a bad answer is better than none.
   */
  #mayEject(index: number, record: OriginRecord, cause: EjectionCause): boolean {
    if (record.outlier.phase === 'open') return false
    for (const entry of this.#pools.values()) {
      if (!entry.members.includes(index)) continue
      const others = entry.members.filter((member) => member !== index)
      const isLast = !others.some((member) => isUsable(this.#at(member).tier))
      if (isLast && !this.#hasUsableOutside(entry.members)) return false
      if (cause === 'connect') continue
      const ejected = others.filter((member) => this.#at(member).outlier.phase === 'open').length
      const isGivenUp = isLast || ejected + 1 > cap(entry.members.length, entry.pool.maxEjected)
      if (isGivenUp && !this.#mayGiveUp(entry)) return false
    }
    return true
  }

  /** Whether a pool may be ejected beyond its share: while few enough others are. */
  #mayGiveUp(entry: PoolRecord): boolean {
    if (!this.#hasUsableOutside(entry.members)) return false
    let givenUp = 0
    for (const other of this.#pools.values()) {
      if (other === entry) continue
      const isOut = other.members.every((member) => this.#at(member).tier === 'ejected')
      if (isOut) givenUp++
    }
    return givenUp + 1 <= cap(this.#pools.size, entry.pool.maxEjected)
  }

  #hasUsableOutside(members: readonly number[]): boolean {
    return this.#origins.some((record, index) => !members.includes(index) && isUsable(record.tier))
  }

  /** Works out the tier again, and tells if it changed. */
  #settle(record: OriginRecord, cause: string, now: Millis): void {
    const { outlier, tier: from } = record
    if (outlier.phase === 'open') this.#nextChange = Math.min(this.#nextChange, outlier.until)
    const to = tierOf(record)
    if (to === from) return
    record.tier = to
    if (!isUsable(to)) record.upSince = null
    else if (!isUsable(from)) record.upSince = now
    if (to !== 'trial') record.trialSince = undefined
    const { low, high } = this
    this.#refresh()
    const regions = this.#movedSince(low, high)
    const event = { at: now, origin: record.id, from, to, cause, regions }
    this.#onEvent(event)
    for (const listener of this.#listeners) listener(event)
  }

  #refresh(): void {
    let low = 0
    let high = 0
    let shares: Float64Array | undefined
    this.#regions.forEach((region, index) => {
      let best = 0
      for (const id of region.pools) best = Math.max(best, this.usableShare(id))
      if (best === 0) return
      if (index < 32) low |= 1 << index
      else high |= 1 << (index & 31)
      if (best < region.spillBelow) {
        shares ??= new Float64Array(this.#regions.length).fill(1)
        shares[index] = best / region.spillBelow
      }
    })
    this.low = low
    this.high = high
    this.shares = shares
    this.version++
  }

  #movedSince(low: number, high: number): HealthEvent['regions'] {
    const moved: HealthEvent['regions'][number][] = []
    if (low === this.low && high === this.high) return moved
    this.#regions.forEach((region, index) => {
      const bit = 1 << (index & 31)
      const isUp = ((index < 32 ? this.low : this.high) & bit) !== 0
      const wasUp = ((index < 32 ? low : high) & bit) !== 0
      if (isUp !== wasUp) moved.push({ region: region.id, isUp })
    })
    return moved
  }

  /** By weight: an origin of weight 0 takes no traffic, so it does not keep its pool up. */
  #poolShare(entry: PoolRecord): number {
    let total = 0
    let usable = 0
    entry.members.forEach((member, i) => {
      const weight = entry.weights[i] ?? 0
      total += weight
      if (isUsable(this.#at(member).tier)) usable += weight
    })
    return total === 0 ? 0 : usable / total
  }
}

/** A share of a number, rounded down, but at least one. */
function cap(count: number, share: number): number {
  return Math.max(1, Math.floor(count * share))
}

function tierOf(record: OriginRecord): Tier {
  if (record.isLeaving) return 'draining'
  if (record.active.state === 'down') return 'down'
  if (record.outlier.phase === 'open') return 'ejected'
  if (record.fleet !== null) return 'down'
  if (record.draining) return 'draining'
  if (record.outlier.phase === 'trial') return 'trial'
  const isKnown = record.active.state === 'up' || (record.activeRules === undefined && record.heard)
  return isKnown ? 'up' : 'unknown'
}

function isUsable(tier: Tier): boolean {
  return tier === 'up' || tier === 'unknown' || tier === 'trial'
}
