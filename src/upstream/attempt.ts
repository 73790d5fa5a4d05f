/**
 * Attempts at origins until one answers, within what may be sent again (`resend.ts`), a number of tries,
 * a deadline and a retry budget. The caller's places are in order and already lawful: nothing outside
 * them is ever tried, held for, or hedged to.
 */
import type { Attempt, Millis } from '../exchange.ts'
import {
  type UpstreamCall,
  UpstreamError,
  type UpstreamErrorClass,
  type UpstreamReply,
} from '../ports.ts'
import { chooseOrigin } from './balance.ts'
import { AttemptsFailed, PROBLEM_OF } from './failure.ts'
import { hedged } from './hedge.ts'
import type { AttemptPorts, OutgoingRequest, Place, RetryPolicy, RouteTimeouts } from './policy.ts'
import { isAvailable, isInPanic, type Origin, type Pool } from './pool.ts'
import {
  type BodyState,
  backoffMs,
  MOST_DEPTH,
  MOST_PATIENCE_MS,
  MOST_REST_MS,
  RETRY_FIELD,
  resendAfter,
  retryAfterMs,
  retryDepth,
} from './resend.ts'
import { WatchedStream } from './watched-stream.ts'

export { AttemptsFailed } from './failure.ts'
export type {
  HealthReporter,
  OriginOutcome,
  OutgoingTrace,
  Place,
  RetryPolicy,
  RouteTimeouts,
  UpstreamMeter,
} from './policy.ts'

/** Known-length response bodies up to this size are held until complete, so that a cut one fails over. */
const COLLECT_BYTES = 64 * 1024
/** An adaptive first-byte timeout is no shorter than this, and stands on this many answers. */
const LEAST_FIRST_BYTE_MS = 300
const LEAST_SAMPLES = 100
/** Below this share of a pool nothing is hedged. */
const HEDGE_PANIC = 0.5

