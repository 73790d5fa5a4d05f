/**
 * The Upstream port over `fetch`, for runtimes that have nothing else. What `fetch` cannot do (another
 * Host, client certificates, sockets) is refused when the config is loaded, see `capabilities.ts`.
 *
 * `fetch` decodes bodies by itself, and the field that says how they were encoded stays: a proxy that
 * passes both on corrupts the answer. So origins are asked for the identity coding, and where one encodes
 * all the same, the fields that are no longer true are taken off.
 */
import { type ByteStream, RequestBodyError } from '../../exchange.ts'
import {
  type OriginAddress,
  type Upstream,
  type UpstreamCall,
  UpstreamError,
  type UpstreamErrorClass,
  type UpstreamReply,
  type UpstreamRequest,
} from '../../ports.ts'
import { collect, ReaderStream, readableFrom } from './streams.ts'

export interface FetchUpstreamOptions {
  /** The runtime's own by default. */
  readonly fetch?: typeof fetch | undefined
  /** Content codings that the runtime takes off by itself, lower case. */
  readonly decodes?: ReadonlySet<string> | undefined
  /** More of the request, such as `cf` on Workers. */
  readonly init?: RequestInit | undefined
  /** A stream that is sent with this Content-Length; without it, streams go out chunked. */
  readonly fixedLength?:
    | ((stream: ReadableStream<Uint8Array>, length: number) => ReadableStream<Uint8Array>)
    | undefined
  /** Told of each call, to keep what runs behind an answer alive. */
  readonly onCall?: ((done: Promise<void>) => void) | undefined
  /** What a response means that a network between here and the origin made. */
  readonly failureOf?: ((response: Response) => UpstreamErrorClass | undefined) | undefined
  /** What the runtime's own error says. */
  readonly classify?: ((error: unknown) => UpstreamErrorClass | undefined) | undefined
  /** Whether a response may carry a WebSocket (`response.webSocket`). */
  readonly webSockets?: boolean | undefined
}

/** Deno decodes only what it has asked for itself, and here it is the gateway that asks. */
const DECODES: ReadonlySet<string> = new Set(
  'Deno' in globalThis ? [] : ['gzip', 'x-gzip', 'deflate', 'br'],
)
const NULL_BODY: ReadonlySet<number> = new Set([101, 204, 205, 304])

export class FetchUpstream implements Upstream {
  readonly #options: FetchUpstreamOptions

  constructor(options: FetchUpstreamOptions = {}) {
    this.#options = options
  }

  send(origin: OriginAddress, request: UpstreamRequest): UpstreamCall {
    const call = new Call(request, this.#options)
    this.#options.onCall?.(call.done)
    call.start(originUrl(origin) + request.path)
    return call
  }
}

const urls = new WeakMap<OriginAddress, string>()

function originUrl(origin: OriginAddress): string {
  let url = urls.get(origin)
  if (url === undefined) {
    const host = origin.hostname.includes(':') ? `[${origin.hostname}]` : origin.hostname
    url = `${origin.scheme}://${host}:${origin.port}`
    urls.set(origin, url)
  }
  return url
}

/** One exchange with an origin. */
class Call implements UpstreamCall {
  readonly reply: Promise<UpstreamReply>
  /** The exchange is over, body and all. */
  readonly done: Promise<void>
  readonly #request: UpstreamRequest
  readonly #options: FetchUpstreamOptions
  readonly #abort = new AbortController()
  #resolve: (reply: UpstreamReply) => void = ignore
  #reject: (error: UpstreamError) => void = ignore
  #finish: () => void = ignore
  #timer: ReturnType<typeof setTimeout> | undefined
  #isSettled = false
  #isOver = false
  /** The client's body failed: not the origin's fault. */
  #bodyError: RequestBodyError | undefined

  constructor(request: UpstreamRequest, options: FetchUpstreamOptions) {
    this.#request = request
    this.#options = options
    this.reply = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.done = new Promise((resolve) => {
      this.#finish = resolve
    })
  }

  start(url: string): void {
    // `fetch` does not tell when it is connected: one time for both.
    this.#timer = setTimeout(onTimeout, this.#request.firstByteTimeoutMs, this)
    void this.#run(url)
  }

  cancel(reason?: Error): void {
    this.#stop(new UpstreamError('cancelled', reason?.message ?? 'cancelled'))
  }

  timedOut(): void {
    this.#stop(new UpstreamError('timeout', 'no response header in time'))
  }

  #stop(error: UpstreamError): void {
    if (this.#isOver) return
    this.#over()
    this.#abort.abort(error)
    this.#fail(error)
  }

  #over(): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#finish()
  }

