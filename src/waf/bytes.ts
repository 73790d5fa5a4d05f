/**
 * Byte strings: one UTF-16 code unit per byte, U+0000 to U+00FF. Every value that rules see is one, so
 * that patterns, lengths and limits mean bytes. `TextDecoder('latin1')` is windows-1252 by the Encoding
 * Standard and would change 80-9F, hence the conversions here.
 */

const CHUNK = 8192
const SHORT = 48
/** What the web calls latin1: right for every byte but 80-9F, and much faster than building by codes. */
const windows1252 = new TextDecoder('latin1')

/** The byte string of `bytes[from, to)`. */
export function bytesToString(bytes: Uint8Array, from = 0, to = bytes.length): string {
  if (to - from <= SHORT) return fromCodes(bytes.subarray(from, to))
  if (!hasC1(bytes, from, to)) return windows1252.decode(bytes.subarray(from, to))
  let text = ''
  for (let at = from; at < to; at += CHUNK) {
    text += fromCodes(bytes.subarray(at, Math.min(to, at + CHUNK)))
  }
  return text
}

function hasC1(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (((bytes[i] as number) & 0xe0) === 0x80) return true
  return false
}

function fromCodes(codes: Uint8Array): string {
  // apply takes any array-like of numbers; the typing only knows arrays.
  return String.fromCharCode.apply(null, codes as unknown as number[])
}

/** The bytes of a byte string; code units above FF are cut to their low byte. */
export function stringToBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
  return bytes
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

/** UTF-8 of ordinary text, as a byte string. ASCII comes back as it is. */
export function utf8ToBytes(text: string): string {
  return isAscii(text) ? text : bytesToString(encoder.encode(text))
}

/** Ordinary text of a byte string that holds UTF-8; invalid sequences become U+FFFD. */
export function bytesToUtf8(bytes: string): string {
  return isAscii(bytes) ? bytes : decoder.decode(stringToBytes(bytes))
}

const NOT_ASCII = /[\u0080-\uffff]/

export function isAscii(text: string): boolean {
  return !NOT_ASCII.test(text)
}

/** Appends bytes and copies of spans; one instance is reused, since nothing here runs re-entrantly. */
export class ByteWriter {
  #bytes = new Uint8Array(1024)
  length = 0

  reset(capacity: number): this {
    if (this.#bytes.length < capacity) this.#bytes = new Uint8Array(capacity * 2)
    this.length = 0
    return this
  }

  push(code: number): void {
    if (this.length === this.#bytes.length) {
      const larger = new Uint8Array(this.#bytes.length * 2)
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    this.#bytes[this.length++] = code
  }

  /** The last byte written, or -1. */
  last(): number {
    return this.length === 0 ? -1 : (this.#bytes[this.length - 1] as number)
  }

  text(text: string): void {
    this.span(text, 0, text.length)
  }

  /** Copies `text[from, to)`. */
  span(text: string, from: number, to: number): void {
    const end = this.length + to - from
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, this.#bytes.length * 2))
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    const bytes = this.#bytes
    let at = this.length
    for (let i = from; i < to; i++) bytes[at++] = text.charCodeAt(i)
    this.length = end
  }

  truncate(length: number): void {
    this.length = length
  }

  toString(): string {
    return bytesToString(this.#bytes, 0, this.length)
  }
}

let scratchBytes = new Uint8Array(4096)

/** Room for the result of one transformation; the next call may give the same room. */
export function scratch(capacity: number): Uint8Array {
  if (scratchBytes.length < capacity) scratchBytes = new Uint8Array(capacity * 2)
  return scratchBytes
}

const HEX = new Int8Array(256).fill(-1)
for (let digit = 0; digit < 16; digit++) {
  HEX[digit.toString(16).charCodeAt(0)] = digit
  HEX[digit.toString(16).toUpperCase().charCodeAt(0)] = digit
}

/** Value of a hexadecimal digit's code, or -1; also for the NaN that stands behind the end of a text. */
export function hexValue(code: number): number {
  return code < 256 ? (HEX[code] as number) : -1
}

/** Space, tab, line feed, vertical tab, form feed, carriage return: C's isspace. */
export function isSpace(code: number): boolean {
  return code === 32 || (code >= 9 && code <= 13)
}

/** ASCII lower case; other bytes stay. The same string when nothing changes. */
export function asciiLower(text: string): string {
  return isAscii(text) ? text.toLowerCase() : lowerBytes(text)
}

function lowerBytes(text: string): string {
  return text.replace(/[A-Z]+/g, (run) => run.toLowerCase())
}

/** ASCII upper case; other bytes stay. */
export function asciiUpper(text: string): string {
  return text.replace(/[a-z]+/g, (run) => run.toUpperCase())
}
