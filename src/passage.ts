/**
 * An exchange on its way through one gateway: the snapshot it started with, and what only the steps need
 * to know. Runtimes make it through `Gateway.admit` and pass it back.
 */

import type { IpAddress } from './exchange.ts'
import {
  type Client,
  Exchange,
  type ExchangeInit,
  type Geo,
  type InterimSink,
  type Millis,
  type TlsInfo,
} from './exchange.ts'
import { Subject } from './expression/subject.ts'
import type { PlatformPlace } from './geo/locate.ts'
import type { CidrSet } from './http/cidr.ts'
import type { ProblemCode } from './http/problem.ts'
import type { PenaltyEvent } from './limits/penalty-box.ts'
import type { LimitResult } from './limits/result.ts'
import type { CompiledRoute, Snapshot } from './snapshot.ts'
import type { Arm } from './steering/rollouts.ts'
import type { Place } from './upstream/attempt.ts'
import type { TicketFault, Visitor } from './waf/challenge/challenge.ts'
import type { WafPass } from './waf/pass.ts'

const NO_PLACES: readonly Place[] = []

/** The direct peer of a connection. One object for each connection, which also keeps what is the same for all its requests. */
export interface Peer {
  readonly ip: IpAddress | undefined
  readonly port: number
  readonly tls: TlsInfo | null
  /** The client, when the peer is not a trusted proxy. */
  client?: Client
  /** What the platform says of the client's place (`request.cf`). */
  readonly place?: PlatformPlace
  geo?: Geo
  geoVersion?: number
  /** The last client that a trusted proxy sent over this connection. */
  forwarded?: ForwardedClient
}

export interface ForwardedClient {
  /** X-Forwarded-For, as it came. */
  readonly chain: string
  /** The proxies that were trusted when the chain was read. */
  readonly trusted: CidrSet
  readonly client: Client
  geo?: Geo
  geoVersion?: number
}

export interface PassageInit extends ExchangeInit {
  readonly snapshot: Snapshot
  readonly peer: Peer
  readonly monotonicStart: Millis
  readonly wantsWebSocket: boolean
  readonly answerLocally: boolean
  /** What the client shows for having solved a challenge; it is no longer among the headers. */
  readonly clearance: string | undefined
}

export class Passage extends Exchange {
  readonly snapshot: Snapshot
  readonly peer: Peer
  /** Monotonic time of the start, for durations. */
  readonly monotonicStart: Millis
  readonly wantsWebSocket: boolean
  readonly answerLocally: boolean
  readonly clearance: string | undefined
  /** Compiled settings of `route`. */
  plan: CompiledRoute | undefined
  /** The WAF's view of it, from the inspection of its head to its end. */
  waf: WafPass | undefined
  /** Where the request may be sent, in order; residency has been applied. */
  places: readonly Place[] = NO_PLACES
  /** In which arm of the route's rollout it is. */
  arm: Arm | undefined
  /** What to answer when the attempts at `places` fail: they are a last resort, known to be down. */
  unavailable: ProblemCode | undefined
  /** Results of the limit checks, to be settled and released. */
  limitResults: LimitResult[] | undefined
  /** What the request did to be held against its client. */
  offence: PenaltyEvent | undefined
  /** Refused by a limit, whose answer has its fields already. */
  isLimited = false
  /** The limits of phase origin have been asked: once for each exchange. */
  isOriginCharged = false
  /** The answer is a page whose fields its script depends on: the route changes none of them. */
  isOwnPage = false
  /** Asked by another gateway of the fleet, whose shield this one is. */
  isFromEdge = false
  /** A fetch in the background, of no client. */
  isDetached = false
  /** Fields to add to whatever is answered: challenges, limits, cookies. */
  replyFields: string[] | undefined
  /** Sends 102 and 103 on; set by runtimes that can. */
  interim: InterimSink | undefined
  #subject: Subject | undefined
  #clearanceFault: TicketFault | 'missing' | 'none' | undefined

  constructor(init: PassageInit) {
    super(init)
    this.snapshot = init.snapshot
    this.peer = init.peer
    this.monotonicStart = init.monotonicStart
    this.wantsWebSocket = init.wantsWebSocket
    this.answerLocally = init.answerLocally
    this.clearance = init.clearance
  }

  /** To whom tickets of challenges are bound. */
  get visitor(): Visitor {
    const userAgent = this.headers.get('user-agent') ?? ''
    return { host: this.host, ip: this.client.ip, userAgent }
  }

  /** Why the client's clearance does not hold; undefined when it does. */
  get clearanceFault(): TicketFault | 'missing' | undefined {
    const { challenge } = this.snapshot
    if (this.clearance === undefined || challenge === undefined) return 'missing'
    // Several rules may ask: the signature is checked once.
    this.#clearanceFault ??=
      challenge.clearanceFault(this.clearance, this.visitor, this.startedAt) ?? 'none'
    return this.#clearanceFault === 'none' ? undefined : this.#clearanceFault
  }

  get isCleared(): boolean {
    return this.clearanceFault === undefined
  }

  /** What expressions are about; made when the first one asks. */
  get subject(): Subject {
    this.#subject ??= new Subject(this)
    return this.#subject
  }

  /** The same request without its client: whatever becomes of it is in nobody's record. */
  detached(): Passage {
    const copy = new Passage({
      id: this.id,
      startedAt: this.startedAt,
      method: this.method,
      scheme: this.scheme,
      httpVersion: this.httpVersion,
      authority: this.authority,
      host: this.host,
      target: this.target,
      headers: this.headers,
      client: this.client,
      body: null,
      snapshot: this.snapshot,
      peer: this.peer,
      monotonicStart: this.monotonicStart,
      wantsWebSocket: false,
      answerLocally: false,
      clearance: undefined,
    })
    copy.isDetached = true
    copy.isFromEdge = this.isFromEdge
    copy.geo = this.geo
    copy.route = this.route
    copy.plan = this.plan
    copy.principal = this.principal
    copy.trace = this.trace
    return copy
  }

  addReplyFields(fields: readonly string[]): void {
    if (this.replyFields === undefined) this.replyFields = [...fields]
    else this.replyFields.push(...fields)
  }
}
