/**
 * Transformations that remove what hides an attack without changing its meaning: white space, comments,
 * shell quoting, path detours, case. Linear; the very same string when nothing changes.
 */
import { asciiLower, asciiUpper, ByteWriter, isSpace } from '../bytes.ts'

const out = new ByteWriter()

export const lowercase = asciiLower
export const uppercase = asciiUpper

function isBlank(code: number): boolean {
  return isSpace(code) || code === 160
}

export function compressWhitespace(text: string): string {
  out.reset(text.length)
  let changed = false
  let inRun = false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (isBlank(code)) {
      if (inRun || code !== 32) changed = true
      if (!inRun) out.push(32)
      inRun = true
    } else {
      out.push(code)
      inRun = false
    }
  }
  return changed ? out.toString() : text
}

function without(text: string, isUnwanted: (code: number) => boolean): string {
  let at = 0
  while (at < text.length && !isUnwanted(text.charCodeAt(at))) at++
  if (at === text.length) return text
  out.reset(text.length)
  out.text(text.slice(0, at))
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (!isUnwanted(code)) out.push(code)
  }
  return out.toString()
}

export function removeWhitespace(text: string): string {
  return without(text, isBlank)
}

export function removeNulls(text: string): string {
  return text.includes('\0') ? without(text, (code) => code === 0) : text
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

const COMMENT_MARKS = ['<!--', '-->', '/*', '*/', '--', '#']

/** The marks of comments, not what they enclose. */
export function removeCommentsChar(text: string): string {
  let cleaned = ''
  let from = 0
  let at = 0
  while (at < text.length) {
    const code = text.charCodeAt(at)
    const mayStart = code === 60 || code === 45 || code === 47 || code === 42 || code === 35
    const mark = mayStart ? COMMENT_MARKS.find((m) => text.startsWith(m, at)) : undefined
    if (mark === undefined) {
      at++
    } else {
      cleaned += text.slice(from, at)
      at += mark.length
      from = at
    }
  }
  return from === 0 ? text : cleaned + text.slice(from)
}

/** What a shell ignores: quotes, backslash, caret; `,` and `;` as space; lower case; one space at most. */
export function cmdLine(text: string): string {
  out.reset(text.length)
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 34 || code === 39 || code === 92 || code === 94) continue
    if (code === 44 || code === 59 || isSpace(code)) {
      if (out.last() !== 32) out.push(32)
    } else {
      if ((code === 47 || code === 40) && out.last() === 32) out.truncate(out.length - 1)
      out.push(code >= 65 && code <= 90 ? code + 32 : code)
    }
  }
  return out.toString()
}

/** Repeated slashes, `.` and `..` resolved, as far as the path goes back. */
export function normalizePath(text: string): string {
  if (!text.includes('//') && !text.includes('.')) return text
  const isAbsolute = text.startsWith('/')
  const segments = text.split('/')
  const kept: string[] = []
  for (let i = 0; i < segments.length; i++) {
    const segment = segments[i] as string
    if (segment === '' || segment === '.') continue
    if (segment !== '..') kept.push(segment)
    else if (kept.length > 0 && kept[kept.length - 1] !== '..') kept.pop()
    else if (!isAbsolute) kept.push(segment)
  }
  const lastSegment = segments[segments.length - 1]
  const endsInSlash = lastSegment === '' || lastSegment === '.' || lastSegment === '..'
  const path = (isAbsolute ? '/' : '') + kept.join('/')
  const trailing = endsInSlash && kept.length > 0 && kept[kept.length - 1] !== '..' ? '/' : ''
  return path + trailing
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
