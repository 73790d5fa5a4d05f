/** A request as steering sees it, and where it may be seen. */
import type { Passage } from '../passage.ts'
import type { Snapshot } from '../snapshot.ts'
import type { SteeringRequest } from '../steering/decision.ts'
import { hashKey } from '../steering/hash.ts'
import { isInMask } from '../steering/regions.ts'
import { RESIDENCY_FIELD } from '../steering/residency.ts'

/** What shares of clients are drawn by. */
export function clientHash(x: Passage): number {
  return hashKey(x.principal?.subject ?? x.client.ip?.text ?? '')
}

/** What the choice depends on besides the client's place. */
export function steeringRequest(x: Passage): SteeringRequest {
  const { sticky } = x.snapshot
  const token = sticky.size === 0 ? undefined : stickyToken(x)
  return {
    clientHash: clientHash(x),
    claims: x.principal?.claims,
    header: x.client.viaTrustedProxy ? (name) => x.headers.get(name) : undefined,
    hop: x.client.viaTrustedProxy ? x.headers.joined(RESIDENCY_FIELD) : undefined,
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

/** What origins are told of the rules that bind the request; empty for nothing. */
export function announcedResidency(x: Passage): string {
  const { plan, snapshot } = x
  if (plan === undefined) return ''
  if (!snapshot.announcesResidency && !x.headers.has(RESIDENCY_FIELD)) return ''
  return snapshot.steering.plan(plan.ref.index, x).announced(x.geo, steeringRequest(x))
}

/** Whether an operator has drained the region; a pool that stands in none cannot be. */
export function isDrained({ drains, regions }: Snapshot, region: string): boolean {
  if (!drains.any) return false
  const index = regions.indexOf(region)
  return index !== undefined && drains.has(index)
}

/**
 * Whether a request may be seen in a region: for whatever does not go through the order of regions.
 * @param region of the pool in question; one that stands in no region is lawful only where nothing binds
 */
export function maySee(x: Passage, region: string): boolean {
  const { plan, snapshot } = x
  if (plan === undefined) return false
  const { regions, steering } = snapshot
  const permitted = steering.plan(plan.ref.index, x).permit(x.geo, steeringRequest(x))
  if ('outcome' in permitted) return false
  if (permitted === regions.all) return true
  const index = regions.indexOf(region)
  return index !== undefined && isInMask(permitted.low, permitted.high, index)
}
