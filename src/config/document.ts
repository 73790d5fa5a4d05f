/**
 * The text of a config as a document: JSON with comments and trailing commas, parsed into plain values
 * and a tree that knows where each of them stands. Pure.
 *
 * Stricter than JSON where JSON is silent: a key may not come twice, keys that JavaScript objects
 * already have (`__proto__`, `constructor`) are refused, numbers must be finite, nesting is bounded
 * before a recursive parser sees it.
 */
import { createScanner, type Node, type ParseError, parseTree } from 'jsonc-parser'
import type { ConfigProblem } from './errors.ts'

/** Deepest nesting of objects and lists. */
const MAX_DEPTH = 64
/** Longest text, characters. */
const MAX_LENGTH = 16 * 1024 * 1024
/** Most syntax errors that are told; after a few, they are echoes of the first. */
const MAX_SYNTAX_ERRORS = 5

/** Numbers of jsonc-parser's const enums, which cannot be imported file by file. */
const OPEN_BRACE = 1
const CLOSE_BRACE = 2
const OPEN_BRACKET = 3
const CLOSE_BRACKET = 4
const END_OF_FILE = 17
const VALUE_EXPECTED = 4

/** A key or an index on the way to a value. */
export type Segment = string | number

export interface Position {
  /** From 1. */
  readonly line: number
  /** From 1, in UTF-16 code units. */
  readonly column: number
}

/** A parsed text: its value, and where everything in it stands. */
export interface Document {
  readonly value: unknown
  /** Where a value stands; for a path that is not there, its nearest ancestor that is. */
  locate(path: readonly Segment[], part?: 'key' | 'value'): Position
  /** As {@link locate}, for a path as problems carry it: `routes[2].cache.ttl`. */
  locateText(path: string): Position
}

export type DocumentResult =
  | { readonly document: Document }
  | { readonly problems: readonly ConfigProblem[] }

/** `routes[2].pools["a b"]`: keys that are not plain words are quoted; the document itself is ''. */
export function formatPath(path: readonly Segment[]): string {
  let text = ''
  for (const segment of path) {
    if (typeof segment === 'number') text += `[${segment}]`
    else if (/^[A-Za-z_$][A-Za-z0-9_$-]*$/.test(segment))
      text += text === '' ? segment : `.${segment}`
    else text += `[${JSON.stringify(segment.length > 80 ? `${segment.slice(0, 80)}…` : segment)}]`
  }
  return text
}

/** Parses a config text. All syntax errors come back, not only the first. */
export function parseDocument(source: string): DocumentResult {
  const text = source.charCodeAt(0) === 0xfeff ? source.slice(1) : source
  const lines = new LineTable(text)
  const problem = (offset: number, message: string, hint?: string, path = ''): ConfigProblem => ({
    path,
    message,
    hint,
    ...lines.position(offset),
  })

  if (text.length > MAX_LENGTH) {
    return { problems: [problem(0, `the file is longer than ${MAX_LENGTH} characters`)] }
  }
  const strange = text.search(/[\0\ufffd]/)
  if (strange >= 0) {
    return {
      problems: [problem(strange, 'this is not UTF-8 text', 'save the file as UTF-8')],
    }
  }
  const tooDeep = findTooDeep(text)
  if (tooDeep >= 0) {
    return { problems: [problem(tooDeep, `nested deeper than ${MAX_DEPTH} levels`)] }
  }

  const errors: ParseError[] = []
  const root = parseTree(text, errors, { allowTrailingComma: true })
  if (root === undefined) {
    return {
      problems: [
        text.trim() === '' || errors.every((error) => error.error === VALUE_EXPECTED)
          ? problem(0, 'the file holds no configuration', 'write one with `meridian init`')
          : problem(errors[0]?.offset ?? 0, 'this is not JSON'),
      ],
    }
  }
  if (errors.length > 0) return { problems: syntaxProblems(errors, lines, problem) }

  const problems: ConfigProblem[] = []
  const value = plainValue(root, [], (node, path, message, hint) => {
    problems.push(problem(node.offset, message, hint, formatPath(path)))
  })
  if (problems.length > 0) return { problems }
  return {
    document: {
      value,
      locate: (path, part = 'value') => lines.position(offsetOf(root, path, part)),
      locateText: (path) => lines.position(offsetOfText(root, path)),
    },
  }
}

/** Offset of the first bracket that is nested too deep, or -1. The scanner is not recursive. */
function findTooDeep(text: string): number {
  const scanner = createScanner(text, true)
  let depth = 0
  for (let token = scanner.scan(); token !== END_OF_FILE; token = scanner.scan()) {
    if (token === OPEN_BRACE || token === OPEN_BRACKET) {
      if (++depth > MAX_DEPTH) return scanner.getTokenOffset()
    } else if (token === CLOSE_BRACE || token === CLOSE_BRACKET) {
      depth--
    }
  }
  return -1
}

