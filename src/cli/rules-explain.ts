/** `meridian rules explain`: which rules a request matches, where, what would come of it, and which were not asked. */

import * as v from 'valibot'
import type { ExplainQuery } from '../admin/view.ts'
import { ConfigError, type ConfigProblem } from '../config/errors.ts'
import { WafSection } from '../config/sections/waf.ts'
import { Exchange, HeaderList, type Verdict } from '../exchange.ts'
import { Subject } from '../expression/expression.ts'
import { parseIp } from '../http/ip.ts'
import { canonicalTarget, splitAbsoluteForm } from '../http/target.ts'
import type { Passage } from '../passage.ts'
import { builtInRuleset } from '../runtimes/node/rulesets.ts'
import {
  type Judgement,
  judge,
  type RehearsedResponse,
  WafRehearsal,
} from '../runtimes/node/waf-rehearsal.ts'
import { stringToBytes, utf8ToBytes } from '../waf/bytes.ts'
import { scoreSubject } from '../waf/detect/score-subject.ts'
import { DETECTORS } from '../waf/detectors.ts'
import type { WafBlock } from '../waf/pass.ts'
import { type RuleStory, WafTrace } from '../waf/trace.ts'
import { type RouteWaf, Waf } from '../waf/waf.ts'
import { type ExplainOptions, parseHeader, parseRequest } from './explain.ts'
import { environmentOf, readRulesets } from './rules-files.ts'
import {
  CommandError,
  columns,
  EXIT,
  type ExitCode,
  type Terminal,
  UsageError,
} from './terminal.ts'

export interface RulesExplainOptions extends Omit<ExplainOptions, 'config'> {
  readonly config?: string | undefined
  /** Rulesets instead of the config's. */
  readonly rules?: readonly string[] | undefined
  /** A route of the config, instead of the one that takes the URL. */
  readonly route?: string | undefined
  readonly body?: string | undefined
  readonly status?: string | undefined
  readonly responseHeader?: readonly string[] | undefined
  readonly responseBody?: string | undefined
  /** A line for every rule. */
  readonly all?: boolean | undefined
}

/** What is asked, and whom. */
interface Question {
  /** Undefined without a config. */
  readonly route: string | undefined
  readonly waf: RouteWaf | undefined
  /** Afresh for each look: inspecting leaves its marks. */
  readonly exchange: () => Pick<Passage, 'subject' | 'body'>
}

export async function explainRules(
  method: string,
  url: string,
  options: RulesExplainOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const query = parseRequest(method, url, { ...options, config: '' })
  const response = responseOf(options)
  const hasConfig = options.rules === undefined && options.config !== undefined
  if (options.route !== undefined && !hasConfig) {
    throw new UsageError('--route names a route of a config, which --config names')
  }
  const { route, waf, exchange } = await (hasConfig
    ? askConfig(query, options)
    : askRulesets(query, options))
  const trace = new WafTrace()
  const enforced = waf === undefined ? NOTHING : await judge(waf, exchange(), response, trace)
  // Once more without acting: what ends a request hides the rules behind it.
  const simulated =
    waf === undefined ? NOTHING : await judge(waf, exchange(), response, new WafTrace(true))
  const rules = waf === undefined ? [] : trace.stories(waf)
  const { block } = enforced
  const { verdicts } = simulated
  if (options.json === true) {
    const answer = { route, inspected: waf !== undefined, block: block ?? null, verdicts, rules }
    terminal.out(`${JSON.stringify(answer, null, 2)}\n`)
    return EXIT.ok
  }
  const parts = [matchText(verdicts), outcomeText(block)]
  if (waf === undefined) parts.shift()
  if (route !== undefined) {
    const what = waf === undefined ? 'not inspected' : waf.mode
    parts.unshift(`route ${route}: ${what}`)
  }
  const told = options.all === true ? allText(rules) : silentText(rules)
  if (told !== '') parts.push(told)
  terminal.out(`${parts.join('\n\n')}\n`)
  return EXIT.ok
}

const NOTHING: Judgement = { block: undefined, verdicts: [] }

/** The response that response rules are asked about; undefined when none is given. */
function responseOf(options: RulesExplainOptions): RehearsedResponse | undefined {
  const { status = '200', responseHeader = [], responseBody } = options
  if (options.status === undefined && responseHeader.length === 0 && responseBody === undefined) {
    return undefined
  }
  if (!/^[1-5]\d\d$/.test(status)) throw new UsageError('--status takes a status from 100 to 599')
  const headers = responseHeader.map(parseHeader)
  if (responseBody !== undefined && !headers.some(([name]) => /^content-type$/i.test(name))) {
    headers.push(['content-type', 'text/html'])
  }
  return {
    status: Number(status),
    headers: headers.map(([name, value]) => [name, utf8ToBytes(value)]),
    body: responseBody === undefined ? undefined : stringToBytes(utf8ToBytes(responseBody)),
  }
}

