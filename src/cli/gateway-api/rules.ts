/** HTTPRouteRule: backends become a pool, filters what a route does to a request on its way. */
import { type Match, quoted } from './matches.ts'
import type { Fields, Resource } from './resources.ts'

/** What a rule gives a route, besides its match. */
export interface Rule {
  /** A path with its prefix replaced depends on the prefix that matched. */
  section(match: Match): Record<string, unknown>
}

interface Context {
  readonly route: Resource
  readonly ruleAt: number
  readonly grants: readonly Resource[]
  /** Pools are added here. */
  readonly pools: Record<string, unknown>
  readonly clusterDomain: string
}

interface PathChange {
  readonly kind: 'full' | 'prefix'
  readonly value: string
}

interface RedirectFilter {
  readonly scheme: string | undefined
  readonly hostname: string | undefined
  readonly port: number | undefined
  readonly path: PathChange | undefined
  readonly status: number
}

interface Filters {
  request: Record<string, unknown> | undefined
  response: Record<string, unknown> | undefined
  redirect: RedirectFilter | undefined
  path: PathChange | undefined
  /** Host that the origin gets. */
  host: string | undefined
  mirror: Record<string, unknown> | undefined
}

export function ruleOf(fields: Fields, context: Context): Rule {
  fields.expect('name', 'matches', 'filters', 'backendRefs', 'timeouts')
  const filters = filtersOf(fields, context)
  const { redirect } = filters
  if (redirect !== undefined) {
    if (filters.mirror !== undefined || filters.path !== undefined || filters.host !== undefined) {
      fields.report('filters', 'a redirect cannot stand beside a rewrite or a mirror')
    }
    const { response } = filters
    return {
      section: (match) => ({
        redirect: redirectSection(redirect, match),
        ...(response === undefined ? {} : { transforms: { response } }),
      }),
    }
  }
  const pool = poolOf(fields, filters.host, context)
  const timing = timingOf(fields.fields('timeouts'))
  return {
    section: (match) => {
      // The API wants 500 where no backend may take the request.
      if (pool === undefined) return { respond: { status: 500 } }
      const transforms = transformsSection(filters, match)
      return {
        pools: [pool],
        ...(transforms === undefined ? {} : { transforms }),
        ...(timing === undefined ? {} : { retry: timing }),
        ...(filters.mirror === undefined ? {} : { mirror: filters.mirror }),
      }
    },
  }
}

/* Backends */

const MAX_WEIGHT = 1000

interface Backend {
  readonly url: string
  readonly weight: number
}

function poolOf(rule: Fields, host: string | undefined, context: Context): string | undefined {
  const backends = rule.list('backendRefs').flatMap((reference) => {
    reference.expect('group', 'kind', 'name', 'namespace', 'port', 'weight', 'filters')
    if (reference.list('filters').length > 0) {
      reference.report('filters', 'filters of a single backend have no counterpart here')
    }
    const url = serviceUrl(reference, context)
    return url === undefined ? [] : [{ url, weight: reference.number('weight') ?? 1 }]
  })
  if (!backends.some(({ weight }) => weight > 0)) return undefined
  const name = poolName(context, `${context.ruleAt + 1}`)
  context.pools[name] = { origins: origins(backends, host) }
  return name
}

/** Weights go up to a million there; here to a thousand, and what takes a share goes on taking one. */
function origins(backends: readonly Backend[], host: string | undefined): unknown[] {
  const largest = Math.max(...backends.map(({ weight }) => weight))
  const scale = largest > MAX_WEIGHT ? MAX_WEIGHT / largest : 1
  return backends.map(({ url, weight }) => ({
    url,
    ...(backends.length === 1
      ? {}
      : { weight: weight === 0 ? 0 : Math.max(1, Math.round(weight * scale)) }),
    ...(host === undefined ? {} : { host }),
  }))
}

function poolName({ route }: Context, suffix: string): string {
  return `${`${route.namespace}.${route.name}`.slice(0, 62 - suffix.length)}.${suffix}`
}

