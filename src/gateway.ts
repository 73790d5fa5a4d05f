/**
 * The gateway: one request's path, in order. START HERE.
 *
 * ```
 * admit ─▶ accept ─▶ locate ─▶ route ─▶ guard ─▶ inspect ─▶ identify ─▶ quota ─▶ recall ─▶ steer ─▶ forward
 *                                        (address)                       (identity)
 * ```
 * Each step answers, or lets the request pass; `settle` completes whatever was answered, and `finish` writes
 * the one record when the answer has left. A snapshot holds all compiled settings; a request keeps the one
 * it began with, a reload swaps one reference.
 */

import type { ResponseCache } from './cache/response-cache.ts'
import {
  type BodySource,
  type Client,
  HeaderList,
  type Reply,
  RequestBodyError,
  type StepResult,
  type Target,
} from './exchange.ts'
import { clientAddress, forwardedScheme } from './http/client-address.ts'
import { type RawRequest, type Vetted, vet } from './http/front.ts'
import { type ProblemCode, problem } from './http/problem.ts'
import { requestIds } from './http/request-id.ts'
import type { SharedLimits } from './limits/shared.ts'
import { Passage, type Peer } from './passage.ts'
import type { Platform } from './ports.ts'
import type { Snapshot } from './snapshot.ts'
import { accept } from './steps/accept.ts'
import { NotAdmitted, watchAdmission } from './steps/admission.ts'
import { forward } from './steps/forward.ts'
import { deny, guard, quota } from './steps/guard.ts'
import { identify } from './steps/identify.ts'
import { inspect } from './steps/inspect.ts'
import { locate } from './steps/locate.ts'
import { recall } from './steps/recall.ts'
import { watchRollouts } from './steps/rollout-control.ts'
import { route } from './steps/route.ts'
import { conclude, settle } from './steps/settle.ts'
import { steer, unavailable } from './steps/steer.ts'
import { watchThreats } from './steps/threats.ts'
import type { ReadyAlert } from './telemetry/alerts/courier.ts'
import type { RequestRecorder } from './telemetry/recorder.ts'
import type { Telemetry } from './telemetry/telemetry.ts'
import type { TopMisses } from './telemetry/top-misses.ts'
import { AttemptsFailed } from './upstream/attempt.ts'
import { takeClearance } from './waf/challenge/clearance-cookie.ts'

export { Passage, type Peer } from './passage.ts'

/** What the steps share beside the exchange: ports and state that outlives a snapshot. */
export interface Services {
  readonly platform: Platform
  readonly telemetry: Telemetry
  /** Undefined where nothing is kept. */
  readonly cache: ResponseCache | undefined
  /** Counters beyond this process. */
  readonly shared?: SharedLimits<Passage> | undefined
  /** Keeps the last requests; undefined where nobody asked for it. */
  readonly recorder?: RequestRecorder | undefined
  /** Counts what the cache misses; undefined where nobody could ask for it. */
  readonly misses?: TopMisses | undefined
}

export type GatewayStep = (x: Passage, services: Services) => StepResult

/** The request's path. Names, order and meaning are in `docs/architecture.md`. */
const PATH: readonly GatewayStep[] = [
  accept,
  locate,
  route,
  guard,
  inspect,
  identify,
  quota,
  recall,
  steer,
  forward,
]

/** What a runtime knows once the answer has left, or could not. */
export interface Delivery {
  readonly bytesIn: number
  readonly bytesOut: number
  /** Whether the client got all of it. */
  readonly complete: boolean
}

export class Gateway {
  readonly services: Services
  readonly #platform: Platform
  readonly #nextId: (now: number) => string
  #snapshot: Snapshot

