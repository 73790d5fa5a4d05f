/**
 * CloudFront's signed URLs: `Expires` (canned policy) or `Policy` (custom), `Signature` and `Key-Pair-Id`.
 * RSA PKCS#1 v1.5 with SHA-1, or SHA-256 where `Hash-Algorithm=SHA256` says so. Base64 with `+ = /` written
 * `- _ ~`.
 */
import type { Seconds } from '../../exchange.ts'
import { CidrSet, parseCidr } from '../../http/cidr.ts'
import { parameters, withoutParameters } from '../credentials.ts'
import { decodeBase64Url, fromUtf8, utf8 } from '../encoding.ts'
import { type Json, type JsonObject, parseJsonObject } from '../strict-json.ts'
import type { SchemeOptions, SignedRequest, SignedUrls, UrlVerdict } from './index.ts'

const OWN = ['Expires', 'Policy', 'Signature', 'Key-Pair-Id', 'Hash-Algorithm']

interface Terms {
  readonly resource: string
  readonly expiresAt: Seconds
  readonly notBefore: Seconds
  readonly addresses: CidrSet | undefined
}

/** @throws RangeError when a key is not a public key in PEM */
export function cloudfront({ keys }: SchemeOptions): SignedUrls {
  const pems = new Map(keys.map((key) => [key.id, spkiOf(key.id, key.secret)]))
  return {
    check: (request, now) =>
      parameters(request.target.query, 'Signature').next().done
        ? 'absent'
        : check(request, now, pems),
  }
}

function spkiOf(id: string, pem: string): Uint8Array<ArrayBuffer> {
  const match = /-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----/.exec(pem)
  const bytes = match === null ? undefined : decodeStandard((match[1] as string).replace(/\s/g, ''))
  if (bytes === undefined) throw new RangeError(`key "${id}" is not a public key in PEM`)
  return bytes
}

function decodeStandard(text: string): Uint8Array<ArrayBuffer> | undefined {
  return decodeBase64Url(
    text
      .replace(/={1,2}$/, '')
      .replaceAll('+', '-')
      .replaceAll('/', '_'),
  )
}

function decodeCloudFront(text: string): Uint8Array<ArrayBuffer> | undefined {
  return decodeStandard(text.replaceAll('_', '=').replaceAll('-', '+').replaceAll('~', '/'))
}

async function check(
  request: SignedRequest,
  now: Seconds,
  keys: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
): Promise<UrlVerdict> {
  const { target } = request
  const own: Record<string, string> = Object.create(null)
  for (const name of OWN) {
    for (const value of parameters(target.query, name)) {
      if (own[name] !== undefined) return 'url_signature_invalid'
      own[name] = value
    }
  }
  const keyId = own['Key-Pair-Id']
  const spki = keyId === undefined ? undefined : keys.get(keyId)
  const signature = decodeCloudFront(own.Signature ?? '')
  if (keyId === undefined || spki === undefined || signature === undefined) {
    return 'url_signature_invalid'
  }
  const query = withoutParameters(target.query, OWN)
  const url = `${request.scheme}://${request.authority}${target.path}${query === '' ? '' : `?${query}`}`
  let policy: string | undefined
  if (own.Policy !== undefined) {
    const bytes = decodeCloudFront(own.Policy)
    policy = bytes === undefined ? undefined : fromUtf8(bytes)
  } else if (/^[0-9]{1,11}$/.test(own.Expires ?? '')) {
    policy = `{"Statement":[{"Resource":${JSON.stringify(url)},"Condition":{"DateLessThan":{"AWS:EpochTime":${own.Expires}}}}]}`
  }
  const terms = policy === undefined ? undefined : parsePolicy(policy)
  if (policy === undefined || terms === undefined) return 'url_signature_invalid'
  const hash = own['Hash-Algorithm'] === 'SHA256' ? 'SHA-256' : 'SHA-1'
  if (!(await isSigned(spki, hash, signature, policy))) return 'url_signature_invalid'
  if (!matchesResource(terms.resource, url)) return 'url_signature_invalid'
  if (terms.addresses !== undefined && !terms.addresses.contains(request.client.ip)) {
    return 'url_signature_invalid'
  }
  if (now < terms.notBefore || now >= terms.expiresAt) return 'signature_expired'
  return { keyId, path: target.path, query, expiresAt: terms.expiresAt }
}

async function isSigned(
  spki: Uint8Array<ArrayBuffer>,
  hash: 'SHA-1' | 'SHA-256',
  signature: Uint8Array<ArrayBuffer>,
  policy: string,
): Promise<boolean> {
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash }
  try {
    const key = await crypto.subtle.importKey('spki', spki, algorithm, false, ['verify'])
    return await crypto.subtle.verify(algorithm.name, key, signature, utf8(policy))
  } catch (error) {
    // Web Crypto refuses the key, which is then no key of this kind.
    if (error instanceof DOMException) return false
    throw error
  }
}

function parsePolicy(text: string): Terms | undefined {
  const document = parseJsonObject(text, { depth: 8, values: 64 })
  const statements = document?.Statement
  if (!Array.isArray(statements) || statements.length !== 1) return undefined
  const statement = object(statements[0])
  const resource = statement?.Resource
  const condition = object(statement?.Condition)
  const expiresAt = epoch(condition?.DateLessThan)
  if (typeof resource !== 'string' || expiresAt === undefined) return undefined
  const notBefore = condition?.DateGreaterThan === undefined ? 0 : epoch(condition.DateGreaterThan)
  if (notBefore === undefined) return undefined
  let addresses: CidrSet | undefined
  if (condition?.IpAddress !== undefined) {
    const source = object(condition.IpAddress)?.['AWS:SourceIp']
    if (typeof source !== 'string' || parseCidr(source) === undefined) return undefined
    addresses = CidrSet.of([source])
  }
  return { resource, expiresAt, notBefore, addresses }
}

function object(value: Json | undefined): JsonObject | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
}

function epoch(value: Json | undefined): Seconds | undefined {
  const time = object(value)?.['AWS:EpochTime']
  return typeof time === 'number' ? time : undefined
}

/** `*` is any characters, `?` one. Linear: only the last `*` is ever taken up again. */
function matchesResource(pattern: string, url: string): boolean {
  let p = 0
  let u = 0
  let star = -1
  let mark = 0
  while (u < url.length) {
    if (p < pattern.length && pattern[p] === '*') {
      star = p++
      mark = u
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === url[u])) {
      p++
      u++
    } else if (star >= 0) {
      p = star + 1
      u = ++mark
    } else {
      return false
    }
  }
  while (pattern[p] === '*') p++
  return p === pattern.length
}
