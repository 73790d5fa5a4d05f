/** The exporter of one process: made from the config, and anew when a reload changes it. */
import type { OtlpConfig, TelemetryConfig } from '../../config/sections/telemetry.ts'
import type { SecretRef } from '../../config/values.ts'
import type { Millis } from '../../exchange.ts'
import type { Clock, Logger, Random, Uplink } from '../../ports.ts'
import type { Telemetry } from '../telemetry.ts'
import { Otlp } from './otlp.ts'

export interface OtlpExportPorts {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly build: { readonly version: string; readonly runtime: string }
  readonly uplink: (config: OtlpConfig) => Uplink
  /** Tells the runtime of work that goes on behind the answer. */
  readonly keepAlive?: ((work: Promise<unknown>) => void) | undefined
  /** Whether something can be done at an interval: without it, metrics are not sent. */
  readonly hasBackground: boolean
}

const HEX = 16

export class OtlpExport {
  readonly #telemetry: Telemetry
  readonly #ports: OtlpExportPorts
  readonly #instance: string
  readonly #startedAt: Millis
  #fingerprint = ''
  #current: { readonly otlp: Otlp; readonly uplink: Uplink } | undefined
  #stopping: Promise<void> = Promise.resolve()

  constructor(telemetry: Telemetry, ports: OtlpExportPorts) {
    this.#telemetry = telemetry
    this.#ports = ports
    this.#startedAt = ports.clock.now()
    this.#instance = Array.from(ports.random.bytes(16), (byte) =>
      byte.toString(HEX).padStart(2, '0'),
    ).join('')
    const { otlpWaiting, registry } = telemetry.metrics
    registry.onCollect(() => {
      for (const [signal, items] of this.#current?.otlp.waiting() ?? []) {
        otlpWaiting.set([signal], items)
      }
    })
  }

  /** Takes a config over. What waits for the old collector is still sent there. */
  configure({ otlp: config }: TelemetryConfig, secret: (ref: SecretRef) => string): void {
    const headers = config === undefined ? {} : headersOf(config, secret)
    const fingerprint = config === undefined ? '' : JSON.stringify([config, headers])
    if (fingerprint === this.#fingerprint) return
    this.#fingerprint = fingerprint
    void this.#end()
    if (config === undefined) return
    const { hasBackground, uplink: uplinkOf, ...ports } = this.#ports
    const uplink = uplinkOf(config)
    const signals = config.signals.filter((signal) => signal !== 'metrics' || hasBackground)
    const { metrics } = this.#telemetry
    const otlp = new Otlp({ ...config, signals }, headers, this.#instance, this.#startedAt, {
      ...ports,
      uplink,
      metrics,
    })
    this.#current = { otlp, uplink }
    this.#telemetry.exportTo(otlp)
    otlp.start()
  }

  #end(): Promise<void> {
    const before = this.#current
    this.#current = undefined
    this.#telemetry.exportTo(undefined)
    if (before !== undefined) {
      const earlier = this.#stopping
      this.#stopping = before.otlp.stop().then(async () => {
        await before.uplink.close?.()
        await earlier
      })
    }
    return this.#stopping
  }

  /** Sends what waits, within a few seconds. */
  async stop(): Promise<void> {
    await this.#end()
  }
}

function headersOf(config: OtlpConfig, secret: (ref: SecretRef) => string): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(config.headers)) {
    headers[name.toLowerCase()] = typeof value === 'string' ? value : secret(value)
  }
  return headers
}
