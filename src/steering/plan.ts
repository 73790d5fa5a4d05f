/**
 * One policy of one route, compiled: `decide` is pure, synchronous, and on a place met before allocates
 * nothing. The order of things is the promise: residency first, then what is up, then preference.
 */
import { type Geo, UNKNOWN_GEO } from '../exchange.ts'
import type {
  RegionHealth,
  Steered,
  SteeringDenial,
  SteeringReason,
  SteeringRequest,
  SteeringResult,
} from './decision.ts'
import type { DrainBoard } from './drains.ts'
import { rehash, unit } from './hash.ts'
import type { LoadBoard } from './load.ts'
import type { RankTable } from './rank.ts'
import { isInMask, type RegionMask, type RegionTable } from './regions.ts'
import { hopRules, type ResidencyRule } from './residency.ts'
import { priorMs } from './rtt.ts'
import type { StickyTokens } from './sticky.ts'

/** Regions in a fixed order, and the same as a mask. */
export interface RegionList {
  readonly row: Uint8Array
  readonly mask: RegionMask
}

export interface GeoLists {
  readonly countries: ReadonlyMap<string, RegionList>
  readonly europeanUnion: RegionList | undefined
  readonly continents: ReadonlyMap<string, RegionList>
  readonly otherwise: RegionList
}

/** How the regions of a policy are put in order. */
export type Preference =
  | { readonly kind: 'ranked'; readonly table: RankTable; readonly unit: 'km' | 'ms' }
  | { readonly kind: 'listed'; readonly list: RegionList }
  | { readonly kind: 'geo'; readonly lists: GeoLists }
  | { readonly kind: 'weighted'; readonly weights: Float64Array }

export interface PlanInit {
  readonly policy: string
  readonly rule: string | null
  readonly regions: RegionTable
  readonly residency: readonly ResidencyRule[]
  readonly preference: Preference
  /** Regions of the policy; a geo list narrows it. */
  readonly candidates: RegionMask
  readonly fallback: RegionList
  /** Milliseconds; 0 is off. */
  readonly sensitivityMs: number
  /** Where this gateway stands; unknown when it was not said. */
  readonly gateway: Geo
  readonly fromGateway: boolean
  readonly load: LoadBoard
  /** Regions that an operator has drained; read at each decision. */
  readonly drains: DrainBoard
  readonly sticky: { readonly tokens: StickyTokens; readonly repins: boolean } | undefined
}

/** Decisions kept by place, for as long as nothing they were made from changes. */
const KEPT = 256

interface KeptDecision {
  readonly place: Geo
  readonly low: number
  readonly high: number
  /** Regions that were up and not drained by an operator. */
  readonly upLow: number
  readonly upHigh: number
  readonly version: number
  readonly decision: Steered
}

export class SteeringPlan {
  readonly policy: string
  readonly rule: string | null
  readonly init: PlanInit
  readonly #regions: RegionTable
  readonly #ids: readonly string[]
  #kept: (KeptDecision | undefined)[] | undefined

  constructor(init: PlanInit) {
    this.policy = init.policy
    this.rule = init.rule
    this.init = init
    this.#regions = init.regions
    this.#ids = init.regions.ids()
  }

  /** The place that distances are measured from. */
  reference(geo: Geo): Geo {
    if (this.init.fromGateway) return this.init.gateway
    return Number.isNaN(geo.latitude) ? this.init.gateway : geo
  }

  /** Regions that may see the request at all, or the refusal. */
  permit(geo: Geo, request: SteeringRequest): RegionMask | SteeringDenial {
    let { low, high } = this.#regions.all
    for (const rule of this.init.residency) {
      const binds = rule.binds(geo, request)
      if (binds === 'no') continue
      if (binds === 'unknown') {
        if (rule.onUnknown === 'allow') continue
        if (rule.onUnknown === 'deny') return unknownClient(rule.id)
      }
      low &= rule.allowed.low
      high &= rule.allowed.high
    }
    return low === this.#regions.all.low && high === this.#regions.all.high
      ? this.#regions.all
      : { low, high }
  }

