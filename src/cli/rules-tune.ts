/** `meridian rules tune`: what an access log says about rules, with exceptions that are ready to use. */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import {
  CommandError,
  columns,
  EXIT,
  type ExitCode,
  type Terminal,
  UsageError,
} from './terminal.ts'

export interface RulesTuneOptions {
  /** Fewest requests that make a suggestion. */
  readonly min: string
  readonly json?: boolean | undefined
}

interface Tally {
  readonly rule: string
  readonly target: string
  /** Requests: a sampled line counts for what it stands for. */
  requests: number
  blocked: number
  /** By path; no more than a few are kept. */
  readonly paths: Map<string, number>
}

export interface Suggestion {
  readonly rule: string
  readonly target: string
  readonly requests: number
  readonly blocked: number
  readonly paths: number
  /** For `waf.exceptions`. */
  readonly exception: Readonly<Record<string, unknown>>
}

const MAX_PATHS = 1000
/** The WAF's own decisions are settings, no rules: there is nothing to except. */
const OWN = new Set(['anomaly-threshold', 'body-too-long', 'invalid-body', 'work-budget'])

export async function tuneRules(
  log: string,
  options: RulesTuneOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const min = Number(options.min)
  if (!Number.isInteger(min) || min < 1) throw new UsageError('--min takes a number from 1')
  const { tallies, unread } = await readLog(log)
  const suggestions = suggest(tallies, min)
  if (options.json === true) {
    terminal.out(`${JSON.stringify(suggestions, null, 2)}\n`)
  } else if (suggestions.length === 0) {
    terminal.out(`no rule matched ${min} requests or more\n`)
  } else {
    const rows = suggestions.map((one) => [
      one.rule,
      one.target === '' ? '-' : one.target,
      String(one.requests),
      String(one.blocked),
      String(one.paths),
      JSON.stringify(one.exception),
    ])
    terminal.out(
      `${columns([['RULE', 'TARGET', 'REQUESTS', 'BLOCKED', 'PATHS', 'EXCEPTION'], ...rows])}\n`,
    )
  }
  if (unread > 0) terminal.err(`${unread} lines are no JSON access log lines\n`)
  return EXIT.ok
}

async function readLog(path: string): Promise<{ tallies: Tally[]; unread: number }> {
  const tallies = new Map<string, Tally>()
  let unread = 0
  try {
    for await (const line of createInterface({ input: createReadStream(path, 'utf8') })) {
      if (line === '') continue
      const entry = parsed(line)
      if (entry === undefined) unread++
      else tally(entry, tallies)
    }
  } catch (error) {
    throw new CommandError(
      `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      undefined,
      { cause: error },
    )
  }
  return { tallies: [...tallies.values()], unread }
}

interface LogLine {
  readonly path?: unknown
  readonly rules?: unknown
  readonly rule_targets?: unknown
  readonly blocked?: unknown
  readonly weight?: unknown
}

function parsed(line: string): LogLine | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function tally(line: LogLine, tallies: Map<string, Tally>): void {
  if (!Array.isArray(line.rules)) return
  const targets: readonly unknown[] = Array.isArray(line.rule_targets) ? line.rule_targets : []
  const weight = typeof line.weight === 'number' ? line.weight : 1
  const path = typeof line.path === 'string' ? line.path : ''
  const seen = new Set<string>()
  for (const [i, name] of line.rules.entries()) {
    const rule = String(name)
    const target = typeof targets[i] === 'string' ? targets[i] : ''
    const key = `${rule} ${target}`
    if (OWN.has(rule) || seen.has(key)) continue
    seen.add(key)
    let one = tallies.get(key)
    if (one === undefined) {
      one = { rule, target, requests: 0, blocked: 0, paths: new Map() }
      tallies.set(key, one)
    }
    one.requests += weight
    if (line.blocked === true) one.blocked += weight
    if (one.paths.has(path) || one.paths.size < MAX_PATHS) {
      one.paths.set(path, (one.paths.get(path) ?? 0) + weight)
    }
  }
}

/** Most frequent first. */
export function suggest(tallies: readonly Tally[], min: number): Suggestion[] {
  return tallies
    .filter(({ requests }) => requests >= min)
    .sort((a, b) => b.requests - a.requests || (a.rule < b.rule ? -1 : 1))
    .map(({ rule, target, requests, blocked, paths }) => ({
      rule,
      target,
      requests,
      blocked,
      paths: paths.size,
      exception: exceptionFor(rule, target, [...paths.keys()]),
    }))
}

/** As narrow as the log allows: few paths are named, and of CRS rules only the target is left out. */
function exceptionFor(
  rule: string,
  target: string,
  paths: readonly string[],
): Readonly<Record<string, unknown>> {
  const isSeclang = /^\d+$/.test(rule)
  const isNarrow = isSeclang ? /^[A-Z_]+(:.+)?$/.test(target) : target.startsWith('leak:')
  const quoted = paths.map((path) => JSON.stringify(path))
  const when =
    paths.length > 5
      ? undefined
      : quoted.length === 1
        ? `http.request.uri.path eq ${quoted[0]}`
        : `http.request.uri.path in {${quoted.join(' ')}}`
  return {
    ...(when === undefined ? {} : { when }),
    ids: [isSeclang ? Number(rule) : rule],
    ...(isNarrow ? { target } : {}),
  }
}
