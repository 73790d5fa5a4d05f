/**
 * Reads a token list as runs of grammatical SQL and scores what they hold. A run ends where the grammar
 * is violated; the next starts there, so each token is read once.
 */
import { isWordish, MAX_DEPTH, SQLISH, SqlEvidence } from './sqli-evidence.ts'
import {
  comparesAt,
  selectStrength,
  significant,
  statementStrength,
  wordAt,
} from './sqli-statements.ts'
import { BLOCK_COMMENT, DASH_COMMENT } from './sqli-tokens.ts'
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
  mayBeSchema,
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

export class SqlRun extends SqlEvidence {
  read(): void {
    const t = this.t
    if (t.count === 0) return
    if (t.hasEvilComment) this.hit(55, 'executable comment', 0)
    let i = 0
    this.begin(0, true, false)
    while (i < t.count) {
      const next = this.step(i)
      if (next > i) {
        i = next
      } else {
        this.finish(i)
        // The token that broke the run starts the next one; a token that can start none is passed over.
        this.begin(i, false, false)
        const again = this.step(i)
        i = again > i ? again : i + 1
        if (again <= i - 1) this.begin(i, false, false)
      }
    }
    this.finish(t.count)
  }

  private begin(i: number, atStart: boolean, carries: boolean): void {
    const t = this.t
    const kind = t.at(significant(t, i))
    if (carries) {
      // behind a semicolon that followed an unbroken run: keep its anchor
    } else if (!atStart) this.anchor = 'inner'
    else if (this.quote !== 0) this.anchor = 'quoted'
    else if (kind === NUM || kind === CLOSE) this.anchor = 'number'
    else if (kind === ARITH && t.at(significant(t, i + 1)) === NUM) this.anchor = 'number'
    else if (kind === ARITH && t.at(i + 1) === ARITH && t.at(i + 2) === NUM) this.anchor = 'number'
    else if (kind === STR) this.anchor = 'number'
    else if (kind === WORD || kind === FUNC || kind === OPEN || kind === VAR || kind === PREFIX)
      this.anchor = 'word'
    else this.anchor = 'operator'
    this.first = i
    this.expect = true
    this.operand = 0
    this.operandAt = -1
    this.compareLeft = 0
    this.compareAt = -1
    this.logicAt = -1
    this.compared = 0
    this.leftCompared = 0
    this.structures = 0
    // To set a length costs even where nothing changes, and a run begins at many tokens.
    if (this.stack.length > 0) {
      this.stack.length = 0
      this.stackAt.length = 0
    }
    this.depth = 0
  }

  /** Reads token `i`; answers the next index, or `i` when the grammar has no place for it. */
  private step(i: number): number {
    const t = this.t
    const kind = t.at(i)
    switch (kind) {
      case COMMENT:
        this.comment(i)
        return i + 1
      case SEMI: {
        this.endBare(i)
        const next = significant(t, i + 1)
        const anchor = this.anchor
        this.begin(next, false, false)
        if (anchor === 'quoted' || anchor === 'number') this.anchor = anchor
        if (t.at(next) === STMT) this.statement(next, true)
        return i + 1
      }
      case UNION:
        if (this.expect && i !== this.first) return i
        return this.union(i)
      case STMT:
        this.statement(i, false)
        if (this.expect && this.logicAt >= 0 && statementStrength(this.text, t, i) > 0)
          this.hit(this.by(82, 80, 80, 20, 20), 'sub-select', i)
        return this.expect || this.operand === 0 ? this.operandFound(SQLISH, i, true) : i
      default:
    }
    if (this.expect) return this.operandAtToken(i, kind)
    const isQuoted = i === 1 && this.quote !== 0 && t.at(2) === STR && this.isQuotedSymbol(2)
    return isQuoted ? i : this.operatorAtToken(i, kind)
  }

  private isSchemaAt(i: number): boolean {
    const { text, t } = this
    const at = t.start[i] as number
    return (
      mayBeSchema(text.charCodeAt(at), text.charCodeAt(at + 1)) && isSchemaName(wordAt(text, t, i))
    )
  }

  private operandAtToken(i: number, kind: number): number {
    const t = this.t
    switch (kind) {
      case NUM:
      case CONST:
        return this.operandFound(kind, i, false)
      case STR:
        return this.operandFound(kind, i, false)
      case VAR:
        return this.operandFound(t.note[i] === 2 ? SQLISH : VAR, i, false)
      case WORD:
        return this.operandFound(this.isSchemaAt(i) ? SQLISH : WORD, i, false)
      case FUNC: {
        const rank = t.note[i] as number
        if (rank === 2) this.hostileCall(i)
        return this.operandFound(rank > 0 ? SQLISH : FUNC, i, false)
      }
      case PREFIX: {
        const word = wordAt(this.text, t, i)
        if (word === 'when') this.logicAt = i
        return i + 1
      }
      case ARITH:
        // Signs, and the star of count(*) and select *.
        if (t.note[i] === 42) return this.operandFound(WORD, i, false)
        return t.note[i] === 47 && i !== 0 ? i : i + 1
      case OPEN: {
        const inner = significant(t, i + 1)
        if (t.at(inner) === STMT) this.subselect(inner)
        this.push(t.at(inner) === STMT ? SQLISH : 0, i)
        return i + 1
      }
      case CLOSE:
        // "()" and a parenthesis of the statement that the value closes.
        if (i !== this.first && t.at(i - 1) !== OPEN) return i
        this.pop(i)
        return i + 1
      case LOGIC:
        if (i !== this.first && !(this.first === 0 && i === 0)) return i
        this.logicAt = i
        return i + 1
      case CLAUSE:
        return i === this.first ? this.clause(i) : i
      case CMP:
        return i === this.first ? this.compare(i) : i
      case COMMA:
        return i === this.first ? i + 1 : i
      default:
        return i
    }
  }

