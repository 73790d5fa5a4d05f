/**
 * Undoes the encodings that hide an attack from a reader but not from the application: percent and %u
 * escapes (several rounds, overlong UTF-8), character references, escapes of JavaScript and JSON, full-width
 * letters, UTF-7, base64. Rounds, forms and total work are bounded.
 */
import { hexValue, isDigit, isWord } from './bytes.ts'

/** One reading of a value. */
export interface Form {
  readonly text: string
  /** Decodings that led here, in order. */
  readonly steps: readonly string[]
  /** Percent escapes were undone: no application works with the escaped text itself. */
  superseded: boolean
}

/** Readings of one value, the plain one included. */
const MAX_FORMS = 8
/** Decodings in a row. */
const MAX_STEPS = 5
/** Longest value whose base64 reading is tried, characters. */
const MAX_BASE64 = 262_144

/**
 * All readings of a value, the plain one first. An undecodable escape stays as it is.
 * @param plusIsSpace whether `+` may stand for a space (queries and forms)
 */
export function readings(value: string, plusIsSpace: boolean): Form[] {
  const forms: Form[] = [{ text: value, steps: [], superseded: false }]
  for (let i = 0; i < forms.length && forms.length < MAX_FORMS; i++) {
    const form = forms[i] as Form
    if (form.steps.length >= MAX_STEPS) continue
    const add = (name: string, text: string) => {
      if (text === form.text || forms.length >= MAX_FORMS) return
      for (const known of forms) if (known.text === text) return
      forms.push({ text, steps: [...form.steps, name], superseded: false })
      if (name === 'url') form.superseded = true
    }
    const has = escapesIn(form.text)
    if (has & PERCENT) add('url', urlDecode(form.text, plusIsSpace && i === 0))
    else if (has & PLUS && plusIsSpace) add('plus', form.text.replaceAll('+', ' '))
    if (has & AMPERSAND) add('html', htmlDecode(form.text))
    if (has & BACKSLASH) add('escape', escapeDecode(form.text))
    if (has & WIDE) add('wide', narrow(form.text))
    if (has & PLUS && form.text.includes('+AD')) add('utf-7', utf7Decode(form.text))
    if (form.text.includes('<![CDATA['))
      add('cdata', form.text.replaceAll('<![CDATA[', '').replaceAll(']]>', ''))
    if (has & SLASH) add('path', foldPath(form.text))
    const base64 = base64Text(form.text)
    if (base64 !== undefined) add('base64', base64)
  }
  return forms
}

const PERCENT = 1
const AMPERSAND = 2
const BACKSLASH = 4
const WIDE = 8
const PLUS = 16
const SLASH = 32

/** By byte: what a text that has it may hide. */
const ESCAPES = new Uint8Array(256)
for (const [flag, codes] of [
  [PERCENT, [37]],
  [AMPERSAND, [38]],
  [BACKSLASH, [92]],
  [PLUS, [43]],
  [SLASH, [47]],
  [WIDE, [0xc0, 0xc1, 0xca, 0xe0, 0xe2, 0xe5, 0xef]],
] as const) {
  for (const code of codes) ESCAPES[code] = flag
}

function escapesIn(text: string): number {
  let found = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c > 255) {
      if (c >= 0x2000) found |= WIDE
      continue
    }
    const flag = ESCAPES[c] as number
    if (flag === SLASH) {
      const next = text.charCodeAt(i + 1)
      if (next === 47 || next === 46) found |= SLASH
    } else found |= flag
  }
  return found
}

/** %XX, %uXXXX and, where asked, `+`. */
export function urlDecode(text: string, plusIsSpace: boolean): string {
  let out = ''
  let from = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 43 && plusIsSpace) {
      out += `${text.slice(from, i)} `
      from = i + 1
    } else if (c === 37) {
      const high = hexValue(text.charCodeAt(i + 1))
      const low = hexValue(text.charCodeAt(i + 2))
      if (high >= 0 && low >= 0) {
        out += text.slice(from, i) + String.fromCharCode(high * 16 + low)
        i += 2
        from = i + 1
      } else if ((text.charCodeAt(i + 1) | 32) === 117) {
        const code = hex(text, i + 2, 4)
        if (code >= 0) {
          out += text.slice(from, i) + String.fromCharCode(asciiOf(code))
          i += 5
          from = i + 1
        }
      }
    }
  }
  return from === 0 ? text : out + text.slice(from)
}

function hex(text: string, from: number, digits: number): number {
  let code = 0
  for (let i = from; i < from + digits; i++) {
    const digit = hexValue(text.charCodeAt(i))
    if (digit < 0) return -1
    code = code * 16 + digit
  }
  return code
}

const REFERENCES = new Map<string, string>()
for (const pair of (
  'lt < gt > amp & quot " apos \' colon : semi ; lpar ( rpar ) sol / bsol \\ excl ! num # dollar $ percnt % ' +
  'lbrace { rbrace } lcub { rcub } lbrack [ rbrack ] lsqb [ rsqb ] equals = period . comma , grave ` ' +
  'vert | verbar | ast * midast * plus + hyphen - dash - lowbar _ commat @ quest ? hat ^ LT < GT > QUOT " AMP &'
)
  .split(' ')
  .reduce<string[][]>((pairs, word, i, all) => {
    if (i % 2 === 0) pairs.push([word, all[i + 1] as string])
    return pairs
  }, [])) {
  REFERENCES.set(pair[0] as string, pair[1] as string)
}
REFERENCES.set('Tab', '\t').set('NewLine', '\n').set('nbsp', ' ')

