/**
 * Mirror traffic: some requests are sent to a second pool as well, and what it answers is compared and thrown
 * away. The client never waits for it and never sees it; when too many are under way, or the mirror is not
 * well, the repetition is left out, never queued.
 */
import type { ByteSink, ByteStream, Millis } from '../exchange.ts'
import type { Clock, Random, Upstream, UpstreamReply } from '../ports.ts'
import { chooseOrigin } from './balance.ts'
import { BodyHash } from './body-hash.ts'
import type { Origin, OriginHealth, Pool } from './pool.ts'

export interface MirrorPolicy {
  readonly pool: Pool
  readonly methods: ReadonlySet<string>
  /** Whether cookies and authorization go along. */
  readonly credentials: boolean
  /** Most repetitions under way. */
  readonly most: number
  /** Longest time for one, body included. */
  readonly timeoutMs: Millis
}

export type MirrorResult = 'match' | 'status' | 'body' | 'unknown' | 'failed' | 'dropped'

/** How two answers to one request compare. */
export interface MirrorReport {
  readonly result: MirrorResult
  readonly status: number
  /** 0 when the mirror did not answer. */
  readonly mirrorStatus: number
  readonly mirrorMs: Millis
  /** Length and hash of each body, where they are known. */
  readonly body?: string | undefined
  readonly mirrorBody?: string | undefined
}

export interface MirrorPorts {
  readonly upstream: Upstream
  readonly clock: Clock
  readonly random: Random
  readonly health: OriginHealth
}

export interface MirrorRequest {
  readonly method: string
  readonly path: string
  readonly fields: (host: string | undefined) => string[]
  readonly body: Uint8Array | null
  readonly clientKey: string
}

/** Bodies are compared up to here, of requests and of responses. */
export const MIRROR_BODY_BYTES = 64 * 1024

const CREDENTIALS: ReadonlySet<string> = new Set(['authorization', 'cookie', 'x-api-key'])
/** Tells the mirror's origins that nobody waits for the answer. */
const MIRROR_FIELD = 'x-meridian-mirror'

interface Answer {
  readonly status: number
  /** Undefined: too long, or cut. */
  readonly body: string | undefined
}

export class Mirror {
  readonly policy: MirrorPolicy
  underWay = 0

  constructor(policy: MirrorPolicy) {
    this.policy = policy
  }

  /**
   * Sends the repetition.
   * @param report called once, when both sides have answered or cannot any more
   */
  begin(
    request: MirrorRequest,
    ports: MirrorPorts,
    report: (report: MirrorReport) => void,
  ): Comparison | undefined {
    const { pool, most } = this.policy
    const now = ports.clock.monotonic()
    const origin =
      this.underWay >= most
        ? undefined
        : chooseOrigin(
            pool,
            ports.health,
            [],
            'healthy',
            true,
            request.clientKey,
            now,
            ports.random,
          )
    if (origin === undefined) {
      report({ result: 'dropped', status: 0, mirrorStatus: 0, mirrorMs: 0 })
      return undefined
    }
    this.underWay++
    origin.load.inFlight++
    const comparison = new Comparison(report, now)
    void this.#send(request, origin, ports).then((answer) => {
      this.underWay--
      origin.load.inFlight--
      comparison.mirrorAnswered(answer, ports.clock.monotonic())
    })
    return comparison
  }

  /** @returns undefined when it failed; never rejects */
  async #send(
    request: MirrorRequest,
    origin: Origin,
    ports: MirrorPorts,
  ): Promise<Answer | undefined> {
    const { pool, timeoutMs } = this.policy
    let cancelTimer = () => {}
    try {
      const call = ports.upstream.send(origin.address, {
        method: request.method,
        path: request.path,
        headers: this.#fields(request, origin),
        body: request.body,
        connectTimeoutMs: Math.min(timeoutMs, pool.connectTimeoutMs),
        firstByteTimeoutMs: Math.min(timeoutMs, pool.firstByteTimeoutMs),
        totalTimeoutMs: timeoutMs,
        idleTimeoutMs: Math.min(timeoutMs, pool.idleTimeoutMs),
        collectBytes: 0,
      })
      let body: ByteStream | undefined
      cancelTimer = ports.clock.after(timeoutMs, () => {
        call.cancel()
        body?.cancel()
      })
      const reply = await call.reply
      if (reply.body !== null && !(reply.body instanceof Uint8Array)) body = reply.body
      return { status: reply.status, body: await hashOf(reply.body, ports.clock, timeoutMs) }
    } catch {
      // Whatever happened to the mirror is its own business; it is counted as failed.
      return undefined
    } finally {
      cancelTimer()
    }
  }

  #fields(request: MirrorRequest, origin: Origin): string[] {
    const all = request.fields(origin.host)
    const fields: string[] = []
    for (let i = 0; i < all.length; i += 2) {
      const name = all[i] as string
      if (!this.policy.credentials && CREDENTIALS.has(name.toLowerCase())) continue
      fields.push(name, all[i + 1] as string)
    }
    fields.push(MIRROR_FIELD, '1')
    if (request.body !== null) fields.push('content-length', String(request.body.length))
    return fields
  }
}

