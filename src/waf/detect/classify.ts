/**
 * The one entry to the detectors: what is wrong with a value that stood at some place of a request.
 *
 * A gate of byte classes comes first: a value of letters, digits and plain punctuation costs one look per
 * character. What passes is read in each of its encodings (`decode.ts`) by every detector whose
 * characters are there at all.
 */
import { type Form, readings } from './decode.ts'
import { doctypeScore, serializedScore } from './documents.ts'
import { ldapScore, nosqlScore } from './filters.ts'
import { graphqlScore } from './graphql.ts'
import { HtmlReader, TEXT, VALUE } from './html-tokens.ts'
import { jsonLeaves } from './json-leaves.ts'
import { scanLines } from './lines.ts'
import { scriptScore } from './script.ts'
import { shellScore } from './shell.ts'
import { type SignalScan, scanSignals } from './signals.ts'
import { detectSqli } from './sqli.ts'
import { templateScore } from './template.ts'
import { hasNulSuffix, traversalScore } from './traversal.ts'
import { ATTACK_CLASSES, type AttackClass, type Finding, type Place } from './types.ts'
import { ssrfScore } from './url.ts'
import { detectXss } from './xss.ts'

/** Findings below this say nothing. */
const REPORT_FROM = 20
/** Pieces (segments, fields, JSON strings) looked at in one value. */
const MAX_PIECES = 300

const QUOTE = 1
const ANGLE = 2
const BRACKET = 4
const SEPARATOR = 8
const SLASH = 16
const DOLLAR = 32
const EQUALS = 64
const COLON = 128
const BREAK = 256
const SPACE = 512
const OTHER = 1024
const DOT = 2048
const STAR = 4096
const NUL = 8192
const LETTER = 16384

const CLASSES = new Uint16Array(256).fill(OTHER)
for (let c = 48; c <= 57; c++) CLASSES[c] = LETTER
for (let c = 65; c <= 90; c++) CLASSES[c] = CLASSES[c + 32] = LETTER
for (const [mask, characters] of [
  [LETTER, '_-,'],
  [QUOTE, '\'"`'],
  [ANGLE, '<>'],
  [BRACKET, '(){}[]'],
  [SEPARATOR, ';|&'],
  [SLASH, '/\\'],
  [DOLLAR, '$@#%'],
  [EQUALS, '='],
  [COLON, ':'],
  [BREAK, '\r\n'],
  [SPACE, ' \t'],
  [DOT, '.'],
  [STAR, '*'],
  [NUL, '\0'],
] as const) {
  for (const c of characters) CLASSES[c.charCodeAt(0)] = mask
}

function classesOf(text: string): number {
  let mask = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    mask |= c < 256 ? (CLASSES[c] as number) : OTHER
  }
  return mask
}

const NONE: readonly Finding[] = Object.freeze([])
const INDEX = new Map<AttackClass, number>(ATTACK_CLASSES.map((name, i) => [name, i]))

/** Collects the worst finding per class. */
class Verdict {
  readonly place: Place
  readonly #best: (Finding | undefined)[] = new Array(ATTACK_CLASSES.length).fill(undefined)
  #any = false

  constructor(place: Place) {
    this.place = place
  }

  add(name: AttackClass, score: number, evidence: string, decoded: readonly string[]): void {
    if (score < REPORT_FROM) return
    const index = INDEX.get(name) as number
    const before = this.#best[index]
    if (before !== undefined && before.score >= score) return
    this.#any = true
    this.#best[index] = {
      class: name,
      score: Math.min(100, Math.round(score)),
      evidence,
      decoded,
      place: this.place,
    }
  }

  findings(): readonly Finding[] {
    return this.#any ? this.#best.filter((f): f is Finding => f !== undefined) : NONE
  }
}

/**
 * Everything that the detectors find in one value, at most one finding per class, strongest evidence each.
 * @param value as it came, not decoded (decoding once more than the application does no harm)
 * @param place where it stood
 */
