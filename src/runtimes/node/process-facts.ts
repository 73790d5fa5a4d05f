/** What this process uses, for the metrics. */
import { type EventLoopUtilization, monitorEventLoopDelay, performance } from 'node:perf_hooks'
import type { ProcessFacts } from '../../telemetry/gateway-metrics.ts'

/** Shorter spans say more of chance than of load, milliseconds. */
const LEAST_SPAN_MS = 1000

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

/** @param connections open client connections now */
export function processFacts(connections: () => number): () => ProcessFacts {
  const delay = monitorEventLoopDelay({ resolution: 20 })
  delay.enable()
  const load = loopLoad()
  return () => {
    const cpu = process.cpuUsage()
    const memory = process.memoryUsage()
    const p99 = delay.percentile(99)
    delay.reset()
    return {
      cpuSeconds: (cpu.user + cpu.system) / 1e6,
      residentBytes: memory.rss,
      heapUsedBytes: memory.heapUsed,
      startedAt: performance.timeOrigin / 1000,
      loopDelaySeconds: Number.isFinite(p99) ? p99 / 1e9 : 0,
      loadRatio: load(),
      openConnections: connections(),
    }
  }
}
