/** From a config's texts to a loaded config, checked against what the platform can do. */
import { type LoadedConfig, loadConfig } from '../../config/load.ts'
import { checkCapabilities, WEB_CAPABILITIES } from './capabilities.ts'
import { type ConfigTexts, secretsOf, type WebGatewayOptions } from './instance.ts'

/**
 * Reads and checks a config's texts as a gateway of these options would.
 * @throws ConfigError
 */
export async function load(
  texts: ConfigTexts,
  options: Omit<WebGatewayOptions, 'config'>,
): Promise<LoadedConfig> {
  const { files = {} } = texts
  const { env = {}, adapt, capabilities = WEB_CAPABILITIES } = options
  const loaded = await loadConfig(texts.config, {
    file: 'meridian.json',
    readFile: (path) => (Object.hasOwn(files, path) ? files[path] : undefined),
    readSecret: secretsOf(env, files),
  })
  const collector = loaded.report()
  const warnings = checkCapabilities(loaded.config, capabilities, collector.report)
  collector.throwIfAny()
  for (const warning of warnings) options.log?.warn(warning)
  return adapt === undefined ? loaded : adapt(loaded)
}
