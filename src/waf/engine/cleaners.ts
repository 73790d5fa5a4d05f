/**
 * Transformations that remove what hides an attack without changing its meaning: white space, comments,
 * shell quoting, path detours, case. Linear; the very same string when nothing changes.
 */
import { asciiLower, asciiUpper, ByteWriter, bytesToString, isSpace, scratch } from '../bytes.ts'

const out = new ByteWriter()

export const lowercase = asciiLower
export const uppercase = asciiUpper

/** Byte to 1 when it is white space, or the no-break space of Latin-1. */
const BLANK = new Uint8Array(256)
for (const code of [9, 10, 11, 12, 13, 32, 160]) BLANK[code] = 1

const COMPRESSIBLE = /[\t-\r\u00a0]| {2}/

export function compressWhitespace(text: string): string {
  if (!COMPRESSIBLE.test(text)) return text
  const bytes = scratch(text.length)
  let at = 0
  let inRun = false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (BLANK[code] === 1) {
      if (!inRun) bytes[at++] = 32
      inRun = true
    } else {
      bytes[at++] = code
      inRun = false
    }
  }
  return bytesToString(bytes, 0, at)
}

const ANY_BLANK = /[\t-\r \u00a0]/

export function removeWhitespace(text: string): string {
  if (!ANY_BLANK.test(text)) return text
  const bytes = scratch(text.length)
  let at = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (BLANK[code] === 0) bytes[at++] = code
  }
  return bytesToString(bytes, 0, at)
}

export function removeNulls(text: string): string {
  return text.includes('\0') ? text.replaceAll('\0', '') : text
}

export function replaceNulls(text: string): string {
  return text.includes('\0') ? text.replaceAll('\0', ' ') : text
}

/** C comments as one space each; an unfinished one takes the rest. */
export function replaceComments(text: string): string {
  let open = text.indexOf('/*')
  if (open < 0) return text
  let cleaned = ''
  let at = 0
  while (open >= 0) {
    cleaned += `${text.slice(at, open)} `
    const close = text.indexOf('*/', open + 2)
    if (close < 0) return cleaned
    at = close + 2
    open = text.indexOf('/*', at)
  }
  return cleaned + text.slice(at)
}

/** C, HTML, SQL (`--`) and shell (`#`) comments; the latter two, and unfinished ones, take the rest. */
export function removeComments(text: string): string {
  let cleaned = ''
  let from = 0
  let at = 0
  while (at < text.length) {
    const isBlock = text.startsWith('/*', at)
    if (isBlock || text.startsWith('<!--', at)) {
      cleaned += text.slice(from, at)
      const close = text.indexOf(isBlock ? '*/' : '-->', at + (isBlock ? 2 : 4))
      if (close < 0) return cleaned
      at = close + (isBlock ? 2 : 3)
      from = at
    } else if (text.startsWith('--', at) || text.charCodeAt(at) === 35) {
      return cleaned + text.slice(from, at)
    } else {
      at++
    }
  }
  return from === 0 ? text : cleaned + text.slice(from)
}

/** Length of the comment mark at `at`: `<!--`, `-->`, `--`, `/*`, a closing one, or `#`; else 0. */
function commentMark(text: string, at: number, code: number): number {
  const next = text.charCodeAt(at + 1)
  switch (code) {
    case 35:
      return 1
    case 42:
      return next === 47 ? 2 : 0
    case 47:
      return next === 42 ? 2 : 0
    case 45:
      return next !== 45 ? 0 : text.charCodeAt(at + 2) === 62 ? 3 : 2
    case 60:
      return text.startsWith('<!--', at) ? 4 : 0
    default:
      return 0
  }
}

/** The marks of comments, not what they enclose. */
export function removeCommentsChar(text: string): string {
  const bytes = scratch(text.length)
  let length = 0
  let at = 0
  while (at < text.length) {
    const code = text.charCodeAt(at)
    const mark = code <= 60 && code >= 35 ? commentMark(text, at, code) : 0
    if (mark === 0) {
      bytes[length++] = code
      at++
    } else at += mark
  }
  return length === text.length ? text : bytesToString(bytes, 0, length)
}

