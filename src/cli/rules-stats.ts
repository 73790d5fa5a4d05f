/** `meridian rules stats`: what is in rulesets, and how much of it is left to ask. */
import { ConfigError } from '../config/errors.ts'
import { BUILT_IN_RULESETS } from '../config/sections/waf.ts'
import type { Waf } from '../waf/waf.ts'
import { checkRuleset, environmentOf, readRulesets } from './rules-files.ts'
import { columns, EXIT, type ExitCode, type Terminal } from './terminal.ts'

export interface RulesStatsOptions {
  readonly config?: string | undefined
  readonly json?: boolean | undefined
}

interface RulesetStats {
  readonly file: string
  readonly rules: number
  /** Of native rules: by action. Of SecLang rules: by phase, after constants have been carried out. */
  readonly counts: Readonly<Record<string, number>>
}

export async function rulesStats(
  names: readonly string[],
  options: RulesStatsOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const environment = await environmentOf(options.config)
  const files = await readRulesets(names.length === 0 ? BUILT_IN_RULESETS : names)
  const all: RulesetStats[] = []
  for (const file of files) {
    const { waf, problems } = checkRuleset(file, environment)
    if (problems.length > 0) throw new ConfigError(problems)
    all.push({ file: file.name, ...statsOf(waf) })
  }
  if (options.json === true) {
    terminal.out(`${JSON.stringify(all, null, 2)}\n`)
    return EXIT.ok
  }
  const rows = all.flatMap(({ file, rules, counts }) => [
    [file, 'rules', String(rules)],
    ...Object.entries(counts).map(([what, number]) => ['', what, String(number)]),
  ])
  terminal.out(`${columns(rows)}\n`)
  return EXIT.ok
}

function statsOf({ rulesets, native, engine }: Waf): Omit<RulesetStats, 'file'> {
  const counts: Record<string, number> = {}
  const add = (what: string, number = 1): void => {
    counts[what] = (counts[what] ?? 0) + number
  }
  for (const rule of native) {
    add(`action ${rule.action}`)
    if (rule.isSimulated) add('simulated')
    add(`${rule.phase} rules`)
    if (rule.needsBody) add('read the body or the scores')
  }
  if (engine !== undefined) {
    for (const [phase, rules] of Object.entries(engine.phases)) add(`phase ${phase}`, rules.length)
    add('left to run at paranoia level 1', engine.ruleCount)
    add('states of the prefilter', engine.scanner.states)
  }
  const known = rulesets.reduce((sum, ruleset) => sum + ruleset.ids.size, 0)
  return { rules: known + (engine?.ids.size ?? 0), counts }
}
