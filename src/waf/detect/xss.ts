/**
 * Cross-site scripting: does a value, put into a page, run script there?
 *
 * The value is read by an HTML tokeniser from each place where pages put values: text, and attribute
 * values without quotes, in single, double and back quotes. Elements that load or run, event handlers,
 * script URLs and active styles decide.
 */
import { excerpt, isSpace, skipSpace } from './bytes.ts'
import {
  ATTRIBUTE,
  COMMENT,
  DOCTYPE,
  END_TAG,
  type HtmlContext,
  HtmlReader,
  TAG,
  TAG_END,
  TEXT,
  VALUE,
} from './html-tokens.ts'
import { eventRank, holdsUrl, tagScore } from './html-words.ts'
import { scriptUrlScore } from './script-url.ts'
import { type Detection, NO_DETECTION } from './types.ts'

const ATTACK_FROM = 50
const CERTAIN = 90
/** Names longer than this are no HTML names. */
const NAME_LIMIT = 64

interface Found {
  score: number
  at: number
  evidence: string
}

/**
 * Detects cross-site scripting in one decoded value. Linear in the length: at most one pass per context
 * that the value can reach.
 */
export function detectXss(value: string): Detection {
  const found: Found = { score: 0, at: 0, evidence: '' }
  let context = 'data'
  const take = (name: HtmlContext) => {
    const before = found.score
    read(value, name, found)
    if (found.score > before) context = name === 'data' ? name : `attribute-${name}`
    return found.score >= CERTAIN
  }
  const url = scriptUrlScore(value, 0, value.length)
  if (url > 0) {
    // "JavaScript: the good parts" has no code behind the colon.
    found.score = looksLikeCode(value, value.indexOf(':')) ? url : Math.min(url, 45)
    found.evidence = 'script URL'
    context = 'url'
  }
  const done =
    found.score >= CERTAIN ||
    (value.includes('<') && take('data')) ||
    (value.includes('=') &&
      ((value.includes('"') && take('double')) ||
        (value.includes("'") && take('single')) ||
        (value.includes('`') && take('backtick')) ||
        take('unquoted')))
  if (!done && found.score === 0) return NO_DETECTION
  return {
    attack: found.score >= ATTACK_FROM,
    context,
    evidence: `${found.evidence}: ${excerpt(value, found.at)}`,
    confidence: found.score,
  }
}

function read(value: string, context: HtmlContext, found: Found): void {
  const reader = new HtmlReader(value, context)
  const inData = context === 'data'
  let tag = ''
  let attribute = ''
  let inStyle = false
  let isFirst = !inData
  const hit = (score: number, at: number, evidence: string) => {
    if (score > found.score) {
      found.score = score
      found.at = at
      found.evidence = evidence
    }
  }
  while (found.score < CERTAIN + 5 && reader.next()) {
    switch (reader.kind) {
      case TAG:
        tag = nameAt(value, reader.start, reader.end)
        attribute = ''
        inStyle = tag === 'style'
        hit(tagScore(tag), reader.start - 1, `<${tag}>`)
        break
      case TEXT:
        if (inStyle) hit(styleScore(value, reader.start, reader.end), reader.start, 'active style')
        break
      case END_TAG:
        inStyle = false
        tag = ''
        if (nameAt(value, reader.start, reader.end) === 'script')
          hit(84, reader.start - 2, '</script>')
        break
      case ATTRIBUTE:
        attribute = nameAt(value, reader.start, reader.end)
        break
      case VALUE:
        if (isFirst) isFirst = false
        else if (attribute !== '')
          hit(
            attributeScore(value, reader, tag, attribute, context),
            reader.start,
            `${tag} ${attribute}=`,
          )
        attribute = ''
        break
      case COMMENT:
        hit(commentScore(value, reader.start, reader.end), reader.start, 'active comment')
        break
      case DOCTYPE:
        hit(
          value.slice(reader.start, reader.start + 200).includes('[') ? 60 : 0,
          reader.start,
          'doctype',
        )
        break
      case TAG_END:
        // What follows is read from the text context.
        if (!inData && tag === '') return
        break
      default:
    }
  }
}

/** Lower-case name without NUL bytes; browsers of old skipped them. */
function nameAt(value: string, from: number, to: number): string {
  if (to - from > NAME_LIMIT) return ''
  const name = value.slice(from, to).toLowerCase()
  return name.includes('\0') ? name.replaceAll('\0', '') : name
}

