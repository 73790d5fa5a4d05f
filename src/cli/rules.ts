/** The verbs of `meridian rules` and their options. */
import type { Command } from 'commander'
import type { ExitCode, Terminal } from './terminal.ts'

const LISTS = ['-c, --config <file>', 'config whose lists the expressions may name'] as const

export function addRules(rules: Command, terminal: Terminal, done: (code: ExitCode) => void): void {
  const verb = (name: string, description: string): Command =>
    rules.command(name).description(description).helpOption('-h, --help', 'print this help')

  verb('import', 'read rules of others into JSON')
    .command('crs')
    .description('the OWASP Core Rule Set: crs-setup.conf and rules/*.conf')
    .helpOption('-h, --help', 'print this help')
    .requiredOption('--from <dir>', 'folder of a CRS release')
    .option('--out <file>', 'file to write; the standard output when not given')
    .option('--name <name>', 'name of the ruleset', 'owasp-crs')
    .action(async (options) => {
      const { importCrs } = await import('./rules-import.ts')
      done(await importCrs(options, terminal))
    })

  verb('lint <file...>', 'say what is wrong with ruleset files (exit code 1)')
    .option(...LISTS)
    .option('--json', 'print JSON')
    .action(async (files, options) => {
      const { lintRules } = await import('./rules-check.ts')
      done(await lintRules(files, options, terminal))
    })

  verb(
    'test [file...]',
    'run the tests of rules; of those that come with the gateway without files',
  )
    .option(...LISTS)
    .option('--json', 'print JSON')
    .action(async (files, options) => {
      const { testRules } = await import('./rules-check.ts')
      done(await testRules(files, options, terminal))
    })

  verb(
    'explain <method> <url>',
    'tell which rules a request matches and where, and why others do not',
  )
    .option('-c, --config <file>', "config with the rulesets; without it, 'managed'")
    .option('--rules <file>', "a ruleset instead of the config's; may be repeated", collect)
    .option('--ip <address>', 'address of the client')
    .option('-H, --header <header>', "a request header, 'name: value'; may be repeated", collect)
    .option('--body <text>', 'request body')
    .option('--route <id>', 'a route of the config; the one that takes the URL when not given')
    .option('--status <status>', 'status of a response, for the response rules')
    .option('--response-header <header>', 'a header of it; may be repeated', collect)
    .option('--response-body <text>', 'its body')
    .option('--all', 'a line for every rule')
    .option('--json', 'print JSON')
    .action(async (method, url, options) => {
      const { explainRules } = await import('./rules-explain.ts')
      done(await explainRules(method, url, options, terminal))
    })

  verb('diff <log>', 'replay recorded requests under two configs (exit code 3 when they differ)')
    .option('-c, --config <file>', 'config as it is', 'meridian.json')
    .option('--with <file>', 'config as it would be')
    .option('--samples <count>', 'most sample requests for each change', '3')
    .option('--json', 'print JSON')
    .action(async (log, options) => {
      const { diffRules } = await import('./rules-diff.ts')
      done(await diffRules(log, options, terminal))
    })

  verb('stats [file...]', 'count what is in rulesets')
    .option(...LISTS)
    .option('--json', 'print JSON')
    .action(async (files, options) => {
      const { rulesStats } = await import('./rules-stats.ts')
      done(await rulesStats(files, options, terminal))
    })

  verb('tune <log>', 'suggest exceptions from a JSON access log')
    .option('--min <count>', 'fewest requests that make a suggestion', '10')
    .option('--json', 'print JSON')
    .action(async (log, options) => {
      const { tuneRules } = await import('./rules-tune.ts')
      done(await tuneRules(log, options, terminal))
    })
}

function collect(value: string, earlier: readonly string[] | undefined): readonly string[] {
  return [...(earlier ?? []), value]
}
