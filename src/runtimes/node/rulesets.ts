/** Rulesets that come with the package, read from its `rules/` folder. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** @returns the text of `rules/NAME.json`; undefined when there is none */
export function builtInRuleset(name: string): string | undefined {
  if (!/^[a-z][a-z0-9-]{0,62}$/.test(name)) return undefined
  try {
    return readFileSync(
      fileURLToPath(new URL(`../../../rules/${name}.json`, import.meta.url)),
      'utf8',
    )
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
