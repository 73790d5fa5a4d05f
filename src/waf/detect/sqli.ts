/**
 * SQL injection: does a value, put into a SQL literal or beside one, change the statement?
 *
 * The value is tokenised as it would be behind each quoting context. Runs of tokens that a SQL parser
 * would accept are read as expressions; what gives an attack away is structure: a comparison of
 * constants joined by AND/OR, UNION with a select list, a further statement, a comment that cuts the rest
 * off, a clause or a call that nobody types. Where the run stands matters: directly behind a literal that
 * the value itself closed, little is needed; in the middle of prose, a lot.
 */
import { excerpt, isSpace } from './bytes.ts'
import { SqlRun } from './sqli-run.ts'
import { tokenise } from './sqli-tokens.ts'
import { type Detection, NO_DETECTION } from './types.ts'

const CONTEXTS: readonly (readonly [string, number])[] = [
  ['none', 0],
  ['single', 0x27],
  ['double', 0x22],
  ['backtick', 0x60],
]

/** From here on a value is called an attack. */
const ATTACK_FROM = 50
/** Below this there is nothing to tell. */
const WORTH_TELLING = 20
/** No need to look further. */
const CERTAIN = 92

/**
 * Detects SQL injection in one decoded value.
 * Cost is linear in the length; the value is read at most once per quoting context it could close,
 * twice where `--` is ambiguous between MySQL and standard SQL.
 */
export function detectSqli(value: string): Detection {
  let best = 0
  let context = 'none'
  let evidence = ''
  let at = 0
  for (const [name, quote] of CONTEXTS) {
    if (quote !== 0 && value.indexOf(String.fromCharCode(quote)) < 0) continue
    let ansi = false
    for (;;) {
      const tokens = tokenise(value, quote, ansi)
      const run = new SqlRun(value, tokens, quote)
      run.read()
      let score = run.score
      if (quote === 0 && isPathLike(value) && !tokens.hasEvilComment)
        score = Math.min(score, ATTACK_FROM - 5)
      if (score > best) {
        best = score
        context = name
        evidence = run.evidence
        at = run.position
      }
      if (best >= CERTAIN) break
      if (ansi || !tokens.hasTightDashes) break
      ansi = true
    }
    if (best >= CERTAIN) break
  }
  if (best < WORTH_TELLING) return NO_DETECTION
  return {
    attack: best >= ATTACK_FROM,
    context,
    evidence: `${evidence}: ${excerpt(value, at)}`,
    confidence: best,
  }
}

/** "/a/b": an operator cannot start an expression, so nothing unquoted continues one here. */
function isPathLike(value: string): boolean {
  const second = value.charCodeAt(1)
  return value.charCodeAt(0) === 47 && second !== 42 && second !== 47 && !isSpace(second)
}