/** Undefined, and reported, when the reference may not or cannot be followed. */
function serviceUrl(reference: Fields, context: Context): string | undefined {
  const { route, grants, clusterDomain } = context
  const kind = reference.text('kind') ?? 'Service'
  const name = reference.text('name')
  const port = reference.number('port')
  const namespace = reference.text('namespace') ?? route.namespace
  if (kind !== 'Service' || (reference.text('group') ?? '') !== '') {
    reference.report('kind', `${kind} has no counterpart here: only a Service does`)
    return undefined
  }
  if (name === undefined || port === undefined) {
    reference.report(undefined, 'needs a name and a port')
    return undefined
  }
  if (namespace !== route.namespace && !isGranted(grants, route, namespace, name)) {
    reference.report(
      'namespace',
      `no ReferenceGrant in ${namespace} lets an HTTPRoute of ${route.namespace} use Service ${name}`,
    )
    return undefined
  }
  return `http://${name}.${namespace}.svc.${clusterDomain}:${port}`
}

function isGranted(
  grants: readonly Resource[],
  route: Resource,
  namespace: string,
  service: string,
): boolean {
  return grants.some(
    ({ namespace: granting, spec }) =>
      granting === namespace &&
      spec
        .list('from')
        .some(
          (from) => from.text('kind') === 'HTTPRoute' && from.text('namespace') === route.namespace,
        ) &&
      spec
        .list('to')
        .some((to) => to.text('kind') === 'Service' && (to.text('name') ?? service) === service),
  )
}

/* Filters */

function filtersOf(rule: Fields, context: Context): Filters {
  const found: Filters = {
    request: undefined,
    response: undefined,
    redirect: undefined,
    path: undefined,
    host: undefined,
    mirror: undefined,
  }
  for (const filter of rule.list('filters')) readFilter(filter, found, context)
  return found
}

function readFilter(filter: Fields, found: Filters, context: Context): void {
  const type = filter.text('type') ?? ''
  const body = (key: string) => {
    filter.expect('type', key)
    return filter.fields(key)
  }
  switch (type) {
    case 'RequestHeaderModifier':
      found.request = headerChanges(body('requestHeaderModifier'))
      break
    case 'ResponseHeaderModifier':
      found.response = headerChanges(body('responseHeaderModifier'))
      break
    case 'RequestRedirect':
      found.redirect = redirectOf(body('requestRedirect'))
      break
    case 'URLRewrite': {
      const rewrite = body('urlRewrite')
      rewrite?.expect('hostname', 'path')
      found.host = rewrite?.text('hostname')
      found.path = pathChange(rewrite?.fields('path'))
      break
    }
    case 'RequestMirror':
      found.mirror = mirrorOf(body('requestMirror'), found, context)
      break
    default:
      filter.report('type', `${type} has no counterpart here`)
  }
}

function headerChanges(fields: Fields | undefined): Record<string, unknown> | undefined {
  if (fields === undefined) return undefined
  fields.expect('set', 'add', 'remove')
  const changes: Record<string, unknown> = {}
  for (const key of ['set', 'add'] as const) {
    const entries = fields.list(key).map((one) => [one.text('name') ?? '', one.text('value') ?? ''])
    if (entries.length > 0) changes[key] = Object.fromEntries(entries)
  }
  const remove = fields.texts('remove')
  if (remove.length > 0) changes.remove = remove
  return Object.keys(changes).length === 0 ? undefined : changes
}

function pathChange(fields: Fields | undefined): PathChange | undefined {
  if (fields === undefined) return undefined
  fields.expect('type', 'replaceFullPath', 'replacePrefixMatch')
  switch (fields.text('type')) {
    case 'ReplaceFullPath':
      return { kind: 'full', value: fields.text('replaceFullPath') ?? '/' }
    case 'ReplacePrefixMatch':
      return { kind: 'prefix', value: fields.text('replacePrefixMatch') ?? '/' }
    default:
      fields.report('type', 'ReplaceFullPath or ReplacePrefixMatch is expected')
      return undefined
  }
}

function redirectOf(fields: Fields | undefined): RedirectFilter | undefined {
  if (fields === undefined) return undefined
  fields.expect('scheme', 'hostname', 'port', 'path', 'statusCode')
  return {
    scheme: fields.text('scheme'),
    hostname: fields.text('hostname'),
    port: fields.number('port'),
    path: pathChange(fields.fields('path')),
    status: fields.number('statusCode') ?? 302,
  }
}

