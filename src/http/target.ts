/**
 * Request targets (RFC 9112 §3.2, RFC 3986): one canonical form that WAF, router, cache key and origin all
 * see. What two parsers could read differently is refused, never repaired: `new URL()` maps backslashes
 * to slashes and hides dot segments, so it is not used.
 */
import type { Target } from '../exchange.ts'
import type { ProblemCode } from './problem.ts'

const UNRESERVED = new Uint8Array(128)
for (const char of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~') {
  UNRESERVED[char.charCodeAt(0)] = 1
}

function hexValue(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  const letter = code | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : -1
}

/**
 * Canonical form of an origin-form target: percent triplets checked and upper case, unreserved characters
 * decoded, dot segments resolved; the query is kept as sent.
 *
 * @param raw      begins with `/`
 * @returns `bad-target` for bytes outside 0x21-0x7E, `#`, a backslash (raw or encoded), bad triplets in the
 * path, encoded NUL, CR or LF in the path, invalid UTF-8 in the path, and dots hidden behind `%2F` or `;`
 */
export function canonicalTarget(raw: string): Target | ProblemCode {
  let queryAt = -1
  let needsWork = false
  let afterSlash = false
  for (let i = 0; i < raw.length; i++) {
    const code = raw.charCodeAt(i)
    if (code <= 0x20 || code >= 0x7f || code === 35) return 'bad-target'
    if (queryAt >= 0) continue
    if (code === 63) queryAt = i
    else if (code === 92) return 'bad-target'
    else if (code === 37 || (code === 46 && afterSlash)) needsWork = true
    afterSlash = code === 47
  }
  if (raw.charCodeAt(0) !== 47) return 'bad-target'
  if (!needsWork) {
    return queryAt < 0
      ? { raw, path: raw, query: '', pathAndQuery: raw }
      : { raw, path: raw.slice(0, queryAt), query: raw.slice(queryAt + 1), pathAndQuery: raw }
  }
  const rawPath = queryAt < 0 ? raw : raw.slice(0, queryAt)
  const path = canonicalPath(rawPath)
  if (path === undefined) return 'bad-target'
  const query = queryAt < 0 ? '' : raw.slice(queryAt + 1)
  return { raw, path, query, pathAndQuery: queryAt < 0 ? path : `${path}?${query}` }
}

function canonicalPath(raw: string): string | undefined {
  const decoded = decodeUnreserved(raw)
  if (decoded === undefined) return undefined
  const kept: string[] = []
  const segments = decoded.split('/')
  for (let i = 1; i < segments.length; i++) {
    const segment = segments[i] as string
    const isLast = i === segments.length - 1
    if (segment === '.' || segment === '..') {
      if (segment === '..') kept.pop()
      if (isLast) kept.push('')
    } else if (hidesDots(segment)) {
      return undefined
    } else {
      kept.push(segment)
    }
  }
  return `/${kept.join('/')}`
}

/** Whether some origin could read a part of this segment as `.` or `..`: `..;x`, `..%2Fsecret`. */
function hidesDots(segment: string): boolean {
  if (!segment.includes('.')) return false
  if (!segment.includes('%2F') && !segment.includes(';')) return false
  for (const part of segment.split('%2F')) {
    const semicolon = part.indexOf(';')
    const name = semicolon < 0 ? part : part.slice(0, semicolon)
    if (name === '..' || (name === '.' && segment !== '.')) return true
  }
  return false
}

/** Decodes unreserved triplets, upper-cases the others; undefined when a triplet is not acceptable. */
function decodeUnreserved(raw: string): string | undefined {
  let out = ''
  let copied = 0
  let pendingUtf8 = 0
  let utf8Lead = 0
  for (let i = 0; i < raw.length; i++) {
    if (raw.charCodeAt(i) !== 37) {
      if (pendingUtf8 > 0) return undefined
      continue
    }
    const high = hexValue(raw.charCodeAt(i + 1))
    const low = hexValue(raw.charCodeAt(i + 2))
    if (high < 0 || low < 0) return undefined
    const byte = high * 16 + low
    if (byte === 0 || byte === 10 || byte === 13 || byte === 92) return undefined
    if (pendingUtf8 > 0) {
      if (!continuesUtf8(byte, utf8Lead)) return undefined
      utf8Lead = 0
      pendingUtf8--
    } else if (byte >= 0x80) {
      pendingUtf8 = utf8Following(byte)
      if (pendingUtf8 === 0) return undefined
      utf8Lead = byte
    }
    const isPlain = byte < 128 && UNRESERVED[byte] === 1
    out += raw.slice(copied, i)
    out += isPlain ? String.fromCharCode(byte) : raw.slice(i, i + 3).toUpperCase()
    i += 2
    copied = i + 1
  }
  return pendingUtf8 > 0 ? undefined : out + raw.slice(copied)
}

