/**
 * From source text to syntax tree. Recursive descent over the characters, because what a token is depends
 * on where it stands: a quoted string after `matches` has other escapes, and `10..20` is a range in a set.
 */
import { nearestName } from '../config/errors.ts'
import type {
  Call,
  Compare,
  CompareOp,
  FieldName,
  Index,
  Literal,
  LogicOp,
  Node,
  Right,
  Step,
  Truth,
} from './ast.ts'
import { EACH } from './ast.ts'
import { Scanner } from './scanner.ts'

export const MAX_LENGTH = 4096
export const MAX_NESTING = 128

/** Parses a whole condition. @throws ExpressionError */
export function parseExpression(source: string, functionNames: Iterable<string> = []): Node {
  const parser = new Parser(source, functionNames)
  return parser.whole(() => parser.or())
}

/** Parses a value: a literal, a field, a call or a condition. @throws ExpressionError */
export function parseValue(source: string, functionNames: Iterable<string> = []): Node {
  const parser = new Parser(source, functionNames)
  return parser.whole(() => parser.argument())
}

const WORD = /[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*/y
const BARE = /[-0-9A-Za-z_.:/]+/y
/** What can only be a number, an address or a byte string where a field could stand. */
const BARE_ARGUMENT =
  /-?[0-9][-0-9A-Za-z_.:/]*|[0-9A-Fa-f]*:[0-9A-Fa-f:./-]*|[0-9A-Fa-f]{2}-[-0-9A-Fa-f:.]+/y
const LIST_NAME = /[a-z0-9_.]+/y
const INDEX_NUMBER = /[0-9]{1,10}(?![0-9A-Za-z_])/y

const LOGIC_SIGNS: Readonly<Record<LogicOp, string>> = { and: '&&', or: '||', xor: '^^' }
const COMPARE_WORDS: ReadonlyMap<string, CompareOp> = new Map([
  ['eq', 'eq'],
  ['ne', 'ne'],
  ['lt', 'lt'],
  ['le', 'le'],
  ['gt', 'gt'],
  ['ge', 'ge'],
  ['bitwise_and', 'bitwise_and'],
  ['contains', 'contains'],
  ['matches', 'matches'],
  ['wildcard', 'wildcard'],
  ['in', 'in'],
])
/** Longest first. */
const COMPARE_SIGNS: readonly (readonly [string, CompareOp])[] = [
  ['==', 'eq'],
  ['!=', 'ne'],
  ['<=', 'le'],
  ['>=', 'ge'],
  ['<', 'lt'],
  ['>', 'gt'],
  ['~', 'matches'],
]
const OPERATOR_WORDS = [...COMPARE_WORDS.keys(), 'strict', 'and', 'or', 'xor', 'not']

class Parser extends Scanner {
  readonly #functionNames: Iterable<string>
  #depth = 0

  constructor(source: string, functionNames: Iterable<string>) {
    super(source)
    this.#functionNames = functionNames
  }

  whole(parse: () => Node): Node {
    if (this.source.length > MAX_LENGTH) {
      this.fail(`an expression has at most ${MAX_LENGTH} characters`, MAX_LENGTH)
    }
    this.space()
    if (this.ended()) this.fail('the expression is empty', 0)
    const node = parse()
    this.space()
    if (!this.ended()) this.#unexpected()
    return node
  }

  or(): Node {
    return this.#logic('or', () =>
      this.#logic('xor', () => this.#logic('and', () => this.#unary())),
    )
  }

  argument(): Node {
    const start = this.at
    if (this.atString()) return this.string()
    const bare = this.match(BARE_ARGUMENT)
    if (bare !== undefined) {
      return { kind: 'literal', form: 'bare', text: bare, start, end: this.at }
    }
    return this.or()
  }

  #logic(op: LogicOp, operand: () => Node): Node {
    const start = this.at
    const first = operand()
    let items: Node[] | undefined
    while (this.#takeLogic(op)) {
      items ??= [first]
      items.push(operand())
    }
    return items === undefined ? first : { kind: 'logic', op, items, start, end: this.at }
  }

  #takeLogic(op: LogicOp): boolean {
    const before = this.at
    this.space()
    if (this.taken(LOGIC_SIGNS[op]) || (this.peek(WORD) === op && this.taken(op))) {
      this.space()
      return true
    }
    this.at = before
    return false
  }

  #unary(): Node {
    this.space()
    const start = this.at
    if (this.taken('(')) {
      this.#enter(start)
      const inner = this.or()
      this.space()
      if (!this.taken(')')) {
        if (this.ended()) this.fail('this parenthesis is never closed', start)
        this.#unexpected()
      }
      this.#depth--
      return inner
    }
    const word = this.peek(WORD)
    if (word === 'not' || (this.looking('!') && !this.looking('!='))) {
      this.at += word === 'not' ? 3 : 1
      this.#enter(start)
      const item = this.#unary()
      this.#depth--
      return { kind: 'not', item, start, end: this.at }
    }
    return this.#compare()
  }

  #compare(): Node {
    const left = this.#index()
    const before = this.at
    this.space()
    const opStart = this.at
    const op = this.#compareOp()
    if (op === undefined) {
      this.at = before
      return left
    }
    this.space()
    const right = this.#right(op)
    return {
      kind: 'compare',
      left,
      op,
      opStart,
      right,
      start: left.start,
      end: this.at,
    } satisfies Compare
  }

  #compareOp(): CompareOp | undefined {
    for (const [sign, op] of COMPARE_SIGNS) if (this.taken(sign)) return op
    if (this.looking('&') && !this.looking('&&')) {
      this.at++
      return 'bitwise_and'
    }
    if (this.looking('=')) this.fail('the sign for equality is ==', this.at, 'write == or eq')
    const start = this.at
    const word = this.peek(WORD)
    if (word === undefined || Object.hasOwn(LOGIC_SIGNS, word)) return undefined
    this.at += word.length
    if (word === 'strict') {
      this.space()
      if (this.match(WORD) === 'wildcard') return 'strict wildcard'
      this.fail('"wildcard" is expected after "strict"', start)
    }
    return COMPARE_WORDS.get(word) ?? this.#unknownOperator(word, start)
  }

  #unknownOperator(word: string, start: number): never {
    for (const name of this.#functionNames) {
      if (name === word) {
        this.fail(`${word} is a function, not an operator`, start, `write ${word}(field, "…")`)
      }
    }
    const nearest = nearestName(word, OPERATOR_WORDS)
    this.fail(
      `unknown operator ${JSON.stringify(word)}`,
      start,
      nearest === undefined ? undefined : `did you mean ${JSON.stringify(nearest)}?`,
    )
  }

  #right(op: CompareOp): Right {
    switch (op) {
      case 'in':
        return this.#inRight()
      case 'matches':
        return this.pattern()
      case 'wildcard':
      case 'strict wildcard':
        if (!this.atString()) this.fail('a quoted string is expected after wildcard')
        return this.string()
      default:
        return this.#literal()
    }
  }

  #inRight(): Right {
    const start = this.at
    if (this.taken('$')) {
      const name = this.match(LIST_NAME)
      if (name === undefined) {
        this.fail('a list name is expected: lower-case letters, digits, "_" and "."', start)
      }
      return { kind: 'list', name, start, end: this.at }
    }
    if (!this.taken('{')) this.fail('{ or $list is expected after "in"', start)
    const items: Literal[] = []
    for (;;) {
      this.space()
      if (this.taken('}')) break
      if (this.ended()) this.fail('this set is never closed', start)
      if (this.looking(',')) {
        this.fail('items of a set are separated by spaces', this.at, 'remove the comma')
      }
      items.push(this.#literal())
    }
    if (items.length === 0) this.fail('a set has at least one item', start)
    return { kind: 'set', items, start, end: this.at }
  }

  #literal(): Literal {
    if (this.atString()) return this.string()
    const start = this.at
    const text = this.match(BARE)
    if (text === undefined) this.fail('a value is expected')
    return { kind: 'literal', form: 'bare', text, start, end: this.at }
  }

  #index(): Index {
    const start = this.at
    const word = this.match(WORD)
    if (word === undefined) {
      if (this.ended()) this.fail('a field or function is expected, and the expression ends')
      if (this.atString()) this.fail('a field or function is expected, not a string')
      this.#unexpected('a field or function is expected')
    }
    let base: FieldName | Call | Truth = { kind: 'field', name: word, start, end: this.at }
    const afterName = this.at
    this.space()
    if (this.looking('(')) {
      base = this.#call(word, start)
    } else {
      this.at = afterName
      if (word === 'true' || word === 'false') {
        base = { kind: 'truth', value: word === 'true', start, end: this.at }
      }
    }
    const steps: Step[] = []
    while (this.looking('[')) steps.push(this.#step())
    return { kind: 'index', base, steps, start, end: this.at }
  }

  #call(name: string, start: number): Call {
    this.#enter(this.at)
    const open = this.at++
    const args: Node[] = []
    this.space()
    while (!this.taken(')')) {
      if (this.ended()) this.fail('this parenthesis is never closed', open)
      if (args.length > 0) {
        if (!this.taken(',')) this.#unexpected('"," or ")" is expected')
        this.space()
      }
      args.push(this.argument())
      this.space()
    }
    this.#depth--
    return { kind: 'call', name, args, start, end: this.at }
  }

  #step(): Step {
    const start = this.at++
    this.space()
    let at: Step['at']
    if (this.taken('*')) at = EACH
    else if (this.atString()) at = this.string().text
    else {
      const digits = this.match(INDEX_NUMBER)
      if (digits === undefined) {
        this.fail('an index is a number from 0, a quoted key, or *', this.at)
      }
      at = Number(digits)
    }
    this.space()
    if (!this.taken(']')) this.fail('"]" is expected')
    return { at, start, end: this.at }
  }

  #enter(position: number): void {
    if (++this.#depth > MAX_NESTING) {
      this.fail(`an expression nests at most ${MAX_NESTING} deep`, position)
    }
  }

  #unexpected(expected = 'and, or, xor or the end is expected'): never {
    const word = this.peek(WORD) ?? String.fromCodePoint(this.source.codePointAt(this.at) ?? 32)
    const nearest = nearestName(word, OPERATOR_WORDS)
    this.fail(
      `unexpected ${JSON.stringify(word)}: ${expected}`,
      this.at,
      nearest === undefined ? undefined : `did you mean ${JSON.stringify(nearest)}?`,
    )
  }
}
