/**
 * Export by OTLP/HTTP in JSON (https://opentelemetry.io/docs/specs/otlp/): spans and log records made from the
 * request record, events, and the metrics at an interval.
 */
import type { OtlpConfig } from '../../config/sections/telemetry.ts'
import type { Millis, TraceSpan } from '../../exchange.ts'
import type { Clock, Logger, Random, Uplink } from '../../ports.ts'
import type { GatewayEvent } from '../events.ts'
import type { GatewayMetrics } from '../gateway-metrics.ts'
import { isOrdinary, type RequestRecord } from '../record.ts'
import { metricsData } from './metrics-data.ts'
import { eventLog, requestAttributes, requestLog, requestSpans, spanCount } from './request-data.ts'
import { Sender, type SenderPorts, type Signal } from './sender.ts'
import { list, text } from './values.ts'

const GATHER_MS = 1000
const PATIENCE_MS = 120_000
const STOP_MS = 3000
/** One request at a time: what is older than the next snapshot is of no use. */
const MOST_SNAPSHOTS = 1

export interface OtlpPorts {
  readonly uplink: Uplink
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly metrics: GatewayMetrics
  readonly build: { readonly version: string; readonly runtime: string }
  readonly keepAlive?: ((work: Promise<unknown>) => void) | undefined
}

interface Shape {
  readonly resource: string
  readonly scope: string
  readonly items: string
  readonly rejected: string
}

const SHAPES: Readonly<Record<Signal, Shape>> = {
  traces: {
    resource: 'resourceSpans',
    scope: 'scopeSpans',
    items: 'spans',
    rejected: 'rejectedSpans',
  },
  metrics: {
    resource: 'resourceMetrics',
    scope: 'scopeMetrics',
    items: 'metrics',
    rejected: 'rejectedDataPoints',
  },
  logs: {
    resource: 'resourceLogs',
    scope: 'scopeLogs',
    items: 'logRecords',
    rejected: 'rejectedLogRecords',
  },
}

export class Otlp {
  readonly #ports: OtlpPorts
  readonly #startedAt: Millis
  readonly #intervalMs: Millis
  readonly #traces: Sender | undefined
  readonly #logs: Sender | undefined
  readonly #metrics: Sender | undefined
  #stopTicking: () => void = () => {}

  /**
   * @param headers with their secrets read
   * @param instance `service.instance.id`, drawn once a process
   * @param startedAt since when the metrics count, milliseconds since the epoch
   */
  constructor(
    config: OtlpConfig,
    headers: Readonly<Record<string, string>>,
    instance: string,
    startedAt: Millis,
    ports: OtlpPorts,
  ) {
    this.#ports = ports
    this.#startedAt = startedAt
    this.#intervalMs = config.interval
    const resource = resourceOf(config, instance, ports.build)
    const scope = `"scope":{"name":"meridian","version":${JSON.stringify(ports.build.version)}}`
    const { metrics } = ports
    const senderPorts: SenderPorts = {
      uplink: ports.uplink,
      clock: ports.clock,
      random: ports.random,
      log: ports.log,
      counts: {
        sent: (signal, items) => metrics.otlpSent.add([signal], items),
        dropped: (signal, reason, items) => metrics.otlpDropped.add([signal, reason], items),
        retried: (signal) => metrics.otlpRetries.add([signal]),
      },
      keepAlive: ports.keepAlive,
    }
    const sender = (signal: Signal): Sender | undefined => {
      if (!config.signals.includes(signal)) return undefined
      const shape = SHAPES[signal]
      const isSnapshot = signal === 'metrics'
      return new Sender(
        {
          signal,
          url: `${config.endpoint.replace(/\/+$/, '')}/v1/${signal}`,
          headers,
          timeoutMs: config.timeout,
          most: isSnapshot ? MOST_SNAPSHOTS : config.queue,
          gatherMs: isSnapshot ? 0 : GATHER_MS,
          patienceMs: isSnapshot ? config.interval : PATIENCE_MS,
          envelope: [
            `{"${shape.resource}":[{"resource":${resource},"${shape.scope}":[{${scope},"${shape.items}":[`,
            ']}]}]}',
          ],
          rejectedField: shape.rejected,
        },
        senderPorts,
      )
    }
    this.#traces = sender('traces')
    this.#logs = sender('logs')
    this.#metrics = sender('metrics')
  }

  /** Whether finished requests become log records here. */
  get wantsLogs(): boolean {
    return this.#logs !== undefined
  }

  /** Items that wait, by signal. */
  waiting(): readonly (readonly [signal: Signal, items: number])[] {
    const all = [
      ['traces', this.#traces],
      ['logs', this.#logs],
    ] as const
    return all.flatMap(([signal, sender]) =>
      sender === undefined ? [] : [[signal, sender.waiting] as const],
    )
  }

  /** Begins to send metrics. */
  start(): void {
    if (this.#metrics === undefined) return
    const tick = () => {
      this.#sendMetrics()
      this.#stopTicking = this.#ports.clock.after(this.#intervalMs, tick)
    }
    this.#stopTicking = this.#ports.clock.after(this.#intervalMs, tick)
  }

  #sendMetrics(): void {
    const sender = this.#metrics
    // They are sums since the start: a snapshot that was not sent is made good by the next.
    if (sender === undefined || !sender.isIdle) return
    const { metrics, clock } = this.#ports
    const { json, points } = metricsData(metrics.snapshot(), this.#startedAt, clock.now())
    sender.add(json, points)
  }

  /**
   * One finished request. The record is valid during the call only.
   * @param weight how many requests a log record stands for; 0: none is wanted
   */
  request(
    record: RequestRecord,
    trace: TraceSpan | undefined,
    monotonicStart: Millis,
    weight: number,
  ): void {
    const hasSpan =
      this.#traces !== undefined &&
      trace !== undefined &&
      trace.spanId !== '' &&
      (trace.isSampled || !isOrdinary(record))
    const isLogged = this.#logs !== undefined && weight > 0
    if (!hasSpan && !isLogged) return
    const attributes = requestAttributes(record)
    if (hasSpan) {
      const spans = requestSpans(record, trace, monotonicStart, attributes)
      this.#traces.add(spans, spanCount(record))
    }
    if (isLogged) this.#logs.add(requestLog(record, trace, attributes, weight), 1)
  }

  event(event: GatewayEvent): void {
    this.#logs?.add(eventLog(event), 1)
  }

  /** Sends what waits, the metrics a last time, and ends. */
  async stop(): Promise<void> {
    this.#stopTicking()
    await Promise.all([this.#traces?.stop(STOP_MS), this.#logs?.stop(STOP_MS)])
    // Last, so that they have what became of the others.
    this.#sendMetrics()
    await this.#metrics?.stop(STOP_MS)
  }
}

function resourceOf(
  config: OtlpConfig,
  instance: string,
  build: { readonly version: string; readonly runtime: string },
): string {
  const own = new Map([
    ['service.name', 'meridian'],
    ['service.version', build.version],
    ['service.instance.id', instance],
    ['process.runtime.name', build.runtime],
    ...Object.entries(config.resource),
  ])
  let attributes = ''
  for (const [key, value] of own) attributes += text(JSON.stringify(key).slice(1, -1), value)
  return `{"attributes":${list(attributes)}}`
}
