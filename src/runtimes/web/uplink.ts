/** The Uplink port by `fetch`. */
import type { Uplink } from '../../ports.ts'

const KEPT_CHARACTERS = 16 * 1024

async function compressed(body: string): Promise<ArrayBuffer> {
  const stream = new Blob([body]).stream().pipeThrough(new CompressionStream('gzip'))
  return new Response(stream).arrayBuffer()
}

export function fetchUplink(coding: 'gzip' | 'none'): Uplink {
  return {
    async post(url, headers, body, timeoutMs) {
      const isCompressed = coding === 'gzip'
      const answer = await fetch(url, {
        method: 'POST',
        redirect: 'manual',
        headers: {
          ...headers,
          'content-type': 'application/json',
          ...(isCompressed ? { 'content-encoding': 'gzip' } : {}),
        },
        body: isCompressed ? await compressed(body) : body,
        signal: AbortSignal.timeout(timeoutMs),
      })
      return {
        status: answer.status,
        retryAfter: answer.headers.get('retry-after') ?? undefined,
        body: (await answer.text()).slice(0, KEPT_CHARACTERS),
      }
    },
  }
}
