/** HTTPRouteMatch: as `{host, path, methods}` where that says it all, as an expression otherwise. */
import type { Fields } from './resources.ts'

export interface NamedValue {
  readonly name: string
  readonly value: string
  readonly isPattern: boolean
}

export interface Match {
  readonly path: { readonly kind: 'exact' | 'prefix' | 'pattern'; readonly value: string }
  readonly method: string | undefined
  readonly headers: readonly NamedValue[]
  readonly queries: readonly NamedValue[]
}

const EVERYTHING: Match = {
  path: { kind: 'prefix', value: '/' },
  method: undefined,
  headers: [],
  queries: [],
}

export function matchesOf(rule: Fields): readonly Match[] {
  const matches = rule.list('matches').map((fields) => {
    fields.expect('path', 'method', 'headers', 'queryParams')
    return {
      path: pathOf(fields.fields('path')),
      method: fields.text('method'),
      headers: namedValues(fields, 'headers'),
      queries: namedValues(fields, 'queryParams'),
    }
  })
  return matches.length === 0 ? [EVERYTHING] : matches
}

const PATH_KINDS: Readonly<Record<string, Match['path']['kind']>> = {
  Exact: 'exact',
  PathPrefix: 'prefix',
  RegularExpression: 'pattern',
}

function pathOf(fields: Fields | undefined): Match['path'] {
  if (fields === undefined) return EVERYTHING.path
  fields.expect('type', 'value')
  const type = fields.text('type') ?? 'PathPrefix'
  const kind = PATH_KINDS[type]
  const value = fields.text('value') ?? '/'
  if (kind === undefined) {
    fields.report('type', `${type} is no kind of path match`)
    return EVERYTHING.path
  }
  if (kind !== 'prefix' || value === '/') return { kind, value }
  // "/api/" and "/api" are the same prefix: whole segments are compared.
  return { kind, value: value.replace(/\/+$/, '') || '/' }
}

function namedValues(fields: Fields, key: string): NamedValue[] {
  return fields.list(key).map((one) => {
    one.expect('type', 'name', 'value')
    const type = one.text('type') ?? 'Exact'
    if (type !== 'Exact' && type !== 'RegularExpression') {
      one.report('type', `${type} is no kind of match`)
    }
    return {
      name: one.text('name') ?? '',
      value: one.text('value') ?? '',
      isPattern: type === 'RegularExpression',
    }
  })
}

/** `match` of a route. */
export function matchSection(
  hosts: readonly string[],
  isSecure: boolean | undefined,
  match: Match,
): unknown {
  const isEveryHost = hosts.includes('*')
  const { path, method, headers, queries } = match
  const isSimple =
    isSecure === undefined &&
    headers.length === 0 &&
    queries.length === 0 &&
    path.kind === 'prefix' &&
    /^[!-)+-~]*$/.test(path.value)
  if (isSimple) {
    return {
      ...(isEveryHost ? {} : { host: hosts.length === 1 ? hosts[0] : hosts }),
      ...(path.value === '/' ? {} : { path: path.value }),
      ...(method === undefined ? {} : { methods: [method] }),
    }
  }
  const parts: string[] = []
  if (!isEveryHost) parts.push(hostCondition(hosts))
  if (isSecure !== undefined) parts.push(isSecure ? 'ssl' : 'not ssl')
  if (method !== undefined) parts.push(`http.request.method eq ${quoted(method)}`)
  parts.push(...pathCondition(path))
  for (const { name, value, isPattern } of headers) {
    const field = `http.request.headers[${quoted(name.toLowerCase())}][*]`
    parts.push(`any(${field} ${comparison(value, isPattern)})`)
  }
  for (const { name, value, isPattern } of queries) {
    const field = `url_decode(http.request.uri.args[${quoted(name)}][0])`
    parts.push(`${field} ${comparison(value, isPattern)}`)
  }
  return parts.length === 0 ? {} : parts.join(' and ')
}

function hostCondition(hosts: readonly string[]): string {
  const parts = hosts.map((host) =>
    host.startsWith('*.')
      ? `ends_with(http.host, ${quoted(host.slice(1))})`
      : `http.host eq ${quoted(host)}`,
  )
  return parts.length === 1 ? (parts[0] as string) : `(${parts.join(' or ')})`
}

const PATH = 'http.request.uri.path'

function pathCondition({ kind, value }: Match['path']): string[] {
  if (kind === 'exact') return [`${PATH} eq ${quoted(value)}`]
  if (kind === 'pattern') return [`${PATH} ${comparison(value, true)}`]
  if (value === '/') return []
  return [`(${PATH} eq ${quoted(value)} or starts_with(${PATH}, ${quoted(`${value}/`)}))`]
}

/** Patterns are for the whole value, as in the implementations of the API. */
function comparison(value: string, isPattern: boolean): string {
  return isPattern ? `matches ${raw(`^(?:${value})$`)}` : `eq ${quoted(value)}`
}

/** A string literal of the rules language. */
export function quoted(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&')}"`
}

/** A literal in which nothing is an escape. */
function raw(text: string): string {
  let hashes = ''
  while (text.includes(`"${hashes}`)) hashes += '#'
  return `r${hashes}"${text}"${hashes}`
}
