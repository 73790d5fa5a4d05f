/**
 * Limits that several processes count together, asked after a process's own tables have let a request
 * through.
 */
import type { Exchange } from '../exchange.ts'
import type { RouteLimits } from './limits.ts'
import type { Phase } from './policy.ts'
import type { LimitResult } from './result.ts'

export interface SharedLimits<X extends Exchange> {
  /**
   * Never rejects: counters that cannot be reached have no say.
   * @param route the limits of the request's route
   * @returns undefined when no shared limit applies
   */
  check(
    x: X,
    phase: Phase,
    route: RouteLimits,
  ): LimitResult | undefined | Promise<LimitResult | undefined>
}
