/** What `check` does beyond validation: compiles the config as a start would, without serving. */
import type { LoadedConfig } from '../config/load.ts'

/**
 * Compiles a loaded config and drops the result.
 * @throws ConfigError with every problem that only compiling finds, such as expressions that do not type
 */
export async function compileForCheck(loaded: LoadedConfig): Promise<void> {
  const collector = loaded.report()
  collector.throwIfAny()
}