/** The config as it would be loaded: its front, its router, the settings of its route. */
async function askConfig(query: ExplainQuery, options: RulesExplainOptions): Promise<Question> {
  const rehearsal = await WafRehearsal.open(options.config as string)
  const request = {
    ...query,
    url: utf8ToBytes(query.url),
    headers: query.headers.map(([name, value]): [string, string] => [name, utf8ToBytes(value)]),
    body: options.body === undefined ? undefined : stringToBytes(utf8ToBytes(options.body)),
  }
  const exchange = (): Passage => rehearsal.admit(request)
  const first = exchange()
  if (first.refusal !== undefined) {
    throw new UsageError(`the request is refused before any rule sees it: ${first.refusal}`)
  }
  if (options.route === undefined) {
    if (first.plan === undefined)
      throw new CommandError('no route of the config takes this request')
    return { route: first.plan.ref.id, waf: first.plan.waf, exchange }
  }
  const waf = rehearsal.wafOf(options.route)
  if (waf === undefined) {
    const known = rehearsal.bundle.config.routes.map(({ id }) => id).join(', ')
    throw new UsageError(`there is no route "${options.route}"`, `the routes are ${known}`)
  }
  return { route: options.route, waf: waf ?? undefined, exchange }
}

/** Rulesets alone, as if every request were theirs. */
async function askRulesets(query: ExplainQuery, options: RulesExplainOptions): Promise<Question> {
  const environment = await environmentOf(options.config)
  const problems: ConfigProblem[] = []
  const rulesets = await readRulesets(options.rules ?? ['managed'])
  const files = new Map(rulesets.map(({ name, text }, i) => [`./${i}/${name}`, text]))
  const config = v.parse(WafSection, {
    rulesets: [...files.keys()].map((file) => ({ file })),
    responses: { body: true },
  })
  const waf = new Waf(
    config,
    [undefined],
    { environment, detectors: DETECTORS, builtIn: builtInRuleset, files, score: scoreSubject },
    (path, message, hint) => problems.push({ path, message, hint }),
  )
  if (problems.length > 0) throw new ConfigError(problems)
  const exchange = () => {
    const x = exchangeOf(query.method, query.url, query.headers, options)
    return { subject: new Subject(x), body: x.body }
  }
  return { route: undefined, waf: waf.route(0), exchange }
}

function allText(rules: readonly RuleStory[]): string {
  return columns([
    ['RULE', 'RULESET', 'PHASE', 'FATE', 'WHY'],
    ...rules.map(({ rule, ruleset, phase, fate, why }) => [rule, ruleset, phase, fate, why]),
  ])
}

/** Most rules of one kind that are named. */
const MAX_NAMED = 8

/** Rules that were not asked, by reason; empty when all were. */
function silentText(rules: readonly RuleStory[]): string {
  const groups = new Map<string, string[]>()
  for (const { rule, fate, why } of rules) {
    if (fate === 'matched' || fate === 'no-match') continue
    const key = why === '' ? fate : `${fate}, ${why}`
    const known = groups.get(key)
    if (known === undefined) groups.set(key, [rule])
    else known.push(rule)
  }
  if (groups.size === 0) return ''
  const lines = [...groups].map(([reason, ids]) => {
    const more = ids.length > MAX_NAMED ? ` and ${ids.length - MAX_NAMED} more` : ''
    return `  ${reason}: ${ids.slice(0, MAX_NAMED).join(', ')}${more}`
  })
  return ['rules that were not asked', ...lines].join('\n')
}

function matchText(verdicts: readonly Verdict[]): string {
  if (verdicts.length === 0) return 'no rule matches'
  return columns([
    ['RULE', 'RULESET', 'ACTION', 'TARGET', 'MATCH', 'WHAT'],
    ...verdicts.map((one) => [
      one.rule,
      one.ruleset,
      one.score === undefined ? one.action : `${one.action} ${one.score}`,
      one.target ?? '-',
      one.match ?? '-',
      one.description,
    ]),
  ])
}

function outcomeText(block: WafBlock | undefined): string {
  if (block === undefined) return 'the request passes'
  return `the request ends here: ${block.kind} ${block.status} by ${block.rule} of ${block.ruleset}`
}

function exchangeOf(
  method: string,
  url: string,
  headers: readonly (readonly [string, string])[],
  options: RulesExplainOptions,
): Exchange {
  const absolute = splitAbsoluteForm(url)
  const target = canonicalTarget(utf8ToBytes(absolute?.rest ?? url))
  if (typeof target === 'string') {
    throw new UsageError(`the URL is refused before any rule sees it: ${target}`)
  }
  const authority = absolute?.authority ?? 'localhost'
  const flat = headers.flatMap(([name, value]) => [name, utf8ToBytes(value)])
  if (!headers.some(([name]) => name.toLowerCase() === 'host')) flat.unshift('Host', authority)
  const body = options.body === undefined ? undefined : stringToBytes(utf8ToBytes(options.body))
  const ip = parseIp(options.ip ?? '192.0.2.1')
  return new Exchange({
    id: 'explain',
    startedAt: Date.now(),
    method,
    scheme: absolute?.scheme === 'http' ? 'http' : 'https',
    httpVersion: '1.1',
    authority,
    host: authority.replace(/:\d*$/, ''),
    target,
    headers: new HeaderList(flat),
    client: { ip, port: 0, peer: ip, viaTrustedProxy: false, tls: null },
    body:
      body === undefined
        ? null
        : {
            length: body.length,
            prefix: (limit) => ({ bytes: body.subarray(0, limit), truncated: body.length > limit }),
            open: () => body,
            isReplayable: true,
            discard: () => {},
          },
  })
}
