/**
 * What one route asks of a caller, compiled: which credentials, for whom they must be meant, what they must
 * permit. The refusals of a route are made once, not once a request.
 */
import type { Report } from '../config/errors.ts'
import type { RouteAuthConfig, RouteAuthRules } from '../config/sections/iam.ts'
import type { Exchange, Principal, Seconds } from '../exchange.ts'
import { claimAt } from './claims.ts'
import { type ChallengeContext, challengesFor, Denied } from './denied.ts'
import type { Introspector } from './introspection.ts'
import type { AuthReason } from './reasons.ts'
import type { SignedUrls } from './signed-url/index.ts'
import type { JsonObject } from './strict-json.ts'

/** Compiles conditions of the rules language; `src/expression` provides it. Undefined after a problem. */
export interface ConditionCompiler {
  condition(text: string, path: string, report: Report): ((x: Exchange) => boolean) | undefined
}

type Method = NonNullable<RouteAuthRules['methods']>[number]

/** What the identity as a whole gives to its routes. */
export interface RouteContext {
  readonly report: Report
  readonly conditions: ConditionCompiler | undefined
  readonly issuers: ReadonlyMap<string, { readonly url: string }>
  readonly introspectors: ReadonlyMap<string, Introspector>
  readonly signedUrls: ReadonlyMap<string, SignedUrls>
  readonly hasApiKeys: boolean
  readonly hasLogin: boolean
  readonly realm: string
  readonly dpopAlgorithms: string | undefined
  /** Address of the metadata for a resource path. */
  readonly metadataUrl: (path: string) => string | undefined
  readonly defaultAccess: 'deny' | 'none'
}

/** One route's demands. `kind: open` asks for nothing, `closed` lets nobody pass. */
export class RouteAuth {
  readonly kind: 'open' | 'closed' | 'guarded'
  readonly takesTokens: boolean
  readonly takesApiKeys: boolean
  readonly takesCertificates: boolean
  readonly takesSessions: boolean
  readonly isOptional: boolean
  readonly passesPreflight: boolean
  readonly forwardsToken: boolean
  readonly queryToken: string | undefined
  readonly sender: 'dpop' | 'certificate' | undefined
  readonly introspector: Introspector | undefined
  readonly signedUrls: SignedUrls | undefined
  readonly takesJwt: boolean
  readonly #issuers: ReadonlySet<string> | undefined
  readonly #audience: readonly string[] | undefined
  readonly #scopes: readonly string[]
  readonly #anyScope: readonly string[]
  readonly #roles: readonly string[]
  readonly #claims: readonly (readonly [path: string, values: readonly unknown[]])[]
  readonly #allow: ((x: Exchange) => boolean) | undefined
  readonly #deny: ((x: Exchange) => boolean) | undefined
  readonly #acr: readonly string[] | undefined
  readonly #amr: readonly string[]
  readonly #maxAge: Seconds | undefined
  readonly #challenge: ChallengeContext
  readonly #refusals = new Map<AuthReason, Denied>()