  #fail(error: UpstreamError): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#reject(error)
  }

  async #run(url: string): Promise<void> {
    const { method } = this.#request
    const body = this.#body()
    const init: RequestInit & { duplex?: 'half' } = {
      ...this.#options.init,
      method,
      headers: this.#headers(),
      redirect: 'manual',
      signal: this.#abort.signal,
    }
    if (body !== null) {
      // Web types want an array over its own buffer; every runtime takes any.
      init.body = body as BodyInit
      if (body instanceof ReadableStream) init.duplex = 'half'
    }
    let response: Response
    try {
      response = await (this.#options.fetch ?? fetch)(url, init)
    } catch (error) {
      if (this.#isOver) return
      this.#over()
      this.#fail(this.#classify(error))
      return
    }
    clearTimeout(this.#timer)
    if (this.#isOver) {
      response.body?.cancel().catch(ignore)
      return
    }
    const failure = this.#options.failureOf?.(response)
    if (failure !== undefined) {
      response.body?.cancel().catch(ignore)
      this.#over()
      this.#fail(new UpstreamError(failure, `status ${response.status}`))
      return
    }
    await this.#answer(response)
  }

  async #answer(response: Response): Promise<void> {
    const { status } = response
    const tunnel = this.#options.webSockets === true ? webSocketOf(response) : undefined
    const { headers, length } = this.#fieldsOf(response)
    const isBodiless = this.#request.method === 'HEAD' || NULL_BODY.has(status)
    if (tunnel !== undefined || response.body === null || isBodiless || length === 0) {
      response.body?.cancel().catch(ignore)
      this.#over()
      this.#isSettled = true
      this.#resolve({ status, headers, body: null, ...(tunnel === undefined ? {} : { tunnel }) })
      return
    }
    const stream = new ReaderStream(response.body, {
      length,
      idleMs: this.#request.idleTimeoutMs,
      cut: (detail, cause) => new UpstreamError('truncated', detail, { cause }),
      stop: (reason) => this.#abort.abort(reason),
      onOver: () => this.#over(),
    })
    let body: Uint8Array | ByteStream = stream
    if (length !== null && length <= this.#request.collectBytes) {
      try {
        body = await collect(stream)
      } catch (error) {
        // Nothing has been sent to the client yet: another origin may be asked.
        this.#fail(
          error instanceof UpstreamError ? error : new UpstreamError('truncated', String(error)),
        )
        return
      }
    }
    this.#isSettled = true
    this.#resolve({ status, headers, body })
  }

  #headers(): Headers {
    const { headers: flat, upgrade } = this.#request
    const headers = new Headers()
    for (let i = 0; i < flat.length; i += 2) {
      const name = (flat[i] as string).toLowerCase()
      // Both are the runtime's: Host from the URL, the length from the body.
      if (name === 'host' || name === 'content-length' || name === 'accept-encoding') continue
      headers.append(name, flat[i + 1] as string)
    }
    headers.set('accept-encoding', 'identity')
    if (upgrade !== undefined && this.#options.webSockets === true) headers.set('upgrade', upgrade)
    return headers
  }

  #body(): Uint8Array | ReadableStream<Uint8Array> | null {
    const { body } = this.#request
    if (body === null || body instanceof Uint8Array) return body
    const stream = readableFrom(this.#watched(body))
    const { fixedLength } = this.#options
    return body.length === null || fixedLength === undefined
      ? stream
      : fixedLength(stream, body.length)
  }

  /** Notes a failure of the client's body, which comes back from `fetch` as an error like any other. */
  #watched(body: ByteStream): ByteStream {
    return {
      length: body.length,
      resume: () => body.resume(),
      cancel: (reason) => body.cancel(reason),
      pipe: (sink) =>
        body.pipe({
          write: (chunk) => sink.write(chunk),
          end: (trailers) => sink.end(trailers),
          fail: (error) => {
            if (error instanceof RequestBodyError) this.#bodyError = error
            sink.fail(error)
          },
        }),
    }
  }

  #fieldsOf(response: Response): { headers: string[]; length: number | null } {
    const headers: string[] = []
    const coding = response.headers.get('content-encoding')?.trim().toLowerCase()
    const isDecoded = coding !== undefined && (this.#options.decodes ?? DECODES).has(coding)
    let length: number | null = null
    response.headers.forEach((value, name) => {
      if (name === 'set-cookie') return
      if (isDecoded && (name === 'content-encoding' || name === 'content-length')) return
      if (name === 'content-length' && /^[0-9]{1,15}$/.test(value)) length = Number(value)
      headers.push(name, value)
    })
    for (const cookie of response.headers.getSetCookie()) headers.push('set-cookie', cookie)
    return { headers, length }
  }

  #classify(error: unknown): UpstreamError {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    const detail = cause instanceof Error ? cause.message : String(cause)
    if (this.#bodyError !== undefined) {
      return new UpstreamError('request-body', this.#bodyError.problem, { cause: this.#bodyError })
    }
    const kind = this.#options.classify?.(error) ?? classifyByCode(codeOf(cause))
    return new UpstreamError(kind, detail, { cause: error })
  }
}

const ignore = (): void => {}
const onTimeout = (call: Call): void => call.timedOut()

function webSocketOf(response: Response): object | undefined {
  const { webSocket } = response as Response & { webSocket?: object | null }
  return webSocket ?? undefined
}

function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return ''
  return typeof error.code === 'string' ? error.code : ''
}

/** Codes that leave no doubt that nothing reached the origin (Node, Bun, Deno's Node layer). */
const NOT_CONNECTED =
  /^(ECONNREFUSED|ENOTFOUND|EAI_|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT|ConnectionRefused|FailedToOpenSocket|ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/
const NOT_HTTP = /^(HPE_|UND_ERR_HEADERS_OVERFLOW)/

/**
 * Without a code that says more, the request may have reached the origin: then only what may be sent twice
 * is tried again.
 */
function classifyByCode(code: string): UpstreamErrorClass {
  if (NOT_CONNECTED.test(code)) return 'connect'
  return NOT_HTTP.test(code) ? 'protocol' : 'reset'
}
