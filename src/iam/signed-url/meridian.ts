/**
 * Our own signed URLs: HMAC-SHA256 over host, path (or a prefix of it), the other parameters in sorted order,
 * the expiry, and the client address when the link is for one client only.
 *
 *     /video/1.mp4?quality=hd&exp=1767225600&kid=main&sig=…
 */
import type { Seconds } from '../../exchange.ts'
import { hmacSha256 } from '../../expression/sha256.ts'
import { parameters, withoutParameters } from '../credentials.ts'
import { decodeBase64Url, encodeBase64Url, isEqual, utf8 } from '../encoding.ts'
import type { SchemeOptions, SignedRequest, SignedUrls, UrlVerdict } from './index.ts'

/** exp: seconds since the epoch; kid: key; sig: MAC; pre: path prefix instead of the path; ip: client. */
const OWN = ['exp', 'kid', 'sig', 'pre', 'ip']
const MIN_SECRET_BYTES = 32

export interface LinkTerms {
  readonly host: string
  /** Canonical path, and the query without our parameters. */
  readonly path: string
  readonly query?: string
  readonly expiresAt: Seconds
  /** Signs everything below this path, which ends in `/`; the query is then free. */
  readonly prefix?: string | undefined
  /** Only for this client address. */
  readonly ip?: string | undefined
}

/** @returns the query to append to the path */
export function signUrl(terms: LinkTerms, keyId: string, secret: string): string {
  const query = terms.query ?? ''
  const own = [`exp=${terms.expiresAt}`, `kid=${keyId}`]
  if (terms.prefix !== undefined) own.push(`pre=${terms.prefix}`)
  if (terms.ip !== undefined) own.push(`ip=${terms.ip}`)
  const mac = encodeBase64Url(hmacSha256(utf8(secret), utf8(message(terms, keyId))))
  return [...(query === '' ? [] : [query]), ...own, `sig=${mac}`].join('&')
}

/** Lines cannot run into each other: none of the parts can hold a line break. */
function message(terms: LinkTerms, keyId: string): string {
  const signsPrefix = terms.prefix !== undefined
  const place = signsPrefix ? `prefix ${terms.prefix}` : `path ${terms.path}`
  const query = signsPrefix ? '' : (terms.query ?? '').split('&').sort().join('&')
  return [
    'meridian-url-1',
    terms.host,
    place,
    query,
    String(terms.expiresAt),
    keyId,
    terms.ip ?? '',
  ].join('\n')
}

export function meridian({ keys }: SchemeOptions): SignedUrls {
  const secrets = new Map(keys.map((key) => [key.id, key.secret]))
  for (const { id, secret } of keys) {
    if (utf8(secret).length < MIN_SECRET_BYTES) {
      throw new RangeError(`the secret of key "${id}" is shorter than ${MIN_SECRET_BYTES} bytes`)
    }
  }
  return { check: (request, now) => check(request, now, secrets) }
}

function check(
  request: SignedRequest,
  now: Seconds,
  secrets: ReadonlyMap<string, string>,
): UrlVerdict {
  const { target } = request
  const [signature, ...moreSignatures] = parameters(target.query, 'sig')
  if (signature === undefined) return 'absent'
  const [expires, ...moreExpires] = parameters(target.query, 'exp')
  const [keyId, ...moreKeys] = parameters(target.query, 'kid')
  const [prefix, ...morePrefixes] = parameters(target.query, 'pre')
  const [ip, ...moreIps] = parameters(target.query, 'ip')
  const repeated = [moreSignatures, moreExpires, moreKeys, morePrefixes, moreIps]
  if (repeated.some((more) => more.length > 0)) return 'url_signature_invalid'
  if (request.method !== 'GET' && request.method !== 'HEAD') return 'url_signature_invalid'
  if (expires === undefined || !/^[1-9][0-9]{0,10}$/.test(expires)) return 'url_signature_invalid'
  const secret = keyId === undefined ? undefined : secrets.get(keyId)
  if (keyId === undefined || secret === undefined) return 'url_signature_invalid'
  if (prefix !== undefined && !(prefix.endsWith('/') && target.path.startsWith(prefix))) {
    return 'url_signature_invalid'
  }
  const query = withoutParameters(target.query, OWN)
  const expiresAt = Number(expires)
  const terms = { host: request.host, path: target.path, query, expiresAt, prefix, ip }
  const mac = decodeBase64Url(signature)
  const expected = hmacSha256(utf8(secret), utf8(message(terms, keyId)))
  if (mac === undefined || !isEqual(mac, expected)) return 'url_signature_invalid'
  if (ip !== undefined && ip !== request.client.ip?.text) return 'url_signature_invalid'
  if (now >= expiresAt) return 'signature_expired'
  return { keyId, path: target.path, query, expiresAt }
}
