/** Step 10: the origin answers, or another one does, or the failure is answered. */
import type { BodySource, Reply, StepResult } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { requestFields, responseFields } from '../http/hygiene.ts'
import { problem } from '../http/problem.ts'
import type { Passage } from '../passage.ts'
import type { UpstreamReply } from '../ports.ts'
import { Attempts } from '../upstream/attempt.ts'

/** Changes that the cache makes to what is forwarded (conditional requests). */
export interface ForwardOverrides {
  /** Instead of the client's method. */
  readonly method?: string | undefined
  /** Lower-case names to leave out. */
  readonly drop?: ReadonlySet<string> | undefined
  /** Flat name, value list to add. */
  readonly add?: readonly string[] | undefined
  /** Keep going when the client leaves: the answer is wanted anyway. */
  readonly detached?: boolean | undefined
}

export function forward(x: Passage, services: Services): StepResult {
  return fetchOrigin(x, services, undefined)
}

/**
 * Sends the request to an origin.
 * @throws AttemptsFailed when none answered, RequestBodyError when the client's body failed
 */
export async function fetchOrigin(
  x: Passage,
  services: Services,
  overrides: ForwardOverrides | undefined,
): Promise<Reply> {
  const { plan, snapshot } = x
  if (plan === undefined || x.places.length === 0) {
    x.outcome = 'no-healthy-origin'
    return problem('no-healthy-origin', x.id)
  }
  if (x.body !== null) await holdShort(x.body, plan.retry.bodyLimit)
  const { platform } = services
  const fields = (host: string | undefined) => outgoingFields(x, host ?? x.authority, overrides)
  const attempts = new Attempts(
    x.places,
    {
      method: overrides?.method ?? x.method,
      path: plan.targetOf === undefined ? x.target.pathAndQuery : plan.targetOf(x),
      fields,
      body: x.body,
      clientKey: x.client.ip?.text ?? '',
      upgrade: x.wantsWebSocket ? 'websocket' : undefined,
      onInterim: x.onInterim,
    },
    plan.retry,
    plan.timeouts,
    {
      upstream: platform.upstream,
      clock: platform.clock,
      random: platform.random,
      health: snapshot.health,
    },
  )
  if (overrides?.detached !== true) {
    x.onAbort = () => attempts.cancel()
    if (x.aborted) attempts.cancel()
  }
  try {
    return clientReply(await attempts.run())
  } finally {
    x.onAbort = undefined
    x.attempts = x.attempts.length === 0 ? attempts.log : [...x.attempts, ...attempts.log]
  }
}

/**
 * A short body of known length is read before anything is sent: a cut one never reaches an origin as
 * complete, and another attempt can have it.
 */
function holdShort(body: BodySource, limit: number): unknown {
  return body.length !== null && body.length <= limit ? body.prefix(body.length) : undefined
}

function outgoingFields(
  x: Passage,
  host: string,
  overrides: ForwardOverrides | undefined,
): string[] {
  const fields = requestFields(
    x.headers,
    {
      peer: x.client.peer?.text,
      viaTrustedProxy: x.client.viaTrustedProxy,
      scheme: x.scheme,
      authority: x.authority,
      requestId: x.id,
      pseudonym: x.snapshot.pseudonym,
      receivedVersion: x.httpVersion,
    },
    host,
  )
  x.plan?.requestFields?.(x, fields)
  if (overrides === undefined) return fields
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string
    if (overrides.drop?.has(name.toLowerCase()) !== true) kept.push(name, fields[i + 1] as string)
  }
  if (overrides.add !== undefined) kept.push(...overrides.add)
  return kept
}

function clientReply(reply: UpstreamReply): Reply {
  const headers = responseFields(reply.headers)
  return reply.tunnel === undefined
    ? { status: reply.status, headers, body: reply.body }
    : { status: reply.status, headers, body: reply.body, tunnel: reply.tunnel }
}
