/** Base64 (RFC 4648) and URL decoding over byte strings. */
import { fromUint8Array, hexDigit, toBytes } from './bytes.ts'

const STANDARD = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const URL_SAFE = `${STANDARD.slice(0, 62)}-_`

/** Value by character code for both alphabets; 255 for others. */
const VALUES = /* @__PURE__ */ (() => {
  const values = new Uint8Array(256).fill(255)
  for (let i = 0; i < 64; i++) {
    values[STANDARD.charCodeAt(i)] = i
    values[URL_SAFE.charCodeAt(i)] = i
  }
  return values
})()

/** Bytes of a Base64 text in either alphabet, padded or not; undefined when it is none. */
export function decodeBase64(source: string): string | undefined {
  let length = source.length
  if (length % 4 === 0) {
    if (source[length - 1] === '=') length--
    if (source[length - 1] === '=' && length % 4 === 3) length--
  }
  if (length % 4 === 1) return undefined
  const out = new Uint8Array((length * 3) >> 2)
  let bits = 0
  let held = 0
  let at = 0
  for (let i = 0; i < length; i++) {
    const value = VALUES[source.charCodeAt(i)] ?? 255
    if (value === 255) return undefined
    bits = ((bits << 6) | value) & 0xffff
    held += 6
    if (held >= 8) {
      held -= 8
      out[at++] = (bits >> held) & 0xff
    }
  }
  return fromUint8Array(out)
}

export function encodeBase64(source: string, isUrlSafe: boolean, isPadded: boolean): string {
  const alphabet = isUrlSafe ? URL_SAFE : STANDARD
  let out = ''
  for (let i = 0; i < source.length; i += 3) {
    const left = source.length - i
    const group =
      (source.charCodeAt(i) << 16) |
      ((left > 1 ? source.charCodeAt(i + 1) : 0) << 8) |
      (left > 2 ? source.charCodeAt(i + 2) : 0)
    out += (alphabet[group >> 18] as string) + alphabet[(group >> 12) & 63]
    if (left > 1) out += alphabet[(group >> 6) & 63]
    else if (isPadded) out += '='
    if (left > 2) out += alphabet[group & 63]
    else if (isPadded) out += '='
  }
  return out
}

const PERCENT = 37
const PLUS = 43
const SPACE = 32
const LETTER_U = 117

/**
 * What nearly all values hold: nothing to decode, valid %HH of which none is a percent sign, or a percent
 * sign before what can never become an escape. Another round, or %u, would change nothing. Undefined for
 * all others.
 */
function decodePlain(source: string, isRecursive: boolean): string | undefined {
  const text = source.includes('+') ? source.replaceAll('+', ' ') : source
  let at = text.indexOf('%')
  if (at < 0) return text
  let out = ''
  let from = 0
  while (at >= 0) {
    const high = hexDigit(text.charCodeAt(at + 1))
    const low = hexDigit(text.charCodeAt(at + 2))
    if (high < 0 || low < 0) {
      const next = text.charCodeAt(high < 0 ? at + 1 : at + 2)
      if (next === PERCENT || (next | 32) === LETTER_U) return undefined
      at = text.indexOf('%', at + 1)
      continue
    }
    const code = high * 16 + low
    if (code === PERCENT) return undefined
    out += text.slice(from, at)
    out += String.fromCharCode(isRecursive && code === PLUS ? SPACE : code)
    from = at + 3
    at = text.indexOf('%', from)
  }
  return out + text.slice(from)
}

/**
 * Decodes %HH and +, and %uXXXX to UTF-8 when `hasUnicode`. Recursive decoding works on the output as a
 * stack (an escape that a decoded byte completes is decoded at once), so it is linear where repeated passes
 * over "%25252525…" would be quadratic; the result is the same, because escapes never overlap.
 */
export function urlDecode(source: string, isRecursive: boolean, hasUnicode: boolean): string {
  const simple = decodePlain(source, isRecursive)
  if (simple !== undefined) return simple
  const out: number[] = []
  /** Nothing before this position of `out` may take part in an escape: it was decoded already. */
  let settled = 0
  const push = (code: number): void => {
    out.push(isRecursive && code === PLUS ? SPACE : code)
    for (;;) {
      const length = out.length
      const high = hexDigit(out[length - 2] ?? -1)
      const low = hexDigit(out[length - 1] ?? -1)
      if (low < 0) return
      let bytes: string
      if (length - 3 >= settled && out[length - 3] === PERCENT && high >= 0) {
        bytes = String.fromCharCode(high * 16 + low)
        out.length = length - 3
      } else if (
        hasUnicode &&
        length - 6 >= settled &&
        out[length - 6] === PERCENT &&
        ((out[length - 5] ?? 0) | 32) === LETTER_U
      ) {
        let unit = 0
        for (let i = length - 4; i < length; i++) {
          const digit = hexDigit(out[i] as number)
          if (digit < 0) return
          unit = unit * 16 + digit
        }
        bytes = toBytes(String.fromCharCode(unit))
        out.length = length - 6
      } else {
        return
      }
      for (let i = 0; i < bytes.length; i++) {
        const decoded = bytes.charCodeAt(i)
        out.push(isRecursive && decoded === PLUS ? SPACE : decoded)
      }
      if (!isRecursive) {
        settled = out.length
        return
      }
    }
  }
  for (let i = 0; i < source.length; i++) {
    const code = source.charCodeAt(i)
    push(code === PLUS ? SPACE : code)
  }
  return fromUint8Array(Uint8Array.from(out))
}
