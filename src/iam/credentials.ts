/**
 * Where credentials stand in a request. Exactly one place may hold them: with two, the gateway and an
 * origin could each believe another one (RFC 6750 §2).
 */
import type { HeaderList, Seconds } from '../exchange.ts'
import type { AuthReason } from './reasons.ts'

export interface CredentialPlaces {
  /** Lower case. `authorization` carries a scheme, any other field the bare token. */
  readonly header: string
  readonly cookie: string | undefined
  readonly apiKeyHeader: string | undefined
}

/** Reused for every request: read it before the next. */
export class Credentials {
  token: string | undefined
  scheme: 'bearer' | 'dpop' = 'bearer'
  apiKey: string | undefined
  /** The token came in a cookie: a browser sent it, perhaps for another site. */
  isAmbient = false
  /** Number of DPoP fields, and the last one's value. */
  proofs = 0
  proof: string | undefined

  /** @returns why the request is refused, or undefined */
  read(
    headers: HeaderList,
    query: string,
    places: CredentialPlaces,
    queryName: string | undefined,
    maxTokenBytes: number,
  ): AuthReason | undefined {
    this.token = undefined
    this.scheme = 'bearer'
    this.apiKey = undefined
    this.isAmbient = false
    this.proofs = 0
    this.proof = undefined
    let found = 0
    const names = headers.names()
    for (let i = 0; i < names.length; i++) {
      const name = names[i]
      if (name === places.header) {
        const value = headers.flat[2 * i + 1] as string
        if (++found > 1) return 'invalid_request'
        if (name !== 'authorization') {
          this.token = value
        } else {
          const failure = this.#authorization(value)
          if (failure !== undefined) return failure
          if (this.token === undefined) found--
        }
      } else if (name === 'dpop') {
        this.proofs++
        this.proof = headers.flat[2 * i + 1]
      } else if (name === places.apiKeyHeader) {
        if (this.apiKey !== undefined) return 'invalid_request'
        this.apiKey = headers.flat[2 * i + 1] as string
      } else if (name === 'cookie' && places.cookie !== undefined) {
        for (const value of cookies(headers.flat[2 * i + 1] as string, places.cookie)) {
          if (this.token !== undefined) return 'multiple_credentials'
          this.token = value
          this.isAmbient = true
        }
      }
    }
    if (found > 0 && this.isAmbient) return 'multiple_credentials'
    if (queryName !== undefined) {
      for (const value of parameters(query, queryName)) {
        if (this.token !== undefined) return 'multiple_credentials'
        this.token = value
      }
    }
    if (this.token !== undefined && this.apiKey !== undefined) return 'multiple_credentials'
    if (this.token !== undefined && this.token.length > maxTokenBytes) return 'token_too_large'
    return undefined
  }

  /** `Bearer`, `DPoP`, or a scheme that is not ours and therefore no credential. RFC 9110 §11.4. */
  #authorization(value: string): AuthReason | undefined {
    const space = value.indexOf(' ')
    const scheme = (space < 0 ? value : value.slice(0, space)).toLowerCase()
    if (scheme !== 'bearer' && scheme !== 'dpop') return undefined
    if (space < 0) return 'invalid_request'
    let start = space + 1
    while (value.charCodeAt(start) === 32) start++
    const token = value.slice(start)
    if (token === '' || token.includes(' ') || token.includes(',')) return 'invalid_request'
    this.scheme = scheme
    this.token = token
    return undefined
  }
}

/** Values of a cookie in one Cookie field (RFC 6265 §4.2.1). */
export function* cookies(field: string, name: string): Generator<string> {
  for (const pair of field.split(';')) {
    const equals = pair.indexOf('=')
    if (equals >= 0 && pair.slice(0, equals).trim() === name) yield pair.slice(equals + 1).trim()
  }
}

/** Values of a query parameter, as they stand: no credential of ours needs an escape. */
export function* parameters(query: string, name: string): Generator<string> {
  if (query === '') return
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=')
    if ((equals < 0 ? pair : pair.slice(0, equals)) === name) {
      yield equals < 0 ? '' : pair.slice(equals + 1)
    }
  }
}

/** The query without the parameters named; the rest keeps its order and spelling. */
export function withoutParameters(query: string, names: readonly string[]): string {
  if (query === '' || names.length === 0) return query
  return query
    .split('&')
    .filter((pair) => {
      const equals = pair.indexOf('=')
      return !names.includes(equals < 0 ? pair : pair.slice(0, equals))
    })
    .join('&')
}

/** A flat field list without one cookie; a Cookie field that held nothing else is left out. */
export function withoutCookie(flat: readonly string[], name: string): string[] {
  const out: string[] = []
  for (let i = 0; i < flat.length; i += 2) {
    const field = flat[i] as string
    let value = flat[i + 1] as string
    if (field.toLowerCase() === 'cookie') {
      value = value
        .split(';')
        .filter((pair) => pair.slice(0, pair.indexOf('=')).trim() !== name)
        .join(';')
        .trim()
      if (value === '') continue
    }
    out.push(field, value)
  }
  return out
}

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/**
 * Whether a browser may have been made to send this by another site. Fetch Metadata where the browser has
 * it, else Origin; a request with neither is not from a browser that would send the cookie by itself.
 */
export function isCrossSite(
  method: string,
  headers: HeaderList,
  scheme: string,
  authority: string,
): boolean {
  if (SAFE_METHODS.has(method)) return false
  const site = headers.get('sec-fetch-site')
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  const origin = headers.get('origin')
  return origin !== undefined && origin !== `${scheme}://${authority}`
}

/** CORS preflight (Fetch §3.2.2): carries no credentials by design. */
export function isPreflight(method: string, headers: HeaderList): boolean {
  return (
    method === 'OPTIONS' && headers.has('origin') && headers.has('access-control-request-method')
  )
}

/** Clients that failed often lately: refused before any cryptography. Bounded: the oldest are forgotten. */
export class FailureGuard {
  readonly #limit: number
  readonly #window: Seconds
  readonly #block: Seconds
  readonly #clients = new Map<string, { count: number; since: Seconds; until: Seconds }>()

  constructor(limit: number, window: Seconds, block: Seconds) {
    this.#limit = limit
    this.#window = window
    this.#block = block
  }

  /** Seconds for which this client is still refused; 0 when it may try. */
  blockedFor(client: string, now: Seconds): Seconds {
    if (this.#clients.size === 0) return 0
    const record = this.#clients.get(client)
    return record === undefined || record.until <= now ? 0 : record.until - now
  }

  record(client: string, now: Seconds): void {
    let record = this.#clients.get(client)
    if (record === undefined || now - record.since >= this.#window) {
      record = { count: 0, since: now, until: 0 }
      this.#clients.delete(client)
      this.#clients.set(client, record)
      if (this.#clients.size > MAX_FAILING_CLIENTS) {
        for (const oldest of this.#clients.keys()) {
          this.#clients.delete(oldest)
          break
        }
      }
    }
    if (++record.count > this.#limit) record.until = now + this.#block
  }
}

const MAX_FAILING_CLIENTS = 10_000
