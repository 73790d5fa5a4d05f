/**
 * Sessions of browsers that logged in: read from their cookie, ended by time, idleness or revocation, renewed
 * before the access token ends. A known cookie is read without a promise.
 */
import { LRUCache } from 'lru-cache'
import type { Exchange, LoginCookies, Seconds } from '../../exchange.ts'
import {
  type Clock,
  type Logger,
  OpenIdError,
  type OpenIdGrant,
  type OpenIdProvider,
} from '../../ports.ts'
import type { RevocationList } from '../revocation.ts'
import type { LoginCookieNames } from './cookies.ts'
import type { Seal } from './seal.ts'
import {
  accessTimes,
  claimsOf,
  read,
  type Session,
  type SessionRules,
  sessionOf,
  written,
} from './session.ts'

const SESSION_TYPE = 'meridian-session'
const MAX_KNOWN = 10_000
/** How long a browser's requests may still come with the cookie from before a refresh. */
const REFRESHED_MS = 60_000

export type SessionFault =
  | 'session_invalid'
  | 'session_expired'
  | 'session_revoked'
  | 'login_unavailable'
  | 'revocations_unknown'
/** Sealed again when it was renewed. */
export type SessionVerdict = Session | SessionFault

export type RefreshOutcome = 'refreshed' | 'refused' | 'unavailable'

/** What refreshes are under way or were lately, by refresh token. Outlives a reload. */
export class RefreshMemory {
  readonly pending = new Map<string, Promise<Refreshed>>()
  readonly done = new LRUCache<string, { readonly at: number; readonly result: Refreshed }>({
    max: MAX_KNOWN,
  })
}

type Refreshed = { readonly session: Session; readonly text: string } | 'refused' | 'unavailable'

export interface SessionOptions {
  readonly rules: SessionRules
  readonly provider: OpenIdProvider
  readonly seal: Seal
  readonly names: LoginCookieNames
  readonly revocations: RevocationList
  readonly memory: RefreshMemory
  readonly idle: Seconds
  /** How long before its end the access token is refreshed. */
  readonly refreshAhead: Seconds
  readonly clock: Clock
  readonly log: Logger | undefined
}

export class Sessions {
  readonly #options: SessionOptions
  readonly #known = new LRUCache<string, Session>({ max: MAX_KNOWN })
  /** Set-Cookie values and what a refresh came to, until the request is over. */
  readonly #notes = new WeakMap<
    Exchange,
    { readonly cookies: readonly string[]; readonly refresh: RefreshOutcome | undefined }
  >()

  constructor(options: SessionOptions) {
    this.#options = options
  }

  /** When the access token of a grant ends and is to be renewed. */
  accessTimes(grant: OpenIdGrant) {
    return accessTimes(grant, this.#now(), this.#options.refreshAhead)
  }

  /** What follows from `check` for the answer. */
  noteOf(x: Exchange) {
    return this.#notes.get(x)
  }

  /** The session of a request that has its cookie. */
  check(x: Exchange, cookies: LoginCookies): SessionVerdict | Promise<SessionVerdict> {
    const text = cookies.session
    if (text === undefined) return 'session_invalid'
    const known = this.#known.get(text)
    if (known !== undefined) return this.#examine(x, cookies, known)
    return this.open(text).then((session) =>
      session === undefined ? 'session_invalid' : this.#examine(x, cookies, session),
    )
  }

  /** A session as it was sealed, over or not. */
  async open(text: string): Promise<Session | undefined> {
    const { seal, rules } = this.#options
    const json = await seal.open(SESSION_TYPE, text)
    const session = json === undefined ? undefined : read(json, rules)
    if (session !== undefined) this.#known.set(text, session)
    return session
  }

  /** Set-Cookie values for a session; undefined when it is too long to be kept. */
  async store(session: Session, came: readonly string[]): Promise<string[] | undefined> {
    return this.#fields(await this.#sealed(session), session, came)
  }

  async #sealed(session: Session): Promise<string> {
    const { seal, rules } = this.#options
    const text = await seal.seal(SESSION_TYPE, written(session, rules))
    this.#known.set(text, session)
    return text
  }

  #fields(text: string, session: Session, came: readonly string[]): string[] | undefined {
    const lifetime = Math.max(0, Math.floor(session.endsAt - this.#now()))
    return this.#options.names.store(text, lifetime, came)
  }

  #now(): Seconds {
    return this.#options.clock.now() / 1000
  }

