/** Steps 4 and 7: how much. By address before anything costly, by identity once that is known. */
import type { Reply, StepResult } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { problem } from '../http/problem.ts'
import { addRateLimitFields, QUOTA_EXCEEDED, REDUCED_CAPACITY } from '../limits/fields.ts'
import type { Phase } from '../limits/policy.ts'
import type { LimitResult } from '../limits/result.ts'
import type { Passage } from '../passage.ts'
import { waitingRoom } from './waiting.ts'

export function guard(x: Passage, services: Services): StepResult {
  const denied = check(x, 'address', services)
  if (denied instanceof Promise) {
    return denied.then((late) => (late ? deny(x, late, services) : waitingRoom(x, services)))
  }
  return denied === undefined ? waitingRoom(x, services) : deny(x, denied, services)
}

export function quota(x: Passage, services: Services): StepResult {
  const denied = check(x, 'identity', services)
  if (denied instanceof Promise) return denied.then((late) => late && deny(x, late, services))
  return denied && deny(x, denied, services)
}

/** @returns the denial, if any; what was charged is kept in `x.limitResults` */
export function check(
  x: Passage,
  phase: Phase,
  services: Services,
): LimitResult | undefined | Promise<LimitResult | undefined> {
  const { snapshot } = x
  const limits = x.plan?.limits ?? snapshot.limits.global
  // Nothing has waited before the first phase: the clock was read when the request came.
  const time = phase === 'address' ? x.monotonicStart : undefined
  const own = snapshot.limits.check(x, phase, limits, time)
  if (own === undefined && limits.shared[phase].length === 0) return undefined
  const denied = own && note(x, own, services)
  if (denied !== undefined) return denied
  const shared = services.shared?.check(x, phase, limits)
  if (shared instanceof Promise) return shared.then((late) => late && join(x, own, late, services))
  return shared && join(x, own, shared, services)
}

/** All or nothing: when the shared limits deny, what the process's own have charged is taken back. */
function join(
  x: Passage,
  own: LimitResult | undefined,
  shared: LimitResult,
  services: Services,
): LimitResult | undefined {
  const denied = note(x, shared, services)
  if (denied !== undefined && own !== undefined && own.charges.length > 0) {
    const held = x.snapshot.limits.undo(own)
    x.limitResults = x.limitResults?.flatMap((result) => {
      if (result !== own) return [result]
      return held === undefined ? [] : [held]
    })
  }
  return denied
}

function note(x: Passage, result: LimitResult, services: Services): LimitResult | undefined {
  const { limitDecisions } = services.telemetry.metrics
  for (const id of result.logged) limitDecisions.add([id, 'logged'])
  if (result.allowed) {
    if (x.limitResults === undefined) x.limitResults = [result]
    else x.limitResults.push(result)
    return undefined
  }
  for (const id of result.violated) limitDecisions.add([id, 'denied'])
  return result
}

/** The answer to a request that a limit denied: 429, or the policy's own status. */
export function deny(x: Passage, result: LimitResult, services: Services): Reply {
  const isOverload = result.status === 503
  const code = isOverload ? 'overloaded' : 'rate-limited'
  x.outcome = code
  x.isLimited = true
  const { policy } = result
  // A limit that many share is not exceeded by the one who comes last.
  if (policy.isPersonal && result.reason !== 'store') x.offence = 'limit'
  x.why = `Limit ${policy.id} denied it: ${reasonOf(result)}.`
  const headers: string[] = []
  addRateLimitFields(headers, [result], services.platform.random.next())
  const violated = x.snapshot.limits.announced(result.violated)
  return problem(code, x.id, {
    status: result.status,
    type: isOverload ? REDUCED_CAPACITY : QUOTA_EXCEEDED,
    ...(violated.length > 0 && { members: { 'violated-policies': violated } }),
    headers,
  })
}

function reasonOf({ reason, remaining, limit, retryAfter }: LimitResult): string {
  if (reason === 'store') return 'the counters of the fleet cannot be asked'
  if (reason === 'key') return 'a part of its key is missing'
  const rest = retryAfter === 0 ? 'it can never pass' : `${retryAfter} s to wait`
  return reason === 'mitigation'
    ? `its key is shut out, ${rest}`
    : `${remaining} of ${limit} left, ${rest}`
}
