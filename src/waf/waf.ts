/**
 * The WAF of one config: native rulesets in order, then the imported CRS, with exceptions and per-route
 * settings. Immutable; a reload compiles another one. `RouteWaf.begin` gives a request its pass.
 */
import type { Report } from '../config/errors.ts'
import type { RouteWafConfig, WafConfig } from '../config/sections/waf.ts'
import type { Environment, Subject } from '../expression/expression.ts'
import type { BodyLimits } from './body/limits.ts'
import { LEAK_KINDS, type LeakKind } from './detect/leak.ts'
import { Engine } from './engine/engine.ts'
import type { Detectors } from './engine/operators.ts'
import { type SeclangRuleset, SeclangRulesetSchema } from './engine/rule-schema.ts'
import { type ActiveException, ExceptionCompiler } from './exceptions.ts'
import { type Clearance, WafPass } from './pass.ts'
import {
  type CompiledNativeRule,
  type CompiledNativeRuleset,
  compileNative,
} from './rules/native.ts'
import { RulesetSchema } from './rules/rule-schema.ts'
import {
  changedSeclang,
  isSeclang,
  loadRulesets,
  parseRuleset,
  type RulesetTexts,
} from './rulesets.ts'
import type { WafTrace } from './trace.ts'

export interface WafOptions extends RulesetTexts {
  readonly environment: Environment
  readonly detectors: Detectors
  /** Puts attack scores on a subject, for rules that read them. */
  readonly score?: ((subject: Subject) => void) | undefined
}

export class Waf {
  readonly config: WafConfig
  readonly native: readonly CompiledNativeRule[]
  readonly rulesets: readonly CompiledNativeRuleset[]
  readonly engine: Engine | undefined
  readonly engineName: string
  readonly limits: BodyLimits
  readonly score: ((subject: Subject) => void) | undefined
  /** What is legal and likely a mistake, for people, once at load. */
  readonly warnings: readonly string[]
  readonly #routes: readonly (RouteWaf | undefined)[]

  /**
   * @param routes settings of each route, by index; false for a route that is not inspected
   * @param report hears of every problem; the WAF must not be used after one
   */
  constructor(
    config: WafConfig,
    routes: readonly (RouteWafConfig | false | undefined)[],
    options: WafOptions,
    report: Report,
  ) {
    this.config = config
    const { arguments: args, depth, parts } = config.bodies
    this.limits = { arguments: args, depth, parts }
    this.score = options.score
    const loaded = loadRulesets(config, options, report)
    const compiler = new ExceptionCompiler(options.environment, report)
    const all = compiler.gather(config, routes)

    const native: CompiledNativeRuleset[] = []
    const seclang: SeclangRuleset[] = []
    for (const ruleset of loaded) {
      if (isSeclang(ruleset.json)) {
        const parsed = parseRuleset(SeclangRulesetSchema, ruleset, report)
        if (parsed !== undefined) seclang.push(changedSeclang(parsed, ruleset))
        continue
      }
      const parsed = parseRuleset(RulesetSchema, ruleset, report)
      if (parsed === undefined) continue
      const { environment, score, areTested = false } = options
      const { mode, changes } = ruleset
      const settings = { environment, mode, changes, score, areTested }
      native.push(compileNative(parsed, settings, ruleset.path, report))
    }
    this.rulesets = native
    this.warnings = native.flatMap((ruleset) => ruleset.warnings)
    const dropped = compiler.droppedBy(native, config.exceptions)
    this.native = native.flatMap((ruleset) => ruleset.rules).filter((rule) => !dropped.has(rule))
    this.engineName = seclang[0]?.ruleset ?? ''
    this.engine =
      seclang.length === 0
        ? undefined
        : new Engine(
            seclang,
            {
              detectors: options.detectors,
              settings: crsSettings(config),
              exclusions: all.map(({ exclusion }) => exclusion),
              limits: this.limits,
              workBudget: config.workBudget === 0 ? Number.MAX_SAFE_INTEGER : config.workBudget,
            },
            report,
          )
    compiler.checkIds(all, native, this.engine, report)
    for (const [r, route] of routes.entries()) {
      const leaks = route === false ? undefined : route?.leaks
      if (leaks === undefined || leaks === 'off' || config.responses.body) continue
      const hint = 'set "responses": { "body": true } in "waf"'
      report(`routes[${r}].waf.leaks`, 'response bodies are not inspected', hint)
    }
    this.#routes = routes.map((route, index) =>
      route === false ? undefined : new RouteWaf(this, route, compiler.active(all, index, native)),
    )
  }

  /** Whether a rule asks for challenges. */
  get challenges(): boolean {
    return this.native.some((rule) => rule.action === 'challenge')
  }

  /** The WAF as a route has it; undefined when the route, or everything, is not inspected. */
  route(index: number): RouteWaf | undefined {
    const route = this.#routes[index]
    return route === undefined || route.mode === 'off' ? undefined : route
  }
}

