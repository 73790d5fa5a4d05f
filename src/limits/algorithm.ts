/**
 * What all limit algorithms have in common: look first, charge later. The engine looks at every policy of
 * a request and charges all of them or none.
 *
 * An algorithm is told the time in milliseconds and computes in integers, so that a decision at the very
 * instant a unit becomes available is exact. What a look finds is written into an object of the caller's,
 * always the same: nothing is allocated, and nothing is read from objects of many shapes.
 */
import type { Millis } from '../exchange.ts'

/** What a look found. */
export class Finding {
  /** Units left: after the charge when allowed, as they are when denied. */
  remaining = 0
  /** Until `remaining` grows again; 0 when it is full. */
  resetMs: Millis = 0
  /** After a denial: until the same request would pass; Infinity when it never will. */
  retryMs: Millis = 0
}

export interface Algorithm {
  /** Which clock `now` is read from. Only calendar quotas follow the wall clock. */
  readonly clock: 'monotonic' | 'wall'
  /** The `q` of the RateLimit-Policy field. */
  readonly quota: number
  /** The `w` of the RateLimit-Policy field in seconds, at least 1; 0 when there is no window. */
  readonly windowSeconds: number

  /** Whether `cost` units fit. Changes nothing that another call could see. */
  peek(high: number, low: number, now: Millis, cost: number, found: Finding): boolean
  /** Charges what the last `peek` looked at and allowed. */
  charge(): void
  /** Gives back what a charge took and is held until then: concurrency only. */
  release?(high: number, low: number, cost: number): void
  /** Corrects an earlier charge by `delta` units, up or down, without asking. */
  settle?(high: number, low: number, now: Millis, delta: number): void
  /**
   * Takes over the usage of the same policy in the configuration before a reload, so that a reload gives
   * nobody a fresh quota. False when the states cannot be compared.
   */
  adopt(previous: Algorithm, now: Millis): boolean
  /** For metrics: keys in the table, live keys that were displaced. */
  readonly displaced: number
  used(now: Millis): number
}
