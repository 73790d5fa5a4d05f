/** One health check over `fetch`. */
import type { ProbeResult } from '../../health/active.ts'
import { judgeHttpProbe, type ProbeTarget } from '../../health/probe.ts'

/** @param send `fetch`, or something like it */
export function fetchProber(
  send: (url: string, init: RequestInit) => Promise<Response>,
): (target: ProbeTarget) => Promise<ProbeResult> {
  return async ({ origin, health }) => {
    const host = origin.hostname.includes(':') ? `[${origin.hostname}]` : origin.hostname
    try {
      const response = await send(`${origin.scheme}://${host}:${origin.port}${health.path}`, {
        method: health.method,
        headers: { 'user-agent': 'meridian-health-check', 'accept-encoding': 'identity' },
        redirect: 'manual',
        signal: AbortSignal.timeout(health.timeout),
      })
      const body =
        health.body === undefined ? undefined : await start(response.body, health.bodyLimit)
      await response.body?.cancel().catch(() => {})
      const state = response.headers.get('x-meridian-state') ?? undefined
      return judgeHttpProbe(health, response.status, body, state)
    } catch (error) {
      return { ok: false, detail: error instanceof Error ? error.message : String(error) }
    }
  }
}

/** The first `limit` bytes as text. */
async function start(body: ReadableStream<Uint8Array> | null, limit: number): Promise<string> {
  if (body === null) return ''
  const reader = body.getReader()
  let text = ''
  const latin1 = new TextDecoder('latin1')
  try {
    while (text.length < limit) {
      const piece = await reader.read()
      if (piece.done) break
      text += latin1.decode(piece.value, { stream: true })
    }
    return text.slice(0, limit)
  } finally {
    reader.releaseLock()
  }
}
