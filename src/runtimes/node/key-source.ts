/** The KeySource port on Node: key sets and introspection answers, small and in time. */
import { request } from 'undici'
import type { KeySource } from '../../ports.ts'

const TIMEOUT_MS = 5000
const MAX_BYTES = 1024 * 1024

export const nodeKeySource: KeySource = {
  async fetch(url, init = {}) {
    const { statusCode, headers, body } = await request(url, {
      method: init.method === 'POST' ? 'POST' : 'GET',
      headers: { accept: 'application/json', ...init.headers },
      ...(init.body === undefined ? {} : { body: init.body }),
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    const chunks: Buffer[] = []
    let total = 0
    for await (const chunk of body as AsyncIterable<Buffer>) {
      total += chunk.length
      if (total > MAX_BYTES) {
        body.destroy()
        throw new RangeError(`the answer of ${new URL(url).host} is longer than ${MAX_BYTES} bytes`)
      }
      chunks.push(chunk)
    }
    const flat: Record<string, string> = {}
    for (const [name, value] of Object.entries(headers)) {
      if (value !== undefined) flat[name] = Array.isArray(value) ? value.join(', ') : value
    }
    return { status: statusCode, headers: flat, body: Buffer.concat(chunks, total) }
  },
}
