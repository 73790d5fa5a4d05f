/**
 * Reads a token list as runs of grammatical SQL and scores what they hold. A run ends where the grammar
 * is violated; the next starts there, so each token is read once.
 */
import { isSpace } from './bytes.ts'
import {
  comparesAt,
  selectStrength,
  significant,
  skipParens,
  statementStrength,
  wordAt,
} from './sqli-statements.ts'
import { BLOCK_COMMENT, DASH_COMMENT, type SqlTokens } from './sqli-tokens.ts'
import {
  ARITH,
  CLAUSE,
  CLOSE,
  CMP,
  COMMA,
  COMMENT,
  CONST,
  FUNC,
  isSchemaName,
  LOGIC,
  NUM,
  OPEN,
  PREFIX,
  SEMI,
  STMT,
  STR,
  SUFFIX,
  UNION,
  VAR,
  WORD,
} from './sqli-words.ts'

/** What a run began with: how much trust its structures get. */
type Anchor = 'quoted' | 'number' | 'operator' | 'word' | 'inner'

/** Operands that only SQL has: known functions, @@variables, sub-selects, catalogue names. */
const SQLISH = 31
/** Nesting that is followed exactly; deeper parentheses are counted only. */
const MAX_DEPTH = 64

export class SqlRun {
  readonly #text: string
  readonly #t: SqlTokens
  readonly #quote: number
  score = 0
  evidence = ''
  position = 0

  #anchor: Anchor = 'inner'
  /** Index of the run's first token. */
  #first = 0
  #expect = true
  /** Last complete operand: its kind (or SQLISH) and token. */
  #operand = 0
  #operandAt = -1
  #compareLeft = 0
  #compareAt = -1
  #logicAt = -1
  /** Whether the current side of AND/OR already was a comparison, and how strong. */
  #compared = 0
  #leftCompared = 0
  #structures = 0
  readonly #stack: number[] = []
  readonly #stackAt: number[] = []
  #depth = 0

  constructor(text: string, tokens: SqlTokens, quote: number) {
    this.#text = text
    this.#t = tokens
    this.#quote = quote
  }