  private constructor(
    kind: RouteAuth['kind'],
    rules: Partial<RouteAuthRules>,
    path: string,
    context: RouteContext,
  ) {
    const { report } = context
    this.kind = kind
    const find = <T>(map: ReadonlyMap<string, T>, id: string | undefined, name: string) => {
      if (id === undefined) return undefined
      const found = map.get(id)
      if (found === undefined) report(`${path}.${name}`, `there is no ${name} "${id}"`)
      return found
    }
    this.introspector = find(context.introspectors, rules.introspection, 'introspection')
    this.signedUrls = find(context.signedUrls, rules.signedUrl, 'signedUrl')
    const methods = new Set<Method>(rules.methods ?? impliedMethods(rules))
    this.takesJwt = methods.has('jwt')
    this.takesTokens = this.takesJwt || methods.has('opaque')
    this.takesApiKeys = methods.has('api-key')
    this.takesCertificates = methods.has('certificate')
    this.takesSessions = methods.has('session')
    this.isOptional = rules.optional ?? false
    this.passesPreflight = rules.preflight ?? true
    this.forwardsToken = rules.forwardToken === 'pass'
    this.queryToken = rules.queryToken
    this.sender = rules.sender

    if (kind === 'guarded') {
      if (methods.has('opaque') && this.introspector === undefined) {
        report(`${path}.introspection`, 'opaque tokens need an introspection endpoint')
      }
      if (methods.has('signed-url') && this.signedUrls === undefined) {
        report(`${path}.signedUrl`, 'the method signed-url needs a scheme')
      }
      if (this.takesApiKeys && !context.hasApiKeys) {
        report(`${path}.methods`, 'there are no API keys', 'add `iam.apiKeys`')
      }
      if (this.takesSessions && !context.hasLogin) {
        report(`${path}.methods`, 'there is no login', 'add `iam.login`')
      }
      if (this.takesSessions && rules.sender !== undefined) {
        report(`${path}.sender`, 'a session of a browser is not bound to a key or a certificate')
      }
      if (this.takesJwt && context.issuers.size === 0) {
        report(`${path}.methods`, 'there are no token issuers', 'add `iam.issuers`')
      }
      if (this.takesJwt && rules.audience === undefined && rules.anyAudience !== true) {
        report(
          `${path}.audience`,
          'an audience is required: without one, tokens for any other service are accepted',
          'name the API, or set "anyAudience": true',
        )
      }
      if (rules.sender === 'dpop' && context.dpopAlgorithms === undefined) {
        report(`${path}.sender`, 'DPoP needs `iam.publicOrigin`')
      }
    }
    if (rules.issuers !== undefined) {
      const urls = rules.issuers.map((id, i) => find(context.issuers, id, `issuers[${i}]`)?.url)
      this.#issuers = new Set(urls.filter((url): url is string => url !== undefined))
    }
    this.#audience = typeof rules.audience === 'string' ? [rules.audience] : rules.audience
    this.#scopes = rules.scopes ?? []
    this.#anyScope = rules.anyScope ?? []
    this.#roles = rules.roles ?? []
    this.#claims = Object.entries(rules.claims ?? {}).map(([claim, value]) => [
      claim,
      Array.isArray(value) ? value : [value],
    ])
    const condition = (text: string | undefined, name: string) => {
      if (text === undefined) return undefined
      if (context.conditions === undefined) {
        report(`${path}.${name}`, 'expressions are not available here')
      }
      // Whatever could not be compiled lets nobody pass; the problem keeps the config from use anyway.
      return (
        context.conditions?.condition(text, `${path}.${name}`, report) ?? (() => name === 'deny')
      )
    }
    this.#allow = condition(rules.allow, 'allow')
    this.#deny = condition(rules.deny, 'deny')
    const { authContext } = rules
    this.#acr = authContext?.acr
    this.#amr = authContext?.amr ?? []
    this.#maxAge =
      authContext?.maxAge === undefined ? undefined : Math.floor(authContext.maxAge / 1000)
    this.#challenge = {
      realm: context.realm,
      bearer: this.takesTokens && rules.sender !== 'dpop',
      dpopAlgorithms: this.takesTokens ? context.dpopAlgorithms : undefined,
      metadataUrl: this.takesTokens ? context.metadataUrl(rules.resource ?? '/') : undefined,
      scope: [...this.#scopes, ...this.#anyScope].join(' '),
      acrValues: this.#acr?.join(' ') ?? '',
      maxAge: this.#maxAge,
    }
  }

  /** Compiles `routes[].auth`; a route without it gets the default. */
  static compile(
    config: RouteAuthConfig | undefined,
    path: string,
    context: RouteContext,
  ): RouteAuth {
    if (config === 'none') return new RouteAuth('open', {}, path, context)
    if (config !== undefined) return new RouteAuth('guarded', config, path, context)
    const kind = context.defaultAccess === 'deny' ? 'closed' : 'open'
    return new RouteAuth(kind, {}, path, context)
  }

  /** This route's refusal for a reason; the same object each time. */
  denied(reason: AuthReason): Denied {
    let denied = this.#refusals.get(reason)
    if (denied === undefined) {
      denied = new Denied(reason, challengesFor(reason, this.#challenge))
      this.#refusals.set(reason, denied)
    }
    return denied
  }

  /** A refusal that says when to come back, or gives a nonce. */
  deniedFor(reason: AuthReason, retryAfter: Seconds, nonce?: string): Denied {
    return new Denied(reason, this.denied(reason).challenges, retryAfter, nonce)
  }

  /** How well and how lately the user must have authenticated, for a login. */
  get authContext(): { readonly acrValues: string; readonly maxAge: Seconds | undefined } {
    return this.#challenge
  }

  acceptsIssuer(url: string): boolean {
    return this.#issuers === undefined || this.#issuers.has(url)
  }

  acceptsAudience(audiences: readonly string[] | undefined): boolean {
    if (this.#audience === undefined) return true
    if (audiences === undefined) return false
    for (const audience of audiences) if (this.#audience.includes(audience)) return true
    return false
  }

  /** What the caller may: scopes, roles, claims, freshness of authentication, policy. */
  refusal(x: Exchange, principal: Principal, now: Seconds): AuthReason | undefined {
    const { scopes } = principal
    for (const scope of this.#scopes) if (!scopes.includes(scope)) return 'insufficient_scope'
    if (this.#anyScope.length > 0 && !this.#anyScope.some((scope) => scopes.includes(scope))) {
      return 'insufficient_scope'
    }
    if (this.#roles.length > 0) {
      const roles = principal.roles ?? []
      if (!this.#roles.some((role) => roles.includes(role))) return 'policy_denied'
    }
    for (const [path, accepted] of this.#claims) {
      // Claims come from our strict parser or our own config: JSON both.
      const value = claimAt(principal.claims as JsonObject, path)
      const held = Array.isArray(value) ? value : [value]
      if (!held.some((item) => accepted.includes(item))) return 'policy_denied'
    }
    if (!this.#isAuthenticatedWell(principal, now)) return 'insufficient_user_authentication'
    if (this.#deny?.(x)) return 'policy_denied'
    if (this.#allow !== undefined && !this.#allow(x)) return 'policy_denied'
    return undefined
  }

  #isAuthenticatedWell(principal: Principal, now: Seconds): boolean {
    if (this.#acr !== undefined) {
      if (principal.acr === undefined || !this.#acr.includes(principal.acr)) return false
    }
    for (const method of this.#amr) if (!principal.amr?.includes(method)) return false
    if (this.#maxAge === undefined) return true
    const at = principal.authenticatedAt
    return at !== undefined && now - at <= this.#maxAge
  }
}

function impliedMethods(rules: Partial<RouteAuthRules>): Method[] {
  const methods: Method[] = ['jwt']
  if (rules.introspection !== undefined) methods.push('opaque')
  if (rules.signedUrl !== undefined) {
    return rules.audience === undefined && rules.introspection === undefined
      ? ['signed-url']
      : [...methods, 'signed-url']
  }
  return methods
}
