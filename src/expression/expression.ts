/**
 * The rules language: what WAF rules, routes, limits, policies, cache rules and log filters are written in.
 * Cloudflare's Rules language with fields of our own; docs/expressions.md is its reference.
 *
 * Compile once, at load: names, types and literals are checked and every error has its place. Evaluate per
 * request on a `Subject`: closures, linear-time matching, no error.
 */
import { Checker, type Scope, SPECIAL_FUNCTIONS } from './check.ts'
import { compileCondition, compileReader } from './compile.ts'
import type { Field } from './field.ts'
import { FIELDS } from './fields.ts'
import type { FunctionDefinition } from './function.ts'
import { FUNCTIONS } from './functions.ts'
import type { List } from './lists.ts'
import { parseExpression, parseValue } from './parser.ts'
import { print } from './print.ts'
import type { Subject } from './subject.ts'
import type { Typed } from './typed.ts'
import type { Type, Value } from './types.ts'

export { ExpressionError } from './error.ts'
export type { Field } from './field.ts'
export type { FunctionDefinition } from './function.ts'
export { List, ListError, type ListKind } from './lists.ts'
export { literalsOf, type RouteLiterals } from './route-literals.ts'
export {
  type BodyView,
  type PartView,
  type ResponseView,
  type ScoresView,
  Subject,
} from './subject.ts'
export { type Type, textOf, type Value } from './types.ts'

/** The names that expressions of one configuration may use. */
export interface Environment extends Scope {
  readonly functionNames: readonly string[]
}

export interface EnvironmentOptions {
  /** Named lists, `$name`. */
  readonly lists?: ReadonlyMap<string, List> | undefined
  /** Functions beside the language's own, such as the WAF's detectors. */
  readonly functions?: readonly FunctionDefinition[] | undefined
  /** Fields beside the language's own. */
  readonly fields?: readonly Field[] | undefined
  /** Names of fields that the platform fills through `Subject.platform`. */
  readonly filled?: Iterable<string> | undefined
}

export function createEnvironment(options: EnvironmentOptions = {}): Environment {
  const fields = new Map(FIELDS)
  for (const field of options.fields ?? []) fields.set(field.name, field)
  const functions = new Map(FUNCTIONS)
  for (const definition of options.functions ?? []) functions.set(definition.name, definition)
  return {
    fields,
    functions,
    lists: options.lists ?? new Map(),
    filled: new Set(options.filled ?? []),
    functionNames: [...functions.keys(), ...SPECIAL_FUNCTIONS],
  }
}

interface CompiledBase {
  readonly source: string
  /** The source in canonical form. */
  readonly printed: string
  /** What is legal and still likely a mistake, in sentences; to be shown once at load. */
  readonly warnings: readonly string[]
  /** Names of the fields it reads, deprecated names resolved. */
  readonly fields: ReadonlySet<string>
  /** Whether it reads what the caller must put on the subject. */
  readonly needsBody: boolean
  readonly needsResponse: boolean
  readonly needsScores: boolean
  /** The checked tree, for static analysis. */
  readonly tree: Typed
}

/** A condition. */
export interface Compiled extends CompiledBase {
  /** Never throws. */
  readonly test: (subject: Subject) => boolean
}

/** A value: a limit's key, a cost, a part of a cache key. */
export interface CompiledValue extends CompiledBase {
  readonly type: Type
  /** Undefined when the value is missing. Never throws. */
  readonly read: (subject: Subject) => Value | undefined
}

/** Compiles a condition. @throws ExpressionError */
export function compileExpression(source: string, environment: Environment): Compiled {
  const node = parseExpression(source, environment.functionNames)
  const checker = new Checker(source, environment)
  const tree = checker.condition(node)
  return {
    ...describe(source, print(node), checker, environment, tree),
    test: compileCondition(tree),
  }
}

/** Compiles a literal, a field, a call or a condition to a value. @throws ExpressionError */
export function compileValue(source: string, environment: Environment): CompiledValue {
  const node = parseValue(source, environment.functionNames)
  const checker = new Checker(source, environment)
  const tree = checker.value(node)
  return {
    ...describe(source, print(node), checker, environment, tree),
    type: tree.type,
    read: compileReader(tree),
  }
}

function describe(
  source: string,
  printed: string,
  checker: Checker,
  environment: Environment,
  tree: Typed,
): CompiledBase {
  const needs = new Set([...checker.fields].map((name) => environment.fields.get(name)?.needs))
  return {
    source,
    printed,
    warnings: checker.warnings,
    fields: checker.fields,
    needsBody: needs.has('body'),
    needsResponse: needs.has('response'),
    needsScores: needs.has('scores'),
    tree,
  }
}
