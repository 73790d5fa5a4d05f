/**
 * Attempts at origins until one answers, within what may be re-sent (RFC 9110 §9.2.2), a number of tries,
 * a deadline and a retry budget. The caller's places are in order and already lawful: nothing outside
 * them is ever tried.
 */
import type { Attempt, BodySource, ByteSink, ByteStream, Millis } from '../exchange.ts'
import type { ProblemCode } from '../http/problem.ts'
import {
  type Clock,
  type Random,
  type Upstream,
  type UpstreamCall,
  UpstreamError,
  type UpstreamErrorClass,
  type UpstreamReply,
} from '../ports.ts'
import { chooseOrigin, type Origin, type OriginHealth, type Pool } from './pool.ts'

/** A pool of a region, in the order in which regions are to be tried. */
export interface Place {
  readonly region: string
  readonly pool: Pool
}

export interface RetryPolicy {
  /** Most attempts, the first one counted. */
  readonly tries: number
  /** For all attempts together, until the response header. */
  readonly deadlineMs: Millis
  readonly statuses: ReadonlySet<number>
  readonly methods: ReadonlySet<string>
  readonly bodyLimit: number
}

/** Instead of the pool's. */
export interface RouteTimeouts {
  readonly connectMs?: number | undefined
  readonly firstByteMs?: number | undefined
  readonly idleMs?: number | undefined
}

export type OriginOutcome = 'ok' | 'gateway-error' | UpstreamErrorClass

/** What attempts tell of origins, by `Origin.health`; times are monotonic. */
export interface HealthReporter extends OriginHealth {
  began(origin: number, now: Millis): void
  report(origin: number, outcome: OriginOutcome, now: Millis): void
}

export interface AttemptPorts {
  readonly upstream: Upstream
  readonly clock: Clock
  readonly random: Random
  readonly health: HealthReporter
}

export interface OutgoingRequest {
  readonly method: string
  readonly path: string
  /** For the Host given: flat fields without Content-Length. */
  readonly fields: (host: string | undefined) => string[]
  readonly body: BodySource | null
  /** For `ip-hash`. */
  readonly clientKey: string
  readonly upgrade?: 'websocket' | undefined
  readonly onInterim?: ((status: number, headers: string[]) => void) | undefined
}

/** Known-length response bodies up to this size are held until complete, so that a cut one fails over. */
const COLLECT_BYTES = 64 * 1024

/** Every attempt failed, or none could be made. An `UpstreamError`, so that the cache may answer instead. */
export class AttemptsFailed extends UpstreamError {
  readonly code: ProblemCode
  constructor(code: ProblemCode, options?: ErrorOptions) {
    const kind = options?.cause instanceof UpstreamError ? options.cause.kind : 'connect'
    super(kind, code, options)
    this.code = code
  }
}

const PROBLEM_OF: Readonly<Record<UpstreamErrorClass, ProblemCode>> = {
  connect: 'origin-connect',
  'stale-connection': 'origin-reset',
  reset: 'origin-reset',
  protocol: 'origin-protocol',
  timeout: 'origin-timeout',
  truncated: 'origin-truncated',
  cancelled: 'client-closed',
  'request-body': 'body-cut',
}

/** The attempts of one request. */
export class Attempts {
  /** In order, for the record. */
  readonly log: Attempt[] = []
  readonly #places: readonly Place[]
  readonly #request: OutgoingRequest
  readonly #policy: RetryPolicy
  readonly #timeouts: RouteTimeouts
  readonly #ports: AttemptPorts
  readonly #startedAt: Millis
  readonly #tried: Origin[] = []
  #call: UpstreamCall | undefined
  #cancelled = false
  /** The budget was asked before the failed reply was let go. */
  #retryIsPaid = false
  #staleRetry: { place: Place; origin: Origin } | undefined

