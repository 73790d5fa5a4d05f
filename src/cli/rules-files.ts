/** Ruleset files as the verbs of `meridian rules` read them: compiled, with problems by file and line. */
import { readFile } from 'node:fs/promises'
import { BUILT_IN_RULESETS } from '../config/sections/waf.ts'
import type { Environment } from '../expression/expression.ts'
import { ConfigFile } from '../runtimes/node/config-file.ts'
import { environmentWith, type RulesetFile } from '../runtimes/node/ruleset-check.ts'
import { builtInRuleset } from '../runtimes/node/rulesets.ts'
import { CommandError } from './terminal.ts'

export {
  type CheckedRuleset,
  checkRuleset,
  type RulesetFile,
} from '../runtimes/node/ruleset-check.ts'

/** @throws CommandError for a file that cannot be read */
export async function readRulesets(names: readonly string[]): Promise<RulesetFile[]> {
  return Promise.all(names.map(async (name) => ({ name, text: await read(name) })))
}

async function read(name: string): Promise<string> {
  const own = (BUILT_IN_RULESETS as readonly string[]).includes(name)
    ? builtInRuleset(name)
    : undefined
  if (own !== undefined) return own
  try {
    return await readFile(name, 'utf8')
  } catch (error) {
    throw new CommandError(
      `${name} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      `give a file, or ${BUILT_IN_RULESETS.join(' or ')}`,
      { cause: error },
    )
  }
}

/** The rules language, with the lists of a config where one is given. @throws ConfigError */
export async function environmentOf(config: string | undefined): Promise<Environment> {
  return environmentWith(
    config === undefined ? new Map() : (await new ConfigFile(config).load()).lists,
  )
}
