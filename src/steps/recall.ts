/** Step 8: what the cache knows. Routes that answer by themselves do so here, behind all guards. */
import type { StepResult } from '../exchange.ts'
import type { Passage } from '../passage.ts'
import { respond } from './route.ts'

export function recall(x: Passage): StepResult {
  return respond(x)
}