  constructor(services: Services, snapshot: Snapshot) {
    this.services = services
    this.#platform = services.platform
    this.#nextId = requestIds(services.platform.random.bytes(5))
    this.#snapshot = snapshot
    services.telemetry.metrics.price(snapshot.config.regions)
    watchAdmission(services, () => this.#snapshot)
    watchRollouts(services, () => this.#snapshot)
  }

  get snapshot(): Snapshot {
    return this.#snapshot
  }

  /** Requests that begin from now on use `next`; those under way finish with theirs. */
  swap(next: Snapshot): void {
    // Again, for what was ordered while the next snapshot was being compiled.
    next.drains.adopt(this.#snapshot.drains)
    this.#snapshot = next
    this.services.telemetry.metrics.price(next.config.regions)
  }

  /**
   * Vets a request and makes its exchange. A refused one is an exchange too, with `refusal` set.
   * @param openBody called for a request that may have a body; `owner` is handed through
   */
  admit<Owner>(
    raw: RawRequest,
    peer: Peer,
    owner: Owner,
    openBody: (owner: Owner, vetted: Vetted) => BodySource | null,
  ): Passage {
    const snapshot = this.#snapshot
    this.services.telemetry.metrics.inFlight.addAt(0, 1)
    const now = this.#platform.clock.now()
    const monotonicStart = this.#platform.clock.monotonic()
    const vetted = vet(raw, snapshot.front)
    if ('refusal' in vetted) {
      return this.#refused(vetted.refusal, raw, peer, snapshot)
    }
    const client = clientOf(peer, vetted.headers, snapshot)
    const scheme =
      (client.viaTrustedProxy ? forwardedScheme(vetted.headers) : undefined) ??
      (raw.secure ? 'https' : 'http')
    const taken =
      snapshot.challenge === undefined ? undefined : takeClearance(vetted.headers, scheme)
    const fields = taken === undefined ? vetted.headers : taken.headers
    const own = snapshot.identity?.login?.names.take(fields)
    const x = new Passage({
      id: this.#nextId(now),
      startedAt: now,
      method: raw.method,
      scheme,
      httpVersion: raw.version,
      authority: vetted.authority,
      host: vetted.host,
      target: vetted.target,
      headers: own === undefined ? fields : own.headers,
      login: own?.login,
      client,
      body: openBody(owner, vetted),
      snapshot,
      peer,
      monotonicStart,
      wantsWebSocket: vetted.wantsWebSocket && raw.version === '1.1' && raw.method === 'GET',
      answerLocally: vetted.answerLocally,
      clearance: taken?.clearance,
    })
    x.trace = this.services.telemetry.tracer.begin(client.viaTrustedProxy ? x.headers : undefined)
    return x
  }

  /** An exchange and its answer for what never became a request (the parser refused it). */
  refuse(code: ProblemCode, peer: Peer): { exchange: Passage; reply: Reply } {
    this.services.telemetry.metrics.inFlight.addAt(0, 1)
    const raw: RawRequest = { method: '', target: '', version: '1.1', headers: [], secure: false }
    const exchange = this.#refused(code, raw, peer, this.#snapshot)
    exchange.outcome = code
    return { exchange, reply: settle(exchange, problem(code, exchange.id), this.services) }
  }

  #refused(code: ProblemCode, raw: RawRequest, peer: Peer, snapshot: Snapshot): Passage {
    const now = this.#platform.clock.now()
    const headers = new HeaderList(raw.headers)
    const x = new Passage({
      id: this.#nextId(now),
      startedAt: now,
      method: raw.method.slice(0, 32),
      scheme: raw.secure ? 'https' : 'http',
      httpVersion: raw.version,
      authority: '',
      host: '',
      target: refusedTarget(raw.target),
      headers,
      client: clientOf(peer, headers, snapshot),
      body: null,
      refusal: code,
      snapshot,
      peer,
      monotonicStart: this.#platform.clock.monotonic(),
      wantsWebSocket: false,
      answerLocally: false,
      clearance: undefined,
    })
    x.trace = this.services.telemetry.tracer.begin(undefined)
    return x
  }

  /** Answers a request. Never rejects: a failure is an answer too. Synchronous whenever nothing waits. */
  handle(x: Passage): Reply | Promise<Reply> {
    let reply: StepResult
    try {
      reply = this.#walk(x, 0)
    } catch (error) {
      return settle(x, this.#failure(x, error), this.services)
    }
    if (!(reply instanceof Promise)) return conclude(x, reply ?? this.#unanswered(x), this.services)
    return reply.then(
      (answer) => conclude(x, answer ?? this.#unanswered(x), this.services),
      (error: unknown) => settle(x, this.#failure(x, error), this.services),
    )
  }

  #walk(x: Passage, from: number): StepResult {
    for (let i = from; i < PATH.length; i++) {
      const answer = (PATH[i] as GatewayStep)(x, this.services)
      if (answer === undefined) continue
      if (!(answer instanceof Promise)) return answer
      return answer.then((reply) => reply ?? this.#walk(x, i + 1))
    }
    return undefined
  }

  /** `forward` always answers or throws; reaching this is a bug, and is answered as one. */
  #unanswered(x: Passage): Reply {
    return this.#failure(x, new Error('no step answered'))
  }

  #failure(x: Passage, error: unknown): Reply {
    if (error instanceof NotAdmitted && error.result !== undefined) {
      return deny(x, error.result, this.services)
    }
    let code: ProblemCode = 'internal'
    if (error instanceof AttemptsFailed) code = bodyProblem(error) ?? error.code
    else if (error instanceof RequestBodyError) code = error.problem
    else if (x.aborted) code = 'client-closed'
    else {
      this.#platform.log.error('a request failed inside the gateway', {
        requestId: x.id,
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      })
    }
    x.outcome = code
    return unavailable(x, code)
  }

  /**
   * The answer has left, or cannot any more. To be called exactly once for every exchange.
   * @param reply undefined when the client left before there was one
   */
  finish(x: Passage, reply: Reply | undefined, delivery: Delivery): void {
    const { telemetry, recorder, misses } = this.services
    telemetry.metrics.inFlight.addAt(0, -1)
    if (reply === undefined) x.outcome = 'client-closed'
    if (x.waf !== undefined) x.verdicts = x.waf.finish()
    if (x.limitResults !== undefined) x.snapshot.limits.release(x.limitResults)
    if (recorder !== undefined) recorder.record(x, reply?.status ?? 0, telemetry.mask)
    const { logShare, alerts } = x.snapshot
    const asks = logShare !== undefined || (alerts.length > 0 && alerts.some(hasExpression))
    if (asks && reply !== undefined) {
      x.subject.response ??= { status: reply.status, headers: new HeaderList(reply.headers) }
    }
    const now = this.#platform.clock.monotonic()
    const record = telemetry.settle(
      x,
      {
        status: reply?.status ?? 0,
        bytesIn: delivery.bytesIn,
        bytesOut: delivery.bytesOut,
        durationMs: now - x.monotonicStart,
        monotonicStart: x.monotonicStart,
      },
      logShare,
    )
    if (misses !== undefined) misses.add(record)
    if (x.snapshot.threats !== undefined) watchThreats(x, record, this.services, now)
  }
}

/** Whether an alert asks each request, and what was answered. */
function hasExpression({ matches }: ReadyAlert): boolean {
  return matches !== undefined
}

/** The beginning of a target that was never read: what looks like its query is masked as one. */
function refusedTarget(raw: string): Target {
  const pathAndQuery = raw.slice(0, 256)
  const mark = pathAndQuery.indexOf('?')
  if (mark < 0) return { raw: pathAndQuery, path: pathAndQuery, query: '', pathAndQuery }
  const path = pathAndQuery.slice(0, mark)
  return { raw: pathAndQuery, path, query: pathAndQuery.slice(mark + 1), pathAndQuery }
}

/** What was wrong with the client's body, when that is why the attempts failed. */
function bodyProblem(error: AttemptsFailed): ProblemCode | undefined {
  const cause = error.cause instanceof Error ? error.cause.cause : undefined
  return cause instanceof RequestBodyError ? cause.problem : undefined
}

/** The client behind a peer; the same object for all requests of a connection that is not a proxy's. */
function clientOf(peer: Peer, headers: HeaderList, snapshot: Snapshot): Client {
  if (!snapshot.trusted.contains(peer.ip)) {
    peer.client ??= {
      ip: peer.ip,
      port: peer.port,
      peer: peer.ip,
      viaTrustedProxy: false,
      tls: peer.tls,
      addressHash: undefined,
      shown: undefined,
    }
    return peer.client
  }
  const { trusted } = snapshot
  const chain = headers.joined('x-forwarded-for')
  const known = peer.forwarded
  if (known !== undefined && known.chain === chain && known.trusted === trusted) return known.client
  const { ip, viaTrustedProxy } = clientAddress(peer.ip, headers, trusted)
  const client: Client = {
    ip,
    port: peer.port,
    peer: peer.ip,
    viaTrustedProxy,
    tls: peer.tls,
    addressHash: undefined,
    shown: undefined,
  }
  if (chain !== undefined) peer.forwarded = { chain, trusted, client }
  return client
}
