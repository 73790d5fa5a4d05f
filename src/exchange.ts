/**
 * One request on its way through the gateway, and what goes back.
 *
 * The lowest layer: everything may import it, it imports nothing. Data only; the rules of HTTP are in
 * `http/`, the request's path is in `gateway.ts`.
 */

/** Milliseconds: a point in time since the Unix epoch, or a duration; the name says which. */
export type Millis = number
/** Whole seconds, the unit of every delta in HTTP caching (RFC 9111 §1.2.2). */
export type Seconds = number

/**
 * An IP address in binary. IPv4-mapped, NAT64 (64:ff9b::/96) and 6to4 addresses are IPv4 here, so that
 * every later table sees one form (see `http/ip.ts`).
 */
export interface IpAddress {
  readonly family: 4 | 6
  /** IPv4: one unsigned 32-bit word. IPv6: four, most significant first. */
  readonly words: readonly number[]
  /** Canonical text (RFC 5952 for IPv6). */
  readonly text: string
}

/** What TLS told us about a client's connection. */
export interface TlsInfo {
  readonly version: string
  readonly cipher?: string
  readonly serverName?: string
  /** Present when the client showed a certificate; `verified` says whether it chains to a trusted CA. */
  readonly certificate?: {
    readonly verified: boolean
    readonly subject: string
    readonly issuer: string
    readonly serial: string
    /** SHA-256 of the DER, lower-case hex. */
    readonly fingerprint256: string
  }
}

/** Who sent the request, after the trusted-proxy walk. */
export interface Client {
  /** `undefined` when the runtime could not tell (a Unix socket, a test). */
  readonly ip: IpAddress | undefined
  readonly port: number
  /** The address of the direct peer; differs from `ip` behind a trusted proxy. */
  readonly peer: IpAddress | undefined
  /** Whether the peer is in `trustedProxies`, so that its forwarding and geo headers are believed. */
  readonly viaTrustedProxy: boolean
  readonly tls: TlsInfo | null
  /** Hash of the address under a key of the process; made by limits when they first count it. */
  addressHash?: { readonly by: object; readonly high: number; readonly low: number } | undefined
  /** What a mask shows of the address; made when it is first recorded. */
  shown?: { readonly by: object; readonly text: string } | undefined
}

/** Where a client is. Slot 0 is "unknown"; equal slots have equal country and coordinates. */
export interface Geo {
  readonly slot: number
  /** ISO 3166-1 alpha-2, upper case. */
  readonly country: string | null
  /** Two letters: AF AN AS EU NA OC SA. */
  readonly continent: string | null
  readonly isEuropeanUnion: boolean
  /** Degrees; NaN when unknown. */
  readonly latitude: number
  readonly longitude: number
  /** How far off the coordinates may be, kilometres; 0 when not stated. */
  readonly radiusKm: number
  readonly asn: number | null
  readonly source: 'platform' | 'header' | 'mmdb' | 'none'
}

export const UNKNOWN_GEO: Geo = Object.freeze({
  slot: 0,
  country: null,
  continent: null,
  isEuropeanUnion: false,
  latitude: Number.NaN,
  longitude: Number.NaN,
  radiusKm: 0,
  asn: null,
  source: 'none',
})

/** Header fields in wire order and case: name, value, name, value. Immutable. */
export class HeaderList {
  readonly flat: readonly string[]
  #names: string[] | undefined

  constructor(flat: readonly string[]) {
    this.flat = flat
  }

  /** Number of fields. */
  get size(): number {
    return this.flat.length >> 1
  }

  /** Lower-case names by field index, built on first use. */
  names(): readonly string[] {
    if (this.#names === undefined) {
      const names: string[] = []
      for (let i = 0; i < this.flat.length; i += 2)
        names.push((this.flat[i] as string).toLowerCase())
      this.#names = names
    }
    return this.#names
  }

