/** Analytics of one process: its writer, and what is counted of it. */
import { accessSync, constants, mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { ConfigError } from '../../../config/errors.ts'
import type { Logger } from '../../../ports.ts'
import type { GatewayMetrics } from '../../../telemetry/gateway-metrics.ts'
import type { ConfigBundle } from '../config-file.ts'
import { PartitionWriter } from './partition-writer.ts'

export class Analytics {
  readonly writer: PartitionWriter

  constructor(writer: PartitionWriter) {
    this.writer = writer
  }

  watch(metrics: GatewayMetrics): void {
    metrics.registry.onCollect(() => {
      metrics.analyticsRecords.setTotal([], this.writer.written)
      metrics.analyticsDropped.setTotal([], this.writer.dropped)
    })
  }

  async close(): Promise<void> {
    await this.writer.close()
  }
}

/**
 * @param worker number of this worker process; each writes files of its own
 * @returns undefined when the config keeps no requests
 * @throws ConfigError when the folder cannot be used
 */
export function openAnalytics(
  bundle: ConfigBundle,
  _worker: number | undefined,
  log: Logger,
): Analytics | undefined {
  const { analytics } = bundle.config.telemetry
  if (analytics === undefined) return undefined
  const dir = resolve(dirname(bundle.path), analytics.dir)
  try {
    mkdirSync(dir, { recursive: true, mode: 0o750 })
    accessSync(dir, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    throw new ConfigError([
      {
        path: 'telemetry.analytics.dir',
        message: `the folder cannot be used: ${(error as Error).message}`,
        hint: 'it must be writable for the user that runs the gateway',
      },
    ])
  }
  return new Analytics(new PartitionWriter({ dir, log }))
}
