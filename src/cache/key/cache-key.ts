/**
 * The key: exactly what is forwarded and decides the answer. Parts after the URL are separated by line
 * feeds, which neither a target nor a field value can hold.
 */
import type {
  BodySource,
  CacheStatus,
  Cancellable,
  CodableBody,
  HeaderList,
  Target,
} from '../../exchange.ts'
import type { CachePolicy } from '../policy/cache-policy.ts'

/** What the cache reads of a request; an `Exchange` is one. */
export interface CacheRequest {
  readonly method: string
  readonly scheme: 'http' | 'https'
  /** Host as forwarded, lower case, with its port if one was given. */
  readonly authority: string
  readonly target: Target
  readonly headers: HeaderList
  readonly geo: { readonly country: string | null }
  /** Anybody but `anonymous` makes the request authenticated. */
  readonly principal: { readonly kind: string } | undefined
  readonly body: BodySource | null
  /** Asked by another cache of the fleet, which needs the tags. */
  readonly isFromEdge?: boolean
  /** Set by the cache. */
  cacheStatus: CacheStatus | undefined
  /** Set by the cache: the stored response whose body the reply has, as it is. */
  served: CodableBody | undefined
  /** True once the client has gone. */
  aborted: boolean
  /** Set by the cache while it waits for another request's fill. */
  onAbort: Cancellable | undefined
}

export interface RequestKey {
  readonly key: string
  /** scheme://authority/path?query as forwarded. */
  readonly url: string
  /** Path and query as forwarded. */
  readonly pathAndQuery: string
}

/** The key alone, for the hot path. */
export function cacheKey(request: CacheRequest, policy: CachePolicy): string {
  if (policy.key.plain) {
    return `${policy.key.prefix}${request.scheme}://${request.authority}${request.target.pathAndQuery}`
  }
  return requestKey(request, policy).key
}

export function forwardedPathAndQuery(target: Target, policy: CachePolicy): string {
  if (policy.key.query.identity) return target.pathAndQuery
  const query = policy.key.query.apply(target.query)
  return query === '' ? target.path : `${target.path}?${query}`
}

export function requestKey(request: CacheRequest, policy: CachePolicy): RequestKey {
  const { key: rule } = policy
  const pathAndQuery = forwardedPathAndQuery(request.target, policy)
  const authority = rule.hostAlias.get(request.authority) ?? request.authority
  const url = `${request.scheme}://${authority}${pathAndQuery}`
  let key = `${rule.prefix}${url}`
  for (const name of rule.headers) {
    const value = request.headers.joined(name)
    key += value === undefined ? `\n${name}-` : `\n${name}=${value}`
  }
  if (rule.cookies.length > 0) {
    const cookies = request.headers.joined('cookie') ?? ''
    for (const name of rule.cookies) key += `\n;${name}=${cookieValue(cookies, name)}`
  }
  if (rule.country !== false) {
    const country = request.geo.country ?? '-'
    key += `\n@${rule.country === true ? country : (rule.country.get(country) ?? '-')}`
  }
  return { key, url, pathAndQuery }
}

function cookieValue(cookies: string, name: string): string {
  for (const pair of cookies.split(/[;,]/)) {
    const equals = pair.indexOf('=')
    if (equals >= 0 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim()
  }
  return ''
}
