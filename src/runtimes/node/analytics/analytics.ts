/** Analytics of one process: its writer, and what is counted of it. */
import { accessSync, constants, mkdirSync } from 'node:fs'
import { ConfigError } from '../../../config/errors.ts'
import type { Logger } from '../../../ports.ts'
import type { GatewayMetrics } from '../../../telemetry/gateway-metrics.ts'
import type { ConfigBundle } from '../config-file.ts'
import { PartitionWriter } from './partition-writer.ts'
import { Schedule } from './schedule.ts'
import { type TendReport, type TendSettings, tendSettings } from './tend.ts'

export class Analytics {
  readonly writer: PartitionWriter
  readonly #schedule: Schedule | undefined
  readonly #log: Logger
  #settings: TendSettings | undefined
  #metrics: GatewayMetrics | undefined

  /** @param tends whether this process looks after the folder */
  constructor(writer: PartitionWriter, settings: TendSettings, tends: boolean, log: Logger) {
    this.writer = writer
    this.#settings = settings
    this.#log = log
    if (!tends) return
    this.#schedule = new Schedule(
      () => this.#settings,
      log,
      (report) => this.#note(report),
    )
    this.#schedule.start()
  }

  /** After a reload; the folder itself stays as it was at start. */
  configure(bundle: ConfigBundle): void {
    const next = tendSettings(bundle)
    const dir = this.#settings?.dir
    if (next !== undefined && dir !== undefined) this.#settings = { ...next, dir }
  }

  #note({ compacted, uploaded, removed, failures }: TendReport): void {
    const { records, torn, malformed } = compacted
    const metrics = this.#metrics
    if (torn + malformed > 0) {
      this.#log.warn('lines of analytics files are no records and were left out', {
        torn,
        malformed,
      })
    }
    if (removed.notUploaded > 0) {
      this.#log.error('analytics files were removed before they could be uploaded', {
        files: removed.notUploaded,
        hint: 'raise telemetry.analytics.maxSize or retention, or see why uploads fail',
      })
    }
    if (metrics === undefined) return
    metrics.analyticsCompacted.addAt(0, records)
    metrics.analyticsUnreadable.addAt(0, torn + malformed)
    for (const outcome of ['stored', 'found', 'failed'] as const) {
      if (uploaded[outcome] > 0) metrics.analyticsUploads.add([outcome], uploaded[outcome])
    }
    for (const because of ['age', 'size'] as const) {
      if (removed[because] > 0) metrics.analyticsRemoved.add([because], removed[because])
    }
    for (const { task } of failures) metrics.analyticsFailures.add([task])
  }

  watch(metrics: GatewayMetrics): void {
    this.#metrics = metrics
    metrics.registry.onCollect(() => {
      metrics.analyticsRecords.setTotal([], this.writer.written)
      metrics.analyticsDropped.setTotal([], this.writer.dropped)
    })
  }

  async close(): Promise<void> {
    this.#schedule?.stop()
    await this.writer.close()
  }
}

/**
 * @param worker number of this worker process; each writes files of its own, the first tends the folder
 * @returns undefined when the config keeps no requests
 * @throws ConfigError when the folder cannot be used
 */
export function openAnalytics(
  bundle: ConfigBundle,
  worker: number | undefined,
  log: Logger,
): Analytics | undefined {
  const settings = tendSettings(bundle)
  if (settings === undefined) return undefined
  const { dir } = settings
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
  return new Analytics(new PartitionWriter({ dir, log }), settings, (worker ?? 0) === 0, log)
}