  #examine(
    x: Exchange,
    cookies: LoginCookies,
    session: Session,
  ): SessionVerdict | Promise<SessionVerdict> {
    const { idle, revocations } = this.#options
    const now = this.#now()
    if (now >= session.endsAt || now - session.seenAt >= idle) return 'session_expired'
    if (!revocations.isKnown) return 'revocations_unknown'
    if (revocations.isRevoked(session.revocation)) return 'session_revoked'
    const { refreshToken, renewAt } = session
    if (refreshToken !== undefined && renewAt !== undefined && now >= renewAt) {
      return this.#refresh(refreshToken, session).then((result) =>
        this.#afterRefresh(x, cookies, session, result),
      )
    }
    // Not each time: a cookie that changes with every answer is one that parallel requests fight over.
    if (now - session.seenAt < idle / 4) return session
    return this.#keep(x, cookies, { ...session, seenAt: now })
  }

  async #keep(x: Exchange, cookies: LoginCookies, session: Session): Promise<Session> {
    const fields = await this.store(session, cookies.sessionNames)
    if (fields !== undefined) this.#notes.set(x, { cookies: fields, refresh: undefined })
    return session
  }

  /** One at a time for each refresh token: providers take a second use of one for theft. */
  #refresh(refreshToken: string, session: Session): Promise<Refreshed> {
    const { memory, clock } = this.#options
    const done = memory.done.get(refreshToken)
    if (done !== undefined && clock.monotonic() - done.at < REFRESHED_MS) {
      return Promise.resolve(done.result)
    }
    let pending = memory.pending.get(refreshToken)
    if (pending === undefined) {
      pending = this.#askForMore(refreshToken, session).finally(() =>
        memory.pending.delete(refreshToken),
      )
      memory.pending.set(refreshToken, pending)
    }
    return pending
  }

  async #askForMore(refreshToken: string, session: Session): Promise<Refreshed> {
    const { memory, clock, provider, rules, refreshAhead, log } = this.#options
    let result: Refreshed
    try {
      const grant = await provider.refresh(refreshToken)
      const claims = claimsOf(grant, rules)
      // OpenID Connect Core §12.2: the same user, or none of ours.
      if (claims !== undefined && claims.sub !== session.claims.sub) {
        throw new OpenIdError('invalid', 'a refresh brought the ID token of another user')
      }
      const now = this.#now()
      const next = sessionOf(
        {
          id: session.id,
          createdAt: session.createdAt,
          seenAt: now,
          endsAt: session.endsAt,
          claims: claims ?? session.claims,
          refreshToken: grant.refreshToken ?? refreshToken,
          ...accessTimes(grant, now, refreshAhead),
          idToken: rules.keepsIdToken ? (grant.idToken ?? session.idToken) : undefined,
        },
        rules,
      )
      result = { session: next, text: await this.#sealed(next) }
    } catch (error) {
      if (!(error instanceof OpenIdError)) throw error
      log?.warn('a session could not be refreshed', { cause: error.message })
      if (error.kind === 'unavailable') return 'unavailable'
      result = 'refused'
    }
    memory.done.set(refreshToken, { at: clock.monotonic(), result })
    return result
  }

  #afterRefresh(
    x: Exchange,
    cookies: LoginCookies,
    before: Session,
    result: Refreshed,
  ): SessionVerdict {
    if (typeof result === 'object') {
      const fields = this.#fields(result.text, result.session, cookies.sessionNames)
      if (fields === undefined) {
        this.#options.log?.error('a session has become too long for cookies', {
          hint: 'name fewer claims in iam.login.claims',
        })
        return 'session_expired'
      }
      this.#notes.set(x, { cookies: fields, refresh: 'refreshed' })
      // The revocation may have come while the provider was asked.
      return this.#options.revocations.isRevoked(result.session.revocation)
        ? 'session_revoked'
        : result.session
    }
    this.#notes.set(x, { cookies: [], refresh: result })
    // What was granted holds until its end: another process may have the new one by now.
    if ((before.accessEndsAt ?? 0) > this.#now()) return before
    return result === 'refused' ? 'session_expired' : 'login_unavailable'
  }
}
