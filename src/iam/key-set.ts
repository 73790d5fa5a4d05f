/**
 * Key sets (RFC 7517), examined before any key is used: what a key may be, which algorithms it fits, and
 * which of an issuer's keys a token means. The key decides the algorithm; a token only names both.
 */
import { type CryptoKey, importJWK, type JWK } from 'jose'
import { sha256 } from '../expression/sha256.ts'
import { decodeBase64Url, encodeBase64Url, fromUtf8, utf8 } from './encoding.ts'
import { hasRocaFingerprint } from './roca.ts'
import { type JsonObject, parseJsonObject } from './strict-json.ts'

export const MAX_KEYS = 64
export const MAX_KEY_SET_BYTES = 262_144

/** Why a key was left out, for the log. */
export interface KeyProblem {
  readonly index: number
  readonly problem: string
}

const RSA_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
const CURVES: Readonly<Record<string, { algorithms: readonly string[]; bytes: number }>> = {
  'P-256': { algorithms: ['ES256'], bytes: 32 },
  'P-384': { algorithms: ['ES384'], bytes: 48 },
  'P-521': { algorithms: ['ES512'], bytes: 66 },
}
/** RFC 9864 names the curve; RFC 8037 named the family. The same signatures. */
const ED25519_ALGORITHMS = ['EdDSA', 'Ed25519']
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']

/** Secrets that everybody knows, from the best-known samples; a signature with them proves nothing. */
const KNOWN_SECRETS = new Set([
  'a-string-secret-at-least-256-bits-long',
  'a-valid-string-secret-that-is-at-least-384-bits-long',
  'a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long',
])

export class VerificationKey {
  readonly keyId: string | undefined
  /** RFC 7638; two keys with the same thumbprint are the same key. */
  readonly thumbprint: string
  readonly algorithms: readonly string[]
  readonly #jwk: JWK
  readonly #imported = new Map<string, Promise<CryptoKey | undefined>>()

  constructor(
    keyId: string | undefined,
    thumbprint: string,
    algorithms: readonly string[],
    jwk: JWK,
  ) {
    this.keyId = keyId
    this.thumbprint = thumbprint
    this.algorithms = algorithms
    this.#jwk = jwk
  }

  /** For Web Crypto; undefined when it refuses the key, for instance a point that is not on its curve. */
  import(algorithm: string): Promise<CryptoKey | undefined> {
    let key = this.#imported.get(algorithm)
    if (key === undefined) {
      key = importJWK(this.#jwk, algorithm).then(
        // A Uint8Array is what a symmetric key would give; those come by `secretKey`.
        (imported) => (imported instanceof Uint8Array ? undefined : imported),
        () => undefined,
      )
      this.#imported.set(algorithm, key)
    }
    return key
  }
}

/** A shared secret, for HS256, HS384 and HS512 only. */
export class SecretKey {
  readonly keyId: string | undefined
  readonly thumbprint: string
  readonly algorithms: readonly string[]
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array, algorithms: readonly string[], keyId?: string) {
    this.#bytes = bytes
    this.keyId = keyId
    this.algorithms = algorithms
    this.thumbprint = encodeBase64Url(sha256(bytes))
  }

  async import(_algorithm: string): Promise<Uint8Array> {
    return this.#bytes
  }
}

export type Key = VerificationKey | SecretKey

/** A set whose keys have passed. */
export class KeySet {
  readonly keys: readonly Key[]
  /** Ids that more than one key claims. */
  readonly ambiguous: ReadonlySet<string>
  readonly #byId = new Map<string, Key>()
  readonly #thumbprints = new Set<string>()

