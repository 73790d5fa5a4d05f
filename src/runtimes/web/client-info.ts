/**
 * Who asks, in a Hono app: what the server under it knows of the connection. Only what a server puts there
 * itself is read, never a field of the request, except Cloudflare's where `request.cf` vouches for it.
 */
import type { Context } from 'hono'
import type { PlatformPlace } from '../../geo/locate.ts'
import type { RequestInfo } from './serve.ts'

/** Servers hand themselves over in `c.env`, each in its own way. */
interface ServerEnv {
  /** @hono/node-server. */
  readonly incoming?: {
    readonly socket?: { readonly remoteAddress?: string; readonly remotePort?: number }
  }
  /** Deno.serve's second argument. */
  readonly remoteAddr?: { readonly hostname?: string; readonly port?: number }
  /** Bun's server. */
  requestIP?(request: Request): { readonly address: string; readonly port: number } | null
}

export function clientInfo(c: Context): RequestInfo {
  const raw = c.req.raw as Request & { cf?: PlatformPlace & { colo?: unknown } }
  if (typeof raw.cf?.colo === 'string') {
    const ip = raw.headers.get('cf-connecting-ip')
    return ip === null ? { place: raw.cf } : { ip, place: raw.cf }
  }
  const env: ServerEnv = typeof c.env === 'object' && c.env !== null ? (c.env as ServerEnv) : {}
  const socket = env.incoming?.socket
  if (socket?.remoteAddress !== undefined) {
    return { ip: socket.remoteAddress, port: socket.remotePort }
  }
  if (env.remoteAddr?.hostname !== undefined) {
    return { ip: env.remoteAddr.hostname, port: env.remoteAddr.port }
  }
  const bun = env.requestIP?.(raw)
  return bun === undefined || bun === null ? {} : { ip: bun.address, port: bun.port }
}
