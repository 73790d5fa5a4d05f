/**
 * What a platform can do towards origins, and the check of a config against it: a pool that cannot work
 * here is an error when the config is loaded, not a 5xx for the first client.
 */
import type { Report } from '../../config/errors.ts'
import { parseOriginUrl } from '../../config/paths.ts'
import type { MeridianConfig } from '../../config/schema.ts'
import type { OriginConfig } from '../../config/sections/pools.ts'
import { parseIp } from '../../http/ip.ts'
import { serviceHost } from '../../upstream/endpoints.ts'

export interface Capabilities {
  /** For messages: "Cloudflare Workers". */
  readonly platform: string
  /** Origins named by an IP address. */
  readonly addresses: boolean
  /** Databases and other files at run time. */
  readonly files: boolean
  /** Work at an interval, of no request. */
  readonly background: boolean
}

/** `fetch` of Bun, Deno and Node. */
export const WEB_CAPABILITIES: Capabilities = {
  platform: 'fetch',
  addresses: true,
  files: false,
  background: true,
}

/**
 * Reports everything of a config that cannot work.
 * @returns sentences about what works in another way here, for people
 */
export function checkCapabilities(
  config: MeridianConfig,
  can: Capabilities,
  report: Report,
): string[] {
  const warnings: string[] = []
  for (const [id, pool] of Object.entries(config.pools)) {
    pool.origins.forEach((origin, index) => {
      checkOrigin(origin, `pools.${id}.origins[${index}]`, can, report)
    })
    if (pool.health?.type === 'tcp') {
      report(`pools.${id}.health.type`, `${can.platform} cannot check by TCP`, 'use type "http"')
    }
    if (pool.health?.host !== undefined) {
      report(
        `pools.${id}.health.host`,
        `${can.platform} sends the host of the origin's URL`,
        'leave it out',
      )
    }
  }
  config.routes.forEach((route, index) => {
    if (route.compression === undefined) return
    report(
      `routes[${index}].compression`,
      `the gateway encodes bodies on Node only, not on ${can.platform}`,
      'leave it out; Cloudflare compresses towards clients by itself',
    )
  })
  config.alerts.forEach((_, index) => {
    report(
      `alerts[${index}]`,
      `alerts are sent on Node only, not on ${can.platform}`,
      'leave them out; the events are in the records',
    )
  })
  if (config.telemetry.analytics !== undefined) {
    report(
      'telemetry.analytics',
      `requests are kept in files on Node only, not on ${can.platform}`,
      'leave it out; records go to a queue or to Analytics Engine',
    )
  }
  if (config.geo.database !== undefined && !can.files) {
    report('geo.database', `${can.platform} has no files`, 'the place comes from the platform')
  }
  if (config.resolver.servers !== undefined) {
    report(
      'resolver.servers',
      `${can.platform} resolves names by itself`,
      'leave it out; only the gateway on Node asks servers of its own',
    )
  }
  if (config.state.directory !== undefined && !can.files) {
    report('state.directory', `${can.platform} has no files`, 'leave it out')
  }
  if (config.redis !== undefined) {
    report(
      'redis',
      `the gateway speaks to Redis on Node only, not on ${can.platform}`,
      'leave it out; on Workers, Durable Objects share what Redis shares elsewhere',
    )
  }
  if (config.telemetry.otlp?.signals.includes('metrics') === true && !can.background) {
    warnings.push(`telemetry.otlp: metrics are not sent from ${can.platform}; scrape them`)
  }
  for (const limit of config.limits) {
    if (limit.algorithm === 'concurrency') {
      warnings.push(`limit "${limit.id}": concurrency is counted by each process on its own`)
    }
  }
  return warnings
}

function checkOrigin(origin: OriginConfig, path: string, can: Capabilities, report: Report): void {
  const url = parseOriginUrl(origin.url)
  if (url === undefined) return
  if (url.socketPath !== undefined) {
    report(`${path}.url`, `${can.platform} cannot use Unix sockets`, 'use an http or https URL')
    return
  }
  if (serviceHost(url.hostname) !== undefined) {
    report(`${path}.url`, `${can.platform} cannot ask for service records`, 'name a host')
  }
  if (!can.addresses && parseIp(url.hostname) !== undefined) {
    report(
      `${path}.url`,
      `${can.platform} cannot reach an IP address`,
      'give the origin a host name',
    )
  }
  if (origin.host !== undefined && origin.host.toLowerCase() !== url.hostname) {
    report(
      `${path}.host`,
      `${can.platform} sends the host of the URL`,
      `leave it out, or make the URL ${url.scheme}://${origin.host}`,
    )
  }
  const { tls } = origin
  if (tls === undefined) return
  for (const key of ['ca', 'cert', 'key', 'serverName'] as const) {
    if (tls[key] !== undefined) {
      report(`${path}.tls.${key}`, `${can.platform} does TLS by itself`, 'leave it out')
    }
  }
  if (!tls.verify) {
    report(`${path}.tls.verify`, `${can.platform} always checks certificates`, 'leave it out')
  }
}