  private operatorAtToken(i: number, kind: number): number {
    const t = this.t
    switch (kind) {
      case LOGIC:
        this.endBare(i)
        this.leftCompared = this.compared
        this.compared = 0
        this.compareLeft = 0
        this.logicAt = i
        this.expect = true
        this.structures++
        return i + 1
      case CMP:
        return this.compare(i)
      case ARITH:
        this.expect = true
        if (this.operand !== NUM || t.at(i + 1) !== NUM) this.structures++
        return i + 1
      case COMMA:
        this.expect = true
        this.compareLeft = 0
        return i + 1
      case OPEN:
        if (t.at(i - 1) === FUNC || this.operand === FUNC || this.operand === SQLISH) {
          const inner = significant(t, i + 1)
          if (t.at(inner) === STMT) this.subselect(inner)
          const name = wordAt(this.text, t, i - 1)
          this.push(this.operand, this.operandAt)
          this.compareLeft = 0
          if (name === 'if' || name === 'iif') this.logicAt = i
          return i + 1
        }
        return i
      case CLOSE:
        this.endBare(i)
        this.pop(i)
        return i + 1
      case CLAUSE:
        return this.clause(i)
      case SUFFIX:
        return t.at(i + 1) === WORD ? i + 2 : i + 1
      case PREFIX: {
        const word = wordAt(this.text, t, i)
        if (word === 'not' || word === 'when' || word === 'then' || word === 'else') {
          this.expect = true
          if (word === 'when') this.logicAt = i
          return i + 1
        }
        return i
      }
      case STR:
        // 'a' 'b' is one literal.
        return t.at(i - 1) === STR && t.start[i] !== t.end[i - 1] ? i + 1 : i
      case FUNC:
        if ((t.note[i] as number) === 2 && t.at(i - 1) === STR) {
          this.hit(this.by(84, 60, 0, 0, 0), 'call behind a literal', i)
        }
        return i
      default:
        return i
    }
  }

  private operandFound(kind: number, i: number, isStatement: boolean): number {
    this.expect = false
    this.operand = kind
    this.operandAt = i
    if (this.compareLeft !== 0) {
      const compared = strength(this.compareLeft, kind)
      this.compared = Math.max(this.compared, compared)
      if (this.logicAt >= 0) this.joined(compared, i)
      else this.comparedAlone(i)
      this.compareLeft = 0
    } else if (this.leftCompared === 3 && this.logicAt >= 0 && kind !== WORD) {
      this.hit(this.by(90, 66, 66, 40, 40), 'constant comparison', i)
    }
    if (isStatement) this.expect = true
    return i + 1
  }

  private compare(i: number): number {
    const t = this.t
    const word = wordAt(this.text, t, i)
    const next = significant(t, i + 1)
    if (word === 'in' && t.at(next) !== OPEN) return i
    if (word === 'is' && t.at(next) !== CONST && t.at(next) !== PREFIX) return i
    if (word === 'match') return i
    this.compareLeft = this.operand === 0 ? WORD : this.operand
    this.compareAt = i
    this.expect = true
    this.structures++
    return i + 1
  }

  private union(i: number): number {
    const t = this.t
    let j = significant(t, i + 1)
    let glued = j !== i + 1 || t.at(i - 1) === COMMENT
    while (t.at(j) === PREFIX || t.at(j) === OPEN) {
      const next = significant(t, j + 1)
      glued ||= next !== j + 1
      j = next
    }
    const word = wordAt(this.text, t, j)
    if (word === 'select' || (word === 'values' && t.at(j + 1) === OPEN)) {
      glued ||= t.at(j + 1) === COMMENT
      const found = word === 'values' ? 3 : selectStrength(this.text, t, j + 1)
      if (found === 3) this.hit(95, 'union select', i)
      else if (found === 2)
        this.hit(this.by(94, 93, 90, glued ? 90 : 70, glued ? 90 : 66), 'union select', i)
      else if (found === 1)
        this.hit(
          this.by(88, 84, glued ? 84 : 60, glued ? 84 : 30, glued ? 84 : 30),
          'union select',
          i,
        )
      else if (t.at(j + 1) === 0 || glued)
        this.hit(
          this.by(84, 82, glued ? 84 : 60, glued ? 82 : 40, glued ? 82 : 30),
          'union select',
          i,
        )
    } else if (glued || (t.hasEvilComment && this.anchor !== 'inner')) {
      this.hit(this.by(66, 62, 55, 40, 20), 'union behind a comment', i)
    }
    this.expect = true
    this.compareLeft = 0
    this.structures++
    return j > i ? j : i + 1
  }

