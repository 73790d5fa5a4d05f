/**
 * The origin shield: what the cache would fetch from an origin is asked of a gateway nearer to it first, so
 * that a fleet makes one origin request for what its regions want. A shield that is down, slow or refuses is
 * passed by.
 */
import type { ForwardOptions } from '../cache/core.ts'
import { HeaderList, type Reply } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { requestFields, responseFields, shieldEntry } from '../http/hygiene.ts'
import type { Passage } from '../passage.ts'
import type { UpstreamReply } from '../ports.ts'
import type { CompiledShield } from '../snapshot.ts'
import { Attempts, AttemptsFailed, type Place } from '../upstream/attempt.ts'
import { isAvailable } from '../upstream/pool.ts'
import { forwardingIdentity, outgoingTrace } from './outgoing.ts'
import { isDrained, maySee } from './steering-request.ts'

/** What a gateway answers of its own when it cannot serve; an origin's own answer came through a cache. */
const REFUSALS: ReadonlySet<number> = new Set([429, 502, 503, 504, 508])
/** What is the shield's own exchange's, not the response's. */
const OF_THE_HOP: ReadonlySet<string> = new Set(['x-request-id', 'ratelimit', 'ratelimit-policy'])

/**
 * @returns undefined when the origin is to be asked
 * @throws AttemptsFailed when whoever asked has left
 */
export async function throughShield(
  x: Passage,
  services: Services,
  shield: CompiledShield,
  options: ForwardOptions,
): Promise<Reply | undefined> {
  const count = (outcome: string) => services.telemetry.metrics.cacheShield.add([outcome])
  const places = usable(x, services, shield)
  if (places.length === 0) {
    count('down')
    return undefined
  }
  const { platform } = services
  const { snapshot } = x
  const { identity } = snapshot
  const received = new HeaderList(options.headers)
  // The shield trusts this gateway: what clients say of their identity must not come to it from here.
  const sent =
    identity === undefined
      ? received
      : new HeaderList(identity.originFields(x, x.plan?.auth, received))
  const attempts = new Attempts(
    places,
    {
      method: options.method,
      path: options.pathAndQuery,
      received,
      fields: (host) =>
        requestFields(
          sent,
          {
            ...forwardingIdentity(x),
            loopEntry: shieldEntry(snapshot.pseudonym, snapshot.shieldMark),
          },
          host ?? options.authority,
        ),
      body: null,
      clientKey: options.pathAndQuery,
      interim: x.interim,
      trace: outgoingTrace(x, services),
    },
    shield.retry,
    {},
    {
      upstream: platform.upstream,
      clock: platform.clock,
      random: platform.random,
      health: snapshot.health,
      meter: services.telemetry.metrics.upstream,
    },
  )
  const { control } = options
  control.onAbort = attempts
  if (control.aborted) attempts.cancel()
  try {
    const reply = await attempts.run()
    const answer = answerOf(reply)
    count(answer === undefined ? 'refused' : 'answered')
    return answer
  } catch (error) {
    if (!(error instanceof AttemptsFailed) || control.aborted) throw error
    count('failed')
    return undefined
  } finally {
    control.onAbort = undefined
    x.attempts = [...x.attempts, ...attempts.log]
  }
}

/** Where the client's residency allows it, and something is well: nothing is tried on a last resort. */
function usable(x: Passage, { platform }: Services, shield: CompiledShield): readonly Place[] {
  const { snapshot } = x
  const { health } = snapshot
  const now = platform.clock.monotonic()
  health.advance(now)
  return shield.places.filter(
    ({ region, pool }) =>
      !isDrained(snapshot, region) &&
      (!shield.isBound || maySee(x, region)) &&
      pool.origins.some((one) => isAvailable(one, health, now)),
  )
}

/** @returns undefined for a refusal of the shield's own */
function answerOf(reply: UpstreamReply): Reply | undefined {
  const headers = responseFields(reply.headers)
  if (REFUSALS.has(reply.status) && !new HeaderList(headers).has('cache-status')) {
    if (reply.body !== null && !(reply.body instanceof Uint8Array)) reply.body.cancel()
    return undefined
  }
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    if (!OF_THE_HOP.has(name)) kept.push(name, headers[i + 1] as string)
  }
  return { status: reply.status, headers: kept, body: reply.body }
}
