/** What a person asks to be purged, and the names under which stored responses know it. Pure. */
import { canonicalTarget, parseAuthority, splitAbsoluteForm } from '../../http/target.ts'
import { forwardedPathAndQuery } from '../key/cache-key.ts'
import type { CachePolicy } from '../policy/cache-policy.ts'
import { urlEpoch } from './epochs.ts'

export interface PurgeRequest {
  /** hard: gone. soft: stale, to be validated at the next use. */
  readonly mode: 'hard' | 'soft'
  /** URLs with scheme and query; without a scheme both are meant. */
  readonly urls?: readonly string[]
  /** host/path prefixes, whole segments; a scheme in front says nothing. */
  readonly prefixes?: readonly string[]
  readonly hosts?: readonly string[]
  readonly tags?: readonly string[]
  readonly everything?: boolean
}

/** A purged name, as it is passed on to other processes. */
export interface PurgeNote {
  readonly name: string
  readonly soft: boolean
}

interface Place {
  readonly scheme: 'http' | 'https' | undefined
  readonly authority: string
  /** Target with its query. */
  readonly rest: string
}

function placeOf(text: string): Place | undefined {
  const absolute = splitAbsoluteForm(
    /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`,
  )
  const authority = absolute === undefined ? undefined : parseAuthority(absolute.authority)
  if (absolute === undefined || authority === undefined) return undefined
  const scheme = text.includes('://') ? absolute.scheme : undefined
  if (scheme !== undefined && scheme !== 'http' && scheme !== 'https') return undefined
  return {
    scheme,
    authority: authority.authority,
    rest: absolute.rest === '' ? '/' : absolute.rest,
  }
}

/**
 * The names to purge.
 * @param policies settings of the routes: URLs and hosts are stored as they are forwarded, without left-out
 *   parameters and under the host that others stand for
 */
export function purgeNames(what: PurgeRequest, policies: readonly CachePolicy[] = []): string[] {
  const names = new Set<string>()
  for (const url of what.urls ?? []) for (const name of namesOfUrl(url, policies)) names.add(name)
  for (const text of what.hosts ?? []) {
    const authority = parseAuthority(text)?.authority
    if (authority === undefined) continue
    for (const host of forwardedHosts(authority, policies)) names.add(`host:${host}`)
  }
  for (const text of what.prefixes ?? []) {
    const place = placeOf(text)
    const target = place === undefined ? undefined : canonicalTarget(place.rest)
    if (place === undefined || target === undefined || typeof target === 'string') continue
    const path = target.path.endsWith('/') ? target.path : `${target.path}/`
    for (const host of forwardedHosts(place.authority, policies)) names.add(`pfx:${host}${path}`)
  }
  for (const tag of what.tags ?? []) names.add(`tag:${tag}`)
  if (what.everything === true) names.add('all')
  return [...names]
}

/** Whether a text can name something stored; for refusing what would purge nothing. */
export function canBePurged(kind: 'url' | 'prefix' | 'host', text: string): boolean {
  if (kind === 'host') return parseAuthority(text) !== undefined
  const place = placeOf(text)
  return place !== undefined && typeof canonicalTarget(place.rest) !== 'string'
}

/** Names of a URL as the origin is asked for it; empty for what is no URL. */
export function namesOfUrl(text: string, policies: readonly CachePolicy[]): string[] {
  return forwardedUrls(text, policies).map(urlEpoch)
}

/** URLs under which responses to a URL are stored: as it is, and as each route forwards it. */
export function forwardedUrls(text: string, policies: readonly CachePolicy[]): string[] {
  const place = placeOf(text)
  const target = place === undefined ? undefined : canonicalTarget(place.rest)
  if (place === undefined || target === undefined || typeof target === 'string') return []
  const urls = new Set<string>()
  for (const scheme of place.scheme === undefined ? ['http', 'https'] : [place.scheme]) {
    urls.add(`${scheme}://${place.authority}${target.pathAndQuery}`)
    for (const policy of policies) {
      const host = policy.key.hostAlias.get(place.authority) ?? place.authority
      urls.add(`${scheme}://${host}${forwardedPathAndQuery(target, policy)}`)
    }
  }
  return [...urls]
}

function forwardedHosts(authority: string, policies: readonly CachePolicy[]): Set<string> {
  const hosts = new Set([authority])
  for (const { key } of policies) {
    const alias = key.hostAlias.get(authority)
    if (alias !== undefined) hosts.add(alias)
  }
  return hosts
}
