/** What this process uses, for the metrics. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { ProcessFacts } from '../../telemetry/gateway-metrics.ts'

/** @param connections open client connections now */
export function processFacts(connections: () => number): () => ProcessFacts {
  const delay = monitorEventLoopDelay({ resolution: 20 })
  delay.enable()
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
      openConnections: connections(),
    }
  }
}
