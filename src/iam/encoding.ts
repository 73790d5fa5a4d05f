/** Texts and bytes of credentials: strict base64url, hexadecimal, UTF-8, comparison in constant time. */

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
/** Value by character code, 255 for everything else. */
const VALUES = new Uint8Array(128).fill(255)
for (let i = 0; i < 64; i++) VALUES[ALPHABET.charCodeAt(i)] = i

/**
 * Whether `text` from `start` to `end` is base64url without padding (RFC 7515 §2) in its only spelling: an
 * impossible length and unused bits that are not zero make it another spelling of the same bytes.
 */
export function isBase64Url(text: string, start: number, end: number): boolean {
  const length = end - start
  const rest = length & 3
  if (rest === 1) return false
  let last = 0
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i)
    last = code < 128 ? (VALUES[code] as number) : 255
    if (last === 255) return false
  }
  return rest === 0 || (last & (rest === 2 ? 15 : 3)) === 0
}

/** @returns undefined when `text` is not strict base64url */
export function decodeBase64Url(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!isBase64Url(text, 0, text.length)) return undefined
  const bytes = new Uint8Array((text.length * 3) >> 2)
  let held = 0
  let bits = 0
  let at = 0
  for (let i = 0; i < text.length; i++) {
    held = (held << 6) | (VALUES[text.charCodeAt(i)] as number)
    bits += 6
    if (bits >= 8) {
      bits -= 8
      bytes[at++] = held >> bits
      held &= (1 << bits) - 1
    }
  }
  return bytes
}

export function encodeBase64Url(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i
    const group =
      ((bytes[i] as number) << 16) |
      ((left > 1 ? (bytes[i + 1] as number) : 0) << 8) |
      (left > 2 ? (bytes[i + 2] as number) : 0)
    text += (ALPHABET[group >> 18] as string) + ALPHABET[(group >> 12) & 63]
    if (left > 1) text += ALPHABET[(group >> 6) & 63]
    if (left > 2) text += ALPHABET[group & 63]
  }
  return text
}

export function encodeHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += (byte < 16 ? '0' : '') + byte.toString(16)
  return text
}

/** @returns undefined when `text` is not an even number of hexadecimal digits */
export function decodeHex(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined
  const bytes = new Uint8Array(text.length / 2)
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16)
  }
  return bytes
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text)
}

/** @returns undefined when the bytes are not UTF-8; a byte order mark stays, so that a parser refuses it */
export function fromUtf8(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    // The decoder's only error: a malformed sequence.
    return undefined
  }
}

/** Equality that takes the same time wherever the difference is. Lengths are not secret. */
export function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] as number)
  return difference === 0
}
