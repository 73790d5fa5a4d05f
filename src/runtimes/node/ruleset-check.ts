/** One ruleset on its own: compiled as a config would, with problems by line. */
import * as v from 'valibot'
import { parseDocument } from '../../config/document.ts'
import { ConfigError, type ConfigProblem } from '../../config/errors.ts'
import type { ResolvedList } from '../../config/files.ts'
import { WafSection } from '../../config/sections/waf.ts'
import {
  createEnvironment,
  type Environment,
  List,
  ListError,
} from '../../expression/expression.ts'
import { scoreSubject } from '../../waf/detect/score-subject.ts'
import { DETECTORS } from '../../waf/detectors.ts'
import { Waf } from '../../waf/waf.ts'
import { builtInRuleset } from './rulesets.ts'

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

/** The rules language with the lists of a config. @throws ConfigError for a list that is none */
export function environmentWith(resolved: ReadonlyMap<string, ResolvedList>): Environment {
  const lists = new Map<string, List>()
  for (const [name, list] of resolved) {
    try {
      lists.set(name, new List(list.type, list.values))
    } catch (error) {
      if (!(error instanceof ListError)) throw error
      throw new ConfigError([{ path: `lists.${name}`, message: error.message }])
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
