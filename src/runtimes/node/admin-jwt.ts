/** Callers of the control port with JSON Web Tokens: whose they are, and what they may do (`admin.jwt`). */
import { type Caller, mayDo, type Refused } from '../../admin/caller.ts'
import type { AdminConfig } from '../../config/sections/admin.ts'
import type { Principal, Seconds } from '../../exchange.ts'
import type { AuthReason } from '../../iam/reasons.ts'
import type { Instance } from './instance.ts'

type JwtConfig = NonNullable<AdminConfig['jwt']>

/** Of tokens that were good once, or elsewhere: whoever sends them guesses nothing. */
const HONEST: ReadonlySet<string> = new Set([
  'token_expired',
  'token_not_yet_valid',
  'token_revoked',
  'revocations_unknown',
  'keys_unavailable',
] satisfies AuthReason[])

/** In a process that serves: it has the keys of the issuers, and what was revoked. */
export async function authenticate(instance: Instance, token: string): Promise<Caller | Refused> {
  const { identity, config } = instance.snapshot
  const { jwt } = config.admin
  if (identity === undefined || jwt === undefined) {
    return { reason: 'no issuer of tokens', isGuess: false }
  }
  const verified = await identity.verifyAlone(token)
  if (typeof verified === 'string') {
    return { reason: verified, error: 'invalid_token', isGuess: !HONEST.has(verified) }
  }
  const { principal, audiences } = verified
  const ids = jwt.issuers
  const issuers = config.iam?.issuers.filter((one) => ids === undefined || ids.includes(one.id))
  if (!(issuers ?? []).some((one) => one.issuer === principal.issuer)) {
    return { reason: 'issuer_unknown', error: 'invalid_token', isGuess: true }
  }
  const wanted = typeof jwt.audience === 'string' ? [jwt.audience] : jwt.audience
  if (!(audiences ?? []).some((one) => wanted.includes(one))) {
    return { reason: 'audience_mismatch', error: 'invalid_token', isGuess: true }
  }
  const now = instance.platform.clock.now() / 1000
  if (!isAuthenticatedWell(principal, jwt, now)) {
    const error = 'insufficient_user_authentication'
    return { reason: error, error, isGuess: false }
  }
  return callerOf(principal, jwt)
}

function isAuthenticatedWell(principal: Principal, jwt: JwtConfig, now: Seconds): boolean {
  for (const method of jwt.amr) if (principal.amr?.includes(method) !== true) return false
  if (jwt.acr !== undefined && (principal.acr === undefined || !jwt.acr.includes(principal.acr))) {
    return false
  }
  if (jwt.maxAge === undefined) return true
  const at = principal.authenticatedAt
  return at !== undefined && now - at <= jwt.maxAge / 1000
}

function callerOf({ subject, scopes }: Principal, jwt: JwtConfig): Caller | Refused {
  const level = scopes.includes(jwt.adminScope) ? 'administer' : 'read'
  const caller: Caller = { principal: `jwt:${subject}`, level }
  const isIn = mayDo(caller, 'administer') || scopes.includes(jwt.readScope)
  if (isIn) return caller
  return { reason: 'insufficient_scope', error: 'insufficient_scope', isGuess: false }
}
