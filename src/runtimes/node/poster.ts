/** The Poster port on Node: one POST, its status and nothing else of the answer. */
import { request } from 'undici'
import type { Poster } from '../../ports.ts'

const TIMEOUT_MS = 10_000

export const nodePoster: Poster = async (url, headers, body) => {
  const { statusCode, body: answer } = await request(url, {
    method: 'POST',
    headers: [...headers, 'user-agent', 'meridian'],
    body,
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  await answer.dump({ limit: 16 * 1024 })
  return statusCode
}