  /** First value of a field; `name` must be lower case. */
  get(name: string): string | undefined {
    const index = this.names().indexOf(name)
    return index < 0 ? undefined : this.flat[index * 2 + 1]
  }

  has(name: string): boolean {
    return this.names().includes(name)
  }

  /** All values of a field, in wire order; `name` must be lower case. */
  all(name: string): string[] {
    const names = this.names()
    const values: string[] = []
    for (let i = 0; i < names.length; i++) {
      if (names[i] === name) values.push(this.flat[i * 2 + 1] as string)
    }
    return values
  }

  /** All values joined as a list field (RFC 9110 §5.3), or `undefined` when absent. */
  joined(name: string): string | undefined {
    const names = this.names()
    const first = names.indexOf(name)
    if (first < 0) return undefined
    // Nearly every field comes once: its value is the answer.
    let value = this.flat[first * 2 + 1] as string
    for (let i = names.indexOf(name, first + 1); i >= 0; i = names.indexOf(name, i + 1)) {
      value = `${value}, ${this.flat[i * 2 + 1]}`
    }
    return value
  }
}

/**
 * The request target in canonical form: the one string that WAF, router, cache key and origin all see.
 * Made by `http/target.ts`.
 */
export interface Target {
  /** As it came on the request line. */
  readonly raw: string
  /** Begins with `/`; dots resolved, unreserved characters decoded, percent triplets upper case. */
  readonly path: string
  /** Without `?`; empty when there is none. */
  readonly query: string
  /** `path`, or `path?query`: what goes on the wire to the origin. */
  readonly pathAndQuery: string
}

/** Takes bytes. `write` answers false when the sink is full: stop until the stream's `resume()`. */
export interface ByteSink {
  write(chunk: Uint8Array): boolean
  /** The body is complete. */
  end(trailers?: readonly string[]): void
  /** The body was cut: the receiver must see a truncation, never a clean end. */
  fail(error: Error): void
}

/** A body that arrives over time. `pipe` is called once; back-pressure through `write` and `resume`. */
export interface ByteStream {
  /** Bytes to come when the sender said so, else null. */
  readonly length: number | null
  pipe(sink: ByteSink): void
  resume(): void
  /** Stop the producer; the sink hears nothing more. */
  cancel(reason?: Error): void
}

export type Body = Uint8Array | ByteStream | null

/** The client's request body: an inspectable prefix, replayable while it fits in memory. */
export interface BodySource {
  /** From Content-Length, or null for a chunked body. */
  readonly length: number | null
  /**
   * The first bytes, at most `limit`, waiting until the limit or the end is reached.
   * Synchronous when they are already here. Rejects when the client cuts the body.
   */
  prefix(limit: number): BodyPrefix | Promise<BodyPrefix>
  /**
   * The whole body for one attempt. While everything read so far is still in memory (`isReplayable`)
   * it may be called again for another attempt.
   */
  open(): Uint8Array | ByteStream
  readonly isReplayable: boolean
  /** Read and drop the rest, so that the connection can be reused, or give up on it. */
  discard(): void
  /** From now on the body fails with `body-too-large` above this many bytes. */
  limitTo?(maxBytes: number): void
}

export interface BodyPrefix {
  readonly bytes: Uint8Array
  /** Whether the body goes on after `bytes`. */
  readonly truncated: boolean
}

/** The client's request body failed; never an origin's fault. `problem` is a code of `http/problem.ts`. */
export class RequestBodyError extends Error {
  override readonly name = 'RequestBodyError'
  readonly problem: 'body-cut' | 'body-too-large' | 'request-timeout'
  constructor(problem: 'body-cut' | 'body-too-large' | 'request-timeout') {
    super(problem)
    this.problem = problem
  }
}