/** The WAF with one route's settings. */
export class RouteWaf {
  readonly waf: Waf
  readonly mode: 'enforce' | 'simulate' | 'off'
  /** Percent of requests that are only simulated. */
  readonly simulateShare: number
  readonly inspectBytes: number
  readonly oversize: 'inspect-prefix' | 'block' | 'skip'
  readonly invalid: 'flag' | 'block'
  /** Most bytes of one compressed byte. */
  readonly ratio: number
  readonly leaks: 'off' | 'log' | 'block'
  readonly onBudget: 'open' | 'closed'
  /** Request rules in order. */
  readonly request: readonly CompiledNativeRule[]
  readonly response: readonly CompiledNativeRule[]
  /** Those to be asked or applied at each request. */
  readonly #exceptions: readonly ActiveException[]
  readonly #excusedLeaks: ReadonlySet<LeakKind> | undefined
  readonly #all: readonly ActiveException[]

  constructor(waf: Waf, route: RouteWafConfig | undefined, exceptions: readonly ActiveException[]) {
    const { config } = waf
    this.waf = waf
    this.mode = config.mode === 'off' ? 'off' : (route?.mode ?? config.mode)
    this.simulateShare = route?.simulateShare ?? 0
    this.inspectBytes = route?.inspect ?? config.bodies.inspect
    this.oversize = route?.oversize ?? config.bodies.oversize
    this.invalid = route?.invalid ?? config.bodies.invalid
    this.ratio = route?.ratio ?? config.bodies.ratio
    this.onBudget = route?.onBudget ?? config.onBudget
    const always = exceptions.filter((exception) => exception.when === undefined)
    const rules = waf.native.filter((rule) => !always.some(({ native }) => native.has(rule)))
    this.request = rules.filter((rule) => rule.phase === 'request')
    this.response = rules.filter((rule) => rule.phase === 'response')
    this.#all = exceptions
    this.#exceptions = exceptions.filter(
      ({ when, exclusion }) => when !== undefined || exclusion >= 0,
    )
    this.#excusedLeaks = always.reduce<ReadonlySet<LeakKind> | undefined>(
      (sum, { leaks }) => union(sum, leaks),
      undefined,
    )
    const seeksNone = this.#excusedLeaks?.size === LEAK_KINDS.length
    this.leaks = seeksNone ? 'off' : (route?.leaks ?? config.responses.leaks)
  }

  /**
   * Starts a request's inspection; call its steps in order, and `finish` at the end.
   * @param trace hears what becomes of each rule
   */
  begin(subject: Subject, clearance?: Clearance, trace?: WafTrace): WafPass {
    let exclusions: number[] | undefined
    let excepted: Set<CompiledNativeRule> | undefined
    let leaks = this.#excusedLeaks
    for (const exception of this.#exceptions) {
      if (exception.when !== undefined && !exception.when(subject)) continue
      if (exception.exclusion >= 0) {
        exclusions ??= []
        exclusions.push(exception.exclusion)
      }
      if (exception.when === undefined) continue
      leaks = union(leaks, exception.leaks)
      excepted ??= new Set()
      for (const rule of exception.native) excepted.add(rule)
    }
    if (trace !== undefined) {
      trace.exceptions = this.#all.filter(({ when }) => when === undefined || when(subject))
    }
    const isSimulated = trace?.isSimulated === true || this.#isSimulated(subject)
    return new WafPass(this, subject, isSimulated, exclusions, excepted, clearance, leaks, trace)
  }

  #isSimulated(subject: Subject): boolean {
    if (this.mode === 'simulate') return true
    if (this.simulateShare === 0) return false
    return shareOf(subject.exchange.id) < this.simulateShare
  }
}

function union<T>(
  a: ReadonlySet<T> | undefined,
  b: ReadonlySet<T> | undefined,
): ReadonlySet<T> | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return new Set([...a, ...b])
}

/** 0 to 100 from the request id (FNV-1a): the same request falls on the same side on every node. */
function shareOf(id: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193)
  return ((hash >>> 0) / 2 ** 32) * 100
}

/** The config's CRS settings as TX variables. */
function crsSettings(config: WafConfig): ReadonlyMap<string, string> {
  const { crs } = config
  const settings = new Map<string, string>([
    ['blocking_paranoia_level', String(crs.paranoiaLevel)],
    ['detection_paranoia_level', String(crs.detectionParanoiaLevel ?? crs.paranoiaLevel)],
    ['inbound_anomaly_score_threshold', String(crs.inboundThreshold)],
    ['outbound_anomaly_score_threshold', String(crs.outboundThreshold)],
    ['early_blocking', crs.earlyBlocking ? '1' : '0'],
    ['sampling_percentage', String(crs.sampling)],
  ])
  for (const [name, value] of Object.entries(crs.settings)) settings.set(name, String(value))
  return settings
}