  constructor(
    places: readonly Place[],
    request: OutgoingRequest,
    policy: RetryPolicy,
    timeouts: RouteTimeouts,
    ports: AttemptPorts,
  ) {
    this.#places = places
    this.#request = request
    this.#policy = policy
    this.#timeouts = timeouts
    this.#ports = ports
    this.#startedAt = ports.clock.monotonic()
  }

  /** The client has left. */
  cancel(): void {
    this.#cancelled = true
    this.#call?.cancel()
  }

  /** @throws AttemptsFailed */
  async run(): Promise<UpstreamReply> {
    const { clock } = this.#ports
    let lastError: UpstreamError | undefined
    for (let attempt = 1; ; attempt++) {
      const next = this.#staleRetry ?? this.#next()
      const isStaleRetry = this.#staleRetry !== undefined
      this.#staleRetry = undefined
      if (next === undefined) throw this.#failed(lastError)
      const { place, origin } = next
      if (attempt === 1) place.pool.budget.onRequest()
      else if (
        !isStaleRetry &&
        !this.#retryIsPaid &&
        !place.pool.budget.mayRetry(clock.monotonic())
      ) {
        throw this.#failed(lastError)
      }
      this.#retryIsPaid = false
      const isLast = attempt >= this.#policy.tries
      const result = await this.#once(place, origin, isLast)
      if (!(result instanceof UpstreamError)) return result
      lastError = result
      if (this.#cancelled || isLast || !this.#mayResend(result)) throw this.#failed(result)
      if (result.kind === 'stale-connection' && !isStaleRetry) this.#staleRetry = next
      if (clock.monotonic() - this.#startedAt >= this.#policy.deadlineMs) {
        throw new AttemptsFailed('deadline', { cause: result })
      }
    }
  }

  /** The first healthy untried origin in order of places; then, failing open, any untried one. */
  #next(): { place: Place; origin: Origin } | undefined {
    const { health, random } = this.#ports
    for (const mustBeUp of UP_FIRST) {
      for (const place of this.#places) {
        const origin = chooseOrigin(
          place.pool,
          health,
          this.#tried,
          mustBeUp,
          this.#request.clientKey,
          random,
        )
        if (origin !== undefined) {
          this.#tried.push(origin)
          return { place, origin }
        }
      }
    }
    return undefined
  }

