/** `meridian rules diff`: recorded requests under two configs, and what the second would do otherwise. */
import type { Verdict } from '../exchange.ts'
import { type Rehearsed, WafRehearsal } from '../runtimes/node/waf-rehearsal.ts'
import { maskedMatch } from '../waf/mask.ts'
import { type Recorded, readRecording } from './recording.ts'
import { columns, EXIT, type ExitCode, type Terminal, UsageError } from './terminal.ts'

export interface RulesDiffOptions {
  readonly config: string
  /** The config that it is held against. */
  readonly with?: string | undefined
  /** Most sample requests for each change. */
  readonly samples: string
  readonly json?: boolean | undefined
}

/** What becomes of a request, and what a rule finds without deciding about it. */
const CHANGES = [
  'newly-blocked',
  'newly-passes',
  'blocked-otherwise',
  'other-route',
  'newly-matches',
  'no-longer-matches',
  'other-action',
] as const
type Change = (typeof CHANGES)[number]

interface Sample {
  readonly line: number
  readonly method: string
  readonly url: string
  /** From what to what. */
  readonly what: string
}

export interface RuleDifference {
  readonly change: Change
  readonly rule: string
  readonly ruleset: string
  /** Requests: a sampled line counts for what it stands for. */
  requests: number
  readonly samples: Sample[]
}

interface Totals {
  requests: number
  /** Without headers and body: access log lines keep neither. */
  partial: number
  newlyBlocked: number
  newlyPass: number
  blockedOtherwise: number
  /** The anomaly score is another one. */
  otherScore: number
  /** Refused before any rule sees them, with one config or both. */
  refused: number
}

export async function diffRules(
  log: string,
  options: RulesDiffOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  if (options.with === undefined) {
    throw new UsageError(
      '--with names the changed config',
      'meridian rules diff --config old.json --with new.json requests.ndjson',
    )
  }
  const most = Number(options.samples)
  if (!Number.isInteger(most) || most < 0) throw new UsageError('--samples takes a number from 0')
  const before = await WafRehearsal.open(options.config)
  const after = await WafRehearsal.open(options.with)
  const comparison = new Comparison(most)
  for await (const record of readRecording(log)) {
    comparison.add(record, await before.run(record.request), await after.run(record.request))
  }
  const { totals } = comparison
  const differences = comparison.differences()
  if (options.json === true) {
    terminal.out(`${JSON.stringify({ ...totals, differences }, null, 2)}\n`)
  } else {
    terminal.out(`${diffText(totals, differences)}\n`)
  }
  const isSame = differences.length === 0 && totals.otherScore === 0
  return isSame ? EXIT.ok : EXIT.differs
}

class Comparison {
  readonly totals: Totals = {
    requests: 0,
    partial: 0,
    newlyBlocked: 0,
    newlyPass: 0,
    blockedOtherwise: 0,
    otherScore: 0,
    refused: 0,
  }
  readonly #mostSamples: number
  readonly #found = new Map<string, RuleDifference>()

  constructor(mostSamples: number) {
    this.#mostSamples = mostSamples
  }

  add(record: Recorded, before: Rehearsed, after: Rehearsed): void {
    const { totals } = this
    const { weight } = record
    totals.requests += weight
    if (record.isPartial) totals.partial += weight
    if (before.refusal !== undefined || after.refusal !== undefined) totals.refused += weight
    if (before.route !== after.route) {
      const what = `${before.route ?? 'no route'} -> ${after.route ?? 'no route'}`
      this.#note('other-route', after.route ?? '-', 'routes', record, what)
    }
    this.#compareOutcomes(record, before, after)
    this.#compareVerdicts(record, before.verdicts, after.verdicts)
    if (scoreOf(before) !== scoreOf(after)) totals.otherScore += weight
  }

