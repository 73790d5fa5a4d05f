/** Step 8: what the cache knows. Routes that answer by themselves do so here, behind all guards. */
import type { ForwardOptions } from '../cache/core.ts'
import { HeaderList, type Reply, type StepResult } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { isProblemCode } from '../http/problem.ts'
import type { Passage } from '../passage.ts'
import { AttemptsFailed } from '../upstream/attempt.ts'
import { fetchOrigin } from './forward.ts'
import { respond } from './route.ts'
import { throughShield } from './shield.ts'
import { steer } from './steer.ts'

export function recall(x: Passage, services: Services): StepResult {
  const { plan } = x
  if (plan === undefined) return undefined
  if (plan.respond !== undefined) return respond(x)
  if (plan.redirects && plan.cache !== undefined) {
    // What is in the cache must not keep clients from being sent to their region.
    const moved = steer(x, services)
    if (moved !== undefined && x.outcome === 'served') return moved
    x.outcome = 'served'
  }
  const { cache } = plan
  if (cache === undefined || services.cache === undefined || x.wantsWebSocket) return undefined
  const policy = cache.rules.length === 0 ? cache.route.base : cache.route.policy(matching(x))
  return services.cache.respond(x, policy, (options) => askOrigin(x, services, options))
}

/** Which of the route's cache rules hold, a bit each. */
function matching(x: Passage): number {
  const rules = x.plan?.cache?.rules ?? []
  let bits = 0
  for (let i = 0; i < rules.length; i++) {
    if (rules[i]?.(x) === true) bits |= 1 << i
  }
  return bits
}

/**
 * Steers, once for each exchange, and forwards; a refusal by steering is thrown, so that a stored response
 * may stand in for it. A fetch in the background has an exchange of its own: that of the client may be over
 * and its record written.
 */
function askOrigin(client: Passage, services: Services, options: ForwardOptions): Promise<Reply> {
  const x = options.isDetached ? client.detached() : client
  if (x.places.length === 0) {
    const refused = steer(x, services)
    if (refused !== undefined) {
      const code = x.outcome
      x.outcome = 'served'
      throw new AttemptsFailed(isProblemCode(code) ? code : 'no-healthy-origin')
    }
  }
  const shield = x.plan?.cache?.shield
  if (shield !== undefined && options.mayShield && !x.isFromEdge) {
    const shielded = throughShield(x, services, shield, options)
    return shielded.then((reply) => reply ?? fetchFor(x, services, options))
  }
  return fetchFor(x, services, options)
}

function fetchFor(x: Passage, services: Services, options: ForwardOptions): Promise<Reply> {
  return fetchOrigin(x, services, {
    method: options.method,
    authority: options.authority,
    pathAndQuery: options.pathAndQuery,
    headers: options.headers === x.headers.flat ? x.headers : new HeaderList(options.headers),
    withBody: options.withBody,
    control: options.control,
  })
}