  private clause(i: number): number {
    const t = this.t
    const word = wordAt(this.text, t, i)
    const next = significant(t, i + 1)
    this.structures++
    switch (word) {
      case 'having':
      case 'where':
        if (!comparesAt(this.text, t, i + 1) && t.at(next) !== FUNC && t.at(next) !== OPEN) return i
        this.logicAt = i
        this.expect = true
        this.compareLeft = 0
        return i + 1
      case 'order':
      case 'group': {
        if (wordAt(this.text, t, next) !== 'by') return i
        const item = significant(t, next + 1)
        const kind = t.at(item)
        const after = t.at(item + 1)
        const closes =
          after === 0 || after === COMMENT || after === COMMA || after === SUFFIX || after === SEMI
        if (kind === NUM && closes)
          this.hit(
            this.by(90, 87, after === COMMENT ? 84 : 30, 30, after === COMMENT ? 60 : 10),
            'order by position',
            i,
          )
        else if (kind === OPEN || (kind === FUNC && t.note[item] !== 0))
          this.hit(this.by(88, 84, 60, 40, 10), 'order by expression', i)
        else if (kind === WORD && after === COMMENT)
          this.hit(this.by(84, 82, 40, 20, 10), 'order by, rest cut off', i)
        this.expect = true
        return item
      }
      case 'procedure':
        if (!wordAt(this.text, t, next).startsWith('analyse')) return i
        this.hit(90, 'procedure analyse', i)
        return next + 1
      case 'into': {
        const target = wordAt(this.text, t, next)
        if (target !== 'outfile' && target !== 'dumpfile') return i
        this.hit(this.by(94, 93, 90, 84, 70), 'into outfile', i)
        return next + 1
      }
      case 'limit':
      case 'offset':
        this.expect = true
        return t.at(next) === NUM || t.at(next) === OPEN ? i + 1 : i
      default:
        return i
    }
  }

  private comment(i: number): void {
    const t = this.t
    const sort = t.note[i]
    const start = t.start[i] as number
    const end = t.end[i] as number
    if (end - start < 4096 && this.text.slice(start, end).includes('sp_password')) {
      this.hit(90, 'sp_password in a comment', i)
    }
    if (sort === DASH_COMMENT || sort === BLOCK_COMMENT || this.anchor === 'quoted') this.endBare(i)
    if (this.structures > 0 || this.expect || this.operand === 0) return
    if (significant(t, i + 1) < t.count) return
    // A literal and nothing but a comment: admin'-- and 1--
    const body =
      sort === BLOCK_COMMENT ? '' : this.text.slice(start + (sort === DASH_COMMENT ? 2 : 1), end)
    const closed = sort !== BLOCK_COMMENT || this.text.endsWith('*/')
    const short = isTailText(body)
    if (this.anchor === 'quoted') {
      if (short) this.hit(closed ? 86 : 84, 'rest of the statement cut off', i)
    } else if (this.anchor === 'number' && t.at(this.operandAt) === NUM) {
      if (sort === DASH_COMMENT && short && body.length < 3) this.hit(82, 'rest cut off', i)
      else if (sort === BLOCK_COMMENT) this.hit(closed ? 60 : 82, 'rest cut off', i)
    } else if (this.anchor === 'word' && sort === BLOCK_COMMENT && closed) {
      this.hit(52, 'rest cut off', i)
    }
  }

  private finish(i: number): void {
    this.endBare(i >= this.t.count ? this.t.count : -1)
  }

  private push(kind: number, at: number): void {
    if (this.depth < MAX_DEPTH) {
      this.stack.push(kind)
      this.stackAt.push(at)
    }
    this.depth++
    this.expect = true
  }

  private pop(i: number): void {
    if (this.depth === 0) {
      // Closes a parenthesis of the statement around the value.
      this.expect = false
      if (this.operand === 0) this.operand = NUM
      return
    }
    this.depth--
    const isKept = this.depth < MAX_DEPTH
    const kind = isKept ? (this.stack.pop() ?? 0) : 0
    const at = isKept ? (this.stackAt.pop() ?? i) : i
    if (kind !== 0) this.operand = kind
    else if (this.operand === 0) this.operand = WORD
    this.operandAt = at
    this.expect = false
  }
}

/** 3: constants on both sides; 2: something that only SQL has; 1: names. */
function strength(left: number, right: number): 1 | 2 | 3 {
  if (left === SQLISH || right === SQLISH) return 2
  const constant = (k: number) => k === NUM || k === STR || k === CONST
  return constant(left) && constant(right) ? 3 : 1
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
