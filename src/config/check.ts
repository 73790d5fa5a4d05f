/**
 * What no single section can see: names that refer to other sections, ids that come twice, routes that
 * can never match. Runs on a config that is valid by its schema.
 */

import { coveredBy } from './cover.ts'
import type { Segment } from './document.ts'
import type { MeridianConfig } from './schema.ts'
import type { AlertConfig } from './sections/alerts.ts'
import { quote, suggestion } from './wording.ts'

/** Takes one problem at a path. */
export type CheckReport = (path: readonly Segment[], message: string, hint?: string) => void

/** Reports every broken reference, repeated id and dead route of a config. */
export function checkConfig(config: MeridianConfig, report: CheckReport): void {
  checkListen(config, report)
  checkPools(config, report)
  checkRegions(config, report)
  checkRoutes(config, report)
  checkIds(config, report)
  checkLists(config, report)
  checkTelemetry(config, report)
  checkAdmin(config, report)
  checkRevocations(config, report)
  checkCache(config, report)
  checkThreats(config, report)
  checkAlerts(config, report)
}

function checkAdmin({ admin: { jwt }, iam }: MeridianConfig, report: CheckReport): void {
  if (jwt === undefined) return
  const issuers = iam?.issuers ?? []
  if (issuers.length === 0) {
    report(['admin', 'jwt'], 'tokens need an issuer, and there is none', 'add "iam.issuers"')
    return
  }
  const ids = issuers.map((issuer) => issuer.id)
  checkNames(jwt.issuers, ids, 'issuer', ['admin', 'jwt', 'issuers'], report)
}

function checkThreats({ threats, penaltyBox }: MeridianConfig, report: CheckReport): void {
  if (threats?.action === 'ban' && penaltyBox === undefined) {
    report(
      ['threats', 'action'],
      '"ban" needs a "penaltyBox", which holds the banned',
      'add "penaltyBox": {}, or leave the action at "log"',
    )
  }
}

function checkCache({ cache, redis }: MeridianConfig, report: CheckReport): void {
  if (cache.redis === undefined || redis !== undefined) return
  report(
    ['cache', 'redis'],
    'there is no Redis server to share responses through',
    'name it in "redis", or take this out',
  )
}

/** Fields that usually hold a credential. */
const CREDENTIAL_FIELD = /auth|token|secret|cookie|key/i

function checkRevocations({ iam, redis }: MeridianConfig, report: CheckReport): void {
  if (iam?.revocations?.shared !== true || redis !== undefined) return
  report(
    ['iam', 'revocations', 'shared'],
    'there is no server to share revocations in',
    'describe one in the section "redis", or say "shared": false',
  )
}

function checkTelemetry({ telemetry }: MeridianConfig, report: CheckReport): void {
  const { access, otlp } = telemetry
  const { output } = access
  if (typeof output === 'object' && output.keep !== undefined) {
    if (output.rotate === undefined && output.maxSize === undefined) {
      report(
        ['telemetry', 'access', 'output', 'keep'],
        'nothing is ever old enough: only rotated files are deleted',
        'add "rotate" or "maxSize"',
      )
    }
  }
  for (const [name, value] of Object.entries(otlp?.headers ?? {})) {
    if (typeof value !== 'string' || !CREDENTIAL_FIELD.test(name)) continue
    report(
      ['telemetry', 'otlp', 'headers', name],
      'a credential is never in the config',
      'name it: {"env": "NAME"} or {"file": "/path"}',
    )
  }
  if (access.fields === undefined || access.format === 'json') return
  report(
    ['telemetry', 'access', 'fields'],
    `fields are chosen for "json" lines only; "format" is "${access.format}"`,
    'take one of the two out',
  )
}