/** Who the request acts for, after identification. */
export interface Principal {
  /** How the identity was proven. */
  readonly kind:
    | 'jwt'
    | 'opaque'
    | 'api-key'
    | 'signed-url'
    | 'certificate'
    | 'session'
    | 'anonymous'
  readonly subject: string
  readonly issuer: string | null
  readonly scopes: readonly string[]
  /** Verified claims; frozen. */
  readonly claims: Readonly<Record<string, unknown>>
  readonly roles?: readonly string[] | undefined
  readonly tenant?: string | undefined
  /** The client (application) that acts for the subject. */
  readonly clientId?: string | undefined
  /** Authentication context and methods (OpenID Connect Core §2), and when, seconds since the epoch. */
  readonly acr?: string | undefined
  readonly amr?: readonly string[] | undefined
  readonly authenticatedAt?: Seconds | undefined
  /** When the credentials end, seconds since the epoch. */
  readonly expiresAt?: Seconds | undefined
  /** What the credentials are bound to, when they are. */
  readonly bound?: 'dpop' | 'certificate' | undefined
}

/** One rule's finding. */
export interface Verdict {
  readonly rule: string
  readonly ruleset: string
  readonly action: 'block' | 'challenge' | 'log' | 'skip' | 'allow' | 'score'
  /** Whether the action was carried out; false for `mode: simulate` and for logging. */
  readonly enforced: boolean
  readonly phase: 'request' | 'response'
  readonly description: string
  /** Where it matched, e.g. `http.request.uri.query`, when the rule knows. */
  readonly target?: string
  /** A short, masked piece of what matched. */
  readonly match?: string
  readonly score?: number
  /** A challenge that the client has solved before: not carried out. */
  readonly isCleared?: true
}

/** Why a candidate region was, or was not, chosen. Bit set; see `steering/`. */
export interface CandidateVerdict {
  readonly region: string
  /** Lower is better; the unit depends on the policy (km, ms, order). */
  readonly cost: number
  readonly outcome:
    | 'chosen'
    | 'available'
    | 'unhealthy'
    | 'residency'
    | 'drained'
    | 'not-in-route'
    | 'tried'
}

export interface SteeringDecision {
  readonly region: string
  /** Regions to try in order, the chosen one first; residency has already been applied. */
  readonly order: readonly string[]
  readonly policy: string
  readonly reason: string
}

/** Where a request stands in a distributed trace (W3C Trace Context). Ids are lower-case hex. */
export interface TraceSpan {
  readonly traceId: string
  /** The caller's span; empty when the trace begins here. */
  readonly parentId: string
  /** The gateway's own span; empty when the trace only passes through. */
  readonly spanId: string
  readonly isSampled: boolean
  /** `tracestate` as it came. */
  readonly state: string
}

/** One try at one origin. */
export interface Attempt {
  readonly region: string
  readonly pool: string
  readonly origin: string
  /** `ok`, or the error class that ended it. */
  readonly outcome: string
  readonly status: number | null
  readonly durationMs: Millis
  /** Monotonic. */
  readonly startedAt?: Millis
  /** Its span, in a trace. */
  readonly spanId?: string | undefined
  /** Where it went. */
  readonly host?: string
  readonly port?: number
}

/** RFC 9211 in parts; the text form is made by the cache. */
export interface CacheStatus {
  readonly outcome: 'hit' | 'stale' | 'revalidated' | 'miss' | 'bypass' | 'pass'
  /** Why, from the cache's own list. */
  readonly reason: string
  readonly header: string
  /** The content coding that was made here. */
  readonly coding?: string
}

/** The gateway's own cookies of a browser's login; they are no longer among the headers. */
export interface LoginCookies {
  /** The session, its pieces put together; undefined when there is none that is whole. */
  readonly session: string | undefined
  /** Names of all pieces that came. */
  readonly sessionNames: readonly string[]
  /** Logins that were begun, by cookie name. */
  readonly pending: ReadonlyMap<string, string>
}

/** The route that matched: its id for people, its index into the snapshot's tables. */
export interface RouteRef {
  readonly id: string
  readonly index: number
}

