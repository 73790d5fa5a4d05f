/** Logins that were completed lately, so that none is twice. Outlives a reload; bounded. */
import type { Seconds } from '../../exchange.ts'

/** As long as the cookie of a login that was begun holds, and a little more. */
const KEPT: Seconds = 660
/** When there are more, the oldest are forgotten: the provider still takes no code twice. */
const MAX_STATES = 50_000

export class UsedStates {
  readonly #usedAt = new Map<string, Seconds>()

  /** @returns false when it was used before */
  take(state: string, now: Seconds): boolean {
    for (const [oldest, at] of this.#usedAt) {
      if (now - at < KEPT && this.#usedAt.size < MAX_STATES) break
      this.#usedAt.delete(oldest)
    }
    if (this.#usedAt.has(state)) return false
    this.#usedAt.set(state, now)
    return true
  }

  giveBack(state: string): void {
    this.#usedAt.delete(state)
  }
}
