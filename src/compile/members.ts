/** Origins of the config as members of their pools: a name with several addresses is several of them. */
import type { LoadedConfig } from '../config/load.ts'
import { parseOriginUrl } from '../config/paths.ts'
import type { OriginConfig, PoolConfig } from '../config/sections/pools.ts'
import { parseIp } from '../http/ip.ts'
import type { NameSource } from '../ports.ts'
import { type Endpoint, endpointsOf, serviceEndpoints, serviceHost } from '../upstream/endpoints.ts'

export interface Member {
  readonly config: OriginConfig
  /** In the config. */
  readonly index: number
  readonly endpoint: Endpoint
}

/** Names in health, metrics and connection pools: unique over all pools, stable over reloads. */
export function originId(pool: string, config: OriginConfig): string {
  return `${pool}/${config.id}`
}

/** The name to resolve; undefined for an address or a socket, which stay what they are. */
export function nameOf(config: OriginConfig): string | undefined {
  const url = parseOriginUrl(config.url)
  if (url === undefined || url.socketPath !== undefined) return undefined
  return parseIp(url.hostname) === undefined ? url.hostname : undefined
}

export function membersOf(
  poolId: string,
  pool: PoolConfig,
  names: NameSource | undefined,
): Member[] {
  return pool.origins.flatMap((config, index) => {
    const name = nameOf(config)
    const found = name === undefined ? undefined : names?.addresses(name)
    const isService = name !== undefined && serviceHost(name) !== undefined
    const endpoints = (isService ? serviceEndpoints : endpointsOf)(
      originId(poolId, config),
      found,
      pool.dns,
    )
    return endpoints.map((endpoint): Member => ({ config, index, endpoint }))
  })
}

/** Of a service record that has almost none there is still a little. */
export function weightOf({ config, endpoint }: Member): number {
  return config.weight === 0 ? 0 : Math.max(1, Math.round(config.weight * endpoint.share))
}

export type Members = ReadonlyMap<string, readonly Member[]>

/** As far as names are known now. */
export function allMembers({ config }: LoadedConfig, names: NameSource | undefined): Members {
  return new Map(
    Object.entries(config.pools).map(([id, pool]) => [id, membersOf(id, pool, names)] as const),
  )
}
