/**
 * Server-side template injection: an expression in template delimiters that computes, calls or reaches
 * into objects, where a mail merge would only name a field. Jinja, Twig, Freemarker, Velocity, Smarty,
 * Mako, ERB, Razor, Thymeleaf, Spring, EL, Pug, Handlebars.
 */
import { excerpt, isDigit, isSpace, skipSpace } from './bytes.ts'

export interface TemplateFinding {
  readonly score: number
  readonly evidence: string
}

const PAIRS: readonly (readonly [string, string, number])[] = [
  ['{{', '}}', 0],
  ['{%', '%}', 0],
  ['<%', '%>', 0],
  ['${', '}', 0],
  ['#{', '}', 0],
  ['*{', '}', 0],
  ['@{', '}', 0],
  ['~{', '}', -20],
  ['@(', ')', 0],
  ['[[', ']]', 0],
  ['{', '}', -8],
]

const MAX_LENGTH = 300
const MAX_EXPRESSIONS = 200

const REACHING =
  /\b(?:class|mro|subclasses|globals|builtins|import|self|config|request|settings|application|constructor|prototype|getClass|forName|Runtime|exec|system|popen|eval|require|process|env|dump|app|_self|attr|passthru|shell_exec|fileGetContents|include|freemarker|Execute|ObjectConstructor|JythonRuntime|range|cycler|lipsum|url_for|get_flashed_messages|session|g|T|new|java|math|debug|smarty|php|file_get_contents|source|map|filter|sort|reduce|read|write|open|File|IO|Dir|Kernel|root|global|phpinfo|file)\b/

/** Objects that templates hold for themselves; a mail merge has no field of that name. */
const STRONG =
  /^\s*(?:config|self|request|settings|session|_self|app|process|global|constructor|cycler|lipsum|joiner|url_for|get_flashed_messages)\b(?:\.|\[|\(|\s*$)/

/** Score of the worst template expression in a value. */
export function templateScore(value: string): TemplateFinding {
  let score = 0
  let evidence = ''
  let from = hasOpening(value) ? 0 : value.length
  for (let count = 0; count < MAX_EXPRESSIONS && from < value.length; count++) {
    const at = nextOpening(value, from)
    if (at < 0) break
    const pair = PAIRS.find(([open]) => value.startsWith(open, at))
    if (pair === undefined) {
      from = at + 1
      continue
    }
    const [open, close, shift] = pair
    const window = value.slice(at + open.length, at + open.length + MAX_LENGTH)
    const end = window.indexOf(close)
    const body = end < 0 ? '' : window.slice(0, end)
    const found = body === '' ? 0 : expressionScore(body, open) + shift
    if (found > score) {
      score = found
      evidence = excerpt(value, at)
    }
    from = at + open.length
  }
  return { score, evidence }
}

/** All that `nextOpening` finds holds one of these. */
function hasOpening(value: string): boolean {
  return value.includes('{') || value.includes('<%') || value.includes('@(') || value.includes('[[')
}

function nextOpening(value: string, from: number): number {
  for (let i = from; i < value.length - 1; i++) {
    const c = value.charCodeAt(i)
    if (c === 123) return i
    const next = value.charCodeAt(i + 1)
    if (next === 123 && (c === 36 || c === 35 || c === 42 || c === 64 || c === 126)) return i
    if ((c === 60 && next === 37) || (c === 64 && next === 40) || (c === 91 && next === 91))
      return i
  }
  return -1
}

function expressionScore(body: string, open: string): number {
  let i = skipSpace(body, 0)
  if (open !== '{' && body.charCodeAt(i) === 123) i++
  const first = body.charCodeAt(i)
  if (open === '<%') {
    if (first === 61 || first === 33) return 84
    return REACHING.test(body) || isArithmetic(body) ? 84 : 30
  }
  if (first === 61 || first === 35 || first === 64 || first === 37) i = skipSpace(body, i + 1)
  const text = body.slice(i)
  if (isArithmetic(text)) return open === '[[' ? 84 : open === '{' && !text.includes('*') ? 40 : 92
  if (open === '{') {
    // Single braces are JSON, CSS and code nearly always.
    if (
      text.startsWith('php') ||
      text.startsWith('$smarty') ||
      text.startsWith('system(') ||
      text.startsWith('if ')
    )
      return /[$(]/.test(text) && !text.includes(';') ? 98 : 0
    return 0
  }
  const reaches = REACHING.test(text)
  const calls = hasCall(text)
  const quotes = text.includes("'") || text.includes('"')
  const c = text.charCodeAt(0)
  const literalFirst = c === 39 || c === 34 || c === 91 || c === 40
  if (
    literalFirst &&
    (calls || text.includes('.') || text.includes('|') || text.includes('*') || text.includes('['))
  ) {
    // {{ "now" | date("Y") }}: a constant through an ordinary filter.
    const isFilter = /^(?:'[^']*'|"[^"]*")\s*\|/.test(text) && !reaches && !text.includes('__')
    return open === '@(' || isFilter ? 60 : 90
  }
  if (open === '[[') return 0
  if (reaches && calls) return open === '{{' && !text.includes('.') && !quotes ? 82 : 88
  if (open === '@(' || open === '@{') return reaches && text.includes('.') ? 60 : 0
  if (open === '{%') return reaches ? 60 : 0
  if (open === '{{' && STRONG.test(text)) return 84
  if (calls && open === '${' && /^\w+\(\d+\)$/.test(text)) return 84
  if (reaches && text.includes('.') && text.includes('__')) return 90
  if (calls && (open === '${' || open === '#{' || open === '*{')) return quotes ? 70 : 55
  return calls ? 50 : 0
}

/** "7*7", "7*'7'", "1337-1": operands that are literals. */
function isArithmetic(text: string): boolean {
  let i = skipSpace(text, 0)
  while (text.charCodeAt(i) === 40) i = skipSpace(text, i + 1)
  const quote = text.charCodeAt(i)
  if (quote === 39 || quote === 34) i++
  const first = i
  while (isDigit(text.charCodeAt(i)) || text.charCodeAt(i) === 46) i++
  if (i === first) return false
  if (text.charCodeAt(i) === quote) i++
  i = skipSpace(text, i)
  const operator = text.charCodeAt(i)
  if (
    operator !== 42 &&
    operator !== 43 &&
    operator !== 45 &&
    operator !== 47 &&
    operator !== 37 &&
    operator !== 94 &&
    operator !== 124 &&
    operator !== 60 &&
    operator !== 62 &&
    operator !== 61
  )
    return false
  i++
  if (operator === 42 && text.charCodeAt(i) === 42) i++
  i = skipSpace(text, i)
  while (text.charCodeAt(i) === 40) i++
  if (operator === 124) return true
  const c = text.charCodeAt(i)
  return (
    isDigit(c) ||
    ((c === 39 || c === 34) && isDigit(text.charCodeAt(i + 1))) ||
    (operator === 61 && c === 61)
  )
}

function hasCall(text: string): boolean {
  let at = text.indexOf('(')
  while (at > 0) {
    let i = at - 1
    while (i > 0 && isSpace(text.charCodeAt(i))) i--
    const c = text.charCodeAt(i)
    if ((c >= 48 && c <= 57) || (c | 32) >= 97 || c === 95 || c === 93) return true
    at = text.indexOf('(', at + 1)
  }
  return false
}