export function classify(value: string, place: Place): readonly Finding[] {
  if (value.length < 2) return NONE
  const mask = classesOf(value)
  if ((mask & ~LETTER) === 0 && value.length < 6 && place !== 'user-agent') return NONE
  const verdict = new Verdict(place)
  const plusIsSpace = place === 'query' || place === 'form' || place === 'body' || place === 'path'
  for (const form of readings(value, plusIsSpace)) {
    if (form.superseded) continue
    const before = form.text === value ? mask : classesOf(form.text)
    inspect(form.text, before, place, form.steps, verdict)
    pieces(form.text, before, place, form.steps, verdict)
  }
  return verdict.findings()
}

/** Cuts a value where its place, or its own form, has parts, and looks at each. */
function pieces(
  text: string,
  mask: number,
  place: Place,
  steps: readonly string[],
  verdict: Verdict,
): void {
  let count = 0
  const part = (piece: string, at: Place, how: string) => {
    if (piece.length < 2 || piece === text || count++ > MAX_PIECES) return
    const inner = [...steps, how]
    const forms = readings(piece, false)
    // Whoever gets a string of JSON gets it without its escapes.
    if (at === 'json' && forms[1]?.steps[0] === 'escape') (forms[0] as Form).superseded = true
    for (const form of forms) {
      if (form.superseded) continue
      inspect(
        form.text,
        classesOf(form.text),
        at,
        form.steps.length === 0 ? inner : [...inner, ...form.steps],
        verdict,
      )
    }
  }
  if (place === 'path') {
    if (text.startsWith('/')) part(text.slice(1), 'query', 'path')
    let from = 1
    for (let n = 0; n < 64; n++) {
      const slash = text.indexOf('/', from)
      if (slash < 0) break
      if (slash > from && from > 1) part(text.slice(from, slash), 'query', 'segment')
      from = slash + 1
      if (from < text.length && n < 8) part(text.slice(from), 'query', 'rest')
    }
    return
  }
  const c = text.charCodeAt(0)
  if (mask & QUOTE && (c === 123 || c === 91 || c <= 32)) {
    for (const leaf of jsonLeaves(text)) part(leaf, 'json', 'json')
  }
  if (c === 60 && (place === 'body' || place === 'xml')) {
    const reader = new HtmlReader(text, 'data')
    while (count < MAX_PIECES && reader.next()) {
      if (reader.kind === TEXT || reader.kind === VALUE)
        part(text.slice(reader.start, reader.end), 'query', 'xml')
    }
  }
  if (mask & EQUALS && isFieldList(text, mask, place, steps)) {
    const separator = place === 'cookie' ? ';' : '&'
    let from = 0
    while (from < text.length && count < MAX_PIECES) {
      let end = text.indexOf(separator, from)
      if (end < 0) end = text.length
      const equals = text.indexOf('=', from)
      if (equals >= 0 && equals < end)
        part(text.slice(equals + 1, end), place === 'cookie' ? 'cookie' : 'form', 'field')
      from = end + 1
    }
  }
}

/** Whether a raw body or query is a list of fields: names, `=`, no white space. */
function isFieldList(text: string, mask: number, place: Place, steps: readonly string[]): boolean {
  if (steps.length > 0) return false
  if (place === 'cookie') return /^[\w.$-]{1,64}=/.test(text) && text.includes('; ')
  if ((place !== 'body' && place !== 'query') || mask & SPACE) return false
  return /^[\w.[\]-]{1,64}=/.test(text)
}

