/** Steps 4 and 7: how much. By address before anything costly, by identity once that is known. */
import type { Reply, StepResult } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { problem } from '../http/problem.ts'
import { addRateLimitFields } from '../limits/fields.ts'
import type { LimitResult } from '../limits/limits.ts'
import type { Phase } from '../limits/policy.ts'
import type { Passage } from '../passage.ts'

export function guard(x: Passage, services: Services): StepResult {
  return check(x, 'address', services)
}

export function quota(x: Passage, services: Services): StepResult {
  return check(x, 'identity', services)
}

function check(x: Passage, phase: Phase, services: Services): StepResult {
  const { plan, snapshot } = x
  const result = snapshot.limits.check(x, phase, plan?.limits)
  if (result === undefined) return undefined
  const answer = conclude(x, result, services)
  if (answer !== undefined) return answer
  const shared = services.shared?.check(x, phase)
  if (shared instanceof Promise) return shared.then((late) => late && conclude(x, late, services))
  return shared && conclude(x, shared, services)
}

function conclude(x: Passage, result: LimitResult, services: Services): Reply | undefined {
  const { limitDecisions } = services.telemetry.metrics
  for (const id of result.logged) limitDecisions.add([id, 'logged'])
  if (result.allowed) {
    if (x.limitResults === undefined) x.limitResults = [result]
    else x.limitResults.push(result)
    return undefined
  }
  for (const id of result.violated) limitDecisions.add([id, 'denied'])
  return deny(x, result)
}

function deny(x: Passage, result: LimitResult): Reply {
  const code = result.status === 503 ? 'overloaded' : 'rate-limited'
  x.outcome = code
  const headers: string[] = []
  addRateLimitFields(headers, [result])
  return problem(code, x.id, { status: result.status, headers })
}
