/** What this process uses, for the metrics. The event loop is looked at by the clock, not by who asks. */
import { type EventLoopUtilization, monitorEventLoopDelay, performance } from 'node:perf_hooks'
import type { Millis } from '../../exchange.ts'
import type { Clock } from '../../ports.ts'
import type { ProcessFacts } from '../../telemetry/gateway-metrics.ts'
import { nodeClock } from './clock.ts'

/** Shorter spans say more of chance than of load, milliseconds. */
const LEAST_SPAN_MS = 1000
/** Parts of the time that the delay is told of. */
const DELAY_PART_MS: Millis = 15_000

/** How busy the event loop was since the last look, unless that was a moment ago. */
function loopLoad(): () => number {
  let since: EventLoopUtilization = performance.eventLoopUtilization()
  let last = 0
  return () => {
    const now = performance.eventLoopUtilization()
    const span = performance.eventLoopUtilization(now, since)
    if (span.idle + span.active >= LEAST_SPAN_MS) {
      since = now
      last = span.utilization
    }
    return last
  }
}

/** What `monitorEventLoopDelay` gives; nanoseconds. */
export interface DelayHistogram {
  percentile(of: number): number
  reset(): void
}

/**
 * The event loop's delay in this part of the clock and the one before it: 15 to 30 seconds, so that whoever
 * asks every 30 seconds or more often misses nothing for long, and nobody takes it from anybody else.
 * @returns the worse of both 99th percentiles, seconds
 */
export function loopDelay(histogram: DelayHistogram, clock: Clock): () => number {
  let before = 0
  const p99 = () => {
    const nanoseconds = histogram.percentile(99)
    return Number.isFinite(nanoseconds) ? nanoseconds / 1e9 : 0
  }
  const turn = () => {
    before = p99()
    histogram.reset()
    clock.after(DELAY_PART_MS, turn)
  }
  clock.after(DELAY_PART_MS, turn)
  return () => Math.max(before, p99())
}

/** @param connections open client connections now */
export function processFacts(connections: () => number): () => ProcessFacts {
  const histogram = monitorEventLoopDelay({ resolution: 20 })
  histogram.enable()
  const delay = loopDelay(histogram, nodeClock)
  const load = loopLoad()
  return () => {
    const cpu = process.cpuUsage()
    const memory = process.memoryUsage()
    return {
      cpuSeconds: (cpu.user + cpu.system) / 1e6,
      residentBytes: memory.rss,
      heapUsedBytes: memory.heapUsed,
      startedAt: performance.timeOrigin / 1000,
      loopDelaySeconds: delay(),
      loadRatio: load(),
      openConnections: connections(),
    }
  }
}
