/**
 * Cache-Control (RFC 9111 §5.2, RFC 5861, RFC 8246), read as a hostile world writes it: names in any
 * case, commas inside quotes, duplicates (the first wins), values that are not integers (stale, §4.2.1).
 * Targeted fields (RFC 9213) are dictionaries of RFC 9651 and end in the same form.
 */
import { parseDictionary } from './structured.ts'

/** RFC 9111 §1.2.2: the largest delta-seconds that must be kept. */
export const MAX_DELTA_SECONDS = 2_147_483_648

/** Directives of either direction. Seconds; -1 when absent. */
export interface CacheControl {
  maxAge: number
  sMaxAge: number
  staleWhileRevalidate: number
  staleIfError: number
  /** Request only; Infinity for `max-stale` without a value. */
  maxStale: number
  minFresh: number
  noStore: boolean
  /** Without field names. */
  noCache: boolean
  private: boolean
  public: boolean
  mustRevalidate: boolean
  proxyRevalidate: boolean
  mustUnderstand: boolean
  immutable: boolean
  noTransform: boolean
  onlyIfCached: boolean
  /** Lower-case names of `no-cache="a, b"`; empty when there are none. */
  noCacheFields: readonly string[]
  privateFields: readonly string[]
}

export function emptyCacheControl(): CacheControl {
  return {
    maxAge: -1,
    sMaxAge: -1,
    staleWhileRevalidate: -1,
    staleIfError: -1,
    maxStale: -1,
    minFresh: -1,
    noStore: false,
    noCache: false,
    private: false,
    public: false,
    mustRevalidate: false,
    proxyRevalidate: false,
    mustUnderstand: false,
    immutable: false,
    noTransform: false,
    onlyIfCached: false,
    noCacheFields: [],
    privateFields: [],
  }
}

/** Non-negative integer, capped at 2^31; -1 when the text is not one. */
export function parseDeltaSeconds(text: string): number {
  const length = text.length
  if (length === 0) return -1
  let value = 0
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i) - 48
    if (!(code >= 0 && code <= 9)) return -1
    if (value < MAX_DELTA_SECONDS) value = value * 10 + code
  }
  return Math.min(value, MAX_DELTA_SECONDS)
}

function isSpace(code: number): boolean {
  return code === 32 || code === 9
}

/** Calls `each` for every directive, in order. `value` is undefined when there is no `=`. */
function eachDirective(text: string, each: (name: string, value: string | undefined) => void) {
  const end = text.length
  let i = 0
  while (i < end) {
    while (i < end && (text[i] === ',' || isSpace(text.charCodeAt(i)))) i++
    const start = i
    while (i < end && text[i] !== '=' && text[i] !== ',') i++
    if (i === start && text[i] !== '=') continue
    const name = text.slice(start, i).toLowerCase()
    if (text[i] !== '=') {
      each(name.trimEnd(), undefined)
      continue
    }
    i++
    let value = ''
    if (text[i] === '"') {
      i++
      while (i < end && text[i] !== '"') {
        if (text[i] === '\\' && i + 1 < end) i++
        value += text[i]
        i++
      }
      i++
      const rest = i
      while (i < end && text[i] !== ',') i++
      // Anything but space after the closing quote makes the value unusable.
      if (text.slice(rest, i).trim() !== '') value = '!'
    } else {
      const from = i
      while (i < end && text[i] !== ',') {
        // A quote inside a bare value still protects its commas.
        if (text[i] === '"') {
          i++
          while (i < end && text[i] !== '"') i += text[i] === '\\' ? 2 : 1
        }
        i++
      }
      value = text.slice(from, i).trimEnd()
    }
    each(name, value)
  }
}

function fieldNames(value: string): string[] {
  const names: string[] = []
  for (const part of value.split(',')) {
    const name = part.trim().toLowerCase()
    if (name !== '') names.push(name)
  }
  return names
}

/** A number that is there but unreadable counts as zero: stale rather than fresh (RFC 9111 §4.2.1). */
function seconds(value: string | undefined): number {
  return value === undefined ? 0 : Math.max(0, parseDeltaSeconds(value))
}