/** What a shell ignores: quotes, backslash, caret; `,` and `;` as space; lower case; one space at most. */
export function cmdLine(text: string): string {
  const bytes = scratch(text.length)
  let at = 0
  let last = -1
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i)
    if (code === 34 || code === 39 || code === 92 || code === 94) continue
    if (code === 44 || code === 59 || (code <= 32 && isSpace(code))) {
      if (last !== 32) bytes[at++] = 32
      last = 32
      continue
    }
    if (last === 32 && (code === 47 || code === 40)) at--
    else if (code >= 65 && code <= 90) code += 32
    bytes[at++] = code
    last = code
  }
  return bytesToString(bytes, 0, at)
}

const PATH_DETOUR = /\/\/|(?:^|\/)\.\.?(?:\/|$)/

/** Repeated slashes, `.` and `..` resolved, as far as the path goes back. */
export function normalizePath(text: string): string {
  if (!PATH_DETOUR.test(text)) return text
  const isAbsolute = text.charCodeAt(0) === 47
  const bytes = scratch(text.length + 1)
  let length = 0
  if (isAbsolute) bytes[length++] = 47
  /** Up to here nothing is taken back: the root, and leading `..` that lead nowhere known. */
  let fixed = length
  /** Whether the path ends in a segment of its own, not in a slash or a detour. */
  let isOpen = false
  let at = 0
  while (at < text.length) {
    if (text.charCodeAt(at) === 47) {
      isOpen = false
      at++
      continue
    }
    const slash = text.indexOf('/', at)
    const end = slash < 0 ? text.length : slash
    const isDots = text.charCodeAt(at) === 46 && (end === at + 1 || text.charCodeAt(end - 1) === 46)
    if (isDots && end === at + 1) {
      isOpen = false
    } else if (isDots && end === at + 2) {
      isOpen = false
      if (length > fixed) {
        // Back over the slash behind the last segment, then the segment.
        length--
        while (length > fixed && bytes[length - 1] !== 47) length--
      } else if (!isAbsolute) {
        bytes[length++] = 46
        bytes[length++] = 46
        bytes[length++] = 47
        fixed = length
        isOpen = slash < 0
      }
    } else {
      for (let i = at; i < end; i++) bytes[length++] = text.charCodeAt(i)
      bytes[length++] = 47
      isOpen = true
    }
    at = end
  }
  // Each segment was written with a slash behind it.
  return bytesToString(bytes, 0, isOpen ? length - 1 : length)
}

export function normalizePathWin(text: string): string {
  return normalizePath(text.includes('\\') ? text.replaceAll('\\', '/') : text)
}

function trimmed(text: string, left: boolean, right: boolean): string {
  let from = 0
  let to = text.length
  if (left) while (from < to && isSpace(text.charCodeAt(from))) from++
  if (right) while (to > from && isSpace(text.charCodeAt(to - 1))) to--
  return from === 0 && to === text.length ? text : text.slice(from, to)
}

export function trim(text: string): string {
  return trimmed(text, true, true)
}

export function trimLeft(text: string): string {
  return trimmed(text, true, false)
}

export function trimRight(text: string): string {
  return trimmed(text, false, true)
}

export function length(text: string): string {
  return String(text.length)
}

function parity(code: number): number {
  let bits = code & 127
  bits ^= bits >> 4
  bits ^= bits >> 2
  bits ^= bits >> 1
  return bits & 1
}

function mapped(text: string, change: (code: number) => number): string {
  out.reset(text.length)
  for (let i = 0; i < text.length; i++) out.push(change(text.charCodeAt(i)))
  return out.toString()
}

export function parityEven7bit(text: string): string {
  return mapped(text, (code) => (parity(code) === 1 ? code | 128 : code & 127))
}

export function parityOdd7bit(text: string): string {
  return mapped(text, (code) => (parity(code) === 1 ? code & 127 : code | 128))
}

export function parityZero7bit(text: string): string {
  return mapped(text, (code) => code & 127)
}
