/** Step 3: which route takes the request; routes that answer by themselves do so here. */
import type { Reply, StepResult } from '../exchange.ts'
import { problem } from '../http/problem.ts'
import type { Passage } from '../passage.ts'
import type { CompiledRoute } from '../snapshot.ts'

export function route(x: Passage): StepResult {
  const { snapshot } = x
  const index = snapshot.router.find(x.host, x.target.path, x.method, x)
  if (index < 0) {
    x.outcome = 'no-route'
    return problem('no-route', x.id)
  }
  const plan = snapshot.routes[index] as CompiledRoute
  x.route = plan.ref
  x.plan = plan
  if (x.body === null) return undefined
  x.body.limitTo?.(plan.bodyLimit)
  if (x.body.length !== null && x.body.length > plan.bodyLimit) {
    x.outcome = 'body-too-large'
    return problem('body-too-large', x.id)
  }
  return undefined
}

/** A redirect or a fixed response, after the guards have had their say. */
export function respond(x: Passage): Reply | undefined {
  return x.plan?.respond?.(x)
}
