/** The type checker: from the syntax tree to a checked tree, or an error with its place. */
import {
  type Call,
  type Compare,
  EACH,
  type Index,
  type Literal,
  type Logic,
  type Node,
  type Step,
} from './ast.ts'
import { resolveTest } from './comparison.ts'
import { compileBase } from './compile.ts'
import { Faults } from './faults.ts'
import type { Field } from './field.ts'
import { constant, foldLogic, foldSteps } from './fold.ts'
import { ArgumentError, type FunctionDefinition, type Param } from './function.ts'
import type { List } from './lists.ts'
import { isWrong, readLiteral, type Wrong } from './literals.ts'
import { printIndex } from './print.ts'
import type { Base, Constant, Path, Test, Typed } from './typed.ts'
import { arrayOf, BOOL, BOOLS, BYTES, INT, IP, sameType, type Type, type Value } from './types.ts'

/** The names an expression may use. */
export interface Scope {
  readonly fields: ReadonlyMap<string, Field>
  readonly functions: ReadonlyMap<string, FunctionDefinition>
  readonly lists: ReadonlyMap<string, List>
  /** Fields without a source that the platform fills all the same. */
  readonly filled: ReadonlySet<string>
}

/** Functions that the compiler knows, because not all of their arguments are always read. */
export const SPECIAL_FUNCTIONS = ['any', 'all', 'if', 'coalesce'] as const

/** Each may copy what it matched eight times; one inside another would multiply without end. */
const REPLACING: ReadonlySet<string> = new Set(['regex_replace', 'wildcard_replace'])

export class Checker {
  readonly fields = new Set<string>()
  readonly warnings: string[] = []
  readonly #faults: Faults
  readonly #scope: Scope
  /** How many replacing functions are open. */
  #replacing = 0

  constructor(source: string, scope: Scope) {
    this.#faults = new Faults(source)
    this.#scope = scope
  }

