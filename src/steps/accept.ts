/** Step 1: what the front refused is answered here, so that it is recorded like everything else. */
import type { Reply, StepResult } from '../exchange.ts'
import { loops } from '../http/hygiene.ts'
import { isProblemCode, problem } from '../http/problem.ts'
import type { Passage } from '../passage.ts'

export function accept(x: Passage): StepResult {
  if (x.refusal !== undefined) {
    const code = isProblemCode(x.refusal) ? x.refusal : 'bad-request'
    x.outcome = code
    return problem(code, x.id)
  }
  if (loops(x.headers, x.snapshot.pseudonym)) {
    x.outcome = 'loop-detected'
    return problem('loop-detected', x.id)
  }
  return x.answerLocally ? allowed(x) : undefined
}

/** `OPTIONS *` and a spent Max-Forwards end at the gateway (RFC 9110 §7.6.2, §9.3.7). */
function allowed(x: Passage): Reply {
  return {
    status: 204,
    headers: ['allow', [...x.snapshot.front.methods].join(', ')],
    body: null,
  }
}
