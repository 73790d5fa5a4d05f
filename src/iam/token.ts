/**
 * The gate before any cryptography: what a compact JWS may look like (RFC 7515 §3.1, §7.1). One token has
 * one spelling here; libraries that accept padding, spaces or stray bits give a revoked token many.
 */
import { decodeBase64Url, fromUtf8, isBase64Url } from './encoding.ts'
import { type JsonObject, parseJsonObject } from './strict-json.ts'

export interface Token {
  readonly text: string
  readonly algorithm: string
  readonly keyId: string | undefined
  readonly type: string | undefined
  /** The claims; not to be believed before the signature is. */
  readonly claims: JsonObject
  readonly hasSignature: boolean
}

const HEADER_LIMITS = { depth: 2, values: 64 }
const CLAIMS_LIMITS = { depth: 32, values: 1024 }
export const MAX_CLAIMS = 256
const MAX_KEY_ID = 256

/** Header parameters that change what is signed or how it is read: none of them is understood here. */
const REFUSED = ['crit', 'b64', 'zip', 'cty', 'enc', 'epk', 'apu', 'apv']

export interface Header {
  readonly algorithm: string
  readonly keyId: string | undefined
  readonly type: string | undefined
  readonly parameters: JsonObject
}

/** @returns undefined when `text` is not three segments in strict base64url */
export function splitToken(text: string): readonly [header: string, payload: string] | undefined {
  const first = text.indexOf('.')
  const second = text.indexOf('.', first + 1)
  if (first <= 0 || second <= first + 1 || text.indexOf('.', second + 1) >= 0) return undefined
  if (!isBase64Url(text, 0, first) || !isBase64Url(text, first + 1, second)) return undefined
  if (!isBase64Url(text, second + 1, text.length)) return undefined
  return [text.slice(0, first), text.slice(first + 1, second)]
}

/** `jwk`, `jku`, `x5u`, `x5c` and `x5t` are not looked at: the issuer's key set alone has keys (RFC 8725 §3.10). */
export function parseHeader(segment: string, limits = HEADER_LIMITS): Header | undefined {
  const parameters = parseSegment(segment, limits)
  if (parameters === undefined) return undefined
  for (const name of REFUSED) if (name in parameters) return undefined
  const { alg, kid, typ } = parameters
  if (typeof alg !== 'string') return undefined
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > MAX_KEY_ID)) return undefined
  if (typ !== undefined && typeof typ !== 'string') return undefined
  return { algorithm: alg, keyId: kid, type: typ, parameters }
}

function parseSegment(
  segment: string,
  limits: { readonly depth: number; readonly values: number },
): JsonObject | undefined {
  const bytes = decodeBase64Url(segment)
  const text = bytes === undefined ? undefined : fromUtf8(bytes)
  return text === undefined ? undefined : parseJsonObject(text, limits)
}

/** @returns undefined when the text is not an acceptable JWT */
export function parseToken(text: string): Token | undefined {
  const segments = splitToken(text)
  if (segments === undefined) return undefined
  const header = parseHeader(segments[0])
  if (header === undefined) return undefined
  const claims = parseSegment(segments[1], CLAIMS_LIMITS)
  if (claims === undefined || Object.keys(claims).length > MAX_CLAIMS) return undefined
  return {
    text,
    algorithm: header.algorithm,
    keyId: header.keyId,
    type: header.type,
    claims,
    hasSignature: !text.endsWith('.'),
  }
}

/** `typ` as the accepted types name it: without `application/`, lower case (RFC 7515 §4.1.9). */
export function mediaType(type: string | undefined): string | null {
  if (type === undefined) return null
  const lower = type.toLowerCase()
  return lower.startsWith('application/') ? lower.slice(12) : lower
}
