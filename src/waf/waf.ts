/**
 * The WAF of one config: native rulesets in order, then the imported CRS, with exceptions and per-route
 * settings. Immutable; a reload compiles another one. `RouteWaf.begin` gives a request its pass.
 */
import * as v from 'valibot'
import type { Report } from '../config/errors.ts'
import type { RouteWafConfig, WafConfig, WafException } from '../config/sections/waf.ts'
import {
  compileExpression,
  type Environment,
  ExpressionError,
  type Subject,
} from '../expression/expression.ts'
import type { BodyLimits } from './body/limits.ts'
import { DATA_LEAK, LEAK_KINDS, LEAK_TARGET, type LeakKind } from './detect/leak.ts'
import { Engine, type Exclusion } from './engine/engine.ts'
import type { Detectors } from './engine/operators.ts'
import { type SeclangRuleset, SeclangRulesetSchema } from './engine/rule-schema.ts'
import { type Clearance, WafPass } from './pass.ts'
import { fromCloudflare, isCloudflareRuleset } from './rules/cloudflare.ts'
import {
  type CompiledNativeRule,
  type CompiledNativeRuleset,
  compileNative,
  type RuleChange,
} from './rules/native.ts'
import { RulesetSchema } from './rules/rule-schema.ts'
import type { HeldException, WafTrace } from './trace.ts'

export interface WafOptions {
  readonly environment: Environment
  readonly detectors: Detectors
  /** Text of a ruleset that comes with the gateway; undefined when it is not there. */
  readonly builtIn: (name: string) => string | undefined
  /** Contents of the files that the config names, by path as written. */
  readonly files: ReadonlyMap<string, string>
  /** Puts attack scores on a subject, for rules that read them. */
  readonly score?: ((subject: Subject) => void) | undefined
}

/** An exception with its condition compiled. */
interface ActiveException extends HeldException {
  readonly when: ((subject: Subject) => boolean) | undefined
  /** Index of the engine's conditional exclusion; -1 when it names no CRS rule. */
  readonly exclusion: number
  readonly native: ReadonlySet<CompiledNativeRule>
  /** Kinds of leaks that are let off. */
  readonly leaks: ReadonlySet<LeakKind> | undefined
}

const LEAK_HINT = `one of ${LEAK_KINDS.map((kind) => `"${LEAK_TARGET}${kind}"`).join(', ')}`

