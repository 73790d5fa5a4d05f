/** Step 9: which regions may serve the request, in which order. Residency is decided before all else. */
import type { Reply, StepResult } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { problem } from '../http/problem.ts'
import type { Passage } from '../passage.ts'
import type { Steered, SteeringRequest } from '../steering/decision.ts'
import { hashKey } from '../steering/hash.ts'
import type { Place } from '../upstream/attempt.ts'

/** Seconds after which a client that no permitted region could serve may ask again. */
const RETRY_AFTER_SECONDS = '5'

export function steer(x: Passage, services: Services): StepResult {
  const { plan, snapshot } = x
  if (plan === undefined) return undefined
  if (plan.fixed !== undefined) {
    x.places = plan.fixed.places
    x.decision = plan.fixed.decision
    return undefined
  }
  snapshot.health.advance(services.platform.clock.monotonic())
  const steering = snapshot.steering.plan(plan.ref.index, x)
  const request = steeringRequest(x)
  const result = steering.decide(x.geo, request, snapshot.health)
  if (result.outcome === 'steered') {
    x.decision = result
    x.places = placesOf(x, result.indexes)
    arrived(x, result, services)
    return undefined
  }
  if (result.code === 'region-unavailable' && result.lastResort.length > 0) {
    // Checks may be wrong about all of them at once; an attempt costs less than a certain refusal.
    x.places = placesOf(x, result.lastResortIndexes)
    x.decision = {
      region: result.lastResort[0] as string,
      order: result.lastResort,
      policy: steering.policy,
      reason: 'failing open: no region is known to be up',
    }
    return undefined
  }
  return refuse(
    x,
    result.code === 'region-unavailable' ? 'no-healthy-origin' : result.code,
    services,
  )
}

function refuse(
  x: Passage,
  code: 'no-healthy-origin' | 'residency-unavailable' | 'residency-denied',
  services: Services,
): Reply {
  void services
  x.outcome = code
  const isTemporary = code !== 'residency-denied'
  return problem(code, x.id, isTemporary ? { headers: ['retry-after', RETRY_AFTER_SECONDS] } : {})
}

/** What the choice depends on besides the client's place. */
export function steeringRequest(x: Passage): SteeringRequest {
  const { sticky } = x.snapshot
  const token = sticky.size === 0 ? undefined : stickyToken(x)
  return {
    clientHash: hashKey(x.principal?.subject ?? x.client.ip?.text ?? ''),
    claims: x.principal?.claims,
    header: x.client.viaTrustedProxy ? (name) => x.headers.get(name) : undefined,
    stickyToken: token,
  }
}

/** The cookie of the route's sticky section, when it has one. */
function stickyToken(x: Passage): string | undefined {
  const name = x.plan?.stickyCookie
  const cookies = name === undefined ? undefined : x.headers.joined('cookie')
  if (name === undefined || cookies === undefined) return undefined
  for (const pair of cookies.split(/[;,]/)) {
    const equals = pair.indexOf('=')
    if (equals >= 0 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim()
  }
  return undefined
}

/** Counts demand, and sets the cookie of a client that was assigned a region. */
function arrived(x: Passage, result: Steered, services: Services): void {
  const { load } = x.snapshot.steering
  const now = services.platform.clock.monotonic()
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
