/**
 * Which route takes a request: hosts are indexed, then paths, methods and expressions are asked in the
 * config's order. The first match wins.
 */

/** What a route's match asks, compiled. */
export interface RouteMatch {
  /** Lower-case hosts, `*.suffix`, or empty for every host. */
  readonly hosts: readonly string[]
  /** Prefixes and wildcards; empty for every path. */
  readonly paths: readonly string[]
  readonly methods: ReadonlySet<string> | undefined
}

export interface RouteCandidate<Request> {
  readonly match: RouteMatch
  /** Asked last; undefined when the match says it all. */
  readonly predicate: ((request: Request) => boolean) | undefined
}

interface CompiledRoute<Request> {
  readonly paths: readonly ((path: string) => boolean)[]
  readonly methods: ReadonlySet<string> | undefined
  readonly predicate: ((request: Request) => boolean) | undefined
}

export class Router<Request> {
  readonly #routes: readonly CompiledRoute<Request>[]
  /** Route indexes in order, by exact host. */
  readonly #byHost = new Map<string, readonly number[]>()
  /** By `.suffix` of a wildcard. */
  readonly #bySuffix = new Map<string, readonly number[]>()
  readonly #any: readonly number[]

  constructor(candidates: readonly RouteCandidate<Request>[]) {
    this.#routes = candidates.map(({ match, predicate }) => ({
      paths: match.paths.map(pathMatcher),
      methods: match.methods,
      predicate,
    }))
    const hostsOf = candidates.map(({ match }) => match.hosts)
    const all = candidates.map((_, index) => index)
    this.#any = all.filter((index) => isForAny(hostsOf[index] ?? []))
    const named = new Set(hostsOf.flat().filter((host) => host !== '*'))
    for (const host of named) {
      if (host.startsWith('*.')) {
        const suffix = host.slice(1)
        this.#bySuffix.set(
          suffix,
          all.filter((i) => covers(hostsOf[i] ?? [], `x${suffix}`)),
        )
      } else {
        this.#byHost.set(
          host,
          all.filter((i) => covers(hostsOf[i] ?? [], host)),
        )
      }
    }
  }

  /** @returns the route's index in the config, or -1 */
  find(host: string, path: string, method: string, request: Request): number {
    const candidates = this.#candidates(host)
    for (let i = 0; i < candidates.length; i++) {
      const index = candidates[i] as number
      const route = this.#routes[index] as CompiledRoute<Request>
      if (route.methods !== undefined && !route.methods.has(method)) continue
      if (route.paths.length > 0 && !someMatches(route.paths, path)) continue
      if (route.predicate !== undefined && !route.predicate(request)) continue
      return index
    }
    return -1
  }

  #candidates(host: string): readonly number[] {
    const exact = this.#byHost.get(host)
    if (exact !== undefined) return exact
    if (this.#bySuffix.size > 0) {
      // The longest suffix first: it also lists the routes of the shorter ones.
      for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.', dot + 1)) {
        const bySuffix = this.#bySuffix.get(host.slice(dot))
        if (bySuffix !== undefined) return bySuffix
      }
    }
    return this.#any
  }
}

function isForAny(hosts: readonly string[]): boolean {
  return hosts.length === 0 || hosts.includes('*')
}

function covers(patterns: readonly string[], host: string): boolean {
  if (isForAny(patterns)) return true
  return patterns.some((pattern) =>
    pattern.startsWith('*.') ? host.endsWith(pattern.slice(1)) : pattern === host,
  )
}

function someMatches(matchers: readonly ((path: string) => boolean)[], path: string): boolean {
  for (let i = 0; i < matchers.length; i++) {
    if ((matchers[i] as (path: string) => boolean)(path)) return true
  }
  return false
}

/**
 * `/api` takes `/api` and what is below it; `/api/` what is below it; with `*` (any characters) the whole
 * path must fit.
 */
export function pathMatcher(pattern: string): (path: string) => boolean {
  if (pattern.includes('*')) return wildcardMatcher(pattern)
  if (pattern === '/') return () => true
  if (pattern.endsWith('/')) return (path) => path.startsWith(pattern)
  return (path) =>
    path.startsWith(pattern) &&
    (path.length === pattern.length || path.charCodeAt(pattern.length) === 47)
}

/** Greedy from the left: for a pattern with `*` only, the first fit is as good as any. */
function wildcardMatcher(pattern: string): (path: string) => boolean {
  const parts = pattern.split('*')
  const first = parts[0] as string
  const last = parts[parts.length - 1] as string
  const middle = parts.slice(1, -1).filter((part) => part !== '')
  return (path) => {
    if (path.length < first.length + last.length) return false
    if (!path.startsWith(first) || !path.endsWith(last)) return false
    let at = first.length
    for (const part of middle) {
      const found = path.indexOf(part, at)
      if (found < 0) return false
      at = found + part.length
    }
    return at <= path.length - last.length
  }
}
