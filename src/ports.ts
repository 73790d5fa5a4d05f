/**
 * Every interface to the outside. A runtime binds them; tests bind fakes; nothing else does I/O, reads a
 * clock or draws a random number.
 */
import type { ByteStream, Geo, InterimSink, IpAddress, Millis } from './exchange.ts'

/** Time and timers. */
export interface Clock {
  /** Wall clock, milliseconds since the epoch. May step; for dates, tokens and records. */
  now(): Millis
  /** Never steps back, milliseconds from an arbitrary start; for durations, limits, health and age. */
  monotonic(): Millis
  /** Calls `run` once after `delay`; the answer cancels it. Must not keep a process alive. */
  after(delay: Millis, run: () => void): () => void
}

export interface Random {
  /** Uniform in [0, 1). Not for secrets. */
  next(): number
  /** Unpredictable bytes. */
  bytes(count: number): Uint8Array
}

/** Where an address is. Never throws; an address it does not know is slot 0. */
export interface GeoSource {
  lookup(ip: IpAddress | undefined): Geo
  /** Changes when the data behind it was swapped; answers kept from an older version are to be dropped. */
  readonly version: number
}

/** Why an attempt failed, by what the failure allows to be done next (`upstream/classify.ts`). */
export type UpstreamErrorClass =
  /** Nothing reached the origin: refused, unreachable, DNS, TLS handshake, connect timeout. */
  | 'connect'
  /** A kept-alive socket that the origin had closed; nothing was answered. */
  | 'stale-connection'
  /** Sent, and the connection broke or the message was invalid before a response header came. */
  | 'reset'
  | 'protocol'
  /** Sent, and no response header came in time. */
  | 'timeout'
  /** The response body was cut or stalled. */
  | 'truncated'
  /** We gave up: the client left, or the deadline passed. */
  | 'cancelled'
  /** The client's own request body failed; never the origin's fault. */
  | 'request-body'

export class UpstreamError extends Error {
  override readonly name = 'UpstreamError'
  readonly kind: UpstreamErrorClass
  constructor(kind: UpstreamErrorClass, detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.kind = kind
  }
}

export interface UpstreamRequest {
  readonly method: string
  /** Origin-form target. */
  readonly path: string
  /** Flat name, value list; holds `host`. */
  readonly headers: string[]
  readonly body: Uint8Array | ByteStream | null
  readonly connectTimeoutMs: Millis
  /** From the request being sent to its response header. */
  readonly firstByteTimeoutMs: Millis
  /** From `send` to the response header, connecting included; a body that is being sent stops it. */
  readonly totalTimeoutMs?: Millis | undefined
  /** Never on a connection that was used before; runtimes that cannot choose do as always. */
  readonly fresh?: boolean | undefined
  /** Between two pieces of the response body. */
  readonly idleTimeoutMs: Millis
  /** Bodies of known length up to this many bytes are collected before the promise resolves. */
  readonly collectBytes: number
  /** Asks for an upgraded connection; the reply then has a `tunnel`, or is the origin's ordinary answer. */
  readonly upgrade?: 'websocket' | undefined
  /** 102 and 103 responses. */
  readonly interim?: InterimSink | undefined
}

export interface UpstreamReply {
  readonly status: number
  readonly headers: string[]
  readonly body: Uint8Array | ByteStream | null
  readonly tunnel?: object | undefined
}

/** One HTTP exchange with one origin. No retries, no redirects, no decoding: that is `upstream/`'s business. */
export interface Upstream {
  /** @throws UpstreamError */
  send(origin: OriginAddress, request: UpstreamRequest): UpstreamCall
  /** Lets go of idle connections to origins that are not in the list; those in use end first. */
  retain?(origins: readonly OriginAddress[]): void
}

export interface UpstreamCall {
  readonly reply: Promise<UpstreamReply>
  /** Gives up; `reply` rejects with `cancelled` if it is still pending. */
  cancel(): void
}

/** What a name resolves to. */
export interface ResolvedAddress {
  readonly address: string
  readonly family: 4 | 6
  /** Of a service record (RFC 2782) alone, which says them as well. */
  readonly port?: number | undefined
  readonly weight?: number | undefined
}

/** Keeps names of origins resolved. */
export interface NameSource {
  /** The last good answer, in the resolver's order; undefined before the first one. */
  addresses(name: string): readonly ResolvedAddress[] | undefined
  /**
   * Asks for a name again whenever its time to live, kept between the limits, is over.
   * @param onChange after each answer with other addresses than before
   * @returns ends it
   */
  watch(name: string, limits: LifetimeLimits, onChange: () => void): () => void
}

export interface LifetimeLimits {
  readonly leastMs: Millis
  readonly mostMs: Millis
}

/** Where an origin listens, and how to talk to it. */
export interface OriginAddress {
  /** Stable over reloads: names the connection pool and the health record. */
  readonly id: string
  /** Id in the config of the origin that this is one address of; undefined when it is all of it. */
  readonly partOf?: string | undefined
  /** Connect to these alone; undefined: whatever the name resolves to. TLS and Host keep to the name. */
  readonly addresses?: readonly ResolvedAddress[] | undefined
  readonly scheme: 'http' | 'https'
  readonly hostname: string
  readonly port: number
  /** Unix socket path instead of host and port. */
  readonly socketPath?: string | undefined
  readonly tls?: OriginTls | undefined
  /** Most connections to this origin; requests above it wait. */
  readonly maxConnections: number
  /** How long an idle connection is kept; undefined: the runtime's own choice. */
  readonly keepAliveMs?: number | undefined
  readonly http2: boolean
}

