/** Pools of the config as the upstream wants them. */
import type { Report } from '../config/errors.ts'
import type { LoadedConfig } from '../config/load.ts'
import { parseOriginUrl } from '../config/paths.ts'
import type { OriginConfig, PoolConfig } from '../config/sections/pools.ts'
import type { OriginAddress, OriginTls } from '../ports.ts'
import { maglevTable } from '../upstream/balance.ts'
import { serviceHost } from '../upstream/endpoints.ts'
import { LatencySketch } from '../upstream/latency.ts'
import { PeakEwma } from '../upstream/peak-ewma.ts'
import type { Origin, Pool } from '../upstream/pool.ts'
import { HedgeBudget, RetryBudget } from '../upstream/retry-budget.ts'
import { type Member, type Members, originId, weightOf } from './members.ts'

/** Retries as a share of a pool's requests when its routes say nothing else, per cent. */
const DEFAULT_BUDGET = 20

/** Makes a member of a pool into an origin. @param before the same one, or the one it was */
export type OriginMaker = (member: Member, health: number, before: Origin | undefined) => Origin

/**
 * @param previous  the pools before a reload: origins that stay keep their counts
 */
export function compilePools(
  loaded: LoadedConfig,
  members: Members,
  previous: ReadonlyMap<string, Pool> | undefined,
  healthIndex: (originId: string) => number,
  report: Report,
): Map<string, Pool> {
  const pools = new Map<string, Pool>()
  const budgets = budgetsByPool(loaded)
  for (const id of Object.keys(loaded.config.pools)) {
    const config = loaded.config.pools[id] as PoolConfig
    const before = previous?.get(id)
    config.origins.forEach(({ url }, index) => {
      // The schema has checked it; a placeholder lets the compiler go on and find more problems.
      if (parseOriginUrl(url) === undefined)
        report(`pools.${id}.origins[${index}].url`, 'the origin URL cannot be read')
    })
    const pool: Pool = {
      id,
      origins: before?.origins ?? [],
      balance: config.balance,
      connectTimeoutMs: config.timeouts.connect,
      firstByteTimeoutMs: config.timeouts.firstByte,
      idleTimeoutMs: config.timeouts.idle,
      slowStartMs: config.slowStart,
      panic:
        config.panic === undefined
          ? undefined
          : { below: config.panic.below / 100, mode: config.panic.mode },
      budget: new RetryBudget(budgets.get(id) ?? DEFAULT_BUDGET, before?.budget),
      hedges: before?.hedges ?? new HedgeBudget(),
      latency: before?.latency ?? new LatencySketch(),
      shares: new Float64Array(0),
      table: undefined,
      turn: before?.turn ?? 0,
    }
    fillPool(pool, members.get(id) ?? [], originMaker(id, loaded), healthIndex, true)
    pools.set(id, pool)
  }
  return pools
}

/**
 * Gives a pool its origins. Those that it has stay, unless `anew`: then they are made again from the config,
 * and keep their counts.
 * @returns those that are gone
 */
export function fillPool(
  pool: Pool,
  members: readonly Member[],
  make: OriginMaker,
  healthIndex: (originId: string) => number,
  anew = false,
): Origin[] {
  const before = new Map(pool.origins.map((origin) => [origin.id, origin]))
  pool.origins = members.map((member) => {
    const { id } = member.endpoint
    const known = before.get(id)
    before.delete(id)
    const isSame =
      known !== undefined &&
      known.weight === weightOf(member) &&
      known.address.addresses?.[0]?.address === member.endpoint.addresses?.[0]?.address &&
      (member.endpoint.port ?? known.address.port) === known.address.port
    return isSame && !anew ? known : make(member, healthIndex(id), known)
  })
  pool.shares = new Float64Array(pool.origins.length)
  pool.table = pool.balance === 'maglev' ? maglevTable(pool.origins) : undefined
  return [...before.values()]
}

/** A pool's budget is the smallest that a route naming it asks for. */
function budgetsByPool(loaded: LoadedConfig): ReadonlyMap<string, number> {
  const budgets = new Map<string, number>()
  for (const route of loaded.config.routes) {
    for (const pool of route.pools ?? Object.keys(loaded.config.pools)) {
      budgets.set(pool, Math.min(budgets.get(pool) ?? 100, route.retry.budget))
    }
  }
  return budgets
}

export function originMaker(pool: string, loaded: LoadedConfig): OriginMaker {
  return (member, health, before) => {
    const { config, endpoint } = member
    const url = parseOriginUrl(config.url)
    const { id, addresses } = endpoint
    const own = originId(pool, config)
    const address: OriginAddress = {
      id,
      partOf: own === id ? undefined : own,
      addresses,
      scheme: url?.scheme ?? 'http',
      hostname: url === undefined ? 'invalid' : (serviceHost(url.hostname) ?? url.hostname),
      port: endpoint.port ?? url?.port ?? 0,
      socketPath: url?.socketPath,
      tls: url?.scheme === 'https' ? originTls(config.tls, loaded) : undefined,
      maxConnections: config.maxConnections,
      keepAliveMs: loaded.config.pools[pool]?.keepAlive,
      http2: config.http2,
    }
    return {
      id,
      health,
      address,
      weight: weightOf(member),
      host: config.host,
      load: before?.load ?? { inFlight: 0, restUntil: 0 },
      latency: before?.latency ?? new PeakEwma(),
    }
  }
}

function originTls(config: OriginConfig['tls'], loaded: LoadedConfig): OriginTls {
  const file = (path: string | undefined) =>
    path === undefined ? undefined : loaded.files.get(path)
  return {
    serverName: config?.serverName,
    ca: file(config?.ca),
    cert: file(config?.cert),
    key: file(config?.key),
    verify: config?.verify ?? true,
  }
}
