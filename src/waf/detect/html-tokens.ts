/**
 * A tokeniser for HTML fragments after the HTML Living Standard §13.2.5, reduced to what decides whether
 * markup can run script. It never backtracks, and where an end sign was found (or not) is remembered.
 */
import { isSpace } from './bytes.ts'

export const TEXT = 1
/** Name of a start tag. */
export const TAG = 2
export const END_TAG = 3
export const ATTRIBUTE = 4
export const VALUE = 5
/** `>` or `/>` */
export const TAG_END = 6
export const COMMENT = 7
export const DOCTYPE = 8

/** Where the value is put into the page. */
export type HtmlContext = 'data' | 'unquoted' | 'single' | 'double' | 'backtick'

const QUOTES: Readonly<Record<HtmlContext, number>> = {
  data: 0,
  unquoted: 0,
  single: 0x27,
  double: 0x22,
  backtick: 0x60,
}

const IN_DATA = 0
const IN_TAG = 1
const AFTER_NAME = 2

export class HtmlReader {
  readonly text: string
  kind = 0
  start = 0
  end = 0
  /** For VALUE: the quote it stood in, 0 for none. */
  quote = 0
  #at = 0
  #state: number
  #opening: number
  #context: HtmlContext
  /** Where each end sign was last found; Infinity when there is none. */
  readonly #seen = new Map<string, number>()

  constructor(text: string, context: HtmlContext) {
    this.text = text
    this.#context = context
    this.#opening = context === 'data' ? 0 : 1
    this.#state = IN_DATA
  }

  /** Advances to the next token; false at the end. */
  next(): boolean {
    if (this.#opening === 1) {
      this.#opening = 0
      return this.#firstValue()
    }
    if (this.#at >= this.text.length) return false
    if (this.#state === IN_DATA) return this.#data()
    if (this.#state === AFTER_NAME) return this.#value()
    return this.#insideTag()
  }

  /** The rest of the attribute value that the page had already opened. */
  #firstValue(): boolean {
    const quote = QUOTES[this.#context]
    let end: number
    if (quote === 0) {
      end = 0
      while (end < this.text.length) {
        const c = this.text.charCodeAt(end)
        if (isSpace(c) || c === 62) break
        end++
      }
      this.#at = end
    } else {
      end = this.text.indexOf(String.fromCharCode(quote))
      if (end < 0) end = this.text.length
      this.#at = end + 1
    }
    this.#state = IN_TAG
    return this.#emit(VALUE, 0, end)
  }

  #emit(kind: number, start: number, end: number): boolean {
    this.kind = kind
    this.start = start
    this.end = end
    return true
  }

  #find(sign: string, from: number): number {
    const seen = this.#seen.get(sign)
    if (seen !== undefined && seen >= from) return seen === Number.POSITIVE_INFINITY ? -1 : seen
    const at = this.text.indexOf(sign, from)
    this.#seen.set(sign, at < 0 ? Number.POSITIVE_INFINITY : at)
    return at
  }

  #data(): boolean {
    const text = this.text
    const open = text.indexOf('<', this.#at)
    if (open < 0) {
      const from = this.#at
      this.#at = text.length
      return this.#emit(TEXT, from, text.length)
    }
    if (open > this.#at) {
      const from = this.#at
      this.#at = open
      return this.#emit(TEXT, from, open)
    }
    const c = text.charCodeAt(open + 1)
    if (isLetter(c)) return this.#tagName(TAG, open + 1)
    if (c === 47) {
      if (isLetter(text.charCodeAt(open + 2))) return this.#tagName(END_TAG, open + 2)
      return open + 2 >= text.length ? this.#plain(open) : this.#bogus(open + 2)
    }
    if (c === 33) return this.#declaration(open + 2)
    if (c === 63) return this.#bogus(open + 2)
    if (c === 37) {
      // Old Internet Explorers ended "<%" at "%>"; newer browsers see text.
      const close = this.#find('%>', open + 2)
      if (close < 0) return this.#bogus(open + 2)
      this.#at = close + 2
      return this.#emit(COMMENT, open + 2, close)
    }
    return this.#plain(open)
  }

  #plain(open: number): boolean {
    this.#at = open + 1
    return this.#emit(TEXT, open, open + 1)
  }

