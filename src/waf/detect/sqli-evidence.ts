/**
 * What the structures in a run of SQL are worth. `SqlRun` walks the tokens and keeps the state; the scores
 * are here, each by what the run began with.
 */
import { isSpace } from './bytes.ts'
import {
  selectStrength,
  significant,
  skipParens,
  statementStrength,
  wordAt,
} from './sqli-statements.ts'
import type { SqlTokens } from './sqli-tokens.ts'
import {
  ARITH,
  CLOSE,
  COMMENT,
  CONST,
  FUNC,
  LOGIC,
  NUM,
  OPEN,
  SEMI,
  STMT,
  STR,
  VAR,
  WORD,
} from './sqli-words.ts'

/** What a run began with: how much trust its structures get. */
export type Anchor = 'quoted' | 'number' | 'operator' | 'word' | 'inner'

/** Operands that only SQL has: known functions, @@variables, sub-selects, catalogue names. */
export const SQLISH = 31
/** Nesting that is followed exactly; deeper parentheses are counted only. */
export const MAX_DEPTH = 64
export class SqlEvidence {
  protected readonly text: string
  protected readonly t: SqlTokens
  protected readonly quote: number
  score = 0
  evidence = ''
  position = 0

  protected anchor: Anchor = 'inner'
  /** Index of the run's first token. */
  protected first = 0
  protected expect = true
  /** Last complete operand: its kind (or SQLISH) and token. */
  protected operand = 0
  protected operandAt = -1
  protected compareLeft = 0
  protected compareAt = -1
  protected logicAt = -1
  /** Whether the current side of AND/OR already was a comparison, and how strong. */
  protected compared = 0
  protected leftCompared = 0
  protected structures = 0
  protected readonly stack: number[] = []
  protected readonly stackAt: number[] = []
  protected depth = 0

  constructor(text: string, tokens: SqlTokens, quote: number) {
    this.text = text
    this.t = tokens
    this.quote = quote
  }

  protected hit(score: number, evidence: string, token: number): void {
    if (score > this.score) {
      this.score = score
      this.evidence = evidence
      this.position = token >= 0 && token < this.t.count ? (this.t.start[token] as number) : 0
    }
  }

  /** Picks a score by the run's anchor. */
  protected by(
    quoted: number,
    number: number,
    operator: number,
    word: number,
    inner: number,
  ): number {
    switch (this.anchor) {
      case 'quoted':
        return quoted
      case 'number':
        return number
      case 'operator':
        return operator
      case 'word':
        return word
      default:
        return inner
    }
  }

  /** A comparison that AND, OR, HAVING or WHERE joins to what stood before. */
  protected joined(compared: number, i: number): void {
    const symbol = this.t.note[this.compareAt] !== 0
    if (compared === 3) {
      const plain = this.anchor === 'number' && this.leftCompared > 0
      const inner = this.compareLeft === STR && this.t.at(this.first) === LOGIC ? 45 : 84
      this.hit(plain ? 66 : this.by(95, 93, 92, 86, inner), 'constant comparison', this.logicAt)
      if (plain && this.t.note[this.compareAt] === 61 && this.sameOperands(i))
        this.hit(84, 'tautology', this.logicAt)
    } else if (compared === 2) {
      this.hit(this.by(95, 92, 90, 45, 40), 'comparison with a SQL function', this.logicAt)
    } else {
      if (this.anchor === 'operator' && symbol && this.sameOperands(i))
        this.hit(84, 'tautology', this.logicAt)
      this.hit(
        this.by(symbol ? 86 : 83, symbol ? 82 : 60, symbol ? 60 : 40, 20, 10),
        'comparison',
        this.logicAt,
      )
    }
  }

  protected sameOperands(right: number): boolean {
    const t = this.t
    const left = significant(t, this.compareAt - 1)
    return wordAt(this.text, t, left) === wordAt(this.text, t, right)
  }

  /** `'='`, `' like '%`: a comparison directly behind the literal, the last quote left to the statement. */
  protected comparedAlone(i: number): void {
    if (this.anchor !== 'quoted') return
    const t = this.t
    const left = significant(t, this.first)
    if (left !== this.first || significant(t, left + 1) !== this.compareAt) return
    if (t.at(i) === STR && t.note[i] === 1 && !this.isQuotedSymbol(i))
      this.hit(84, 'literal compared with a literal', this.compareAt)
    else if (t.at(i) === NUM || t.at(i) === STR) {
      const next = significant(t, i + 1)
      if (next !== i + 1 && t.at(next) === 0) this.hit(86, 'literal compared, rest cut off', i)
    }
  }

  /** "the '=' sign": spaces outside the quotes and none inside is how prose quotes a symbol. */
  protected isQuotedSymbol(last: number): boolean {
    const text = this.text
    const open = this.t.end[0] as number
    const close = this.t.start[last] as number
    const outerBefore = open > 0 && isSpace(text.charCodeAt(open - 1))
    const outerAfter = close + 1 >= text.length || !isWordish(text.charCodeAt(close + 1))
    const tight = !isSpace(text.charCodeAt(open + 1)) && !isSpace(text.charCodeAt(close - 1))
    return outerBefore && outerAfter && tight
  }