/** Character references, numeric ones of any length and without semicolon too. */
export function htmlDecode(text: string): string {
  let out = ''
  let from = 0
  let i = text.indexOf('&')
  while (i >= 0) {
    let end = i + 1
    let decoded = ''
    if (text.charCodeAt(end) === 35) {
      end++
      const isHex = (text.charCodeAt(end) | 32) === 120
      if (isHex) end++
      const first = end
      let code = 0
      for (; end < text.length; end++) {
        const c = text.charCodeAt(end)
        const digit = isHex ? hexValue(c) : isDigit(c) ? c - 48 : -1
        if (digit < 0) break
        code = Math.min(0x110000, code * (isHex ? 16 : 10) + digit)
      }
      if (end > first && code < 0x10000) decoded = String.fromCharCode(asciiOf(code))
      if (text.charCodeAt(end) === 59) end++
    } else {
      const stop = Math.min(text.length, i + 9)
      while (end < stop && isWord(text.charCodeAt(end))) end++
      const name = text.slice(i + 1, end)
      if (text.charCodeAt(end) === 59) {
        decoded = REFERENCES.get(name) ?? ''
        end++
      } else if (name === 'lt' || name === 'gt' || name === 'quot' || name === 'amp') {
        decoded = REFERENCES.get(name) ?? ''
      }
    }
    if (decoded !== '') {
      out += text.slice(from, i) + decoded
      from = end
    }
    i = text.indexOf('&', Math.max(i + 1, decoded === '' ? i + 1 : end))
  }
  return from === 0 ? text : out + text.slice(from)
}

/** \uXXXX, \u{X}, \xXX, \OOO, \n, \t, and backslashes before quotes and slashes (JavaScript, JSON, C). */
export function escapeDecode(text: string): string {
  let out = ''
  let from = 0
  let i = text.indexOf('\\')
  while (i >= 0) {
    const c = text.charCodeAt(i + 1)
    let code = -1
    let length = 2
    if (c === 117 && text.charCodeAt(i + 2) === 123) {
      const close = text.slice(i + 3, i + 12).indexOf('}')
      if (close > 0) code = hex(text, i + 3, close)
      length = close + 4
    } else if (c === 117 || c === 85) {
      code = hex(text, i + 2, 4)
      length = 6
    } else if (c === 120) {
      code = hex(text, i + 2, 2)
      length = 4
    } else if (c >= 48 && c <= 51) {
      const second = text.charCodeAt(i + 2) - 48
      const third = text.charCodeAt(i + 3) - 48
      if (second >= 0 && second < 8 && third >= 0 && third < 8) {
        code = (c - 48) * 64 + second * 8 + third
        length = 4
      }
    } else if (c === 110) code = 10
    else if (c === 114) code = 13
    else if (c === 116) code = 9
    else if (c === 34 || c === 39 || c === 47) code = c
    if (code >= 0 && code < 0x10000) {
      out += text.slice(from, i) + String.fromCharCode(asciiOf(code))
      from = i + length
      i = text.indexOf('\\', from)
    } else {
      i = text.indexOf('\\', i + 2)
    }
  }
  return from === 0 ? text : out + text.slice(from)
}

/** `/./` and repeated slashes taken out, but for those behind a scheme. */
function foldPath(text: string): string {
  let out = ''
  let from = 0
  let i = text.indexOf('/')
  while (i >= 0) {
    let j = i + 1
    if (i === 0 || text.charCodeAt(i - 1) !== 58) {
      for (;;) {
        if (text.charCodeAt(j) === 47) j++
        else if (text.charCodeAt(j) === 46 && text.charCodeAt(j + 1) === 47) j += 2
        else break
      }
      if (j > i + 1) {
        out += text.slice(from, i + 1)
        from = j
      }
    } else {
      while (text.charCodeAt(j) === 47) j++
    }
    i = text.indexOf('/', j)
  }
  return from === 0 ? text : out + text.slice(from)
}

/** Full-width and look-alike code points to ASCII. */
function asciiOf(code: number): number {
  if (code >= 0xff01 && code <= 0xff5e) return code - 0xfee0
  switch (code) {
    case 0x2018:
    case 0x2019:
    case 0x02b9:
    case 0x02bc:
    case 0x2032:
    case 0x00b4:
      return 39
    case 0x02ba:
    case 0x201c:
    case 0x201d:
      return 34
    case 0x2215:
    case 0x2044:
      return 47
    case 0x2216:
    case 0xfe68:
      return 92
    case 0x2024:
      return 46
    case 0x560a:
      return 10
    case 0x560d:
      return 13
    default:
      return code
  }
}