function checkAlerts({ alerts, threats, regions }: MeridianConfig, report: CheckReport): void {
  checkRepeats(
    alerts.map((alert) => alert.name),
    ['alerts'],
    'alert',
    report,
  )
  const known = regions.map((region) => region.id)
  alerts.forEach(({ when }, index) => {
    const path: Segment[] = ['alerts', index, 'when']
    if (when.regionDown !== undefined && when.regionDown !== true) {
      checkNames(when.regionDown, known, 'region', [...path, 'regionDown'], report)
    }
    checkAlertExpression(when, path, report)
    if (when.anomaly === undefined) return
    if (threats === undefined) {
      report([...path, 'anomaly'], 'nothing finds anomalies', 'add "threats": {}')
    } else if (when.anomaly < threats.threshold) {
      report(
        [...path, 'anomaly'],
        `"threats" tells of scores from ${threats.threshold} on only`,
        'lower threats.threshold, or raise this',
      )
    }
  })
}

function checkAlertExpression(
  { expression, share, count }: AlertConfig['when'],
  path: readonly Segment[],
  report: CheckReport,
): void {
  if (expression === undefined) {
    for (const [name, value] of Object.entries({ share, count })) {
      if (value !== undefined) {
        report([...path, name], 'it says nothing without "expression"', 'say which requests count')
      }
    }
  } else if ((share === undefined) === (count === undefined)) {
    report(
      [...path, 'expression'],
      'either "share" or "count" is expected with it',
      '"count": 100 for so many matching requests, "share": 0.05 for that part of all',
    )
  }
}

function checkListen(config: MeridianConfig, report: CheckReport): void {
  const seen = new Map<string, number>()
  config.listen.addresses.forEach((entry, index) => {
    const path: Segment[] = ['listen', 'addresses', index]
    const key = `${entry.address} ${entry.port}`
    if (entry.port !== 0 && seen.has(key)) {
      report(path, `the same address and port as listen.addresses[${seen.get(key)}]`)
    }
    seen.set(key, index)
    if (entry.protocol === 'https' && entry.tls === undefined) {
      report(path, 'protocol "https" needs "tls" with a certificate')
    }
    if (entry.protocol !== 'https' && entry.tls !== undefined) {
      report(
        [...path, 'tls'],
        `TLS is set, but the protocol is "${entry.protocol}"`,
        'set "protocol": "https"',
      )
    }
    if (
      entry.tls !== undefined &&
      entry.tls.clientCertificate !== 'none' &&
      entry.tls.clientCa === undefined
    ) {
      report(
        [...path, 'tls'],
        '"clientCertificate" needs "clientCa", the authorities to check against',
      )
    }
  })
}

function checkPools(config: MeridianConfig, report: CheckReport): void {
  for (const [name, pool] of Object.entries(config.pools)) {
    const path: Segment[] = ['pools', name, 'origins']
    checkRepeats(
      pool.origins.map((origin) => origin.id),
      path,
      'origin',
      report,
    )
    if (pool.origins.every((origin) => origin.weight === 0)) {
      report(path, 'every origin has weight 0, so none would get a request')
    }
    pool.origins.forEach((origin, index) => {
      if (origin.tls !== undefined && !origin.url.startsWith('https:')) {
        report([...path, index, 'tls'], 'TLS is set, but the origin URL is not https')
      }
      if ((origin.tls?.cert === undefined) !== (origin.tls?.key === undefined)) {
        report([...path, index, 'tls'], 'a client certificate needs both "cert" and "key"')
      }
    })
  }
}

function checkRegions(config: MeridianConfig, report: CheckReport): void {
  const pools = Object.keys(config.pools)
  const regions = config.regions.map((region) => region.id)
  config.regions.forEach((region, index) => {
    checkNames(region.pools, pools, 'pool', ['regions', index, 'pools'], report)
  })
  checkSteering(config.steering, regions, ['steering'], report)
  const gateway = config.geo.gateway
  if (gateway !== undefined && 'region' in gateway) {
    checkName(gateway.region, regions, 'region', ['geo', 'gateway', 'region'], report)
  }
  const tags = new Set(config.regions.flatMap((region) => region.tags ?? []))
  // A cloud region brings tags that are not in the file, so only a config that names all of its own is judged.
  if (config.regions.length === 0 || config.regions.some((region) => region.tags === undefined))
    return
  config.residency.forEach((rule, index) => {
    if (rule.allowTags.some((tag) => tags.has(tag))) return
    report(
      ['residency', index, 'allowTags'],
      'no region has any of these tags, so every request the rule binds would be refused',
      `tags of the regions: ${[...tags].join(', ')}`,
    )
  })
}

