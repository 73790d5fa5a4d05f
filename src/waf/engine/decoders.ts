/**
 * Transformations that undo an encoding: URL, HTML, JavaScript, CSS, C escapes, base64, hex, UTF-8. Each
 * is linear, takes and gives a byte string, and gives the very same string when nothing changes, which
 * is what lets values share their scans (`values.ts`).
 *
 * Semantics: the ModSecurity reference manual (v2), the CRS's tests for what it leaves open.
 */
import { ByteWriter, bytesToString, hexValue, isAscii, isSpace, scratch } from '../bytes.ts'
import { bestFit } from './best-fit.ts'

const out = new ByteWriter()

function hexPair(text: string, at: number): number {
  const high = hexValue(text.charCodeAt(at))
  if (high < 0) return -1
  const low = hexValue(text.charCodeAt(at + 1))
  return low < 0 ? -1 : high * 16 + low
}

function hexQuad(text: string, at: number): number {
  const high = hexPair(text, at)
  if (high < 0) return -1
  const low = hexPair(text, at + 2)
  return low < 0 ? -1 : high * 256 + low
}

/** One byte for a 16-bit code: the byte itself, what it is taken for, or its low half. */
function narrow(code: number): number {
  if (code < 0x100) return code
  const fit = bestFit(code)
  return fit >= 0 ? fit : code & 255
}

function decodeUrl(text: string, withUnicode: boolean): string {
  const percent = text.indexOf('%')
  const plus = text.indexOf('+')
  if (percent < 0 && plus < 0) return text
  const { length } = text
  const bytes = scratch(length)
  const first = percent < 0 ? plus : plus < 0 ? percent : Math.min(percent, plus)
  let written = 0
  while (written < first) {
    bytes[written] = text.charCodeAt(written)
    written++
  }
  let at = first
  while (at < length) {
    const code = text.charCodeAt(at)
    if (code === 43) {
      bytes[written++] = 32
      at++
    } else if (code !== 37) {
      bytes[written++] = code
      at++
    } else {
      const next = text.charCodeAt(at + 1)
      const wide = withUnicode && (next === 117 || next === 85) ? hexQuad(text, at + 2) : -1
      const byte = wide >= 0 ? narrow(wide) : hexPair(text, at + 1)
      bytes[written++] = byte >= 0 ? byte : 37
      at += wide >= 0 ? 6 : byte >= 0 ? 3 : 1
    }
  }
  return bytesToString(bytes, 0, written)
}

/** `%hh` and `+`; what is not a valid escape stays. */
export function urlDecode(text: string): string {
  return decodeUrl(text, false)
}

/** As `urlDecode`, and `%uhhhh` as the byte that it is taken for. */
export function urlDecodeUni(text: string): string {
  return decodeUrl(text, true)
}

const ENTITIES: ReadonlyMap<string, number> = new Map([
  ['quot', 34],
  ['amp', 38],
  ['lt', 60],
  ['gt', 62],
  ['nbsp', 160],
  ['apos', 39],
])

function pushCodePoint(code: number): void {
  if (code < 0x100) out.push(code)
  else if (code < 0x800) {
    out.push(0xc0 | (code >> 6))
    out.push(0x80 | (code & 63))
  } else if (code < 0x10000) {
    out.push(0xe0 | (code >> 12))
    out.push(0x80 | ((code >> 6) & 63))
    out.push(0x80 | (code & 63))
  } else {
    out.push(0xf0 | ((code >> 18) & 7))
    out.push(0x80 | ((code >> 12) & 63))
    out.push(0x80 | ((code >> 6) & 63))
    out.push(0x80 | (code & 63))
  }
}

/** Numeric references of any length (zero padding is an evasion), and the named ones of HTML 2 and XML. */
export function htmlEntityDecode(text: string): string {
  let at = text.indexOf('&')
  if (at < 0) return text
  out.reset(text.length)
  out.text(text.slice(0, at))
  while (at < text.length) {
    const code = text.charCodeAt(at)
    const end = code === 38 ? entityEnd(text, at + 1) : 0
    if (end > 0) {
      at = text.charCodeAt(end) === 59 ? end + 1 : end
    } else {
      out.push(code)
      at++
    }
  }
  return out.toString()
}

