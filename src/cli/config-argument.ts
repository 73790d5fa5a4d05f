/** The `--config` option that several verbs share. */
import { type ConfigBundle, ConfigFile, ConfigFileError } from '../runtimes/node/config-file.ts'
import { CommandError, type Terminal } from './terminal.ts'

export const CONFIG_DEFAULT = 'meridian.json'
export const CONFIG_FLAG = '-c, --config <file>'
export const CONFIG_HELP = 'the config file'

/**
 * Reads a config with all it names.
 * @throws ConfigError when it is wrong, CommandError when it cannot be read
 */
export async function readConfig(path: string, terminal: Terminal): Promise<ConfigBundle> {
  try {
    return await new ConfigFile(path, { env: terminal.env }).load()
  } catch (error) {
    if (!(error instanceof ConfigFileError)) throw error
    throw new CommandError(
      error.message,
      'write one with `meridian init`, or name it with --config',
      {
        cause: error,
      },
    )
  }
}