/** Two answers that come in any order. */
export class Comparison {
  readonly #report: (report: MirrorReport) => void
  readonly #startedAt: Millis
  #main: Answer | 'failed' | undefined
  #mirror: { answer: Answer | undefined; ms: Millis } | undefined

  constructor(report: (report: MirrorReport) => void, startedAt: Millis) {
    this.#report = report
    this.#startedAt = startedAt
  }

  /** @returns the reply to give to the client: the same, looked at as it passes */
  mainAnswered(reply: UpstreamReply): UpstreamReply {
    const { status, body } = reply
    if (body === null || body instanceof Uint8Array) {
      const hash = new BodyHash(MIRROR_BODY_BYTES)
      if (body !== null) hash.add(body)
      this.#settleMain({ status, body: hash.text })
      return reply
    }
    return {
      ...reply,
      body: new HashedStream(body, (text) => this.#settleMain({ status, body: text })),
    }
  }

  mainFailed(): void {
    this.#settleMain('failed')
  }

  mirrorAnswered(answer: Answer | undefined, now: Millis): void {
    this.#mirror = { answer, ms: now - this.#startedAt }
    this.#compare()
  }

  #settleMain(answer: Answer | 'failed'): void {
    this.#main ??= answer
    this.#compare()
  }

  #compare(): void {
    const main = this.#main
    const mirror = this.#mirror
    if (main === undefined || mirror === undefined) return
    const status = main === 'failed' ? 0 : main.status
    const { answer, ms } = mirror
    const mirrorStatus = answer?.status ?? 0
    this.#report({
      result: resultOf(main, answer),
      status,
      mirrorStatus,
      mirrorMs: ms,
      body: main === 'failed' ? undefined : main.body,
      mirrorBody: answer?.body,
    })
  }
}

function resultOf(main: Answer | 'failed', mirror: Answer | undefined): MirrorResult {
  if (mirror === undefined) return 'failed'
  if (main === 'failed') return 'unknown'
  if (main.status !== mirror.status) return 'status'
  if (main.body === undefined || mirror.body === undefined) return 'unknown'
  return main.body === mirror.body ? 'match' : 'body'
}

/** Hash of a whole body; undefined when it is too long, cut, or late. */
function hashOf(
  body: UpstreamReply['body'],
  clock: Clock,
  timeoutMs: Millis,
): Promise<string | undefined> {
  const hash = new BodyHash(MIRROR_BODY_BYTES)
  if (body === null || body instanceof Uint8Array) {
    if (body !== null) hash.add(body)
    return Promise.resolve(hash.text)
  }
  return new Promise((resolve) => {
    const cancelTimer = clock.after(timeoutMs, () => {
      body.cancel()
      over(undefined)
    })
    const over = (text: string | undefined): void => {
      cancelTimer()
      resolve(text)
    }
    body.pipe({
      write: (chunk) => {
        hash.add(chunk)
        if (!hash.isTooLong) return true
        body.cancel()
        over(undefined)
        return false
      },
      end: () => over(hash.text),
      fail: () => over(undefined),
    })
  })
}

/** A body on its way to the client, hashed as it passes. */
class HashedStream implements ByteStream {
  readonly length: number | null
  readonly #inner: ByteStream
  readonly #hash = new BodyHash(MIRROR_BODY_BYTES)
  readonly #over: (text: string | undefined) => void

  constructor(inner: ByteStream, over: (text: string | undefined) => void) {
    this.length = inner.length
    this.#inner = inner
    this.#over = over
  }

  pipe(sink: ByteSink): void {
    this.#inner.pipe({
      write: (chunk) => {
        this.#hash.add(chunk)
        return sink.write(chunk)
      },
      end: (trailers) => {
        this.#over(this.#hash.text)
        sink.end(trailers)
      },
      fail: (error) => {
        this.#over(undefined)
        sink.fail(error)
      },
    })
  }

  resume(): void {
    this.#inner.resume()
  }

  cancel(reason?: Error): void {
    this.#over(undefined)
    this.#inner.cancel(reason)
  }
}
