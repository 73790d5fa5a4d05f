/**
 * What became of each rule for one request: whether it was asked, and if not, why. Kept only where somebody
 * explains; a request that is served has none.
 */
import type { WafException } from '../config/sections/waf.ts'
import type { CompiledRule } from './engine/compiled.ts'
import { matchesId } from './engine/controls.ts'
import type { LoadedRule } from './engine/engine.ts'
import type { EngineTrace } from './engine/transaction.ts'
import type { CompiledNativeRule } from './rules/native.ts'
import type { RouteWaf } from './waf.ts'

export type RuleFate =
  | 'matched'
  | 'no-match'
  /** In the ruleset, or by an override. */
  | 'disabled'
  | 'excepted'
  /** By another rule. */
  | 'skipped'
  | 'paranoia-level'
  /** Its condition rests on settings alone, and was decided when the config was loaded. */
  | 'constant'
  /** What comes before it ended the inspection, or its phase did not come. */
  | 'not-reached'

export interface RuleStory {
  readonly rule: string
  readonly ruleset: string
  /** `request` and `response`, of SecLang rules 1 to 5. */
  readonly phase: string
  readonly fate: RuleFate
  /** Empty when there is nothing to say. */
  readonly why: string
}

interface Fate {
  readonly fate: RuleFate
  readonly why: string
}

/** An exception that holds for the request. */
export interface HeldException {
  readonly path: string
  readonly source: WafException
}

const MATCHED: Fate = { fate: 'matched', why: '' }
const SIMULATED: Fate = { fate: 'matched', why: 'it only simulates' }
const NO_MATCH: Fate = { fate: 'no-match', why: '' }
const DISABLED: Fate = { fate: 'disabled', why: 'in its ruleset or by an override' }

export class WafTrace implements EngineTrace {
  /** Rules report and do not act, so that none hides those behind it. */
  readonly isSimulated: boolean
  exceptions: readonly HeldException[] = []
  /** Whether there is a response to ask about. */
  hasResponse = false
  readonly #native = new Map<CompiledNativeRule, Fate>()
  readonly #engine = new Map<number, Fate>()
  /** What ended the inspection, in words. */
  #end: string | undefined
  /** Rule that left the rest of the request rules, or the response's, out. */
  readonly #skips: { request?: string; response?: string; engine?: string } = {}

  constructor(isSimulated = false) {
    this.isSimulated = isSimulated
  }

  nativeAsked(rule: CompiledNativeRule, isMatch: boolean): void {
    const isOnlySeen = this.isSimulated || rule.isSimulated
    this.#native.set(rule, isMatch ? (isOnlySeen ? SIMULATED : MATCHED) : NO_MATCH)
  }

  nativeSkipped(rule: CompiledNativeRule, by: string): void {
    this.#native.set(rule, { fate: 'skipped', why: `by the rule ${by}` })
  }

  phaseSkipped(phase: 'request' | 'response' | 'engine', by: string): void {
    this.#skips[phase] ??= by
  }

  ended(by: string): void {
    this.#end ??= by
  }

  asked(rule: CompiledRule, isMatch: boolean): void {
    this.#engine.set(rule.id, isMatch ? (rule.isSimulated ? SIMULATED : MATCHED) : NO_MATCH)
  }

  skipped(rule: CompiledRule, by: CompiledRule): void {
    this.#engine.set(rule.id, { fate: 'skipped', why: `the rule ${by.id} jumps over it` })
  }

  removed(rule: CompiledRule, by: number | undefined): void {
    if (by === undefined) return
    this.#engine.set(rule.id, { fate: 'skipped', why: `the rule ${by} takes it out` })
  }

  /** All rules of a route, in order, with their fates. */
  stories(route: RouteWaf): RuleStory[] {
    const stories: RuleStory[] = []
    for (const ruleset of route.waf.rulesets) {
      const rules = new Map(ruleset.rules.map((rule) => [rule.id, rule]))
      for (const id of ruleset.ids) {
        const rule = rules.get(id)
        const fate = rule === undefined ? DISABLED : this.#nativeFate(rule)
        stories.push({ rule: id, ruleset: ruleset.name, phase: rule?.phase ?? '-', ...fate })
      }
    }
    const { engine, engineName, config } = route.waf
    if (engine === undefined) return stories
    const kept = new Set(Object.values(engine.phases).flatMap((rules) => rules.map(({ id }) => id)))
    const level = config.crs.detectionParanoiaLevel ?? config.crs.paranoiaLevel
    for (const [id, rule] of engine.loaded) {
      const fate = this.#engineFate(id, rule, kept.has(id), level)
      stories.push({ rule: String(id), ruleset: engineName, phase: String(rule.phase), ...fate })
    }
    return stories
  }

  #nativeFate(rule: CompiledNativeRule): Fate {
    const exception = this.exceptions.find(({ source }) => letsOff(source, rule))
    if (exception !== undefined) return { fate: 'excepted', why: exception.path }
    const known = this.#native.get(rule)
    if (known !== undefined) return known
    const skippedBy = this.#skips[rule.phase]
    if (skippedBy !== undefined) return { fate: 'skipped', why: `by the rule ${skippedBy}` }
    return this.#unreached(rule.phase === 'response')
  }

  #engineFate(id: number, rule: LoadedRule, isKept: boolean, level: number): Fate {
    if (!rule.isEnabled) return DISABLED
    const held = this.exceptions.filter(({ source }) => namesLoaded(source, id, rule.tags))
    const whole = held.find(({ source }) => source.target === undefined)
    if (whole !== undefined) return { fate: 'excepted', why: whole.path }
    if (!isKept) return constantFate(rule, level)
    const known = this.#engine.get(id)
    if (known !== undefined) {
      const part = held[0]
      if (part === undefined || known.why !== '') return known
      return { ...known, why: `without ${part.source.target}: ${part.path}` }
    }
    const skippedBy = this.#skips.engine ?? this.#skips.request
    if (skippedBy !== undefined) return { fate: 'skipped', why: `by the rule ${skippedBy}` }
    return this.#unreached(rule.phase === 3 || rule.phase === 4)
  }

  #unreached(isOfResponse: boolean): Fate {
    if (this.#end !== undefined) return { fate: 'not-reached', why: this.#end }
    if (isOfResponse && !this.hasResponse) {
      return { fate: 'not-reached', why: 'there is no response of which it could be asked' }
    }
    return { fate: 'not-reached', why: 'its phase was not inspected' }
  }
}

function constantFate({ tags }: LoadedRule, level: number): Fate {
  for (const tag of tags) {
    const own = Number(/^paranoia-level\/(\d)$/.exec(tag)?.[1] ?? 0)
    if (own > level) return { fate: 'paranoia-level', why: `${own} is above the config's ${level}` }
  }
  return { fate: 'constant', why: 'decided by settings when the config was loaded' }
}

function letsOff({ ids, tags, rulesets, target }: WafException, rule: CompiledNativeRule): boolean {
  if (target !== undefined) return false
  if (rulesets !== undefined && !rulesets.includes(rule.ruleset)) return false
  if (ids === undefined && tags === undefined) return rulesets !== undefined
  return (
    ids?.some((id) => String(id) === rule.id) === true ||
    tags?.some((tag) => rule.tags.includes(tag)) === true
  )
}

function namesLoaded({ ids, tags }: WafException, id: number, own: readonly string[]): boolean {
  return (
    ids?.some((one) => matchesId(id, String(one))) === true ||
    tags?.some((tag) => own.includes(tag)) === true
  )
}