  /** Rules that bind the request and that the next gateway is told of, and what the one in front told of. */
  announced(geo: Geo, request: SteeringRequest): string {
    const ids = new Set(hopRules(request.hop))
    for (const rule of this.init.residency) {
      if (!rule.announces) continue
      const binds = rule.binds(geo, request)
      if (binds === 'yes' || (binds === 'unknown' && rule.onUnknown === 'restrict'))
        ids.add(rule.id)
    }
    return [...ids].join(', ')
  }

  decide(geo: Geo, request: SteeringRequest, health: RegionHealth): SteeringResult {
    const permitted = this.permit(geo, request)
    if ('outcome' in permitted) return permitted
    if (!this.#isRepeatable(request, health)) return this.#choose(geo, request, health, permitted)

    const upLow = health.low & ~this.init.drains.low
    const upHigh = health.high & ~this.init.drains.high
    const place = this.#keyPlace(geo)
    const version = this.init.preference.kind === 'ranked' ? this.init.preference.table.version : 0
    this.#kept ??= new Array(KEPT)
    const at = place.slot & (KEPT - 1)
    const kept = this.#kept[at]
    if (
      kept !== undefined &&
      kept.place === place &&
      kept.upLow === upLow &&
      kept.upHigh === upHigh &&
      kept.low === permitted.low &&
      kept.high === permitted.high &&
      kept.version === version
    ) {
      return kept.decision
    }
    const result = this.#choose(geo, request, health, permitted)
    if (result.outcome === 'steered') {
      const { low, high } = permitted
      this.#kept[at] = {
        place,
        low,
        high,
        upLow,
        upHigh,
        version,
        decision: result,
      }
    }
    return result
  }

