/** What a check of limits found, small for the many requests that pass. */
import type { Millis, Seconds } from '../exchange.ts'
import type { Finding } from './algorithm.ts'
import type { Policy } from './policy.ts'

/** When counters that cannot be asked may be asked again. */
const STORE_RETRY_SECONDS = 1

export const NONE: readonly never[] = Object.freeze([])

/** A charge that a release, a refund or a difference may follow. */
export interface Charge {
  readonly policy: Policy
  readonly high: number
  readonly low: number
  readonly cost: number
}

/**
 * Why a limit denied: its limit, a mitigation that goes on, a part of the key that is missing, or counters of
 * the fleet that cannot be asked.
 */
export type DenialReason = 'limit' | 'mitigation' | 'key' | 'store'

/** What a check found. One object for each check of a request to which any policy applied. */
export interface LimitResult {
  readonly allowed: boolean
  /** Of the answer, when denied. */
  readonly status: 403 | 429 | 503
  /** The first policy that denied, or the one nearest to its limit. */
  readonly policy: Policy
  readonly reason: DenialReason | undefined
  readonly limit: number
  readonly remaining: number
  /** Until `remaining` grows; 0 when nothing is used. */
  readonly resetSeconds: Seconds
  /** After a denial: when to come back, at least 1; 0 when the request can never pass. */
  readonly retryAfter: Seconds
  /** Ids of all policies that denied. */
  readonly violated: readonly string[]
  /** Ids of policies with action `log` that would have denied. */
  readonly logged: readonly string[]
  readonly charges: readonly Charge[]
}

/** Rounded up; a small integer, which needs no number on the heap: no window is as long as 2^31 s. */
export function wholeSeconds(ms: Millis): Seconds {
  return Math.ceil(ms / 1000) | 0
}

/** Made for nearly every request: three words, small integers all, and the rest computed when asked. */
export class Admission implements LimitResult {
  readonly policy: Policy
  readonly remaining: number
  readonly resetSeconds: Seconds

  constructor(policy: Policy, remaining: number, resetSeconds: Seconds) {
    this.policy = policy
    this.remaining = remaining
    this.resetSeconds = resetSeconds
  }

  get allowed(): boolean {
    return true
  }
  get status(): 403 | 429 | 503 {
    return this.policy.status
  }
  get reason(): undefined {
    return undefined
  }
  get limit(): number {
    return this.policy.quota
  }
  get retryAfter(): Seconds {
    return 0
  }
  get violated(): readonly string[] {
    return NONE
  }
  get logged(): readonly string[] {
    return NONE
  }
  get charges(): readonly Charge[] {
    return NONE
  }
}

/** One that is not over with the check. */
export class KeptAdmission extends Admission {
  readonly #logged: readonly string[]
  readonly #charges: readonly Charge[]

  constructor(
    policy: Policy,
    remaining: number,
    resetSeconds: Seconds,
    logged: readonly string[],
    charges: readonly Charge[],
  ) {
    super(policy, remaining, resetSeconds)
    this.#logged = logged
    this.#charges = charges
  }

  override get logged(): readonly string[] {
    return this.#logged
  }
  override get charges(): readonly Charge[] {
    return this.#charges
  }
}

/** The first denial of a check; its numbers are kept before another policy overwrites them. */
export class Denial {
  readonly violated: string[]
  readonly #policy: Policy
  readonly #reason: DenialReason
  readonly #remaining: number
  readonly #resetSeconds: number
  readonly #retryAfter: number

  constructor(policy: Policy, reason: DenialReason, found: Finding) {
    this.violated = [policy.id]
    this.#policy = policy
    this.#reason = reason
    const isCounted = reason === 'limit' || reason === 'mitigation'
    this.#remaining = isCounted ? found.remaining : 0
    this.#resetSeconds = !isCounted ? 0 : Math.max(1, Math.ceil(found.resetMs / 1000))
    // Never earlier than the reset that the RateLimit field announces.
    if (isCounted && Number.isFinite(found.retryMs)) {
      this.#retryAfter = Math.max(1, this.#resetSeconds, Math.ceil(found.retryMs / 1000))
    } else {
      this.#retryAfter = reason === 'store' ? STORE_RETRY_SECONDS : 0
    }
  }

  result(logged: readonly string[]): LimitResult {
    return {
      allowed: false,
      // Not the client's doing.
      status: this.#reason === 'store' ? 503 : this.#policy.status,
      policy: this.#policy,
      reason: this.#reason,
      limit: this.#policy.quota,
      remaining: this.#remaining,
      resetSeconds: this.#resetSeconds,
      retryAfter: this.#retryAfter,
      violated: this.violated,
      logged,
      charges: NONE,
    }
  }
}