  #tagName(kind: number, from: number): boolean {
    const text = this.text
    let i = from
    while (i < text.length) {
      const c = text.charCodeAt(i)
      if (isSpace(c) || c === 47 || c === 62) break
      i++
    }
    this.#at = i
    this.#state = IN_TAG
    return this.#emit(kind, from, i)
  }

  #bogus(from: number): boolean {
    const close = this.#find('>', from)
    this.#at = close < 0 ? this.text.length : close + 1
    return this.#emit(COMMENT, from, close < 0 ? this.text.length : close)
  }

  #declaration(from: number): boolean {
    const text = this.text
    if (text.startsWith('--', from)) {
      const start = from + 2
      // "<!-->" and "<!--->" are whole comments.
      if (text.charCodeAt(start) === 62 || text.startsWith('->', start)) {
        this.#at = start + (text.charCodeAt(start) === 62 ? 1 : 2)
        return this.#emit(COMMENT, start, start)
      }
      let close = this.#find('-->', start)
      let width = 3
      const bang = this.#find('--!>', start)
      if (bang >= 0 && (close < 0 || bang < close)) {
        close = bang
        width = 4
      }
      this.#at = close < 0 ? text.length : close + width
      return this.#emit(COMMENT, start, close < 0 ? text.length : close)
    }
    if (text.startsWith('[CDATA[', from)) {
      const close = this.#find(']]>', from + 7)
      this.#at = close < 0 ? text.length : close + 3
      return this.#emit(TEXT, from + 7, close < 0 ? text.length : close)
    }
    const close = this.#find('>', from)
    const end = close < 0 ? text.length : close
    this.#at = close < 0 ? text.length : close + 1
    const isDoctype = text.slice(from, from + 7).toLowerCase() === 'doctype'
    return this.#emit(isDoctype ? DOCTYPE : COMMENT, from, end)
  }

  #insideTag(): boolean {
    const text = this.text
    let i = this.#at
    while (i < text.length) {
      const c = text.charCodeAt(i)
      if (c === 47 && text.charCodeAt(i + 1) === 62) {
        this.#at = i + 2
        this.#state = IN_DATA
        return this.#emit(TAG_END, i, i + 2)
      }
      if (!isSpace(c) && c !== 47) break
      i++
    }
    if (i >= text.length) {
      this.#at = i
      return false
    }
    if (text.charCodeAt(i) === 62) {
      this.#at = i + 1
      this.#state = IN_DATA
      return this.#emit(TAG_END, i, i + 1)
    }
    const from = i
    i++ // an "=" in first place belongs to the name
    while (i < text.length) {
      const c = text.charCodeAt(i)
      if (isSpace(c) || c === 47 || c === 62 || c === 61) break
      i++
    }
    const end = i
    while (i < text.length && isSpace(text.charCodeAt(i))) i++
    if (text.charCodeAt(i) === 61) {
      this.#at = i + 1
      this.#state = AFTER_NAME
    } else {
      this.#at = i
    }
    return this.#emit(ATTRIBUTE, from, end)
  }

  #value(): boolean {
    const text = this.text
    this.#state = IN_TAG
    let i = this.#at
    while (i < text.length && isSpace(text.charCodeAt(i))) i++
    const c = text.charCodeAt(i)
    if (c === 0x22 || c === 0x27 || c === 0x60) {
      const close = this.#find(text[i] as string, i + 1)
      const end = close < 0 ? text.length : close
      this.#at = close < 0 ? text.length : close + 1
      this.quote = c
      return this.#emit(VALUE, i + 1, end)
    }
    const from = i
    while (i < text.length && !isSpace(text.charCodeAt(i)) && text.charCodeAt(i) !== 62) i++
    this.#at = i
    this.quote = 0
    return this.#emit(VALUE, from, i)
  }
}

function isLetter(code: number): boolean {
  const lower = code | 32
  return lower >= 97 && lower <= 122
}