  /** A whole expression: a Boolean. */
  condition(node: Node): Typed {
    const typed = this.#logical(node)
    if (!sameType(typed.type, BOOL)) {
      this.#faults.fail(
        node,
        'a condition is true or false, this is one for each item',
        'put any(…) or all(…) around it',
      )
    }
    return typed
  }

  /** Anything that has a value. */
  value(node: Node): Typed {
    if (node.kind === 'literal') return this.#argumentLiteral(node, undefined)
    const typed = node.kind === 'index' ? this.#index(node) : this.#logical(node)
    if (typed.kind !== 'constant' && typed.root !== undefined) {
      this.#faults.fail(node, '[*] has no meaning here', 'use join(…) or one index')
    }
    return typed
  }

  /** A Boolean, or an array of them inside any() and all(). */
  #logical(node: Node): Typed {
    switch (node.kind) {
      case 'logic':
        return this.#logic(node)
      case 'not': {
        const item = this.#logical(node.item)
        if (item.kind === 'constant') return constant(BOOL, item.value !== true)
        return { kind: 'not', item, type: item.type, root: item.root }
      }
      case 'compare':
        return this.#compare(node)
      case 'literal':
        return this.#faults.fail(node, 'a condition is expected, not a literal')
      case 'index': {
        const typed = this.#index(node)
        if (!sameType(typed.type, BOOL) && !sameType(typed.type, BOOLS)) {
          this.#faults.fail(
            { start: node.end, end: node.end },
            `an operator is expected: ${printIndex(node)} is ${typed.type.name}, not Boolean`,
          )
        }
        return typed
      }
    }
  }

  #logic(node: Logic): Typed {
    const items = node.items.map((item) => this.#logical(item))
    const type = (items[0] as Typed).type
    let root: string | undefined
    items.forEach((item, i) => {
      const span = node.items[i] as Node
      if (!sameType(item.type, type)) {
        this.#faults.fail(
          span,
          `${type.name} and ${item.type.name} cannot be combined with ${node.op}`,
        )
      }
      if (item.kind === 'constant' || item.root === undefined) return
      if (root !== undefined && root !== item.root) {
        this.#faults.fail(
          span,
          `all [*] in one condition walk the same array: ${root} before, ${item.root} here`,
        )
      }
      root = item.root
    })
    return foldLogic(node.op, items) ?? { kind: 'logic', op: node.op, items, type, root }
  }

  #compare(node: Compare): Typed {
    const left = this.#index(node.left)
    const type = left.kind === 'path' ? left.element : left.type
    const test = resolveTest(node, type, this.#scope.lists, this.#faults)
    if (left.kind === 'path') {
      this.#warnAboutCase(left, test)
      return {
        kind: 'comparison',
        left,
        test,
        type: left.root === undefined ? BOOL : BOOLS,
        root: left.root,
      }
    }
    const base: Base = { kind: 'constant', value: left.value }
    const path: Path = { kind: 'path', base, steps: [], element: type, type, root: undefined }
    const comparison: Typed = { kind: 'comparison', left: path, test, type: BOOL, root: undefined }
    return constant(BOOL, compileBase.condition(comparison)(undefined as never))
  }

  /** Text that a lower-case field can never equal. */
  #warnAboutCase({ base, steps }: Path, test: Test): void {
    if (base.kind !== 'field' || !base.field.isLowerCase || steps.length > 0) return
    const texts =
      test.op === 'in' && test.of === 'bytes'
        ? test.items
        : 'of' in test && test.of === 'bytes' && test.op === 'eq'
          ? [test.value]
          : []
    for (const text of texts as readonly string[]) {
      if (/[A-Z]/.test(text)) {
        this.warnings.push(
          `${base.field.name} is always lower case and never equals ${JSON.stringify(text)}`,
        )
      }
    }
  }

  #index(node: Index): Constant | Path {
    const { base: name, steps } = node
    if (name.kind === 'truth') {
      if (steps.length > 0) this.#faults.fail(steps[0] as Step, 'a Boolean has no items')
      return constant(BOOL, name.value)
    }
    let base: Base
    let type: Type
    let root: string
    if (name.kind === 'field') {
      const field = this.#field(node)
      base = { kind: 'field', field }
      type = field.type
      root = field.name
    } else {
      const call = this.#call(name)
      base = call.base
      type = call.type
      root = call.root ?? printIndex({ ...node, steps: [] })
    }
    let each = 0
    for (const [i, step] of steps.entries()) {
      type = this.#step(step, type, node)
      if (step.at !== EACH) continue
      each++
      root = steps.slice(0, i + 1).reduce((text, { at }) => text + stepText(at), root)
    }
    this.#warnAboutKey(base, steps)
    if (base.kind === 'constant' && each === 0) return foldSteps(base.value, steps, type)
    return {
      kind: 'path',
      base,
      steps: steps.map(({ at }) => at),
      element: type,
      type: each > 0 ? arrayOf(type) : type,
      root: each > 0 ? root : undefined,
    }
  }

  #warnAboutKey(base: Base, steps: readonly Step[]): void {
    const key = steps[0]?.at
    if (
      base.kind === 'field' &&
      base.field.isLowerCase &&
      typeof key === 'string' &&
      /[A-Z]/.test(key)
    ) {
      this.warnings.push(
        `names in ${base.field.name} are lower case: ${JSON.stringify(key)} is never there`,
      )
    }
  }

  #step(step: Step, type: Type, node: Index): Type {
    const isRight =
      step.at === EACH
        ? type.item !== undefined
        : type.kind === (typeof step.at === 'number' ? 'array' : 'map')
    if (isRight && type.item !== undefined) return type.item
    const what = step.at === EACH ? '[*]' : typeof step.at === 'number' ? 'a position' : 'a key'
    return this.#faults.fail(
      step,
      `${what} does not apply to ${type.name}, which ${printIndex({ ...node, steps: [] })} has here`,
    )
  }

  #field(node: Index): Field {
    const name = node.base.kind === 'field' ? node.base.name : ''
    const field = this.#scope.fields.get(name)
    if (field === undefined) {
      if (this.#isFunction(name))
        this.#faults.fail(node, `${name} is a function`, `write ${name}(…)`)
      return this.#faults.unknown(node, 'field', name, this.#scope.fields.keys())
    }
    this.fields.add(field.aliasOf ?? field.name)
    if (
      field.node === null &&
      field.workers === null &&
      !this.#scope.filled.has(field.aliasOf ?? name)
    ) {
      const warning = `${name} has no source here: it always has its default`
      if (!this.warnings.includes(warning)) this.warnings.push(warning)
    }
    return field
  }

  #isFunction(name: string): boolean {
    return (
      this.#scope.functions.has(name) || (SPECIAL_FUNCTIONS as readonly string[]).includes(name)
    )
  }

  #call(call: Call): { base: Base; type: Type; root: string | undefined } {
    switch (call.name) {
      case 'any':
      case 'all':
        return this.#quantifier(call)
      case 'if':
        return this.#if(call)
      case 'coalesce':
        return this.#coalesce(call)
    }
    const definition = this.#scope.functions.get(call.name)
    if (definition === undefined) {
      if (this.#scope.fields.has(call.name))
        this.#faults.fail(call, `${call.name} is a field, not a function`)
      const known = [...this.#scope.functions.keys(), ...SPECIAL_FUNCTIONS]
      return this.#faults.unknown(call, 'function', call.name, known)
    }
    return this.#ordinaryCall(call, definition)
  }

  #quantifier(call: Call): { base: Base; type: Type; root: undefined } {
    this.#arity(call, 1, 1)
    const node = call.args[0] as Node
    if (node.kind === 'literal')
      this.#faults.fail(node, 'a condition over an array is expected, not a literal')
    const item = this.#logical(node)
    if (!sameType(item.type, BOOLS)) {
      this.#faults.fail(
        node,
        `${call.name}() needs one answer for each item of an array, this is one Boolean`,
        'add [*] after the array',
      )
    }
    return {
      base: { kind: 'quantifier', isAll: call.name === 'all', item },
      type: BOOL,
      root: undefined,
    }
  }

  #if(call: Call): { base: Base; type: Type; root: undefined } {
    this.#arity(call, 3, 3)
    const [first, second, third] = call.args as readonly [Node, Node, Node]
    const condition = this.#logical(first)
    if (!sameType(condition.type, BOOL))
      this.#faults.fail(first, 'the first argument of if() is a Boolean')
    const then = this.#anyArgument(second, undefined)
    const otherwise = this.#anyArgument(third, then.type)
    if (!sameType(then.type, otherwise.type)) {
      this.#faults.fail(
        third,
        `both values of if() have one type: ${then.type.name} is expected, not ${otherwise.type.name}`,
      )
    }
    return { base: { kind: 'if', condition, then, otherwise }, type: then.type, root: undefined }
  }

  #coalesce(call: Call): { base: Base; type: Type; root: undefined } {
    this.#arity(call, 1, Number.POSITIVE_INFINITY)
    const items: Typed[] = []
    for (const node of call.args) {
      const item = this.#anyArgument(node, items[0]?.type)
      if (items[0] !== undefined && !sameType(items[0].type, item.type)) {
        this.#faults.fail(
          node,
          `all values of coalesce() have one type: ${items[0].type.name} is expected, not ${item.type.name}`,
        )
      }
      items.push(item)
    }
    return { base: { kind: 'coalesce', items }, type: (items[0] as Typed).type, root: undefined }
  }

  #anyArgument(node: Node, expected: Type | undefined): Typed {
    if (node.kind === 'literal')
      return this.#argumentLiteral(
        node,
        (type) => expected === undefined || sameType(type, expected),
      )
    return this.value(node)
  }

  #ordinaryCall(
    call: Call,
    definition: FunctionDefinition,
  ): { base: Base; type: Type; root: string | undefined } {
    const required = definition.params.filter((param) => !param.isOptional).length
    this.#arity(
      call,
      required,
      definition.rest === undefined ? definition.params.length : Number.POSITIVE_INFINITY,
    )
    if (REPLACING.has(call.name) && this.#replacing++ > 0) {
      this.#faults.fail(call, `${call.name}() cannot stand inside a replacing function`)
    }
    const args = call.args.map((node, i) =>
      this.#argument(node, (definition.params[i] ?? definition.rest) as Param, i),
    )
    if (REPLACING.has(call.name)) this.#replacing--
    const first = args[0] as Typed
    const isMapped = first.kind === 'path' && first.root !== undefined
    const types = args.map((arg, i) => (i === 0 && isMapped ? (first as Path).element : arg.type))
    try {
      const returns =
        typeof definition.returns === 'function' ? definition.returns(types) : definition.returns
      const constants = args.map((arg) => (arg.kind === 'constant' ? arg.value : undefined))
      const apply = definition.prepare(constants)
      const base: Base = { kind: 'call', definition, apply, args, isMapped }
      const type = isMapped ? arrayOf(returns) : returns
      const root = isMapped ? (first as Path).root : undefined
      if (args.every((arg) => arg.kind === 'constant')) {
        const value = compileBase.base(base)(undefined as never)
        return { base: { kind: 'constant', value }, type, root }
      }
      return { base, type, root }
    } catch (error) {
      if (!(error instanceof ArgumentError)) throw error
      const node = call.args[error.index] ?? call
      return this.#faults.fail(node, `${call.name}(): ${error.message}`)
    }
  }

  #argument(node: Node, param: Param, index: number): Typed {
    if (node.kind === 'literal') return this.#argumentLiteral(node, param.accepts, param.expected)
    const typed = node.kind === 'index' ? this.#index(node) : this.#logical(node)
    const isEach = typed.kind !== 'constant' && typed.root !== undefined
    if (isEach && (index > 0 || typed.kind !== 'path')) {
      this.#faults.fail(node, '[*] can only be used in the first argument of a function')
    }
    const type = isEach && typed.kind === 'path' ? typed.element : typed.type
    if (!param.accepts(type)) {
      const couldMap = type.item !== undefined && param.accepts(type.item) && index === 0
      this.#faults.fail(
        node,
        `${param.name} is ${param.expected}, not ${type.name}`,
        couldMap ? 'add [*] to apply the function to each item' : undefined,
      )
    }
    if (param.isLiteral && typed.kind !== 'constant') {
      this.#faults.fail(
        node,
        `${param.name} is a literal: it is read when the expression is loaded`,
      )
    }
    return typed
  }

  /** A literal where several types may stand: an address, an integer or a byte string, in this order. */
  #argumentLiteral(
    literal: Literal,
    accepts: ((type: Type) => boolean) | undefined,
    expected = 'another type',
  ): Constant {
    let type: Type = BYTES
    let value: Value | Wrong = literal.text
    if (literal.form === 'bare') {
      for (const candidate of [IP, INT, BYTES]) {
        type = candidate
        value = readLiteral(literal, candidate)
        if (!isWrong(value)) break
      }
      if (isWrong(value))
        this.#faults.fail(literal, `${literal.text} is not an address, an integer or a byte string`)
    }
    if (accepts !== undefined && !accepts(type))
      this.#faults.fail(literal, `${expected} is expected, not ${type.name}`)
    return constant(type, value as Value)
  }

  #arity(call: Call, least: number, most: number): void {
    const given = call.args.length
    if (given >= least && given <= most) return
    const expected =
      least === most
        ? `${least}`
        : most === Number.POSITIVE_INFINITY
          ? `at least ${least}`
          : `${least} to ${most}`
    this.#faults.fail(
      call,
      `${call.name}() takes ${expected} argument${expected === '1' ? '' : 's'}, not ${given}`,
    )
  }
}

function stepText(at: Step['at']): string {
  return at === EACH ? '[*]' : `[${JSON.stringify(at)}]`
}
