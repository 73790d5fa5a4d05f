/** What each origin's health has been, out of the health events: a strip for each, the newest at the right. */
import type { GatewayEvent } from '../telemetry/events.ts'
import { span, time } from './format.ts'

const SHOWN_MS = 15 * 60_000

interface Segment {
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

/** @param events newest first */
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

export interface TimelineRow {
  readonly id: string
  readonly state: string
}

export function HealthTimeline(props: {
  rows: readonly TimelineRow[]
  events: readonly GatewayEvent[]
}) {
  const now = Date.now()
  const start = now - SHOWN_MS
  const x = (at: number) => (Math.max(0, at - start) / SHOWN_MS) * 100
  return (
    <div class="timeline">
      {props.rows.map((row) => {
        const parts = segments(props.events, row.id, now, row.state)
        const words = parts.map(
          (part) => `${part.state} for ${span(part.to - Math.max(part.from, start))}`,
        )
        return (
          <div key={row.id}>
            <span class="label">{row.id}</span>
            <svg
              viewBox="0 0 100 10"
              preserveAspectRatio="none"
              role="img"
              aria-label={`${row.id}: ${words.join(', then ')}`}
            >
              {parts.map((part) => (
                <rect
                  key={part.from}
                  class={`health ${part.state}`}
                  x={x(part.from)}
                  width={Math.max(0.2, x(part.to) - x(part.from))}
                  height="10"
                >
                  <title>
                    {`${part.state} from ${time(part.from)}${part.cause === '' ? '' : `: ${part.cause}`}`}
                  </title>
                </rect>
              ))}
            </svg>
            <span class="figure">{row.state}</span>
          </div>
        )
      })}
      <p class="axis hint">
        <span>15 min ago</span>
        <span>now</span>
      </p>
    </div>
  )
}
