/**
 * Login of browsers by OpenID Connect: authorization code with PKCE (RFC 7636), state and nonce, each bound to
 * the browser by a sealed cookie; the session is one too. Nothing is kept here but what was used up lately.
 *
 * begin ─▶ the provider ─▶ callback ─▶ the page that was asked for, with a session
 */
import type { Exchange, LoginCookies, Seconds } from '../../exchange.ts'
import { sha256 } from '../../expression/sha256.ts'
import {
  type Clock,
  type Logger,
  OpenIdError,
  type OpenIdGrant,
  type OpenIdProvider,
  type Random,
} from '../../ports.ts'
import { type FailureGuard, isCrossSite, parameters } from '../credentials.ts'
import { encodeBase64Url, utf8 } from '../encoding.ts'
import type { RevocationList } from '../revocation.ts'
import type { JsonObject } from '../strict-json.ts'
import type { LoginCookieNames } from './cookies.ts'
import type { LoginFault } from './faults.ts'
import type { Seal } from './seal.ts'
import { claimsOf, type SessionRules, sessionOf } from './session.ts'
import type { Sessions } from './sessions.ts'
import type { UsedStates } from './used-states.ts'

const PENDING_TYPE = 'meridian-login'
/** How long a user may take at the provider. */
const PATIENCE: Seconds = 600
/** Logins that one browser may have begun; with more, all of them are forgotten. */
const MAX_PENDING = 4
const MAX_RETURN = 2048

/** A page of this site, as it stands in a request target: not `//host`, nothing that a browser reads as it. */
const RETURN_TO = /^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/

export interface LoginOptions {
  readonly publicOrigin: string
  /** Begins a login; `/callback` and `/logout` stand below it. */
  readonly path: string
  readonly scopes: readonly string[]
  readonly parameters: Readonly<Record<string, string>>
  readonly afterLogout: string
  readonly lifetime: Seconds
  readonly rules: SessionRules
  readonly provider: OpenIdProvider
  readonly seal: Seal
  readonly names: LoginCookieNames
  readonly sessions: Sessions
  readonly used: UsedStates
  readonly guard: FailureGuard
  readonly revocations: RevocationList
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger | undefined
}

/** Where a browser is sent, or why not. */
export type LoginAnswer =
  | {
      readonly location: string
      readonly status: 302 | 303
      readonly cookies: readonly string[]
    }
  | { readonly fault: LoginFault; readonly cause: string; readonly retryAfter?: Seconds }

/** What the user must have done at the provider (RFC 9470 §4). */
export interface AuthContext {
  readonly acrValues: string
  readonly maxAge: Seconds | undefined
}

export class Login {
  /** Of `publicOrigin`, without the port. */
  readonly host: string
  readonly names: LoginCookieNames
  readonly sessions: Sessions
  readonly #options: LoginOptions
  readonly #callback: string
  readonly #logout: string

  constructor(options: LoginOptions) {
    this.#options = options
    this.host = new URL(options.publicOrigin).hostname
    this.names = options.names
    this.sessions = options.sessions
    this.#callback = `${options.path}/callback`
    this.#logout = `${options.path}/logout`
  }

