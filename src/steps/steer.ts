/** Step 9: which regions may serve the request, in which order. */
import type { StepResult } from '../exchange.ts'
import type { Passage } from '../passage.ts'

export function steer(x: Passage): StepResult {
  const fixed = x.plan?.fixed
  if (fixed === undefined) return undefined
  x.places = fixed.places
  x.decision = fixed.decision
  return undefined
}