interface LoadedRuleset {
  readonly path: string
  readonly mode: 'enforce' | 'simulate'
  readonly changes: readonly RuleChange[]
  readonly json: unknown
  readonly name: string
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
      const { environment, score } = options
      const { mode, changes } = ruleset
      native.push(
        compileNative(parsed, { environment, mode, changes, score }, ruleset.path, report),
      )
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

function loadRulesets(config: WafConfig, options: WafOptions, report: Report): LoadedRuleset[] {
  const loaded: LoadedRuleset[] = []
  for (const [i, entry] of config.rulesets.entries()) {
    const path = `waf.rulesets[${i}]`
    const settings = typeof entry === 'string' ? undefined : entry
    const file = settings !== undefined && 'file' in settings ? settings.file : undefined
    const name = typeof entry === 'string' ? entry : 'name' in entry ? entry.name : entry.file
    const text = file === undefined ? options.builtIn(name) : options.files.get(file)
    if (text === undefined) {
      report(path, file === undefined ? `the ruleset "${name}" is missing` : `${file} was not read`)
      continue
    }
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch (thrown) {
      report(path, `${name} is not JSON: ${thrown instanceof Error ? thrown.message : ''}`)
      continue
    }
    if (isCloudflareRuleset(json)) {
      const short = name
        .replace(/^.*\//, '')
        .replace(/\.json$/i, '')
        .toLowerCase()
      json = fromCloudflare(json, short.replace(/[^a-z0-9._-]/g, '-'), (at, message) =>
        report(`${path}.${at}`, message),
      )
    }
    const changes = (settings?.overrides ?? []).map((override) => ({
      ...override,
      ids: override.ids?.map(String),
    }))
    loaded.push({ path, mode: settings?.mode ?? 'enforce', changes, json, name })
  }
  return loaded
}

/** SecLang rules have targets; an empty ruleset is native. */
function isSeclang(json: unknown): boolean {
  if (typeof json !== 'object' || json === null || !('rules' in json)) return false
  const { rules } = json
  if (!Array.isArray(rules)) return false
  return rules.some(
    (rule: unknown) =>
      typeof rule === 'object' && rule !== null && ('targets' in rule || 'marker' in rule),
  )
}

function parseRuleset<const S extends v.GenericSchema>(
  schema: S,
  { json, path }: LoadedRuleset,
  report: Report,
): v.InferOutput<S> | undefined {
  const result = v.safeParse(schema, json)
  if (result.success) return result.output
  for (const issue of result.issues.slice(0, 20)) {
    const at = (v.getDotPath(issue) ?? '').replace(/\.(\d+)(?=\.|$)/g, '[$1]')
    report(at === '' ? path : `${path}.${at}`, issue.message)
  }
  return undefined
}

function changedSeclang(ruleset: SeclangRuleset, loaded: LoadedRuleset): SeclangRuleset {
  if (loaded.mode === 'enforce' && loaded.changes.length === 0) return ruleset
  const rules = ruleset.rules.map((rule) => {
    if ('marker' in rule) return rule
    let result = loaded.mode === 'simulate' ? { ...rule, mode: loaded.mode } : rule
    for (const change of loaded.changes) {
      const isMeant =
        change.ids?.some((id) => matches(rule.id, id)) ||
        change.tags?.some((tag) => rule.tags?.includes(tag))
      if (!isMeant) continue
      result = {
        ...result,
        enabled: change.enabled ?? result.enabled ?? true,
        mode: change.mode ?? result.mode ?? 'enforce',
      }
    }
    return result
  })
  return { ...ruleset, rules }
}

function matches(id: number, text: string): boolean {
  const range = /^(\d+)-(\d+)$/.exec(text)
  return range === null ? text === String(id) : id >= Number(range[1]) && id <= Number(range[2])
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

interface GatheredException {
  readonly source: WafException
  readonly path: string
  /** Undefined for all routes. */
  readonly route: number | undefined
  readonly when: ((subject: Subject) => boolean) | undefined
  readonly exclusion: Exclusion
  readonly leaks: ReadonlySet<LeakKind> | undefined
}

/** Exceptions of the config and of its routes, as conditions and as the engine's exclusions. */
class ExceptionCompiler {
  readonly #environment: Environment
  readonly #report: Report

  constructor(environment: Environment, report: Report) {
    this.#environment = environment
    this.#report = report
  }

  gather(
    config: WafConfig,
    routes: readonly (RouteWafConfig | false | undefined)[],
  ): GatheredException[] {
    const all = config.exceptions.map((e, i) => this.#one(e, `waf.exceptions[${i}]`, undefined))
    for (const [r, route] of routes.entries()) {
      if (route === false || route === undefined) continue
      for (const [i, exception] of route.exceptions.entries()) {
        all.push(this.#one(exception, `routes[${r}].waf.exceptions[${i}]`, r))
      }
    }
    return all
  }

  #one(source: WafException, path: string, route: number | undefined): GatheredException {
    if (source.ids === undefined && source.tags === undefined && source.rulesets === undefined) {
      this.#report(path, 'an exception says what is let off: ids, tags or rulesets')
    }
    const when =
      source.when === undefined ? undefined : this.#condition(source.when, `${path}.when`)
    const isOfLeak = source.target?.startsWith(LEAK_TARGET) === true
    const numeric = isOfLeak
      ? []
      : (source.ids ?? []).map(String).filter((id) => /^\d+(-\d+)?$/.test(id))
    return {
      source,
      path,
      route,
      when,
      exclusion: {
        ids: numeric,
        tags: isOfLeak ? [] : (source.tags ?? []),
        ...(source.target === undefined || isOfLeak ? {} : { target: source.target }),
        isConditional: when !== undefined || route !== undefined,
      },
      leaks: this.#leaks(source, path),
    }
  }

  /** Kinds of leaks that an exception lets off; undefined when it is about other rules. */
  #leaks(
    { ids, target, tags, rulesets }: WafException,
    path: string,
  ): ReadonlySet<LeakKind> | undefined {
    const isLeak = ids?.includes(DATA_LEAK) === true
    const kind = target?.startsWith(LEAK_TARGET) ? target.slice(LEAK_TARGET.length) : undefined
    if (kind === undefined) {
      if (isLeak && target !== undefined) {
        this.#report(`${path}.target`, `a target of "${DATA_LEAK}" is a kind of leak`, LEAK_HINT)
      }
      return isLeak ? new Set(LEAK_KINDS) : undefined
    }
    const others = (ids ?? []).some((id) => id !== DATA_LEAK)
    if (!isLeak || others || tags !== undefined || rulesets !== undefined) {
      this.#report(
        `${path}.target`,
        `only the rule "${DATA_LEAK}" has kinds of leaks`,
        `"ids": ["${DATA_LEAK}"]`,
      )
    }
    const known = LEAK_KINDS.find((one) => one === kind)
    if (known === undefined) {
      this.#report(`${path}.target`, `there is no kind of leak "${kind}"`, LEAK_HINT)
      return undefined
    }
    return new Set([known])
  }

  #condition(text: string, path: string): ((subject: Subject) => boolean) | undefined {
    try {
      const compiled = compileExpression(text, this.#environment)
      if (compiled.needsBody || compiled.needsResponse || compiled.needsScores) {
        this.#report(path, 'an exception is decided before the body is read')
      }
      return compiled.test
    } catch (thrown) {
      if (!(thrown instanceof ExpressionError)) throw thrown
      this.#report(path, thrown.message, thrown.hint)
      return undefined
    }
  }

  /** Native rules that exceptions without a condition leave out everywhere. */
  droppedBy(
    rulesets: readonly CompiledNativeRuleset[],
    exceptions: readonly WafException[],
  ): ReadonlySet<CompiledNativeRule> {
    const dropped = new Set<CompiledNativeRule>()
    for (const exception of exceptions) {
      if (exception.when !== undefined) continue
      for (const rule of nativeRulesOf(exception, rulesets)) dropped.add(rule)
    }
    return dropped
  }

  active(
    all: readonly GatheredException[],
    route: number,
    rulesets: readonly CompiledNativeRuleset[],
  ): ActiveException[] {
    const active: ActiveException[] = []
    for (const [i, exception] of all.entries()) {
      const isHere = exception.route === undefined || exception.route === route
      const { ids = [], tags = [], isConditional = false } = exception.exclusion
      if (!isHere) continue
      active.push({
        path: exception.path,
        source: exception.source,
        when: exception.when,
        exclusion: isConditional && (ids.length > 0 || tags.length > 0) ? i : -1,
        leaks: exception.leaks,
        native: new Set(nativeRulesOf(exception.source, rulesets)),
      })
    }
    return active
  }

  checkIds(
    all: readonly GatheredException[],
    rulesets: readonly CompiledNativeRuleset[],
    engine: Engine | undefined,
    report: Report,
  ): void {
    for (const { source, path } of all) {
      for (const [i, id] of (source.ids ?? []).map(String).entries()) {
        if (id === DATA_LEAK) continue
        const isNative = rulesets.some((ruleset) => ruleset.ids.has(id))
        const isSeclangId = [...(engine?.ids ?? [])].some((known) => matches(known, id))
        if (!isNative && !isSeclangId) report(`${path}.ids[${i}]`, `there is no rule "${id}"`)
      }
      for (const [i, name] of (source.rulesets ?? []).entries()) {
        const isKnown = rulesets.some((ruleset) => ruleset.name === name)
        if (!isKnown) report(`${path}.rulesets[${i}]`, `there is no ruleset "${name}"`)
      }
    }
  }
}

function nativeRulesOf(
  exception: WafException,
  rulesets: readonly CompiledNativeRuleset[],
): CompiledNativeRule[] {
  if (exception.target !== undefined) return []
  const ids = exception.ids?.map(String)
  const { tags } = exception
  return rulesets
    .filter((ruleset) => exception.rulesets?.includes(ruleset.name) ?? true)
    .flatMap((ruleset) => ruleset.rules)
    .filter((rule) => {
      if (ids === undefined && tags === undefined) return exception.rulesets !== undefined
      return ids?.includes(rule.id) || tags?.some((tag) => rule.tags.includes(tag))
    })
}
