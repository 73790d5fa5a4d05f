/** The right side of a comparison: which operators a type has, and literals read for it. */
import type { Compare, Literal } from './ast.ts'
import type { Faults } from './faults.ts'
import type { List } from './lists.ts'
import {
  isWrong,
  readBytes,
  readInt,
  readIntRange,
  readIpRange,
  readLiteral,
  type Wrong,
} from './literals.ts'
import { byteRegex, RegexError } from './regex/regex.ts'
import type { Test } from './typed.ts'
import { sameType, type Type } from './types.ts'
import { parseWildcard, WildcardError } from './wildcard.ts'

/** @throws ExpressionError */
export function resolveTest(
  node: Compare,
  type: Type,
  lists: ReadonlyMap<string, List>,
  faults: Faults,
): Test {
  const { op, right } = node
  const unsupported = (): never =>
    faults.fail(
      { start: node.opStart, end: node.right.start },
      `${op} does not apply to ${type.name}`,
      type.kind === 'bool'
        ? 'write the condition itself, or not before it'
        : type.kind === 'array'
          ? 'add an index or [*]'
          : type.kind === 'map'
            ? 'add a key: ["name"]'
            : undefined,
    )
  switch (right.kind) {
    case 'pattern':
      if (type.kind !== 'bytes') unsupported()
      try {
        return { op: 'matches', regex: byteRegex(right.pattern) }
      } catch (error) {
        if (!(error instanceof RegexError)) throw error
        const at = right.offsets[error.offset] ?? right.start
        return faults.fail({ start: at, end: at }, `regular expression: ${error.message}`)
      }
    case 'list': {
      const list = lists.get(right.name)
      if (list === undefined) {
        return faults.unknown(right, 'list', right.name, lists.keys(), '$')
      }
      if (!sameType(list.type, type)) {
        faults.fail(
          right,
          `$${right.name} is a list of ${list.type.name}, and the left side is ${type.name}`,
        )
      }
      return { op: 'list', list }
    }
    case 'set':
      switch (type.kind) {
        case 'bytes':
          return {
            op: 'in',
            of: 'bytes',
            items: right.items.map((item) => accept(item, readBytes(item), faults)),
          }
        case 'int':
          return {
            op: 'in',
            of: 'int',
            items: right.items.map((item) => accept(item, readIntRange(item), faults)),
          }
        case 'ip':
          return {
            op: 'in',
            of: 'ip',
            items: right.items.map((item) => accept(item, readIpRange(item), faults)),
          }
        default:
          return unsupported()
      }
    case 'literal':
      return literalTest(node, right, type, faults) ?? unsupported()
  }
}

function literalTest(node: Compare, right: Literal, type: Type, faults: Faults): Test | undefined {
  const { op } = node
  switch (op) {
    case 'contains':
      return type.kind === 'bytes'
        ? { op, value: accept(right, readBytes(right), faults) }
        : undefined
    case 'bitwise_and':
      if (type.kind !== 'int') return undefined
      if (right.form === 'string') faults.fail(right, 'an integer is expected, not a string')
      return { op, value: accept(right, readInt(right.text), faults) }
    case 'wildcard':
    case 'strict wildcard':
      if (type.kind !== 'bytes') return undefined
      try {
        return { op: 'wildcard', pieces: parseWildcard(right.text), isStrict: op !== 'wildcard' }
      } catch (error) {
        if (!(error instanceof WildcardError)) throw error
        return faults.fail(right, error.message)
      }
    case 'in':
    case 'matches':
      return undefined
    default: {
      if (type.kind === 'ip' && op !== 'eq' && op !== 'ne') return undefined
      if (type.kind !== 'bytes' && type.kind !== 'int' && type.kind !== 'ip') return undefined
      const value = accept(right, readLiteral(right, type), faults)
      // The literal was read for this type, which the compiler cannot follow.
      return { op, of: type.kind, value } as Test
    }
  }
}

function accept<T>(literal: Literal, read: T | Wrong, faults: Faults): T {
  if (isWrong(read)) faults.fail(literal, read.wrong, read.hint)
  return read
}
