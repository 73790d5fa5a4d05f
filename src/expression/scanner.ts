/** Reads an expression's characters: white space, words, and all kinds of strings. */
import type { Literal, Pattern } from './ast.ts'
import { hexDigit, toBytes } from './bytes.ts'
import { ExpressionError } from './error.ts'

export class Scanner {
  protected readonly source: string
  protected at = 0

  constructor(source: string) {
    this.source = source
  }

  protected atString(): boolean {
    const source = this.source
    if (source[this.at] === '"') return true
    if (source[this.at] !== 'r') return false
    return source[this.at + 1] === '"' || source[this.at + 1] === '#'
  }

  protected string(): Literal {
    const start = this.at
    const text = this.looking('"') ? this.#quoted() : toBytes(this.#raw().text)
    return { kind: 'literal', form: 'string', text, start, end: this.at }
  }

  /** A quoted string with the escapes \" \\ \xHH \OOO, as bytes. */
  #quoted(): string {
    const source = this.source
    const start = this.at++
    let bytes = ''
    let from = this.at
    for (;;) {
      const char = source[this.at]
      if (char === undefined) this.fail('this string is never closed', start)
      if (char === '"') break
      if (char !== '\\') {
        this.at++
        continue
      }
      bytes += toBytes(source.slice(from, this.at)) + this.#escape(start)
      from = this.at
    }
    bytes += toBytes(source.slice(from, this.at))
    this.at++
    return bytes
  }

  #escape(stringStart: number): string {
    const at = this.at
    const next = this.source[at + 1]
    if (next === undefined) this.fail('this string is never closed', stringStart)
    if (next === '"' || next === '\\') {
      this.at += 2
      return next
    }
    if (next === 'x') {
      const value =
        hexDigit(this.source.charCodeAt(at + 2)) * 16 + hexDigit(this.source.charCodeAt(at + 3))
      if (!/^[0-9A-Fa-f]{2}$/.test(this.source.slice(at + 2, at + 4))) {
        this.fail('two hexadecimal digits are expected after \\x', at)
      }
      this.at += 4
      return String.fromCharCode(value)
    }
    if (next >= '0' && next <= '7') {
      const digits = this.source.slice(at + 1, at + 4)
      if (!/^[0-3][0-7]{2}$/.test(digits)) {
        this.fail('three octal digits up to \\377 are expected after \\', at)
      }
      this.at += 4
      return String.fromCharCode(Number.parseInt(digits, 8))
    }
    this.fail(
      `unknown escape \\${next}`,
      at,
      'a string knows \\" \\\\ \\xHH and \\OOO; write r"…" for a string without escapes',
    )
  }

  /** `r"…"`, `r#"…"#`: text without escapes, and where it begins. */
  #raw(): { text: string; from: number } {
    const start = this.at++
    let hashes = 0
    while (this.looking('#')) {
      hashes++
      this.at++
    }
    if (hashes > 255) this.fail('a raw string has at most 255 #', start)
    if (!this.taken('"')) this.fail('a quote is expected in r"…" or r#"…"#')
    const from = this.at
    const end = this.source.indexOf(`"${'#'.repeat(hashes)}`, from)
    if (end < 0) this.fail('this string is never closed', start)
    this.at = end + hashes + 1
    return { text: this.source.slice(from, end), from }
  }

  /**
   * A regular expression. In a quoted one only \" outside brackets is undone, everything else is the
   * pattern's; a quote inside brackets does not end it.
   */
  protected pattern(): Pattern {
    const start = this.at
    if (!this.atString()) this.fail('a quoted regular expression is expected')
    const offsets: number[] = []
    let pattern = ''
    if (this.looking('"')) {
      pattern = this.#quotedPattern(offsets)
    } else {
      const { text, from } = this.#raw()
      pattern = text
      for (let i = 0; i <= text.length; i++) offsets.push(from + i)
    }
    const lexeme = this.source.slice(start, this.at)
    return { kind: 'pattern', pattern, offsets, lexeme, start, end: this.at }
  }

  #quotedPattern(offsets: number[]): string {
    const source = this.source
    const start = this.at++
    let pattern = ''
    let inBrackets = false
    for (;;) {
      const char = source[this.at]
      if (char === undefined) this.fail('this string is never closed', start)
      offsets.push(this.at)
      if (char === '"' && !inBrackets) break
      if (char === '\\') {
        const next = source[this.at + 1]
        if (next === undefined) this.fail('this string is never closed', start)
        if (inBrackets || next !== '"') {
          pattern += char
          offsets.push(this.at + 1)
        }
        pattern += next
        this.at += 2
        continue
      }
      if (char === '[') inBrackets = true
      else if (char === ']') inBrackets = false
      pattern += char
      this.at++
    }
    this.at++
    return pattern
  }

  protected space(): void {
    for (;;) {
      const code = this.source.charCodeAt(this.at)
      if (code !== 32 && code !== 9 && code !== 10 && code !== 13) return
      this.at++
    }
  }

  protected ended(): boolean {
    return this.at >= this.source.length
  }

  protected looking(text: string): boolean {
    return this.source.startsWith(text, this.at)
  }

  protected taken(text: string): boolean {
    if (!this.looking(text)) return false
    this.at += text.length
    return true
  }

  protected peek(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at
    return pattern.exec(this.source)?.[0]
  }

  protected match(pattern: RegExp): string | undefined {
    const text = this.peek(pattern)
    if (text !== undefined) this.at += text.length
    return text
  }

  protected fail(message: string, position = this.at, hint?: string): never {
    throw new ExpressionError(this.source, position, message, hint)
  }
}