interface Target {
  readonly place: Place
  readonly origin: Origin
  /** Not on a connection that was used before. */
  readonly fresh?: boolean
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
  readonly #deadline: Millis
  readonly #isRepeatable: boolean
  readonly #tried: Origin[] = []
  readonly #regions: string[] = []
  readonly #calls: UpstreamCall[] = []
  #made = 0
  #cancelled = false
  /** Ends a pause or a wait. */
  #wake: (() => void) | undefined
  /** Whose budget its retries are taken from. */
  #payer: Pool | undefined
  /** The budget was asked before the failed reply was let go. */
  #retryIsPaid = false
  #hasRetriedStale = false
  /** How long the origin wants to be left alone before it is asked again. */
  #retryAfter: Millis | undefined
  #repeats = 0
  /** Attempts that reached an origin and broke. */
  #broken = 0
  #heldUntil: Millis | undefined

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
    this.#isRepeatable =
      policy.methods.has(request.method) ||
      (policy.idempotencyKey && request.received.has('idempotency-key'))
    const left = request.timeLeftMs ?? policy.deadlineMs
    this.#deadline = ports.clock.monotonic() + Math.min(policy.deadlineMs, left)
  }

  /** The client has left. */
  cancel(): void {
    this.#cancelled = true
    this.#wake?.()
    for (const call of this.#calls) call.cancel()
  }

  /** @throws AttemptsFailed */
  async run(): Promise<UpstreamReply> {
    const { clock, meter } = this.#ports
    const now = clock.monotonic()
    let target = this.#next('any', now)
    this.#payer = target?.place.pool
    this.#payer?.budget.onRequest(now)
    let first: UpstreamError | undefined
    for (;;) {
      if (target === undefined) {
        target = await this.#hold(first)
        continue
      }
      this.#made++
      const result = await this.#attempt(target)
      if (!(result instanceof UpstreamError)) {
        if (this.#heldUntil !== undefined) meter?.held('served')
        return result
      }
      first ??= result
      target = await this.#again(result, target, first)
    }
  }

  #attempt(target: Target): Promise<UpstreamReply | UpstreamError> {
    const { hedge } = this.#policy
    if (hedge === undefined || this.#made > 1 || !this.#isHedgeable) return this.#once(target)
    const { clock, health, meter } = this.#ports
    const { pool } = target.place
    pool.hedges.onRequest(hedge.percent)
    const now = clock.monotonic()
    if (isInPanic(pool, health, pool.panic?.below ?? HEDGE_PANIC)) return this.#once(target)
    const isKnown = hedge.afterMs === undefined && pool.latency.count(now) >= LEAST_SAMPLES
    const afterMs = hedge.afterMs ?? (isKnown ? pool.latency.quantile(0.95, now) : undefined)
    if (afterMs === undefined) return this.#once(target)
    return hedged(afterMs, clock, meter, (isHedge) => {
      if (!isHedge) return this.#started(target)
      if (this.#made >= this.#policy.tries || this.#cancelled) return undefined
      // A second request is a gamble on a well origin; none is made on a last resort.
      const other = this.#next('healthy')
      if (other === undefined) return undefined
      if (!pool.hedges.take()) return 'refused'
      this.#made++
      return this.#started(other)
    })
  }

  #started(target: Target) {
    const before = this.#calls.length
    const result = this.#once(target)
    // `#once` sends before it waits.
    const call = this.#calls[before]
    return { result, cancel: () => call?.cancel() }
  }

  get #isHedgeable(): boolean {
    const { method, body, upgrade } = this.#request
    return (method === 'GET' || method === 'HEAD') && body === null && upgrade === undefined
  }

  /** Where to go after a failure. @throws AttemptsFailed */
  async #again(
    error: UpstreamError,
    last: Target,
    first: UpstreamError,
  ): Promise<Target | undefined> {
    const { clock, random, health } = this.#ports
    if (error.kind !== 'connect') this.#broken++
    const resend = resendAfter(error.kind, this.#isRepeatable, this.#bodyState)
    if (this.#cancelled || resend === 'no' || this.#depth > MOST_DEPTH) throw this.#failed(error)
    if (resend === 'same-fresh' && !this.#hasRetriedStale) {
      this.#hasRetriedStale = true
      this.#made--
      return { ...last, fresh: true }
    }
    if (clock.monotonic() >= this.#deadline) throw new AttemptsFailed('deadline', { cause: error })
    const after = this.#retryAfter
    this.#retryAfter = undefined
    if (this.#made >= this.#policy.tries) return this.#hold(error)
    let target = after === undefined ? this.#next() : last
    let pause = after
    const mayRepeat = resend === 'elsewhere' && health.isUp(last.origin.health)
    if (target === undefined && mayRepeat) {
      target = last
      pause = backoffMs(this.#repeats++, random.next())
    }
    if (target === undefined) return this.#hold(error)
    if (!this.#retryIsPaid && !this.#mayRetry(clock.monotonic())) return this.#hold(first, true)
    this.#retryIsPaid = false
    if (pause !== undefined) await this.#pause(pause, error)
    return target
  }

  /**
   * The first untried origin that is well, in order of places; then, failing open, any untried one.
   * @param scope the last thing to try
   */
  #next(
    scope: 'healthy' | 'any' = 'any',
    now: Millis = this.#ports.clock.monotonic(),
  ): Target | undefined {
    const { health, random } = this.#ports
    const mayTrial = this.#isRepeatable && this.#bodyState !== 'spent'
    for (const each of SCOPES) {
      for (const place of this.#places) {
        if (!this.#mayEnter(place.region)) continue
        const { pool } = place
        const origin = chooseOrigin(
          pool,
          health,
          this.#tried,
          each,
          mayTrial,
          this.#request.clientKey,
          now,
          random,
        )
        if (origin === undefined) continue
        this.#tried.push(origin)
        if (!this.#regions.includes(place.region)) this.#regions.push(place.region)
        return { place, origin }
      }
      if (each === scope) return undefined
    }
    return undefined
  }

  #mayEnter(region: string): boolean {
    return this.#regions.length < this.#policy.regions || this.#regions.includes(region)
  }

  async #once({ place, origin, fresh }: Target): Promise<UpstreamReply | UpstreamError> {
    const { clock, health, upstream, hold } = this.#ports
    const { pool } = place
    const request = this.#request
    const startedAt = clock.monotonic()
    const remaining = this.#deadline - startedAt
    if (remaining <= 0) return new UpstreamError('timeout', 'the deadline has passed')
    origin.load.inFlight++
    health.began(origin.health, startedAt)
    const spanId = request.trace?.span()
    let call: UpstreamCall | undefined
    let reply: UpstreamReply
    try {
      const body = request.body === null ? null : request.body.open()
      const length = body instanceof Uint8Array ? body.length : (request.body?.length ?? null)
      const total = Math.min(remaining, this.#policy.perTryMs)
      call = upstream.send(origin.address, {
        method: request.method,
        path: request.path,
        headers: this.#fields(origin, length, remaining, spanId),
        body,
        connectTimeoutMs: Math.min(total, this.#timeouts.connectMs ?? pool.connectTimeoutMs),
        firstByteTimeoutMs: Math.min(total, this.#firstByteMs(pool, startedAt)),
        totalTimeoutMs: total,
        idleTimeoutMs: this.#timeouts.idleMs ?? pool.idleTimeoutMs,
        collectBytes: COLLECT_BYTES,
        fresh,
        upgrade: request.upgrade,
        interim: request.interim,
      })
      this.#calls.push(call)
      if (this.#cancelled) call.cancel()
      reply = await call.reply
    } catch (error) {
      origin.load.inFlight--
      const failure =
        error instanceof UpstreamError
          ? error
          : new UpstreamError('request-body', (error as Error).message, { cause: error })
      const now = clock.monotonic()
      health.report(origin.health, failure.kind, now)
      if (isOriginsFault(failure.kind)) origin.latency.failed(now - startedAt, now)
      this.#note(place, origin, failure.kind, null, startedAt, now, spanId)
      return failure
    } finally {
      if (call !== undefined) this.#calls.splice(this.#calls.indexOf(call), 1)
    }
    const now = clock.monotonic()
    const duration = now - startedAt
    const { status } = reply
    const isRetryStatus = this.#policy.statuses.has(status)
    const rest = isRetryStatus ? retryAfterMs(reply.headers, clock.now()) : undefined
    if (rest !== undefined && rest > 0) origin.load.restUntil = now + Math.min(rest, MOST_REST_MS)
    const isGatewayError = status === 502 || status === 503 || status === 504
    const outcome = rest !== undefined ? 'overloaded' : isGatewayError ? 'gateway-error' : 'ok'
    health.report(origin.health, outcome, now)
    pool.latency.observe(duration, now)
    if (outcome === 'ok') origin.latency.observe(duration, now)
    else origin.latency.failed(duration, now)
    if (outcome === 'ok' && hold !== undefined && hold.waiting > 0) hold.recovered(origin.health)
    this.#note(
      place,
      origin,
      isRetryStatus ? `status-${status}` : 'ok',
      status,
      startedAt,
      now,
      spanId,
    )
    if (isRetryStatus && this.#mayRetryStatus(rest, now)) {
      const { body } = reply
      if (body !== null && !(body instanceof Uint8Array)) body.cancel()
      origin.load.inFlight--
      return new UpstreamError('reset', `status ${status}`)
    }
    if (reply.body !== null && !(reply.body instanceof Uint8Array)) {
      return {
        status,
        headers: reply.headers,
        body: new WatchedStream(reply.body, origin, health, clock),
        tunnel: reply.tunnel,
      }
    }
    origin.load.inFlight--
    return reply
  }

  #firstByteMs(pool: Pool, now: Millis): Millis {
    const most = this.#timeouts.firstByteMs ?? pool.firstByteTimeoutMs
    const { adaptive, tries } = this.#policy
    // The last attempt has all the time there is, for answers that are slow by nature.
    if (!adaptive || this.#made >= tries || !this.#isRepeatable) return most
    if (pool.latency.count(now) < LEAST_SAMPLES) return most
    return Math.min(most, Math.max(LEAST_FIRST_BYTE_MS, 3 * pool.latency.quantile(0.99, now)))
  }

  #fields(
    origin: Origin,
    length: number | null,
    remaining: Millis,
    spanId: string | undefined,
  ): string[] {
    const fields = this.#request.fields(origin.host)
    if (this.#request.body !== null && length !== null) {
      fields.push('content-length', String(length))
    }
    if (this.#made > 1) setField(fields, RETRY_FIELD, String(this.#depth + this.#made - 1))
    if (this.#policy.announceDeadline) {
      setField(fields, 'x-request-timeout-ms', String(Math.floor(remaining)))
    }
    const { trace } = this.#request
    if (trace !== undefined && spanId !== undefined) {
      setField(fields, 'traceparent', trace.parent(spanId))
      if (trace.state !== '') setField(fields, 'tracestate', trace.state)
    }
    return fields
  }

  #note(
    place: Place,
    origin: Origin,
    outcome: string,
    status: number | null,
    startedAt: Millis,
    now: Millis,
    spanId: string | undefined,
  ) {
    this.log.push({
      region: place.region,
      pool: place.pool.id,
      origin: origin.id,
      outcome,
      status,
      durationMs: now - startedAt,
      startedAt,
      spanId,
      host: origin.address.hostname,
      port: origin.address.port,
    })
  }

  /** Whether a reply with a status to be retried is let go: only if there is something to hope for. */
  #mayRetryStatus(rest: Millis | undefined, now: Millis): boolean {
    const isAllowed = this.#isRepeatable && this.#bodyState !== 'spent' && this.#depth <= MOST_DEPTH
    if (!isAllowed || this.#made >= this.#policy.tries) return false
    if (!this.#hasUntried(now)) {
      if (rest === undefined || rest > MOST_PATIENCE_MS || now + rest >= this.#deadline)
        return false
      this.#retryAfter = rest
    }
    this.#retryIsPaid = this.#mayRetry(now)
    if (!this.#retryIsPaid) this.#retryAfter = undefined
    return this.#retryIsPaid
  }

  /**
   * Asks the budget of the pool that the request came for: a region that takes over from another gets its
   * retries by the other's traffic, of which it has seen none yet.
   */
  #mayRetry(now: Millis): boolean {
    const pool = this.#payer
    // Those who are sent ahead while all wait are few by themselves.
    if (pool === undefined || this.#heldUntil !== undefined || pool.budget.mayRetry(now))
      return true
    this.#ports.meter?.budgetEmpty(pool.id)
    return false
  }

  #hasUntried(now: Millis): boolean {
    const { health } = this.#ports
    return this.#places.some(
      ({ region, pool }) =>
        this.#mayEnter(region) &&
        pool.origins.some(
          (origin) => !this.#tried.includes(origin) && isAvailable(origin, health, now),
        ),
    )
  }

  /**
   * Waits for an origin to come up, if that is what the route wants and nothing is up; then everything
   * begins anew.
   * @param isSpent whether the budget does not even allow to find out what is up
   * @throws AttemptsFailed
   */
  async #hold(error: UpstreamError | undefined, isSpent = false): Promise<Target | undefined> {
    const { clock, hold, meter } = this.#ports
    const { holdMs } = this.#policy
    const now = clock.monotonic()
    const isPossible =
      hold !== undefined && holdMs > 0 && !this.#cancelled && this.#request.upgrade === undefined
    // One that was under way when all went may wait with the others. A second broken attempt may be the
    // request's own doing: it must not be sent to one origin after the other as they come up.
    const isGone = error === undefined || error.kind === 'connect'
    const isSafe = this.#isRepeatable && this.#bodyState !== 'spent' && isGone && this.#broken < 2
    if (!isPossible || !isSafe || (!isSpent && this.#hasUntried(now))) throw this.#failed(error)
    const isFirst = this.#heldUntil === undefined
    this.#heldUntil ??= Math.min(now + holdMs, this.#deadline)
    if (hold.isFull && isFirst) {
      meter?.held('full')
      this.#heldUntil = undefined
      throw this.#failed(error)
    }
    const mayTry =
      now < this.#heldUntil &&
      (await hold.wait(this.#places, this.#heldUntil, (cancel) => {
        this.#wake = cancel
      }))
    this.#wake = undefined
    if (!mayTry) {
      meter?.held('failed')
      throw this.#failed(error)
    }
    this.#tried.length = 0
    this.#regions.length = 0
    this.#made = 0
    this.#repeats = 0
    return this.#next()
  }

  /** @throws AttemptsFailed when the deadline comes first */
  async #pause(duration: Millis, error: UpstreamError): Promise<void> {
    const { clock } = this.#ports
    if (clock.monotonic() + duration >= this.#deadline) {
      throw new AttemptsFailed('deadline', { cause: error })
    }
    await new Promise<void>((resolve) => {
      const cancel = clock.after(duration, resolve)
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
    this.#wake = undefined
    if (this.#cancelled) throw this.#failed(error)
  }

  get #bodyState(): BodyState {
    const { body } = this.#request
    return body === null ? 'none' : body.isReplayable ? 'replayable' : 'spent'
  }

  get #depth(): number {
    return retryDepth(this.#request.received.get(RETRY_FIELD))
  }

  #failed(error: UpstreamError | undefined): AttemptsFailed {
    if (this.#cancelled) return new AttemptsFailed('client-closed')
    if (error === undefined) return new AttemptsFailed('no-healthy-origin')
    return new AttemptsFailed(PROBLEM_OF[error.kind], { cause: error })
  }
}

const SCOPES = ['healthy', 'any'] as const

function isOriginsFault(kind: UpstreamErrorClass): boolean {
  return kind !== 'cancelled' && kind !== 'request-body' && kind !== 'stale-connection'
}

function setField(fields: string[], name: string, value: string): void {
  for (let i = 0; i < fields.length; i += 2) {
    if ((fields[i] as string).toLowerCase() === name) {
      fields[i + 1] = value
      return
    }
  }
  fields.push(name, value)
}
