/** The OTLP exporter of one process: made from the config, and anew when a reload changes it. */
import { isDeepStrictEqual } from 'node:util'
import type { OtlpConfig } from '../../config/sections/telemetry.ts'
import type { Platform } from '../../ports.ts'
import { Otlp } from '../../telemetry/otlp/otlp.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import type { ConfigBundle } from './config-file.ts'
import { type ClosableUplink, nodeUplink } from './uplink.ts'
import { VERSION } from './version.ts'

export class OtlpExport {
  readonly #telemetry: Telemetry
  readonly #platform: Platform
  readonly #instance: string
  readonly #startedAt = Date.now()
  #config: OtlpConfig | undefined
  #headers: Readonly<Record<string, string>> = {}
  #current: { readonly otlp: Otlp; readonly uplink: ClosableUplink } | undefined
  #stopping: Promise<void> = Promise.resolve()

  constructor(telemetry: Telemetry, platform: Platform) {
    this.#telemetry = telemetry
    this.#platform = platform
    this.#instance = Buffer.from(platform.random.bytes(16)).toString('hex')
    const { otlpWaiting, registry } = telemetry.metrics
    registry.onCollect(() => {
      for (const [signal, items] of this.#current?.otlp.waiting() ?? []) {
        otlpWaiting.set([signal], items)
      }
    })
  }

  /** Takes a config over. What waits for the old collector is sent there. */
  configure(bundle: ConfigBundle): void {
    const { otlp: config } = bundle.config.telemetry
    const headers = config === undefined ? {} : headersOf(config, bundle)
    if (isDeepStrictEqual([config, headers], [this.#config, this.#headers])) return
    void this.#end()
    this.#config = config
    this.#headers = headers
    if (config === undefined) return
    const { clock, random, log } = this.#platform
    const uplink = nodeUplink(config.compression)
    const otlp = new Otlp(config, headers, this.#instance, this.#startedAt, {
      uplink,
      clock,
      random,
      log,
      metrics: this.#telemetry.metrics,
      build: { version: VERSION, runtime: 'nodejs' },
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
        await before.uplink.close()
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

function headersOf(config: OtlpConfig, { secrets }: ConfigBundle): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(config.headers)) {
    headers[name.toLowerCase()] = typeof value === 'string' ? value : secrets.get(value)
  }
  return headers
}
