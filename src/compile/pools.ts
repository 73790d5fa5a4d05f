/** Pools of the config as the upstream wants them. */
import type { Report } from '../config/errors.ts'
import type { LoadedConfig } from '../config/load.ts'
import { parseOriginUrl } from '../config/paths.ts'
import type { OriginConfig, PoolConfig } from '../config/sections/pools.ts'
import type { OriginAddress, OriginTls } from '../ports.ts'
import { maglevTable } from '../upstream/balance.ts'
import { LatencySketch } from '../upstream/latency.ts'
import { PeakEwma } from '../upstream/peak-ewma.ts'
import type { Origin, Pool } from '../upstream/pool.ts'
import { HedgeBudget, RetryBudget } from '../upstream/retry-budget.ts'

/** Retries as a share of a pool's requests when its routes say nothing else, per cent. */
const DEFAULT_BUDGET = 20

/**
 * @param previous  the pools before a reload: origins that stay keep their counts
 */
export function compilePools(
  loaded: LoadedConfig,
  previous: ReadonlyMap<string, Pool> | undefined,
  healthIndex: (originId: string) => number,
  report: Report,
): Map<string, Pool> {
  const pools = new Map<string, Pool>()
  const budgets = budgetsByPool(loaded)
  for (const id of Object.keys(loaded.config.pools)) {
    const config = loaded.config.pools[id] as PoolConfig
    const before = previous?.get(id)
    pools.set(id, {
      id,
      origins: config.origins.map((origin, index) =>
        compileOrigin(
          origin,
          id,
          `pools.${id}.origins[${index}]`,
          loaded,
          before,
          healthIndex,
          report,
        ),
      ),
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
      shares: new Float64Array(config.origins.length),
      table: config.balance === 'maglev' ? maglevTable(config.origins) : undefined,
      turn: before?.turn ?? 0,
    })
  }
  return pools
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

/** Names in health, metrics and connection pools: unique over all pools, stable over reloads. */
export function originId(pool: string, config: OriginConfig): string {
  return `${pool}/${config.id}`
}

function compileOrigin(
  config: OriginConfig,
  pool: string,
  path: string,
  loaded: LoadedConfig,
  previous: Pool | undefined,
  healthIndex: (originId: string) => number,
  report: Report,
): Origin {
  const url = parseOriginUrl(config.url)
  // The schema has checked it; a placeholder lets the compiler go on and find more problems.
  if (url === undefined) report(`${path}.url`, 'the origin URL cannot be read')
  const id = originId(pool, config)
  const address: OriginAddress = {
    id,
    scheme: url?.scheme ?? 'http',
    hostname: url?.hostname ?? 'invalid',
    port: url?.port ?? 0,
    socketPath: url?.socketPath,
    tls: url?.scheme === 'https' ? originTls(config.tls, loaded) : undefined,
    maxConnections: config.maxConnections,
    keepAliveMs: loaded.config.pools[pool]?.keepAlive,
    http2: config.http2,
  }
  const before = previous?.origins.find((origin) => origin.id === id)
  return new PooledOrigin(
    {
      id,
      health: healthIndex(id),
      address,
      weight: config.weight,
      host: config.host,
      latency: before?.latency ?? new PeakEwma(),
    },
    before,
  )
}

/** Attempts that began before a reload end after it: both origins count with one counter. */
class PooledOrigin implements Origin {
  readonly id: string
  readonly health: number
  readonly address: OriginAddress
  readonly weight: number
  readonly host: string | undefined
  readonly latency: PeakEwma
  restUntil: number
  readonly #underWay: { count: number }

  constructor(init: Omit<Origin, 'inFlight' | 'restUntil'>, before: Origin | undefined) {
    this.id = init.id
    this.health = init.health
    this.address = init.address
    this.weight = init.weight
    this.host = init.host
    this.latency = init.latency
    this.restUntil = before?.restUntil ?? 0
    this.#underWay = before instanceof PooledOrigin ? before.#underWay : { count: 0 }
  }

  get inFlight(): number {
    return this.#underWay.count
  }

  set inFlight(count: number) {
    this.#underWay.count = count
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