function inspect(
  text: string,
  mask: number,
  place: Place,
  steps: readonly string[],
  verdict: Verdict,
): void {
  if (text.length < 2 || ((mask & ~LETTER) === 0 && text.length < 4)) return
  const isProse = (mask & SPACE) !== 0 && words(text) > 2
  const scan = scanSignals(text, isProse)
  signals(scan, place, steps, verdict)
  const isXmlDocument = text.charCodeAt(0) === 60 && (place === 'xml' || place === 'body')
  if (mask & QUOTE || scan.sql || startsWithConnective(text)) {
    const found = detectSqli(text)
    if (found.confidence > 0)
      verdict.add('sqli', found.confidence, `${found.context} ${found.evidence}`, steps)
  }
  if (mask & (ANGLE | EQUALS | COLON)) {
    if (!isXmlDocument) {
      const found = detectXss(text)
      if (found.confidence > 0)
        verdict.add('xss', found.confidence, `${found.context} ${found.evidence}`, steps)
    }
  }
  if (mask & (QUOTE | BRACKET))
    verdict.add('xss', scriptScore(text), 'script behind a literal', steps)
  if (mask & DOT && mask & SLASH) {
    const found = traversalScore(text)
    if (found.score > 0) verdict.add('lfi', found.score, `${found.steps} steps up`, steps)
  }
  if (mask & NUL && place !== 'body' && place !== 'multipart') {
    verdict.add('protocol', 84, 'NUL byte', steps)
    if (hasNulSuffix(text)) verdict.add('lfi', 82, 'NUL byte', steps)
  }
  if (mask & (SEPARATOR | BREAK | SPACE | QUOTE | DOLLAR | SLASH) || text.length < 16) {
    const found = shellScore(text)
    verdict.add('rce', found.score, found.evidence, steps)
  }
  if (mask & ANGLE) verdict.add('xxe', doctypeScore(text), 'doctype', steps)
  if (mask & COLON) verdict.add('code', serializedScore(text), 'serialised object', steps)
  if (mask & BRACKET || (mask & ANGLE && text.includes('<%'))) {
    const found = templateScore(text)
    if (found.score > 0) verdict.add('code', found.score, `template ${found.evidence}`, steps)
    if (mask & (EQUALS | STAR | SEPARATOR)) {
      const filter = ldapScore(text)
      verdict.add('ldap', filter.score, filter.evidence, steps)
    }
    const document = graphqlScore(text)
    verdict.add('graphql', document.score, document.evidence, steps)
  }
  if (mask & (DOLLAR | QUOTE | BRACKET)) {
    const found = nosqlScore(text)
    verdict.add('nosql', found.score, found.evidence, steps)
  }
  if (mask & SLASH && place !== 'path' && place !== 'user-agent') {
    const inner = ssrfScore(text)
    // Referer and Origin of people who develop name their own host.
    if (place !== 'header' || inner >= 88) verdict.add('ssrf', inner, 'internal host', steps)
  }
  if (mask & BREAK || (mask & SPACE && text.length < 4096)) {
    const isName =
      place === 'path' || place === 'header' || place === 'cookie' || place === 'user-agent'
    const found = scanLines(text, isName)
    verdict.add('crlf', found.crlf, found.evidence, steps)
    verdict.add('mail', found.mail, found.evidence, steps)
  }
}

/** "or 1=1", "and 5=5": goes on with a condition in front of it. */
function startsWithConnective(text: string): boolean {
  const head = text.slice(0, 4).toLowerCase()
  return head.startsWith('or ') || head === 'and ' || head.startsWith('or(') || head === 'and('
}

function signals(scan: SignalScan, place: Place, steps: readonly string[], verdict: Verdict): void {
  const { scores } = scan
  if (scores === undefined) return
  for (let i = 0; i < ATTACK_CLASSES.length; i++) {
    const score = scores[i] as number
    if (score === 0) continue
    const name = ATTACK_CLASSES[i] as AttackClass
    if (name === 'scanner' && place !== 'user-agent') continue
    verdict.add(name, score, scan.evidence[i] as string, steps)
  }
}

/** Words, counted up to 3. */
function words(text: string): number {
  let count = 1
  for (let i = 0; i < text.length && count < 3; i++) if (text.charCodeAt(i) === 32) count++
  return count
}
