/**
 * A tokeniser for SQL fragments as they stand behind a quoting context. One pass, no backtracking: each
 * character is read a bounded number of times.
 */
import { classOf, DIGIT, isDigit, isSpace, isWord, SPACE, skipSpace } from './bytes.ts'
import {
  ARITH,
  CLOSE,
  CMP,
  COMMA,
  COMMENT,
  CONST,
  FUNC,
  functionRank,
  JUNK,
  LOGIC,
  mayHaveRole,
  NUM,
  OPEN,
  PREFIX,
  roleOf,
  SEMI,
  STR,
  VAR,
  WORD,
} from './sqli-words.ts'

const QUOTE = 0x27
const DOUBLE = 0x22
const BACKTICK = 0x60

/** Why a comment matters. */
export const BLOCK_COMMENT = 1
export const DASH_COMMENT = 2
export const HASH_COMMENT = 3

/** Tokens whose room is kept for the next value. */
const KEPT_ROOM = 1024

export class SqlTokens {
  count = 0
  kind = new Uint8Array(64)
  start = new Int32Array(64)
  end = new Int32Array(64)
  /** STR: 1 when left open at the end. COMMENT: its sort. ARITH, CMP: first character. */
  note = new Uint8Array(64)
  /** A versioned (MySQL) comment, or a comment opened inside a comment. */
  hasEvilComment = false
  /** Two dashes that MySQL reads as operators because no space follows. */
  hasTightDashes = false

  /** Empties the list; its room is kept. */
  reset(): void {
    this.count = 0
    this.hasEvilComment = false
    this.hasTightDashes = false
    if (this.kind.length > KEPT_ROOM) {
      this.kind = new Uint8Array(64)
      this.start = new Int32Array(64)
      this.end = new Int32Array(64)
      this.note = new Uint8Array(64)
    }
  }

  push(kind: number, start: number, end: number, note = 0): void {
    if (this.count === this.kind.length) this.#grow()
    this.kind[this.count] = kind
    this.start[this.count] = start
    this.end[this.count] = end
    this.note[this.count] = note
    this.count++
  }

  /** Kind of token `i`, 0 past the end. */
  at(i: number): number {
    return i >= 0 && i < this.count ? (this.kind[i] as number) : 0
  }

  #grow(): void {
    const size = this.kind.length * 2
    const kind = new Uint8Array(size)
    kind.set(this.kind)
    this.kind = kind
    const start = new Int32Array(size)
    start.set(this.start)
    this.start = start
    const end = new Int32Array(size)
    end.set(this.end)
    this.end = end
    const note = new Uint8Array(size)
    note.set(this.note)
    this.note = note
  }
}

/** One value is read at a time, from start to end without waiting, so one list serves all. */
const SCRATCH = new SqlTokens()

/**
 * The answer is valid until the next call.
 * @param text    the value
 * @param quote   character code of the literal that the value stands in, 0 for none
 * @param ansi    read `--` as a comment whatever follows (MySQL wants a space)
 */
export function tokenise(text: string, quote: number, ansi: boolean): SqlTokens {
  const tokens = SCRATCH
  tokens.reset()
  nextBackslash = -1
  const n = text.length
  let i = 0
  if (quote !== 0) {
    const close = text.indexOf(String.fromCharCode(quote))
    if (close < 0) return tokens
    tokens.push(STR, 0, close)
    i = close + 1
  }
  while (i < n) {
    const c = text.charCodeAt(i)
    const k = classOf(c)
    if (k & SPACE) {
      i++
    } else if (k & DIGIT || (c === 46 && isDigit(text.charCodeAt(i + 1)))) {
      i = number(text, i, tokens)
    } else if (c === QUOTE || c === DOUBLE) {
      i = string(text, i, c, tokens)
    } else if (c === BACKTICK) {
      const close = text.indexOf('`', i + 1)
      const end = close < 0 ? n : close + 1
      tokens.push(close < 0 ? COMMENT : WORD, i, end, HASH_COMMENT)
      i = end
    } else if (k !== 0) {
      i = word(text, i, tokens)
    } else {
      i = symbol(text, i, c, ansi, tokens)
    }
  }
  return tokens
}

