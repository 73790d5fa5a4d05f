/**
 * From the checked tree to closures. Nothing is built per request but what functions return: a comparison
 * of a field reads it and compares, an index by a known header name goes straight to the header list,
 * any() and all() stop at the first item that decides.
 */
import type { IpAddress } from '../exchange.ts'
import { EACH } from './ast.ts'
import type { Reader } from './field.ts'
import { intSet, ipSet, stringSet } from './lists.ts'
import type { Subject } from './subject.ts'
import type { Base, CallBase, Comparison, LogicNode, Path, Test, Typed } from './typed.ts'
import type { Value, ValueMap } from './types.ts'
import { wildcardTest } from './wildcard.ts'

export type Condition = (subject: Subject) => boolean
type Conditions = (subject: Subject) => boolean[]
/** A test of one value that is not missing; the checker made sure of its type. */
type Predicate = (value: never) => boolean
type Collector = (subject: Subject) => readonly Value[] | undefined

const NO_VALUES: readonly Value[] = []

/** A checked tree of type Boolean. */
export function compileCondition(typed: Typed): Condition {
  switch (typed.kind) {
    case 'constant': {
      const answer = typed.value === true
      return () => answer
    }
    case 'path':
      return compileTruth(typed)
    case 'comparison':
      return compileComparison(typed)
    case 'not': {
      const item = compileCondition(typed.item)
      return (subject) => !item(subject)
    }
    case 'logic':
      return compileLogic(typed)
  }
}

function compileTruth(path: Path): Condition {
  if (path.steps.length === 0 && path.base.kind === 'quantifier') {
    return compileQuantifier(path.base.isAll, path.base.item)
  }
  return compileCallTruth(path) ?? isTrue(compilePath(path))
}

function isTrue(read: Reader): Condition {
  return (subject) => read(subject) === true
}

/** `starts_with(field, "literal")` and its like: one closure less than reading a value. */
function compileCallTruth({ base, steps }: Path): Condition | undefined {
  if (steps.length > 0 || base.kind !== 'call' || base.isMapped) return undefined
  const [first, second] = base.args
  if (base.args.length !== 2 || first === undefined || second?.kind !== 'constant') return undefined
  const literal = second.value
  if (literal === undefined || base.definition.missing !== undefined) return undefined
  const read = compileReader(first)
  const call = base.apply as Applied
  return (subject) => {
    const value = read(subject)
    return value !== undefined && call(value, literal) === true
  }
}

function compileLogic({ op, items }: LogicNode): Condition {
  const conditions = items.map(compileCondition)
  const [first, second, third] = conditions as [Condition, Condition, Condition]
  if (op === 'xor') {
    return (subject) => {
      let answer = false
      for (const condition of conditions) answer = answer !== condition(subject)
      return answer
    }
  }
  if (op === 'and') {
    if (conditions.length === 2) return (subject) => first(subject) && second(subject)
    if (conditions.length === 3) {
      return (subject) => first(subject) && second(subject) && third(subject)
    }
    return (subject) => {
      for (const condition of conditions) if (!condition(subject)) return false
      return true
    }
  }
  if (conditions.length === 2) return (subject) => first(subject) || second(subject)
  return (subject) => {
    for (const condition of conditions) if (condition(subject)) return true
    return false
  }
}

function compileComparison({ left, test }: Comparison): Condition {
  const read = compilePath(left)
  // Strict equality with a literal is false for a missing value by itself.
  if (test.op === 'eq' && (test.of === 'bytes' || test.of === 'int')) {
    const { value } = test
    return (subject) => read(subject) === value
  }
  const passes = predicate(test) as (value: Value) => boolean
  return (subject) => {
    const value = read(subject)
    return value !== undefined && passes(value)
  }
}

export function predicate(test: Test): Predicate {
  switch (test.op) {
    case 'contains': {
      const { value } = test
      return (bytes: string) => bytes.includes(value)
    }
    case 'matches': {
      const { regex } = test
      return (bytes: string) => regex.test(bytes)
    }
    case 'wildcard':
      return wildcardTest(test.pieces, test.isStrict)
    case 'bitwise_and':
      return bitTest(test.value)
    case 'in':
      if (test.of === 'bytes') return stringSet(test.items)
      return test.of === 'int' ? intSet(test.items) : ipSet(test.items)
    case 'list': {
      const { list } = test
      return (value) => list.has(value)
    }
    default:
      return test.of === 'ip' ? sameIp(test.value, test.op === 'eq') : orderTest(test)
  }
}

