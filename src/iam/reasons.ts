/**
 * Why a caller is refused. The codes are stable: logs, metrics and tests know them. What a client reads is
 * one fixed sentence for each, without claim values or key ids.
 */
import type { ProblemCode } from '../http/problem.ts'

/** `error` of RFC 6750 §3.1, RFC 9449 §7.1 and RFC 9470 §3. */
type ErrorCode =
  | 'invalid_request'
  | 'invalid_token'
  | 'insufficient_scope'
  | 'insufficient_user_authentication'
  | 'invalid_dpop_proof'
  | 'use_dpop_nonce'

interface ReasonSpec {
  readonly status: 400 | 401 | 403 | 429 | 503
  readonly error?: ErrorCode
  readonly text: string
}

const token = (text: string): ReasonSpec => ({ status: 401, error: 'invalid_token', text })
const proof = (text: string): ReasonSpec => ({ status: 401, error: 'invalid_dpop_proof', text })

export const REASONS = {
  credentials_missing: { status: 401, text: 'credentials are required' },
  invalid_request: {
    status: 400,
    error: 'invalid_request',
    text: 'the credentials are not well formed',
  },
  multiple_credentials: {
    status: 400,
    error: 'invalid_request',
    text: 'more than one credential was sent',
  },
  cross_site_cookie: { status: 403, text: 'a cookie does not permit this from another site' },
  token_malformed: token('the token is not well formed'),
  token_too_large: token('the token is too large'),
  issuer_unknown: token('the issuer is not trusted'),
  alg_not_allowed: token('the signature algorithm is not allowed'),
  type_mismatch: token('the token is of another type'),
  key_not_found: token('the signing key is unknown'),
  signature_invalid: token('the signature is not valid'),
  token_expired: token('the token has expired'),
  token_not_yet_valid: token('the token is not valid yet'),
  token_lifetime: token('the token lives too long'),
  audience_mismatch: token('the token is meant for somebody else'),
  claim_missing: token('a required claim is missing'),
  claim_invalid: token('a claim is not valid'),
  token_revoked: token('the token has been revoked'),
  token_inactive: token('the token is not active'),
  session_invalid: { status: 401, text: 'the session is not valid' },
  session_expired: { status: 401, text: 'the session is over' },
  session_revoked: { status: 401, text: 'the session has been ended' },
  api_key_invalid: { status: 401, text: 'the key is not valid' },
  certificate_missing: { status: 401, text: 'a client certificate is required' },
  certificate_mismatch: token('the token is bound to another certificate'),
  proof_missing: token('a proof of possession is required'),
  proof_invalid: proof('the proof of possession is not valid'),
  proof_replayed: proof('the proof of possession was used before'),
  use_dpop_nonce: { status: 401, error: 'use_dpop_nonce', text: 'a nonce is required' },
  signature_expired: { status: 403, text: 'the link has expired' },
  url_signature_invalid: { status: 403, text: 'the link is not valid' },
  insufficient_scope: {
    status: 403,
    error: 'insufficient_scope',
    text: 'the scope does not suffice',
  },
  insufficient_user_authentication: {
    status: 401,
    error: 'insufficient_user_authentication',
    text: 'a stronger or more recent authentication is required',
  },
  policy_denied: { status: 403, text: 'policy does not permit this' },
  too_many_failures: { status: 429, text: 'too many failed attempts' },
  keys_unavailable: { status: 503, text: 'the signing keys cannot be fetched' },
  revocations_unknown: { status: 503, text: 'the token cannot be checked' },
  login_unavailable: { status: 503, text: 'the session cannot be renewed' },
  introspection_unavailable: { status: 503, text: 'the token cannot be checked' },
} as const satisfies Record<string, ReasonSpec>

export type AuthReason = keyof typeof REASONS

export function reasonSpec(reason: AuthReason): ReasonSpec {
  return REASONS[reason]
}

/** What an honest client does not send: neither late, nor missing, nor meant for another service. */
const SUSPICIOUS: ReadonlySet<AuthReason> = new Set<AuthReason>([
  'multiple_credentials',
  'token_malformed',
  'token_too_large',
  'issuer_unknown',
  'alg_not_allowed',
  'type_mismatch',
  'signature_invalid',
  'token_inactive',
  'api_key_invalid',
  'certificate_mismatch',
  'proof_invalid',
  'proof_replayed',
  'url_signature_invalid',
  'too_many_failures',
])

/** Whether the refusal is to be held against the client. */
export function isSuspicious(reason: AuthReason): boolean {
  return SUSPICIOUS.has(reason)
}

const PROBLEM_BY_STATUS: Readonly<Record<ReasonSpec['status'], ProblemCode>> = {
  400: 'bad-credentials-request',
  401: 'unauthenticated',
  403: 'forbidden',
  429: 'rate-limited',
  503: 'identity-unavailable',
}

export function problemCode(reason: AuthReason): ProblemCode {
  return PROBLEM_BY_STATUS[REASONS[reason].status]
}
