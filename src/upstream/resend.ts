/**
 * What may be sent again after an attempt failed, and to whom. Pure: a table in the form of functions.
 *
 * A proxy must not repeat a request whose method is not idempotent unless it knows that the origin never
 * got it (RFC 9110 §9.2.2). "Never" is what a failed connection proves and nothing else.
 */
import type { Millis } from '../exchange.ts'
import type { UpstreamErrorClass } from '../ports.ts'

/** How much of the request's body is still there. */
export type BodyState =
  | 'none'
  /** Whole in memory, or not yet begun. */
  | 'replayable'
  /** Read in part and not kept. */
  | 'spent'

export type Resend =
  | 'no'
  /** An origin that was not tried yet; when there is none, the same one after a pause. */
  | 'elsewhere'
  /** Only an origin that was not tried yet: the same one would fail the same way, and as slowly. */
  | 'only-elsewhere'
  /** The same origin at once, on a new connection; the failure says nothing about the origin. */
  | 'same-fresh'

/**
 * @param isRepeatable whether the request may be carried out twice: by its method, or by a key that lets
 *   the origin know it again
 */
export function resendAfter(
  kind: UpstreamErrorClass,
  isRepeatable: boolean,
  body: BodyState,
): Resend {
  if (body === 'spent') return 'no'
  switch (kind) {
    case 'connect':
      return 'elsewhere'
    case 'stale-connection':
      return isRepeatable ? 'same-fresh' : 'no'
    case 'reset':
    case 'truncated':
      return isRepeatable ? 'elsewhere' : 'no'
    case 'protocol':
    case 'timeout':
      return isRepeatable ? 'only-elsewhere' : 'no'
    case 'cancelled':
    case 'request-body':
      return 'no'
  }
}

const FIRST_BACKOFF_MS = 25
const MOST_BACKOFF_MS = 250

/**
 * Pause before the same origin is tried again: exponential with full jitter, so that those who failed
 * together do not come back together.
 * @param repeat 0 for the first time
 * @param draw uniform in [0, 1)
 */
export function backoffMs(repeat: number, draw: number): Millis {
  return Math.min(MOST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** repeat) * draw
}

/** The longest `Retry-After` that a request waits for, ms; longer ones are for the next request. */
export const MOST_PATIENCE_MS = 2000
/** The longest time that an origin is left alone by its own wish, ms. */
export const MOST_REST_MS = 30_000

/**
 * `Retry-After` (RFC 9110 §10.2.3): seconds, or a date.
 * @param now wall clock
 * @returns milliseconds from now, never negative; undefined when the field is absent or says nothing
 */
export function retryAfterMs(headers: readonly string[], now: Millis): Millis | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    if (name.length !== 11 || name.toLowerCase() !== 'retry-after') continue
    const text = (headers[i + 1] as string).trim()
    if (/^[0-9]{1,9}$/.test(text)) return Number(text) * 1000
    // An HTTP date begins with the name of a day; everything else is not one.
    const date = /^[A-Z][a-z]{2}/.test(text) ? Date.parse(text) : Number.NaN
    return Number.isNaN(date) ? undefined : Math.max(0, date - now)
  }
  return undefined
}

/** How often gateways before this one have sent the request again; ours to set, theirs to believe. */
export const RETRY_FIELD = 'x-meridian-retry'
/** Above this depth nothing is sent again: each hop that retries multiplies the load of the last one. */
export const MOST_DEPTH = 1

/** @param value of `RETRY_FIELD`; anything that is no small number counts as a first request */
export function retryDepth(value: string | undefined): number {
  return value !== undefined && /^[0-9]{1,3}$/.test(value) ? Number(value) : 0
}
