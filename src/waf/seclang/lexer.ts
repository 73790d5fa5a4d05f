/**
 * SecLang (ModSecurity, Apache style) into directives: comments dropped, continued lines joined,
 * arguments unquoted. Pure text in; nothing of what a directive means is known here.
 */

export class SeclangError extends Error {
  override readonly name = 'SeclangError'
  readonly file: string
  /** From 1. */
  readonly line: number
  constructor(file: string, line: number, message: string) {
    super(`${file}:${line}: ${message}`)
    this.file = file
    this.line = line
  }
}

export interface Directive {
  readonly name: string
  readonly args: readonly string[]
  readonly file: string
  readonly line: number
}

/** @throws SeclangError on an unclosed quote or a continuation at the end of the file */
export function readDirectives(file: string, text: string): Directive[] {
  const directives: Directive[] = []
  const lines = text.split('\n')
  for (let i = 0; i < lines.length; i++) {
    const line = i + 1
    let logical = (lines[i] as string).replace(/\r$/, '')
    if (/^\s*(#|$)/.test(logical)) continue
    while (logical.endsWith('\\')) {
      if (++i >= lines.length)
        throw new SeclangError(file, line, 'the file ends in a continued line')
      // Apache joins lines as they are; leading blanks of the next line only indent.
      logical = logical.slice(0, -1) + (lines[i] as string).replace(/\r$/, '').trimStart()
    }
    const words = splitWords(file, line, logical)
    directives.push({ name: words[0] as string, args: words.slice(1), file, line })
  }
  return directives
}

/** Words are bare or in double or single quotes, where a backslash escapes the quote only. */
function splitWords(file: string, line: number, text: string): string[] {
  const words: string[] = []
  let at = 0
  for (;;) {
    while (at < text.length && /\s/.test(text.charAt(at))) at++
    if (at === text.length) return words
    const quote = text.charAt(at)
    let word = ''
    if (quote === '"' || quote === "'") {
      at++
      for (;;) {
        if (at >= text.length) throw new SeclangError(file, line, `a quote ${quote} is not closed`)
        const char = text.charAt(at)
        if (char === '\\' && text.charAt(at + 1) === quote) {
          word += quote
          at += 2
        } else if (char === quote) {
          at++
          break
        } else {
          word += char
          at++
        }
      }
    } else {
      while (at < text.length && !/\s/.test(text.charAt(at))) word += text.charAt(at++)
    }
    words.push(word)
  }
}
