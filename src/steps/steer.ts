/** Step 9: which regions may serve the request, in which order. Residency is decided before all else. */
import type { Millis, Reply, StepResult } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { PROBLEMS, type ProblemCode, problem } from '../http/problem.ts'
import type { Passage } from '../passage.ts'
import type { CompiledRoute } from '../snapshot.ts'
import type { Steered } from '../steering/decision.ts'
import type { SteeringPlan } from '../steering/plan.ts'
import { isInMask } from '../steering/regions.ts'
import type { Place } from '../upstream/attempt.ts'
import { enterRollout } from './arms.ts'
import { isDrained, steeringRequest } from './steering-request.ts'

/** Seconds after which a client that no permitted region could serve may ask again. */
const RETRY_AFTER_SECONDS = '5'

export function steer(x: Passage, services: Services): StepResult {
  const { plan, snapshot } = x
  if (plan === undefined) return undefined
  const now = services.platform.clock.monotonic()
  snapshot.health.advance(now)
  snapshot.drains.advance(services.platform.clock.now())
  const steering = snapshot.steering.plan(plan.ref.index, x)
  if (plan.fixed !== undefined) {
    const refused = fixedPools(x, plan.fixed, steering)
    if (refused === undefined) enterRollout(x, services)
    return refused
  }
  const request = steeringRequest(x)
  const result = steering.decide(x.geo, request, snapshot.health)
  if (result.outcome === 'steered') {
    x.decision = result
    x.places = placesOf(x, result.indexes)
    arrived(x, result, now)
    if (plan.redirects) {
      const moved = redirected(x, result.regionIndex)
      if (moved !== undefined) return moved
    }
    enterRollout(x, services)
    return undefined
  }
  if (result.lastResort.length > 0) {
    // Checks may be wrong about all of them at once; an attempt costs less than a certain refusal. Only
    // regions that may see the request are among them.
    x.unavailable = result.code === 'region-unavailable' ? 'no-healthy-origin' : result.code
    x.places = placesOf(x, result.lastResortIndexes)
    x.decision = {
      region: result.lastResort[0] as string,
      order: result.lastResort,
      policy: steering.policy,
      reason: 'failing open: no region is known to be up',
    }
    return undefined
  }
  return refuse(x, result.code === 'region-unavailable' ? 'no-healthy-origin' : result.code)
}

/**
 * Sends the client to the region's own name, so that its later requests go there directly. One that came by
 * the name of a region has been sent already: it is served, wherever that has become.
 */
function redirected(x: Passage, region: number): Reply | undefined {
  const { regionHosts } = x.snapshot
  const host = regionHosts[region]
  if (host === undefined || regionHosts.includes(x.authority)) return undefined
  return {
    status: 307,
    headers: [
      'location',
      `${x.scheme}://${host}${x.target.pathAndQuery}`,
      'cache-control',
      'no-store',
      'content-length',
      '0',
    ],
    body: null,
  }
}

/** A route that names its pools in order is bound by residency all the same. */
function fixedPools(
  x: Passage,
  fixed: NonNullable<CompiledRoute['fixed']>,
  steering: SteeringPlan,
): StepResult {
  x.places = fixed.places
  x.decision = fixed.decision
  if (fixed.isBound) {
    const places = permittedPlaces(x, fixed.places, steering)
    if (places.length === 0) return refuse(x, 'residency-denied')
    x.places = places
  }
  return x.snapshot.drains.any ? withoutDrained(x) : undefined
}

/** Those that residency allows the request to see; none when that cannot be told. */
function permittedPlaces(
  x: Passage,
  places: readonly Place[],
  steering: SteeringPlan,
): readonly Place[] {
  const permitted = steering.permit(x.geo, steeringRequest(x))
  if ('outcome' in permitted) return []
  const { regions } = x.snapshot
  if (permitted === regions.all) return places
  return places.filter(({ region }) => {
    const index = regions.indexOf(region)
    // A pool that stands in no region has no tag that a rule could ask for.
    return index !== undefined && isInMask(permitted.low, permitted.high, index)
  })
}

/** Pools in regions that an operator has drained are as if they were not listed. */
function withoutDrained(x: Passage): StepResult {
  const { snapshot, decision } = x
  const places = x.places.filter(({ region }) => !isDrained(snapshot, region))
  if (places.length === x.places.length || decision === undefined) return undefined
  if (places.length === 0) return refuse(x, 'no-healthy-origin')
  const order = decision.order.filter((region) => !isDrained(snapshot, region))
  x.places = places
  x.decision = { ...decision, region: order[0] ?? '', order, reason: 'a region is drained' }
  return undefined
}

function refuse(
  x: Passage,
  code: 'no-healthy-origin' | 'residency-unavailable' | 'residency-denied',
): Reply {
  x.outcome = code
  x.decision = undefined
  return unavailable(x, code)
}

/** A refusal for want of an origin, which says when to ask again unless asking again is no use. */
export function unavailable(x: Passage, code: ProblemCode): Reply {
  const isTemporary = PROBLEMS[code].status === 503
  return problem(code, x.id, isTemporary ? { headers: ['retry-after', RETRY_AFTER_SECONDS] } : {})
}

/** Counts demand, and sets the cookie of a client that was assigned a region. */
function arrived(x: Passage, result: Steered, now: Millis): void {
  const { load } = x.snapshot.steering
  load.arrived(result.regionIndex, now)
  for (const index of result.spilledFrom) load.arrived(index, now)
  if (result.setSticky !== undefined && x.plan?.stickyCookie !== undefined) {
    const secure = x.scheme === 'https' ? '; Secure' : ''
    x.addReplyFields([
      'set-cookie',
      `${x.plan.stickyCookie}=${result.setSticky}; Path=/; Max-Age=${x.plan.stickySeconds}; HttpOnly; SameSite=Lax${secure}`,
    ])
  }
}

function placesOf(x: Passage, indexes: readonly number[]): readonly Place[] {
  const { placesByRegion } = x.snapshot
  if (indexes.length === 1) return placesByRegion[indexes[0] as number] ?? []
  const places: Place[] = []
  for (const index of indexes) {
    const ofRegion = placesByRegion[index]
    if (ofRegion !== undefined) for (const place of ofRegion) places.push(place)
  }
  return places
}
