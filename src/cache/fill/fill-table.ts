/**
 * Coalescing: who fetches what, and who waits for it. One fill is the origin exchange for a key (and
 * variant); the others wait for its response header and are then woken all at once, to share it or to go
 * their own way.
 */
import type { Cancellable, Millis } from '../../exchange.ts'
import type { Clock } from '../../ports.ts'
import type { StoredResponse } from '../policy/stored-response.ts'
import type { BodyFill } from './body-fill.ts'

/** What became of a fill, known when the response header is there. */
export type FillOutcome =
  /** Everybody who matches may have it. `body` is the fill under way, undefined when it is all here. */
  | { readonly kind: 'shared'; readonly response: StoredResponse; readonly body?: BodyFill }
  /** Not for sharing: each goes alone, now. */
  | { readonly kind: 'private' }
  | { readonly kind: 'failed'; readonly error: Error }

/** Stops an exchange with the origin that belongs to no single client. An `Exchange` has this shape too. */
export interface Abortable {
  aborted: boolean
  onAbort: Cancellable | undefined
}

export class Fill {
  readonly key: string
  readonly stamp: number
  /** Names known to select a variant when it began, with the leader's signature of them. */
  readonly vary: readonly string[]
  readonly signature: string
  readonly startedAt: Millis
  /** What purges may call it before its response is known: URL, path, host. */
  readonly epochNames: readonly string[]
  readonly control: Abortable = { aborted: false, onAbort: undefined }
  outcome: FillOutcome | undefined
  #waiters: ((outcome: FillOutcome) => void)[] = []

  constructor(
    key: string,
    stamp: number,
    names: readonly string[],
    vary: readonly string[],
    signature: string,
    startedAt: Millis,
  ) {
    this.key = key
    this.stamp = stamp
    this.epochNames = names
    this.vary = vary
    this.signature = signature
    this.startedAt = startedAt
  }

  get waiting(): number {
    return this.#waiters.length
  }

  settle(outcome: FillOutcome): void {
    if (this.outcome !== undefined) return
    this.outcome = outcome
    const waiters = this.#waiters
    this.#waiters = []
    for (const wake of waiters) wake(outcome)
  }

  /** The outcome, or undefined after `wait` milliseconds or when the client leaves. */
  wait(wait: Millis, clock: Clock, client: Abortable): Promise<FillOutcome | undefined> {
    const { outcome } = this
    if (outcome !== undefined) return Promise.resolve(outcome)
    return new Promise((resolve) => {
      const before = client.onAbort
      const settle = (settled: FillOutcome | undefined) => {
        cancelTimer()
        client.onAbort = before
        const at = this.#waiters.indexOf(settle)
        if (at >= 0) this.#waiters.splice(at, 1)
        resolve(settled)
      }
      const cancelTimer = clock.after(wait, () => settle(undefined))
      client.onAbort = {
        cancel: () => {
          settle(undefined)
          before?.cancel()
        },
      }
      this.#waiters.push(settle)
    })
  }
}

/** Fills under way by key, and the keys known not to be worth waiting for. */
export class FillTable {
  readonly #fills = new Map<string, Fill[]>()
  readonly #hitForMiss = new Map<string, Millis>()
  readonly #markerCapacity: number

  constructor(markerCapacity = 16_384) {
    this.#markerCapacity = markerCapacity
  }

  get size(): number {
    return this.#fills.size
  }

  /** Fills of a key; few, one for each variant under way. */
  of(key: string): readonly Fill[] | undefined {
    return this.#fills.get(key)
  }

  add(fill: Fill): void {
    const fills = this.#fills.get(fill.key)
    if (fills === undefined) this.#fills.set(fill.key, [fill])
    else fills.push(fill)
  }

  remove(fill: Fill): void {
    const fills = this.#fills.get(fill.key)
    if (fills === undefined) return
    const at = fills.indexOf(fill)
    if (at >= 0) fills.splice(at, 1)
    if (fills.length === 0) this.#fills.delete(fill.key)
  }

  markHitForMiss(key: string, until: Millis): void {
    this.#hitForMiss.delete(key)
    this.#hitForMiss.set(key, until)
    if (this.#hitForMiss.size > this.#markerCapacity) {
      for (const oldest of this.#hitForMiss.keys()) {
        this.#hitForMiss.delete(oldest)
        break
      }
    }
  }

  clearHitForMiss(key: string): void {
    this.#hitForMiss.delete(key)
  }

  isHitForMiss(key: string, now: Millis): boolean {
    const until = this.#hitForMiss.get(key)
    if (until === undefined) return false
    if (now < until) return true
    this.#hitForMiss.delete(key)
    return false
  }
}
