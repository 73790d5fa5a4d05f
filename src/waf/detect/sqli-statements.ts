/**
 * How much a run of tokens looks like a real SQL statement, or like prose that shares its first word.
 * "Select a size from the list" is grammatical SQL; what prose never has is `*`, literals, calls,
 * catalogue names or a comparison in the right place.
 */
import type { SqlTokens } from './sqli-tokens.ts'
import {
  ARITH,
  CLAUSE,
  CLOSE,
  CMP,
  COMMA,
  COMMENT,
  CONST,
  FUNC,
  isObjectKind,
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

/** 0: no statement; 1: words in the right order; 2: a whole statement; 3: nothing else it could be. */
export type Strength = 0 | 1 | 2 | 3

/** Tokens looked at from the start of one statement; what decides stands early. */
const WINDOW = 48

/** Lower-case text of token `i`, at most 64 characters. */
export function wordAt(text: string, t: SqlTokens, i: number): string {
  if (i < 0 || i >= t.count) return ''
  const start = t.start[i] as number
  return text.slice(start, Math.min(t.end[i] as number, start + 64)).toLowerCase()
}

/** Index of the next token that is no comment, from `i` on. */
export function significant(t: SqlTokens, i: number): number {
  let j = i
  while (t.at(j) === COMMENT) j++
  return j
}

/** A select list that starts at token `i`, and what follows it. */
export function selectStrength(text: string, t: SqlTokens, i: number): Strength {
  let j = significant(t, i)
  while (t.at(j) === PREFIX) j = significant(t, j + 1)
  const stop = Math.min(t.count, j + WINDOW)
  let items = 0
  let words = 0
  let strong = 0
  let literals = 0
  let expectItem = true
  for (; j < stop; j++) {
    const kind = t.at(j)
    if (kind === COMMENT) continue
    if (kind === NUM || kind === STR || kind === CONST) {
      if (!expectItem) return strong > 0 || literals > 1 ? 3 : 0
      literals++
      expectItem = false
      items++
    } else if (kind === VAR) {
      if (!expectItem) return 0
      strong += t.note[j] === 2 ? 2 : 1
      expectItem = false
      items++
    } else if (kind === FUNC) {
      if (!expectItem) return strong > 0 ? 3 : 0
      const rank = t.note[j] as number
      if (rank > 0) strong += 2
      const after = skipParens(t, significant(t, j + 1), stop)
      expectItem = false
      items++
      j = after - 1
    } else if (kind === OPEN) {
      if (!expectItem) return strong > 0 ? 3 : 0
      const inner = significant(t, j + 1)
      if (t.at(inner) === STMT) return Math.max(2, selectStrength(text, t, inner + 1)) as Strength
      const after = skipParens(t, j, stop)
      literals++
      expectItem = false
      items++
      j = after - 1
    } else if (kind === ARITH) {
      if (expectItem) {
        if (t.note[j] !== 42) continue // a sign
        strong += 2
        expectItem = false
        items++
      } else {
        // "users.*" ends a name; other operators go on.
        expectItem = t.note[j] !== 42 || !endsSelect(t, j + 1)
        if (!expectItem) strong++
      }
    } else if (kind === LOGIC) {
      if (expectItem) return 0
      expectItem = true
    } else if (kind === WORD) {
      if (isSchemaName(wordAt(text, t, j))) strong += 2
      if (!expectItem) {
        // One alias may follow an item; a second word is prose.
        words++
        if (words > items) return strong > 0 && literals > 0 ? 2 : 0
        continue
      }
      expectItem = false
      items++
    } else if (kind === SUFFIX) {
    } else if (kind === COMMA) {
      if (expectItem) return 0
      expectItem = true
    } else if (kind === CLAUSE) {
      if (expectItem && items === 0 && strong === 0) return 0
      return afterSelect(text, t, j, items, literals, strong)
    } else if (kind === CLOSE || kind === SEMI || kind === UNION) {
      break
    } else {
      return strong > 1 || (literals > 1 && items > 1) ? 3 : strong > 0 ? 2 : 0
    }
  }
  if (items === 0) return 0
  const ended = t.at(j) === CLOSE || t.at(j) === SEMI || t.at(j - 1) === COMMENT
  if (strong > 1 || literals > 1) return 3
  if (literals > 0 && ended) return 3
  return literals > 0 || strong > 0 ? 2 : 1
}

function afterSelect(
  text: string,
  t: SqlTokens,
  i: number,
  items: number,
  literals: number,
  strong: number,
): Strength {
  const clause = wordAt(text, t, i)
  const j = significant(t, i + 1)
  if (clause === 'into') {
    const target = wordAt(text, t, j)
    return target === 'outfile' || target === 'dumpfile' || t.at(j) === VAR ? 3 : 0
  }
  if (clause !== 'from') return strong > 1 || literals > 1 ? 3 : strong > 0 || literals > 0 ? 2 : 0
  const kind = t.at(j)
  if (kind === OPEN || kind === FUNC) return 3
  if (kind !== WORD && kind !== CONST && kind !== STR)
    return kind === 0 && (strong > 0 || literals > 0) ? 2 : 0
  const table = wordAt(text, t, j)
  if (isSchemaName(table)) return 3
  const k = significant(t, j + 1)
  // "select * from my heart": a star alone does not make an alias SQL.
  if (strong === 2 && literals === 0 && t.at(k) === WORD && t.at(k + 1) === 0) return 2
  if (strong > 1 || literals > 1) return 3
  if (t.at(k) === CLAUSE && wordAt(text, t, k) === 'where' && comparesAt(text, t, k + 1)) return 3
  if (t.at(k) === WORD && t.at(k + 1) === WORD) return strong > 0 || literals > 0 ? 1 : 0
  if (k !== j + 1 || t.at(k) === CLOSE || t.at(k) === SEMI) return items > 0 ? 2 : 1
  return strong > 0 || literals > 0 ? 2 : 1
}

/** Whether `operand comparison operand` starts at token `i`. */
export function comparesAt(text: string, t: SqlTokens, i: number): boolean {
  let j = significant(t, i)
  while (t.at(j) === PREFIX || t.at(j) === OPEN) j = significant(t, j + 1)
  const left = t.at(j)
  if (left === FUNC) j = skipParens(t, significant(t, j + 1), j + WINDOW) - 1
  else if (left !== WORD && left !== NUM && left !== STR && left !== CONST && left !== VAR)
    return false
  j = significant(t, j + 1)
  if (t.at(j) !== CMP) return false
  const operator = wordAt(text, t, j)
  const right = t.at(significant(t, j + 1))
  if (operator === 'in') return right === OPEN
  if (operator === 'is') return right === CONST || right === PREFIX
  return (
    right === NUM ||
    right === STR ||
    right === CONST ||
    right === VAR ||
    right === WORD ||
    right === FUNC ||
    right === OPEN ||
    right === PREFIX ||
    right === ARITH
  )
}

function endsSelect(t: SqlTokens, i: number): boolean {
  const kind = t.at(significant(t, i))
  return kind === 0 || kind === CLAUSE || kind === COMMA || kind === CLOSE || kind === SEMI
}

/** Index behind the parenthesis that opens at `i`; `stop` when it does not close. */
export function skipParens(t: SqlTokens, i: number, stop: number): number {
  let depth = 0
  let j = i
  for (; j < stop && j < t.count; j++) {
    const kind = t.at(j)
    if (kind === OPEN) depth++
    else if (kind === CLOSE && --depth <= 0) return j + 1
  }
  return j
}

function endsAt(t: SqlTokens, i: number): boolean {
  const kind = t.at(i)
  return kind === 0 || kind === SEMI || kind === COMMENT || kind === CLOSE
}

/** The statement whose first word (kind STMT) is token `i`. */
export function statementStrength(text: string, t: SqlTokens, i: number): Strength {
  const verb = wordAt(text, t, i)
  const j = significant(t, i + 1)
  const kind = t.at(j)
  const next = wordAt(text, t, j)
  const glued = j !== i + 1
  switch (verb) {
    case 'select':
      return selectStrength(text, t, i + 1)
    case 'insert':
    case 'replace': {
      if (next !== 'into') return 0
      const table = significant(t, j + 1)
      if (t.at(table) !== WORD && t.at(table) !== FUNC) return 0
      const k = significant(t, table + 1)
      if (t.at(k) === OPEN) return 3
      return wordAt(text, t, k) === 'values' || t.at(k) === STMT ? 3 : endsAt(t, k) ? 1 : 0
    }
    case 'update': {
      if (kind !== WORD) return 0
      const k = significant(t, j + 1)
      return wordAt(text, t, k) === 'set' && comparesAt(text, t, k + 1) ? 3 : 0
    }
    case 'delete': {
      if (next !== 'from') return 0
      const table = significant(t, j + 1)
      if (t.at(table) !== WORD) return 0
      const k = significant(t, table + 1)
      if (wordAt(text, t, k) === 'where' && comparesAt(text, t, k + 1)) return 3
      return endsAt(t, k) ? (t.at(k) === 0 ? 1 : 2) : 0
    }
    case 'drop':
    case 'create':
    case 'alter':
    case 'truncate': {
      if (!isObjectKind(next)) return 0
      let k = significant(t, j + 1)
      if (t.at(k) === CMP || t.at(k) === PREFIX || t.at(k) === FUNC) return 1
      if (t.at(k) !== WORD && t.at(k) !== STR) return 0
      if (wordAt(text, t, k) === 'if' || isObjectKind(wordAt(text, t, k))) k = significant(t, k + 1)
      const after = significant(t, k + 1)
      if (wordAt(text, t, after) === 'identified') return 3
      if (endsAt(t, k + 1)) return 2
      if (t.at(after) === OPEN) return 3
      return t.at(after) === STMT ? 2 : 0
    }
    case 'exec':
    case 'execute':
      if (isSchemaName(next) || next.includes('xp_') || next.includes('sp_')) return 3
      if (kind === OPEN) {
        const argument = t.at(significant(t, j + 1))
        return argument === STR || argument === VAR ? 3 : 0
      }
      return kind === VAR || kind === STR || next === 'immediate' ? 3 : 0
    case 'declare':
      return kind === VAR && next.length > 1 ? 3 : 0
    case 'waitfor':
      return (next === 'delay' || next === 'time') &&
        (t.at(significant(t, j + 1)) === STR || t.at(significant(t, j + 1)) === VAR)
        ? 3
        : 0
    case 'set':
      return kind === VAR && t.at(significant(t, j + 1)) === CMP ? 3 : 0
    case 'shutdown':
      return endsAt(t, j) || next === 'with' ? 2 : 0
    case 'call':
      return kind === FUNC && endsAt(t, skipParens(t, j + 1, j + WINDOW)) ? 1 : 0
    case 'load':
      return next === 'data' || next === 'extension' ? 2 : 0
    case 'handler':
      return kind === WORD && wordAt(text, t, significant(t, j + 1)) === 'open' ? 3 : 0
    case 'copy': {
      const k = significant(t, j + 1)
      const direction = wordAt(text, t, k)
      if (direction !== 'from' && direction !== 'to') return 0
      const program = significant(t, k + 1)
      return wordAt(text, t, program) === 'program' || t.at(program) === STR ? 3 : 0
    }
    case 'attach':
      return next === 'database' ? 3 : 0
    case 'backup':
    case 'restore':
      return next === 'database' || next === 'log' ? 2 : 0
    case 'grant':
    case 'revoke':
      return next === 'all' || next === 'select' || next === 'create' || glued ? 2 : 0
    case 'pragma':
      return kind === WORD && endsAt(t, j + 1) ? 1 : 0
    case 'do':
      return kind === FUNC && (t.note[j] as number) === 2 ? 3 : 0
    case 'prepare':
      return wordAt(text, t, significant(t, j + 1)) === 'from' ? 2 : 0
    case 'bulk':
      return next === 'insert' ? 3 : 0
    case 'merge':
      return next === 'into' ? 2 : 0
    case 'begin':
      return kind === STMT || kind === FUNC ? 2 : 0
    default:
      return 0
  }
}
