/** `meridian rules explain`: which rules a request matches, where, and what would come of it. */

import * as v from 'valibot'
import { ConfigError, type ConfigProblem } from '../config/errors.ts'
import type { WafConfig } from '../config/sections/waf.ts'
import { WafSection } from '../config/sections/waf.ts'
import { Exchange, HeaderList, type Verdict } from '../exchange.ts'
import { Subject } from '../expression/expression.ts'
import { parseIp } from '../http/ip.ts'
import { canonicalTarget, splitAbsoluteForm } from '../http/target.ts'
import { ConfigFile } from '../runtimes/node/config-file.ts'
import { builtInRuleset } from '../runtimes/node/rulesets.ts'
import { stringToBytes, utf8ToBytes } from '../waf/bytes.ts'
import { scoreSubject } from '../waf/detect/score-subject.ts'
import { DETECTORS } from '../waf/detectors.ts'
import type { WafBlock } from '../waf/pass.ts'
import { Waf } from '../waf/waf.ts'
import { type ExplainOptions, parseRequest } from './explain.ts'
import { environmentOf, readRulesets } from './rules-files.ts'
import { columns, EXIT, type ExitCode, type Terminal, UsageError } from './terminal.ts'

export interface RulesExplainOptions extends Omit<ExplainOptions, 'config'> {
  readonly config?: string | undefined
  /** Rulesets instead of the config's. */
  readonly rules?: readonly string[] | undefined
  readonly body?: string | undefined
}

export async function explainRules(
  method: string,
  url: string,
  options: RulesExplainOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const query = parseRequest(method, url, { ...options, config: '' })
  const exchange = () => exchangeOf(query.method, query.url, query.headers, options)
  const enforced = inspect(await wafOf(options, 'enforce'), exchange())
  // Once more without acting: what ends a request hides the rules behind it.
  const simulated = inspect(await wafOf(options, 'simulate'), exchange())
  if (options.json === true) {
    const { block } = enforced
    terminal.out(
      `${JSON.stringify({ block: block ?? null, verdicts: simulated.verdicts }, null, 2)}\n`,
    )
    return EXIT.ok
  }
  terminal.out(`${matchText(simulated.verdicts)}\n\n${outcomeText(enforced.block)}\n`)
  return EXIT.ok
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

async function wafOf(options: RulesExplainOptions, mode: WafConfig['mode']): Promise<Waf> {
  const environment = await environmentOf(options.config)
  const problems: ConfigProblem[] = []
  let config: WafConfig
  let files: ReadonlyMap<string, string>
  if (options.rules !== undefined || options.config === undefined) {
    const rulesets = await readRulesets(options.rules ?? ['managed'])
    files = new Map(rulesets.map(({ name, text }, i) => [`./${i}/${name}`, text]))
    config = v.parse(WafSection, { rulesets: [...files.keys()].map((file) => ({ file })) })
  } else {
    const bundle = await new ConfigFile(options.config).load()
    files = bundle.files
    config = bundle.config.waf
  }
  const waf = new Waf(
    { ...config, mode },
    [undefined],
    { environment, detectors: DETECTORS, builtIn: builtInRuleset, files, score: scoreSubject },
    (path, message, hint) => problems.push({ path, message, hint }),
  )
  if (problems.length > 0) throw new ConfigError(problems)
  return waf
}

function inspect(
  waf: Waf,
  exchange: Exchange,
): { block: WafBlock | undefined; verdicts: readonly Verdict[] } {
  const pass = waf.route(0)?.begin(new Subject(exchange))
  if (pass === undefined) return { block: undefined, verdicts: [] }
  let block = pass.head()
  if (block === undefined && exchange.body !== null) {
    const wanted = pass.bodyBytes
    const bytes = exchange.body.open()
    const whole = bytes instanceof Uint8Array ? bytes : new Uint8Array(0)
    block = pass.body(
      wanted === 0
        ? undefined
        : { bytes: whole.subarray(0, wanted), truncated: whole.length > wanted },
    )
  }
  return { block, verdicts: pass.finish() }
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
