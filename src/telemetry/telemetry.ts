/**
 * The end of every request: one record, and from it the metrics, the access log line and the events. A
 * `Telemetry` lives as long as the process; a reload gives it new settings and keeps its counts.
 */
import type { TelemetryConfig } from '../config/sections/telemetry.ts'
import type { Exchange, Verdict } from '../exchange.ts'
import type { Clock, Random, RecordSink } from '../ports.ts'
import { jsonLine } from './access-log.ts'
import { type EventKind, EventRing, type EventValue } from './events.ts'
import { GatewayMetrics, type ProcessFacts } from './gateway-metrics.ts'
import { LiveWatch } from './live-watch.ts'
import { type LineFormat, lineFormat } from './log-format.ts'
import type { LogShare } from './log-sampling.ts'
import { Mask } from './mask.ts'
import type { Otlp } from './otlp/otlp.ts'
import {
  emptyRecord,
  isOrdinary,
  type RequestRecord,
  type Settlement,
  writeRecord,
} from './record.ts'
import { SECURITY_OUTCOMES } from './refusals.ts'
import { sipKey } from './siphash.ts'
import type { AnomalyChange } from './threats/threats.ts'
import { Tracer, type TracerConfig } from './trace-context.ts'

export interface TelemetryPorts {
  readonly clock: Clock
  readonly random: Random
  /** Takes access log lines; `undefined` when the runtime has nowhere to put them. */
  readonly access: RecordSink | undefined
  /** Takes every request, whole and unsampled; `undefined` when nobody asks for it. */
  readonly analytics?: RecordSink | undefined
  readonly build: { readonly version: string; readonly runtime: string }
  readonly process?: () => ProcessFacts
}

/** Secrets that the section names, already read. */
export interface TelemetrySecrets {
  readonly subjectKey?: string | undefined
}

const STEERING_OUTCOMES: ReadonlySet<string> = new Set([
  'residency-unavailable',
  'residency-denied',
  'no-healthy-origin',
])

/** A change of an origin's health, as the health board tells it. */
export interface HealthChange {
  readonly origin: string
  readonly from: string
  readonly to: string
  readonly cause: string
  readonly regions: readonly { readonly region: string; readonly isUp: boolean }[]
}

export class Telemetry {
  readonly metrics: GatewayMetrics
  readonly events: EventRing
  readonly live: LiveWatch
  readonly tracer: Tracer
  /** Sees each record at once, and keeps nothing of it. */
  observer: ((record: Readonly<RequestRecord>, x: Exchange) => void) | undefined
  readonly #ports: TelemetryPorts
  readonly #drawnKey: Uint8Array
  readonly #record: RequestRecord = emptyRecord()
  #mask: Mask
  #config: TelemetryConfig
  #line: LineFormat
  #otlp: Otlp | undefined
  #endEvents: () => void = () => {}

  constructor(config: TelemetryConfig, secrets: TelemetrySecrets, ports: TelemetryPorts) {
    this.#ports = ports
    this.#drawnKey = ports.random.bytes(16)
    this.#config = config
    this.#line = lineFormat(config.access)
    this.#mask = this.#maskFor(config, secrets)
    this.metrics = new GatewayMetrics(config.metrics.maxSeries, ports.build, ports.process)
    this.events = new EventRing(config.events, drawnName(ports.random))
    this.live = new LiveWatch(ports.clock, this.events)
    this.tracer = new Tracer(tracerConfig(config), ports.random)
  }

  /** The choke point, for whoever shows something of a request elsewhere. */
  get mask(): Mask {
    return this.#mask
  }

