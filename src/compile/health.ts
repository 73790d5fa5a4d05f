/** The health board of a config, and the checks that feed it. */
import type { LoadedConfig } from '../config/load.ts'
import type { PoolConfig } from '../config/sections/pools.ts'
import { HealthBoard, type HealthEvent, type HealthPool } from '../health/board.ts'
import { outlierRules } from '../health/outlier.ts'
import { activeRules, ProbeScheduler, type ProbeTarget } from '../health/probe.ts'
import type { RegionTable } from '../steering/regions.ts'
import type { Pool } from '../upstream/pool.ts'
import type { CompileOptions } from './compile.ts'
import { type Members, weightOf } from './members.ts'

/** Origins that stay keep their state. An explanation reads the board of the running gateway. */
export function compileHealth(
  loaded: LoadedConfig,
  members: Members,
  regions: RegionTable,
  options: CompileOptions,
  onEvent: (event: HealthEvent) => void,
): HealthBoard {
  const { config } = loaded
  const pools = Object.keys(config.pools).map((id): HealthPool => {
    const pool = config.pools[id] as PoolConfig
    return {
      id,
      origins: (members.get(id) ?? []).map((member) => ({
        id: member.endpoint.id,
        weight: weightOf(member),
      })),
      active: pool.health === undefined ? undefined : activeRules(pool.health),
      outlier: outlierRules(pool.outlier),
      maxEjected: pool.outlier.maxEjected / 100,
    }
  })
  const byId = new Map(config.regions.map((region) => [region.id, region]))
  return new HealthBoard(
    pools,
    regions.ids().map((id) => ({
      id,
      pools: byId.get(id)?.pools ?? [],
      spillBelow: (byId.get(id)?.spillBelow ?? 0) / 100,
    })),
    options.platform.random,
    onEvent,
    options.rehearsal === undefined ? options.previous?.health : options.rehearsal.health,
  )
}

export function compileProbes(
  loaded: LoadedConfig,
  pools: ReadonlyMap<string, Pool>,
  board: HealthBoard,
  options: CompileOptions,
): ProbeScheduler | undefined {
  const { probe, platform } = options
  if (probe === undefined || options.rehearsal !== undefined) return undefined
  const { clock, random } = platform
  return new ProbeScheduler(
    probeTargets(loaded, pools),
    board,
    probe,
    clock,
    random,
    options.onProbe,
    options.probePatience,
  )
}

/** What is checked: every origin of the pools that have checks. */
export function probeTargets(
  loaded: LoadedConfig,
  pools: ReadonlyMap<string, Pool>,
): ProbeTarget[] {
  const targets: ProbeTarget[] = []
  for (const [id, pool] of pools) {
    const health = loaded.config.pools[id]?.health
    if (health === undefined) continue
    for (const origin of pool.origins) targets.push({ origin: origin.address, health })
  }
  return targets
}
