/** Step 5: the WAF's request phase. */
import type { StepResult } from '../exchange.ts'
import type { Passage } from '../passage.ts'

export function inspect(x: Passage): StepResult {
  void x
  return undefined
}
