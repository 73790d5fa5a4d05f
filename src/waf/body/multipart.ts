/**
 * multipart/form-data (RFC 7578, RFC 2046 §5.1), read as origins read it and strict about what they read
 * differently: every oddity is a flag that rules or the config can refuse.
 */
import type { BodyLimits } from './limits.ts'

export interface MultipartPart {
  readonly name: string
  /** Present for files, even when empty. */
  readonly filename: string | undefined
  /** `filename*` of RFC 5987, raw. */
  readonly extendedFilename: string | undefined
  /** Header lines as sent, unfolded, without the line ending. */
  readonly headers: readonly string[]
  readonly content: string
}

/** Oddities, in the words of the ModSecurity variables that they set. */
export type MultipartFlag =
  | 'boundary-quoted'
  | 'boundary-whitespace'
  | 'data-before'
  | 'data-after'
  | 'header-folding'
  | 'lf-line'
  | 'crlf-lf-lines'
  | 'missing-semicolon'
  | 'invalid-quoting'
  | 'invalid-header'
  | 'invalid-part'
  | 'duplicate-header'
  | 'unmatched-boundary'
  | 'extended-filename'
  | 'incomplete'
  | 'too-many-parts'

export interface MultipartBody {
  readonly parts: readonly MultipartPart[]
  readonly flags: ReadonlySet<MultipartFlag>
  /** What makes the body unreadable. */
  readonly error: string | undefined
}

/** The boundary parameter of a Content-Type value; undefined when there is none or it is not valid. */
export function boundaryOf(contentType: string): { boundary: string; quoted: boolean } | undefined {
  const match = /;\s*boundary\s*=\s*(?:"([^"]{1,200})"|([^\s",;]{1,200}))/i.exec(contentType)
  if (match === null) return undefined
  const boundary = match[1] ?? (match[2] as string)
  return { boundary, quoted: match[1] !== undefined }
}

export function parseMultipart(
  body: string,
  contentType: string,
  limits: BodyLimits,
): MultipartBody {
  const flags = new Set<MultipartFlag>()
  const parts: MultipartPart[] = []
  const found = boundaryOf(contentType)
  if (found === undefined) return { parts, flags, error: 'no valid boundary' }
  if (found.quoted) flags.add('boundary-quoted')
  if (/\s/.test(found.boundary)) flags.add('boundary-whitespace')
  const delimiter = `--${found.boundary}`

  let at = nextDelimiter(body, delimiter, 0)
  if (at < 0) return { parts, flags, error: 'the first boundary is missing' }
  if (at > 0) flags.add('data-before')
  let isClosed = false
  while (at >= 0 && !isClosed) {
    let lineStart = at + delimiter.length
    if (body.startsWith('--', lineStart)) {
      isClosed = true
      if (!/^\s*$/.test(body.slice(lineStart + 2, lineStart + 2 + 512))) flags.add('data-after')
      break
    }
    const lineEnd = body.indexOf('\n', lineStart)
    if (lineEnd < 0) break
    const rest = body.slice(lineStart, lineEnd)
    if (rest === '') flags.add('lf-line')
    else if (rest !== '\r') flags.add('unmatched-boundary')
    lineStart = lineEnd + 1
    const next = nextDelimiter(body, delimiter, lineStart)
    const end = next < 0 ? body.length : contentEnd(body, next, lineStart)
    if (parts.length >= limits.parts) {
      flags.add('too-many-parts')
      return { parts, flags, error: `more than ${limits.parts} parts` }
    }
    const part = readPart(body.slice(lineStart, Math.max(lineStart, end)), flags)
    if (part !== undefined) parts.push(part)
    at = next
  }
  if (!isClosed) flags.add('incomplete')
  const error = flags.has('invalid-header')
    ? 'Invalid part header (contains invalid character)'
    : isClosed
      ? undefined
      : 'the final boundary is missing'
  return { parts, flags, error }
}

/** A delimiter stands at the begin of a line. */
function nextDelimiter(body: string, delimiter: string, from: number): number {
  let at = body.indexOf(delimiter, from)
  while (at > 0 && body.charCodeAt(at - 1) !== 10) at = body.indexOf(delimiter, at + 1)
  return at
}