  /** Which of a login's own paths a request asks for. */
  placeOf(x: Exchange): 'start' | 'callback' | 'logout' | undefined {
    const { path } = x.target
    const { path: start } = this.#options
    if (!path.startsWith(start) || x.host !== this.host) return undefined
    if (path === this.#callback) return 'callback'
    if (path === this.#logout) return 'logout'
    return path === start ? 'start' : undefined
  }

  /**
   * Whether a refused request may be answered by a login: a person's, on the host that has the cookie. Fetch
   * Metadata tells navigations from everything that a page loads; without it `Accept` does.
   */
  mayBegin(x: Exchange): boolean {
    if (x.method !== 'GET' || x.host !== this.host) return false
    const { headers } = x
    if (!(headers.joined('accept')?.toLowerCase().includes('text/html') ?? false)) return false
    if ((headers.get('sec-fetch-mode') ?? 'navigate') !== 'navigate') return false
    // Providers forbid frames, and a speculative load is nobody's wish to log in.
    return (
      (headers.get('sec-fetch-dest') ?? 'document') === 'document' && !headers.has('sec-purpose')
    )
  }

  /** `GET` of the login's own path: `?to=` is the page to come back to. */
  start(x: Exchange): LoginAnswer | Promise<LoginAnswer> {
    const [to, another] = [...parameters(x.target.query, 'to')]
    if (another !== undefined) return refused('return_invalid', '`to` came twice')
    const page = to === undefined ? '/' : decoded(to)
    if (page === undefined || !isOfThisSite(page)) {
      return refused('return_invalid', '`to` is not a path of this site')
    }
    return this.begin(x, page)
  }

  /**
   * Sends a browser to the provider.
   * @param returnTo the page to come back to, path and query
   */
  async begin(x: Exchange, returnTo: string, context?: AuthContext): Promise<LoginAnswer> {
    const { provider, seal, random, names, scopes, publicOrigin } = this.#options
    const state = encodeBase64Url(random.bytes(24))
    const nonce = encodeBase64Url(random.bytes(24))
    const verifier = encodeBase64Url(random.bytes(32))
    const at = this.#now()
    const to = isOfThisSite(returnTo) ? returnTo : '/'
    let location: string
    try {
      location = await provider.authorizationUrl({
        ...this.#options.parameters,
        redirect_uri: publicOrigin + this.#callback,
        scope: scopes.join(' '),
        state,
        nonce,
        code_challenge: encodeBase64Url(sha256(utf8(verifier))),
        code_challenge_method: 'S256',
        ...(context?.acrValues && { acr_values: context.acrValues }),
        ...(context?.maxAge !== undefined && { max_age: String(context.maxAge) }),
      })
    } catch (error) {
      return this.#faultOf(error)
    }
    const sealed = await seal.seal(PENDING_TYPE, { s: state, n: nonce, v: verifier, r: to, at })
    const cookies: string[] = []
    const begun = x.login?.pending
    if (begun !== undefined && begun.size >= MAX_PENDING) {
      for (const name of begun.keys()) cookies.push(names.clear(name))
    }
    cookies.push(names.set(names.pending(tagOf(state)), sealed, PATIENCE))
    return { location, status: 302, cookies }
  }

  /** The browser comes back from the provider. */
  async callback(x: Exchange, client: string): Promise<LoginAnswer> {
    const { guard, seal, names, used, provider, publicOrigin } = this.#options
    const now = this.#now()
    const blocked = guard.blockedFor(client, now)
    if (blocked > 0) {
      return refused('too_many_failures', 'too many failed attempts', Math.ceil(blocked))
    }
    const [state, another] = [...parameters(x.target.query, 'state')]
    if (state === undefined || state === '' || another !== undefined) {
      return refused('state_missing', 'there is not one `state`')
    }
    const name = names.pending(tagOf(state))
    const cookie = x.login?.pending.get(name)
    if (cookie === undefined) return refused('state_unknown', 'there is no cookie of this state')
    const begun = await seal.open(PENDING_TYPE, cookie)
    const pending = begun === undefined ? undefined : pendingOf(begun)
    if (pending === undefined || pending.state !== state) {
      return refused('state_invalid', 'the cookie of the state does not hold')
    }
    if (now - pending.at > PATIENCE) return refused('login_expired', 'it was begun too long ago')
    if (!used.take(state, now)) return refused('login_replayed', 'the state was used before')
    let grant: OpenIdGrant
    try {
      grant = await provider.redeem(`${publicOrigin}${this.#callback}?${x.target.query}`, pending)
    } catch (error) {
      const answer = this.#faultOf(error)
      // Nobody was asked: the same login may be tried again.
      if (answer.fault === 'provider_unavailable') used.giveBack(state)
      else guard.record(client, now)
      return answer
    }
    return this.#welcome(x, grant, pending.returnTo, name)
  }

  async #welcome(
    x: Exchange,
    grant: OpenIdGrant,
    returnTo: string,
    pendingName: string,
  ): Promise<LoginAnswer> {
    const { rules, random, lifetime, sessions, names, publicOrigin, scopes, log } = this.#options
    const claims = claimsOf(grant, rules)
    if (claims === undefined) return refused('response_invalid', 'the ID token names no user')
    // RFC 6749 §5.1: without `scope`, what was asked for was granted.
    claims.scope ??= scopes.join(' ')
    const now = this.#now()
    const session = sessionOf(
      {
        id: encodeBase64Url(random.bytes(16)),
        createdAt: now,
        seenAt: now,
        endsAt: now + lifetime,
        claims,
        refreshToken: grant.refreshToken,
        ...sessions.accessTimes(grant),
        idToken: rules.keepsIdToken ? grant.idToken : undefined,
      },
      rules,
    )
    const cookies = await sessions.store(session, x.login?.sessionNames ?? [])
    if (cookies === undefined) {
      log?.error('a session is too long for cookies', {
        hint: 'name fewer claims in iam.login.claims',
      })
      return refused('session_too_large', 'the session is too long for cookies')
    }
    cookies.push(names.clear(pendingName))
    // With our own origin in front, whatever the page is called, the browser stays here.
    return { location: publicOrigin + returnTo, status: 303, cookies }
  }

  /** Ends the session here and, where the provider can, there. */
  async logout(x: Exchange): Promise<LoginAnswer> {
    const { sessions, revocations, provider, publicOrigin, afterLogout, rules } = this.#options
    if (
      isCrossSite(x.method, x.headers, new URL(publicOrigin).protocol.slice(0, -1), x.authority)
    ) {
      return refused('cross_site', 'it came from another site')
    }
    const cookies = this.#clearAll(x.login)
    const text = x.login?.session
    const session = text === undefined ? undefined : await sessions.open(text)
    const after = publicOrigin + afterLogout
    if (session === undefined) return { location: after, status: 303, cookies }
    // A copy of the cookie must not outlive the logout.
    revocations.expire(this.#now())
    revocations.announce({
      kind: 'jti',
      value: session.id,
      issuer: rules.issuer,
      expiresAt: session.endsAt,
    })
    let location: string | undefined
    try {
      if (session.refreshToken !== undefined) await provider.revoke(session.refreshToken)
      location = await provider.logoutUrl({
        post_logout_redirect_uri: after,
        ...(session.idToken !== undefined && { id_token_hint: session.idToken }),
      })
    } catch (error) {
      // Here the session is over in any case; the provider's own may go on.
      this.#faultOf(error)
    }
    return { location: location ?? after, status: 303, cookies }
  }

  #clearAll(cookies: LoginCookies | undefined): string[] {
    const { names } = this.#options
    if (cookies === undefined) return []
    return [...cookies.sessionNames, ...cookies.pending.keys()].map((name) => names.clear(name))
  }

  #faultOf(error: unknown) {
    if (!(error instanceof OpenIdError)) throw error
    this.#options.log?.warn('the login provider', { kind: error.kind, cause: error.message })
    if (error.kind === 'unavailable') return refused('provider_unavailable', error.message, 5)
    return refused(
      error.kind === 'refused' ? 'provider_refused' : 'response_invalid',
      error.message,
    )
  }

  #now(): Seconds {
    return this.#options.clock.now() / 1000
  }
}

function refused(fault: LoginFault, cause: string, retryAfter?: Seconds) {
  return { fault, cause, ...(retryAfter !== undefined && { retryAfter }) }
}

/** Names the cookie of a login, so that several may be under way. */
function tagOf(state: string): string {
  return encodeBase64Url(sha256(utf8(state)).subarray(0, 9))
}

function isOfThisSite(page: string): boolean {
  return page.length <= MAX_RETURN && RETURN_TO.test(page)
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    // The only error: a broken escape.
    return undefined
  }
}

interface Pending {
  readonly state: string
  readonly nonce: string
  readonly verifier: string
  readonly returnTo: string
  readonly at: Seconds
}

function pendingOf(json: JsonObject): Pending | undefined {
  const { s: state, n: nonce, v: verifier, r: returnTo, at } = json
  if (typeof state !== 'string' || typeof nonce !== 'string') return undefined
  if (typeof verifier !== 'string' || typeof returnTo !== 'string') return undefined
  return typeof at === 'number' ? { state, nonce, verifier, returnTo, at } : undefined
}
