/** From a reply to a Web `Response`. */
import type { Reply } from '../../exchange.ts'
import { type OnDelivered, readableFrom } from './streams.ts'

export interface RespondOptions {
  /** A stream with a declared length, where the runtime has one: a cut body is then seen as such. */
  readonly fixedLength?:
    | ((stream: ReadableStream<Uint8Array>, length: number) => ReadableStream<Uint8Array>)
    | undefined
  /** The runtime would encode bodies by Content-Encoding unless it is told not to (Workers). */
  readonly encodesBodies?: boolean | undefined
}

/** Statuses whose response has no body (Fetch §2.2.3). */
const NULL_BODY: ReadonlySet<number> = new Set([101, 204, 205, 304])

/**
 * @param onDelivered how the delivery went; at once for what has no stream, since then nobody tells
 */
export function toResponse(
  reply: Reply,
  isHead: boolean,
  options: RespondOptions,
  onDelivered: OnDelivered,
): Response {
  const { status, body } = reply
  const init: ResponseInit & { webSocket?: object; encodeBody?: 'manual' } = {
    status,
    headers: headersOf(reply.headers),
  }
  if (options.encodesBodies === true) init.encodeBody = 'manual'
  if (reply.tunnel !== undefined) {
    onDelivered(0, true)
    init.webSocket = reply.tunnel
    return new Response(null, init)
  }
  if (body === null || isHead || NULL_BODY.has(status)) {
    if (body !== null && !(body instanceof Uint8Array)) body.cancel()
    onDelivered(0, true)
    return new Response(null, init)
  }
  if (body instanceof Uint8Array) {
    onDelivered(body.byteLength, true)
    // Web types want an array over its own buffer; every runtime takes any.
    return new Response(body as BodyInit, init)
  }
  const stream = readableFrom(body, onDelivered)
  return new Response(
    body.length !== null && options.fixedLength !== undefined
      ? options.fixedLength(stream, body.length)
      : stream,
    init,
  )
}

function headersOf(flat: readonly string[]): Headers {
  const headers = new Headers()
  for (let i = 0; i < flat.length; i += 2) headers.append(flat[i] as string, flat[i + 1] as string)
  return headers
}
