/**
 * What a limit counts apart. A key is a list of parts, each taken from the request and fed to the keyed
 * hash with its length, so that no two lists of values share a key by how they are joined.
 */
import type { Report } from '../config/errors.ts'
import type { KeyPartConfig } from '../config/sections/limits.ts'
import type { Exchange, HeaderList } from '../exchange.ts'
import { feedAddress, IPV6_PREFIX, type KeyHasher } from './key-hash.ts'

/** Compiles the rules language; `src/expression` provides it. Undefined after a reported problem. */
export interface ExpressionCompiler {
  condition(text: string, path: string, report: Report): ((x: Exchange) => boolean) | undefined
  value(text: string, path: string, report: Report): ((x: Exchange) => unknown) | undefined
}

/** Feeds one part of the key; false when the request does not have it. */
export type KeyPart = (x: Exchange, hasher: KeyHasher) => boolean

const IDENTITY_PARTS = ['principal', 'issuer', 'client', 'tenant', 'claim']

/** Whether the part is known only after identification. */
export function needsIdentity(part: KeyPartConfig): boolean {
  return typeof part === 'string'
    ? IDENTITY_PARTS.includes(part.split(':')[0] as string)
    : part.expression.includes('auth.')
}

export function compileKeyPart(
  part: KeyPartConfig,
  path: string,
  report: Report,
  expressions: ExpressionCompiler | undefined,
): KeyPart | undefined {
  if (typeof part !== 'string') {
    if (expressions === undefined) {
      report(path, 'expressions are not available here')
      return undefined
    }
    const value = expressions.value(part.expression, path, report)
    return value === undefined ? undefined : (x, hasher) => feed(value(x), hasher)
  }
  const colon = part.indexOf(':')
  const name = colon < 0 ? '' : part.slice(colon + 1)
  switch (colon < 0 ? part.split('/')[0] : part.slice(0, colon)) {
    case 'ip':
      return addressPart(32, part.includes('/') ? Number(part.slice(3)) : IPV6_PREFIX)
    case 'network':
      return addressPart(24, 48)
    case 'principal':
      return (x, hasher) => {
        const principal = x.principal
        if (principal === undefined || principal.kind === 'anonymous') return false
        hasher.text(principal.issuer ?? '')
        hasher.text(principal.subject)
        return true
      }
    case 'issuer':
      return (x, hasher) => feed(x.principal?.issuer, hasher)
    case 'client':
      return (x, hasher) => feed(x.principal?.clientId, hasher)
    case 'tenant':
      return (x, hasher) => feed(x.principal?.tenant, hasher)
    case 'claim':
      return (x, hasher) => {
        const claims = x.principal?.claims
        return claims !== undefined && Object.hasOwn(claims, name) && feed(claims[name], hasher)
      }
    case 'route':
      return (x, hasher) => feed(x.route?.id, hasher)
    case 'host':
      return (x, hasher) => feed(x.host, hasher)
    case 'method':
      return (x, hasher) => feed(x.method, hasher)
    case 'country':
      return (x, hasher) => feed(x.geo.country, hasher)
    case 'asn':
      return (x, hasher) => feed(x.geo.asn, hasher)
    case 'header': {
      const field = name.toLowerCase()
      return (x, hasher) => feed(x.headers.get(field), hasher)
    }
    case 'cookie':
      return (x, hasher) => feed(cookieValue(x.headers, name), hasher)
    case 'query':
      return (x, hasher) => feed(queryValue(x.target.query, name), hasher)
    default:
      report(path, `"${part}" is not a key part`)
      return undefined
  }
}

function feed(value: unknown, hasher: KeyHasher): boolean {
  if (typeof value === 'string') {
    hasher.text(value)
    return true
  }
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') {
    hasher.text(String(value))
    return true
  }
  return false
}

function addressPart(prefix4: number, prefix6: number): KeyPart {
  return (x, hasher) => feedAddress(x.client.ip, prefix4, prefix6, hasher)
}

/** First cookie of that name (RFC 6265 §4.2), without surrounding quotes or spaces. */
export function cookieValue(headers: HeaderList, name: string): string | undefined {
  for (const field of headers.all('cookie')) {
    let at = 0
    while (at < field.length) {
      let end = field.indexOf(';', at)
      if (end < 0) end = field.length
      const equals = field.indexOf('=', at)
      if (equals >= 0 && equals < end && field.slice(at, equals).trim() === name) {
        const value = field.slice(equals + 1, end).trim()
        return value.startsWith('"') && value.endsWith('"') && value.length > 1
          ? value.slice(1, -1)
          : value
      }
      at = end + 1
    }
  }
  return undefined
}

/** First query parameter of that name; names are compared decoded, so that an encoded one is no way out. */
export function queryValue(query: string, name: string): string | undefined {
  let at = 0
  while (at < query.length) {
    let end = query.indexOf('&', at)
    if (end < 0) end = query.length
    let equals = query.indexOf('=', at)
    if (equals < 0 || equals > end) equals = end
    if (decoded(query.slice(at, equals)) === name) return decoded(query.slice(equals + 1, end))
    at = end + 1
  }
  return undefined
}

function decoded(text: string): string {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text
  if (!spaced.includes('%')) return spaced
  try {
    return decodeURIComponent(spaced)
  } catch {
    // Not UTF-8: the text itself is as good a key.
    return spaced
  }
}
