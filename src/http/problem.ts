/**
 * Every answer that the gateway makes itself when it does not serve: one table, RFC 9457 problem details,
 * and the RFC 9209 `Proxy-Status` token where the standard has one. A client gets the fixed title and the
 * request id, never internals.
 */
import type { Reply } from '../exchange.ts'

export interface ProblemSpec {
  readonly status: number
  readonly title: string
  /** RFC 9209 §2.3 error type. */
  readonly proxyStatus?: string
  /** Whose fault it is; client faults never count against an origin's health. */
  readonly fault: 'client' | 'gateway' | 'origin'
}

export const PROBLEMS = {
  // The front: framing, target, host.
  'bad-request': {
    status: 400,
    title: 'The request is not valid HTTP.',
    proxyStatus: 'http_request_error',
    fault: 'client',
  },
  'bad-target': {
    status: 400,
    title: 'The request target is not acceptable.',
    proxyStatus: 'http_request_error',
    fault: 'client',
  },
  'bad-host': {
    status: 400,
    title: 'The Host field is missing, repeated or not valid.',
    proxyStatus: 'http_request_error',
    fault: 'client',
  },
  'bad-framing': {
    status: 400,
    title: 'The length of the request body is ambiguous.',
    proxyStatus: 'http_request_error',
    fault: 'client',
  },
  'bad-field': {
    status: 400,
    title: 'A header field is not acceptable.',
    proxyStatus: 'http_request_error',
    fault: 'client',
  },
  'body-cut': {
    status: 400,
    title: 'The request body ended early or is not valid.',
    proxyStatus: 'http_request_error',
    fault: 'client',
  },
  'method-not-allowed': {
    status: 405,
    title: 'This method is not served here.',
    proxyStatus: 'http_request_denied',
    fault: 'client',
  },
  'request-timeout': { status: 408, title: 'The request did not arrive in time.', fault: 'client' },
  'body-too-large': { status: 413, title: 'The request body is too large.', fault: 'client' },
  'target-too-long': { status: 414, title: 'The request target is too long.', fault: 'client' },
  'expectation-failed': { status: 417, title: 'The expectation cannot be met.', fault: 'client' },
  misdirected: {
    status: 421,
    title: 'This host is not served on this connection.',
    fault: 'client',
  },
  'fields-too-large': {
    status: 431,
    title: 'The header fields are too large or too many.',
    fault: 'client',
  },
  'bad-transfer-coding': {
    status: 501,
    title: 'The transfer coding is not supported.',
    proxyStatus: 'http_request_error',
    fault: 'client',
  },
  'bad-version': { status: 505, title: 'This HTTP version is not supported.', fault: 'client' },
  'loop-detected': {
    status: 508,
    title: 'The request has passed here before.',
    proxyStatus: 'proxy_loop_detected',
    fault: 'client',
  },
  // Routing and policy.
  'no-route': {
    status: 404,
    title: 'Nothing is served here.',
    proxyStatus: 'destination_not_found',
    fault: 'client',
  },
  blocked: {
    status: 403,
    title: 'The request was blocked by a security rule.',
    proxyStatus: 'http_request_denied',
    fault: 'client',
  },
  'denied-address': {
    status: 403,
    title: 'The request was refused.',
    proxyStatus: 'http_request_denied',
    fault: 'client',
  },
  challenge: {
    status: 403,
    title: 'The client must solve a challenge first.',
    proxyStatus: 'http_request_denied',
    fault: 'client',
  },
  'challenge-failed': {
    status: 403,
    title: 'The answer to the challenge was not accepted.',
    proxyStatus: 'http_request_denied',
    fault: 'client',
  },
  unauthenticated: { status: 401, title: 'Valid credentials are required.', fault: 'client' },
  'bad-credentials-request': {
    status: 400,
    title: 'The credentials are not well formed.',
    fault: 'client',
  },
  forbidden: { status: 403, title: 'These credentials do not permit this.', fault: 'client' },
  'login-failed': { status: 400, title: 'The login could not be completed.', fault: 'client' },
  'identity-unavailable': {
    status: 503,
    title: 'Credentials cannot be checked right now.',
    fault: 'gateway',
  },
  'rate-limited': { status: 429, title: 'Too many requests.', fault: 'client' },
  penalized: {
    status: 429,
    title: 'Too many refused requests: this client is shut out for a while.',
    proxyStatus: 'http_request_denied',
    fault: 'client',
  },
  'waiting-room': {
    status: 503,
    title: 'Many want in at once: wait for your turn.',
    proxyStatus: 'http_request_denied',
    fault: 'gateway',
  },
  overloaded: {
    status: 503,
    title: 'The service is at its capacity.',
    proxyStatus: 'connection_limit_reached',
    fault: 'gateway',
  },
  // Steering and origins.
  'residency-unavailable': {
    status: 503,
    title: 'No permitted region can serve this request right now.',
    proxyStatus: 'destination_unavailable',
    fault: 'origin',
  },
  'residency-denied': {
    status: 451,
    title: 'Policy permits no region to serve this request.',
    proxyStatus: 'http_request_denied',
    fault: 'client',
  },
  'no-healthy-origin': {
    status: 503,
    title: 'No origin can serve this request right now.',
    proxyStatus: 'destination_unavailable',
    fault: 'origin',
  },
  'origin-connect': {
    status: 502,
    title: 'The origin could not be reached.',
    proxyStatus: 'connection_refused',
    fault: 'origin',
  },
  'origin-reset': {
    status: 502,
    title: 'The origin closed the connection.',
    proxyStatus: 'connection_terminated',
    fault: 'origin',
  },
  'origin-protocol': {
    status: 502,
    title: 'The origin sent an invalid response.',
    proxyStatus: 'http_protocol_error',
    fault: 'origin',
  },
  'origin-truncated': {
    status: 502,
    title: 'The origin did not finish its response.',
    proxyStatus: 'http_response_incomplete',
    fault: 'origin',
  },
  'origin-timeout': {
    status: 504,
    title: 'The origin did not answer in time.',
    proxyStatus: 'http_response_timeout',
    fault: 'origin',
  },
  deadline: {
    status: 504,
    title: 'The request could not be completed in time.',
    proxyStatus: 'connection_timeout',
    fault: 'origin',
  },
  'not-cached': {
    status: 504,
    title: 'No stored response satisfies the request.',
    fault: 'client',
  },
  // The client left, or we failed.
  'client-closed': { status: 499, title: 'The client closed the connection.', fault: 'client' },
  internal: {
    status: 500,
    title: 'The gateway failed.',
    proxyStatus: 'proxy_internal_error',
    fault: 'gateway',
  },
} as const satisfies Record<string, ProblemSpec>

