/** The verbs of `meridian analytics` and their options. */
import type { Command } from 'commander'
import { CONFIG_DEFAULT, CONFIG_FLAG } from './config-argument.ts'
import type { ExitCode, Terminal } from './terminal.ts'

export const ANALYTICS_EXAMPLES = [
  'analytics top --by host,path --since 6h',
  'analytics errors --since 2026-11-24T06:00:00Z --until 2026-11-24T08:00:00Z',
  'analytics geo --limit 50',
  'analytics blocked --by rule,client --json',
  'analytics cost --since 7d --config meridian.json',
  "analytics sql 'SELECT country, count(*) FROM requests GROUP BY ALL'",
  'analytics tend --config meridian.json',
  'analytics top --dir /var/lib/meridian/analytics',
]

/** Verbs that count groups of requests: what they are for. */
const COUNTS = {
  top: 'what is asked for most, by path unless --by says otherwise',
  errors: 'answers 5xx and requests without an answer, by outcome and region',
  geo: 'where requests come from, by country',
  blocked: 'what was refused for the sake of security, by outcome and rule',
} as const

export function addAnalytics(
  analytics: Command,
  terminal: Terminal,
  done: (code: ExitCode) => void,
): void {
  const verb = (name: string, description: string): Command =>
    analytics
      .command(name)
      .description(description)
      .helpOption('-h, --help', 'print this help')
      .option(CONFIG_FLAG, 'config that names the folder', CONFIG_DEFAULT)
      .option('--dir <folder>', 'the folder itself; no config is read')

  const spanned = (command: Command): Command =>
    command
      .option('--since <time>', 'ended at this time or later: 30m, 24h, 7d, or ISO 8601', '24h')
      .option('--until <time>', 'ended before it', 'now')
      .option('--json', 'print JSON')

  verb('sql <query>', 'a question in SQL over the table `requests`; needs DuckDB')
    .option('--json', 'print JSON')
    .action(async (query, options) => {
      const { sql } = await import('./analytics/sql.ts')
      done(await sql(query, options, terminal))
    })

  analytics
    .command('views')
    .description('print views in SQL, for DuckDB without the gateway')
    .helpOption('-h, --help', 'print this help')
    .option('--dir <place>', 'folder or bucket of the files', '/var/lib/meridian/analytics')
    .action(async (options) => {
      const { views } = await import('./analytics/sql.ts')
      done(views(options, terminal))
    })

  analytics
    .command('tend')
    .description(
      'compact finished hours, upload, remove what is too old; a gateway does it by itself',
    )
    .helpOption('-h, --help', 'print this help')
    .option(CONFIG_FLAG, 'config that names the folder', CONFIG_DEFAULT)
    .option('--json', 'print JSON')
    .action(async (options) => {
      const { tendFolder } = await import('./analytics/tend.ts')
      done(await tendFolder(options, terminal))
    })

  for (const [name, description] of Object.entries(COUNTS)) {
    spanned(verb(name, description))
      .option('--by <fields>', 'fields to group by, with commas between')
      .option('--limit <count>', 'most groups', '20')
      .action(async (options) => {
        const { count } = await import('./analytics/count.ts')
        done(await count(name as keyof typeof COUNTS, options, terminal))
      })
  }

  spanned(
    verb('cost', 'what answers cost by region and route, and what cache and steering saved'),
  ).action(async (options) => {
    const { cost } = await import('./analytics/cost.ts')
    done(await cost(options, terminal))
  })
}
