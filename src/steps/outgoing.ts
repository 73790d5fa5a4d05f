/** What goes to the next hop besides the request: who forwards it, and its place in the trace. */
import type { Services } from '../gateway.ts'
import type { ForwardingIdentity } from '../http/hygiene.ts'
import type { Passage } from '../passage.ts'
import { traceparent } from '../telemetry/trace-context.ts'
import type { OutgoingTrace } from '../upstream/attempt.ts'
import { announcedResidency } from './steering-request.ts'

export function forwardingIdentity(x: Passage): ForwardingIdentity {
  return {
    peer: x.client.peer?.text,
    viaTrustedProxy: x.client.viaTrustedProxy,
    scheme: x.scheme,
    authority: x.authority,
    requestId: x.id,
    pseudonym: x.snapshot.pseudonym,
    receivedVersion: x.httpVersion,
    residency: announcedResidency(x),
    isTraced: x.trace !== undefined && x.trace.spanId !== '',
  }
}

/** Undefined when the gateway has no span in the trace, or there is none. */
export function outgoingTrace(x: Passage, { telemetry }: Services): OutgoingTrace | undefined {
  const { trace } = x
  if (trace === undefined || trace.spanId === '') return undefined
  return {
    // Attempts in the background are in no record: what they call hangs below the request itself.
    span: () => (x.isDetached ? trace.spanId : telemetry.tracer.span()),
    parent: (spanId) => traceparent(trace, spanId),
    state: trace.state,
  }
}
