/** After the path: what every answer gets, whoever made it. */
import { HeaderList, type Reply } from '../exchange.ts'
import { addRateLimitFields } from '../limits/fields.ts'
import type { Passage } from '../passage.ts'
import { debugHeaders } from '../telemetry/debug-headers.ts'
import { blocked } from './inspect.ts'

export function settle(x: Passage, answer: Reply): Reply {
  const reply = inspectResponse(x, answer)
  const { headers } = reply
  const { snapshot, limitResults, plan } = x
  if (limitResults !== undefined) {
    addRateLimitFields(headers, limitResults)
    if (plan !== undefined) {
      const list = plan.limits.response.length > 0 ? new HeaderList(headers) : undefined
      snapshot.limits.settle(x, plan.limits, limitResults, reply.status, list)
    }
  }
  plan?.responseFields?.(x, headers)
  if (x.replyFields !== undefined) headers.push(...x.replyFields)
  headers.push('via', snapshot.via, 'x-request-id', x.id)
  if (snapshot.debug.allows(x)) headers.push(...debugHeaders(x))
  if (reply.body instanceof Uint8Array) ensureLength(reply, reply.body.length)
  return reply
}

/** The WAF's look at the response head; only at what an origin or the cache answered. */
function inspectResponse(x: Passage, reply: Reply): Reply {
  const { waf } = x
  if (waf === undefined || x.outcome !== 'served' || !waf.wantsResponse) return reply
  const block = waf.response(reply.status, new HeaderList(reply.headers))
  x.verdicts = waf.verdicts
  if (block === undefined) return reply
  const { body } = reply
  if (body !== null && !(body instanceof Uint8Array)) body.cancel()
  return blocked(x, block)
}

/** Bytes in memory have a known length; without the field they would go out chunked. */
function ensureLength(reply: Reply, length: number): void {
  const { headers } = reply
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    if (name.length === 14 && name.toLowerCase() === 'content-length') return
  }
  headers.push('content-length', String(length))
}
