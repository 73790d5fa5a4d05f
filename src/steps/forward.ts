/** Step 10: the origin answers, or another one does, or the failure is answered. */
import {
  type BodySource,
  type Exchange,
  HeaderList,
  type Reply,
  type StepResult,
} from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { requestFields, responseFields } from '../http/hygiene.ts'
import type { Passage } from '../passage.ts'
import type { UpstreamReply } from '../ports.ts'
import { Attempts, AttemptsFailed } from '../upstream/attempt.ts'
import type { Comparison } from '../upstream/mirror.ts'
import { admitToOrigin } from './admission.ts'
import { beginMirror, leaveRollout } from './arms.ts'
import { forwardingIdentity, outgoingTrace } from './outgoing.ts'

/** What the cache asks of the origin, when it is the cache that asks. */
export interface OriginRequest {
  readonly method: string
  /** Host to send. */
  readonly authority: string
  readonly pathAndQuery: string
  readonly headers: HeaderList
  readonly withBody: boolean
  /** Whose end stops the attempts. */
  readonly control: Pick<Exchange, 'aborted' | 'onAbort'>
}

export function forward(x: Passage, services: Services): StepResult {
  return fetchOrigin(x, services, undefined)
}

/**
 * Sends the request to an origin.
 * @param asked  undefined: the client's own request as it is
 * @throws AttemptsFailed when none answered or may be asked, RequestBodyError when the client's body failed
 */
export async function fetchOrigin(
  x: Passage,
  services: Services,
  asked: OriginRequest | undefined,
): Promise<Reply> {
  const { plan, snapshot } = x
  if (plan === undefined || x.places.length === 0) throw new AttemptsFailed('no-healthy-origin')
  const body = asked?.withBody === false ? null : x.body
  if (body !== null) await holdShort(body, plan.retry.bodyLimit)
  const { platform } = services
  const pathAndQuery = asked?.pathAndQuery ?? x.target.pathAndQuery
  const attempts = new Attempts(
    x.places,
    {
      method: asked?.method ?? x.method,
      path: plan.targetOf === undefined ? pathAndQuery : plan.targetOf(x, pathAndQuery),
      received: asked?.headers ?? x.headers,
      fields: (host) => outgoingFields(x, host, asked),
      body,
      clientKey: x.client.ip?.text ?? '',
      timeLeftMs: x.client.viaTrustedProxy ? timeLeft(x.headers) : undefined,
      upgrade: x.wantsWebSocket ? 'websocket' : undefined,
      interim: x.interim,
      trace: outgoingTrace(x, services),
    },
    plan.retry,
    plan.timeouts,
    {
      upstream: platform.upstream,
      clock: platform.clock,
      random: platform.random,
      health: snapshot.health,
      hold: snapshot.hold,
      meter: services.telemetry.metrics.upstream,
    },
  )
  const admitted = admitToOrigin(x, services)
  const seat = admitted instanceof Promise ? await admitted : admitted
  const control = asked?.control ?? x
  control.onAbort = attempts
  if (control.aborted) attempts.cancel()
  const mirrored =
    plan.mirror === undefined ? undefined : mirrorOf(x, services, asked, pathAndQuery)
  const { load } = snapshot.steering
  const region = x.decision === undefined ? undefined : snapshot.regions.indexOf(x.decision.region)
  if (region !== undefined) load.begin(region)
  try {
    const reply = await attempts.run()
    if (x.isDetached) settleDetached(x, reply)
    return clientReply(mirrored === undefined ? reply : mirrored.mainAnswered(reply))
  } catch (error) {
    mirrored?.mainFailed()
    throw x.unavailable !== undefined && error instanceof AttemptsFailed && !control.aborted
      ? new AttemptsFailed(x.unavailable, { cause: error })
      : error
  } finally {
    seat?.leave(attempts.log)
    if (x.isDetached && x.limitResults !== undefined) snapshot.limits.release(x.limitResults)
    if (region !== undefined) load.end(region)
    control.onAbort = undefined
    if (x.arm !== undefined) leaveRollout(x, attempts.log, services)
    x.attempts = x.attempts.length === 0 ? attempts.log : [...x.attempts, ...attempts.log]
  }
}

function mirrorOf(
  x: Passage,
  services: Services,
  asked: OriginRequest | undefined,
  pathAndQuery: string,
): Comparison | undefined {
  const path = x.plan?.targetOf === undefined ? pathAndQuery : x.plan.targetOf(x, pathAndQuery)
  const request = {
    method: asked?.method ?? x.method,
    path,
    fields: (host: string | undefined) => outgoingFields(x, host, asked),
    withBody: asked?.withBody !== false,
  }
  return beginMirror(x, request, services)
}

/** What a trusted proxy says of the time that its own client has left, ms. */
function timeLeft(headers: HeaderList): number | undefined {
  const text = headers.get('x-request-timeout-ms')
  return text !== undefined && /^[0-9]{1,9}$/.test(text) ? Number(text) : undefined
}

/** What no client asks for never comes to `settle`. */
function settleDetached(x: Passage, { status, headers }: UpstreamReply): void {
  if (x.limitResults === undefined || x.plan === undefined) return
  const list = x.plan.limits.readsCost ? new HeaderList(headers) : undefined
  x.snapshot.limits.correct(x.limitResults, status, list)
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
  host: string | undefined,
  asked: OriginRequest | undefined,
): string[] {
  const { identity } = x.snapshot
  const own = asked?.headers ?? x.headers
  const fields = requestFields(
    identity === undefined ? own : new HeaderList(identity.originFields(x, x.plan?.auth, own)),
    forwardingIdentity(x),
    host ?? asked?.authority ?? x.authority,
  )
  x.plan?.requestFields?.(x, fields)
  return fields
}

function clientReply(reply: UpstreamReply): Reply {
  const headers = responseFields(reply.headers)
  return reply.tunnel === undefined
    ? { status: reply.status, headers, body: reply.body }
    : { status: reply.status, headers, body: reply.body, tunnel: reply.tunnel }
}
