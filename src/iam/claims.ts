/** Claims: what must be there, when a token is good (RFC 7519 §4.1), and what a principal takes from it. */
import type { Principal, Seconds } from '../exchange.ts'
import type { AuthReason } from './reasons.ts'
import type { Json, JsonObject } from './strict-json.ts'

export interface ClaimRules {
  readonly issuer: string
  readonly skew: Seconds
  readonly maxLifetime: Seconds
  /** RFC 9068 §2.2: more claims are required. */
  readonly isRfc9068: boolean
}

const RFC_9068_CLAIMS = ['sub', 'client_id', 'iat', 'jti', 'aud']

/** @returns why the claims are refused, or undefined */
export function checkClaims(
  claims: JsonObject,
  rules: ClaimRules,
  now: Seconds,
): AuthReason | undefined {
  const { exp, nbf, iat, sub, jti } = claims
  if (exp === undefined) return 'claim_missing'
  if (!isTime(exp)) return 'claim_invalid'
  if (nbf !== undefined && !isTime(nbf)) return 'claim_invalid'
  if (iat !== undefined && !isTime(iat)) return 'claim_invalid'
  if (claims.iss !== rules.issuer) return 'claim_invalid'
  if (rules.isRfc9068) {
    for (const name of RFC_9068_CLAIMS) if (claims[name] === undefined) return 'claim_missing'
  }
  if (sub !== undefined && typeof sub !== 'string') return 'claim_invalid'
  if (jti !== undefined && typeof jti !== 'string') return 'claim_invalid'
  if (now >= exp + rules.skew) return 'token_expired'
  if (nbf !== undefined && nbf > now + rules.skew) return 'token_not_yet_valid'
  if (iat !== undefined && iat > now + rules.skew) return 'token_not_yet_valid'
  if (exp - (iat ?? now) > rules.maxLifetime) return 'token_lifetime'
  return undefined
}

function isTime(value: Json): value is number {
  return typeof value === 'number' && value > 0 && value < Number.MAX_SAFE_INTEGER
}

/** `aud` as a list; undefined when it is neither a string nor a list of strings with at least one. */
export function audiences(claims: JsonObject): readonly string[] | undefined {
  const { aud } = claims
  if (typeof aud === 'string') return [aud]
  return Array.isArray(aud) && aud.length > 0 ? stringsOnly(aud) : undefined
}

function stringsOnly(values: readonly Json[]): string[] | undefined {
  const strings: string[] = []
  for (const value of values) {
    if (typeof value !== 'string') return undefined
    strings.push(value)
  }
  return strings
}

/** Where an issuer keeps things. */
export interface ClaimMap {
  readonly scopes?: string | undefined
  readonly roles?: string | undefined
  readonly tenant?: string | undefined
  readonly clientId?: string | undefined
}

/** A claim by its own name (which may hold dots), else by a path of names. */
export function claimAt(claims: JsonObject, path: string): Json | undefined {
  if (Object.hasOwn(claims, path)) return claims[path]
  let value: Json | undefined = claims
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    value = Object.hasOwn(value, name) ? value[name] : undefined
  }
  return value
}

/** A list of words: a string split at spaces (RFC 8693 §4.2) or a list of strings. */
export function words(value: Json | undefined): readonly string[] {
  if (typeof value === 'string') return value.split(' ').filter((word) => word !== '')
  if (!Array.isArray(value)) return []
  return value.filter((item): item is string => typeof item === 'string')
}

function text(value: Json | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}

export function principalFrom(
  kind: Principal['kind'],
  claims: JsonObject,
  issuer: string | null,
  map: ClaimMap,
): Principal {
  const clientId =
    map.clientId === undefined ? (claims.client_id ?? claims.azp) : claimAt(claims, map.clientId)
  const scopes =
    map.scopes === undefined ? (claims.scope ?? claims.scp) : claimAt(claims, map.scopes)
  const { auth_time: authenticatedAt, exp } = claims
  return Object.freeze({
    kind,
    subject: text(claims.sub) ?? text(clientId) ?? '',
    issuer,
    scopes: Object.freeze(words(scopes)),
    roles: Object.freeze(words(claimAt(claims, map.roles ?? 'roles'))),
    tenant: map.tenant === undefined ? undefined : text(claimAt(claims, map.tenant)),
    clientId: text(clientId),
    acr: text(claims.acr),
    amr: Object.freeze(words(claims.amr)),
    authenticatedAt: typeof authenticatedAt === 'number' ? authenticatedAt : undefined,
    expiresAt: typeof exp === 'number' ? exp : undefined,
    bound: binding(claims),
    claims: deepFreeze(claims),
  })
}

function binding(claims: JsonObject): 'dpop' | 'certificate' | undefined {
  if (confirmation(claims, 'jkt') !== undefined) return 'dpop'
  return confirmation(claims, 'x5t#S256') === undefined ? undefined : 'certificate'
}

/** A member of `cnf` (RFC 7800); one that is there but not a string can never match. */
export function confirmation(claims: JsonObject, member: string): string | undefined {
  const { cnf } = claims
  if (typeof cnf !== 'object' || cnf === null || Array.isArray(cnf)) return undefined
  if (!Object.hasOwn(cnf, member)) return undefined
  return text(cnf[member]) ?? ''
}

function deepFreeze(value: JsonObject): JsonObject {
  for (const name of Object.keys(value)) freezeInside(value[name] as Json)
  return Object.freeze(value)
}

function freezeInside(value: Json): void {
  if (typeof value !== 'object' || value === null) return
  if (Array.isArray(value)) {
    for (const item of value) freezeInside(item)
    Object.freeze(value)
  } else {
    deepFreeze(value)
  }
}