  /** Whether the same place gets the same answer, whoever asks. */
  #isRepeatable(request: SteeringRequest, health: RegionHealth): boolean {
    return (
      this.init.preference.kind !== 'weighted' &&
      request.stickyToken === undefined &&
      request.tried === undefined &&
      !this.#regions.hasDial &&
      !this.init.load.limited &&
      health.shares === undefined
    )
  }

  /** The part of a place that the answer depends on. */
  #keyPlace(geo: Geo): Geo {
    const { kind } = this.init.preference
    if (kind === 'geo') return geo
    return kind === 'listed' ? UNKNOWN_GEO : this.reference(geo)
  }

  #choose(
    geo: Geo,
    request: SteeringRequest,
    health: RegionHealth,
    permitted: RegionMask,
  ): SteeringResult {
    const { preference, candidates, fallback, drains } = this.init
    const list = preference.kind === 'geo' ? listFor(preference.lists, geo) : undefined
    const own = list?.mask ?? candidates
    const baseLow = own.low & candidates.low & permitted.low
    const baseHigh = own.high & candidates.high & permitted.high
    const spareLow = fallback.mask.low & permitted.low & ~baseLow
    const spareHigh = fallback.mask.high & permitted.high & ~baseHigh
    const row = this.#row(geo, request, list)

    const triedLow = request.tried?.low ?? 0
    const triedHigh = request.tried?.high ?? 0
    const upLow = health.low & ~triedLow & ~drains.low
    const upHigh = health.high & ~triedHigh & ~drains.high
    const drained = this.#regions.drained
    const indexes: number[] = []
    pushMasked(indexes, row, baseLow & upLow & ~drained.low, baseHigh & upHigh & ~drained.high)
    const ownCount = indexes.length
    pushMasked(
      indexes,
      fallback.row,
      spareLow & upLow & ~drained.low,
      spareHigh & upHigh & ~drained.high,
    )

    const stuck = this.#stickyRegion(request)
    const mayStick =
      stuck >= 0 && isInMask((baseLow | spareLow) & upLow, (baseHigh | spareHigh) & upHigh, stuck)
    if (indexes.length === 0 && !mayStick) {
      const last: number[] = []
      // Not even now: a region is drained because nothing may go there, not because it seems to be down.
      pushMasked(last, row, baseLow & ~drains.low, baseHigh & ~drains.high)
      pushMasked(last, fallback.row, spareLow & ~drains.low, spareHigh & ~drains.high)
      const excludedLow = ((own.low & candidates.low) | fallback.mask.low) & ~permitted.low
      const excludedHigh = ((own.high & candidates.high) | fallback.mask.high) & ~permitted.high
      const isBound = excludedLow !== 0 || excludedHigh !== 0
      const isPermitted = (baseLow | baseHigh | spareLow | spareHigh) !== 0
      return this.#deny(geo, request, last, isBound, isPermitted)
    }

    let reason: SteeringReason = 'first'
    let spilledFrom: readonly number[] = NONE
    if (mayStick) {
      moveToFront(indexes, stuck)
      reason = 'sticky'
    } else if (ownCount === 0) {
      reason = 'fallback'
    } else {
      const preferred = firstMasked(row, baseLow, baseHigh)
      if (indexes[0] !== preferred) reason = 'failover'
      if (this.#preferCheapest(indexes, ownCount, geo) && reason === 'first') reason = 'cheapest'
      const passed = this.#passOn(indexes, request.clientHash, health)
      if (passed !== undefined) {
        spilledFrom = passed
        reason = passed.length === indexes.length ? 'overloaded' : 'spill'
      }
    }
    return this.#steered(indexes, reason, spilledFrom, request)
  }

  #row(geo: Geo, request: SteeringRequest, list: RegionList | undefined): ArrayLike<number> {
    const { preference } = this.init
    if (list !== undefined) return list.row
    switch (preference.kind) {
      case 'ranked':
        return preference.table.rank(this.reference(geo))
      case 'listed':
        return preference.list.row
      default:
        return preference.kind === 'weighted'
          ? drawByWeight(preference.weights, request.clientHash)
          : []
    }
  }

  #stickyRegion(request: SteeringRequest): number {
    const { sticky } = this.init
    if (sticky === undefined || request.stickyToken === undefined) return -1
    return sticky.tokens.read(request.stickyToken)
  }

  /** Puts the cheapest of the regions about as near as the first in front. */
  #preferCheapest(indexes: number[], ownCount: number, geo: Geo): boolean {
    const { preference, sensitivityMs } = this.init
    if (sensitivityMs === 0 || preference.kind !== 'ranked' || ownCount < 2) return false
    const costs = preference.table.costs(this.reference(geo))
    const inMs = (index: number): number => {
      const cost = costs[index] as number
      return preference.unit === 'km' ? priorMs(cost) : cost
    }
    const limit = inMs(indexes[0] as number) + sensitivityMs
    let best = indexes[0] as number
    for (let i = 1; i < ownCount; i++) {
      const index = indexes[i] as number
      if (inMs(index) > limit) continue
      if (this.#regions.at(index).egressPrice < this.#regions.at(best).egressPrice) best = index
    }
    if (best === indexes[0]) return false
    moveToFront(indexes, best)
    return true
  }

  /**
   * Lets the client pass regions that keep only a share of what comes; the region where it stays moves to
   * the front. When every one passes it on, the first keeps it.
   * @returns the regions passed, or undefined when the first kept it
   */
  #passOn(indexes: number[], clientHash: number, health: RegionHealth): number[] | undefined {
    const { load } = this.init
    if (!this.#regions.hasDial && !load.limited && health.shares === undefined) return undefined
    let passed: number[] | undefined
    for (const index of indexes) {
      const share =
        this.#regions.at(index).dial *
        (load.shares[index] as number) *
        (health.shares === undefined ? 1 : (health.shares[index] as number))
      if (share >= 1 || unit(rehash(clientHash, index + 1)) < share) {
        if (passed !== undefined) moveToFront(indexes, index)
        return passed
      }
      passed ??= []
      passed.push(index)
    }
    return passed
  }

  #steered(
    indexes: readonly number[],
    reason: SteeringReason,
    spilledFrom: readonly number[],
    request: SteeringRequest,
  ): Steered {
    const regionIndex = indexes[0] as number
    const order: string[] = []
    for (const index of indexes) order.push(this.#ids[index] as string)
    const { sticky } = this.init
    let setSticky: string | undefined
    if (sticky !== undefined && reason !== 'sticky') {
      const isNew = sticky.tokens.read(request.stickyToken ?? '') < 0
      if (isNew || sticky.repins) setSticky = sticky.tokens.write(regionIndex)
    }
    return Object.freeze({
      outcome: 'steered' as const,
      region: order[0] as string,
      order,
      policy: this.policy,
      reason,
      regionIndex,
      indexes,
      rule: this.rule,
      spilledFrom,
      setSticky,
    })
  }

  /**
   * @param isBound     whether residency took regions of the policy away
   * @param isPermitted whether it left any
   */
  #deny(
    geo: Geo,
    request: SteeringRequest,
    last: readonly number[],
    isBound: boolean,
    isPermitted: boolean,
  ): SteeringDenial {
    const lastResort = {
      lastResort: last.map((index) => this.#ids[index] as string),
      lastResortIndexes: last,
    }
    const residencyRule = isBound ? this.#bindingRule(geo, request) : null
    if (!isBound) {
      return {
        outcome: 'denied',
        code: 'region-unavailable',
        status: 503,
        residencyRule,
        detail: 'no region is up',
        ...lastResort,
      }
    }
    if (!isPermitted) {
      return {
        outcome: 'denied',
        code: 'residency-denied',
        status: 451,
        residencyRule,
        detail: 'no region of the route may see this request',
        ...lastResort,
      }
    }
    return {
      outcome: 'denied',
      code: 'residency-unavailable',
      status: 503,
      residencyRule,
      detail: 'no region that may see this request is up',
      ...lastResort,
    }
  }

  #bindingRule(geo: Geo, request: SteeringRequest): string | null {
    let found: string | null = null
    for (const rule of this.init.residency) {
      const binds = rule.binds(geo, request)
      if (binds === 'yes' || (binds === 'unknown' && rule.onUnknown === 'restrict')) found = rule.id
    }
    return found
  }
}

