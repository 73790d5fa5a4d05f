/** `meridian rules lint` and `meridian rules test`. */
import { type ConfigProblem, formatProblem } from '../config/errors.ts'
import { BUILT_IN_RULESETS } from '../config/sections/waf.ts'
import { type CheckedRuleset, checkRuleset, environmentOf, readRulesets } from './rules-files.ts'
import { EXIT, type ExitCode, type Terminal } from './terminal.ts'

export interface RulesCheckOptions {
  /** A config whose lists the expressions may name. */
  readonly config?: string | undefined
  readonly json?: boolean | undefined
}

export async function lintRules(
  names: readonly string[],
  options: RulesCheckOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const checked = await check(names, options)
  const problems = checked.flatMap((one) => one.problems)
  if (options.json === true) {
    terminal.out(`${JSON.stringify({ ok: problems.length === 0, problems }, null, 2)}\n`)
    return problems.length === 0 ? EXIT.ok : EXIT.failure
  }
  for (const { file, waf, problems: own } of checked) {
    for (const warning of waf.warnings) {
      terminal.err(`warning: ${file.name}: ${warning.replace(/^waf\.rulesets\[0\]\.?/, '')}\n`)
    }
    if (own.length === 0)
      terminal.out(`${file.name}: ${count(ruleCount(waf), 'rule')}, no problems\n`)
  }
  return reported(problems, 'problem', terminal)
}

export async function testRules(
  names: readonly string[],
  options: RulesCheckOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const checked = await check(names.length === 0 ? BUILT_IN_RULESETS : names, options)
  const problems = checked.flatMap((one) => [...one.problems, ...one.failedTests])
  const results = checked.map((one) => ({
    file: one.file.name,
    tests: testCount(one.file.text),
    failed: one.failedTests.length,
  }))
  if (options.json === true) {
    const ok = problems.length === 0
    terminal.out(`${JSON.stringify({ ok, results, problems }, null, 2)}\n`)
    return ok ? EXIT.ok : EXIT.failure
  }
  for (const { file, tests, failed } of results) {
    terminal.out(
      `${file}: ${count(tests, 'test')}, ${failed === 0 ? 'all hold' : `${failed} do not`}\n`,
    )
  }
  return reported(problems, 'problem', terminal)
}

async function check(
  names: readonly string[],
  { config }: RulesCheckOptions,
): Promise<CheckedRuleset[]> {
  const environment = await environmentOf(config)
  const files = await readRulesets(names)
  return files.map((file) => checkRuleset(file, environment))
}

function reported(problems: readonly ConfigProblem[], what: string, terminal: Terminal): ExitCode {
  if (problems.length === 0) return EXIT.ok
  for (const problem of problems) terminal.err(`${formatProblem(problem)}\n`)
  terminal.err(`${count(problems.length, what)}\n`)
  return EXIT.failure
}

function ruleCount(waf: CheckedRuleset['waf']): number {
  const native = waf.rulesets.reduce((sum, ruleset) => sum + ruleset.ids.size, 0)
  return native + (waf.engine?.ids.size ?? 0)
}

/** Counted in the text: a ruleset that does not compile has tests too. */
function testCount(text: string): number {
  try {
    const { rules } = JSON.parse(text) as { rules?: readonly { tests?: readonly unknown[] }[] }
    return (rules ?? []).reduce((sum, rule) => sum + (rule?.tests?.length ?? 0), 0)
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return 0
    throw error
  }
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}
