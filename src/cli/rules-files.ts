/** Ruleset files as the verbs of `meridian rules` read them: compiled, with problems by file and line. */
import { readFile } from 'node:fs/promises'
import * as v from 'valibot'
import { parseDocument } from '../config/document.ts'
import type { ConfigProblem } from '../config/errors.ts'
import { BUILT_IN_RULESETS, WafSection } from '../config/sections/waf.ts'
import { createEnvironment, type Environment, List, ListError } from '../expression/expression.ts'
import { ConfigFile } from '../runtimes/node/config-file.ts'
import { builtInRuleset } from '../runtimes/node/rulesets.ts'
import { scoreSubject } from '../waf/detect/score-subject.ts'
import { DETECTORS } from '../waf/detectors.ts'
import { Waf } from '../waf/waf.ts'
import { CommandError } from './terminal.ts'

export interface RulesetFile {
  /** As the user gave it: a path, or the name of a ruleset that comes with the gateway. */
  readonly name: string
  readonly text: string
}

export interface CheckedRuleset {
  readonly file: RulesetFile
  readonly waf: Waf
  /** All but tests that do not hold. */
  readonly problems: readonly ConfigProblem[]
  readonly failedTests: readonly ConfigProblem[]
}

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
  const lists = new Map<string, List>()
  if (config !== undefined) {
    const bundle = await new ConfigFile(config).load()
    for (const [name, list] of bundle.lists) {
      try {
        lists.set(name, new List(list.type, list.values))
      } catch (error) {
        if (!(error instanceof ListError)) throw error
        throw new CommandError(`the list "${name}" of ${config}: ${error.message}`)
      }
    }
  }
  return createEnvironment({ lists })
}

/** Compiles one file as a config would. */
export function checkRuleset(file: RulesetFile, environment: Environment): CheckedRuleset {
  const syntax = parseDocument(file.text)
  const found: ConfigProblem[] = []
  const waf = new Waf(
    v.parse(WafSection, { mode: 'simulate', rulesets: [{ file: './ruleset.json' }] }),
    [undefined],
    {
      environment,
      detectors: DETECTORS,
      builtIn: builtInRuleset,
      files: new Map([['./ruleset.json', file.text]]),
      score: scoreSubject,
    },
    (path, message, hint) => {
      const at =
        /(?:^|\.)(rules\[\d+\].*)$/.exec(path)?.[1] ?? path.replace(/^waf\.rulesets\[0\]\.?/, '')
      const place = 'document' in syntax ? syntax.document.locateText(at) : {}
      found.push({ path: at, message, hint, file: file.name, ...place })
    },
  )
  if ('problems' in syntax) {
    const problems = syntax.problems.map((problem) => ({ ...problem, file: file.name }))
    return { file, waf, problems, failedTests: [] }
  }
  const isTest = ({ path }: ConfigProblem): boolean => /\.tests\[\d+\]$/.test(path)
  return {
    file,
    waf,
    problems: found.filter((problem) => !isTest(problem)),
    failedTests: found.filter(isTest),
  }
}
