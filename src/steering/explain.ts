/** Why a request went where it went: every region with its cost and what became of it. */
import type { CandidateVerdict, Geo } from '../exchange.ts'
import type { RegionHealth, SteeringExplanation, SteeringRequest } from './decision.ts'
import { rehash, unit } from './hash.ts'
import { listFor, type SteeringPlan } from './plan.ts'
import { isInMask, NO_REGIONS, type RegionMask } from './regions.ts'

/** Decides as `plan.decide` does, and says everything about it. Not for the hot path. */
export function explain(
  plan: SteeringPlan,
  geo: Geo,
  request: SteeringRequest,
  health: RegionHealth,
): SteeringExplanation {
  const { regions, residency, fallback, candidates, drains } = plan.init
  const result = plan.decide(geo, request, health)
  const permitted = plan.permit(geo, request)
  const allowed: RegionMask = 'outcome' in permitted ? NO_REGIONS : permitted
  const own = ownRegions(plan, geo)
  const tried = request.tried ?? NO_REGIONS
  const costs = costsOf(plan, geo, request)
  const has = (mask: RegionMask, index: number): boolean => isInMask(mask.low, mask.high, index)

  const outcomeOf = (index: number): CandidateVerdict['outcome'] => {
    const isOwn = has(own, index) && has(candidates, index)
    if (!isOwn && !has(fallback.mask, index)) return 'not-in-route'
    if (!has(allowed, index)) return 'residency'
    if (result.outcome === 'steered' && result.regionIndex === index) return 'chosen'
    if (has(tried, index)) return 'tried'
    if (drains.has(index)) return 'drained'
    if (!has(health, index)) return 'unhealthy'
    return has(regions.drained, index) ? 'drained' : 'available'
  }
  return {
    result,
    place: plan.reference(geo),
    policy: plan.policy,
    rule: plan.rule,
    unit: unitOf(plan),
    candidates: regions.regions.map((region) => ({
      region: region.id,
      cost: costs[region.index] ?? Number.NaN,
      outcome: outcomeOf(region.index),
    })),
    residency: residency.map((rule) => ({ rule: rule.id, binds: rule.binds(geo, request) })),
  }
}

function ownRegions(plan: SteeringPlan, geo: Geo): RegionMask {
  const { preference, candidates } = plan.init
  return preference.kind === 'geo' ? listFor(preference.lists, geo).mask : candidates
}

function unitOf(plan: SteeringPlan): SteeringExplanation['unit'] {
  const { preference } = plan.init
  if (preference.kind === 'ranked') return preference.unit
  return preference.kind === 'weighted' ? 'weight' : 'order'
}

function costsOf(plan: SteeringPlan, geo: Geo, request: SteeringRequest): ArrayLike<number> {
  const { preference, regions } = plan.init
  if (preference.kind === 'ranked') return preference.table.costs(plan.reference(geo)).slice()
  if (preference.kind === 'weighted') {
    return regions.regions.map((region) => {
      const weight = preference.weights[region.index] as number
      const draw = -Math.log(1 - unit(rehash(request.clientHash, region.index + 101)))
      return weight > 0 ? draw / weight : Number.POSITIVE_INFINITY
    })
  }
  const { row } = preference.kind === 'geo' ? listFor(preference.lists, geo) : preference.list
  return regions.regions.map((region) => {
    const at = row.indexOf(region.index)
    return at < 0 ? Number.POSITIVE_INFINITY : at
  })
}
