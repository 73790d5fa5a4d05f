/**
 * Kubernetes Gateway API (gateway.networking.k8s.io, v1) to a config of ours. Pure: resources in, a
 * config out; what cannot be carried over is reported where it stands.
 *
 * The API ranks the matches of all routes among one another (HTTPRouteSpec: host name, then exact path, longest
 * prefix, method, number of headers, number of query parameters, age, name); here the first route that matches
 * takes a request. So every match becomes a route of its own, and the routes are sorted by that ranking.
 */
import { type Listener, listenersOf, listenSection } from './listeners.ts'
import { type Match, matchesOf, matchSection } from './matches.ts'
import type { Fields, Resource } from './resources.ts'
import { type Rule, ruleOf } from './rules.ts'

export interface AdaptOptions {
  /** Where certificates of Secrets will be: `DIR/NAMESPACE/NAME/tls.crt` and `tls.key`. */
  readonly certificates: string
  /** Suffix of service names. */
  readonly clusterDomain: string
}

/** What stands in the config file. */
export interface AdaptedConfig {
  readonly listen?: unknown
  readonly pools: Record<string, unknown>
  readonly routes: readonly unknown[]
}

/** Kinds that say nothing a gateway outside the cluster has to know. */
const SILENT = new Set(['GatewayClass', 'Namespace', 'Service', 'Secret'])

interface Candidate {
  readonly route: Resource
  readonly host: string
  readonly isSecure: boolean | undefined
  readonly match: Match
  readonly rule: Rule
  readonly ruleAt: number
  readonly matchAt: number
}

export function adaptGatewayApi(
  resources: readonly Resource[],
  options: AdaptOptions,
): AdaptedConfig {
  const listeners: Listener[] = []
  const grants = resources.filter((one) => one.kind === 'ReferenceGrant')
  const routes: Resource[] = []
  for (const resource of resources) {
    if (resource.kind === 'Gateway') listeners.push(...listenersOf(resource))
    else if (resource.kind === 'HTTPRoute') routes.push(resource)
    else if (!SILENT.has(resource.kind) && resource.kind !== 'ReferenceGrant') {
      resource.report(`the kind ${resource.kind} has no counterpart here`)
    }
  }
  const pools: Record<string, unknown> = {}
  const candidates: Candidate[] = []
  for (const route of routes) {
    const attachment = attach(route, listeners)
    route.spec.list('rules').forEach((fields, ruleAt) => {
      const matches = matchesOf(fields)
      const rule = ruleOf(fields, { route, ruleAt, grants, pools, ...options })
      for (const { host, isSecure } of attachment) {
        matches.forEach((match, matchAt) => {
          candidates.push({ route, host, isSecure, match, rule, ruleAt, matchAt })
        })
      }
    })
    route.spec.expect('parentRefs', 'hostnames', 'rules')
  }
  candidates.sort(byPrecedence)
  const listen = listenSection(listeners, options.certificates)
  return {
    ...(listen === undefined ? {} : { listen }),
    pools,
    routes: mergeHosts(candidates).map(({ hosts, first }, at) => ({
      id: routeId(first, at),
      match: matchSection(hosts, first.isSecure, first.match),
      ...first.rule.section(first.match),
    })),
  }
}

/** Host names under which a route is reached, and over which kind of connection where only one is meant. */
function attach(
  route: Resource,
  listeners: readonly Listener[],
): { readonly host: string; readonly isSecure: boolean | undefined }[] {
  const hostnames = route.spec.texts('hostnames').map((host) => host.toLowerCase())
  const mine: Listener[] = []
  const parents = route.spec.list('parentRefs')
  for (const parent of parents) mine.push(...parentListeners(route, parent, listeners))
  // The Gateway is kept in another file: its listeners cannot narrow anything.
  if (listeners.length === 0) {
    return (hostnames.length === 0 ? ['*'] : hostnames).map((host) => ({
      host,
      isSecure: undefined,
    }))
  }
  const reached = new Map<string, Set<boolean>>()
  for (const listener of mine) {
    const hosts =
      hostnames.length === 0
        ? [listener.hostname]
        : hostnames.flatMap((host) => narrower(host, listener.hostname) ?? [])
    for (const host of hosts) {
      const kinds = reached.get(host) ?? new Set()
      reached.set(host, kinds.add(listener.isSecure))
    }
  }
  if (reached.size === 0) {
    route.report('is attached to no listener: look at parentRefs and the host names')
  }
  const areMixed = new Set(listeners.map((listener) => listener.isSecure)).size > 1
  return [...reached].map(([host, kinds]) => ({
    host,
    isSecure: areMixed && kinds.size === 1 ? kinds.has(true) : undefined,
  }))
}

