/** Content codings on the way to the client: kept ones of stored bodies, others made while they are sent. */
import { codedStatus } from '../cache/cache-status.ts'
import { describeCoding } from '../cache/compression.ts'
import type { Reply } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import type { Passage } from '../passage.ts'
import type { ContentCoding } from '../ports.ts'

/** Never rejects: what cannot be encoded goes out as it is. */
export function compress(x: Passage, reply: Reply, services: Services): Reply | Promise<Reply> {
  const compression = x.plan?.compression
  const { compressor } = services.platform
  if (compression === undefined || compressor === undefined || x.outcome !== 'served') return reply
  // Another gateway stores it as the origin sent it.
  if (x.isFromEdge) return reply
  const outcome = x.cacheStatus?.outcome
  const isFromCache = outcome === 'hit' || outcome === 'stale' || outcome === 'revalidated'
  const { body } = reply
  const coding = compression.choose({ method: x.method, headers: x.headers, isFromCache }, reply)
  if (coding === undefined || body === null) return reply
  const { level } = compression
  const { metrics } = services.telemetry
  if (!(body instanceof Uint8Array)) {
    describe(x, reply, coding)
    metrics.compressed.add([coding, 'stream'])
    reply.body = compressor.stream(coding, level, body)
    return reply
  }
  const make = (): Promise<Uint8Array> => {
    metrics.compressed.add([coding, 'made'])
    return compressor.bytes(coding, level, body)
  }
  const { served } = x
  const bytes = served?.body === body ? served.coded(`${coding} ${level}`, make) : make()
  if (!(bytes instanceof Promise)) {
    metrics.compressed.add([coding, 'kept'])
    return encoded(x, reply, coding, bytes, services)
  }
  return bytes.then(
    (made) => encoded(x, reply, coding, made, services),
    (error: unknown) => {
      services.platform.log.error('a response could not be encoded', { coding, error: `${error}` })
      return reply
    },
  )
}

function encoded(
  x: Passage,
  reply: Reply,
  coding: ContentCoding,
  bytes: Uint8Array,
  services: Services,
): Reply {
  const plain = (reply.body as Uint8Array).byteLength
  describe(x, reply, coding)
  reply.body = bytes
  const saved = Math.max(0, plain - bytes.byteLength)
  services.telemetry.metrics.compressionSaved.add([coding], saved)
  return reply
}

/** In the reply's fields, and in what the cache says of it. */
function describe(x: Passage, reply: Reply, coding: ContentCoding): void {
  describeCoding(reply.headers, coding)
  if (x.cacheStatus !== undefined) x.cacheStatus = codedStatus(reply.headers, x.cacheStatus, coding)
}
