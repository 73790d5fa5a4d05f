/**
 * Looks one value up in a JSON text without building a document: bytes in, bytes out, exact numbers,
 * duplicate keys (the last one counts, as for most parsers), no recursion. RFC 8259.
 */
import { hexDigit, toBytes } from './bytes.ts'

const SPACE = /[ \t\n\r]*/y
const STRING = /"[ !#-[\]-\uffff]*(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[ !#-[\]-\uffff]*)*"/y
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y
const WORD = /true|false|null/y

export interface JsonScalar {
  readonly kind: 'string' | 'number' | 'word'
  /** Decoded bytes of a string; the text of anything else. */
  readonly text: string
}

/** The scalar at the end of `path`; undefined when there is none, or the text is not JSON. */
export function lookupJson(
  json: string,
  path: readonly (string | number)[],
): JsonScalar | undefined {
  const scanner = new Scanner(json)
  return scanner.document(path)
}

/** One open container. */
interface Level {
  readonly isObject: boolean
  /** Next index of an array. */
  index: number
  /** Depth of the path that leads into this container; -1 when it is beside the path. */
  readonly on: number
}

class Scanner {
  readonly #json: string
  #at = 0

  constructor(json: string) {
    this.#json = json
  }

  document(path: readonly (string | number)[]): JsonScalar | undefined {
    const levels: Level[] = []
    let found: JsonScalar | undefined
    /** How much of the path leads to the value that comes next; -1 when it is beside it. */
    let on = 0
    for (;;) {
      this.#match(SPACE)
      const char = this.#json[this.#at]
      if (char === '{' || char === '[') {
        // A later duplicate of a container on the path hides what an earlier one held.
        if (on >= 0) found = undefined
        const level: Level = {
          isObject: char === '{',
          index: 0,
          on: on >= 0 && on < path.length ? on : -1,
        }
        this.#at++
        this.#match(SPACE)
        if (this.#take(level.isObject ? '}' : ']') === false) {
          levels.push(level)
          const next = this.#enter(level, path)
          if (next === undefined) return undefined
          on = next
          continue
        }
      } else {
        const scalar = this.#scalar()
        if (scalar === undefined) return undefined
        if (on === path.length) found = scalar
        else if (on >= 0) found = undefined
      }
      // A value has ended: close what closes, or go on to the next member.
      for (;;) {
        this.#match(SPACE)
        const level = levels.at(-1)
        if (level === undefined) return this.#at === this.#json.length ? found : undefined
        if (this.#take(',')) {
          level.index++
          const next = this.#enter(level, path)
          if (next === undefined) return undefined
          on = next
          break
        }
        if (!this.#take(level.isObject ? '}' : ']')) return undefined
        levels.pop()
      }
    }
  }

  /** Reads a member's key, if it has one; answers how much of the path leads to its value. */
  #enter(level: Level, path: readonly (string | number)[]): number | undefined {
    let key: string | number = level.index
    if (level.isObject) {
      this.#match(SPACE)
      const text = this.#match(STRING)
      if (text === '') return undefined
      key = level.on < 0 ? '' : decodeString(text)
      this.#match(SPACE)
      if (!this.#take(':')) return undefined
    }
    return level.on >= 0 && path[level.on] === key ? level.on + 1 : -1
  }

  #scalar(): JsonScalar | undefined {
    const string = this.#match(STRING)
    if (string !== '') return { kind: 'string', text: decodeString(string) }
    const number = this.#match(NUMBER)
    if (number !== '') return { kind: 'number', text: number }
    const word = this.#match(WORD)
    return word === '' ? undefined : { kind: 'word', text: word }
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at
    const text = pattern.exec(this.#json)?.[0] ?? ''
    this.#at += text.length
    return text
  }

  #take(char: string): boolean {
    if (this.#json[this.#at] !== char) return false
    this.#at++
    return true
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
}

/** The bytes of a JSON string, quotes included in `text`; \u escapes become UTF-8. */
function decodeString(text: string): string {
  let out = ''
  let from = 1
  for (;;) {
    const slash = text.indexOf('\\', from)
    if (slash < 0) return out + text.slice(from, -1)
    out += text.slice(from, slash)
    const char = text[slash + 1] as string
    from = slash + 2
    if (char !== 'u') {
      out += ESCAPES[char] ?? char
      continue
    }
    let units = ''
    // Surrogates come in pairs: all \u escapes in a row are one text.
    from = slash
    while (text[from] === '\\' && text[from + 1] === 'u') {
      let unit = 0
      for (let i = from + 2; i < from + 6; i++) unit = unit * 16 + hexDigit(text.charCodeAt(i))
      units += String.fromCharCode(unit)
      from += 6
    }
    out += toBytes(units)
  }
}
