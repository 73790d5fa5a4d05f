/** Calls of the control port. The token goes in a header, never in a URL, and is kept for this tab only. */

/** The control port said no; its words are for the operator. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  /** Seconds to wait, when the answer says so. */
  readonly retryAfter: number
  /** The whole problem. */
  readonly body: unknown

  constructor(status: number, message: string, retryAfter: number, body: unknown) {
    super(message)
    this.status = status
    this.retryAfter = retryAfter
    this.body = body
  }
}

/** Nothing answered. */
export class GoneError extends Error {
  override readonly name = 'GoneError'
}

export interface CallOptions {
  readonly body?: unknown
  /** Instead of `body`: sent as it is. */
  readonly text?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

export interface Answer<T> {
  readonly value: T
  readonly etag: string | null
}

const TOKEN_KEY = 'meridian-token'

export class Api {
  token: string | undefined = sessionStorage.getItem(TOKEN_KEY) ?? undefined
  onUnauthorized: () => void = () => {}

  keep(token: string | undefined): void {
    this.token = token
    if (token === undefined) sessionStorage.removeItem(TOKEN_KEY)
    else sessionStorage.setItem(TOKEN_KEY, token)
  }

  /** @throws ApiError, GoneError; AbortError when the signal says so */
  async open(method: string, path: string, options: CallOptions = {}): Promise<Response> {
    const headers = new Headers(options.headers)
    if (this.token !== undefined) headers.set('authorization', `Bearer ${this.token}`)
    const init: RequestInit = { method, headers, cache: 'no-store', credentials: 'omit' }
    if (options.signal !== undefined) init.signal = options.signal
    if (method !== 'GET') {
      headers.set('content-type', 'application/json')
      init.body = options.text ?? JSON.stringify(options.body ?? {})
    }
    let response: Response
    try {
      response = await fetch(`../${path}`, init)
    } catch (error) {
      if (options.signal?.aborted === true) throw error
      throw new GoneError('The gateway does not answer.')
    }
    if (response.ok) return response
    const text = await response.text()
    let body: unknown
    try {
      body = JSON.parse(text)
    } catch {
      body = undefined
    }
    const { title, detail } = (body ?? {}) as { title?: string; detail?: string }
    const words = [title, detail].filter((one) => one !== undefined && one !== '').join(' ')
    if (response.status === 401) this.onUnauthorized()
    throw new ApiError(
      response.status,
      words === '' ? `The control port answered ${response.status}.` : words,
      Number(response.headers.get('retry-after') ?? 0),
      body,
    )
  }

  async ask<T>(method: string, path: string, options: CallOptions = {}): Promise<Answer<T>> {
    const response = await this.open(method, path, options)
    const text = await response.text()
    return {
      value: (text === '' ? {} : JSON.parse(text)) as T,
      etag: response.headers.get('etag'),
    }
  }

  async get<T>(path: string, signal?: AbortSignal): Promise<T> {
    return (await this.ask<T>('GET', path, signal === undefined ? {} : { signal })).value
  }

  async post<T>(path: string, body: unknown): Promise<T> {
    return (await this.ask<T>('POST', path, { body })).value
  }
}

/** What to show of anything thrown. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The gateway is older than this page, or has no such thing. */
export function isMissing(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 404 || error.status === 405)
}
