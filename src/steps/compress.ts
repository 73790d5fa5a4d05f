/** Content codings on the way to the client: kept ones of stored bodies, others made while they are sent. */
import { CodedBodies, describeCoding } from '../cache/compression.ts'
import type { Reply } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import type { Passage } from '../passage.ts'
import type { Compressor, ContentCoding } from '../ports.ts'

const kept = new WeakMap<Services, CodedBodies>()

/** Never rejects: what cannot be encoded goes out as it is. */
export function compress(x: Passage, reply: Reply, services: Services): Reply | Promise<Reply> {
  const compression = x.plan?.compression
  const { compressor } = services.platform
  if (compression === undefined || compressor === undefined || x.outcome !== 'served') return reply
  const outcome = x.cacheStatus?.outcome
  const isFromCache = outcome === 'hit' || outcome === 'stale' || outcome === 'revalidated'
  const { body } = reply
  const coding = compression.choose({ method: x.method, headers: x.headers, isFromCache }, reply)
  if (coding === undefined || body === null) return reply
  const { level } = compression
  const { metrics } = services.telemetry
  if (!(body instanceof Uint8Array)) {
    describeCoding(reply.headers, coding)
    metrics.compressed.add([coding, 'stream'])
    reply.body = compressor.stream(coding, level, body)
    return reply
  }
  const bytes = isFromCache
    ? bodiesOf(services, x).of(body, `${coding} ${level}`, () => {
        metrics.compressed.add([coding, 'made'])
        return compressor.bytes(coding, level, body)
      })
    : once(compressor, coding, level, body, services)
  if (!(bytes instanceof Promise)) {
    metrics.compressed.add([coding, 'kept'])
    return encoded(reply, coding, body, bytes, services)
  }
  return bytes.then(
    (made) => encoded(reply, coding, body, made, services),
    (error: unknown) => {
      services.platform.log.error('a response could not be encoded', { coding, error: `${error}` })
      return reply
    },
  )
}

function once(
  compressor: Compressor,
  coding: ContentCoding,
  level: number,
  body: Uint8Array,
  services: Services,
): Promise<Uint8Array> {
  services.telemetry.metrics.compressed.add([coding, 'made'])
  return compressor.bytes(coding, level, body)
}

function encoded(
  reply: Reply,
  coding: ContentCoding,
  plain: Uint8Array,
  bytes: Uint8Array,
  services: Services,
): Reply {
  describeCoding(reply.headers, coding)
  reply.body = bytes
  const saved = Math.max(0, plain.byteLength - bytes.byteLength)
  services.telemetry.metrics.compressionSaved.add([coding], saved)
  return reply
}

/** An eighth of the cache's memory, beside it. */
function bodiesOf(services: Services, x: Passage): CodedBodies {
  let bodies = kept.get(services)
  if (bodies === undefined) {
    bodies = new CodedBodies(x.snapshot.config.cache.memory / 8)
    kept.set(services, bodies)
  }
  return bodies
}