  /** Two different keys under one id are both left out: a token that names it could mean either. */
  constructor(keys: readonly Key[]) {
    const thumbprints = new Map<string, string>()
    const ambiguous = new Set<string>()
    for (const { keyId, thumbprint } of keys) {
      if (keyId === undefined) continue
      if ((thumbprints.get(keyId) ?? thumbprint) !== thumbprint) ambiguous.add(keyId)
      thumbprints.set(keyId, thumbprint)
    }
    const kept: Key[] = []
    for (const key of keys) {
      if (key.keyId !== undefined && ambiguous.has(key.keyId)) continue
      if (key.keyId !== undefined && this.#byId.has(key.keyId)) continue
      kept.push(key)
      if (key.keyId !== undefined) this.#byId.set(key.keyId, key)
      this.#thumbprints.add(key.thumbprint)
    }
    this.keys = kept
    this.ambiguous = ambiguous
  }

  has(key: Key): boolean {
    return this.#thumbprints.has(key.thumbprint)
  }

  /** The key that a token names; without a name, the only key that fits its algorithm. */
  find(keyId: string | undefined, algorithm: string): Key | undefined {
    if (keyId !== undefined) {
      const named = this.#byId.get(keyId)
      return named?.algorithms.includes(algorithm) ? named : undefined
    }
    const fitting = this.keys.filter((key) => key.algorithms.includes(algorithm))
    return fitting.length === 1 ? fitting[0] : undefined
  }
}

/** Parses and examines a key set; undefined when it is none at all. */
export function parseKeySet(
  bytes: Uint8Array,
): { readonly set: KeySet; readonly problems: readonly KeyProblem[] } | undefined {
  if (bytes.length > MAX_KEY_SET_BYTES) return undefined
  const text = fromUtf8(bytes)
  const document =
    text === undefined ? undefined : parseJsonObject(text, { depth: 8, values: 8192 })
  const keys = document?.keys
  if (!Array.isArray(keys) || keys.length > MAX_KEYS) return undefined
  return examineKeys(keys)
}

/** Examines keys one by one; those that may not be used are left out and named. */
export function examineKeys(jwks: readonly unknown[]): {
  readonly set: KeySet
  readonly problems: readonly KeyProblem[]
} {
  const problems: KeyProblem[] = []
  const keys: VerificationKey[] = []
  for (const [index, jwk] of jwks.entries()) {
    const key = examineKey(jwk)
    if (typeof key === 'string') problems.push({ index, problem: key })
    else keys.push(key)
  }
  const set = new KeySet(keys)
  for (const keyId of set.ambiguous) {
    const index = jwks.findIndex((jwk) => (jwk as JsonObject).kid === keyId)
    problems.push({ index, problem: 'two different keys have this kid' })
  }
  return { set, problems }
}

/** @returns the key, or what is wrong with it */
export function examineKey(value: unknown): VerificationKey | string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'not an object'
  // A JSON object or a config record: members are looked at one by one and checked.
  const jwk = value as JsonObject
  for (const name of PRIVATE_MEMBERS) {
    if (Object.hasOwn(jwk, name)) return jwk.kty === 'oct' ? 'a symmetric key' : 'has private parts'
  }
  if (jwk.use !== undefined && jwk.use !== 'sig') return 'not for signatures'
  if (jwk.key_ops !== undefined) {
    const { key_ops: operations } = jwk
    if (!Array.isArray(operations) || !operations.includes('verify')) return 'not for verifying'
  }
  const { kid, alg } = jwk
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > 256)) return 'bad kid'
  if (alg !== undefined && typeof alg !== 'string') return 'bad alg'
  const material = examineMaterial(jwk)
  if (typeof material === 'string') return material
  let { algorithms } = material
  if (alg !== undefined) {
    if (!algorithms.includes(alg)) return 'its alg does not fit the key'
    if (material.members.kty !== 'OKP') algorithms = [alg]
  }
  const canonical = JSON.stringify(material.members)
  const thumbprint = encodeBase64Url(sha256(utf8(canonical)))
  return new VerificationKey(kid, thumbprint, algorithms, { ...material.members })
}

/** The members that make the key, in the order of RFC 7638, or what is wrong. */
function examineMaterial(
  jwk: JsonObject,
): { algorithms: readonly string[]; members: Record<string, string> } | string {
  switch (jwk.kty) {
    case 'RSA': {
      const { n, e } = jwk
      const modulus = typeof n === 'string' ? decodeBase64Url(n) : undefined
      const exponent = typeof e === 'string' ? decodeBase64Url(e) : undefined
      if (modulus === undefined || exponent === undefined) return 'n or e is not base64url'
      const bits = bitLength(modulus)
      if (bits < 2048 || bits > 8192) return `a modulus of ${bits} bits`
      if (modulus[0] === 0 || ((modulus.at(-1) as number) & 1) === 0) return 'a bad modulus'
      const value = exponent.length > 4 ? 0 : exponent.reduce((sum, byte) => sum * 256 + byte, 0)
      if (value < 65_537 || value % 2 === 0) return 'a bad exponent'
      if (hasRocaFingerprint(modulus)) return 'a modulus with the ROCA weakness (CVE-2017-15361)'
      return { algorithms: RSA_ALGORITHMS, members: { e: e as string, kty: 'RSA', n: n as string } }
    }
    case 'EC': {
      const { crv, x, y } = jwk
      const curve = typeof crv === 'string' && Object.hasOwn(CURVES, crv) ? CURVES[crv] : undefined
      if (curve === undefined) return 'an unknown curve'
      const isWhole = [x, y].every(
        (part) => typeof part === 'string' && decodeBase64Url(part)?.length === curve.bytes,
      )
      if (!isWhole) return 'x or y is not a coordinate'
      return {
        algorithms: curve.algorithms,
        members: { crv: crv as string, kty: 'EC', x: x as string, y: y as string },
      }
    }
    case 'OKP': {
      const { crv, x } = jwk
      if (crv !== 'Ed25519') return 'an unknown curve'
      if (typeof x !== 'string' || decodeBase64Url(x)?.length !== 32) return 'x is not a point'
      return { algorithms: ED25519_ALGORITHMS, members: { crv, kty: 'OKP', x } }
    }
    case 'oct':
      return 'a symmetric key'
    default:
      return 'an unknown key type'
  }
}

function bitLength(bytes: Uint8Array): number {
  return bytes.length === 0 ? 0 : bytes.length * 8 - (Math.clz32(bytes[0] as number) - 24)
}

/** Bytes of hash output: a shorter secret is the weaker link (RFC 7518 §3.2). */
const SECRET_BYTES: Readonly<Record<string, number>> = { HS256: 32, HS384: 48, HS512: 64 }

/** @returns the key, or what is wrong with it */
export function secretKey(
  secret: string | Uint8Array,
  algorithms: readonly string[],
  keyId?: string,
): SecretKey | string {
  const bytes = typeof secret === 'string' ? utf8(secret) : secret
  const text = fromUtf8(bytes)
  if (text !== undefined && KNOWN_SECRETS.has(text)) return 'this secret is a published sample'
  for (const algorithm of algorithms) {
    const needed = SECRET_BYTES[algorithm]
    if (needed === undefined) return `${algorithm} does not work with a shared secret`
    if (bytes.length < needed) return `${algorithm} needs a secret of at least ${needed} bytes`
  }
  return new SecretKey(bytes, algorithms, keyId)
}
