/** A route's cache settings, compiled: what the engine reads for each request. */
import type { CacheConfig, CacheRuleAction, RouteCacheConfig } from '../../config/sections/cache.ts'
import type { Millis } from '../../exchange.ts'
import type { VaryOptions } from '../http/vary.ts'
import { compileQueryRule, type QueryRule } from '../key/query.ts'

export interface CachePolicy {
  readonly bypass: boolean
  readonly profile: 'safe' | 'rfc9111'
  readonly key: {
    /** Keeps routes apart that answer the same URL. */
    readonly prefix: string
    readonly query: QueryRule
    readonly headers: readonly string[]
    readonly cookies: readonly string[]
    readonly country: ReadonlyMap<string, string> | boolean
    readonly hostAlias: ReadonlyMap<string, string>
    /** No part but scheme, host and target: the key is one concatenation. */
    readonly plain: boolean
  }
  readonly ttl: {
    readonly default: Millis | undefined
    readonly min: Millis
    readonly max: Millis
    readonly override: Millis | undefined
    readonly status: ReadonlyMap<number, Millis>
    readonly heuristicFraction: number
    readonly heuristicMax: Millis
    readonly heuristicMaxError: Millis
  }
  readonly stale: {
    readonly whileRevalidate: Millis
    readonly ifError: Millis
    readonly keep: Millis
    readonly after: Millis | undefined
    readonly earlyRefresh: number
  }
  readonly vary: VaryOptions & {
    readonly maxVariants: number
    readonly bypassOn: readonly string[]
  }
  readonly coalesce: {
    readonly enabled: boolean
    readonly wait: Millis
    readonly hitForMiss: Millis
  }
  readonly range: {
    readonly maxRanges: number
    readonly storePartial: boolean
    readonly slice: number
  }
  readonly maxObject: number
  readonly maxHeaderBytes: number
  readonly stripUnkeyed: ReadonlySet<string>
  readonly fatGet: 'drop' | 'bypass' | 'reject'
  readonly deceptionArmor: boolean
  readonly setCookie: 'explicit' | 'bypass' | 'strip' | 'store'
  readonly ignoreClientDirectives: boolean
  readonly tagHeaders: readonly string[]
  readonly exposeTags: boolean
  readonly maxTags: number
  readonly targeted: readonly string[]
}

/**
 * @param config the route's section
 * @param shared the process's, for what the route leaves open
 * @param scope  name of the route where another route can answer the same URL; part of the key
 */
export function compileCachePolicy(
  config: RouteCacheConfig,
  shared: Pick<CacheConfig, 'profile'>,
  scope = '',
): CachePolicy {
  const profile = config.profile ?? shared.profile
  const { key, ttl, stale, vary, coalesce, range, limits, security, tags } = config
  const groups = new Map<string, string>()
  for (const [group, countries] of Object.entries(key.countryGroups)) {
    for (const country of countries) groups.set(country, group)
  }
  const query = compileQueryRule(key.query)
  const hostAlias = new Map(Object.entries(key.hostAlias))
  return {
    bypass: !config.enabled,
    profile,
    key: {
      prefix: scope === '' ? '' : `${scope} `,
      query,
      headers: key.headers,
      cookies: key.cookies,
      country: groups.size > 0 ? groups : key.country,
      hostAlias,
      plain:
        query.identity &&
        key.headers.length === 0 &&
        key.cookies.length === 0 &&
        groups.size === 0 &&
        !key.country &&
        hostAlias.size === 0,
    },
    ttl: {
      default: ttl.default,
      min: ttl.min,
      max: ttl.max,
      override: ttl.override,
      status: new Map(Object.entries(ttl.status).map(([status, time]) => [Number(status), time])),
      heuristicFraction: ttl.heuristic.fraction,
      heuristicMax: ttl.heuristic.max,
      heuristicMaxError: profile === 'safe' ? ttl.heuristic.maxError : ttl.heuristic.max,
    },
    stale: {
      whileRevalidate: stale.whileRevalidate,
      ifError: stale.ifError,
      keep: stale.keep,
      after: stale.afterMs,
      earlyRefresh: stale.earlyRefresh ?? 0,
    },
    vary: {
      normalizeEncoding: vary.normalize.includes('accept-encoding'),
      normalizeLanguage: vary.normalize.includes('accept-language'),
      maxVariants: vary.maxVariants,
      bypassOn: profile === 'safe' ? vary.bypassOn : [],
    },
    coalesce: {
      enabled: coalesce.enabled,
      wait: coalesce.waitMs,
      hitForMiss: coalesce.hitForMiss,
    },
    range: { ...range, slice: range.slice === false ? 0 : range.slice },
    maxObject: limits.maxObject,
    maxHeaderBytes: limits.maxHeaderBytes,
    stripUnkeyed: new Set(security.stripUnkeyed),
    fatGet: security.fatGet,
    deceptionArmor: security.deceptionArmor && profile === 'safe',
    setCookie:
      security.setCookie === 'auto'
        ? profile === 'safe'
          ? 'explicit'
          : 'store'
        : security.setCookie,
    ignoreClientDirectives: security.ignoreClientDirectives ?? profile === 'safe',
    tagHeaders: tags.headers,
    exposeTags: tags.expose,
    maxTags: tags.max,
    targeted: config.targeted,
  }
}

/**
 * A route's policy with its rules: each combination of matching rules is laid over the base once and
 * kept, so that a request pays for the matching alone.
 */
export class RouteCache {
  readonly base: CachePolicy
  readonly #actions: readonly CacheRuleAction[]
  readonly #variants = new Map<number, CachePolicy>()

  constructor(config: RouteCacheConfig, shared: Pick<CacheConfig, 'profile'>, scope = '') {
    this.base = compileCachePolicy(config, shared, scope)
    this.#actions = config.rules.map((rule) => rule.action)
  }

  /** @param matching bit i is set when rule i matches */
  policy(matching: number): CachePolicy {
    if (matching === 0) return this.base
    let policy = this.#variants.get(matching)
    if (policy === undefined) {
      policy = this.base
      for (let i = 0; i < this.#actions.length; i++) {
        const action = this.#actions[i]
        if (action !== undefined && (matching & (1 << i)) !== 0) policy = withAction(policy, action)
      }
      this.#variants.set(matching, policy)
    }
    return policy
  }
}

function withAction(policy: CachePolicy, action: CacheRuleAction): CachePolicy {
  const query = action.query === undefined ? policy.key.query : compileQueryRule(action.query)
  const headers = action.keyHeaders ?? policy.key.headers
  return {
    ...policy,
    bypass: action.bypass ?? policy.bypass,
    key: {
      ...policy.key,
      query,
      headers,
      plain: policy.key.plain && query.identity && headers.length === 0,
    },
    ttl: {
      ...policy.ttl,
      override: action.ttl ?? policy.ttl.override,
      default: action.defaultTtl ?? policy.ttl.default,
    },
    stale: {
      ...policy.stale,
      whileRevalidate: action.whileRevalidate ?? policy.stale.whileRevalidate,
      ifError: action.ifError ?? policy.stale.ifError,
    },
  }
}
