/** `meridian check`: validates a config and says what is in it, or everything that is wrong. */
import { ConfigError } from '../config/errors.ts'
import type { MeridianConfig } from '../config/schema.ts'
import { ConfigFile } from '../runtimes/node/config-file.ts'
import { compileForCheck } from './compile-check.ts'
import { columns, EXIT, type ExitCode, type Terminal } from './terminal.ts'

export interface CheckOptions {
  readonly config: string
  readonly json?: boolean | undefined
}

export async function check(options: CheckOptions, terminal: Terminal): Promise<ExitCode> {
  try {
    const bundle = await new ConfigFile(options.config, { env: terminal.env }).load()
    const warnings = await compileForCheck(bundle)
    const summary = summarize(bundle.config)
    if (options.json === true) {
      terminal.out(
        `${JSON.stringify({ ok: true, file: bundle.path, warnings, summary }, null, 2)}\n`,
      )
    } else {
      for (const warning of warnings) terminal.err(`warning: ${warning}\n`)
      terminal.out(`${options.config} is valid\n\n${formatSummary(summary)}\n`)
    }
    return EXIT.ok
  } catch (error) {
    if (options.json !== true || !(error instanceof ConfigError)) throw error
    terminal.out(`${JSON.stringify({ ok: false, problems: error.problems }, null, 2)}\n`)
    return EXIT.failure
  }
}

export interface ConfigSummary {
  readonly listen: readonly string[]
  readonly workers: number | 'auto'
  readonly pools: readonly { readonly name: string; readonly origins: readonly string[] }[]
  readonly regions: readonly { readonly id: string; readonly pools: readonly string[] }[]
  readonly routes: readonly { readonly id: string; readonly match: string; readonly to: string }[]
  readonly counts: Readonly<Record<string, number>>
}

export function summarize(config: MeridianConfig): ConfigSummary {
  return {
    listen: config.listen.addresses.map(
      (entry) =>
        `${entry.protocol}://${entry.address.includes(':') ? `[${entry.address}]` : entry.address}:${entry.port}`,
    ),
    workers: config.workers,
    pools: Object.entries(config.pools).map(([name, pool]) => ({
      name,
      origins: pool.origins.map((origin) => origin.url),
    })),
    regions: config.regions.map(({ id, pools }) => ({ id, pools })),
    routes: config.routes.map((route) => ({
      id: route.id,
      match: matchText(route.match),
      to: targetText(route),
    })),
    counts: {
      lists: Object.keys(config.lists).length,
      limits: config.limits.length,
      issuers: config.iam?.issuers.length ?? 0,
      'WAF rulesets': config.waf?.mode === 'off' ? 0 : (config.waf?.rulesets.length ?? 0),
      'cached routes': config.routes.filter((route) => route.cache !== false).length,
      'protected routes': config.routes.filter(
        (route) => route.auth !== undefined && route.auth !== 'none',
      ).length,
    },
  }
}

type Route = MeridianConfig['routes'][number]

function matchText(match: Route['match']): string {
  if (typeof match === 'string') return match.length > 60 ? `${match.slice(0, 59)}…` : match
  const parts = [match.methods?.join(' '), many(match.host), many(match.path)]
  const text = parts.filter((part) => part !== undefined).join(' ')
  return text === '' ? 'everything' : text
}

function many(values: string | readonly string[] | undefined): string | undefined {
  return typeof values === 'string' ? values : values?.join('|')
}

function targetText(route: Route): string {
  if (route.redirect !== undefined) return `redirect ${route.redirect.status}`
  if (route.respond !== undefined) return `answer ${route.respond.status}`
  if (route.pools !== undefined) return `pools ${route.pools.join(', ')}`
  return route.regions === undefined ? 'all regions' : `regions ${route.regions.join(', ')}`
}

function formatSummary(summary: ConfigSummary): string {
  const rows = [
    ['listen', summary.listen.join(', ')],
    ['workers', String(summary.workers)],
    ...summary.pools.map((pool) => [`pool ${pool.name}`, pool.origins.join(', ')]),
    ...summary.regions.map((region) => [`region ${region.id}`, `pools ${region.pools.join(', ')}`]),
    ...summary.routes.map((route) => [`route ${route.id}`, `${route.match} -> ${route.to}`]),
    ...Object.entries(summary.counts)
      .filter(([, count]) => count > 0)
      .map(([what, count]) => [what, String(count)]),
  ]
  return columns(rows)
}
