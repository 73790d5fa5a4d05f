/** After the path: what every answer gets, whoever made it. */
import type { Reply } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { addRateLimitFields } from '../limits/fields.ts'
import type { Passage } from '../passage.ts'
import { debugHeaders } from '../telemetry/debug-headers.ts'

export function settle(x: Passage, reply: Reply, services: Services): Reply {
  void services
  const { headers } = reply
  const { snapshot, limitResults, plan } = x
  if (limitResults !== undefined) {
    addRateLimitFields(headers, limitResults)
    if (plan !== undefined) {
      snapshot.limits.settle(x, plan.limits, limitResults, reply.status, undefined)
    }
  }
  plan?.responseFields?.(x, headers)
  if (x.replyFields !== undefined) headers.push(...x.replyFields)
  headers.push('via', snapshot.via, 'x-request-id', x.id)
  if (snapshot.debug.allows(x)) headers.push(...debugHeaders(x))
  if (reply.body instanceof Uint8Array) ensureLength(reply, reply.body.length)
  return reply
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
