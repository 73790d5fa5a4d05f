/** The Uplink port on Node: posts JSON to a collector, compressed away from the main thread. */
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { Agent, request } from 'undici'
import type { Uplink } from '../../ports.ts'

const compress = promisify(gzip)
/** Answers are read to their end, so that the connection can be used again, but not kept beyond this. */
const KEPT_BYTES = 16 * 1024
const MOST_BYTES = 1024 * 1024

export function nodeUplink(coding: 'gzip' | 'none'): Uplink {
  const agent = new Agent({ connections: 4 })
  return {
    async post(url, headers, body, timeoutMs) {
      const isCompressed = coding === 'gzip'
      const bytes = isCompressed ? await compress(body) : Buffer.from(body)
      const answer = await request(url, {
        dispatcher: agent,
        method: 'POST',
        headers: {
          'user-agent': 'meridian',
          ...headers,
          'content-type': 'application/json',
          ...(isCompressed ? { 'content-encoding': 'gzip' } : {}),
        },
        body: bytes,
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        signal: AbortSignal.timeout(timeoutMs),
      })
      let text = ''
      let total = 0
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        total += chunk.length
        if (total > MOST_BYTES) throw new RangeError('the answer of the collector has no end')
        if (text.length < KEPT_BYTES) text += chunk.toString('latin1')
      }
      const after = answer.headers['retry-after']
      return {
        status: answer.statusCode,
        retryAfter: Array.isArray(after) ? after[0] : after,
        body: text,
      }
    },
    close: () => agent.destroy(),
  }
}