  #maskFor(config: TelemetryConfig, secrets: TelemetrySecrets): Mask {
    const key =
      secrets.subjectKey === undefined
        ? this.#drawnKey
        : sipKey(new TextEncoder().encode(secrets.subjectKey))
    return new Mask(config.mask, key)
  }

  /** New settings after a reload. The series budget and the ring's size stay as they were at start. */
  configure(config: TelemetryConfig, secrets: TelemetrySecrets): void {
    this.#config = config
    this.#line = lineFormat(config.access)
    this.#mask = this.#maskFor(config, secrets)
    this.tracer.configure(tracerConfig(config))
  }

  /** From now on finished requests and events are exported there; undefined ends it. */
  exportTo(otlp: Otlp | undefined): void {
    this.#endEvents()
    this.#otlp = otlp
    this.#endEvents =
      otlp === undefined ? () => {} : this.events.subscribe((event) => otlp.event(event))
  }

  /**
   * Records one finished request; to be called exactly once for each, refused ones included. Never throws
   * for what a client sent.
   * @param share of requests like this one that are logged; `access.sample` when it is left out
   * @returns the record, valid until the next call
   */
  settle(x: Exchange, settlement: Settlement, share?: LogShare): Readonly<RequestRecord> {
    const record = this.#record
    writeRecord(x, settlement, this.#mask, record)
    if (this.#config.metrics.enabled) this.metrics.observe(record)
    if (this.live.isWatched) this.live.observe(x, record)
    const otlp = this.#otlp
    const access = this.#config.access.enabled ? this.#ports.access : undefined
    let weight = 0
    let whole = ''
    if (access !== undefined || otlp?.wantsLogs === true) {
      weight = this.#weight(x, record, share)
      if (access !== undefined) {
        if (weight > 0) {
          this.metrics.logLines.addAt(0)
          const line = this.#line(record, weight)
          access.line(line)
          // The very line that analytics takes.
          if (this.#line === jsonLine && weight === 1) whole = line
        } else this.metrics.logSampledOut.addAt(0)
      }
    }
    if (this.#ports.analytics !== undefined) {
      this.#ports.analytics.line(whole === '' ? jsonLine(record) : whole)
    }
    otlp?.request(record, x.trace, settlement.monotonicStart ?? 0, weight)
    if (record.outcome !== 'served' || record.attempts.length > 1 || record.verdicts.length > 0) {
      this.#noteRequest(record)
    }
    this.observer?.(record, x)
    return record
  }

  /** How many requests the line of this one stands for; 0 when it is left out. */
  #weight(x: Exchange, record: RequestRecord, share: LogShare | undefined): number {
    const { sample } = this.#config.access
    if ((share === undefined && sample >= 1) || !isOrdinary(record)) return 1
    const kept = share === undefined ? sample : share(x)
    if (kept >= 1) return 1
    return this.#ports.random.next() < kept ? 1 / kept : 0
  }

  /** Adds an event that no request caused: health, config, system. */
  note(kind: EventKind, what: string, detail: Readonly<Record<string, EventValue>>): void {
    this.#note(kind, what, detail, undefined)
  }

  /** An origin's health changed, and with it perhaps whether its regions can answer. */
  noteHealth({ origin, from, to, cause, regions }: HealthChange): void {
    // By the origin of the config: addresses would make series without end.
    this.metrics.healthTransitions.add([origin.replace(/@[\da-f.:[\]]+$/i, ''), from, to])
    this.note('health', `${from} to ${to}`, { origin, cause })
    for (const { region, isUp } of regions) {
      this.note('steering', isUp ? 'region-up' : 'region-down', { region, because: cause })
    }
  }

  /** A client network became anomalous on a route, or is so no more. */
  noteAnomaly({ isOver, network, route, score, why }: AnomalyChange): void {
    if (!isOver) this.metrics.threatAnomalies.add([route === '' ? 'none' : route])
    this.note('security', isOver ? 'anomaly-over' : 'anomaly', { network, route, score, why })
  }

  #note(
    kind: EventKind,
    what: string,
    detail: Readonly<Record<string, EventValue>>,
    requestId: string | undefined,
  ): void {
    this.events.add(kind, this.#ports.clock.now(), what, detail, requestId)
    this.metrics.events.add([kind])
  }

  #noteRequest(record: RequestRecord): void {
    const { attempts } = record
    const first = attempts[0]
    const last = attempts[attempts.length - 1]
    if (first !== undefined && last !== undefined && first.region !== last.region) {
      const { path, route } = record
      this.#note(
        'steering',
        'failover',
        { from: first.region, to: last.region, because: first.outcome, route, path },
        record.id,
      )
    }
    if (STEERING_OUTCOMES.has(record.outcome)) {
      this.#note('steering', record.outcome, requestDetail(record), record.id)
    } else if (SECURITY_OUTCOMES.has(record.outcome)) {
      this.#note('security', record.outcome, this.#securityDetail(record), record.id)
    } else if (record.verdicts.some(isWorthShowing)) {
      this.#note('security', 'matched', this.#securityDetail(record), record.id)
    }
  }

  #securityDetail(record: RequestRecord): Record<string, EventValue> {
    const detail = requestDetail(record)
    const { verdicts } = record
    const verdict = verdicts.find((one) => one.enforced) ?? verdicts[0]
    if (verdict === undefined) return detail
    detail.rules = verdicts.map((one) => one.rule)
    detail.description = verdict.description
    if (verdict.target !== undefined) detail.target = verdict.target
    if (verdict.match !== undefined) {
      detail.match = this.#mask.match(verdict.target, verdict.match)
    }
    return detail
  }
}

function tracerConfig({ trace, otlp }: TelemetryConfig): TracerConfig {
  const isExported = otlp?.signals.includes('traces') === true
  return {
    takesPart: isExported || trace.start === true,
    starts: trace.start ?? isExported,
    sampling: trace.sampling,
  }
}

function isWorthShowing(verdict: Verdict): boolean {
  if (verdict.isCleared === true) return false
  return verdict.action === 'block' || verdict.action === 'challenge' || verdict.action === 'log'
}

function requestDetail(record: RequestRecord): Record<string, EventValue> {
  return {
    client: record.client,
    country: record.country,
    method: record.method,
    host: record.host,
    path: record.path,
    query: record.query,
    route: record.route,
    status: record.status,
  }
}

/** Tells this process from others, and from itself before a restart. */
function drawnName(random: Random): string {
  return Array.from(random.bytes(6), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
