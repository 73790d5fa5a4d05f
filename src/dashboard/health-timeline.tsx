/** What each origin's health has been, out of the health events: a strip for each, the newest at the right. */
import type { GatewayEvent } from '../telemetry/events.ts'
import { span, time } from './format.ts'
import { SHOWN_MS, segments } from './health-segments.ts'

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