export interface ExchangeInit {
  id: string
  startedAt: Millis
  method: string
  scheme: 'http' | 'https'
  httpVersion: '1.0' | '1.1' | '2'
  authority: string
  host: string
  target: Target
  headers: HeaderList
  client: Client
  body: BodySource | null
  /** Set when the front refused the request: a code of `http/problem.ts`. */
  refusal?: string | undefined
  login?: LoginCookies | undefined
}

/** One request and what the gateway has learnt of it. Steps add; nothing else is shared between steps. */
export class Exchange {
  /** Request id: sortable by time, unique across nodes. */
  readonly id: string
  /** From the Clock, taken once. */
  readonly startedAt: Millis
  readonly method: string
  readonly scheme: 'http' | 'https'
  readonly httpVersion: '1.0' | '1.1' | '2'
  /** Host as sent (lower case), with its port when one was given: what the origin gets. */
  readonly authority: string
  /** `authority` without the port. */
  readonly host: string
  /** Replaced once, when credentials that stood in it have been used: neither cache nor origin sees them. */
  target: Target
  readonly headers: HeaderList
  readonly client: Client
  readonly body: BodySource | null
  readonly refusal: string | undefined
  readonly login: LoginCookies | undefined

  geo: Geo = UNKNOWN_GEO
  route: RouteRef | undefined
  principal: Principal | undefined
  trace: TraceSpan | undefined
  /** Empty and shared until a rule matches; replace it, never push into it. */
  verdicts: readonly Verdict[] = NO_VERDICTS
  decision: SteeringDecision | undefined
  cacheStatus: CacheStatus | undefined
  /** The stored response whose body the reply has. */
  served: CodableBody | undefined
  /** Empty and shared until the first attempt; replace it, never push into it. */
  attempts: readonly Attempt[] = NO_ATTEMPTS
  /** Why the reply is what it is: a problem code, or `served`. */
  outcome = 'served'
  /** One sentence for people that says more than `outcome`, from whoever refused; not for clients. */
  why: string | undefined
  /** True once the client has gone. */
  aborted = false
  /**
   * What to stop when the client goes; set by whoever waits. An object, not a function: V8 keeps closures
   * that are stored in fields of such short-lived objects alive until the next full collection, which
   * made each request cost four times as much (measured on Node 20).
   */
  onAbort: Cancellable | undefined

  constructor(init: ExchangeInit) {
    this.id = init.id
    this.startedAt = init.startedAt
    this.method = init.method
    this.scheme = init.scheme
    this.httpVersion = init.httpVersion
    this.authority = init.authority
    this.host = init.host
    this.target = init.target
    this.headers = init.headers
    this.client = init.client
    this.body = init.body
    this.refusal = init.refusal
    this.login = init.login
  }

  /** The client has gone: stop what is under way. Safe to call more than once. */
  abort(): void {
    if (this.aborted) return
    this.aborted = true
    this.onAbort?.cancel()
  }
}

const NO_VERDICTS: readonly Verdict[] = Object.freeze([])
const NO_ATTEMPTS: readonly Attempt[] = Object.freeze([])

/** Something under way that can be given up. */
export interface Cancellable {
  cancel(): void
}

/** Takes 102 and 103 responses on to the client. */
export interface InterimSink {
  interim(status: number, headers: string[]): void
}

/** A body that is served again and again, and keeps what it is in a content coding. */
export interface CodableBody {
  readonly body: Uint8Array | null
  /** What is kept comes at once; `make` is asked once for all who want the variant. */
  coded(variant: string, make: () => Promise<Uint8Array>): Uint8Array | Promise<Uint8Array>
}

/** What goes back. Headers are a flat list in wire order: name, value, name, value. */
export interface Reply {
  status: number
  headers: string[]
  body: Body
  trailers?: readonly string[]
  /** The other side of an accepted upgrade (status 101); opaque here, made and used by one runtime. */
  tunnel?: object
}

/** A step answers, or lets the request pass. Steps are synchronous whenever they can be. */
export type StepResult = Reply | undefined | Promise<Reply | undefined>
