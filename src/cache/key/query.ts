/**
 * Query rules: which parameters count. What is taken out of the key is taken out of the request that is
 * forwarded as well, or a parameter nobody sees in the key could poison what everybody gets.
 */
export interface QueryRuleOptions {
  readonly mode: 'all' | 'none' | 'include' | 'exclude'
  readonly names: readonly string[]
  readonly sort: boolean
}

export interface QueryRule {
  /** The query stays as it is. */
  readonly identity: boolean
  apply(query: string): string
}

/**
 * The name as an origin may read it: decoded, without the tricks that hide one name in another
 * (`utm%5Fsource`, `+`). `undefined` when the encoding is broken.
 */
export function parameterName(parameter: string): string | undefined {
  const equals = parameter.indexOf('=')
  const raw = equals < 0 ? parameter : parameter.slice(0, equals)
  if (!raw.includes('%') && !raw.includes('+')) return raw
  try {
    return decodeURIComponent(raw.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}

export function compileQueryRule(options: QueryRuleOptions): QueryRule {
  const { mode, sort } = options
  const exact = new Set(options.names.filter((name) => !name.endsWith('*')))
  const prefixes = options.names.filter((name) => name.endsWith('*')).map((n) => n.slice(0, -1))
  const identity = !sort && (mode === 'all' || (mode === 'exclude' && options.names.length === 0))

  const isNamed = (parameter: string): boolean => {
    const name = parameterName(parameter)
    if (name === undefined) return false
    return exact.has(name) || prefixes.some((prefix) => name.startsWith(prefix))
  }

  const apply = (query: string): string => {
    if (query === '' || identity) return query
    if (mode === 'none') return ''
    let parameters = query.split('&')
    // A semicolon separates parameters for some origins and not for others: such a parameter is never
    // dropped, so that key and origin cannot disagree on what was in it.
    if (mode === 'exclude') {
      parameters = parameters.filter((p) => p.includes(';') || !isNamed(p))
    } else if (mode === 'include') {
      parameters = parameters.filter((p) => p.includes(';') || isNamed(p))
    }
    if (sort) {
      // By name only: the order of equal names means something to many origins.
      const named = parameters.map((p) => ({ p, name: parameterName(p) ?? p }))
      named.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
      parameters = named.map((item) => item.p)
    }
    return parameters.join('&')
  }
  return { identity, apply }
}