const SYNTAX_MESSAGES: Readonly<Record<number, readonly [message: string, hint?: string]>> = {
  1: ['this is not a JSON value', 'text stands in double quotes; names are "in quotes" too'],
  2: [
    'this is not a number',
    'JSON numbers have no leading zeros, plus signs or hexadecimal digits',
  ],
  3: ['a key in double quotes is expected'],
  4: ['a value is expected'],
  5: ['a colon is expected'],
  6: ['a comma is expected'],
  7: ['a closing brace "}" is expected'],
  8: ['a closing bracket "]" is expected'],
  9: ['the end of the file is expected', 'a config is one object'],
  11: ['this comment is never closed'],
  12: ['this string is never closed'],
  13: ['this is not a number'],
  14: ['a \\u escape has four hexadecimal digits'],
  15: ['unknown escape in a string', 'a backslash itself is written "\\\\"'],
  16: [
    'this character is not allowed here',
    'control characters are written as escapes, e.g. "\\n"',
  ],
}

function syntaxProblems(
  errors: readonly ParseError[],
  lines: LineTable,
  problem: (offset: number, message: string, hint?: string) => ConfigProblem,
): ConfigProblem[] {
  const problems: ConfigProblem[] = []
  let lastLine = 0
  for (const error of errors) {
    const { line } = lines.position(error.offset)
    if (line === lastLine) continue
    lastLine = line
    const [message, hint] = SYNTAX_MESSAGES[error.error] ?? ['this is not JSON']
    problems.push(problem(error.offset, message, hint))
    if (problems.length === MAX_SYNTAX_ERRORS) break
  }
  return problems
}

type Refuse = (node: Node, path: readonly Segment[], message: string, hint?: string) => void

function plainValue(node: Node, path: readonly Segment[], refuse: Refuse): unknown {
  if (node.type === 'object') {
    const value: Record<string, unknown> = {}
    for (const property of node.children ?? []) {
      const [keyNode, valueNode] = property.children ?? []
      if (keyNode === undefined || valueNode === undefined) continue
      const key = String(keyNode.value)
      const here = [...path, key]
      if (key in Object.prototype || key === 'prototype') {
        refuse(keyNode, here, 'this name is reserved and cannot be a key')
      } else if (Object.hasOwn(value, key)) {
        refuse(
          keyNode,
          here,
          'this key comes twice',
          'only one of the two would be used; remove one',
        )
      } else {
        value[key] = plainValue(valueNode, here, refuse)
      }
    }
    return value
  }
  if (node.type === 'array') {
    return (node.children ?? []).map((child, index) => plainValue(child, [...path, index], refuse))
  }
  if (node.type === 'number' && !Number.isFinite(node.value)) {
    refuse(node, path, 'this number is too large')
  }
  return node.value
}

function childOf(node: Node, segment: Segment): Node | undefined {
  if (typeof segment === 'number') {
    return node.type === 'array' ? node.children?.[segment] : undefined
  }
  if (node.type !== 'object') return undefined
  return node.children?.find((property) => property.children?.[0]?.value === segment)
}

/** A property node stands for its value, except when its key is asked for. */
function contentOf(node: Node): Node {
  return node.type === 'property' ? (node.children?.[1] ?? node) : node
}

function offsetOf(root: Node, path: readonly Segment[], part: 'key' | 'value'): number {
  let node = root
  for (const segment of path) {
    const child = childOf(contentOf(node), segment)
    if (child === undefined) return contentOf(node).offset
    node = child
  }
  return part === 'key' ? node.offset : contentOf(node).offset
}

/**
 * Resolves a path in text form. Keys may hold dots (`pools.eu.west`), so at each level the longest key
 * that fits is taken.
 */
function offsetOfText(root: Node, path: string): number {
  let node = root
  let rest = path
  while (rest !== '') {
    const value = contentOf(node)
    const index = /^\[(\d+)\]/.exec(rest)
    let child: Node | undefined
    if (index !== null) {
      child = childOf(value, Number(index[1]))
      rest = rest.slice(index[0].length)
    } else {
      if (rest.startsWith('.')) rest = rest.slice(1)
      let taken = 0
      for (const property of value.type === 'object' ? (value.children ?? []) : []) {
        const key = String(property.children?.[0]?.value)
        for (const form of [key, `[${JSON.stringify(key)}]`]) {
          const after = rest[form.length]
          const fits = after === undefined || after === '.' || after === '['
          if (form.length > taken && fits && rest.startsWith(form)) {
            taken = form.length
            child = property
          }
        }
      }
      rest = rest.slice(taken)
    }
    if (child === undefined) break
    node = child
  }
  return contentOf(node).offset
}

/** Offsets to lines and columns. */
class LineTable {
  readonly #starts: number[] = [0]

  constructor(text: string) {
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) {
      this.#starts.push(at + 1)
    }
  }

  position(offset: number): Position {
    let low = 0
    let high = this.#starts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.#starts[middle] as number) <= offset) low = middle
      else high = middle - 1
    }
    return { line: low + 1, column: offset - (this.#starts[low] as number) + 1 }
  }
}
