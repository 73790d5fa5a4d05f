/**
 * Health among the processes of one gateway: one of them checks the origins and the others hear of it; an
 * ejection in one is an ejection in all. A process that hears nothing for three intervals checks by itself, and
 * thereby becomes the one that the others hear.
 */
import type { ProbeResult } from '../../health/active.ts'
import type { HealthBoard, HealthEvent } from '../../health/board.ts'
import { nodeClock } from './clock.ts'

export type HealthNote =
  | { readonly probed: string; readonly result: ProbeResult }
  | { readonly ejected: string; readonly forMs: number }

export interface Siblings {
  /** Intervals to wait for somebody else's check; 1 for the process that checks. */
  readonly patience: number
  tell(note: HealthNote): void
}

const OTHERS_PATIENCE = 3

/** @param number of this process, from 0 */
export function siblingsOf(number: number, tell: (note: HealthNote) => void): Siblings {
  return { patience: number === 0 ? 1 : OTHERS_PATIENCE, tell }
}

/** Tells of an ejection that was found out here. */
export function tellEjection(
  siblings: Siblings,
  board: HealthBoard,
  { origin, to }: HealthEvent,
): void {
  if (to !== 'ejected') return
  const forMs = board.ejectedFor(origin, nodeClock.monotonic())
  if (forMs > 0) siblings.tell({ ejected: origin, forMs })
}
