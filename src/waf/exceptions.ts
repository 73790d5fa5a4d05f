/**
 * Exceptions of a WAF: what the config and its routes let off, compiled to conditions, to exclusions of the
 * engine and to the native rules that are meant.
 */
import type { Report } from '../config/errors.ts'
import type { RouteWafConfig, WafConfig, WafException } from '../config/sections/waf.ts'
import {
  compileExpression,
  type Environment,
  ExpressionError,
  type Subject,
} from '../expression/expression.ts'
import { DATA_LEAK, LEAK_KINDS, LEAK_TARGET, type LeakKind } from './detect/leak.ts'
import type { Engine, Exclusion } from './engine/engine.ts'
import type { CompiledNativeRule, CompiledNativeRuleset } from './rules/native.ts'
import { isOfIds } from './rulesets.ts'
import type { HeldException } from './trace.ts'

/** An exception with its condition compiled. */
export interface ActiveException extends HeldException {
  readonly when: ((subject: Subject) => boolean) | undefined
  /** Index of the engine's conditional exclusion; -1 when it names no CRS rule. */
  readonly exclusion: number
  readonly native: ReadonlySet<CompiledNativeRule>
  /** Kinds of leaks that are let off. */
  readonly leaks: ReadonlySet<LeakKind> | undefined
}

const LEAK_HINT = `one of ${LEAK_KINDS.map((kind) => `"${LEAK_TARGET}${kind}"`).join(', ')}`

export interface GatheredException {
  readonly source: WafException
  readonly path: string
  /** Undefined for all routes. */
  readonly route: number | undefined
  readonly when: ((subject: Subject) => boolean) | undefined
  readonly exclusion: Exclusion
  readonly leaks: ReadonlySet<LeakKind> | undefined
}

/** Exceptions of the config and of its routes, as conditions and as the engine's exclusions. */
export class ExceptionCompiler {
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
        const isSeclangId = [...(engine?.ids ?? [])].some((known) => isOfIds(known, id))
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