/** @param text all field lines joined by commas; undefined when the field is absent */
export function parseCacheControl(text: string | undefined): CacheControl {
  const control = emptyCacheControl()
  if (text === undefined || text === '') return control
  eachDirective(text, (name, value) => {
    switch (name) {
      case 'max-age':
        if (control.maxAge < 0) control.maxAge = seconds(value)
        break
      case 's-maxage':
        if (control.sMaxAge < 0) control.sMaxAge = seconds(value)
        break
      case 'stale-while-revalidate':
        if (control.staleWhileRevalidate < 0) control.staleWhileRevalidate = seconds(value)
        break
      case 'stale-if-error':
        if (control.staleIfError < 0) control.staleIfError = seconds(value)
        break
      case 'max-stale':
        if (control.maxStale < 0) {
          control.maxStale = value === undefined ? Number.POSITIVE_INFINITY : seconds(value)
        }
        break
      case 'min-fresh':
        if (control.minFresh < 0) control.minFresh = seconds(value)
        break
      case 'no-store':
        control.noStore = true
        break
      case 'no-cache': {
        const names = value === undefined ? [] : fieldNames(value)
        if (names.length === 0) control.noCache = true
        else control.noCacheFields = [...control.noCacheFields, ...names]
        break
      }
      case 'private': {
        const names = value === undefined ? [] : fieldNames(value)
        if (names.length === 0) control.private = true
        else control.privateFields = [...control.privateFields, ...names]
        break
      }
      case 'public':
        control.public = true
        break
      case 'must-revalidate':
        control.mustRevalidate = true
        break
      case 'proxy-revalidate':
        control.proxyRevalidate = true
        break
      case 'must-understand':
        control.mustUnderstand = true
        break
      case 'immutable':
        control.immutable = true
        break
      case 'no-transform':
        control.noTransform = true
        break
      case 'only-if-cached':
        control.onlyIfCached = true
        break
      case 'max-age ':
      case 's-maxage ':
        // A space before the equals sign: a limit was meant, and cannot be read.
        if (name === 'max-age ' && control.maxAge < 0) control.maxAge = 0
        else if (control.sMaxAge < 0) control.sMaxAge = 0
        break
      default:
    }
  })
  return control
}

const NUMBERS: Readonly<
  Record<string, 'maxAge' | 'sMaxAge' | 'staleWhileRevalidate' | 'staleIfError'>
> = {
  'max-age': 'maxAge',
  's-maxage': 'sMaxAge',
  'stale-while-revalidate': 'staleWhileRevalidate',
  'stale-if-error': 'staleIfError',
}
const FLAGS: Readonly<
  Record<
    string,
    | 'noStore'
    | 'noCache'
    | 'private'
    | 'public'
    | 'mustRevalidate'
    | 'proxyRevalidate'
    | 'mustUnderstand'
    | 'immutable'
    | 'noTransform'
  >
> = {
  'no-store': 'noStore',
  'no-cache': 'noCache',
  private: 'private',
  public: 'public',
  'must-revalidate': 'mustRevalidate',
  'proxy-revalidate': 'proxyRevalidate',
  'must-understand': 'mustUnderstand',
  immutable: 'immutable',
  'no-transform': 'noTransform',
}

/**
 * A targeted field (RFC 9213 §2.1).
 * @returns undefined when it is absent, empty, not a dictionary, or a known directive has the wrong type:
 *   then the field is ignored as a whole and Cache-Control counts
 */
export function parseTargetedControl(text: string | undefined): CacheControl | undefined {
  if (text === undefined) return undefined
  const dictionary = parseDictionary(text)
  if (dictionary === undefined || dictionary.size === 0) return undefined
  const control = emptyCacheControl()
  for (const [name, member] of dictionary) {
    const number = NUMBERS[name]
    if (number !== undefined) {
      if (member.kind !== 'integer' || member.value < 0) return undefined
      control[number] = Math.min(member.value, MAX_DELTA_SECONDS)
      continue
    }
    const flag = FLAGS[name]
    if (flag === undefined) continue
    if (member.kind === 'boolean') control[flag] = member.value
    else if (member.kind === 'string' && flag === 'private') {
      control.privateFields = fieldNames(member.value)
    } else if (member.kind === 'string' && flag === 'noCache') {
      control.noCacheFields = fieldNames(member.value)
    } else return undefined
  }
  return control
}