/** The line ending before a delimiter belongs to the delimiter. */
function contentEnd(body: string, delimiterAt: number, from: number): number {
  let end = delimiterAt
  if (end > from && body.charCodeAt(end - 1) === 10) end--
  if (end > from && body.charCodeAt(end - 1) === 13) end--
  return end
}

function readPart(text: string, flags: Set<MultipartFlag>): MultipartPart | undefined {
  const headers: string[] = []
  let at = 0
  let hasEnd = false
  while (at < text.length) {
    const newline = text.indexOf('\n', at)
    const lineEnd = newline < 0 ? text.length : newline
    const hasReturn = lineEnd > at && text.charCodeAt(lineEnd - 1) === 13
    if (newline >= 0 && !hasReturn) flags.add('lf-line')
    const line = text.slice(at, hasReturn ? lineEnd - 1 : lineEnd)
    at = lineEnd + 1
    if (line === '') {
      hasEnd = true
      break
    }
    const isFolded = /^[ \t]/.test(line) && headers.length > 0
    if (isFolded) {
      flags.add('header-folding')
      headers[headers.length - 1] += line
    } else headers.push(line)
  }
  if (!hasEnd) flags.add('invalid-part')
  const content = at >= text.length ? '' : text.slice(at)

  let disposition: string | undefined
  const seen = new Set<string>()
  for (const line of headers) {
    const colon = line.indexOf(':')
    const name = (colon < 0 ? line : line.slice(0, colon)).trim().toLowerCase()
    if (colon <= 0 || !/^[\x21-\x39\x3b-\x7e]+$/.test(line.slice(0, colon)))
      flags.add('invalid-header')
    if (seen.has(name)) flags.add('duplicate-header')
    seen.add(name)
    if (name === 'content-disposition') disposition ??= line.slice(colon + 1)
  }
  if (disposition === undefined) {
    flags.add('invalid-part')
    return { name: '', filename: undefined, extendedFilename: undefined, headers, content }
  }
  return { ...dispositionOf(disposition, flags), headers, content }
}

/** Parameters of Content-Disposition; single quotes are taken as quotes, as PHP does, and flagged. */
function dispositionOf(
  text: string,
  flags: Set<MultipartFlag>,
): Pick<MultipartPart, 'name' | 'filename' | 'extendedFilename'> {
  let name: string | undefined
  let filename: string | undefined
  let extendedFilename: string | undefined
  const type = /^\s*[^;\s]*/.exec(text)?.[0] ?? ''
  if (type.trim().toLowerCase() !== 'form-data') flags.add('invalid-part')
  let at = type.length
  while (at < text.length) {
    while (at < text.length && /[\s;]/.test(text.charAt(at))) at++
    if (at >= text.length) break
    let key = ''
    while (at < text.length && !/[=;\s]/.test(text.charAt(at))) key += text.charAt(at++)
    while (at < text.length && /\s/.test(text.charAt(at))) at++
    let value = ''
    if (text.charAt(at) === '=') {
      at++
      while (at < text.length && /\s/.test(text.charAt(at))) at++
      const quote = text.charAt(at)
      if (quote === '"' || quote === "'") {
        if (quote === "'") flags.add('invalid-quoting')
        at++
        while (at < text.length && text.charAt(at) !== quote) {
          if (text.charAt(at) === '\\' && /["\\]/.test(text.charAt(at + 1))) at++
          value += text.charAt(at++)
        }
        if (at >= text.length) flags.add('invalid-quoting')
        at++
      } else {
        while (at < text.length && !/[;\s]/.test(text.charAt(at))) value += text.charAt(at++)
      }
      if (/^\s*[^;\s]/.test(text.slice(at))) flags.add('missing-semicolon')
    }
    const lower = key.toLowerCase()
    if (lower === 'name') name ??= value
    else if (lower === 'filename') filename ??= value
    else if (lower === 'filename*') {
      flags.add('extended-filename')
      extendedFilename ??= value
    }
  }
  if (name === undefined) flags.add('invalid-part')
  return { name: name ?? '', filename, extendedFilename }
}
