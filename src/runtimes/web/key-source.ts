/** The KeySource port over `fetch`: key sets and introspection answers, small and in time. */
import type { KeySource } from '../../ports.ts'
import { concat } from './streams.ts'

const TIMEOUT_MS = 5000
const MAX_BYTES = 1024 * 1024

/** @param send `fetch`, or something like it */
export function fetchKeySource(send: typeof fetch): KeySource {
  return {
    async fetch(url, init = {}) {
      const response = await send(url, {
        method: init.method === 'POST' ? 'POST' : 'GET',
        headers: { accept: 'application/json', ...init.headers },
        ...(init.body === undefined ? {} : { body: init.body }),
        // A key set that moved is a config to correct; following would trust another host.
        redirect: 'manual',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      })
      const chunks: Uint8Array[] = []
      let total = 0
      const reader = response.body?.getReader()
      for (;;) {
        const piece = await reader?.read()
        if (piece === undefined || piece.done) break
        total += piece.value.byteLength
        if (total > MAX_BYTES) {
          await reader?.cancel()
          throw new RangeError(`the answer of ${url} is longer than ${MAX_BYTES} bytes`)
        }
        chunks.push(piece.value)
      }
      const headers: Record<string, string> = {}
      response.headers.forEach((value, name) => {
        headers[name] = value
      })
      return { status: response.status, headers, body: concat(chunks, total) }
    },
  }
}
