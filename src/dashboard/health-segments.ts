/** Health events of an origin as stretches of time. */
import type { GatewayEvent } from '../telemetry/events.ts'

export const SHOWN_MS = 15 * 60_000

export interface Segment {
  readonly from: number
  readonly to: number
  readonly state: string
  readonly cause: string
}

/** `up to down`, as the event says it. */
function change(event: GatewayEvent): [before: string, after: string] | undefined {
  const [before, after] = event.what.split(' to ')
  return before === undefined || after === undefined ? undefined : [before, after]
}

/**
 * An origin's states in order, the last one up to now.
 * @param events  newest first
 * @param present its state now
 */
export function segments(
  events: readonly GatewayEvent[],
  origin: string,
  now: number,
  present: string,
): Segment[] {
  const found: Segment[] = []
  let to = now
  let state = present
  for (const event of events) {
    if (event.kind !== 'health' || event.detail.origin !== origin) continue
    const moved = change(event)
    if (moved === undefined) continue
    found.unshift({ from: event.time, to, state, cause: String(event.detail.cause ?? '') })
    if (event.time < now - SHOWN_MS) return found
    to = event.time
    state = moved[0]
  }
  found.unshift({ from: now - SHOWN_MS, to, state, cause: '' })
  return found
}