  #hit(score: number, evidence: string, token: number): void {
    if (score > this.score) {
      this.score = score
      this.evidence = evidence
      this.position = token >= 0 && token < this.#t.count ? (this.#t.start[token] as number) : 0
    }
  }

  /** Picks a score by the run's anchor. */
  #by(quoted: number, number: number, operator: number, word: number, inner: number): number {
    switch (this.#anchor) {
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

  read(): void {
    const t = this.#t
    if (t.count === 0) return
    if (t.hasEvilComment) this.#hit(55, 'executable comment', 0)
    let i = 0
    this.#begin(0, true, false)
    while (i < t.count) {
      const next = this.#step(i)
      if (next > i) {
        i = next
      } else {
        this.#finish(i)
        // The token that broke the run starts the next one; a token that can start none is passed over.
        this.#begin(i, false, false)
        const again = this.#step(i)
        i = again > i ? again : i + 1
        if (again <= i - 1) this.#begin(i, false, false)
      }
    }
    this.#finish(t.count)
  }

  #begin(i: number, atStart: boolean, carries: boolean): void {
    const t = this.#t
    const kind = t.at(significant(t, i))
    if (carries) {
      // behind a semicolon that followed an unbroken run: keep its anchor
    } else if (!atStart) this.#anchor = 'inner'
    else if (this.#quote !== 0) this.#anchor = 'quoted'
    else if (kind === NUM || kind === CLOSE) this.#anchor = 'number'
    else if (kind === ARITH && t.at(significant(t, i + 1)) === NUM) this.#anchor = 'number'
    else if (kind === ARITH && t.at(i + 1) === ARITH && t.at(i + 2) === NUM) this.#anchor = 'number'
    else if (kind === STR) this.#anchor = 'number'
    else if (kind === WORD || kind === FUNC || kind === OPEN || kind === VAR || kind === PREFIX)
      this.#anchor = 'word'
    else this.#anchor = 'operator'
    this.#first = i
    this.#expect = true
    this.#operand = 0
    this.#operandAt = -1
    this.#compareLeft = 0
    this.#compareAt = -1
    this.#logicAt = -1
    this.#compared = 0
    this.#leftCompared = 0
    this.#structures = 0
    this.#stack.length = 0
    this.#stackAt.length = 0
    this.#depth = 0
  }

  /** Reads token `i`; answers the next index, or `i` when the grammar has no place for it. */
  #step(i: number): number {
    const t = this.#t
    const kind = t.at(i)
    switch (kind) {
      case COMMENT:
        this.#comment(i)
        return i + 1
      case SEMI: {
        this.#endBare(i)
        const next = significant(t, i + 1)
        const anchor = this.#anchor
        this.#begin(next, false, false)
        if (anchor === 'quoted' || anchor === 'number') this.#anchor = anchor
        if (t.at(next) === STMT) this.#statement(next, true)
        return i + 1
      }
      case UNION:
        if (this.#expect && i !== this.#first) return i
        return this.#union(i)
      case STMT:
        this.#statement(i, false)
        if (this.#expect && this.#logicAt >= 0 && statementStrength(this.#text, t, i) > 0)
          this.#hit(this.#by(82, 80, 80, 20, 20), 'sub-select', i)
        return this.#expect || this.#operand === 0 ? this.#operandFound(SQLISH, i, true) : i
      default:
    }
    if (this.#expect) return this.#operandAtToken(i, kind)
    const isQuoted = i === 1 && this.#quote !== 0 && t.at(2) === STR && this.#isQuotedSymbol(2)
    return isQuoted ? i : this.#operatorAtToken(i, kind)
  }

  #operandAtToken(i: number, kind: number): number {
    const t = this.#t
    switch (kind) {
      case NUM:
      case CONST:
        return this.#operandFound(kind, i, false)
      case STR:
        return this.#operandFound(kind, i, false)
      case VAR:
        return this.#operandFound(t.note[i] === 2 ? SQLISH : VAR, i, false)
      case WORD:
        return this.#operandFound(isSchemaName(wordAt(this.#text, t, i)) ? SQLISH : WORD, i, false)
      case FUNC: {
        const rank = t.note[i] as number
        if (rank === 2) this.#hostileCall(i)
        return this.#operandFound(rank > 0 ? SQLISH : FUNC, i, false)
      }
      case PREFIX: {
        const word = wordAt(this.#text, t, i)
        if (word === 'when') this.#logicAt = i
        return i + 1
      }
      case ARITH:
        // Signs, and the star of count(*) and select *.
        if (t.note[i] === 42) return this.#operandFound(WORD, i, false)
        return t.note[i] === 47 && i !== 0 ? i : i + 1
      case OPEN: {
        const inner = significant(t, i + 1)
        if (t.at(inner) === STMT) this.#subselect(inner)
        this.#push(t.at(inner) === STMT ? SQLISH : 0, i)
        return i + 1
      }
      case CLOSE:
        // "()" and a parenthesis of the statement that the value closes.
        if (i !== this.#first && t.at(i - 1) !== OPEN) return i
        this.#pop(i)
        return i + 1
      case LOGIC:
        if (i !== this.#first && !(this.#first === 0 && i === 0)) return i
        this.#logicAt = i
        return i + 1
      case CLAUSE:
        return i === this.#first ? this.#clause(i) : i
      case CMP:
        return i === this.#first ? this.#compare(i) : i
      case COMMA:
        return i === this.#first ? i + 1 : i
      default:
        return i
    }
  }

  #operatorAtToken(i: number, kind: number): number {
    const t = this.#t
    switch (kind) {
      case LOGIC:
        this.#endBare(i)
        this.#leftCompared = this.#compared
        this.#compared = 0
        this.#compareLeft = 0
        this.#logicAt = i
        this.#expect = true
        this.#structures++
        return i + 1
      case CMP:
        return this.#compare(i)
      case ARITH:
        this.#expect = true
        if (this.#operand !== NUM || t.at(i + 1) !== NUM) this.#structures++
        return i + 1
      case COMMA:
        this.#expect = true
        this.#compareLeft = 0
        return i + 1
      case OPEN:
        if (t.at(i - 1) === FUNC || this.#operand === FUNC || this.#operand === SQLISH) {
          const inner = significant(t, i + 1)
          if (t.at(inner) === STMT) this.#subselect(inner)
          const name = wordAt(this.#text, t, i - 1)
          this.#push(this.#operand, this.#operandAt)
          this.#compareLeft = 0
          if (name === 'if' || name === 'iif') this.#logicAt = i
          return i + 1
        }
        return i
      case CLOSE:
        this.#endBare(i)
        this.#pop(i)
        return i + 1
      case CLAUSE:
        return this.#clause(i)
      case SUFFIX:
        return t.at(i + 1) === WORD ? i + 2 : i + 1
      case PREFIX: {
        const word = wordAt(this.#text, t, i)
        if (word === 'not' || word === 'when' || word === 'then' || word === 'else') {
          this.#expect = true
          if (word === 'when') this.#logicAt = i
          return i + 1
        }
        return i
      }
      case STR:
        // 'a' 'b' is one literal.
        return t.at(i - 1) === STR && t.start[i] !== t.end[i - 1] ? i + 1 : i
      case FUNC:
        if ((t.note[i] as number) === 2 && t.at(i - 1) === STR) {
          this.#hit(this.#by(84, 60, 0, 0, 0), 'call behind a literal', i)
        }
        return i
      default:
        return i
    }
  }

  #operandFound(kind: number, i: number, isStatement: boolean): number {
    this.#expect = false
    this.#operand = kind
    this.#operandAt = i
    if (this.#compareLeft !== 0) {
      const compared = strength(this.#compareLeft, kind)
      this.#compared = Math.max(this.#compared, compared)
      if (this.#logicAt >= 0) this.#joined(compared, i)
      else this.#comparedAlone(i)
      this.#compareLeft = 0
    } else if (this.#leftCompared === 3 && this.#logicAt >= 0 && kind !== WORD) {
      this.#hit(this.#by(90, 66, 66, 40, 40), 'constant comparison', i)
    }
    if (isStatement) this.#expect = true
    return i + 1
  }

  /** A comparison that AND, OR, HAVING or WHERE joins to what stood before. */
  #joined(compared: number, i: number): void {
    const symbol = this.#t.note[this.#compareAt] !== 0
    if (compared === 3) {
      const plain = this.#anchor === 'number' && this.#leftCompared > 0
      const inner = this.#compareLeft === STR && this.#t.at(this.#first) === LOGIC ? 45 : 84
      this.#hit(plain ? 66 : this.#by(95, 93, 92, 86, inner), 'constant comparison', this.#logicAt)
      if (plain && this.#t.note[this.#compareAt] === 61 && this.#sameOperands(i))
        this.#hit(84, 'tautology', this.#logicAt)
    } else if (compared === 2) {
      this.#hit(this.#by(95, 92, 90, 45, 40), 'comparison with a SQL function', this.#logicAt)
    } else {
      if (this.#anchor === 'operator' && symbol && this.#sameOperands(i))
        this.#hit(84, 'tautology', this.#logicAt)
      this.#hit(
        this.#by(symbol ? 86 : 83, symbol ? 82 : 60, symbol ? 60 : 40, 20, 10),
        'comparison',
        this.#logicAt,
      )
    }
  }

  #sameOperands(right: number): boolean {
    const t = this.#t
    const left = significant(t, this.#compareAt - 1)
    return wordAt(this.#text, t, left) === wordAt(this.#text, t, right)
  }

  /** `'='`, `' like '%`: a comparison directly behind the literal, the last quote left to the statement. */
  #comparedAlone(i: number): void {
    if (this.#anchor !== 'quoted') return
    const t = this.#t
    const left = significant(t, this.#first)
    if (left !== this.#first || significant(t, left + 1) !== this.#compareAt) return
    if (t.at(i) === STR && t.note[i] === 1 && !this.#isQuotedSymbol(i))
      this.#hit(84, 'literal compared with a literal', this.#compareAt)
    else if (t.at(i) === NUM || t.at(i) === STR) {
      const next = significant(t, i + 1)
      if (next !== i + 1 && t.at(next) === 0) this.#hit(86, 'literal compared, rest cut off', i)
    }
  }

  /** "the '=' sign": spaces outside the quotes and none inside is how prose quotes a symbol. */
  #isQuotedSymbol(last: number): boolean {
    const text = this.#text
    const open = this.#t.end[0] as number
    const close = this.#t.start[last] as number
    const outerBefore = open > 0 && isSpace(text.charCodeAt(open - 1))
    const outerAfter = close + 1 >= text.length || !isWordish(text.charCodeAt(close + 1))
    const tight = !isSpace(text.charCodeAt(open + 1)) && !isSpace(text.charCodeAt(close - 1))
    return outerBefore && outerAfter && tight
  }

  /** An operand alone behind AND/OR, seen when the run ends or goes on: `' or 1`, `' or 'x`. */
  #endBare(i: number): void {
    const t = this.#t
    const logic = this.#logicAt
    if (this.#expect || this.#compared > 0) return
    const cut = t.at(i) === COMMENT || t.at(i) === SEMI
    if (logic >= 0 && significant(t, logic + 1) === this.#operandAt) {
      const kind = this.#operand
      const ends = cut || i >= t.count
      if (kind === SQLISH)
        this.#hit(this.#by(90, 84, 80, 30, 20), 'SQL name behind a connective', logic)
      else if (kind === NUM || kind === CONST) {
        const same =
          this.#first === 0 && wordAt(this.#text, t, 0) === wordAt(this.#text, t, this.#operandAt)
        const plain = same ? 83 : kind === CONST ? 60 : 30
        if (ends)
          this.#hit(
            this.#by(86, cut ? 86 : plain, cut ? 85 : 30, cut ? 60 : 20, cut ? 40 : 0),
            'constant behind a connective',
            logic,
          )
      } else if (kind === STR && ends) {
        const open = t.note[this.#operandAt] === 1 && i >= t.count
        const own = this.#quoteOf(this.#operandAt) === this.#quote
        if (open && own && !this.#isQuotedSymbol(this.#operandAt))
          this.#hit(this.#by(84, 20, 20, 0, 0), 'literal behind a connective', logic)
        else if (cut) this.#hit(this.#by(84, 60, 60, 20, 10), 'literal behind a connective', logic)
      } else if (cut && (kind === WORD || kind === VAR || kind === FUNC)) {
        this.#hit(this.#by(82, 60, 50, 0, 0), 'name behind a connective', logic)
      }
      return
    }
    if (this.#anchor === 'quoted' && i >= t.count) this.#concatenation(i)
  }

  #quoteOf(token: number): number {
    return this.#text.charCodeAt(this.#t.start[token] as number)
  }

  /** `'||'`, `'-0-'`, `'+x+'`: the literal taken apart and joined again. */
  #concatenation(end: number): void {
    const t = this.#t
    const last = end - 1
    if (last < 2 || t.at(last) !== STR || t.note[last] !== 1 || this.#first !== 0) return
    if (this.#quoteOf(last) !== this.#quote || t.at(last - 1) !== ARITH) return
    if (this.#logicAt >= 0 && !this.#isQuotedSymbol(last)) {
      this.#hit(84, 'literal behind a connective', this.#logicAt)
      return
    }
    const whole = t.end[0] === 0 && (t.start[last] as number) + 1 === this.#text.length
    const numeric = last === 4 && t.at(2) === NUM
    if (last !== 2 && !numeric) return
    if (this.#isQuotedSymbol(last) && !whole) return
    this.#hit(whole || numeric ? 84 : 62, 'literal taken apart', 1)
  }

  #compare(i: number): number {
    const t = this.#t
    const word = wordAt(this.#text, t, i)
    const next = significant(t, i + 1)
    if (word === 'in' && t.at(next) !== OPEN) return i
    if (word === 'is' && t.at(next) !== CONST && t.at(next) !== PREFIX) return i
    if (word === 'match') return i
    this.#compareLeft = this.#operand === 0 ? WORD : this.#operand
    this.#compareAt = i
    this.#expect = true
    this.#structures++
    return i + 1
  }

  #hostileCall(i: number): void {
    const t = this.#t
    const open = significant(t, i + 1)
    const argument = t.at(significant(t, open + 1))
    if (argument === 0 || t.at(open) !== OPEN || argument === CLOSE) return
    const bare = i === this.#first
    // "sleep (8 hours)": prose sets a space, calls do not.
    if (bare && t.start[open] !== t.end[i] && t.at(i + 1) === OPEN) return
    const after = t.at(significant(t, skipParens(t, open, open + 64)))
    const isSentence = bare && after === WORD && this.#anchor !== 'quoted'
    if (isSentence) this.#hit(60, 'hostile SQL function', i)
    else if (t.at(i - 1) === STMT)
      this.#hit(this.#by(90, 86, 60, 60, 40), 'hostile SQL function', i)
    else if (bare && this.#anchor === 'word') this.#hit(84, 'hostile SQL function', i)
    else if (bare && this.#anchor === 'inner') {
      const before = t.at(i - 1)
      const ends = after === 0 || after === SEMI || after === STR || after === CLOSE
      this.#hit(before === STR || before === SEMI || ends ? 84 : 60, 'hostile SQL function', i)
    } else this.#hit(this.#by(95, 93, 90, 82, 70), 'hostile SQL function', i)
  }

  #subselect(i: number): void {
    if (wordAt(this.#text, this.#t, i) !== 'select') return
    const found = selectStrength(this.#text, this.#t, i + 1)
    if (found === 3) this.#hit(this.#by(95, 94, 94, 88, 86), 'sub-select', i)
    else if (found === 2) this.#hit(this.#by(90, 88, 86, 60, 40), 'sub-select', i)
    else if (found === 1) this.#hit(this.#by(82, 70, 60, 20, 10), 'sub-select', i)
  }

  #statement(i: number, stacked: boolean): void {
    const found = statementStrength(this.#text, this.#t, i)
    if (found === 0) return
    if (stacked) {
      const scores = [0, this.#by(84, 82, 40, 30, 30), this.#by(93, 92, 84, 82, 82), 94]
      this.#hit(scores[found] as number, 'further statement', i)
    } else if (i === this.#first && this.#anchor !== 'inner') {
      const scores = [0, 20, this.#isShouted(i) ? 82 : 64, 90]
      this.#hit(scores[found] as number, 'statement', i)
    } else {
      const scores = [
        0,
        this.#by(55, 50, 10, 10, 5),
        this.#by(86, 84, 50, 30, 20),
        this.#by(94, 92, 84, 82, 60),
      ]
      this.#hit(scores[found] as number, 'statement behind a value', i)
    }
  }

  /** Keywords in capitals: how statements are written, not sentences. */
  #isShouted(i: number): boolean {
    const at = this.#t.start[i] as number
    for (let k = at; k < at + 4; k++) {
      const c = this.#text.charCodeAt(k)
      if (c < 65 || c > 90) return false
    }
    return true
  }

  #union(i: number): number {
    const t = this.#t
    let j = significant(t, i + 1)
    let glued = j !== i + 1 || t.at(i - 1) === COMMENT
    while (t.at(j) === PREFIX || t.at(j) === OPEN) {
      const next = significant(t, j + 1)
      glued ||= next !== j + 1
      j = next
    }
    const word = wordAt(this.#text, t, j)
    if (word === 'select' || (word === 'values' && t.at(j + 1) === OPEN)) {
      glued ||= t.at(j + 1) === COMMENT
      const found = word === 'values' ? 3 : selectStrength(this.#text, t, j + 1)
      if (found === 3) this.#hit(95, 'union select', i)
      else if (found === 2)
        this.#hit(this.#by(94, 93, 90, glued ? 90 : 70, glued ? 90 : 66), 'union select', i)
      else if (found === 1)
        this.#hit(
          this.#by(88, 84, glued ? 84 : 60, glued ? 84 : 30, glued ? 84 : 30),
          'union select',
          i,
        )
      else if (t.at(j + 1) === 0 || glued)
        this.#hit(
          this.#by(84, 82, glued ? 84 : 60, glued ? 82 : 40, glued ? 82 : 30),
          'union select',
          i,
        )
    } else if (glued || (t.hasEvilComment && this.#anchor !== 'inner')) {
      this.#hit(this.#by(66, 62, 55, 40, 20), 'union behind a comment', i)
    }
    this.#expect = true
    this.#compareLeft = 0
    this.#structures++
    return j > i ? j : i + 1
  }

  #clause(i: number): number {
    const t = this.#t
    const word = wordAt(this.#text, t, i)
    const next = significant(t, i + 1)
    this.#structures++
    switch (word) {
      case 'having':
      case 'where':
        if (!comparesAt(this.#text, t, i + 1) && t.at(next) !== FUNC && t.at(next) !== OPEN)
          return i
        this.#logicAt = i
        this.#expect = true
        this.#compareLeft = 0
        return i + 1
      case 'order':
      case 'group': {
        if (wordAt(this.#text, t, next) !== 'by') return i
        const item = significant(t, next + 1)
        const kind = t.at(item)
        const after = t.at(item + 1)
        const closes =
          after === 0 || after === COMMENT || after === COMMA || after === SUFFIX || after === SEMI
        if (kind === NUM && closes)
          this.#hit(
            this.#by(90, 87, after === COMMENT ? 84 : 30, 30, after === COMMENT ? 60 : 10),
            'order by position',
            i,
          )
        else if (kind === OPEN || (kind === FUNC && t.note[item] !== 0))
          this.#hit(this.#by(88, 84, 60, 40, 10), 'order by expression', i)
        else if (kind === WORD && after === COMMENT)
          this.#hit(this.#by(84, 82, 40, 20, 10), 'order by, rest cut off', i)
        this.#expect = true
        return item
      }
      case 'procedure':
        if (!wordAt(this.#text, t, next).startsWith('analyse')) return i
        this.#hit(90, 'procedure analyse', i)
        return next + 1
      case 'into': {
        const target = wordAt(this.#text, t, next)
        if (target !== 'outfile' && target !== 'dumpfile') return i
        this.#hit(this.#by(94, 93, 90, 84, 70), 'into outfile', i)
        return next + 1
      }
      case 'limit':
      case 'offset':
        this.#expect = true
        return t.at(next) === NUM || t.at(next) === OPEN ? i + 1 : i
      default:
        return i
    }
  }

  #comment(i: number): void {
    const t = this.#t
    const sort = t.note[i]
    const start = t.start[i] as number
    const end = t.end[i] as number
    if (end - start < 4096 && this.#text.slice(start, end).includes('sp_password')) {
      this.#hit(90, 'sp_password in a comment', i)
    }
    if (sort === DASH_COMMENT || sort === BLOCK_COMMENT || this.#anchor === 'quoted')
      this.#endBare(i)
    if (this.#structures > 0 || this.#expect || this.#operand === 0) return
    if (significant(t, i + 1) < t.count) return
    // A literal and nothing but a comment: admin'-- and 1--
    const body =
      sort === BLOCK_COMMENT ? '' : this.#text.slice(start + (sort === DASH_COMMENT ? 2 : 1), end)
    const closed = sort !== BLOCK_COMMENT || this.#text.endsWith('*/')
    const short = isTailText(body)
    if (this.#anchor === 'quoted') {
      if (short) this.#hit(closed ? 86 : 84, 'rest of the statement cut off', i)
    } else if (this.#anchor === 'number' && t.at(this.#operandAt) === NUM) {
      if (sort === DASH_COMMENT && short && body.length < 3) this.#hit(82, 'rest cut off', i)
      else if (sort === BLOCK_COMMENT) this.#hit(closed ? 60 : 82, 'rest cut off', i)
    } else if (this.#anchor === 'word' && sort === BLOCK_COMMENT && closed) {
      this.#hit(52, 'rest cut off', i)
    }
  }

  #finish(i: number): void {
    this.#endBare(i >= this.#t.count ? this.#t.count : -1)
  }

  #push(kind: number, at: number): void {
    if (this.#depth < MAX_DEPTH) {
      this.#stack.push(kind)
      this.#stackAt.push(at)
    }
    this.#depth++
    this.#expect = true
  }

  #pop(i: number): void {
    if (this.#depth === 0) {
      // Closes a parenthesis of the statement around the value.
      this.#expect = false
      if (this.#operand === 0) this.#operand = NUM
      return
    }
    this.#depth--
    const isKept = this.#depth < MAX_DEPTH
    const kind = isKept ? (this.#stack.pop() ?? 0) : 0
    const at = isKept ? (this.#stackAt.pop() ?? i) : i
    if (kind !== 0) this.#operand = kind
    else if (this.#operand === 0) this.#operand = WORD
    this.#operandAt = at
    this.#expect = false
  }
}

/** 3: constants on both sides; 2: something that only SQL has; 1: names. */
function strength(left: number, right: number): 1 | 2 | 3 {
  if (left === SQLISH || right === SQLISH) return 2
  const constant = (k: number) => k === NUM || k === STR || k === CONST
  return constant(left) && constant(right) ? 3 : 1
}

function isWordish(code: number): boolean {
  return (code >= 48 && code <= 57) || ((code | 32) >= 97 && (code | 32) <= 122)
}

/** What scanners and people leave behind a comment sign: nothing, "-", "+", or a short random word. */
function isTailText(body: string): boolean {
  const text = body.trim()
  if (text.length > 12) return false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (!isWordish(c) && c !== 43 && c !== 45) return false
  }
  return true
}
