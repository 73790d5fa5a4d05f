/**
 * Proof of possession, RFC 9449: a token bound to a key is only good together with a fresh signature by
 * that key over this method and address, used once.
 */
import { type CryptoKey, compactVerify, errors } from 'jose'
import type { Seconds } from '../exchange.ts'
import { hmacSha256, sha256 } from '../expression/sha256.ts'
import { decodeBase64Url, encodeBase64Url, fromUtf8, isEqual, utf8 } from './encoding.ts'
import { examineKey } from './key-set.ts'
import { type JsonObject, parseJsonObject } from './strict-json.ts'
import { parseHeader, splitToken } from './token.ts'

/** For the `algs` of a challenge. */
export const DPOP_ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'Ed25519', 'RS256', 'PS256']
const MAX_PROOF_BYTES = 4096
/** How far in the future a proof may be dated. */
const FUTURE: Seconds = 5
const HEADER_LIMITS = { depth: 3, values: 64 }

export type ProofFailure = 'proof_invalid' | 'proof_replayed' | 'use_dpop_nonce'

export interface DpopOptions {
  /** `https://api.example.com`. */
  readonly publicOrigin: string
  readonly maxAge: Seconds
  readonly replayEntries: number
  readonly nonceSecret: string | undefined
}

export interface ProofRequest {
  readonly method: string
  /** Canonical path of the request. */
  readonly path: string
  readonly token: string
  /** The token's `cnf.jkt`. */
  readonly thumbprint: string
}

export class Dpop {
  readonly #origin: string
  readonly #maxAge: Seconds
  readonly #replays: ReplayGuard
  readonly #nonceKey: Uint8Array | undefined

  constructor(options: DpopOptions) {
    this.#origin = normalOrigin(options.publicOrigin) ?? options.publicOrigin
    this.#maxAge = options.maxAge
    this.#replays = new ReplayGuard(options.replayEntries, options.maxAge + FUTURE)
    this.#nonceKey = options.nonceSecret === undefined ? undefined : utf8(options.nonceSecret)
  }

  /** The nonce for this time, when nonces are in use: good for two periods of `maxAge`. */
  nonce(now: Seconds, back = 0): string | undefined {
    if (this.#nonceKey === undefined) return undefined
    const period = Math.floor(now / this.#maxAge) - back
    return encodeBase64Url(hmacSha256(this.#nonceKey, utf8(`dpop-nonce ${period}`)).slice(0, 16))
  }

  /** RFC 9449 §4.3. @returns why the proof is refused, or undefined */
  async check(
    proof: string,
    request: ProofRequest,
    now: Seconds,
  ): Promise<ProofFailure | undefined> {
    if (proof.length > MAX_PROOF_BYTES) return 'proof_invalid'
    const segments = splitToken(proof)
    if (segments === undefined) return 'proof_invalid'
    const header = parseHeader(segments[0], HEADER_LIMITS)
    if (header === undefined || header.type !== 'dpop+jwt') return 'proof_invalid'
    if (!DPOP_ALGORITHMS.includes(header.algorithm)) return 'proof_invalid'
    const key = examineKey(header.parameters.jwk)
    if (typeof key === 'string' || key.thumbprint !== request.thumbprint) return 'proof_invalid'
    const claims = parseClaims(segments[1])
    if (claims === undefined) return 'proof_invalid'
    const { jti, htm, htu, iat, ath, nonce } = claims
    if (typeof jti !== 'string' || jti === '' || jti.length > 256) return 'proof_invalid'
    if (htm !== request.method || typeof htu !== 'string') return 'proof_invalid'
    if (normalUrl(htu) !== this.#origin + normalPath(request.path)) return 'proof_invalid'
    if (typeof iat !== 'number') return 'proof_invalid'
    if (iat > now + FUTURE || iat < now - this.#maxAge) return 'proof_invalid'
    const hash = encodeBase64Url(sha256(utf8(request.token)))
    if (typeof ath !== 'string' || !isEqual(utf8(ath), utf8(hash))) return 'proof_invalid'
    if (this.#nonceKey !== undefined) {
      const isOurs = nonce === this.nonce(now) || nonce === this.nonce(now, 1)
      if (!isOurs) return 'use_dpop_nonce'
    }
    const imported = await key.import(header.algorithm)
    if (imported === undefined || !(await isSigned(proof, imported, header.algorithm))) {
      return 'proof_invalid'
    }
    return this.#replays.isNew(request.thumbprint, jti, now) ? undefined : 'proof_replayed'
  }
}

async function isSigned(proof: string, key: CryptoKey, algorithm: string): Promise<boolean> {
  try {
    await compactVerify(proof, key, { algorithms: [algorithm] })
    return true
  } catch (error) {
    if (error instanceof errors.JOSEError) return false
    throw error
  }
}

function parseClaims(segment: string): JsonObject | undefined {
  const bytes = decodeBase64Url(segment)
  const text = bytes === undefined ? undefined : fromUtf8(bytes)
  return text === undefined ? undefined : parseJsonObject(text, { depth: 8, values: 64 })
}

/**
 * Remembers proofs for as long as they are fresh, in two generations, without timers. When a generation is
 * full, new proofs are refused: forgetting old ones early would let them be used again.
 */
export class ReplayGuard {
  readonly #most: number
  readonly #period: Seconds
  #current = new Set<string>()
  #previous = new Set<string>()
  #since: Seconds = Number.NEGATIVE_INFINITY

  constructor(most: number, period: Seconds) {
    this.#most = most
    this.#period = period
  }

  isNew(thumbprint: string, jti: string, now: Seconds): boolean {
    if (now - this.#since >= this.#period) {
      this.#previous = now - this.#since >= 2 * this.#period ? new Set() : this.#current
      this.#current = new Set()
      this.#since = now
    }
    const name = encodeBase64Url(sha256(utf8(`${thumbprint} ${jti}`)))
    if (this.#current.has(name) || this.#previous.has(name)) return false
    if (this.#current.size >= this.#most) return false
    this.#current.add(name)
    return true
  }
}

/** Scheme, host and path of `htu` in normal form (RFC 3986 §6.2), without query and fragment. */
export function normalUrl(url: string): string | undefined {
  const match = /^([A-Za-z]+:\/\/[^/?#]+)([^?#]*)/.exec(url)
  const origin = match === null ? undefined : normalOrigin(match[1] as string)
  if (match === null || origin === undefined) return undefined
  return origin + normalPath(match[2] === '' ? '/' : (match[2] as string))
}

function normalOrigin(text: string): string | undefined {
  const match = /^(https?):\/\/([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?$/.exec(
    text.toLowerCase(),
  )
  if (match === null) return undefined
  const [, scheme, host, port] = match
  const isDefault = port === undefined || Number(port) === (scheme === 'https' ? 443 : 80)
  return isDefault ? `${scheme}://${host}` : `${scheme}://${host}:${Number(port)}`
}

/** Percent triplets in upper case, those of unreserved characters decoded. */
function normalPath(path: string): string {
  if (!path.includes('%')) return path
  return path.replaceAll(/%[0-9A-Fa-f]{2}/g, (triplet) => {
    const character = String.fromCharCode(Number.parseInt(triplet.slice(1), 16))
    return /[A-Za-z0-9._~-]/.test(character) ? character : triplet.toUpperCase()
  })
}