/** Writes the entity that begins after the ampersand; the position behind it, or 0 when there is none. */
function entityEnd(text: string, start: number): number {
  let at = start
  if (text.charCodeAt(at) === 35) {
    at++
    const isHex = (text.charCodeAt(at) | 32) === 120
    if (isHex) at++
    const first = at
    let value = 0
    for (; at < text.length; at++) {
      const digit = hexValue(text.charCodeAt(at))
      if (digit < 0 || (!isHex && digit > 9)) break
      value = Math.min(value * (isHex ? 16 : 10) + digit, 0x110000)
    }
    if (at === first) return 0
    pushCodePoint(value > 0x10ffff ? 0xfffd : value)
    return at
  }
  while (at < text.length && at - start < 6) {
    const code = text.charCodeAt(at) | 32
    if (code < 97 || code > 122) break
    at++
  }
  const byte = ENTITIES.get(text.slice(start, at).toLowerCase())
  if (byte === undefined) return 0
  out.push(byte)
  return at
}

const SINGLE_ESCAPES = new Map<number, number>([
  [97, 7],
  [98, 8],
  [102, 12],
  [110, 10],
  [114, 13],
  [116, 9],
  [118, 11],
])

function isOctal(code: number): boolean {
  return code >= 48 && code <= 55
}

/** Length of an octal escape of at most three digits that fits a byte. */
function octalLength(text: string, at: number): number {
  let length = 0
  while (length < 3 && isOctal(text.charCodeAt(at + length))) length++
  return length === 3 && text.charCodeAt(at) > 51 ? 2 : length
}

/** JavaScript escapes: `\uhhhh`, `\xhh`, octal, single letters; another backslash is dropped. */
export function jsDecode(text: string): string {
  let at = text.indexOf('\\')
  if (at < 0) return text
  out.reset(text.length)
  out.text(text.slice(0, at))
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (code !== 92 || at + 1 === text.length) {
      out.push(code)
      at++
      continue
    }
    const kind = text.charCodeAt(at + 1)
    const wide = kind === 117 ? hexQuad(text, at + 2) : -1
    const byte = kind === 120 ? hexPair(text, at + 2) : -1
    if (wide >= 0) {
      out.push(wide >= 0xff01 && wide <= 0xff5e ? wide - 0xfee0 : wide & 255)
      at += 6
    } else if (byte >= 0) {
      out.push(byte)
      at += 4
    } else if (isOctal(kind)) {
      const length = octalLength(text, at + 1)
      out.push(Number.parseInt(text.slice(at + 1, at + 1 + length), 8))
      at += 1 + length
    } else {
      out.push(SINGLE_ESCAPES.get(kind) ?? kind)
      at += 2
    }
  }
  return out.toString()
}

/** CSS 2 escapes: up to six hex digits (the last two count) and one white space, or any character. */
export function cssDecode(text: string): string {
  let at = text.indexOf('\\')
  if (at < 0) return text
  out.reset(text.length)
  out.text(text.slice(0, at))
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (code !== 92) {
      out.push(code)
      at++
      continue
    }
    if (at + 1 === text.length) break
    let digits = 0
    while (digits < 6 && hexValue(text.charCodeAt(at + 1 + digits)) >= 0) digits++
    if (digits === 0) {
      const escaped = text.charCodeAt(at + 1)
      if (escaped !== 10) out.push(escaped)
      at += 2
      continue
    }
    const value = Number.parseInt(text.slice(at + 1, at + 1 + digits), 16)
    out.push(value >= 0xff01 && value <= 0xff5e ? value - 0xfee0 : value & 255)
    at += 1 + digits
    if (isSpace(text.charCodeAt(at))) at++
  }
  return out.toString()
}

/** ANSI C escapes; what is not one stays as it is. */
export function escapeSeqDecode(text: string): string {
  let at = text.indexOf('\\')
  if (at < 0) return text
  out.reset(text.length)
  out.text(text.slice(0, at))
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (code !== 92 || at + 1 === text.length) {
      out.push(code)
      at++
      continue
    }
    const kind = text.charCodeAt(at + 1)
    const single = SINGLE_ESCAPES.get(kind)
    const byte = (kind | 32) === 120 ? hexPair(text, at + 2) : -1
    if (single !== undefined) {
      out.push(single)
      at += 2
    } else if (kind === 92 || kind === 63 || kind === 39 || kind === 34) {
      out.push(kind)
      at += 2
    } else if (byte >= 0) {
      out.push(byte)
      at += 4
    } else if (isOctal(kind)) {
      const length = octalLength(text, at + 1)
      out.push(Number.parseInt(text.slice(at + 1, at + 1 + length), 8))
      at += 1 + length
    } else {
      out.push(92)
      at++
    }
  }
  return out.toString()
}

function base64Value(code: number): number {
  if (code >= 65 && code <= 90) return code - 65
  if (code >= 97 && code <= 122) return code - 71
  if (code >= 48 && code <= 57) return code + 4
  return code === 43 || code === 45 ? 62 : code === 47 || code === 95 ? 63 : -1
}

