/**
 * The operators, each compiled to a closure over its argument. An operator is asked about one text at a
 * time; what it captures goes to the transaction.
 */

import {
  addRange,
  type ByteSet,
  byteSet,
  complement,
  hasByte,
} from '../../expression/regex/byte-set.ts'
import { LinearRegex } from '../../expression/regex/linear.ts'
import { bytesOf, type Needs, needsOf } from '../../expression/regex/needs.ts'
import { CidrSet, parseCidr } from '../../http/cidr.ts'
import { parseIp } from '../../http/ip.ts'
import { asciiLower, hexValue } from '../bytes.ts'
import { utf8SequenceLength } from './decoders.ts'
import { expand, type Macro, toInteger } from './macros.ts'
import { PhraseMatcher } from './phrases.ts'
import { checkedRegex } from './targets.ts'
import type { Transaction } from './transaction.ts'
import type { TextNode } from './values.ts'

/** Detectors of attacks by grammar; injected, so that the engine does not depend on them. */
export interface Detectors {
  /** @returns a short fingerprint for the log, or undefined when it is not an attack */
  sqli(bytes: string): string | undefined
  xss(bytes: string): string | undefined
}

/** Whether the text matches; before negation. */
export type Test = (node: TextNode, tx: Transaction) => boolean

export interface CompiledOperator {
  readonly test: Test
  /** What a text needs to match, for the prefilter; the key names equal needs. */
  readonly filter: { readonly key: string; readonly needs: () => Needs } | undefined
  /** Fills the captures after a match; undefined when the whole text is what matched. */
  readonly capture: ((node: TextNode, tx: Transaction) => void) | undefined
  /** Relative price of one byte, for the work budget. */
  readonly price: number
}

export interface OperatorContext {
  readonly argument: string
  readonly phrases: readonly string[] | undefined
  readonly list: (name: string) => readonly string[]
  readonly macro: (text: string) => string | Macro
  readonly detectors: Detectors
  readonly fail: (message: string) => never
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz'
const HIGH_BYTES = byteSet()
addRange(HIGH_BYTES, 128, 255)

type Compile = (context: OperatorContext) => CompiledOperator

function plain(test: Test, price = 0): CompiledOperator {
  return { test, filter: undefined, capture: undefined, price }
}

/** True only for texts with a byte of the set. */
function withByteOf(set: ByteSet, key: string, test: Test): CompiledOperator {
  const needs = { literals: null, sets: [set], minLength: 1 }
  return { test, filter: { key, needs: () => needs }, capture: undefined, price: 0 }
}

function compileRegex({ argument, fail }: OperatorContext): CompiledOperator {
  // Only there to capture the whole text.
  if (argument === '^.*$') return plain(() => true)
  // As ModSecurity 2 reads patterns: a dot takes line feeds, `$` is the end of the text only.
  const options = { dotAll: true }
  const needs = checkedRegex(argument, () => needsOf(argument, options), fail)
  const regex = new LinearRegex(argument, options)
  return {
    test: (node) => regex.test(node.bytes),
    filter: { key: `rx ${argument}`, needs: () => needs },
    capture: (node, tx) => {
      const groups = regex.capture(node.bytes)
      if (groups !== undefined) tx.setCaptures(groups)
    },
    // Long patterns have many states, and a cold automaton costs more.
    price: 1 + Math.min(4, argument.length >> 9),
  }
}

function compilePhrases(context: OperatorContext, phrases: readonly string[]): CompiledOperator {
  if (phrases.length === 0) context.fail('the phrase list is empty')
  const matcher = new PhraseMatcher(phrases)
  return {
    test: (node) => matcher.find(node.bytes) !== undefined,
    filter: { key: `pm ${matcher.phrases.join('\n')}`, needs: () => matcher.needs() },
    capture: (node, tx) => {
      const found = matcher.find(node.bytes)
      if (found !== undefined) tx.setCaptures([found])
    },
    price: 1,
  }
}

/** Comparison of text with an argument that may hold macros. */
function textual(compare: (text: string, argument: string) => boolean): Compile {
  return ({ argument, macro }) => {
    const compiled = macro(argument)
    return plain((node, tx) => compare(node.bytes, expand(compiled, tx)))
  }
}

function numeric(compare: (a: number, b: number) => boolean): Compile {
  return ({ argument, macro }) => {
    const compiled = macro(argument)
    if (typeof compiled === 'string') {
      const constant = toInteger(compiled)
      return plain((node) => compare(toInteger(node.bytes), constant))
    }
    return plain((node, tx) => compare(toInteger(node.bytes), toInteger(compiled(tx))))
  }
}

function isWordByte(code: number): boolean {
  return (
    (code >= 48 && code <= 57) ||
    (code >= 65 && code <= 90) ||
    (code >= 97 && code <= 122) ||
    code === 95
  )
}

function containsWord(text: string, word: string): boolean {
  if (word === '') return true
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    const end = at + word.length
    const isLeft = at === 0 || !isWordByte(text.charCodeAt(at - 1))
    if (isLeft && (end === text.length || !isWordByte(text.charCodeAt(end)))) return true
  }
  return false
}