function mirrorOf(
  fields: Fields | undefined,
  found: Filters,
  context: Context,
): Record<string, unknown> | undefined {
  if (fields === undefined) return undefined
  fields.expect('backendRef', 'percent', 'fraction')
  if (found.mirror !== undefined) {
    fields.report(undefined, 'a second mirror has no counterpart here')
    return found.mirror
  }
  const reference = fields.fields('backendRef')
  const url = reference === undefined ? undefined : serviceUrl(reference, context)
  if (url === undefined) return undefined
  const pool = poolName(context, `${context.ruleAt + 1}.mirror`)
  context.pools[pool] = { origins: [{ url }] }
  const fraction = fields.fields('fraction')
  const share =
    fraction === undefined
      ? fields.number('percent')
      : (100 * (fraction.number('numerator') ?? 0)) / (fraction.number('denominator') ?? 100)
  return { pool, ...(share === undefined ? {} : { percent: share }) }
}

/* What the filters make of a route */

const PATH = 'http.request.uri.path'

/** An expression for the path after a change. */
function changedPath(change: PathChange, match: Match): string {
  if (change.kind === 'full') return quoted(change.value)
  const prefix = match.path.kind === 'pattern' || match.path.value === '/' ? '' : match.path.value
  const replacement = change.value.replace(/\/+$/, '')
  if (prefix === '') return replacement === '' ? PATH : `concat(${quoted(replacement)}, ${PATH})`
  const rest = `substring(${PATH}, ${prefix.length})`
  if (replacement !== '') return `concat(${quoted(replacement)}, ${rest})`
  return `if(len(${PATH}) eq ${prefix.length}, "/", ${rest})`
}

function transformsSection(
  { request, response, path }: Filters,
  match: Match,
): Record<string, unknown> | undefined {
  if (request === undefined && response === undefined && path === undefined) return undefined
  return {
    ...(request === undefined ? {} : { request }),
    ...(response === undefined ? {} : { response }),
    ...(path === undefined ? {} : { rewrite: { path: changedPath(path, match) } }),
  }
}

/** RequestRedirect: what is left out stays as it is; the port follows a scheme that is given (GEP-726). */
function redirectSection(filter: RedirectFilter, match: Match): Record<string, unknown> {
  const { scheme, hostname, port, path, status } = filter
  const ownPort = port ?? defaultPort(scheme)
  const host = hostname === undefined ? 'http.host' : quoted(hostname)
  const parts = [
    scheme === undefined ? 'if(ssl, "https://", "http://")' : quoted(`${scheme}://`),
    host,
  ]
  if (ownPort === undefined) parts.push(PORT_AS_IT_IS)
  else if (ownPort !== defaultPort(scheme)) parts.push(quoted(`:${ownPort}`))
  parts.push(path === undefined ? PATH : changedPath(path, match))
  return { to: { expression: `concat(${parts.join(', ')})` }, status }
}

function defaultPort(scheme: string | undefined): number | undefined {
  if (scheme === 'https') return 443
  return scheme === 'http' ? 80 : undefined
}

const PORT_AS_IT_IS =
  'if(cf.edge.server_port in {80 443}, "", concat(":", to_string(cf.edge.server_port)))'

/* Timeouts */

function timingOf(fields: Fields | undefined): Record<string, unknown> | undefined {
  if (fields === undefined) return undefined
  fields.expect('request', 'backendRequest')
  const deadline = durationOf(fields, 'request')
  const perTry = durationOf(fields, 'backendRequest')
  if (deadline === undefined && perTry === undefined) return undefined
  return {
    ...(deadline === undefined ? {} : { deadline }),
    ...(perTry === undefined ? {} : { perTry }),
  }
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** GEP-2257: up to four numbers with a unit; `0s` turns a timeout off, which nothing does here. */
function durationOf(fields: Fields, key: string): string | undefined {
  const text = fields.text(key)
  if (text === undefined) return undefined
  if (!/^([0-9]{1,5}(h|m|s|ms)){1,4}$/.test(text)) {
    fields.report(key, 'is no duration: "10s", "1m30s", "500ms"')
    return undefined
  }
  let total = 0
  for (const [, digits, unit] of text.matchAll(/([0-9]+)(h|ms|m|s)/g)) {
    total += Number(digits) * (UNIT_MS[unit as string] as number)
  }
  if (total === 0) {
    fields.report(key, 'no timeout at all has no counterpart here')
    return undefined
  }
  return total % 1000 === 0 ? `${total / 1000}s` : `${total}ms`
}