function decodeBase64(text: string, skipInvalid: boolean): string {
  out.reset(text.length)
  let bits = 0
  let held = 0
  for (let i = 0; i < text.length; i++) {
    const value = base64Value(text.charCodeAt(i))
    if (value < 0) {
      if (skipInvalid) continue
      break
    }
    bits = (bits << 6) | value
    held += 6
    if (held >= 8) {
      held -= 8
      out.push((bits >> held) & 255)
      bits &= (1 << held) - 1
    }
  }
  return out.toString()
}

/** Up to the first byte that is not base64 (both alphabets). */
export function base64Decode(text: string): string {
  return decodeBase64(text, false)
}

/** As `base64Decode`, skipping what is not base64. */
export function base64DecodeExt(text: string): string {
  return decodeBase64(text, true)
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

export function base64Encode(text: string): string {
  let encoded = ''
  for (let i = 0; i < text.length; i += 3) {
    const left = text.length - i
    const word =
      (text.charCodeAt(i) << 16) |
      (left > 1 ? text.charCodeAt(i + 1) << 8 : 0) |
      (left > 2 ? text.charCodeAt(i + 2) : 0)
    encoded += BASE64.charAt(word >> 18) + BASE64.charAt((word >> 12) & 63)
    encoded += left > 1 ? BASE64.charAt((word >> 6) & 63) : '='
    encoded += left > 2 ? BASE64.charAt(word & 63) : '='
  }
  return encoded
}

export function hexEncode(text: string): string {
  let encoded = ''
  for (let i = 0; i < text.length; i++) {
    encoded += text.charCodeAt(i).toString(16).padStart(2, '0')
  }
  return encoded
}

/** Pairs of hex digits; stops at the first that is none. */
export function hexDecode(text: string): string {
  out.reset(text.length)
  for (let i = 0; i + 1 < text.length; i += 2) {
    const byte = hexPair(text, i)
    if (byte < 0) break
    out.push(byte)
  }
  return out.toString()
}

/** `0x` and hex digits, as MySQL reads them, wherever they stand. */
export function sqlHexDecode(text: string): string {
  let at = text.toLowerCase().indexOf('0x')
  if (at < 0) return text
  out.reset(text.length)
  out.text(text.slice(0, at))
  while (at < text.length) {
    const isHex = text.charCodeAt(at) === 48 && (text.charCodeAt(at + 1) | 32) === 120
    if (isHex && hexPair(text, at + 2) >= 0) {
      at += 2
      for (let byte = hexPair(text, at); byte >= 0; byte = hexPair(text, at)) {
        out.push(byte)
        at += 2
      }
    } else {
      out.push(text.charCodeAt(at))
      at++
    }
  }
  return out.toString()
}

function isUrlSafe(code: number): boolean {
  return (
    (code >= 48 && code <= 57) ||
    (code >= 65 && code <= 90) ||
    (code >= 97 && code <= 122) ||
    code === 42
  )
}

export function urlEncode(text: string): string {
  let encoded = ''
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (isUrlSafe(code)) encoded += text.charAt(i)
    else encoded += code === 32 ? '+' : `%${code.toString(16).padStart(2, '0')}`
  }
  return encoded
}

/** Length of the well-formed UTF-8 sequence (RFC 3629) at `at`, or 0. */
export function utf8SequenceLength(text: string, at: number): number {
  const first = text.charCodeAt(at)
  if (first < 0x80) return 1
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2
  if (first < 0xc2 || first > 0xf4 || at + length > text.length) return 0
  for (let i = 1; i < length; i++) {
    if ((text.charCodeAt(at + i) & 0xc0) !== 0x80) return 0
  }
  const second = text.charCodeAt(at + 1)
  if (first === 0xe0 && second < 0xa0) return 0
  if (first === 0xed && second > 0x9f) return 0
  if (first === 0xf0 && second < 0x90) return 0
  if (first === 0xf4 && second > 0x8f) return 0
  return length
}

/** Well-formed multi-byte sequences as `%uhhhh`, for `urlDecodeUni` to fold; other bytes stay. */
export function utf8toUnicode(text: string): string {
  if (isAscii(text)) return text
  out.reset(text.length * 2)
  let at = 0
  while (at < text.length) {
    const length = utf8SequenceLength(text, at)
    if (length <= 1) {
      out.push(text.charCodeAt(at))
      at++
      continue
    }
    let code = text.charCodeAt(at) & (0xff >> (length + 1))
    for (let i = 1; i < length; i++) code = (code << 6) | (text.charCodeAt(at + i) & 63)
    out.text(`%u${code.toString(16).padStart(4, '0')}`)
    at += length
  }
  return out.toString()
}
