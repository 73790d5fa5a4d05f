/** What the control port shows of a gateway that is watched live. The runtime implements it. */
import type { Clock } from '../ports.ts'
import type { GatewayEvent } from '../telemetry/events.ts'
import {
  durationQuantiles,
  type LiveFlow,
  type LiveSample,
  mergeSamples,
} from '../telemetry/live-sample.ts'

export interface LivePoint {
  /** Degrees. */
  readonly latitude: number
  readonly longitude: number
}

export interface LiveRegion {
  readonly id: string
  readonly healthy: boolean
  readonly drained: boolean
  /** Null when the config does not say where it is. */
  readonly at: LivePoint | null
}

/** One process since it was last asked. Plain data: goes over a message channel. */
export interface LiveTake {
  readonly sample: LiveSample
  readonly events: readonly GatewayEvent[]
  readonly inFlight: number
  readonly regions: readonly LiveRegion[]
  /** Where the gateway stands, when the config says. */
  readonly gateway: LivePoint | null
}

export interface LiveView {
  /** One of each worker process; none when no process answers. */
  take(): Promise<readonly LiveTake[]>
  readonly clock: Clock
  onSubscribers?(count: number): void
  /** A reader that did not keep up was cut off. */
  onDropped?(): void
}

/** What is sent once a second: counts of the `seconds` before it. */
export interface LiveFrame extends Omit<LiveSample, 'durations' | 'flows'> {
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly seconds: number
  readonly workers: number
  readonly inFlight: number
  /** Milliseconds; null when no request ended. */
  readonly latency: { readonly p50: number; readonly p95: number; readonly p99: number } | null
  readonly flows: readonly LiveFlow[]
  readonly regions: readonly LiveRegion[]
  readonly gateway: LivePoint | null
  readonly events: readonly GatewayEvent[]
}

/** Flows in one frame, the busiest. */
const MAX_FLOWS = 200
const MAX_EVENTS = 50

const busy = ({ counts }: LiveFlow) => counts.origin + counts.cache + counts.blocked + counts.failed

/** @returns undefined when no process answered */
export function liveFrame(
  takes: readonly LiveTake[],
  at: number,
  seconds: number,
): LiveFrame | undefined {
  const [first] = takes
  if (first === undefined) return undefined
  const { durations, flows, ...sums } = mergeSamples(takes.map((take) => take.sample))
  const busiest = [...flows].sort((a, b) => busy(b) - busy(a))
  const left = busiest.slice(MAX_FLOWS).reduce((sum, flow) => sum + busy(flow), 0)
  const quantiles = durationQuantiles(durations, [0.5, 0.95, 0.99])
  const [p50 = 0, p95 = 0, p99 = 0] = quantiles ?? []
  const events = takes.flatMap((take) => take.events).sort((a, b) => a.time - b.time)
  return {
    ...sums,
    at,
    seconds,
    workers: takes.length,
    inFlight: takes.reduce((sum, take) => sum + take.inFlight, 0),
    latency: quantiles === undefined ? null : { p50, p95, p99 },
    flows: busiest.slice(0, MAX_FLOWS),
    unplaced: sums.unplaced + left,
    // A region that one process finds down is shown as down: so the metrics do.
    regions: first.regions.map((region, index) => ({
      ...region,
      healthy: takes.every((take) => take.regions[index]?.healthy !== false),
    })),
    gateway: first.gateway,
    events: events.slice(-MAX_EVENTS),
  }
}
