/**
 * The app itself as the origin: a stage in front of handlers is a gateway whose one upstream calls
 * `next()`. The request is found by its id, which the gateway sends along with each attempt.
 */
import type { Context, Next } from 'hono'
import type { Passage } from '../../gateway.ts'
import {
  type OriginAddress,
  type Upstream,
  type UpstreamCall,
  UpstreamError,
  type UpstreamReply,
  type UpstreamRequest,
} from '../../ports.ts'
import { collect, ReaderStream, readableFrom } from './streams.ts'

/** A request on its way through a stage. */
export interface AppCall {
  readonly context: Context
  readonly next: Next
  readonly exchange: Passage
  /** Told which origin, and so which region, was chosen. */
  readonly onChosen: (exchange: Passage, origin: OriginAddress) => void
  isUsed: boolean
}

/** Fields that speak of the way to an origin; handlers see what the client sent. */
const HOP_FIELDS: ReadonlySet<string> = new Set([
  'host',
  'via',
  'cdn-loop',
  'content-length',
  'x-request-id',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'forwarded',
])

export class AppUpstream implements Upstream {
  readonly #calls = new Map<string, AppCall>()

  begin(call: AppCall): void {
    this.#calls.set(call.exchange.id, call)
  }

  end(exchange: Passage): void {
    this.#calls.delete(exchange.id)
  }

  send(origin: OriginAddress, request: UpstreamRequest): UpstreamCall {
    const call = this.#calls.get(fieldOf(request.headers, 'x-request-id') ?? '')
    return { reply: answer(call, origin, request), cancel: () => {} }
  }
}

async function answer(
  call: AppCall | undefined,
  origin: OriginAddress,
  request: UpstreamRequest,
): Promise<UpstreamReply> {
  // Once for each request, and not for what goes on behind an answer: `next` is then over.
  if (call === undefined || call.isUsed) {
    throw new UpstreamError('connect', 'the handlers have run already')
  }
  call.isUsed = true
  const { context, next, exchange } = call
  call.onChosen(exchange, origin)
  context.req.raw = innerRequest(context.req.raw, request)
  await next()
  const { res } = context
  const headers: string[] = []
  let length: number | null = null
  res.headers.forEach((value, name) => {
    if (name === 'set-cookie') return
    if (name === 'content-length' && /^[0-9]{1,15}$/.test(value)) length = Number(value)
    headers.push(name, value)
  })
  for (const cookie of res.headers.getSetCookie()) headers.push('set-cookie', cookie)
  const { status, body } = res
  if (body === null || length === 0) return { status, headers, body: null }
  const stream = new ReaderStream(body, {
    length,
    idleMs: request.idleTimeoutMs,
    cut: (detail, cause) => new UpstreamError('truncated', detail, { cause }),
  })
  if (length !== null && length <= request.collectBytes) {
    return { status, headers, body: await collect(stream) }
  }
  return { status, headers, body: stream }
}

/** What handlers see: the client's request, with what the gateway took off, added or asked for. */
function innerRequest(outer: Request, request: UpstreamRequest): Request {
  const headers = new Headers()
  const { headers: flat, body } = request
  for (let i = 0; i < flat.length; i += 2) {
    const name = flat[i] as string
    if (!HOP_FIELDS.has(name.toLowerCase())) headers.append(name, flat[i + 1] as string)
  }
  for (const name of HOP_FIELDS) {
    const value = outer.headers.get(name)
    if (value !== null) headers.set(name, value)
  }
  const init: RequestInit & { duplex?: 'half' } = { method: request.method, headers }
  if (body !== null) {
    // Web types want an array over its own buffer; every runtime takes any.
    init.body = (body instanceof Uint8Array ? body : readableFrom(body)) as BodyInit
    init.duplex = 'half'
  }
  return new Request(outer.url, init)
}

function fieldOf(flat: readonly string[], wanted: string): string | undefined {
  for (let i = 0; i < flat.length; i += 2) {
    if ((flat[i] as string).toLowerCase() === wanted) return flat[i + 1]
  }
  return undefined
}
