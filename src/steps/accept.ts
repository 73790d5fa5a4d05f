/**
 * Step 1: what the front refused is answered here, so that it is recorded like everything else. So is who is
 * shut out, and what needs no route.
 */
import type { Reply, StepResult } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { loopOf } from '../http/hygiene.ts'
import { isProblemCode, problem } from '../http/problem.ts'
import type { Passage } from '../passage.ts'
import { CHALLENGE_PATH } from '../waf/challenge/path.ts'
import { answered } from './challenge.ts'
import { atLogin } from './login.ts'
import { shutOut } from './penalty.ts'

export function accept(x: Passage, services: Services): StepResult {
  if (x.refusal !== undefined) {
    const code = isProblemCode(x.refusal) ? x.refusal : 'bad-request'
    x.outcome = code
    return problem(code, x.id)
  }
  const refused = shutOut(x)
  if (refused !== undefined) return refused
  const loop = loopOf(x.headers, x.snapshot.pseudonym, x.snapshot.shieldMark)
  x.isFromEdge = loop === 'shielded' && x.client.viaTrustedProxy
  if (loop !== 'none' && !x.isFromEdge) {
    x.outcome = 'loop-detected'
    return problem('loop-detected', x.id)
  }
  const { challenge } = x.snapshot
  if (challenge !== undefined && x.target.path === CHALLENGE_PATH) {
    return answered(x, challenge, services)
  }
  const login = x.snapshot.identity?.login
  const atOurs = login === undefined ? undefined : atLogin(x, login, services)
  if (atOurs !== undefined) return atOurs
  return x.answerLocally ? allowed(x) : published(x)
}

/** What the gateway publishes itself (RFC 9728): clients read it to learn how to identify. */
function published(x: Passage): Reply | undefined {
  const metadata = x.snapshot.identity?.metadata
  if (metadata === undefined || (x.method !== 'GET' && x.method !== 'HEAD')) return undefined
  const document = metadata.document(x.target.path)
  if (document === undefined || x.host !== metadata.host) return undefined
  return {
    status: 200,
    headers: [
      'content-type',
      'application/json',
      'cache-control',
      'public, max-age=3600',
      'access-control-allow-origin',
      '*',
    ],
    body: document,
  }
}

/** `OPTIONS *` and a spent Max-Forwards end at the gateway (RFC 9110 §7.6.2, §9.3.7). */
function allowed(x: Passage): Reply {
  return {
    status: 204,
    headers: ['allow', [...x.snapshot.front.methods].join(', ')],
    body: null,
  }
}
