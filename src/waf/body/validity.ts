/**
 * Whether a body is what its Content-Type says, and whether every parser would read it alike. What the
 * origin reads otherwise than the rules is where attacks hide, so `waf.bodies.invalid: block` refuses it.
 */

import { flattenJson } from './json.ts'
import { type BodyLimits, DEFAULT_BODY_LIMITS } from './limits.ts'
import { boundaryOf, type MultipartFlag, parseMultipart } from './multipart.ts'
import { xmlInvalidity } from './xml.ts'

/** Charsets in which ASCII means ASCII: what the rules look for reads the same in all of them. */
const CHARSETS = new Set([
  'utf-8',
  'utf8',
  'us-ascii',
  'ascii',
  'iso-8859-1',
  'iso-8859-15',
  'latin1',
  'windows-1252',
])
const MEDIA_TYPE = /^\s*[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+\s*(?:;|$)/
const CHARSET = /;\s*charset\s*=\s*("[^"]*"|[^\s;"]*)/gi
/** RFC 2046 allows a quoted boundary, and common clients send one. */
const HARMLESS: ReadonlySet<MultipartFlag> = new Set(['boundary-quoted', 'extended-filename'])

export interface Received {
  /** All Content-Type fields; none is no claim about the body. */
  readonly contentTypes: readonly string[]
  readonly bytes: string
  /** `bytes` are only the beginning. */
  readonly isTruncated: boolean
}

/** Whether the type is one that is taken apart, so that the body has to be read to be judged. */
export function isJudged(contentTypes: readonly string[]): boolean {
  return (
    contentTypes.length > 1 || /urlencoded|json|xml|multipart|charset/i.test(contentTypes[0] ?? '')
  )
}

/** Why the body is not valid, in words for people; undefined when it is, or when nothing is claimed. */
export function invalidity(
  { contentTypes, bytes, isTruncated }: Received,
  limits: BodyLimits = DEFAULT_BODY_LIMITS,
): string | undefined {
  const type = contentTypes[0]
  if (type === undefined) return undefined
  if (contentTypes.length > 1) return 'it has several Content-Type fields'
  const essence = MEDIA_TYPE.exec(type)?.[0].replace(/[\s;]/g, '').toLowerCase()
  if (essence === undefined) return 'its Content-Type is not a media type'
  const charset = unknownCharset(type)
  if (charset !== undefined) return charset
  if (bytes === '' && !essence.startsWith('multipart/')) return undefined
  if (essence === 'application/x-www-form-urlencoded')
    return invalidForm(bytes, isTruncated, limits)
  if (essence === 'multipart/form-data') return invalidMultipart(bytes, type, isTruncated, limits)
  if (/[/+]json$/.test(essence)) return invalidJson(bytes, isTruncated, limits)
  if (/^(?:application|text)\/(?:xml|[^/]+\+xml)$/.test(essence)) {
    return xmlInvalidity(bytes, isTruncated, limits)
  }
  return undefined
}

function unknownCharset(type: string): string | undefined {
  const named = [...type.matchAll(CHARSET)].map((match) =>
    (match[1] as string).replaceAll('"', '').toLowerCase(),
  )
  if (named.length > 1) return 'its Content-Type names several charsets'
  const [charset] = named
  if (charset === undefined || CHARSETS.has(charset)) return undefined
  return `its charset "${charset.slice(0, 40)}" is none that rules can read`
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a form must not hold
const CONTROL = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/
const BROKEN_ESCAPE = /%(?![0-9A-Fa-f]{2})/

function invalidForm(bytes: string, isTruncated: boolean, limits: BodyLimits): string | undefined {
  if (CONTROL.test(bytes)) return 'a form holds control bytes'
  // The prefix may end inside an escape.
  const whole = isTruncated ? bytes.replace(/%[0-9A-Fa-f]?$/, '') : bytes
  if (BROKEN_ESCAPE.test(whole)) return 'a form holds an escape that is none'
  if (/^\s*[[{]/.test(bytes) && flattenJson(bytes, limits).error === undefined) {
    return 'it is JSON, and its Content-Type says that it is a form'
  }
  let pairs = 1
  for (let at = bytes.indexOf('&'); at >= 0; at = bytes.indexOf('&', at + 1)) pairs++
  return pairs > limits.arguments
    ? `a form holds more than ${limits.arguments} arguments`
    : undefined
}

/** How far before the cut an error may be that the cut has made: an escape, a surrogate pair. */
const CUT_MARGIN = 16

function invalidJson(bytes: string, isTruncated: boolean, limits: BodyLimits): string | undefined {
  const { error, errorAt, hasDuplicateKeys } = flattenJson(bytes, limits)
  const isOfCut = isTruncated && errorAt >= bytes.length - CUT_MARGIN
  if (error !== undefined && !isOfCut) return `it is not the JSON that its type says: ${error}`
  return hasDuplicateKeys ? 'an object in its JSON has a key twice' : undefined
}

function invalidMultipart(
  bytes: string,
  type: string,
  isTruncated: boolean,
  limits: BodyLimits,
): string | undefined {
  const { parts, flags, error } = parseMultipart(
    isTruncated ? wholeParts(bytes, type) : bytes,
    type,
    limits,
  )
  if (error !== undefined) return `its multipart form cannot be read: ${error}`
  for (const flag of flags) {
    if (!HARMLESS.has(flag)) return `its multipart form can be read in several ways: ${flag}`
  }
  for (const { filename, extendedFilename } of parts) {
    if (
      extendedFilename !== undefined &&
      plain(extendedFilename) !== (filename ?? plain(extendedFilename))
    ) {
      return 'a part of its multipart form has two file names'
    }
  }
  return undefined
}

/** The parts that arrived whole, closed as a form of their own. */
function wholeParts(bytes: string, type: string): string {
  const boundary = boundaryOf(type)?.boundary
  if (boundary === undefined) return bytes
  const last = bytes.lastIndexOf(`\n--${boundary}`)
  return `${last < 0 ? '' : bytes.slice(0, last + 1)}--${boundary}--\r\n`
}

/** The text of an RFC 8187 value, as far as a comparison needs it. */
function plain(value: string): string {
  const text = value.replace(/^[^']*'[^']*'/, '')
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
}
