/**
 * Who a request acts for. Synchronous for everything that is known already: no credentials, a known token, an
 * API key, a signed URL of ours; a promise only where a signature or another server must be asked.
 */
import type { Report } from '../config/errors.ts'
import type { IamConfig, RouteAuthConfig } from '../config/sections/iam.ts'
import type { Exchange, HeaderList, Principal, Seconds } from '../exchange.ts'
import { sha256 } from '../expression/sha256.ts'
import { ApiKeys } from './api-key.ts'
import { audiences, confirmation, principalFrom } from './claims.ts'
import {
  compileIntrospectors,
  compileIssuers,
  compileSignedUrlSchemes,
  type IdentityPorts,
  secretText,
} from './compile.ts'
import {
  type CredentialPlaces,
  Credentials,
  FailureGuard,
  isCrossSite,
  isPreflight,
  withoutCookie,
  withoutParameters,
} from './credentials.ts'
import { Denied } from './denied.ts'
import { DPOP_ALGORITHMS, Dpop } from './dpop.ts'
import { decodeHex, encodeBase64Url, encodeHex, utf8 } from './encoding.ts'
import { IdentityHeaders } from './identity-headers.ts'
import type { Introspection, Introspector } from './introspection.ts'
import { RemoteKeys } from './key-store.ts'
import { compileLogin, LoginMemory } from './login/compile.ts'
import type { Login } from './login/login.ts'
import type { Session } from './login/session.ts'
import type { SessionVerdict } from './login/sessions.ts'
import { ResourceMetadata } from './metadata.ts'
import type { AuthReason } from './reasons.ts'
import { RevocationList, revocationMark } from './revocation.ts'
import { type ConditionCompiler, RouteAuth } from './route-auth.ts'
import type { GoodUrl, SignedUrls, UrlVerdict } from './signed-url/index.ts'
import type { JsonObject } from './strict-json.ts'
import { type KnownToken, TokenCache } from './token-cache.ts'
import { type Issuer, type Verification, verifyToken } from './verify.ts'

export type Identified = Principal | Denied

const ANONYMOUS: Principal = Object.freeze({
  kind: 'anonymous',
  subject: '',
  issuer: null,
  scopes: Object.freeze([]),
  claims: Object.freeze({}),
})

export interface IdentityOptions extends IdentityPorts {
  readonly conditions?: ConditionCompiler | undefined
  /** Before a reload: its revocations and replay memory stay. */
  readonly previous?: Identity | undefined
}

export class Identity {
  readonly headers: IdentityHeaders
  readonly metadata: ResourceMetadata | undefined
  /** Undefined when browsers do not log in here. */
  readonly login: Login | undefined
  readonly revocations: RevocationList
  readonly tokens: TokenCache
  readonly #ports: IdentityPorts
  readonly #conditions: ConditionCompiler | undefined
  readonly #config: IamConfig
  readonly #issuers: ReadonlyMap<string, Issuer>
  readonly #introspectors: ReadonlyMap<string, Introspector>
  readonly #signedUrls: ReadonlyMap<string, SignedUrls>
  readonly #apiKeys: ApiKeys | undefined
  readonly #dpop: Dpop | undefined
  readonly #guard: FailureGuard
  readonly #places: CredentialPlaces
  readonly #skew: Seconds
  readonly #credentials = new Credentials()
  /** What signed URLs were taken apart into, until the request is over. */
  readonly #goodUrls = new WeakMap<Exchange, GoodUrl>()
  readonly #loginMemory: LoginMemory
  readonly #refusedSessions = new WeakMap<Exchange, Session>()