/** True for a text with a byte outside the ranges. */
function compileByteRange({ argument, fail }: OperatorContext): CompiledOperator {
  const allowed = byteSet()
  for (const part of argument.split(',')) {
    const match = /^\s*(\d+)(?:\s*-\s*(\d+))?\s*$/.exec(part)
    const from = Number(match?.[1] ?? -1)
    const to = Number(match?.[2] ?? from)
    if (from < 0 || to > 255 || from > to) fail(`"${part.trim()}" is not a range of bytes`)
    addRange(allowed, from, to)
  }
  return withByteOf(complement(allowed), `bytes ${argument}`, ({ bytes }) => {
    for (let i = 0; i < bytes.length; i++) if (!hasByte(allowed, bytes.charCodeAt(i))) return true
    return false
  })
}

/** True for text that is not well-formed UTF-8. */
function isInvalidUtf8(bytes: string): boolean {
  let at = 0
  while (at < bytes.length) {
    const length = utf8SequenceLength(bytes, at)
    if (length === 0) return true
    at += length
  }
  return false
}

/** True for a percent sign that two hex digits do not follow. */
function isInvalidUrlEncoding(bytes: string): boolean {
  for (let at = bytes.indexOf('%'); at >= 0; at = bytes.indexOf('%', at + 1)) {
    if (hexValue(bytes.charCodeAt(at + 1)) < 0 || hexValue(bytes.charCodeAt(at + 2)) < 0)
      return true
  }
  return false
}

function compileAddresses(texts: readonly string[], fail: (m: string) => never): CompiledOperator {
  const ranges = texts.map((text) => parseCidr(text) ?? fail(`"${text}" is not an address or CIDR`))
  const set = new CidrSet(ranges)
  return plain(({ bytes }) => {
    const ip = parseIp(bytes)
    return set.contains(ip)
  })
}

/**
 * Bytes without which there is no attack: SQL needs a space, quote, operator, comment or bracket; markup and
 * scripts need a delimiter or an assignment.
 */
const DETECTOR_BYTES: Readonly<Record<'sqli' | 'xss', ByteSet>> = {
  sqli: complement(bytesOf(`${LETTERS}${LETTERS.toUpperCase()}0123456789_.:,/@`)),
  xss: bytesOf('<>"\'`=:&'),
}

function compileDetector(which: 'sqli' | 'xss'): Compile {
  const needs = { literals: null, sets: [DETECTOR_BYTES[which]], minLength: 2 }
  return ({ detectors }) => ({
    test: (node) => detectors[which](node.bytes) !== undefined,
    filter: { key: which, needs: () => needs },
    capture: (node, tx) => tx.setCaptures([detectors[which](node.bytes) ?? '']),
    price: 2,
  })
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '')
}

const OPERATORS: Readonly<Record<string, Compile>> = {
  rx: compileRegex,
  pm: (context) => compilePhrases(context, context.phrases ?? pmWords(context.argument)),
  pmFromFile: (context) => compilePhrases(context, words(context.argument).flatMap(context.list)),
  within: textual((text, argument) => argument.includes(text)),
  streq: textual((text, argument) => text === argument),
  strmatch: textual((text, argument) => text.includes(argument)),
  contains: textual((text, argument) => text.includes(argument)),
  containsWord: textual(containsWord),
  beginsWith: textual((text, argument) => text.startsWith(argument)),
  endsWith: textual((text, argument) => text.endsWith(argument)),
  eq: numeric((a, b) => a === b),
  ne: numeric((a, b) => a !== b),
  lt: numeric((a, b) => a < b),
  le: numeric((a, b) => a <= b),
  gt: numeric((a, b) => a > b),
  ge: numeric((a, b) => a >= b),
  validateByteRange: compileByteRange,
  validateUtf8Encoding: () => withByteOf(HIGH_BYTES, 'utf8', ({ bytes }) => isInvalidUtf8(bytes)),
  validateUrlEncoding: () =>
    withByteOf(bytesOf('%'), 'percent', ({ bytes }) => isInvalidUrlEncoding(bytes)),
  ipMatch: ({ argument, fail }) => compileAddresses(words(argument.replaceAll(',', ' ')), fail),
  ipMatchFromFile: ({ argument, list, fail }) =>
    compileAddresses(words(argument).flatMap(list), fail),
  detectSQLi: compileDetector('sqli'),
  detectXSS: compileDetector('xss'),
  unconditionalMatch: () => plain(() => true),
  noMatch: () => plain(() => false),
}

const ALIASES: Readonly<Record<string, string>> = { pmf: 'pmfromfile', ipmatchf: 'ipmatchfromfile' }

const byName = new Map(
  Object.entries(OPERATORS).map(([name, c]) => [name.toLowerCase(), { name, c }]),
)

export const OPERATOR_NAMES: readonly string[] = Object.keys(OPERATORS)

/** The name as this engine writes it, from any case or short form; undefined when it is not known. */
export function operatorName(name: string): string | undefined {
  const lower = name.toLowerCase()
  return byName.get(ALIASES[lower] ?? lower)?.name
}

export function compileOperator(name: string, context: OperatorContext): CompiledOperator {
  const found = byName.get(ALIASES[name.toLowerCase()] ?? name.toLowerCase())
  if (found === undefined) return context.fail(`the operator @${name} is not known`)
  return found.c(context)
}

/** Words of @pm; `|41 42|` gives bytes in hex, as in Snort. */
export function pmWords(text: string): string[] {
  const decoded = text.replace(/\|((?:[0-9A-Fa-f]{2}\s*)+)\|/g, (_, hex: string) =>
    words(hex.replace(/([0-9A-Fa-f]{2})/g, '$1 '))
      .map((pair) => String.fromCharCode(Number.parseInt(pair, 16)))
      .join(''),
  )
  return words(decoded).map(asciiLower)
}