function number(text: string, from: number, tokens: SqlTokens): number {
  const n = text.length
  let i = from
  const second = text.charCodeAt(i + 1) | 32
  if (text.charCodeAt(i) === 48 && (second === 120 || second === 98)) {
    let j = i + 2
    while (j < n && (classOf(text.charCodeAt(j)) & 10) !== 0) j++
    if (j > i + 2) {
      tokens.push(NUM, from, j)
      return j
    }
  }
  while (i < n && isDigit(text.charCodeAt(i))) i++
  if (text.charCodeAt(i) === 46) {
    i++
    while (i < n && isDigit(text.charCodeAt(i))) i++
  }
  if ((text.charCodeAt(i) | 32) === 101) {
    let j = i + 1
    const sign = text.charCodeAt(j)
    if (sign === 43 || sign === 45) j++
    if (isDigit(text.charCodeAt(j))) {
      while (j < n && isDigit(text.charCodeAt(j))) j++
      i = j
    } else if (!isWord(text.charCodeAt(j)) || text.charCodeAt(i - 1) === 46) {
      // "1.e(": MySQL takes an exponent without digits, filters do not.
      i++
    }
  }
  tokens.push(NUM, from, i)
  return i
}

/** At or behind where strings are read; the text's length when there is none left, -1 before the first look. */
let nextBackslash = -1

function string(text: string, from: number, quote: number, tokens: SqlTokens): number {
  const n = text.length
  const mark = quote === QUOTE ? "'" : '"'
  let i = from + 1
  let close = text.indexOf(mark, i)
  while (close >= 0) {
    if (nextBackslash < i) {
      nextBackslash = text.indexOf('\\', i)
      if (nextBackslash < 0) nextBackslash = n
    }
    if (nextBackslash < close) {
      i = nextBackslash + 2
    } else if (text.charCodeAt(close + 1) !== quote || close + 2 >= n) {
      tokens.push(STR, from, close + 1)
      return close + 1
    } else {
      i = close + 2
    }
    if (close < i) close = text.indexOf(mark, i)
  }
  tokens.push(STR, from, n, 1)
  return n
}

function word(text: string, from: number, tokens: SqlTokens): number {
  const n = text.length
  let i = from + 1
  let dotted = false
  while (i < n) {
    const c = text.charCodeAt(i)
    if (isWord(c) || c === 36 || c === 35) {
      // '#' belongs to a name only inside it (Oracle, SQL Server); else it starts a comment.
      if (c === 35 && !isWord(text.charCodeAt(i + 1))) break
      i++
    } else if (c === 46 && (isWord(text.charCodeAt(i + 1)) || text.charCodeAt(i + 1) === 46)) {
      dotted = true
      i++
    } else {
      break
    }
  }
  const next = text.charCodeAt(i)
  if (i - from === 1 && next === QUOTE) {
    // n'..', x'..', b'..', e'..': typed literals.
    const c = text.charCodeAt(from) | 32
    if (c === 110 || c === 120 || c === 98 || c === 101) return string(text, i, QUOTE, tokens)
  }
  const length = i - from
  const mayHave = !dotted && length <= 24 && mayHaveRole(text.charCodeAt(from), length)
  const role = mayHave ? roleOf(text.slice(from, i).toLowerCase()) : WORD
  if (role === LOGIC || role === CMP || role === PREFIX) {
    tokens.push(role, from, i)
    return i
  }
  const call = text.charCodeAt(skipSpace(text, i, Math.min(n, i + 64))) === 40
  const comment = !call && next === 47 && text.charCodeAt(i + 1) === 42
  if (call || comment) {
    const rank = length <= 48 ? functionRank(text.slice(from, i).toLowerCase()) : 0
    if (call ? rank > 0 || (role === WORD && next === 40) : rank === 2) {
      tokens.push(FUNC, from, i, rank)
      return i
    }
  }
  tokens.push(role, from, i)
  return i
}

function symbol(text: string, from: number, c: number, ansi: boolean, tokens: SqlTokens): number {
  const next = text.charCodeAt(from + 1)
  switch (c) {
    case 40: // (
    case 123: // {
      tokens.push(OPEN, from, from + 1, c)
      return from + 1
    case 41: // )
    case 125: // }
      tokens.push(CLOSE, from, from + 1, c)
      return from + 1
    case 44:
      tokens.push(COMMA, from, from + 1)
      return from + 1
    case 59:
      tokens.push(SEMI, from, from + 1)
      return from + 1
    case 35: // #
      return lineComment(text, from, HASH_COMMENT, tokens)
    case 45: // -
      if (next === 45) {
        const third = text.charCodeAt(from + 2)
        if (ansi || Number.isNaN(third) || isSpace(third) || third === 43 || third === 45)
          return lineComment(text, from, DASH_COMMENT, tokens)
        tokens.hasTightDashes = true
      }
      tokens.push(ARITH, from, from + 1, c)
      return from + 1
    case 47: // /
      if (next === 42) return blockComment(text, from, tokens)
      tokens.push(ARITH, from, from + 1, c)
      return from + 1
    case 42: // *
      if (next === 47) return from + 2 // the end of a versioned comment
      tokens.push(ARITH, from, from + 1, c)
      return from + 1
    case 124: // |
    case 38: // &
      tokens.push(next === c ? LOGIC : ARITH, from, next === c ? from + 2 : from + 1, c)
      return next === c ? from + 2 : from + 1
    case 60: // <
    case 61: // =
    case 62: // >
    case 33: // !
    case 58: // :
      return comparison(text, from, c, next, tokens)
    case 43:
    case 37:
    case 94:
    case 126:
      tokens.push(c === 126 ? PREFIX : ARITH, from, from + 1, c)
      return from + 1
    case 64: // @
      return variable(text, from, tokens)
    case 91: // [
      return bracket(text, from, tokens)
    case 92: // \N
      tokens.push(next === 78 ? CONST : JUNK, from, next === 78 ? from + 2 : from + 1)
      return next === 78 ? from + 2 : from + 1
    case 36: // $$text$$, $1
      if (next === 36) {
        const close = text.indexOf('$$', from + 2)
        if (close > 0) {
          tokens.push(STR, from, close + 2)
          return close + 2
        }
        tokens.push(STR, from, text.length, 1)
        return text.length
      }
      tokens.push(JUNK, from, from + 1, c)
      return from + 1
    default:
      tokens.push(JUNK, from, from + 1, c)
      return from + 1
  }
}