function parentListeners(
  route: Resource,
  parent: Fields,
  listeners: readonly Listener[],
): Listener[] {
  parent.expect('group', 'kind', 'name', 'namespace', 'sectionName', 'port')
  if ((parent.text('kind') ?? 'Gateway') !== 'Gateway') {
    parent.report('kind', 'only a Gateway can be a parent here')
    return []
  }
  const namespace = parent.text('namespace') ?? route.namespace
  const name = parent.text('name')
  const section = parent.text('sectionName')
  const port = parent.number('port')
  const found = listeners.filter(
    (one) =>
      one.gateway === `${namespace}/${name}` &&
      (section === undefined || one.name === section) &&
      (port === undefined || one.port === port) &&
      one.admits(route),
  )
  if (found.length === 0 && listeners.length > 0) {
    parent.report(undefined, 'no listener in these files takes this route')
  }
  return found
}

/** The more specific of two host names that intersect; undefined when they do not. */
function narrower(a: string, b: string): string | undefined {
  if (a === b || b === '*') return a
  if (a === '*') return b
  if (b.startsWith('*.') && a.endsWith(b.slice(1))) return a
  if (a.startsWith('*.') && b.endsWith(a.slice(1))) return b
  return undefined
}

/** HTTPRouteSpec.hostnames and HTTPRouteRule.matches of the API: who takes precedence comes first. */
function byPrecedence(a: Candidate, b: Candidate): number {
  return (
    hostRank(b.host) - hostRank(a.host) ||
    compareMatches(a.match, b.match) ||
    a.route.createdAt - b.route.createdAt ||
    compareText(a.route.namespace, b.route.namespace) ||
    compareText(a.route.name, b.route.name) ||
    a.ruleAt - b.ruleAt ||
    a.matchAt - b.matchAt
  )
}

/** Exact names, which exclude one another, before wildcards; longer wildcards before shorter ones. */
function hostRank(host: string): number {
  if (host === '*') return 0
  return host.startsWith('*.') ? host.length : EXACT
}

/** Above the length of any host name. */
const EXACT = 1000

function compareMatches(a: Match, b: Match): number {
  return (
    Number(b.path.kind === 'exact') - Number(a.path.kind === 'exact') ||
    b.path.value.length - a.path.value.length ||
    Number(b.method !== undefined) - Number(a.method !== undefined) ||
    b.headers.length - a.headers.length ||
    b.queries.length - a.queries.length
  )
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

/** Candidates that differ in the host alone and follow one another become one route. */
function mergeHosts(candidates: readonly Candidate[]): { hosts: string[]; first: Candidate }[] {
  const merged: { hosts: string[]; first: Candidate }[] = []
  for (const one of candidates) {
    const last = merged.at(-1)
    if (
      last !== undefined &&
      last.first.match === one.match &&
      last.first.isSecure === one.isSecure &&
      hostRank(last.first.host) === hostRank(one.host)
    ) {
      last.hosts.push(one.host)
    } else merged.push({ hosts: [one.host], first: one })
  }
  return merged
}

/** `shop.cart.rule-1`, with the position where that is not unique or too long. */
function routeId({ route, ruleAt, matchAt }: Candidate, at: number): string {
  const name = `${route.namespace}.${route.name}.${ruleAt + 1}.${matchAt + 1}`
  const suffix = `.${at + 1}`
  return name.slice(0, 63 - suffix.length) + suffix
}
