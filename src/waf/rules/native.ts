/** Native rules compiled: conditions over a `Subject`, in order, with what their verdicts say. */
import type { Report } from '../../config/errors.ts'
import {
  compileExpression,
  type Environment,
  ExpressionError,
  type Subject,
} from '../../expression/expression.ts'
import type { NativeRule, NativeRuleset, RuleAction, RuleTest } from './rule-schema.ts'
import { testSubject } from './test-subject.ts'

/** What an override of the config changes about rules. */
export interface RuleChange {
  readonly ids?: readonly string[] | undefined
  readonly tags?: readonly string[] | undefined
  readonly enabled?: boolean | undefined
  readonly mode?: 'enforce' | 'simulate' | undefined
  readonly action?: 'block' | 'challenge' | 'log' | undefined
}

export interface NativeOptions {
  readonly environment: Environment
  readonly mode: 'enforce' | 'simulate'
  readonly changes: readonly RuleChange[]
  /** Puts scores on a subject, for the tests of rules that read them. */
  readonly score: ((subject: Subject) => void) | undefined
  /** The tests of the rules have held before, and are not run. */
  readonly areTested: boolean
}

export interface CompiledNativeRule {
  readonly id: string
  readonly ruleset: string
  readonly description: string
  readonly action: RuleAction
  readonly isSimulated: boolean
  readonly status: number | undefined
  readonly body: { readonly contentType: string; readonly text: string } | undefined
  readonly score: number
  readonly skip: NativeRule['skip']
  readonly tags: readonly string[]
  readonly test: (subject: Subject) => boolean
  readonly needsBody: boolean
  readonly needsScores: boolean
  readonly phase: 'request' | 'response'
  /** The field that the verdict names: the first text that the expression reads. */
  readonly target: string | undefined
  readonly readTarget: ((subject: Subject) => string | undefined) | undefined
}

export interface CompiledNativeRuleset {
  readonly name: string
  readonly rules: readonly CompiledNativeRule[]
  /** Ids of all rules, disabled ones included. */
  readonly ids: ReadonlySet<string>
  readonly warnings: readonly string[]
}

/** @param path where the ruleset stands, for problems */
export function compileNative(
  ruleset: NativeRuleset,
  options: NativeOptions,
  path: string,
  report: Report,
): CompiledNativeRuleset {
  const ids = new Set<string>()
  const rules: CompiledNativeRule[] = []
  const warnings: string[] = []
  for (const [i, source] of ruleset.rules.entries()) {
    const place = `${path}.rules[${i}]`
    if (ids.has(source.id)) report(`${place}.id`, `the id "${source.id}" is used twice`)
    ids.add(source.id)
    const rule = changed(source, options.changes)
    const compiled = compileRule(rule, ruleset.ruleset, options, place, report, warnings)
    if (compiled !== undefined && rule.enabled) rules.push(compiled)
  }
  for (const change of options.changes) {
    for (const id of change.ids ?? []) {
      if (!ids.has(id)) report(path, `there is no rule "${id}" in the ruleset ${ruleset.ruleset}`)
    }
  }
  return { name: ruleset.ruleset, rules, ids, warnings }
}

function changed(rule: NativeRule, changes: readonly RuleChange[]): NativeRule {
  let result = rule
  for (const change of changes) {
    const isMeant =
      change.ids?.includes(rule.id) || change.tags?.some((tag) => rule.tags.includes(tag))
    if (!isMeant) continue
    result = {
      ...result,
      enabled: change.enabled ?? result.enabled,
      mode: change.mode ?? result.mode,
      action: change.action ?? result.action,
    }
  }
  return result
}

function compileRule(
  rule: NativeRule,
  ruleset: string,
  { environment, mode, score, areTested }: NativeOptions,
  place: string,
  report: Report,
  warnings: string[],
): CompiledNativeRule | undefined {
  if (rule.action === 'score' && rule.score === undefined) {
    report(place, 'a rule that scores says how much: "score": 5')
  }
  let compiled: ReturnType<typeof compileExpression>
  try {
    compiled = compileExpression(rule.expression, environment)
  } catch (thrown) {
    if (!(thrown instanceof ExpressionError)) throw thrown
    report(`${place}.expression`, thrown.message, thrown.hint)
    return undefined
  }
  for (const warning of compiled.warnings) warnings.push(`${place}: ${warning}`)
  const target = [...compiled.fields].find((name) => {
    const kind = environment.fields.get(name)?.type.kind
    return kind === 'bytes'
  })
  const field = target === undefined ? undefined : environment.fields.get(target)
  const result: CompiledNativeRule = {
    id: rule.id,
    ruleset,
    description: rule.description,
    action: rule.action,
    isSimulated: mode === 'simulate' || rule.mode === 'simulate',
    status: rule.status,
    body: rule.body,
    score: rule.score ?? 0,
    skip: rule.skip,
    tags: rule.tags,
    test: compiled.test,
    needsBody: compiled.needsBody || compiled.needsScores,
    needsScores: compiled.needsScores,
    phase: compiled.needsResponse ? 'response' : 'request',
    target: target ?? [...compiled.fields][0],
    readTarget:
      field === undefined
        ? undefined
        : (subject) => {
            const value = field.read(subject)
            return typeof value === 'string' ? value : undefined
          },
  }
  if (areTested) return result
  for (const [i, test] of rule.tests.entries()) {
    const problem = failureOf(result, test, score)
    if (problem !== undefined) report(`${place}.tests[${i}]`, `rule "${rule.id}": ${problem}`)
  }
  return result
}

/** What is wrong with a test of a rule, or undefined when it holds. */
export function failureOf(
  rule: CompiledNativeRule,
  test: RuleTest,
  score: ((subject: Subject) => void) | undefined,
): string | undefined {
  const subject = testSubject(test)
  if (typeof subject === 'string') return subject
  if (rule.needsScores) score?.(subject)
  if (rule.test(subject) === test.match) return undefined
  const request = `${test.request.method} ${test.request.uri}`
  return test.match
    ? `the test ${request} does not match, and should`
    : `the test ${request} matches, and should not`
}
