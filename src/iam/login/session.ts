/** A browser's session: who logged in, until when, and what renews it. Kept by the browser, sealed. */
import type { Principal, Seconds } from '../../exchange.ts'
import type { OpenIdGrant } from '../../ports.ts'
import { type ClaimMap, principalFrom } from '../claims.ts'
import { type RevocationMark, revocationMark } from '../revocation.ts'
import { type JsonObject, parseJsonObject } from '../strict-json.ts'

/** Claims about the ID token, not about the user. */
const OF_THE_TOKEN: ReadonlySet<string> = new Set([
  'iss',
  'aud',
  'azp',
  'exp',
  'iat',
  'nbf',
  'nonce',
  'at_hash',
  'c_hash',
  's_hash',
])
/** What sessions need whatever `claims` says. */
const ALWAYS = ['sub', 'sid', 'acr', 'amr', 'auth_time']

export interface Session {
  readonly id: string
  readonly createdAt: Seconds
  /** When the cookie was written last. */
  readonly seenAt: Seconds
  readonly endsAt: Seconds
  readonly claims: JsonObject
  readonly refreshToken: string | undefined
  /** When the access token ends; undefined when that says nothing about the session. */
  readonly accessEndsAt: Seconds | undefined
  /** From when on the access token is refreshed. */
  readonly renewAt: Seconds | undefined
  readonly idToken: string | undefined
  readonly principal: Principal
  readonly revocation: RevocationMark
}

/** When a grant's access token ends, and when it is to be renewed: half of its life before that at most. */
export function accessTimes(
  { accessLifetime }: OpenIdGrant,
  now: Seconds,
  ahead: Seconds,
): Pick<Session, 'accessEndsAt' | 'renewAt'> {
  if (accessLifetime === undefined) return { accessEndsAt: undefined, renewAt: undefined }
  const accessEndsAt = now + accessLifetime
  return { accessEndsAt, renewAt: accessEndsAt - Math.min(ahead, accessLifetime / 2) }
}

export interface SessionRules {
  readonly issuer: string
  readonly clientId: string
  readonly map: ClaimMap
  /** Claims to keep; undefined: all. */
  readonly claims: readonly string[] | undefined
  readonly keepsIdToken: boolean
}

type SessionFacts = Omit<Session, 'principal' | 'revocation'>

/** The user's claims of a grant that are kept; undefined when there is nothing to read. */
export function claimsOf(grant: OpenIdGrant, rules: SessionRules): JsonObject | undefined {
  if (grant.claims === undefined) return undefined
  // Once more by the strict parser: bounded, without a prototype.
  const all = parseJsonObject(JSON.stringify(grant.claims), { depth: 16, values: 4096 })
  if (all === undefined || typeof all.sub !== 'string') return undefined
  const kept = Object.create(null) as JsonObject
  for (const name of Object.keys(all)) {
    if (OF_THE_TOKEN.has(name)) continue
    if (rules.claims !== undefined && !rules.claims.includes(name) && !ALWAYS.includes(name))
      continue
    kept[name] = all[name] as JsonObject
  }
  if (grant.scope !== undefined) kept.scope = grant.scope
  return kept
}

export function sessionOf(facts: SessionFacts, rules: SessionRules): Session {
  const { issuer, clientId, map } = rules
  const claims = Object.assign(Object.create(null) as JsonObject, facts.claims, {
    client_id: clientId,
    exp: facts.endsAt,
  })
  const principal = principalFrom('session', claims, issuer, map)
  const marked = { jti: facts.id, iat: facts.createdAt } as JsonObject
  for (const name of ['sub', 'sid']) {
    const value = facts.claims[name]
    if (value !== undefined) marked[name] = value
  }
  return {
    ...facts,
    principal,
    revocation: revocationMark(issuer, marked, principal.clientId, () => facts.id),
  }
}

/** What is sealed. Short names: it travels with every request. */
export function written(session: Session, rules: SessionRules): object {
  return {
    i: session.id,
    // Another provider or client, after a change of the config, knows nothing of this user.
    p: rules.issuer,
    c: rules.clientId,
    b: session.createdAt,
    s: session.seenAt,
    e: session.endsAt,
    u: session.claims,
    ...(session.refreshToken !== undefined && { r: session.refreshToken }),
    ...(session.accessEndsAt !== undefined && { a: session.accessEndsAt, n: session.renewAt }),
    ...(session.idToken !== undefined && { t: session.idToken }),
  }
}

/** @returns undefined for what was not written for this provider and client */
export function read(json: JsonObject, rules: SessionRules): Session | undefined {
  const { i: id, p, c, b: createdAt, s: seenAt, e: endsAt, u: claims, r, a, n, t } = json
  if (p !== rules.issuer || c !== rules.clientId) return undefined
  if (typeof id !== 'string' || typeof claims !== 'object') return undefined
  if (claims === null || Array.isArray(claims)) return undefined
  if (typeof createdAt !== 'number' || typeof seenAt !== 'number') return undefined
  if (typeof endsAt !== 'number') return undefined
  const refreshToken = typeof r === 'string' ? r : undefined
  const accessEndsAt = typeof a === 'number' ? a : undefined
  const renewAt = typeof n === 'number' ? n : undefined
  const idToken = typeof t === 'string' ? t : undefined
  return sessionOf(
    { id, createdAt, seenAt, endsAt, claims, refreshToken, accessEndsAt, renewAt, idToken },
    rules,
  )
}
