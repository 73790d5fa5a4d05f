/** Byte strings: JavaScript strings that hold one byte (U+0000 to U+00FF) a character. */

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** The UTF-8 bytes of a text; the text itself when it is ASCII. */
export function toBytes(text: string): string {
  return isAscii(text) ? text : fromUint8Array(encoder.encode(text))
}

/** The text behind a byte string, with U+FFFD where it is not UTF-8; for messages. */
export function toText(bytes: string): string {
  return isAscii(bytes) ? bytes : decoder.decode(toUint8Array(bytes))
}

export function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false
  return true
}

const CHUNK = 8192

export function fromUint8Array(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.length; i += CHUNK) {
    // An array-like is all that `apply` needs; spreading would copy it first.
    text += String.fromCharCode.apply(null, bytes.subarray(i, i + CHUNK) as unknown as number[])
  }
  return text
}

export function toUint8Array(bytes: string): Uint8Array {
  const out = new Uint8Array(bytes.length)
  for (let i = 0; i < bytes.length; i++) out[i] = bytes.charCodeAt(i)
  return out
}

const ABOVE_ASCII = /[\u0080-\uffff]/
const UPPER = /[A-Z]/
const LOWER = /[a-z]/
const UPPERS = /[A-Z]+/g
const LOWERS = /[a-z]+/g

/** Lower case of the ASCII letters; `String.prototype.toLowerCase` would also change bytes above 0x7F. */
export function lowerAscii(text: string): string {
  if (!UPPER.test(text)) return text
  if (!ABOVE_ASCII.test(text)) return text.toLowerCase()
  return text.replace(UPPERS, (letters) => letters.toLowerCase())
}

export function upperAscii(text: string): string {
  return LOWER.test(text) ? text.replace(LOWERS, (letters) => letters.toUpperCase()) : text
}

/** Value of a hexadecimal digit's character code, or -1. */
export function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  const letter = code | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : -1
}
