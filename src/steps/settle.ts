/** After the path: what every answer gets, whoever made it. */
import { HeaderList, type Reply } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { addRateLimitFields } from '../limits/fields.ts'
import type { LimitResult } from '../limits/result.ts'
import type { Passage } from '../passage.ts'
import type { CompiledRoute } from '../snapshot.ts'
import { debugHeaders } from '../telemetry/debug-headers.ts'
import { compress } from './compress.ts'
import { inspectResponse } from './inspect-response.ts'
import { pace } from './pace.ts'
import { penalize } from './penalty.ts'

const NO_RESULTS: readonly LimitResult[] = []

/** As `settle`, after the WAF has seen what an origin or the cache answered. */
export function conclude(x: Passage, answer: Reply, services: Services): Reply | Promise<Reply> {
  const reply = inspectResponse(x, answer, services)
  if (reply instanceof Promise) return reply.then((seen) => encodeAndSettle(x, seen, services))
  return encodeAndSettle(x, reply, services)
}

function encodeAndSettle(x: Passage, seen: Reply, services: Services): Reply | Promise<Reply> {
  if (x.plan?.compression === undefined) return settle(x, seen, services)
  const reply = compress(x, seen, services)
  return reply instanceof Promise
    ? reply.then((coded) => settle(x, coded, services))
    : settle(x, reply, services)
}

export function settle(x: Passage, reply: Reply, services: Services): Reply {
  const { headers } = reply
  const { snapshot, plan } = x
  if (plan !== undefined) settleLimits(x, plan, reply)
  if (snapshot.penaltyBox !== undefined) penalize(x, reply.status, services)
  if (!x.isOwnPage) plan?.responseFields?.(x, headers)
  if (x.replyFields !== undefined) headers.push(...x.replyFields)
  headers.push('via', snapshot.via, 'x-request-id', x.id)
  if (snapshot.debug.allows(x)) headers.push(...debugHeaders(x))
  if (snapshot.serverTiming !== undefined) {
    const now = services.platform.clock.monotonic()
    const timing = snapshot.serverTiming.value(x, now - x.monotonicStart)
    if (timing !== '') headers.push('server-timing', timing)
  }
  if (reply.body instanceof Uint8Array) ensureLength(reply, reply.body.length)
  if (plan !== undefined && plan.limits.bandwidth.length > 0) pace(x, reply, services)
  return reply
}

/** What was denied has its fields already, and is counted by no limit but those that let it pass. */
function settleLimits(x: Passage, { limits }: CompiledRoute, reply: Reply): void {
  const { limitResults, isLimited } = x
  if (limitResults === undefined && (isLimited || limits.response.length === 0)) return
  const list = limits.readsCost ? new HeaderList(reply.headers) : undefined
  x.snapshot.limits.settle(x, limits, limitResults ?? NO_RESULTS, reply.status, list)
  if (limitResults !== undefined && !isLimited) addRateLimitFields(reply.headers, limitResults)
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