  /** An operand alone behind AND/OR, seen when the run ends or goes on: `' or 1`, `' or 'x`. */
  protected endBare(i: number): void {
    const t = this.t
    const logic = this.logicAt
    if (this.expect || this.compared > 0) return
    const cut = t.at(i) === COMMENT || t.at(i) === SEMI
    if (logic >= 0 && significant(t, logic + 1) === this.operandAt) {
      const kind = this.operand
      const ends = cut || i >= t.count
      if (kind === SQLISH)
        this.hit(this.by(90, 84, 80, 30, 20), 'SQL name behind a connective', logic)
      else if (kind === NUM || kind === CONST) {
        const same =
          this.first === 0 && wordAt(this.text, t, 0) === wordAt(this.text, t, this.operandAt)
        const plain = same ? 83 : kind === CONST ? 60 : 30
        // "|| 6", "AND 1": nothing but a condition, as a symbol or in capitals.
        const symbol = this.text.charCodeAt(t.start[logic] as number)
        const bare =
          logic === this.first && (symbol < 65 || symbol > 122 || symbol === 65 || symbol === 79)
            ? 82
            : 30
        if (ends)
          this.hit(
            this.by(86, cut ? 86 : plain, cut ? 85 : bare, cut ? 60 : 20, cut ? 40 : 0),
            'constant behind a connective',
            logic,
          )
      } else if (kind === STR && ends) {
        const open = t.note[this.operandAt] === 1 && i >= t.count
        const own = this.quoteOf(this.operandAt) === this.quote
        if (open && own && !this.isQuotedSymbol(this.operandAt))
          this.hit(this.by(84, 20, 20, 0, 0), 'literal behind a connective', logic)
        else if (cut) this.hit(this.by(84, 60, 60, 20, 10), 'literal behind a connective', logic)
      } else if (cut && (kind === WORD || kind === VAR || kind === FUNC)) {
        this.hit(this.by(82, 60, 50, 0, 0), 'name behind a connective', logic)
      }
      return
    }
    if (this.anchor === 'quoted' && i >= t.count) this.concatenation(i)
  }

  protected quoteOf(token: number): number {
    return this.text.charCodeAt(this.t.start[token] as number)
  }

  /** `'||'`, `'-0-'`, `'+x+'`: the literal taken apart and joined again. */
  protected concatenation(end: number): void {
    const t = this.t
    const last = end - 1
    if (last < 2 || t.at(last) !== STR || t.note[last] !== 1 || this.first !== 0) return
    if (this.quoteOf(last) !== this.quote || t.at(last - 1) !== ARITH) return
    if (this.logicAt >= 0 && !this.isQuotedSymbol(last)) {
      this.hit(84, 'literal behind a connective', this.logicAt)
      return
    }
    const whole = t.end[0] === 0 && (t.start[last] as number) + 1 === this.text.length
    const numeric = last === 4 && t.at(2) === NUM
    if (last !== 2 && !numeric) return
    if (this.isQuotedSymbol(last) && !whole) return
    this.hit(whole || numeric ? 84 : 62, 'literal taken apart', 1)
  }

  protected hostileCall(i: number): void {
    const t = this.t
    const open = significant(t, i + 1)
    const argument = t.at(significant(t, open + 1))
    if (argument === 0 || t.at(open) !== OPEN || argument === CLOSE) return
    const bare = i === this.first
    // "sleep (8 hours)": prose sets a space, calls do not.
    if (bare && t.start[open] !== t.end[i] && t.at(i + 1) === OPEN) return
    const after = t.at(significant(t, skipParens(t, open, open + 64)))
    const isSentence = bare && after === WORD && this.anchor !== 'quoted'
    if (isSentence) this.hit(60, 'hostile SQL function', i)
    else if (t.at(i - 1) === STMT) this.hit(this.by(90, 86, 60, 60, 40), 'hostile SQL function', i)
    else if (bare && this.anchor === 'word') this.hit(84, 'hostile SQL function', i)
    else if (bare && this.anchor === 'inner') {
      const before = t.at(i - 1)
      const ends = after === 0 || after === SEMI || after === STR || after === CLOSE
      this.hit(before === STR || before === SEMI || ends ? 84 : 60, 'hostile SQL function', i)
    } else this.hit(this.by(95, 93, 90, 82, 70), 'hostile SQL function', i)
  }

  protected subselect(i: number): void {
    if (wordAt(this.text, this.t, i) !== 'select') return
    const found = selectStrength(this.text, this.t, i + 1)
    if (found === 3) this.hit(this.by(95, 94, 94, 88, 86), 'sub-select', i)
    else if (found === 2) this.hit(this.by(90, 88, 86, 60, 40), 'sub-select', i)
    else if (found === 1) this.hit(this.by(82, 70, 60, 20, 10), 'sub-select', i)
  }

  protected statement(i: number, stacked: boolean): void {
    const found = statementStrength(this.text, this.t, i)
    if (found === 0) return
    if (stacked) {
      const scores = [0, this.by(84, 82, 40, 30, 30), this.by(93, 92, 84, 82, 82), 94]
      this.hit(scores[found] as number, 'further statement', i)
    } else if (i === this.first && this.anchor !== 'inner') {
      const scores = [0, 20, this.isShouted(i) ? 82 : 64, 90]
      this.hit(scores[found] as number, 'statement', i)
    } else {
      const scores = [
        0,
        this.by(55, 50, 10, 10, 5),
        this.by(86, 84, 50, 30, 20),
        this.by(94, 92, 84, 82, 60),
      ]
      this.hit(scores[found] as number, 'statement behind a value', i)
    }
  }

  /** Keywords in capitals: how statements are written, not sentences. */
  protected isShouted(i: number): boolean {
    const at = this.t.start[i] as number
    for (let k = at; k < at + 4; k++) {
      const c = this.text.charCodeAt(k)
      if (c < 65 || c > 90) return false
    }
    return true
  }
}

export function isWordish(code: number): boolean {
  return (code >= 48 && code <= 57) || ((code | 32) >= 97 && (code | 32) <= 122)
}