/** How many continuation bytes follow a UTF-8 lead byte; 0 when it cannot lead (RFC 3629 §4). */
function utf8Following(lead: number): number {
  if (lead >= 0xc2 && lead <= 0xdf) return 1
  if (lead >= 0xe0 && lead <= 0xef) return 2
  return lead >= 0xf0 && lead <= 0xf4 ? 3 : 0
}

/** `lead` is the lead byte when `byte` is the first to follow it, else 0. */
function continuesUtf8(byte: number, lead: number): boolean {
  if (byte < 0x80 || byte > 0xbf) return false
  if (lead === 0xe0) return byte >= 0xa0
  if (lead === 0xed) return byte <= 0x9f
  if (lead === 0xf0) return byte >= 0x90
  return lead === 0xf4 ? byte <= 0x8f : true
}

/** An absolute-form target split into its parts, still to be checked. */
export interface AbsoluteForm {
  readonly scheme: string
  readonly authority: string
  /** Path and query; `/` when the target has none. */
  readonly rest: string
}

/** `scheme://authority/path`, or undefined for any other form. */
export function splitAbsoluteForm(raw: string): AbsoluteForm | undefined {
  const colon = raw.indexOf('://')
  if (colon <= 0 || !/^[A-Za-z][A-Za-z0-9+.-]*$/.test(raw.slice(0, colon))) return undefined
  const start = colon + 3
  let end = raw.length
  for (let i = start; i < raw.length; i++) {
    const code = raw.charCodeAt(i)
    if (code === 47 || code === 63 || code === 35) {
      end = i
      break
    }
  }
  const tail = raw.slice(end)
  return {
    scheme: raw.slice(0, colon).toLowerCase(),
    authority: raw.slice(start, end),
    rest: tail === '' ? '/' : tail.startsWith('/') ? tail : `/${tail}`,
  }
}

export interface Authority {
  /** Lower case, as it is sent on: with its port when one was given. */
  readonly authority: string
  /** Lower case, without port; an IPv6 literal keeps its brackets. */
  readonly host: string
}

/**
 * Host, or authority without user information (RFC 9110 §4.2, §7.2): a registered name of letters,
 * digits, `-`, `.` and `_`, or an address, and an optional port up to 65535.
 * @returns undefined when it is empty or not valid
 */
export function parseAuthority(text: string): Authority | undefined {
  const length = text.length
  if (length === 0 || length > 261) return undefined
  let hostEnd = length
  let isLower = true
  if (text.charCodeAt(0) === 91) {
    const close = text.indexOf(']')
    if (close < 0 || !/^\[[0-9A-Fa-f:.]{2,45}\]$/.test(text.slice(0, close + 1))) return undefined
    isLower = false
    hostEnd = close + 1
    if (hostEnd < length && text.charCodeAt(hostEnd) !== 58) return undefined
  } else {
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code === 58) {
        hostEnd = i
        break
      }
      if (code >= 65 && code <= 90) isLower = false
      else if (
        !(code >= 97 && code <= 122) &&
        !(code >= 45 && code <= 57 && code !== 47) &&
        code !== 95
      ) {
        return undefined
      }
    }
    if (hostEnd === 0 || hostEnd > 255) return undefined
  }
  if (hostEnd < length && !isPort(text, hostEnd + 1)) return undefined
  const authority = isLower ? text : text.toLowerCase()
  return { authority, host: hostEnd === length ? authority : authority.slice(0, hostEnd) }
}

function isPort(text: string, start: number): boolean {
  let value = 0
  if (start === text.length || text.length - start > 5) return false
  for (let i = start; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return false
    value = value * 10 + digit
  }
  return value <= 65535
}