  private constructor(config: IamConfig, options: IdentityOptions) {
    this.#config = config
    this.#ports = options
    this.#conditions = options.conditions
    this.#issuers = compileIssuers(config, options)
    this.#introspectors = compileIntrospectors(config, options)
    this.#signedUrls = compileSignedUrlSchemes(config, options)
    const { apiKeys, publicOrigin, dpop } = config
    if (apiKeys !== undefined) {
      const pepper =
        apiKeys.pepper === undefined
          ? undefined
          : secretText(apiKeys.pepper, 'iam.apiKeys.pepper', options)
      for (const [i, key] of apiKeys.keys.entries()) {
        if (pepper === undefined && key.hashes.some((hash) => hash.startsWith('hmac-'))) {
          options.report(`iam.apiKeys.keys[${i}].hashes`, 'this hash needs `iam.apiKeys.pepper`')
        }
      }
      this.#apiKeys = new ApiKeys(apiKeys.keys, pepper)
    }
    if (publicOrigin !== undefined) {
      const nonceSecret =
        dpop.nonceSecret === undefined
          ? undefined
          : secretText(dpop.nonceSecret, 'iam.dpop.nonceSecret', options)
      const maxAge = Math.max(1, Math.floor(dpop.maxAge / 1000))
      this.#dpop =
        options.previous?.sameDpop(config) ??
        new Dpop({
          publicOrigin,
          maxAge,
          replayEntries: dpop.replayEntries,
          nonceSecret,
        })
      this.metadata = new ResourceMetadata(config, publicOrigin, DPOP_ALGORITHMS)
    } else if (config.metadata.length > 0) {
      options.report('iam.metadata', 'resource metadata needs `iam.publicOrigin`')
    }
    this.#guard = new FailureGuard(
      config.failures.limit,
      config.failures.window / 1000,
      config.failures.block / 1000,
    )
    this.#places = {
      header: config.header,
      cookie: config.cookie,
      apiKeyHeader: apiKeys?.header,
    }
    this.#skew = config.skew / 1000
    this.headers = new IdentityHeaders(config.headers)
    this.revocations = options.previous?.revocations ?? new RevocationList()
    this.tokens = new TokenCache({
      tokens: config.tokenCache.tokens,
      bytes: config.tokenCache.size,
      maxAgeMs: config.tokenCache.maxAge,
    })
    const { previous } = options
    this.#loginMemory = previous === undefined ? new LoginMemory() : previous.#loginMemory
    if (config.login !== undefined) {
      this.login = compileLogin(config, config.login, {
        ports: options,
        openId: options.openId,
        guard: this.#guard,
        revocations: this.revocations,
        memory: this.#loginMemory,
      })
    }
  }

  /** Compiles `iam`. Problems go to `options.report`. */
  static compile(config: IamConfig, options: IdentityOptions): Identity {
    return new Identity(config, options)
  }

  /** The proof checker, with its memory of proofs, when a new config has the same one. */
  sameDpop(config: IamConfig): Dpop | undefined {
    const before = JSON.stringify([this.#config.publicOrigin, this.#config.dpop])
    return before === JSON.stringify([config.publicOrigin, config.dpop]) ? this.#dpop : undefined
  }

  /** Compiles one route's `auth`; `path` points to it in the config. */
  route(auth: RouteAuthConfig | undefined, path: string, report: Report): RouteAuth {
    const issuersById = new Map([...this.#issuers.values()].map((issuer) => [issuer.id, issuer]))
    return RouteAuth.compile(auth, path, {
      report,
      conditions: this.#conditions,
      issuers: issuersById,
      introspectors: this.#introspectors,
      signedUrls: this.#signedUrls,
      hasApiKeys: this.#apiKeys !== undefined,
      hasLogin: this.#config.login !== undefined,
      realm: this.#config.realm,
      dpopAlgorithms: this.#dpop === undefined ? undefined : DPOP_ALGORITHMS.join(' '),
      metadataUrl: (resource) => this.metadata?.urlFor(resource),
      defaultAccess: this.#config.default,
    })
  }

  /**
   * The caller, or why it is refused. Sets `x.principal` for policies, and leaves it only on success.
   * Never rejects.
   */
  identify(x: Exchange, route: RouteAuth): Identified | Promise<Identified> {
    if (route.kind === 'open') return ANONYMOUS
    if (route.kind === 'closed') return route.denied('policy_denied')
    if (route.passesPreflight && isPreflight(x.method, x.headers)) return ANONYMOUS
    const credentials = this.#credentials
    const failure = credentials.read(
      x.headers,
      x.target.query,
      this.#places,
      route.queryToken,
      this.#config.maxTokenSize,
    )
    if (failure !== undefined) return route.denied(failure)
    const { token, apiKey } = credentials
    if (token !== undefined && route.takesTokens) {
      if (credentials.isAmbient && isCrossSite(x.method, x.headers, x.scheme, x.authority)) {
        return route.denied('cross_site_cookie')
      }
      return this.#byToken(x, route, token)
    }
    if (apiKey !== undefined && route.takesApiKeys) return this.#byApiKey(x, route, apiKey)
    if (route.takesSessions && this.login !== undefined && x.login?.session !== undefined) {
      if (isCrossSite(x.method, x.headers, x.scheme, x.authority)) {
        return route.denied('cross_site_cookie')
      }
      const verdict = this.login.sessions.check(x, x.login)
      return verdict instanceof Promise
        ? verdict.then((late) => this.#admitSession(x, route, late))
        : this.#admitSession(x, route, verdict)
    }
    if (route.signedUrls !== undefined) return this.#bySignedUrl(x, route, route.signedUrls)
    if (route.takesCertificates && x.client.tls?.certificate?.verified) {
      return this.#byCertificate(x, route)
    }
    return this.#withoutCredentials(route)
  }

  #withoutCredentials(route: RouteAuth): Identified {
    if (route.isOptional) return ANONYMOUS
    const certificateOnly = route.takesCertificates && !route.takesTokens && !route.takesApiKeys
    return route.denied(certificateOnly ? 'certificate_missing' : 'credentials_missing')
  }

  #now(): Seconds {
    return this.#ports.clock.now() / 1000
  }

  // Tokens

  #byToken(x: Exchange, route: RouteAuth, token: string): Identified | Promise<Identified> {
    const { scheme, proof, proofs } = this.#credentials
    const sent: Sent = { scheme, proof, proofs }
    const known = this.tokens.get(token, this.#ports.clock.monotonic())
    if (known !== undefined) return this.#admitKnown(x, route, known, sent)
    if (route.introspector !== undefined && !(route.takesJwt && hasThreeSegments(token))) {
      const answer = route.introspector.check(token)
      return answer instanceof Promise
        ? answer.then((late) => this.#admitOpaque(x, route, token, late, sent))
        : this.#admitOpaque(x, route, token, answer, sent)
    }
    if (!route.takesJwt) return route.denied('token_malformed')
    const client = clientName(x)
    const blocked = this.#guard.blockedFor(client, this.#now())
    if (blocked > 0) return route.deniedFor('too_many_failures', Math.ceil(blocked))
    const verification = verifyToken(token, this.#issuers, this.#now())
    return verification instanceof Promise
      ? verification.then((late) => this.#admitVerified(x, route, token, late, sent, client))
      : this.#admitVerified(x, route, token, verification, sent, client)
  }

  #admitVerified(
    x: Exchange,
    route: RouteAuth,
    token: string,
    verification: Verification,
    sent: Sent,
    client: string,
  ): Identified | Promise<Identified> {
    if (typeof verification === 'string') {
      // Not for what an outage or an old clock causes: honest clients would be shut out.
      if (verification === 'signature_invalid') this.#guard.record(client, this.#now())
      if (verification === 'keys_unavailable') {
        return route.deniedFor(verification, this.#keysRetryAfter())
      }
      return route.denied(verification)
    }
    const { claims } = verification.token
    const { issuer } = verification
    const principal = principalFrom('jwt', claims, issuer.url, issuer.map)
    const known: KnownToken = {
      ...verification,
      principal,
      audiences: audiences(claims),
      // `checkClaims` has seen to the types.
      expiresAt: claims.exp as number,
      notBefore: (claims.nbf as number | undefined) ?? 0,
      verifiedAt: this.#ports.clock.monotonic(),
      keysVersion: issuer.keys.version,
      revocation: revocationMark(issuer.url, claims, principal.clientId, () =>
        encodeHex(sha256(utf8(token))),
      ),
    }
    this.tokens.set(token, known)
    return this.#admitKnown(x, route, known, sent)
  }

  #keysRetryAfter(): Seconds {
    let least = 60
    for (const { keys } of this.#issuers.values()) {
      if (keys instanceof RemoteKeys) least = Math.min(least, keys.retryAfterSeconds)
    }
    return least
  }

  /** What can change from one use of a token to the next. */
  #admitKnown(
    x: Exchange,
    route: RouteAuth,
    known: KnownToken,
    sent: Sent,
  ): Identified | Promise<Identified> {
    const now = this.#now()
    if (now >= known.expiresAt + this.#skew) {
      this.tokens.delete(known.token.text)
      return route.denied('token_expired')
    }
    if (known.notBefore > now + this.#skew) return route.denied('token_not_yet_valid')
    if (!this.revocations.isKnown) return route.deniedFor('revocations_unknown', 1)
    if (this.revocations.isRevoked(known.revocation)) return route.denied('token_revoked')
    if (!route.acceptsIssuer(known.issuer.url)) return route.denied('issuer_unknown')
    return this.#admit(
      x,
      route,
      known.principal,
      known.audiences,
      known.token.claims,
      known.token.text,
      sent,
    )
  }

  #admitOpaque(
    x: Exchange,
    route: RouteAuth,
    token: string,
    answer: Introspection,
    sent: Sent,
  ): Identified | Promise<Identified> {
    if (typeof answer === 'string') {
      return answer === 'introspection_unavailable'
        ? route.deniedFor(answer, 1)
        : route.denied(answer)
    }
    const { principal } = answer
    const mark = revocationMark(principal.issuer ?? '', answer.claims, principal.clientId, () =>
      encodeHex(sha256(utf8(token))),
    )
    if (!this.revocations.isKnown) return route.deniedFor('revocations_unknown', 1)
    if (this.revocations.isRevoked(mark)) return route.denied('token_revoked')
    return this.#admit(x, route, principal, answer.audiences, answer.claims, token, sent)
  }

  #admit(
    x: Exchange,
    route: RouteAuth,
    principal: Principal,
    tokenAudiences: readonly string[] | undefined,
    claims: JsonObject,
    token: string,
    sent: Sent,
  ): Identified | Promise<Identified> {
    if (!route.acceptsAudience(tokenAudiences)) return route.denied('audience_mismatch')
    if (principal.bound === undefined && route.sender === undefined && sent.scheme === 'bearer') {
      return this.#authorise(x, route, principal)
    }
    const wantsCertificate = confirmation(claims, 'x5t#S256')
    if (wantsCertificate !== undefined || route.sender === 'certificate') {
      const shown = this.#certificateThumbprint(x)
      if (shown === undefined) return route.denied('certificate_missing')
      if (shown !== wantsCertificate) return route.denied('certificate_mismatch')
    }
    const thumbprint = confirmation(claims, 'jkt')
    if (thumbprint === undefined && route.sender !== 'dpop' && sent.scheme === 'bearer') {
      return this.#authorise(x, route, principal)
    }
    // RFC 9449 §7.1, §7.2: a bound token as Bearer is a downgrade, an unbound one as DPoP a confusion.
    if (this.#dpop === undefined || thumbprint === undefined || sent.scheme !== 'dpop') {
      return route.denied('proof_missing')
    }
    if (sent.proofs === 0) return route.denied('proof_missing')
    if (sent.proofs > 1 || sent.proof === undefined) return route.denied('proof_invalid')
    const now = this.#now()
    const dpop = this.#dpop
    return dpop
      .check(sent.proof, { method: x.method, path: x.target.path, token, thumbprint }, now)
      .then((failure) => {
        if (failure === undefined) return this.#authorise(x, route, principal)
        return failure === 'use_dpop_nonce'
          ? route.deniedFor(failure, 0, dpop.nonce(now))
          : route.denied(failure)
      })
  }

  #authorise(x: Exchange, route: RouteAuth, principal: Principal): Identified {
    x.principal = principal
    const reason: AuthReason | undefined = route.refusal(x, principal, this.#now())
    if (reason === undefined) return principal
    x.principal = undefined
    return route.denied(reason)
  }

  /**
   * A token on its own, for what is no request of a client, such as a call of the control port. It must hold for
   * whoever sends it: a token that is bound to a key or a certificate is refused.
   * @returns whose it is, and for whom it was meant; or why it is refused
   */
  async verifyAlone(
    token: string,
  ): Promise<
    | { readonly principal: Principal; readonly audiences: readonly string[] | undefined }
    | AuthReason
  > {
    if (token.length > this.#config.maxTokenSize) return 'token_too_large'
    const verification = await verifyToken(token, this.#issuers, this.#now())
    if (typeof verification === 'string') return verification
    const { issuer } = verification
    const { claims } = verification.token
    const principal = principalFrom('jwt', claims, issuer.url, issuer.map)
    if (!this.revocations.isKnown) return 'revocations_unknown'
    const mark = revocationMark(issuer.url, claims, principal.clientId, () =>
      encodeHex(sha256(utf8(token))),
    )
    if (this.revocations.isRevoked(mark)) return 'token_revoked'
    return principal.bound === undefined
      ? { principal, audiences: audiences(claims) }
      : 'proof_missing'
  }

  // Other credentials

  #byApiKey(x: Exchange, route: RouteAuth, key: string): Identified {
    const principal = this.#apiKeys?.identify(key, x.client.ip, this.#now())
    return principal === undefined
      ? route.denied('api_key_invalid')
      : this.#authorise(x, route, principal)
  }

  #admitSession(x: Exchange, route: RouteAuth, verdict: SessionVerdict): Identified {
    if (typeof verdict === 'string') {
      if (verdict === 'login_unavailable') return route.deniedFor(verdict, 5)
      if (verdict === 'revocations_unknown') return route.deniedFor(verdict, 1)
      // A browser sends what it has: a cookie that is of no use any more is none.
      return route.isOptional ? ANONYMOUS : route.denied(verdict)
    }
    const result = this.#authorise(x, route, verdict.principal)
    if (result instanceof Denied) this.#refusedSessions.set(x, verdict)
    return result
  }

  /**
   * Whether a login could help who was refused: there was no session that holds, or one whose authentication
   * does not suffice. Not for a session that is new: the provider would send the browser back at once.
   */
  isHelpedByLogin(x: Exchange, route: RouteAuth, { reason }: Denied): boolean {
    if (!route.takesSessions) return false
    if (LOGIN_HELPS.has(reason)) return true
    const session = this.#refusedSessions.get(x)
    return (
      reason === 'insufficient_user_authentication' &&
      session !== undefined &&
      this.#now() - session.createdAt > STEP_UP_PAUSE
    )
  }

  #bySignedUrl(
    x: Exchange,
    route: RouteAuth,
    scheme: SignedUrls,
  ): Identified | Promise<Identified> {
    const verdict = scheme.check(x, this.#now())
    return verdict instanceof Promise
      ? verdict.then((late) => this.#afterSignedUrl(x, route, late))
      : this.#afterSignedUrl(x, route, verdict)
  }

  #afterSignedUrl(x: Exchange, route: RouteAuth, verdict: UrlVerdict): Identified {
    if (verdict === 'absent') {
      const isOnlyMethod = !route.takesTokens && !route.takesApiKeys && !route.isOptional
      return isOnlyMethod ? route.denied('url_signature_invalid') : this.#withoutCredentials(route)
    }
    if (typeof verdict === 'string') return route.denied(verdict)
    this.#goodUrls.set(x, verdict)
    return this.#authorise(x, route, {
      kind: 'signed-url',
      subject: verdict.keyId,
      issuer: null,
      scopes: ANONYMOUS.scopes,
      claims: ANONYMOUS.claims,
      expiresAt: verdict.expiresAt,
    })
  }

  #byCertificate(x: Exchange, route: RouteAuth): Identified {
    const certificate = x.client.tls?.certificate
    if (certificate === undefined) return this.#withoutCredentials(route)
    return this.#authorise(x, route, {
      kind: 'certificate',
      subject: certificate.subject,
      issuer: certificate.issuer,
      scopes: ANONYMOUS.scopes,
      claims: Object.freeze({
        serial: certificate.serial,
        fingerprint256: certificate.fingerprint256,
      }),
      bound: 'certificate',
    })
  }

  /** RFC 8705 §3: base64url of the SHA-256 of the certificate, from TLS or from a trusted proxy. */
  #certificateThumbprint(x: Exchange): string | undefined {
    let hex = x.client.tls?.certificate?.fingerprint256
    const field = this.#config.certificateHeader
    if (hex === undefined && field !== undefined && x.client.viaTrustedProxy) {
      const values = x.headers.all(field)
      if (values.length === 1) hex = values[0]
    }
    const bytes = hex === undefined ? undefined : decodeHex(hex)
    return bytes?.length === 32 ? encodeBase64Url(bytes) : undefined
  }

  // What follows for the rest of the request

  /**
   * Path and query for the cache and the origin: without the credentials that stood in them. Undefined when
   * there were none, so that the target stays as it is.
   */
  stripped(x: Exchange, route: RouteAuth): { path: string; query: string } | undefined {
    const good = this.#goodUrls.get(x)
    if (good !== undefined) return good
    if (route.queryToken === undefined || x.target.query === '') return undefined
    return { path: x.target.path, query: withoutParameters(x.target.query, [route.queryToken]) }
  }

  /**
   * Request fields for the origin: ours wiped and set, credentials left out unless the route passes them on.
   * For every route, also where nobody has to identify.
   * @param headers the fields to start from, when they are not the client's own
   */
  originFields(
    x: Exchange,
    route: RouteAuth | undefined,
    headers: HeaderList = x.headers,
  ): string[] {
    const strips = route !== undefined && route.kind === 'guarded' && !route.forwardsToken
    if (!strips) return this.headers.apply(headers, x.principal, NO_FIELDS)
    const fields = this.headers.apply(headers, x.principal, this.#credentialFields())
    const { cookie } = this.#places
    return cookie === undefined ? fields : withoutCookie(fields, cookie)
  }

  #credentialFields(): readonly string[] {
    const { header, apiKeyHeader } = this.#places
    return apiKeyHeader === undefined ? [header, 'dpop'] : [header, 'dpop', apiKeyHeader]
  }
}

const NO_FIELDS: readonly string[] = []

const LOGIN_HELPS: ReadonlySet<AuthReason> = new Set<AuthReason>([
  'credentials_missing',
  'session_invalid',
  'session_expired',
  'session_revoked',
])
const STEP_UP_PAUSE: Seconds = 60

/** What came along with a token. */
interface Sent {
  readonly scheme: 'bearer' | 'dpop'
  readonly proof: string | undefined
  readonly proofs: number
}

function hasThreeSegments(token: string): boolean {
  const first = token.indexOf('.')
  return first >= 0 && token.indexOf('.', first + 1) >= 0
}

/** Clients are told apart by IPv4 address or IPv6 /64. */
export function clientName(x: Exchange): string {
  const { ip } = x.client
  if (ip === undefined) return ''
  return ip.family === 4 ? ip.text : `${ip.words[0]} ${ip.words[1]}`
}