  async #once(
    place: Place,
    origin: Origin,
    isLast: boolean,
  ): Promise<UpstreamReply | UpstreamError> {
    const { clock, health, upstream } = this.#ports
    const { pool } = place
    const request = this.#request
    const startedAt = clock.monotonic()
    const remaining = this.#policy.deadlineMs - (startedAt - this.#startedAt)
    if (remaining <= 0) return new UpstreamError('timeout', 'the deadline has passed')
    origin.inFlight++
    health.began(origin.health, startedAt)
    let reply: UpstreamReply
    try {
      const body = request.body === null ? null : request.body.open()
      const fields = request.fields(origin.host)
      const length = body instanceof Uint8Array ? body.length : (request.body?.length ?? null)
      if (request.body !== null && length !== null) fields.push('content-length', String(length))
      const call = upstream.send(origin.address, {
        method: request.method,
        path: request.path,
        headers: fields,
        body,
        connectTimeoutMs: Math.min(remaining, this.#timeouts.connectMs ?? pool.connectTimeoutMs),
        firstByteTimeoutMs: Math.min(
          remaining,
          this.#timeouts.firstByteMs ?? pool.firstByteTimeoutMs,
        ),
        idleTimeoutMs: this.#timeouts.idleMs ?? pool.idleTimeoutMs,
        collectBytes: COLLECT_BYTES,
        ...(request.upgrade === undefined ? {} : { upgrade: request.upgrade }),
        ...(request.onInterim === undefined ? {} : { onInterim: request.onInterim }),
      })
      this.#call = call
      if (this.#cancelled) call.cancel()
      reply = await call.reply
    } catch (error) {
      origin.inFlight--
      const failure =
        error instanceof UpstreamError
          ? error
          : new UpstreamError('request-body', (error as Error).message, { cause: error })
      const now = clock.monotonic()
      health.report(origin.health, failure.kind, now)
      this.#note(place, origin, failure.kind, null, now - startedAt)
      return failure
    } finally {
      this.#call = undefined
    }
    const now = clock.monotonic()
    const isRetryStatus = this.#policy.statuses.has(reply.status)
    const outcome: OriginOutcome =
      reply.status === 502 || reply.status === 503 || reply.status === 504 ? 'gateway-error' : 'ok'
    health.report(origin.health, outcome, now)
    this.#note(
      place,
      origin,
      isRetryStatus ? `status-${reply.status}` : 'ok',
      reply.status,
      now - startedAt,
    )
    if (isRetryStatus && !isLast && this.#mayRetryStatus() && pool.budget.mayRetry(now)) {
      this.#retryIsPaid = true
      const { body } = reply
      if (body !== null && !(body instanceof Uint8Array)) body.cancel()
      origin.inFlight--
      return new UpstreamError('reset', `status ${reply.status}`)
    }
    if (reply.body !== null && !(reply.body instanceof Uint8Array)) {
      return { ...reply, body: new WatchedStream(reply.body, origin, health, clock) }
    }
    origin.inFlight--
    return reply
  }

  #note(place: Place, origin: Origin, outcome: string, status: number | null, durationMs: Millis) {
    this.log.push({
      region: place.region,
      pool: place.pool.id,
      origin: origin.id,
      outcome,
      status,
      durationMs,
    })
  }

  #mayRetryStatus(): boolean {
    if (!this.#policy.methods.has(this.#request.method)) return false
    if (this.#request.body !== null && !this.#request.body.isReplayable) return false
    const { health } = this.#ports
    return this.#places.some((place) =>
      place.pool.origins.some(
        (origin) =>
          origin.weight > 0 && !this.#tried.includes(origin) && health.isUp(origin.health),
      ),
    )
  }

  #mayResend(error: UpstreamError): boolean {
    const { body, method } = this.#request
    if (error.kind === 'cancelled' || error.kind === 'request-body') return false
    if (body !== null && !body.isReplayable) return false
    return error.kind === 'connect' || this.#policy.methods.has(method)
  }

  #failed(error: UpstreamError | undefined): AttemptsFailed {
    if (this.#cancelled) return new AttemptsFailed('client-closed')
    if (error === undefined) return new AttemptsFailed('no-healthy-origin')
    return new AttemptsFailed(PROBLEM_OF[error.kind], { cause: error })
  }
}

const UP_FIRST = [true, false]

/** A response body on its way: tells health when it is cut, and ends the origin's in-flight count. */
class WatchedStream implements ByteStream {
  readonly length: number | null
  readonly #inner: ByteStream
  readonly #origin: Origin
  readonly #health: HealthReporter
  readonly #clock: Clock
  #isOver = false

  constructor(inner: ByteStream, origin: Origin, health: HealthReporter, clock: Clock) {
    this.length = inner.length
    this.#inner = inner
    this.#origin = origin
    this.#health = health
    this.#clock = clock
  }

  pipe(sink: ByteSink): void {
    this.#inner.pipe({
      write: (chunk) => sink.write(chunk),
      end: (trailers) => {
        this.#over()
        sink.end(trailers)
      },
      fail: (error) => {
        if (!this.#isOver && error instanceof UpstreamError) {
          this.#health.report(this.#origin.health, error.kind, this.#clock.monotonic())
        }
        this.#over()
        sink.fail(error)
      },
    })
  }

  resume(): void {
    this.#inner.resume()
  }

  cancel(reason?: Error): void {
    this.#over()
    this.#inner.cancel(reason)
  }

  #over(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#origin.inFlight--
  }
}