  #compareOutcomes(
    record: Recorded,
    { block: before }: Rehearsed,
    { block: after }: Rehearsed,
  ): void {
    const { totals } = this
    const what = `${outcome(before)} -> ${outcome(after)}`
    if (before === undefined && after !== undefined) {
      totals.newlyBlocked += record.weight
      this.#note('newly-blocked', after.rule, after.ruleset, record, what)
    } else if (before !== undefined && after === undefined) {
      totals.newlyPass += record.weight
      this.#note('newly-passes', before.rule, before.ruleset, record, what)
    } else if (before !== undefined && after !== undefined && outcome(before) !== outcome(after)) {
      totals.blockedOtherwise += record.weight
      this.#note('blocked-otherwise', after.rule, after.ruleset, record, what)
    }
  }

  #compareVerdicts(record: Recorded, before: readonly Verdict[], after: readonly Verdict[]): void {
    const earlier = byRule(before)
    const later = byRule(after)
    for (const [key, verdicts] of later) {
      const { rule, ruleset } = verdicts[0] as Verdict
      const known = earlier.get(key)
      const now = actions(verdicts)
      if (known === undefined) this.#note('newly-matches', rule, ruleset, record, `- -> ${now}`)
      else if (actions(known) !== now) {
        this.#note('other-action', rule, ruleset, record, `${actions(known)} -> ${now}`)
      }
    }
    for (const [key, verdicts] of earlier) {
      const { rule, ruleset } = verdicts[0] as Verdict
      if (later.has(key)) continue
      this.#note('no-longer-matches', rule, ruleset, record, `${actions(verdicts)} -> -`)
    }
  }

  #note(change: Change, rule: string, ruleset: string, record: Recorded, what: string): void {
    const key = `${change} ${ruleset} ${rule}`
    let one = this.#found.get(key)
    if (one === undefined) {
      one = { change, rule, ruleset, requests: 0, samples: [] }
      this.#found.set(key, one)
    }
    one.requests += record.weight
    if (one.samples.length >= this.#mostSamples) return
    const { method, url } = record.request
    one.samples.push({ line: record.line, method, url: maskedMatch('', url), what })
  }

  /** What becomes of requests first, then by how many. */
  differences(): RuleDifference[] {
    return [...this.#found.values()].sort(
      (a, b) =>
        CHANGES.indexOf(a.change) - CHANGES.indexOf(b.change) ||
        b.requests - a.requests ||
        (a.rule < b.rule ? -1 : 1),
    )
  }
}

function outcome(block: Rehearsed['block']): string {
  return block === undefined ? 'passes' : `${block.kind} ${block.status} by ${block.rule}`
}

function byRule(verdicts: readonly Verdict[]): Map<string, Verdict[]> {
  const rules = new Map<string, Verdict[]>()
  for (const verdict of verdicts) {
    const key = `${verdict.ruleset} ${verdict.rule}`
    const known = rules.get(key)
    if (known === undefined) rules.set(key, [verdict])
    else known.push(verdict)
  }
  return rules
}

/** The action, its score, and whether it is carried out; of a rule that matched twice, both. */
function actions(verdicts: readonly Verdict[]): string {
  return verdicts
    .map(({ action, score, enforced }) => {
      const text = score === undefined ? action : `${action} ${score}`
      return enforced || action === 'log' ? text : `${text} (simulated)`
    })
    .join(', ')
}

function scoreOf({ verdicts }: Rehearsed): number {
  return verdicts.reduce((sum, { score = 0 }) => sum + score, 0)
}

function diffText(totals: Totals, differences: readonly RuleDifference[]): string {
  const lines = [
    `${totals.requests} requests: ${totals.newlyBlocked} newly blocked, ${totals.newlyPass} newly pass, ` +
      `${totals.blockedOtherwise} blocked otherwise, ${totals.otherScore} with another score`,
  ]
  if (totals.partial > 0) {
    lines.push(`${totals.partial} of them from access log lines, without headers and body`)
  }
  if (totals.refused > 0) lines.push(`${totals.refused} of them refused before any rule sees them`)
  if (differences.length === 0) return lines.join('\n')
  const rows = differences.flatMap(({ change, rule, ruleset, requests, samples }) => [
    [change, rule, ruleset, String(requests), ''],
    ...samples.map(({ line, method, url, what }) => [
      '',
      '',
      '',
      '',
      `line ${line}: ${method} ${url}  ${what}`,
    ]),
  ])
  lines.push('', columns([['CHANGE', 'RULE', 'RULESET', 'REQUESTS', 'SAMPLES'], ...rows]))
  return lines.join('\n')
}