/** Full-width forms (as UTF-16 or UTF-8 bytes) and overlong UTF-8 to ASCII. */
function narrow(text: string): string {
  let out = ''
  let from = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c < 0xc0) continue
    let code = -1
    let length = 1
    const second = text.charCodeAt(i + 1)
    const third = text.charCodeAt(i + 2)
    if (c >= 0x2000) {
      code =
        c >= 0xff01 && c <= 0xff5e ? c - 0xfee0 : c === 0x560a || c === 0x560d ? asciiOf(c) : -1
    } else if (c <= 0xc1 && (second & 0xc0) === 0x80) {
      code = ((c & 31) << 6) | (second & 63)
      length = 2
    } else if (c === 0xe0 && second === 0x80 && (third & 0xc0) === 0x80) {
      code = third & 63
      length = 3
    } else if (c === 0xef && (second === 0xbc || second === 0xbd) && (third & 0xc0) === 0x80) {
      code = asciiOf(0xf000 | ((second & 63) << 6) | (third & 63))
      length = 3
    } else if (c === 0xe5 && second === 0x98 && (third === 0x8a || third === 0x8d)) {
      code = third === 0x8a ? 10 : 13
      length = 3
    } else if (c === 0xe2 && second === 0x91 && third >= 0xa0 && third <= 0xa8) {
      code = third - 0xa0 + 49
      length = 3
    } else if (c === 0xe2 && second === 0x93 && third === 0xaa) {
      code = 48
      length = 3
    }
    if (code >= 0 && code < 128) {
      out += text.slice(from, i) + String.fromCharCode(code)
      i += length - 1
      from = i + 1
    }
  }
  return from === 0 ? text : out + text.slice(from)
}

/** +ADw- and its kin (RFC 2152), only ASCII results. */
function utf7Decode(text: string): string {
  let out = ''
  let from = 0
  let i = text.indexOf('+')
  while (i >= 0) {
    let end = i + 1
    while (end < text.length && isUtf7(text.charCodeAt(end))) end++
    const bytes = end - i >= 4 && end - i < 4096 ? base64Bytes(text.slice(i + 1, end)) : ''
    if (bytes.length >= 2 && bytes.charCodeAt(0) === 0) {
      let plain = ''
      for (let k = 1; k < bytes.length; k += 2) plain += bytes[k]
      out += text.slice(from, i) + plain
      if (text.charCodeAt(end) === 45) end++
      from = end
    }
    i = text.indexOf('+', end)
  }
  return from === 0 ? text : out + text.slice(from)
}

/** Letters, digits and `/`: a `-` ends the run. */
function isUtf7(c: number): boolean {
  return c !== 43 && c !== 45 && c !== 95 && base64Value(c) >= 0
}

function base64Value(c: number): number {
  if (c >= 65 && c <= 90) return c - 65
  if (c >= 97 && c <= 122) return c - 71
  if (c >= 48 && c <= 57) return c + 4
  if (c === 43 || c === 45) return 62
  if (c === 47 || c === 95) return 63
  return -1
}

function base64Bytes(text: string): string {
  let out = ''
  let bits = 0
  let count = 0
  for (let i = 0; i < text.length; i++) {
    const v = base64Value(text.charCodeAt(i))
    if (v < 0) continue
    bits = ((bits << 6) | v) & 0xffffff
    count += 6
    if (count >= 8) {
      count -= 8
      out += String.fromCharCode((bits >> count) & 255)
    }
  }
  return out
}

/** `=` and line ends; a space may have been a `+`. */
function isPadding(c: number): boolean {
  return c === 61 || c === 10 || c === 13
}

/** Characters that a base64 text would have to hide to be worth reading. */
const TELLING = /[^\w.,-]/

/**
 * The text inside a base64 value, or undefined when the value is not clearly base64 of text. Padding may
 * be absent, the URL alphabet is taken, and `+` may have become a space on the way. Also reads
 * `data:...;base64,`.
 */
export function base64Text(value: string): string | undefined {
  let from = 0
  let to = value.length
  const marker = value.startsWith('data:') ? value.indexOf(';base64,') : -1
  if (marker > 0 && marker < 64) from = marker + 8
  else if (value.charCodeAt(0) === 47) from = 1
  while (to > from && isPadding(value.charCodeAt(to - 1))) to--
  const length = to - from
  if (length < 6 || length > MAX_BASE64 || length % 4 === 1) return undefined
  let lower = 0
  let upper = 0
  let digit = 0
  for (let i = from; i < to; i++) {
    const c = value.charCodeAt(i)
    if (base64Value(c) < 0 && c !== 32) return undefined
    if (c >= 97) lower = 1
    else if (c >= 65) upper = 1
    else if (c >= 48) digit = 1
  }
  // Words of one case, numbers and hex digests are no base64 of text.
  if (lower + upper + digit < 2) return undefined
  const text = base64Bytes(value.slice(from, to).replaceAll(' ', '+'))
  let odd = 0
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c < 32 && c !== 9 && c !== 10 && c !== 13 && c !== 0) return undefined
    if (c === 0 || c >= 127) odd++
  }
  if (odd * 8 > text.length) return undefined
  return TELLING.test(text) ? text : undefined
}
