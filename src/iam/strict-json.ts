/**
 * JSON as tokens need it: RFC 8259 and nothing else, no duplicate names (another parser might take the
 * other one), numbers that a double holds, bounded depth and size, objects without a prototype.
 * `JSON.parse` accepts duplicates and 1e400, and hides both.
 */

export type Json = null | boolean | number | string | Json[] | JsonObject
export interface JsonObject {
  [name: string]: Json
}

export interface JsonLimits {
  readonly depth: number
  /** Values in total, names not counted. */
  readonly values: number
}

/** @returns undefined when the text is not a JSON object within the limits */
export function parseJsonObject(text: string, limits: JsonLimits): JsonObject | undefined {
  const reader = new Reader(text, limits)
  try {
    const value = reader.document()
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}

class Malformed extends Error {}

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y

class Reader {
  readonly #text: string
  readonly #depth: number
  #left: number
  #at = 0

  constructor(text: string, limits: JsonLimits) {
    this.#text = text
    this.#depth = limits.depth
    this.#left = limits.values
  }

  document(): Json {
    this.#space()
    const value = this.#value(1)
    this.#space()
    if (this.#at !== this.#text.length) throw new Malformed()
    return value
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return
      this.#at++
    }
  }

  #value(depth: number): Json {
    if (--this.#left < 0) throw new Malformed()
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth)
      case '[':
        return this.#array(depth)
      case '"':
        return this.#string()
      case 't':
        return this.#word('true', true)
      case 'f':
        return this.#word('false', false)
      case 'n':
        return this.#word('null', null)
      default:
        return this.#number()
    }
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw new Malformed()
    this.#at += word.length
    return value
  }

  #number(): number {
    NUMBER.lastIndex = this.#at
    const match = NUMBER.exec(this.#text)
    if (match === null) throw new Malformed()
    const value = Number(match[0])
    if (!Number.isFinite(value)) throw new Malformed()
    this.#at = NUMBER.lastIndex
    return value
  }

  #string(): string {
    const start = ++this.#at
    let hasEscapes = false
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code === 34) break
      // NaN at the end of the text fails this test too.
      if (!(code >= 32)) throw new Malformed()
      if (code === 92) {
        hasEscapes = true
        this.#at++
      }
      this.#at++
    }
    const end = this.#at++
    if (!hasEscapes) return this.#text.slice(start, end)
    try {
      return JSON.parse(this.#text.slice(start - 1, end + 1))
    } catch {
      // A bad escape: what JSON.parse says about it is of no use to anybody.
      throw new Malformed()
    }
  }

  #object(depth: number): JsonObject {
    if (depth > this.#depth) throw new Malformed()
    const object: JsonObject = Object.create(null)
    let hasPrototypeName = false
    this.#at++
    this.#space()
    if (this.#take('}')) return object
    for (;;) {
      if (this.#text[this.#at] !== '"') throw new Malformed()
      const name = this.#string()
      this.#space()
      if (!this.#take(':')) throw new Malformed()
      this.#space()
      const value = this.#value(depth + 1)
      if (name in object || (name === '__proto__' && hasPrototypeName)) throw new Malformed()
      // Left out: a later copy into an ordinary object would set its prototype.
      if (name === '__proto__') hasPrototypeName = true
      else object[name] = value
      this.#space()
      if (this.#take('}')) return object
      if (!this.#take(',')) throw new Malformed()
      this.#space()
    }
  }

  #array(depth: number): Json[] {
    if (depth > this.#depth) throw new Malformed()
    const array: Json[] = []
    this.#at++
    this.#space()
    if (this.#take(']')) return array
    for (;;) {
      array.push(this.#value(depth + 1))
      this.#space()
      if (this.#take(']')) return array
      if (!this.#take(',')) throw new Malformed()
      this.#space()
    }
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }
}
