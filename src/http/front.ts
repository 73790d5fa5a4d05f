/**
 * The strict front: what a request line and its fields must be before anything else looks at them
 * (RFC 9112, RFC 9113 §8, and what differential tests of proxies found). Works on the wire-order list,
 * since a runtime's own header objects keep only the first of duplicate Host or Content-Type fields.
 *
 * Pure. The HTTP parser below has already checked the grammar of field names and values.
 */
import { HeaderList, type Target } from '../exchange.ts'
import type { ProblemCode } from './problem.ts'
import { canonicalTarget, parseAuthority, splitAbsoluteForm } from './target.ts'

export interface RawRequest {
  readonly method: string
  /** Request target as on the request line, or `:path`. */
  readonly target: string
  readonly version: '1.0' | '1.1' | '2'
  readonly headers: readonly string[]
  /** HTTP/2 `:authority`. */
  readonly authority?: string | undefined
  readonly secure: boolean
  /** What the runtime itself found wrong. */
  readonly malformed?: ProblemCode | undefined
}

export interface FrontLimits {
  readonly maxFields: number
  readonly maxTargetBytes: number
  readonly maxBodyBytes: number
  /** Upper-case methods that are let in. */
  readonly methods: ReadonlySet<string>
}

/** A request that may go on. */
export interface Vetted {
  readonly target: Target
  readonly authority: string
  readonly host: string
  readonly headers: HeaderList
  /** 0 for none, null for a body of unknown length. */
  readonly bodyLength: number | null
  readonly expectContinue: boolean
  readonly wantsWebSocket: boolean
  /** `OPTIONS *` or `Max-Forwards: 0`: answered here, never forwarded (RFC 9110 §7.6.2). */
  readonly answerLocally: boolean
}

/** A request that may not go on, with what is known of it for the record. */
export interface Refused {
  readonly refusal: ProblemCode
}

export const DEFAULT_METHODS: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'QUERY',
])

/** The methods that are let in, with those that a config adds. */
export function frontMethods(more: readonly string[]): ReadonlySet<string> {
  return more.length === 0 ? DEFAULT_METHODS : new Set([...DEFAULT_METHODS, ...more])
}

const refuse = (refusal: ProblemCode): Refused => ({ refusal })

export function vet(raw: RawRequest, limits: FrontLimits): Vetted | Refused {
  if (raw.malformed !== undefined) return refuse(raw.malformed)
  if (raw.headers.length > limits.maxFields * 2) return refuse('fields-too-large')
  if (raw.target.length > limits.maxTargetBytes) return refuse('target-too-long')
  if (!limits.methods.has(raw.method)) return refuse('method-not-allowed')

  const headers = new HeaderList(raw.headers)
  const names = headers.names()
  let host: string | undefined
  let contentLength: string | undefined
  let hasTransferEncoding = false
  let hasContentType = false
  let hasAuthorization = false
  let expect: string | undefined
  let upgrade: string | undefined
  let maxForwards: string | undefined
  for (let i = 0; i < names.length; i++) {
    switch (names[i]) {
      case 'host':
        if (host !== undefined) return refuse('bad-host')
        host = raw.headers[i * 2 + 1] as string
        break
      case 'content-length':
        if (contentLength !== undefined) return refuse('bad-framing')
        contentLength = raw.headers[i * 2 + 1] as string
        break
      case 'transfer-encoding':
        if (hasTransferEncoding || raw.version !== '1.1') return refuse('bad-framing')
        if ((raw.headers[i * 2 + 1] as string).toLowerCase() !== 'chunked') {
          return refuse('bad-transfer-coding')
        }
        hasTransferEncoding = true
        break
      case 'content-type':
        if (hasContentType) return refuse('bad-field')
        hasContentType = true
        break
      case 'authorization':
        if (hasAuthorization) return refuse('bad-field')
        hasAuthorization = true
        break
      case 'expect':
        expect = (raw.headers[i * 2 + 1] as string).toLowerCase()
        break
      case 'upgrade':
        upgrade = (raw.headers[i * 2 + 1] as string).toLowerCase()
        break
      case 'max-forwards':
        maxForwards = raw.headers[i * 2 + 1] as string
        break
    }
  }

  const place = placeOf(raw, host)
  if (typeof place === 'string') return refuse(place)

  let bodyLength: number | null = raw.version === '2' ? null : 0
  if (contentLength !== undefined) {
    if (hasTransferEncoding || !/^[0-9]{1,15}$/.test(contentLength)) return refuse('bad-framing')
    bodyLength = Number(contentLength)
    if (bodyLength > limits.maxBodyBytes) return refuse('body-too-large')
  } else if (hasTransferEncoding) {
    bodyLength = null
  }
  if (expect !== undefined && expect !== '100-continue') return refuse('expectation-failed')

  const isOptions = raw.method === 'OPTIONS'
  return {
    target: place.target,
    authority: place.authority,
    host: place.host,
    headers,
    bodyLength,
    expectContinue: expect !== undefined && raw.version === '1.1',
    wantsWebSocket: upgrade === 'websocket',
    answerLocally: isOptions && (maxForwards === '0' || raw.target === '*'),
  }
}

interface Place {
  readonly target: Target
  readonly authority: string
  readonly host: string
}

/** Which resource is meant: absolute-form wins over Host (RFC 9112 §3.2.2), and both must be valid. */
function placeOf(raw: RawRequest, host: string | undefined): Place | ProblemCode {
  const named = raw.authority ?? host
  if (named === undefined) return 'bad-host'
  const fromHost = parseAuthority(named)
  if (fromHost === undefined) return 'bad-host'
  if (
    raw.authority !== undefined &&
    host !== undefined &&
    host.toLowerCase() !== fromHost.authority
  ) {
    return 'bad-host'
  }
  const first = raw.target.charCodeAt(0)
  if (first === 47) {
    const target = canonicalTarget(raw.target)
    if (typeof target === 'string') return target
    return { target, authority: fromHost.authority, host: fromHost.host }
  }
  if (raw.target === '*') {
    if (raw.method !== 'OPTIONS') return 'bad-target'
    const target: Target = { raw: '*', path: '*', query: '', pathAndQuery: '*' }
    return { target, authority: fromHost.authority, host: fromHost.host }
  }
  if (raw.version === '2') return 'bad-target'
  const absolute = splitAbsoluteForm(raw.target)
  if (absolute === undefined || absolute.scheme !== (raw.secure ? 'https' : 'http'))
    return 'bad-target'
  const authority = parseAuthority(absolute.authority)
  if (authority === undefined) return 'bad-target'
  const target = canonicalTarget(absolute.rest)
  if (typeof target === 'string') return target
  return {
    target: { ...target, raw: raw.target },
    authority: authority.authority,
    host: authority.host,
  }
}