function comparison(
  text: string,
  from: number,
  c: number,
  next: number,
  tokens: SqlTokens,
): number {
  if (c === 33 && next !== 61 && next !== 60 && next !== 62) {
    tokens.push(PREFIX, from, from + 1, c)
    return from + 1
  }
  if (c === 58) {
    const cast = next === 58
    tokens.push(
      cast ? ARITH : next === 61 ? CMP : JUNK,
      from,
      cast || next === 61 ? from + 2 : from + 1,
      c,
    )
    return cast || next === 61 ? from + 2 : from + 1
  }
  let i = from + 1
  if (c === 60 && (next === 60 || next === 62)) {
    tokens.push(next === 60 ? ARITH : CMP, from, from + 2, c)
    return from + 2
  }
  if (c === 62 && next === 62) {
    tokens.push(ARITH, from, from + 2, c)
    return from + 2
  }
  while (i < from + 3) {
    const d = text.charCodeAt(i)
    if (d !== 60 && d !== 61 && d !== 62) break
    i++
  }
  tokens.push(CMP, from, i, c)
  return i
}

function variable(text: string, from: number, tokens: SqlTokens): number {
  let i = from + 1
  if (text.charCodeAt(i) === 64) i++
  const first = text.charCodeAt(i)
  if (first === QUOTE || first === DOUBLE || first === BACKTICK) {
    const close = text.indexOf(text[i] as string, i + 1)
    const end = close < 0 ? text.length : close + 1
    tokens.push(VAR, from, end, i - from)
    return end
  }
  while (i < text.length && (isWord(text.charCodeAt(i)) || text.charCodeAt(i) === 46)) i++
  tokens.push(VAR, from, i, text.charCodeAt(from + 1) === 64 ? 2 : 1)
  return i
}

/** SQL Server and Access: [name]. Longer or stranger contents are no name. */
function bracket(text: string, from: number, tokens: SqlTokens): number {
  const stop = Math.min(text.length, from + 66)
  let i = from + 1
  while (i < stop && (isWord(text.charCodeAt(i)) || text.charCodeAt(i) === 32)) i++
  if (text.charCodeAt(i) === 93 && i > from + 1) {
    tokens.push(WORD, from, i + 1)
    return i + 1
  }
  tokens.push(JUNK, from, from + 1)
  return from + 1
}

function lineComment(text: string, from: number, sort: number, tokens: SqlTokens): number {
  let end = text.indexOf('\n', from)
  if (end < 0) end = text.length
  tokens.push(COMMENT, from, end, sort)
  return end
}

function blockComment(text: string, from: number, tokens: SqlTokens): number {
  const third = text.charCodeAt(from + 2)
  if (third === 33 || (third === 77 && text.charCodeAt(from + 3) === 33)) {
    // MySQL and MariaDB run what stands in /*!50000 ... */.
    tokens.hasEvilComment = true
    let i = from + (third === 33 ? 3 : 4)
    let digits = 0
    while (digits < 6 && isDigit(text.charCodeAt(i))) {
      i++
      digits++
    }
    // "/*!12345*/" holds nothing: five or six digits are a version, fewer are a number.
    return digits === 0 || digits >= 5 ? i : i - digits
  }
  const close = text.indexOf('*/', from + 2)
  const end = close < 0 ? text.length : close + 2
  if (close >= 0) {
    const inner = text.indexOf('/*', from + 2)
    if (inner >= 0 && inner <= close - 1) tokens.hasEvilComment = true
  }
  tokens.push(COMMENT, from, end, BLOCK_COMMENT)
  return end
}
