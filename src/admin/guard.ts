/**
 * Who may use the control port. Each check answers one known attack: the Host list DNS rebinding, the
 * Origin and media type checks requests forged by a page in somebody's browser, the token everybody
 * else, the count of failures those who guess it.
 */
import type { MiddlewareHandler } from 'hono'
import type { Millis } from '../exchange.ts'
import { parseIp } from '../http/ip.ts'
import { secretEquals } from '../telemetry/constant-time.ts'
import type { Mask } from '../telemetry/mask.ts'
import { type Caller, LOCAL, NOBODY, READ_TOKEN, type Refused, SOCKET, TOKEN } from './caller.ts'
import { isPagePath } from './page.ts'
import { adminProblem } from './problem.ts'
import type { AdminContext, AdminEnv } from './route.ts'
import type { AdminView } from './view.ts'

export interface AdminAccess {
  /** Already read; `undefined` on loopback or a socket without one. */
  readonly token: string | undefined
  /** A second one, which may only look. */
  readonly readToken?: string | undefined
  /** Whose a JSON Web Token is and what it permits. */
  readonly authenticate?: ((token: string) => Promise<Caller | Refused>) | undefined
  /** Host names besides localhost and IP addresses. */
  readonly hosts: readonly string[]
  /** A browser cannot reach a Unix socket, so Host says nothing there. */
  readonly isUnixSocket: boolean
  readonly monotonic: () => Millis
  /** Names the caller's address out of the runtime's bindings (`c.env`); for counting failures. */
  readonly peer?: (env: unknown) => string
}

const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD'])
const OPEN_PATHS: ReadonlySet<string> = new Set(['/healthz', '/readyz'])
/** Paths that need no token. */
function isOpen(path: string): boolean {
  return OPEN_PATHS.has(path) || isPagePath(path)
}

/** Whether callers must show who they are. */
export function asksForToken(access: AdminAccess): boolean {
  return (
    access.token !== undefined ||
    access.readToken !== undefined ||
    access.authenticate !== undefined
  )
}

/** Query keys under which people send tokens; they would end up in histories and logs. */
const TOKEN_KEYS = ['token', 'access_token', 'api_key']
const FAILURES_ALLOWED = 10
const FAILURE_WINDOW_MS = 60_000
/** Addresses whose failures are remembered. */
const PEERS_LIMIT = 1024

const MIN_TOKEN_LENGTH = 16

const NONE: Refused = { reason: 'no token', isGuess: false }
const WRONG: Refused = { reason: 'wrong token', isGuess: true }

/** What is wrong with a configured token, for the report of the config compiler; undefined when nothing. */
export function tokenProblem(token: string): string | undefined {
  if (/^[!-~]*$/.test(token) === false) return 'the token has characters that no header can carry'
  return token.length < MIN_TOKEN_LENGTH
    ? `the token has fewer than ${MIN_TOKEN_LENGTH} characters`
    : undefined
}

/** `host:port` or `[v6]:port` without the port, lower case. */
function hostname(authority: string): string {
  if (authority.startsWith('[')) return authority.slice(1, Math.max(1, authority.indexOf(']')))
  const colon = authority.indexOf(':')
  return (colon < 0 ? authority : authority.slice(0, colon)).toLowerCase()
}

interface Failures {
  count: number
  until: Millis
}

/** Counts wrong tokens by caller, in a fixed window. */
class FailureCount {
  readonly #peers = new Map<string, Failures>()
  readonly #now: () => Millis

  constructor(now: () => Millis) {
    this.#now = now
  }

