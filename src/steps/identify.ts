/** Step 6: who asks, and whether they may. Before the cache, always: a stored answer is an answer too. */
import type { Principal, StepResult } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { problem } from '../http/problem.ts'
import { Denied } from '../iam/denied.ts'
import { isSuspicious } from '../iam/reasons.ts'
import type { RouteAuth } from '../iam/route-auth.ts'
import type { Passage } from '../passage.ts'
import { addSessionFields, loginInstead } from './login.ts'

export function identify(x: Passage, services: Services): StepResult {
  const { identity } = x.snapshot
  const auth = x.plan?.auth
  if (identity === undefined || auth === undefined) return undefined
  const found = identity.identify(x, auth)
  if (found instanceof Promise) return found.then((late) => admit(x, auth, late, services))
  return admit(x, auth, found, services)
}

function admit(
  x: Passage,
  auth: RouteAuth,
  found: Principal | Denied,
  services: Services,
): StepResult {
  const login = x.snapshot.identity?.login
  if (login !== undefined && x.login !== undefined) addSessionFields(x, login, services)
  if (found instanceof Denied) {
    const instead = login && loginInstead(x, auth, found, services)
    if (instead !== undefined) return instead
    x.outcome = found.code
    x.why = `Refused: ${found.reason}.`
    if (isSuspicious(found.reason)) x.offence = 'auth'
    x.principal = undefined
    return problem(found.code, x.id, { status: found.status, headers: found.headers })
  }
  x.principal = found.kind === 'anonymous' ? undefined : found
  const stripped = x.snapshot.identity?.stripped(x, auth)
  if (stripped !== undefined) {
    const { path, query } = stripped
    x.target = {
      raw: x.target.raw,
      path,
      query,
      pathAndQuery: query === '' ? path : `${path}?${query}`,
    }
  }
  return undefined
}
