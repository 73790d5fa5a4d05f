/**
 * Structured fields (RFC 9651 §4.2): dictionaries and lists, parsed strictly. One wrong byte makes the
 * whole field invalid, which its reader then ignores; parameters are checked and dropped, no field of
 * ours has any.
 */
export type BareItem =
  | { readonly kind: 'integer' | 'decimal' | 'date'; readonly value: number }
  | { readonly kind: 'string' | 'token' | 'bytes' | 'display'; readonly value: string }
  | { readonly kind: 'boolean'; readonly value: boolean }
export type Member = BareItem | { readonly kind: 'list'; readonly value: readonly BareItem[] }

const TOKEN_EXTRA = "!#$%&'*+-.^_`|~:/"

class Reader {
  readonly text: string
  at = 0
  constructor(text: string) {
    this.text = text
  }

  get done(): boolean {
    return this.at >= this.text.length
  }

  peek(): string {
    return this.text[this.at] ?? ''
  }

  take(char: string): boolean {
    if (this.text[this.at] !== char) return false
    this.at++
    return true
  }

  spaces(): void {
    while (this.text[this.at] === ' ') this.at++
  }

  optionalWhitespace(): void {
    while (this.text[this.at] === ' ' || this.text[this.at] === '\t') this.at++
  }
}

function isDigit(char: string): boolean {
  return char >= '0' && char <= '9' && char.length === 1
}
function isLower(char: string): boolean {
  return char >= 'a' && char <= 'z' && char.length === 1
}
function isAlpha(char: string): boolean {
  return isLower(char) || (char >= 'A' && char <= 'Z' && char.length === 1)
}

function key(reader: Reader): string | undefined {
  const start = reader.at
  if (!isLower(reader.peek()) && reader.peek() !== '*') return undefined
  while (!reader.done) {
    const char = reader.peek()
    if (!(isLower(char) || isDigit(char) || '_-.*'.includes(char))) break
    reader.at++
  }
  return reader.text.slice(start, reader.at)
}

function number(reader: Reader): BareItem | undefined {
  const negative = reader.take('-')
  const start = reader.at
  while (isDigit(reader.peek())) reader.at++
  const whole = reader.at - start
  if (whole === 0 || whole > 15) return undefined
  const sign = negative ? -1 : 1
  if (!reader.take('.')) {
    return { kind: 'integer', value: sign * Number(reader.text.slice(start, reader.at)) }
  }
  const fraction = reader.at
  while (isDigit(reader.peek())) reader.at++
  const places = reader.at - fraction
  if (whole > 12 || places < 1 || places > 3) return undefined
  return { kind: 'decimal', value: sign * Number(reader.text.slice(start, reader.at)) }
}

function quoted(reader: Reader): BareItem | undefined {
  reader.at++
  let value = ''
  while (!reader.done) {
    const char = reader.text[reader.at++] as string
    if (char === '"') return { kind: 'string', value }
    if (char === '\\') {
      const next = reader.text[reader.at++]
      if (next !== '"' && next !== '\\') return undefined
      value += next
    } else if (char < ' ' || char > '~') return undefined
    else value += char
  }
  return undefined
}

function bareItem(reader: Reader): BareItem | undefined {
  const char = reader.peek()
  if (char === '"') return quoted(reader)
  if (char === '-' || isDigit(char)) return number(reader)
  if (char === '?') {
    reader.at++
    if (reader.take('1')) return { kind: 'boolean', value: true }
    if (reader.take('0')) return { kind: 'boolean', value: false }
    return undefined
  }
  if (char === ':') {
    const end = reader.text.indexOf(':', reader.at + 1)
    if (end < 0) return undefined
    const value = reader.text.slice(reader.at + 1, end)
    reader.at = end + 1
    return /^[A-Za-z0-9+/=]*$/.test(value) ? { kind: 'bytes', value } : undefined
  }
  if (char === '@') {
    reader.at++
    const value = number(reader)
    return value?.kind === 'integer' ? { kind: 'date', value: value.value } : undefined
  }
  if (char === '%' && reader.text[reader.at + 1] === '"') {
    const end = reader.text.indexOf('"', reader.at + 2)
    if (end < 0) return undefined
    const raw = reader.text.slice(reader.at + 2, end)
    reader.at = end + 1
    try {
      return /^(?:[ !#$&-~]|%[0-9a-f]{2})*$/.test(raw)
        ? { kind: 'display', value: decodeURIComponent(raw) }
        : undefined
    } catch {
      // Not UTF-8: the field is invalid, as for any other wrong byte.
      return undefined
    }
  }
  if (isAlpha(char) || char === '*') {
    const start = reader.at
    while (!reader.done) {
      const next = reader.peek()
      if (!(isAlpha(next) || isDigit(next) || TOKEN_EXTRA.includes(next))) break
      reader.at++
    }
    return { kind: 'token', value: reader.text.slice(start, reader.at) }
  }
  return undefined
}

function parameters(reader: Reader): boolean {
  while (reader.take(';')) {
    reader.spaces()
    if (key(reader) === undefined) return false
    if (reader.take('=') && bareItem(reader) === undefined) return false
  }
  return true
}

function member(reader: Reader): Member | undefined {
  if (!reader.take('(')) {
    const item = bareItem(reader)
    return item !== undefined && parameters(reader) ? item : undefined
  }
  const value: BareItem[] = []
  while (!reader.done) {
    reader.spaces()
    if (reader.take(')')) return parameters(reader) ? { kind: 'list', value } : undefined
    const item = bareItem(reader)
    if (item === undefined || !parameters(reader)) return undefined
    if (reader.peek() !== ' ' && reader.peek() !== ')') return undefined
    value.push(item)
  }
  return undefined
}

/** Moves past a comma to the next member; false at a syntax error. */
function nextMember(reader: Reader): boolean {
  reader.optionalWhitespace()
  if (reader.done) return true
  if (!reader.take(',')) return false
  reader.optionalWhitespace()
  return !reader.done
}

/** @returns undefined when the text is not a dictionary; of equal keys the last one counts (§4.2.2) */
export function parseDictionary(text: string): Map<string, Member> | undefined {
  const reader = new Reader(text)
  const found = new Map<string, Member>()
  reader.spaces()
  while (!reader.done) {
    const name = key(reader)
    if (name === undefined) return undefined
    let value: Member | undefined = { kind: 'boolean', value: true }
    if (reader.take('=')) value = member(reader)
    else if (!parameters(reader)) return undefined
    if (value === undefined) return undefined
    found.delete(name)
    found.set(name, value)
    if (!nextMember(reader)) return undefined
  }
  return found
}

/** @returns undefined when the text is not a list */
export function parseList(text: string): Member[] | undefined {
  const reader = new Reader(text)
  const found: Member[] = []
  reader.spaces()
  while (!reader.done) {
    const value = member(reader)
    if (value === undefined) return undefined
    found.push(value)
    if (!nextMember(reader)) return undefined
  }
  return found
}

/** A list of strings, such as Cache-Groups (RFC 9875); members of another type are dropped. */
export function parseStringList(text: string | undefined): string[] {
  if (text === undefined) return []
  const strings: string[] = []
  for (const item of parseList(text) ?? []) if (item.kind === 'string') strings.push(item.value)
  return strings
}
