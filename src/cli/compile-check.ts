/** What `check` does beyond validation: compiles the config as a start would, without serving. */
import { compileSnapshot } from '../compile/compile.ts'
import type { LoadedConfig } from '../config/load.ts'
import { GeoSlots } from '../geo/place.ts'
import { NO_GEO_SOURCE } from '../geo/source.ts'
import { type Platform, UpstreamError } from '../ports.ts'
import { nodeClock, nodeRandom } from '../runtimes/node/clock.ts'
import { builtInRuleset } from '../runtimes/node/rulesets.ts'
import { openId } from '../runtimes/web/openid.ts'

/**
 * Compiles a loaded config and drops the result. Nothing is sent, listened on or left behind.
 * @returns warnings, for people
 * @throws ConfigError with every problem that only compiling finds, such as expressions that do not type
 */
export async function compileForCheck(loaded: LoadedConfig): Promise<readonly string[]> {
  const warnings: string[] = []
  const offline = () => {
    throw new UpstreamError('connect', 'a config is being checked')
  }
  const platform: Platform = {
    name: 'node',
    clock: nodeClock,
    random: nodeRandom,
    upstream: { send: offline },
    geo: NO_GEO_SOURCE,
    keys: { fetch: offline },
    openId,
    access: { line: () => {} },
    log: { info: () => {}, warn: (message) => warnings.push(message), error: () => {} },
  }
  await compileSnapshot(loaded, {
    platform,
    slots: new GeoSlots(),
    builtInRuleset,
    rehearsal: { health: undefined },
  })
  return warnings
}
