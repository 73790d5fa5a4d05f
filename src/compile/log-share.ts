/** `telemetry.access.rules`. */
import type { Report } from '../config/errors.ts'
import type { AccessLogConfig } from '../config/sections/telemetry.ts'
import { type LogRule, type LogShare, logShare } from '../telemetry/log-sampling.ts'
import type { Expressions } from './expressions.ts'

/** @returns undefined when there are no rules */
export function compileLogShare(
  { rules, sample }: AccessLogConfig,
  expressions: Expressions,
  report: Report,
): LogShare | undefined {
  if (rules.length === 0) return undefined
  const compiled: LogRule[] = []
  rules.forEach((rule, at) => {
    const path = `telemetry.access.rules[${at}].when`
    const when = expressions.condition(rule.when, path, report)
    if (when !== undefined) compiled.push({ when, sample: rule.sample })
  })
  return logShare(compiled, sample)
}
