/**
 * What failures of `fetch` mean on Workers. Errors carry no code, so their fixed messages are compared; an
 * unknown one counts as "the request may have arrived". Cloudflare answers for an origin that it cannot
 * reach with statuses of its own, which nothing but Cloudflare sends.
 */
import type { UpstreamErrorClass } from '../../ports.ts'

/** 521 refused, 522 no connection in time, 523 unreachable, 525 and 526 TLS, 530 no address. */
const NOT_CONNECTED: ReadonlySet<number> = new Set([521, 522, 523, 525, 526, 530])

export function edgeFailure(response: Response): UpstreamErrorClass | undefined {
  const { status } = response
  if (status < 520 || status > 530 || response.headers.get('server') !== 'cloudflare') {
    return undefined
  }
  if (NOT_CONNECTED.has(status)) return 'connect'
  return status === 524 ? 'timeout' : status === 520 ? 'protocol' : undefined
}

export function classifyEdgeError(error: unknown): UpstreamErrorClass | undefined {
  const message = error instanceof Error ? error.message : ''
  if (/^(connection refused|dns lookup failed|tls handshake failed)/i.test(message)) {
    return 'connect'
  }
  return undefined
}