function orderTest({
  op,
  value,
}: Extract<Test, { of: 'bytes' | 'int' } & { value: unknown }>): Predicate {
  // Bytes compare like numbers do: code units are bytes, and JavaScript compares strings by code unit.
  const right = value as number
  switch (op) {
    case 'eq':
      return (left: number) => left === right
    case 'ne':
      return (left: number) => left !== right
    case 'lt':
      return (left: number) => left < right
    case 'le':
      return (left: number) => left <= right
    case 'gt':
      return (left: number) => left > right
    case 'ge':
      return (left: number) => left >= right
  }
}

const INT32 = 0x7fffffff

function bitTest(mask: number): Predicate {
  if (mask >= 0 && mask <= INT32) return (value: number) => (value & mask) !== 0
  const wide = BigInt(mask)
  return (value: number) => (BigInt(value) & wide) !== 0n
}

function sameIp(ip: IpAddress, isEqual: boolean): Predicate {
  const { family } = ip
  const [a = 0, b = 0, c = 0, d = 0] = ip.words
  return (value: IpAddress) => {
    const { words } = value
    const isSame =
      value.family === family &&
      words[0] === a &&
      (family === 4 || (words[1] === b && words[2] === c && words[3] === d))
    return isSame === isEqual
  }
}

/** Reads any checked tree as a value. */
export function compileReader(typed: Typed): Reader {
  switch (typed.kind) {
    case 'constant': {
      const { value } = typed
      return () => value
    }
    case 'path':
      return typed.root === undefined ? compilePath(typed) : compileCollector(typed)
    default:
      return typed.root === undefined ? compileCondition(typed) : compileConditions(typed)
  }
}

/** A path without `[*]`. */
function compilePath({ base, steps }: Path): Reader {
  if (base.kind === 'field' && base.field.access !== undefined) {
    const [name, index] = steps
    if (typeof name === 'string') {
      if (steps.length === 1) return base.field.access.all(name)
      if (steps.length === 2 && typeof index === 'number') return base.field.access.one(name, index)
    }
  }
  return steps.reduce<Reader>((read, step) => compileStep(read, step), compileBaseReader(base))
}

function compileStep(read: Reader, step: Path['steps'][number]): Reader {
  if (typeof step === 'number') {
    return (subject) => (read(subject) as readonly Value[] | undefined)?.[step]
  }
  const key = step as string
  return (subject) => (read(subject) as ValueMap | undefined)?.get(key)
}

function compileBaseReader(base: Base): Reader {
  switch (base.kind) {
    case 'field':
      return base.field.read
    case 'constant': {
      const { value } = base
      return () => value
    }
    case 'call':
      return base.isMapped ? compileMappedCall(base) : compileCall(base)
    case 'quantifier':
      return compileQuantifier(base.isAll, base.item)
    case 'if': {
      const condition = compileCondition(base.condition)
      const then = compileReader(base.then)
      const otherwise = compileReader(base.otherwise)
      return (subject) => (condition(subject) ? then(subject) : otherwise(subject))
    }
    case 'coalesce': {
      const readers = base.items.map(compileReader)
      return (subject) => {
        for (const read of readers) {
          const value = read(subject)
          if (value !== undefined) return value
        }
        return undefined
      }
    }
  }
}

/** Arguments were checked against the definition, so their types are those of its parameters. */
type Applied = (...args: readonly (Value | undefined)[]) => Value | undefined

function compileCall({ apply, args, definition }: CallBase): Reader {
  const call = apply as Applied
  const readers = args.map(compileReader)
  const [first, second] = readers as [Reader, Reader]
  if (definition.missing === 'empty') return compileConcat(call, readers)
  if (readers.length === 1) {
    return (subject) => {
      const value = first(subject)
      return value === undefined ? undefined : call(value)
    }
  }
  const constant = args[1]
  if (readers.length === 2 && constant?.kind === 'constant') {
    const other = constant.value
    if (other === undefined) return () => undefined
    return (subject) => {
      const value = first(subject)
      return value === undefined ? undefined : call(value, other)
    }
  }
  if (readers.length === 2) {
    return (subject) => {
      const value = first(subject)
      if (value === undefined) return undefined
      const other = second(subject)
      return other === undefined ? undefined : call(value, other)
    }
  }
  return (subject) => {
    const values: Value[] = []
    for (const read of readers) {
      const value = read(subject)
      if (value === undefined) return undefined
      values.push(value)
    }
    return call(...values)
  }
}

function compileConcat(call: Applied, readers: readonly Reader[]): Reader {
  return (subject) => {
    const values = readers.map((read) => read(subject))
    const isArray = values.some((value) => Array.isArray(value))
    return call(...values.map((value) => value ?? (isArray ? NO_VALUES : '')))
  }
}

