/**
 * Verification of one token against one issuer. Order: form, issuer, algorithm, type, key, signature,
 * claims; nothing in the token chooses code or an address. Cryptography is jose's, over Web Crypto.
 */
import { compactVerify, errors } from 'jose'
import type { Seconds } from '../exchange.ts'
import { type ClaimMap, type ClaimRules, checkClaims } from './claims.ts'
import type { Key } from './key-set.ts'
import type { KeyStore } from './key-store.ts'
import type { AuthReason } from './reasons.ts'
import { mediaType, parseToken, type Token } from './token.ts'

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

/** Whether the token's signature is by this key, with the algorithm that it names. */
export async function isSignedBy(token: Token, key: Key): Promise<boolean> {
  if (!key.algorithms.includes(token.algorithm)) return false
  const imported = await key.import(token.algorithm)
  if (imported === undefined) return false
  try {
    await compactVerify(token.text, imported, { algorithms: [token.algorithm] })
    return true
  } catch (error) {
    if (error instanceof errors.JOSEError) return false
    throw error
  }
}
