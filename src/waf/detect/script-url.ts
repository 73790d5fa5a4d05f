/**
 * URLs that run script: `javascript:` and its kin, `data:` documents, however they are written: with
 * character references, tabs and newlines inside, or control characters in front (URL Standard §4.4,
 * HTML §13.2.5.72).
 */
import { isDigit, isSpace } from './bytes.ts'

/** Characters of the URL that are looked at; a scheme with references in every letter fits. */
const LOOK_AT = 400
const KEEP = 40

const NAMED = new Map([
  ['tab', 9],
  ['newline', 10],
  ['colon', 58],
  ['lpar', 40],
  ['rpar', 41],
  ['sol', 47],
  ['nbsp', 160],
  ['amp', 38],
])

/** The start of a URL as a browser reads its scheme: no white space, no references, lower case. */
export function urlStart(text: string, from: number, to: number): string {
  let out = ''
  let i = from
  const stop = Math.min(to, from + LOOK_AT)
  while (i < stop && out.length < KEEP) {
    let c = text.charCodeAt(i)
    i++
    if (c === 38) {
      const reference = characterReference(text, i, stop)
      if (reference > 0) {
        c = Math.floor(reference / 1024)
        i += reference % 1024
      }
    } else if (c === 92) {
      const written = text.slice(i, i + 5)
      const hex =
        written[0] === 'u' ? written.slice(1, 5) : written[0] === 'x' ? written.slice(1, 3) : ''
      const code = hex === '' ? Number.NaN : Number.parseInt(hex, 16)
      if (code > 0) {
        c = code
        i += hex.length + 1
      }
    }
    if (isSpace(c) || c === 0) continue
    out += String.fromCharCode(c >= 65 && c <= 90 ? c + 32 : c)
  }
  return out
}

/** code * 1024 + length of the reference behind the `&`, or 0. */
function characterReference(text: string, from: number, stop: number): number {
  let i = from
  if (text.charCodeAt(i) === 35) {
    i++
    const isHex = (text.charCodeAt(i) | 32) === 120
    if (isHex) i++
    const first = i
    let code = 0
    while (i < stop && i < first + 32) {
      const c = text.charCodeAt(i)
      const digit = isDigit(c)
        ? c - 48
        : isHex && (c | 32) >= 97 && (c | 32) <= 102
          ? (c | 32) - 87
          : -1
      if (digit < 0) break
      code = Math.min(0xffff, code * (isHex ? 16 : 10) + digit)
      i++
    }
    if (i === first) return 0
    if (text.charCodeAt(i) === 59) i++
    return Math.max(1, code) * 1024 + (i - from)
  }
  const semicolon = text.slice(from, from + 9).indexOf(';')
  if (semicolon < 1) return 0
  const code = NAMED.get(text.slice(from, from + semicolon).toLowerCase())
  return code === undefined ? 0 : code * 1024 + semicolon + 1
}

/** How dangerous the URL at [from, to) is, 0 to 100. */
export function scriptUrlScore(text: string, from: number, to: number): number {
  const start = urlStart(text, from, to)
  const colon = start.indexOf(':')
  if (colon < 0) return 0
  switch (start.slice(0, colon)) {
    case 'javascript':
    case 'vbscript':
    case 'livescript':
    case 'mocha':
    case 'jscript':
    case 'vbs':
      return 92
    case 'view-source':
    case 'feed':
      return start.includes('javascript:') || start.includes('data:') ? 88 : 0
    case 'data': {
      const type = start.slice(colon + 1)
      if (type.startsWith('text/html') || type.startsWith('application/xhtml')) return 90
      if (type.startsWith('text/javascript') || type.startsWith('application/javascript')) return 88
      if (type.startsWith('text/xml') || type.startsWith('application/xml')) return 84
      if (type.startsWith('image/svg')) return 60
      if (type.startsWith('text/x-scriptlet')) return 88
      return type.startsWith(',') ? 84 : 0
    }
    default:
      return 0
  }
}