export type ProblemCode = keyof typeof PROBLEMS

export function isProblemCode(text: string): text is ProblemCode {
  return Object.hasOwn(PROBLEMS, text)
}

const encoder = new TextEncoder()

export interface ProblemOptions {
  /** Instead of the table's status, e.g. a block rule's own. */
  readonly status?: number | undefined
  /** Flat name, value list to add. */
  readonly headers?: readonly string[]
  /** Safe for the client: it says what to do, never what happened inside. */
  readonly detail?: string
  /** Instead of our own: a registered problem type. */
  readonly type?: string
  /** Extension members (RFC 9457 §3.2); not to be named like the standard ones. */
  readonly members?: Readonly<Record<string, number | readonly string[]>>
}

/** RFC 9457 answer with `code` as the last part of its type, and the request id. */
export function problem(code: ProblemCode, requestId: string, options: ProblemOptions = {}): Reply {
  const spec: ProblemSpec = PROBLEMS[code]
  const status = options.status ?? spec.status
  const detail = options.detail === undefined ? '' : `,"detail":${JSON.stringify(options.detail)}`
  const type = options.type ?? `urn:meridian:problem:${code}`
  let members = ''
  for (const name in options.members) {
    members += `,${JSON.stringify(name)}:${JSON.stringify(options.members[name])}`
  }
  const body = encoder.encode(
    `{"type":"${type}","title":${JSON.stringify(spec.title)},"status":${status}${detail}${members},"requestId":"${requestId}"}\n`,
  )
  const headers = [
    'content-type',
    'application/problem+json',
    'content-length',
    String(body.length),
    'cache-control',
    'no-store',
  ]
  if (spec.proxyStatus !== undefined)
    headers.push('proxy-status', `meridian; error=${spec.proxyStatus}`)
  if (options.headers !== undefined) headers.push(...options.headers)
  return { status, headers, body }
}