function attributeScore(
  value: string,
  reader: HtmlReader,
  tag: string,
  attribute: string,
  context: HtmlContext,
): number {
  const { start, end } = reader
  const inTag = context === 'data'
  const event = eventRank(attribute)
  if (event > 0 && skipSpace(value, start, end) < end) {
    if (inTag) return event === 2 ? 94 : 86
    const code = looksLikeCode(value, start - 1, end)
    if (context === 'unquoted') return event === 2 && code ? 84 : 0
    if (event === 2) return code || reader.quote !== 0 ? 90 : 70
    return code ? 80 : 0
  }
  if (end === start) return 0
  if (attribute === 'style') return styleScore(value, start, end)
  if (attribute === 'srcdoc' && inTag) return 88
  if (inTag && attribute === 'attributename') {
    const target = value.slice(start, end).toLowerCase()
    return target.startsWith('on') || target.includes('href') ? 86 : 0
  }
  if (inTag && attribute === 'http-equiv')
    return value
      .slice(start, start + 10)
      .toLowerCase()
      .startsWith('refresh')
      ? 86
      : 0
  if (holdsUrl(attribute) || attribute.endsWith(':href')) {
    const score = inTag
      ? scriptUrlScore(value, start, end)
      : reader.quote !== 0 || context !== 'unquoted'
        ? Math.min(86, scriptUrlScore(value, start, end))
        : 0
    if (
      attribute === 'content' ||
      attribute === 'to' ||
      attribute === 'values' ||
      attribute === 'from'
    ) {
      const text = value.slice(start, Math.min(end, start + 2000)).toLowerCase()
      if (text.includes('javascript:') || text.includes('url=data:')) return inTag ? 90 : 60
    }
    if (tag === 'img' || tag === 'image' || tag === 'audio' || tag === 'video' || tag === 'input')
      return score === 84 || score === 60 ? 0 : score
    return score
  }
  if (inTag && attribute === 'rel' && tag === 'link') {
    const rel = value.slice(start, Math.min(end, start + 20)).toLowerCase()
    return rel.includes('import') || rel.includes('stylesheet') ? 82 : 0
  }
  return 0
}

/** Styles that ran script, or that fetch what does. */
function styleScore(value: string, from: number, to: number): number {
  const style = value.slice(from, Math.min(to, from + 2000))
  let css = ''
  for (let i = 0; i < style.length; i++) {
    const c = style.charCodeAt(i)
    if (c === 47 && style.charCodeAt(i + 1) === 42) {
      const close = style.indexOf('*/', i + 2)
      if (close < 0) break
      i = close + 1
    } else if (!isSpace(c) && c !== 92) css += style[i]
  }
  css = css.toLowerCase()
  if (css.includes('expression(') || css.includes('javascript:') || css.includes('vbscript:'))
    return 90
  if (css.includes('-moz-binding') || css.includes('behavior:url') || css.includes('behaviour:url'))
    return 90
  return css.includes('@import') ? 84 : 0
}

function commentScore(value: string, from: number, to: number): number {
  const head = value.slice(from, Math.min(to, from + 24)).toLowerCase()
  if (head.startsWith('[if')) return 60
  if (head.startsWith('import ') || head.startsWith('import\t')) return 66
  if (head.startsWith('entity')) return 60
  const tick = head.indexOf('`')
  return tick >= 0 && tick < 3 ? 55 : 0
}

/** Whether something is called, assigned or indexed behind `from`: code rather than words. */
function looksLikeCode(value: string, from: number, to = value.length): boolean {
  const stop = Math.min(to, from + 2048)
  for (let i = from + 1; i < stop; i++) {
    const c = value.charCodeAt(i)
    if (c === 40 || c === 96 || c === 61 || c === 91) return true
    if (
      c === 37 &&
      (value.startsWith('28', i + 1) ||
        value.startsWith('0a', i + 1) ||
        value.startsWith('0A', i + 1))
    )
      return true
    if (c === 38 && (value[i + 1] === '#' || value.startsWith('lpar', i + 1))) return true
    if (c === 92 && (value[i + 1] === 'x' || value[i + 1] === 'u')) return true
  }
  return false
}
