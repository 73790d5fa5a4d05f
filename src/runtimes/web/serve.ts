/**
 * The plain entry: `fetch(request, info)` of a gateway. Synchronous when the gateway is: a cached hit is a
 * `Response`, not a promise of one.
 */
import type { Reply, TlsInfo } from '../../exchange.ts'
import type { Gateway, Passage, Peer } from '../../gateway.ts'
import type { PlatformPlace } from '../../geo/locate.ts'
import type { Vetted } from '../../http/front.ts'
import { parseIp } from '../../http/ip.ts'
import { problem } from '../../http/problem.ts'
import { rawRequest } from './raw-request.ts'
import { WebBody } from './request-body.ts'
import { type RespondOptions, toResponse } from './respond.ts'

/** What the platform knows of a request besides the request. */
export interface RequestInfo {
  /** Address of the direct peer, as the platform tells it; never from a header that a client can send. */
  readonly ip?: string | undefined
  readonly port?: number | undefined
  readonly tls?: TlsInfo | null | undefined
  /** What the platform says of the client's place. */
  readonly place?: PlatformPlace | undefined
}

export interface ServeOptions extends RespondOptions {
  /** Told of the exchange before anything is decided about it. */
  readonly onAdmitted?: ((x: Passage) => void) | undefined
}

/** How much of a request body is kept for another attempt. */
const REPLAY_BYTES = 64 * 1024
const NO_INFO: RequestInfo = Object.freeze({})

/** One request while it is served. */
interface Serving {
  readonly gateway: Gateway
  readonly request: Request
  body: WebBody | null
}

/** Serves one request, and records it once its answer has left or could not. */
export function serve(
  gateway: Gateway,
  request: Request,
  info: RequestInfo = NO_INFO,
  options: ServeOptions = {},
): Response | Promise<Response> {
  const serving: Serving = { gateway, request, body: null }
  const x = gateway.admit(rawRequest(request), peerOf(info), serving, openBody)
  options.onAdmitted?.(x)
  const reply = gateway.handle(x)
  if (!(reply instanceof Promise)) return respond(x, serving, reply, options)
  // The client may leave while we wait; where the platform tells, what is under way is stopped.
  const { signal } = request
  const leave = (): void => x.abort()
  signal.addEventListener('abort', leave)
  return reply.then((late) => {
    signal.removeEventListener('abort', leave)
    return respond(x, serving, late, options)
  })
}

function peerOf(info: RequestInfo): Peer {
  const peer = {
    ip: info.ip === undefined ? undefined : parseIp(info.ip),
    port: info.port ?? 0,
    tls: info.tls ?? null,
  }
  return info.place === undefined ? peer : { ...peer, place: info.place }
}

function openBody(serving: Serving, vetted: Vetted): WebBody | null {
  const { body } = serving.request
  if (body === null) return null
  const stated = vetted.headers.get('content-length')
  // `vet` has refused any other form.
  const length = stated === undefined ? null : Number(stated)
  if (length === 0) return null
  const { snapshot } = serving.gateway
  serving.body = new WebBody(body, {
    length,
    maxBytes: snapshot.front.maxBodyBytes,
    replayBytes: REPLAY_BYTES,
    idleMs: snapshot.config.listen.timeouts.body,
  })
  return serving.body
}

function respond(x: Passage, serving: Serving, reply: Reply, options: RespondOptions): Response {
  let answer = reply
  if (reply.status < 200 || reply.status > 599) {
    if (reply.tunnel === undefined) answer = unspeakable(x, reply)
  }
  return toResponse(answer, x.method === 'HEAD', options, (bytesOut, complete) => {
    if (!complete) x.abort()
    serving.body?.discard()
    serving.gateway.finish(x, answer, {
      bytesIn: serving.body?.receivedBytes ?? 0,
      bytesOut,
      complete,
    })
  })
}

/** A status that no `Response` can have. */
function unspeakable(x: Passage, reply: Reply): Reply {
  const { body } = reply
  if (body !== null && !(body instanceof Uint8Array)) body.cancel()
  x.outcome = 'origin-protocol'
  return problem('origin-protocol', x.id)
}