  /** Seconds until this caller may try again; 0 when it may now. */
  waitSeconds(peer: string): number {
    const failures = this.#peers.get(peer)
    if (failures === undefined || failures.count < FAILURES_ALLOWED) return 0
    return Math.max(0, Math.ceil((failures.until - this.#now()) / 1000))
  }

  add(peer: string): void {
    const now = this.#now()
    const failures = this.#peers.get(peer)
    if (failures !== undefined && failures.until > now) {
      failures.count++
      return
    }
    if (this.#peers.size >= PEERS_LIMIT) this.#peers.clear()
    this.#peers.set(peer, { count: 1, until: now + FAILURE_WINDOW_MS })
  }
}

/** The middleware in front of every path. */
export function guard(
  access: AdminAccess,
  view: AdminView,
  mask: () => Mask,
): MiddlewareHandler<AdminEnv> {
  const hosts = new Set(['localhost', ...access.hosts.map((host) => host.toLowerCase())])
  const failures = new FailureCount(access.monotonic)

  function isKnownHost(authority: string | undefined): boolean {
    if (access.isUnixSocket) return true
    if (authority === undefined) return false
    const host = hostname(authority)
    // A page that rebinds DNS is called by its own name, never by an address.
    return hosts.has(host) || parseIp(host) !== undefined
  }

  /** The caller, or why the credentials do not hold. */
  async function callerOf(given: string): Promise<Caller | Refused> {
    if (access.token !== undefined && secretEquals(given, access.token)) return TOKEN
    if (access.readToken !== undefined && secretEquals(given, access.readToken)) return READ_TOKEN
    if (access.authenticate === undefined || given.split('.').length !== 3) return WRONG
    return access.authenticate(given)
  }

  function isForged(c: AdminContext): boolean {
    // A link to the dashboard may stand anywhere: its files change nothing and show nothing.
    if (SAFE_METHODS.has(c.req.method) && isPagePath(c.req.path)) return false
    const site = c.req.header('sec-fetch-site')
    if (site === 'cross-site' || site === 'same-site') return true
    if (SAFE_METHODS.has(c.req.method)) return false
    const origin = c.req.header('origin')
    if (origin === undefined) return false
    const scheme = origin.indexOf('://')
    return scheme < 0 || origin.slice(scheme + 3) !== c.req.header('host')
  }

  return async (c, next) => {
    const peer = access.peer?.(c.env) ?? 'unknown'
    const refuse = (
      status: 400 | 401 | 403 | 415 | 421 | 429,
      reason: string,
      headers: Record<string, string> = {},
      why = reason,
    ) => {
      view.onRefused?.(why, peer, c.req.path)
      view.audit?.record({
        principal: (c.get('caller') ?? NOBODY).principal,
        peer,
        action: 'request',
        target: `${c.req.method} ${mask().url(c.req.path)}`,
        outcome: 'refused',
        status,
        reason: why,
      })
      return adminProblem(c, status, reason, headers)
    }
    c.set('caller', NOBODY)
    c.set('note', {})
    if (!isKnownHost(c.req.header('host'))) return refuse(421, 'This host is not served here.')
    if (isForged(c)) return refuse(403, 'Requests from other sites are refused.')
    if (TOKEN_KEYS.some((key) => c.req.query(key) !== undefined)) {
      return refuse(400, 'Send the token in the Authorization header, never in the URL.')
    }
    if (!asksForToken(access)) c.set('caller', access.isUnixSocket ? SOCKET : LOCAL)
    else if (!isOpen(c.req.path)) {
      const wait = failures.waitSeconds(peer)
      if (wait > 0) {
        return refuse(429, 'Too many wrong tokens.', { 'retry-after': String(wait) })
      }
      const given = /^bearer +(\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1]
      const caller = given === undefined ? NONE : await callerOf(given)
      if ('reason' in caller) {
        if (caller.isGuess) failures.add(peer)
        const { error } = caller
        const challenge = `Bearer realm="meridian"${error === undefined ? '' : `, error="${error}"`}`
        return refuse(
          error === 'insufficient_scope' ? 403 : 401,
          error === undefined || error === 'invalid_token'
            ? 'A valid bearer token is required.'
            : 'The token does not permit this.',
          { 'www-authenticate': challenge },
          caller.reason,
        )
      }
      c.set('caller', caller)
    }
    const type = c.req.header('content-type') ?? ''
    if (!SAFE_METHODS.has(c.req.method) && !/^application\/json *(;|$)/i.test(type)) {
      return refuse(415, 'Send JSON as application/json.')
    }
    await next()
    return undefined
  }
}
