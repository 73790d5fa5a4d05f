/**
 * A JSON tokenizer (RFC 8259) that keeps what `JSON.parse` loses: duplicate keys, the text of numbers,
 * the part before a syntax error. Iterative; values come out flat, named by their path.
 */
import { ByteWriter, hexValue } from '../bytes.ts'
import type { BodyLimits, Pair } from './limits.ts'

export interface FlatJson {
  /**
   * `json.a.b`, `json.a.0`; for an array also its own name with its length, which rules that look for
   * the bare key rely on. `null` is an empty value.
   */
  readonly pairs: readonly Pair[]
  /** What is wrong, with its offset; the pairs before it are there. */
  readonly error: string | undefined
  /** How far the text was read until the error; its length when there is none. */
  readonly errorAt: number
  /** A key came twice in one object: parsers disagree on which one counts. */
  readonly hasDuplicateKeys: boolean
}

const writer = new ByteWriter()

interface Frame {
  readonly name: string
  readonly keys: Set<string> | null
  items: number
}

class JsonSyntaxError extends Error {}

const WHITE = new Set([32, 9, 10, 13])

export function flattenJson(text: string, limits: BodyLimits, root = 'json'): FlatJson {
  const pairs: Pair[] = []
  const stack: Frame[] = []
  let hasDuplicateKeys = false
  let at = 0
  let error: string | undefined
  let reached = 0

  function fail(message: string): never {
    throw new JsonSyntaxError(`${message} at offset ${at}`)
  }
  function skipWhite(): void {
    while (at < text.length && WHITE.has(text.charCodeAt(at))) at++
  }
  function emit(name: string, value: string): void {
    if (pairs.length >= limits.arguments) fail(`more than ${limits.arguments} values`)
    pairs.push({ name, value })
  }
  function readString(): string {
    at++
    const start = at
    let close = start
    for (; close < text.length; close++) {
      const code = text.charCodeAt(close)
      if (code === 34) {
        const value = text.slice(start, close)
        at = close + 1
        return value
      }
      if (code === 92) break
      if (code < 32) {
        at = close
        fail('a control byte in a string')
      }
    }
    writer.reset(text.length - start)
    writer.text(text.slice(start, close))
    at = close
    while (at < text.length) {
      const code = text.charCodeAt(at)
      if (code === 34) {
        at++
        return writer.toString()
      }
      if (code < 32) fail('a control byte in a string')
      if (code === 92) readEscape()
      else {
        writer.push(code)
        at++
      }
    }
    return fail('a string is not closed')
  }
  function readEscape(): void {
    const kind = text.charAt(at + 1)
    if (kind === 'u') {
      let code = readHex4(at + 2)
      at += 6
      if (code >= 0xd800 && code < 0xdc00 && text.startsWith('\\u', at)) {
        const low = readHex4(at + 2)
        if (low >= 0xdc00 && low < 0xe000) {
          code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
          at += 6
        }
      }
      pushUtf8(code)
      return
    }
    const plain = ESCAPES[kind]
    if (plain === undefined) fail('an unknown escape')
    writer.push(plain)
    at += 2
  }
  function readHex4(from: number): number {
    let value = 0
    for (let i = 0; i < 4; i++) {
      const digit = hexValue(text.charCodeAt(from + i))
      if (digit < 0) fail('an invalid \\u escape')
      value = value * 16 + digit
    }
    return value
  }
  function readLiteral(): string {
    const start = at
    while (at < text.length && !/[\s,\]}]/.test(text.charAt(at))) at++
    const word = text.slice(start, at)
    reached = at
    if (word === 'null') return ''
    if (word === 'true' || word === 'false') return word
    if (/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(word)) return word
    at = start
    return fail('a value is expected')
  }

  /** One value named `name`; objects and arrays push a frame instead of recursing. */
  function begin(name: string): void {
    skipWhite()
    const char = text.charAt(at)
    if (char === '{' || char === '[') {
      if (stack.length >= limits.depth) fail(`deeper than ${limits.depth}`)
      at++
      stack.push({ name, keys: char === '{' ? new Set() : null, items: 0 })
    } else {
      emit(name, char === '"' ? readString() : readLiteral())
    }
  }

  try {
    begin(root)
    while (stack.length > 0) {
      const frame = stack[stack.length - 1] as Frame
      skipWhite()
      const closer = frame.keys === null ? ']' : '}'
      if (text.charAt(at) === closer) {
        at++
        stack.pop()
        if (frame.keys === null) emit(frame.name, String(frame.items))
        continue
      }
      if (frame.items > 0) {
        if (text.charAt(at) !== ',') fail(`a comma or ${closer} is expected`)
        at++
        skipWhite()
      }
      if (frame.keys === null) {
        begin(`${frame.name}.${frame.items++}`)
      } else {
        if (text.charAt(at) !== '"') fail('a key is expected')
        const key = readString()
        if (frame.keys.has(key)) hasDuplicateKeys = true
        frame.keys.add(key)
        frame.items++
        skipWhite()
        if (text.charAt(at) !== ':') fail('a colon is expected')
        at++
        begin(`${frame.name}.${key}`)
      }
    }
    skipWhite()
    if (at < text.length) fail('text after the value')
  } catch (thrown) {
    if (!(thrown instanceof JsonSyntaxError)) throw thrown
    error = thrown.message
  }
  const errorAt = error === undefined ? text.length : Math.max(at, reached)
  return { pairs, error, errorAt, hasDuplicateKeys }
}

const ESCAPES: Readonly<Record<string, number>> = {
  '"': 34,
  '\\': 92,
  '/': 47,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
}

function pushUtf8(code: number): void {
  if (code < 0x80) writer.push(code)
  else if (code < 0x800) {
    writer.push(0xc0 | (code >> 6))
    writer.push(0x80 | (code & 63))
  } else if (code < 0x10000) {
    writer.push(0xe0 | (code >> 12))
    writer.push(0x80 | ((code >> 6) & 63))
    writer.push(0x80 | (code & 63))
  } else {
    writer.push(0xf0 | (code >> 18))
    writer.push(0x80 | ((code >> 12) & 63))
    writer.push(0x80 | ((code >> 6) & 63))
    writer.push(0x80 | (code & 63))
  }
}