const NONE: readonly number[] = Object.freeze([])

function unknownClient(rule: string): SteeringDenial {
  return {
    outcome: 'denied',
    code: 'residency-denied',
    status: 451,
    residencyRule: rule,
    detail: 'the place of the client is not known, and the rule refuses unknown clients',
    lastResort: [],
    lastResortIndexes: NONE,
  }
}

export function listFor(lists: GeoLists, geo: Geo): RegionList {
  if (geo.country === null) return lists.otherwise
  return (
    lists.countries.get(geo.country) ??
    (geo.isEuropeanUnion ? lists.europeanUnion : undefined) ??
    lists.continents.get(geo.continent ?? '') ??
    lists.otherwise
  )
}

/**
 * Weighted rendezvous hashing: each client draws an order of its own in which a region comes first with
 * the probability of its weight; a region that goes away moves only its own clients.
 * @returns indexes of the regions with a weight above 0
 */
export function drawByWeight(weights: Float64Array, clientHash: number): number[] {
  const scores: number[] = []
  const order: number[] = []
  for (let index = 0; index < weights.length; index++) {
    const weight = weights[index] as number
    if (weight <= 0) continue
    const score = -Math.log(1 - unit(rehash(clientHash, index + 101))) / weight
    let at = order.length
    while (at > 0 && (scores[at - 1] as number) > score) at--
    scores.splice(at, 0, score)
    order.splice(at, 0, index)
  }
  return order
}

function pushMasked(out: number[], row: ArrayLike<number>, low: number, high: number): void {
  for (let i = 0; i < row.length; i++) {
    const index = row[i] as number
    if (isInMask(low, high, index)) out.push(index)
  }
}

function firstMasked(row: ArrayLike<number>, low: number, high: number): number {
  for (let i = 0; i < row.length; i++) {
    const index = row[i] as number
    if (isInMask(low, high, index)) return index
  }
  return -1
}

function moveToFront(indexes: number[], index: number): void {
  const at = indexes.indexOf(index)
  if (at === 0) return
  if (at > 0) indexes.splice(at, 1)
  indexes.unshift(index)
}
