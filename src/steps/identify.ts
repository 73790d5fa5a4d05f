/** Step 6: who asks, and whether they may. */
import type { StepResult } from '../exchange.ts'
import type { Passage } from '../passage.ts'

export function identify(x: Passage): StepResult {
  void x
  return undefined
}