/** Applies the function to each element of the first argument; elements without a result drop out. */
function compileMappedCall({ apply, args, definition }: CallBase): Reader {
  const call = apply as Applied
  const collect = compileCollector(args[0] as Path)
  const rest = args.slice(1).map(compileReader)
  return (subject) => {
    const elements = collect(subject)
    if (elements === undefined) return undefined
    const others: (Value | undefined)[] = []
    for (const read of rest) {
      const value = read(subject)
      if (value === undefined && definition.missing !== 'empty') return NO_VALUES
      others.push(value ?? '')
    }
    const results: Value[] = []
    for (const element of elements) {
      const result = call(element, ...others)
      if (result !== undefined) results.push(result)
    }
    return results
  }
}

/** The elements of a path with `[*]`; undefined when there is no array. */
function compileCollector(path: Path): Collector {
  const first = path.steps.indexOf(EACH)
  const read = compilePath({ ...path, steps: path.steps.slice(0, first) })
  const rest = path.steps.slice(first + 1)
  return (subject) => {
    const value = read(subject)
    if (value === undefined) return undefined
    const items = itemsOf(value)
    if (rest.length === 0) return items
    const found: Value[] = []
    for (const item of items) descend(item, rest, 0, found)
    return found
  }
}

function itemsOf(value: Value): readonly Value[] {
  return Array.isArray(value) ? value : [...(value as ValueMap).values()]
}

function descend(value: Value | undefined, steps: Path['steps'], at: number, found: Value[]): void {
  if (value === undefined) return
  const step = steps[at]
  if (step === undefined) found.push(value)
  else if (step === EACH) for (const item of itemsOf(value)) descend(item, steps, at + 1, found)
  else if (typeof step === 'number')
    descend((value as readonly Value[])[step], steps, at + 1, found)
  else descend((value as ValueMap).get(step), steps, at + 1, found)
}

/** any() and all(). An array that is missing makes both false, unless a comparison made it empty. */
function compileQuantifier(isAll: boolean, item: Typed): Condition {
  if (item.kind === 'comparison') return compileQuantifiedComparison(isAll, item)
  if (item.kind === 'path') {
    const read = item.root === undefined ? compilePath(item) : compileCollector(item)
    return (subject) => {
      const answers = read(subject) as readonly Value[] | undefined
      return answers?.includes(!isAll) ? !isAll : isAll && answers !== undefined
    }
  }
  const answers = compileConditions(item)
  return isAll
    ? (subject) => !answers(subject).includes(false)
    : (subject) => answers(subject).includes(true)
}

function compileQuantifiedComparison(isAll: boolean, { left, test }: Comparison): Condition {
  const passes = predicate(test) as (value: Value) => boolean
  const { base, steps } = left
  if (!isAll && base.kind === 'field' && base.field.access !== undefined) {
    const [name, each] = steps
    if (typeof name === 'string' && each === EACH && steps.length === 2) {
      return base.field.access.some(name, passes)
    }
  }
  const collect = compileCollector(left)
  return (subject) => {
    const elements = collect(subject)
    if (elements !== undefined) {
      for (const element of elements) if (passes(element) !== isAll) return !isAll
    }
    return isAll
  }
}

/** A checked tree of type Array<Boolean>: one answer for each item, none for a missing array. */
function compileConditions(typed: Typed): Conditions {
  switch (typed.kind) {
    case 'constant':
      return () => []
    case 'path': {
      const read = typed.root === undefined ? compilePath(typed) : compileCollector(typed)
      return (subject) => [...((read(subject) as readonly boolean[] | undefined) ?? [])]
    }
    case 'comparison': {
      const collect = compileCollector(typed.left)
      const passes = predicate(typed.test) as (value: Value) => boolean
      return (subject) => (collect(subject) ?? NO_VALUES).map(passes)
    }
    case 'not': {
      const item = compileConditions(typed.item)
      return (subject) => item(subject).map((answer) => !answer)
    }
    case 'logic':
      return compileElementwise(typed)
  }
}

/** Combines answer by answer, as far as the shortest goes. */
function compileElementwise({ op, items }: LogicNode): Conditions {
  const [first, ...others] = items.map(compileConditions) as [Conditions, ...Conditions[]]
  return (subject) => {
    let answers = first(subject)
    for (const other of others) {
      const right = other(subject)
      if (right.length < answers.length) answers = answers.slice(0, right.length)
      for (let i = 0; i < answers.length; i++) {
        const a = answers[i] as boolean
        const b = right[i] as boolean
        answers[i] = op === 'and' ? a && b : op === 'or' ? a || b : a !== b
      }
    }
    return answers
  }
}

/** For folding constants, which need no subject. */
export const compileBase = { condition: compileCondition, base: compileBaseReader }