function checkSteering(
  steering: MeridianConfig['steering'] | undefined,
  regions: readonly string[],
  path: readonly Segment[],
  report: CheckReport,
): void {
  if (steering === undefined) return
  const policies = [
    { policy: steering, at: path },
    ...steering.rules.map((rule, index) => ({ policy: rule, at: [...path, 'rules', index] })),
  ]
  for (const { policy, at } of policies) {
    const known = (names: readonly string[] | undefined, ...where: Segment[]) => {
      checkNames(names, regions, 'region', [...at, ...where], report)
    }
    known(policy.regions, 'regions')
    known(policy.order, 'order')
    known(policy.fallback, 'fallback')
    for (const name of Object.keys(policy.weights ?? {})) {
      checkName(name, regions, 'region', [...at, 'weights', name], report)
    }
    for (const kind of ['countries', 'continents'] as const) {
      for (const [place, names] of Object.entries(policy.lists?.[kind] ?? {})) {
        known(names, 'lists', kind, place)
      }
    }
    known(policy.lists?.europeanUnion, 'lists', 'europeanUnion')
    known(policy.lists?.default, 'lists', 'default')
  }
  coveredBy(steering.rules.map((rule) => rule.when)).forEach((at, index) => {
    if (at < 0) return
    report(
      [...path, 'rules', index],
      `this rule can never hold: ${path.join('.')}.rules[${at}] takes its requests first`,
      'put the narrower rule first',
    )
  })
}

function checkRoutes(config: MeridianConfig, report: CheckReport): void {
  checkRepeats(
    config.routes.map((route) => route.id),
    ['routes'],
    'route',
    report,
  )
  const pools = Object.keys(config.pools)
  const regions = config.regions.map((region) => region.id)
  const residency = config.residency.map((rule) => rule.id)
  const limits = config.limits.map((limit) => limit.id)
  config.routes.forEach((route, index) => {
    const path: Segment[] = ['routes', index]
    checkNames(route.pools, pools, 'pool', [...path, 'pools'], report)
    checkNames(route.regions, regions, 'region', [...path, 'regions'], report)
    checkName(route.residency, residency, 'residency rule', [...path, 'residency'], report)
    checkSteering(route.steering, regions, [...path, 'steering'], report)
    checkName(route.rollout?.from, pools, 'pool', [...path, 'rollout', 'from'], report)
    checkName(route.rollout?.to, pools, 'pool', [...path, 'rollout', 'to'], report)
    checkName(route.mirror?.pool, pools, 'pool', [...path, 'mirror', 'pool'], report)
    if (route.cache !== false) {
      const where: Segment[] = [...path, 'cache', 'shield', 'pool']
      checkName(route.cache?.shield?.pool, pools, 'pool', where, report)
    }
    checkNames(route.limits, limits, 'limit', [...path, 'limits'], report)
    checkAuth(config, index, report)
    const ends = route.redirect !== undefined || route.respond !== undefined
    if (!ends && route.pools === undefined && route.regions === undefined && regions.length === 0) {
      report(
        path,
        'this route goes nowhere',
        'give it "pools", "redirect" or "respond", or describe "regions"',
      )
    }
    const answers = ['pools', 'regions', 'redirect', 'respond'].filter(
      (key) => Reflect.get(route, key) !== undefined,
    )
    if (answers.length > 1) {
      report(path, `a route has only one of ${answers.map(quote).join(' and ')}`)
    }
  })
  checkDeadRoutes(config, report)
}

