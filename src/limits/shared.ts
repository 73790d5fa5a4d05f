/**
 * Limits that several processes count together, asked after a process's own tables have let a request
 * through: what one process denies, all of them would.
 */
import type { Exchange } from '../exchange.ts'
import type { Phase } from './policy.ts'
import type { LimitResult } from './result.ts'

export interface SharedLimits<X extends Exchange> {
  /**
   * Never rejects: counters that cannot be reached have no say.
   * @returns undefined when no shared limit applies
   */
  check(x: X, phase: Phase): LimitResult | undefined | Promise<LimitResult | undefined>
}
