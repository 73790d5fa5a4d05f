/**
 * Verification of one token against one issuer. Order: form, issuer, algorithm, type, key, signature,
 * claims; nothing in the token chooses code or an address. Cryptography is jose's, over Web Crypto.
 */
import { compactVerify, errors } from 'jose'
import type { Seconds } from '../exchange.ts'
import { type ClaimMap, type ClaimRules, checkClaims } from './claims.ts'
import type { Key, KeySet } from './key-set.ts'
import type { KeyStore } from './key-store.ts'
import type { AuthReason } from './reasons.ts'
import { mediaType, parseHeader, parseToken, splitToken, type Token } from './token.ts'

export interface Issuer {
  readonly id: string
  readonly url: string
  readonly keys: KeyStore
  readonly algorithms: readonly string[]
  /** Lower case, without `application/`; null stands for a token without a type. */
  readonly types: readonly (string | null)[]
  readonly rules: ClaimRules
  readonly map: ClaimMap
}

/** A token that proved true. */
export interface Verified {
  readonly token: Token
  readonly issuer: Issuer
  readonly key: Key
}

export type Verification = Verified | AuthReason

/** @param now seconds since the epoch */
export function verifyToken(
  text: string,
  issuers: ReadonlyMap<string, Issuer>,
  now: Seconds,
): Verification | Promise<Verification> {
  const token = parseToken(text)
  if (token === undefined) return 'token_malformed'
  const { iss } = token.claims
  const issuer = typeof iss === 'string' ? issuers.get(iss) : undefined
  if (issuer === undefined) {
    // `none` is told apart even without an issuer: it is always an attack.
    return token.algorithm.toLowerCase() === 'none' ? 'alg_not_allowed' : 'issuer_unknown'
  }
  if (!issuer.algorithms.includes(token.algorithm)) return 'alg_not_allowed'
  if (!token.hasSignature) return 'token_malformed'
  if (!issuer.types.includes(mediaType(token.type))) return 'type_mismatch'
  const key = issuer.keys.find(token.keyId, token.algorithm)
  if (typeof key === 'string') return key
  if (key instanceof Promise) {
    return key.then((found) =>
      typeof found === 'string' ? found : verifyWith(token, issuer, found, now),
    )
  }
  return verifyWith(token, issuer, key, now)
}

async function verifyWith(
  token: Token,
  issuer: Issuer,
  key: Key,
  now: Seconds,
): Promise<Verification> {
  if (!(await isSignedBy(token, key))) return 'signature_invalid'
  return checkClaims(token.claims, issuer.rules, now) ?? { token, issuer, key }
}

/**
 * A compact JWS with whatever payload: form, algorithm, key and signature, as `verifyToken` sees them.
 * @returns why it is refused, or undefined
 */
export async function verifyJws(
  text: string,
  keys: KeySet,
  algorithms: readonly string[],
): Promise<AuthReason | undefined> {
  const segments = splitToken(text)
  const header = segments === undefined ? undefined : parseHeader(segments[0])
  if (header === undefined || text.endsWith('.')) return 'token_malformed'
  if (!algorithms.includes(header.algorithm)) return 'alg_not_allowed'
  const key = keys.find(header.keyId, header.algorithm)
  if (key === undefined) return 'key_not_found'
  const isSigned = await isSignedBy({ text, algorithm: header.algorithm }, key)
  return isSigned ? undefined : 'signature_invalid'
}

/** Whether the token's signature is by this key, with the algorithm that it names. */
export async function isSignedBy(
  token: Pick<Token, 'text' | 'algorithm'>,
  key: Key,
): Promise<boolean> {
  if (!key.algorithms.includes(token.algorithm)) return false
  const imported = await key.import(token.algorithm)
  if (imported === undefined) return false
  try {
    await compactVerify(token.text, imported, { algorithms: [token.algorithm] })
    return true
  } catch (error) {
    // Besides its own errors jose passes on what Web Crypto says about a key that does not fit.
    const isRefusal = error instanceof errors.JOSEError || error instanceof DOMException
    if (isRefusal || error instanceof TypeError) return false
    throw error
  }
}