function checkAuth(config: MeridianConfig, index: number, report: CheckReport): void {
  const auth = config.routes[index]?.auth
  if (auth === undefined || auth === 'none') return
  const path: Segment[] = ['routes', index, 'auth']
  if (config.iam === undefined) {
    report(path, 'this route asks who the caller is, but there is no "iam" section')
    return
  }
  const ids = (entries: readonly { id: string }[]) => entries.map((entry) => entry.id)
  const { issuers, signedUrls, introspection } = config.iam
  checkNames(auth.issuers, ids(issuers), 'issuer', [...path, 'issuers'], report)
  checkName(auth.signedUrl, ids(signedUrls), 'signed URL scheme', [...path, 'signedUrl'], report)
  checkName(
    auth.introspection,
    ids(introspection),
    'introspection endpoint',
    [...path, 'introspection'],
    report,
  )
}

function checkDeadRoutes(config: MeridianConfig, report: CheckReport): void {
  const earlier = coveredBy(config.routes.map((route) => route.match))
  config.routes.forEach((route, index) => {
    const at = earlier[index] ?? -1
    const taker = config.routes[at]
    if (taker === undefined) return
    report(
      ['routes', index],
      `route ${quote(route.id)} can never match: routes[${at}] (${quote(taker.id)}) takes its requests first`,
      'put the narrower route first',
    )
  })
}

/** Ids that other sections refer to come once each. */
function checkIds(config: MeridianConfig, report: CheckReport): void {
  const named: readonly [path: Segment[], what: string, entries: readonly { id: string }[]][] = [
    [['regions'], 'region', config.regions],
    [['residency'], 'residency rule', config.residency],
    [['limits'], 'limit', config.limits],
    [['waitingRooms'], 'waiting room', config.waitingRooms],
    [['iam', 'issuers'], 'issuer', config.iam?.issuers ?? []],
    [['iam', 'signedUrls'], 'signed URL scheme', config.iam?.signedUrls ?? []],
    [['iam', 'introspection'], 'introspection endpoint', config.iam?.introspection ?? []],
    [['iam', 'apiKeys', 'keys'], 'API key', config.iam?.apiKeys?.keys ?? []],
  ]
  for (const [path, what, entries] of named) {
    checkRepeats(
      entries.map((entry) => entry.id),
      path,
      what,
      report,
    )
  }
}

function checkLists(config: MeridianConfig, report: CheckReport): void {
  for (const [name, list] of Object.entries(config.lists)) {
    if ((list.values === undefined) === (list.file === undefined)) {
      report(['lists', name], 'a list has either "values" or "file"')
    }
  }
}

/** Each of `names` must be among `known`. */
function checkNames(
  names: readonly string[] | undefined,
  known: readonly string[],
  what: string,
  path: readonly Segment[],
  report: CheckReport,
): void {
  names?.forEach((name, index) => {
    checkName(name, known, what, [...path, index], report)
  })
  if (names !== undefined) checkRepeats(names, path, what, report, 'is named twice')
}

function checkName(
  name: string | undefined,
  known: readonly string[],
  what: string,
  path: readonly Segment[],
  report: CheckReport,
): void {
  if (name === undefined || known.includes(name)) return
  const hint =
    suggestion(name, known) ??
    (known.length === 0 ? `there is no ${what} yet` : `known: ${known.slice(0, 20).join(', ')}`)
  report(path, `there is no ${what} ${quote(name)}`, hint)
}

function checkRepeats(
  ids: readonly string[],
  path: readonly Segment[],
  what: string,
  report: CheckReport,
  words = 'comes twice',
): void {
  const seen = new Set<string>()
  ids.forEach((id, index) => {
    if (seen.has(id)) report([...path, index], `${what} ${quote(id)} ${words}`)
    seen.add(id)
  })
}
