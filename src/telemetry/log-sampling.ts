/** How many of the served requests leave a line in the access log, by expression. */
import type { Exchange } from '../exchange.ts'

/** Share of requests like this one that are logged, 0 to 1. Asked only about those that may be left out. */
export type LogShare = (x: Exchange) => number

export interface LogRule {
  readonly when: (x: Exchange) => boolean
  readonly sample: number
}

/** The first rule that matches decides; without one it is `otherwise`. */
export function logShare(rules: readonly LogRule[], otherwise: number): LogShare {
  return (x) => {
    for (let i = 0; i < rules.length; i++) {
      const rule = rules[i] as LogRule
      if (rule.when(x)) return rule.sample
    }
    return otherwise
  }
}