export interface OriginTls {
  readonly serverName?: string | undefined
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** False only when the config says so in as many words. */
  readonly verify: boolean
}

/** Fetches key sets, introspection answers and the like, for identity; small bodies only. */
export interface KeySource {
  fetch(
    url: string,
    init?: { method?: string; headers?: Record<string, string>; body?: string },
  ): Promise<{
    status: number
    headers: Record<string, string>
    body: Uint8Array
  }>
}

/** What a provider granted to a browser's user. */
export interface OpenIdGrant {
  /** Of the ID token, its signature checked; undefined when a refresh brought none. */
  readonly claims: Readonly<Record<string, unknown>> | undefined
  readonly idToken: string | undefined
  readonly refreshToken: string | undefined
  /** Seconds that the access token lives; undefined when the provider does not say. */
  readonly accessLifetime: number | undefined
  /** Scopes granted, where they differ from those that were asked for. */
  readonly scope: string | undefined
}

/** One OpenID provider, as one client sees it. All reject with `OpenIdError`. */
export interface OpenIdProvider {
  /** Where a browser is sent to log in. */
  authorizationUrl(parameters: Readonly<Record<string, string>>): Promise<string>
  /** @param callback the whole URL to which the provider sent the browser back */
  redeem(
    callback: string,
    checks: { readonly state: string; readonly nonce: string; readonly verifier: string },
  ): Promise<OpenIdGrant>
  refresh(refreshToken: string): Promise<OpenIdGrant>
  /** Ends a refresh token (RFC 7009), where the provider can. */
  revoke(refreshToken: string): Promise<void>
  /** Where a browser is sent to log out there too; undefined when the provider has no such place. */
  logoutUrl(parameters: Readonly<Record<string, string>>): Promise<string | undefined>
}

export interface OpenIdClientOptions {
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: string | undefined
  readonly authentication: 'basic' | 'post'
  /** Clock difference that is tolerated, seconds. */
  readonly skew: number
  readonly keys: KeySource
  readonly clock: Clock
}

/** OpenID Connect for browsers. The library behind it is optional: loaded when a config has a login. */
export interface OpenIdLibrary {
  /** @throws Error that says what to install, when it is not there */
  load(): Promise<(options: OpenIdClientOptions) => OpenIdProvider>
}

export class OpenIdError extends Error {
  override readonly name = 'OpenIdError'
  /**
   * `unavailable`: the provider cannot be reached or fails. `refused`: it said no. `invalid`: its answer, or
   * what a browser brought back in its name, does not hold.
   */
  readonly kind: 'unavailable' | 'refused' | 'invalid'
  constructor(kind: OpenIdError['kind'], detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.kind = kind
  }
}

/** Takes finished request records and events. Never blocks, never throws. */
export interface RecordSink {
  /** One line of JSON without the newline. */
  line(text: string): void
}

/** Posts JSON: what was gathered to a collector of telemetry, alerts to whoever wants them. No redirects. */
export interface Uplink {
  /** @throws when there is no answer within the time */
  post(
    url: string,
    headers: Readonly<Record<string, string>>,
    body: string,
    timeoutMs: Millis,
  ): Promise<{
    readonly status: number
    readonly retryAfter: string | undefined
    /** The beginning of it. */
    readonly body: string
  }>
  /** Lets go of connections. */
  close?(): Promise<void>
}

/** Operational messages for people (start, reload, health changes); not one per request. */
export interface Logger {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}

/** What came out of a content coding. */
export interface DecodedBytes {
  readonly bytes: Uint8Array
  /** Bytes of the input that it took, give or take a piece. */
  readonly consumed: number
  /** `complete`: all of it; `cut`: the input ends early; `full`: there is more; `broken`: it is not this coding. */
  readonly end: 'complete' | 'cut' | 'full' | 'broken'
}

/** Takes content codings off, for inspection only. */
export interface Decoder {
  /**
   * @param coding lower case, such as `gzip`
   * @param most   bytes of output that are wanted
   * @returns undefined for a coding that the runtime does not know; never rejects
   */
  decode(coding: string, bytes: Uint8Array, most: number): Promise<DecodedBytes> | undefined
}

export type ContentCoding = 'br' | 'gzip' | 'zstd'

/** Puts content codings on responses. `level` is 1 to 9. */
export interface Compressor {
  readonly codings: readonly ContentCoding[]
  bytes(coding: ContentCoding, level: number, body: Uint8Array): Promise<Uint8Array>
  /** As the source arrives: what came is passed on soon, a cut source is a cut stream. */
  stream(coding: ContentCoding, level: number, source: ByteStream): ByteStream
}

/** Everything that a runtime brings. */
export interface Platform {
  readonly name: 'node' | 'workers' | 'web' | 'test'
  readonly clock: Clock
  readonly random: Random
  readonly upstream: Upstream
  /** Without it, names are resolved by the upstream alone. */
  readonly names?: NameSource | undefined
  readonly geo: GeoSource
  readonly keys: KeySource
  /** Without it, a config with a login does not compile. */
  readonly openId?: OpenIdLibrary | undefined
  readonly access: RecordSink
  readonly log: Logger
  /** Without it, compressed request bodies cannot be looked into. */
  readonly decoder?: Decoder | undefined
  /** Without it, responses keep the coding they came in. */
  readonly compressor?: Compressor | undefined
}
