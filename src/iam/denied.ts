/**
 * A refusal and its challenges (RFC 6750 §3, RFC 9110 §11.6.1): one WWW-Authenticate field for each scheme,
 * no `error` when there were no credentials, `resource_metadata` where RFC 9728 is in use.
 */
import type { Seconds } from '../exchange.ts'
import type { ProblemCode } from '../http/problem.ts'
import { type AuthReason, problemCode, reasonSpec } from './reasons.ts'

export class Denied {
  readonly reason: AuthReason
  readonly status: number
  /** For `problem()`. */
  readonly code: ProblemCode
  /** Values of WWW-Authenticate, one field each. */
  readonly challenges: readonly string[]
  readonly retryAfter: Seconds
  /** Flat name, value list for the reply: challenges, Retry-After, DPoP-Nonce. */
  readonly headers: readonly string[]

  constructor(
    reason: AuthReason,
    challenges: readonly string[] = [],
    retryAfter: Seconds = 0,
    nonce?: string,
  ) {
    this.reason = reason
    this.status = reasonSpec(reason).status
    this.code = problemCode(reason)
    this.challenges = challenges
    this.retryAfter = retryAfter
    const headers: string[] = []
    for (const challenge of challenges) headers.push('www-authenticate', challenge)
    if (retryAfter > 0) headers.push('retry-after', String(retryAfter))
    if (nonce !== undefined) headers.push('dpop-nonce', nonce)
    this.headers = headers
  }
}

/** What a route's challenges say besides the error. */
export interface ChallengeContext {
  readonly realm: string
  /** Schemes that the route takes. */
  readonly bearer: boolean
  /** Algorithms for proofs, when the route takes DPoP. */
  readonly dpopAlgorithms: string | undefined
  readonly metadataUrl: string | undefined
  /** Scopes that the route requires, joined. */
  readonly scope: string
  readonly acrValues: string
  readonly maxAge: Seconds | undefined
}

/** @param scheme of the credentials that were sent, if any; a proof's error belongs to DPoP alone */
export function challengesFor(reason: AuthReason, context: ChallengeContext): string[] {
  const spec = reasonSpec(reason)
  if (spec.status !== 401 && spec.error === undefined) return []
  const isProof = reason.startsWith('proof_') || reason === 'use_dpop_nonce'
  const challenges: string[] = []
  if (context.bearer && !isProof) challenges.push(`Bearer ${parameters(reason, context)}`)
  if (context.dpopAlgorithms !== undefined) {
    challenges.push(`DPoP ${parameters(reason, context)}, algs="${context.dpopAlgorithms}"`)
  }
  return challenges
}

function parameters(reason: AuthReason, context: ChallengeContext): string {
  const { error, text } = reasonSpec(reason)
  let out = `realm="${context.realm}"`
  if (error !== undefined) out += `, error="${error}", error_description="${text}"`
  if (error === 'insufficient_scope' && context.scope !== '') out += `, scope="${context.scope}"`
  if (error === 'insufficient_user_authentication') {
    if (context.acrValues !== '') out += `, acr_values="${context.acrValues}"`
    if (context.maxAge !== undefined) out += `, max_age="${context.maxAge}"`
  }
  if (context.metadataUrl !== undefined) out += `, resource_metadata="${context.metadataUrl}"`
  return out
}
