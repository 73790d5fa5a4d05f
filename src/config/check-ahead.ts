/** Makes a config into what a gateway of the same version starts from without reading its text. */
import type { CheckedConfig } from './checked.ts'
import { formatPath, parseDocument } from './document.ts'
import type { LoadedConfig } from './load.ts'
import { ConfigSchema } from './schema.ts'
import { secretsIn } from './secret-uses.ts'

/**
 * @param text    of the config
 * @param loaded  what it was loaded into
 * @param version of this gateway
 */
export function checkAhead(
  text: string,
  { config, lists }: LoadedConfig,
  version: string,
): CheckedConfig {
  const parsed = parseDocument(text)
  if ('problems' in parsed) throw new TypeError('the text is not the one that was loaded')
  const { document } = parsed
  return {
    version,
    config,
    secrets: secretsIn(ConfigSchema, document.value).map(({ ref, path }) => {
      const { line, column } = document.locate(path, 'value')
      return { ref, path: formatPath(path), line, column }
    }),
    lists: Object.fromEntries(lists),
  }
}
