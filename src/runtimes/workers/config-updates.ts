/**
 * Hot updates of the config from a key-value namespace, under one key: `{"version", "config", "files"}`. An
 * update is taken over only if it loads and compiles here; else what runs goes on, and the version that
 * failed is not tried again.
 */
import * as v from 'valibot'
import type { Millis } from '../../exchange.ts'
import type { Clock, Logger } from '../../ports.ts'
import type { WebGateway } from '../web/instance.ts'
import type { KeyValueStore } from './bindings.ts'

export const CONFIG_KEY = 'config'

const Update = v.strictObject({
  version: v.pipe(v.string(), v.minLength(1), v.maxLength(128)),
  config: v.string(),
  files: v.optional(v.record(v.string(), v.string()), {}),
})
export type ConfigUpdate = v.InferInput<typeof Update>

/** Between two looks of an isolate; the store itself is cached for as long. */
const LOOK_EVERY_MS = 30_000
const CACHE_SECONDS = 60
/** The first request waits for the update, but not for ever. */
const PATIENCE_MS = 1500

export class ConfigUpdates {
  readonly #store: KeyValueStore
  readonly #web: WebGateway
  readonly #clock: Clock
  readonly #log: Logger
  #version = 'bundled'
  #tried = ''
  #lookedAt: Millis = Number.NEGATIVE_INFINITY
  #isLooking = false

  constructor(store: KeyValueStore, web: WebGateway, clock: Clock, log: Logger) {
    this.#store = store
    this.#web = web
    this.#clock = clock
    this.#log = log
  }

  /** Of the config that runs; `bundled` for the one that was deployed. */
  get version(): string {
    return this.#version
  }

  /** @returns the look, when it is time for one; the caller keeps it alive */
  refresh(): Promise<void> | undefined {
    const now = this.#clock.monotonic()
    if (this.#isLooking || now - this.#lookedAt < LOOK_EVERY_MS) return undefined
    return this.read()
  }

  async read(): Promise<void> {
    this.#isLooking = true
    try {
      const found = await Promise.race([
        this.#store.getWithMetadata(CONFIG_KEY, { type: 'text', cacheTtl: CACHE_SECONDS }),
        this.#patience(),
      ])
      if (found?.value != null) await this.#take(found.value)
    } catch (error) {
      this.#log.warn('the config cannot be looked up, what runs goes on', {
        error: error instanceof Error ? error.message : String(error),
      })
    } finally {
      this.#lookedAt = this.#clock.monotonic()
      this.#isLooking = false
    }
  }

  #patience(): Promise<undefined> {
    return new Promise((resolve) => {
      this.#clock.after(PATIENCE_MS, () => resolve(undefined))
    })
  }

  async #take(text: string): Promise<void> {
    let parsed: unknown
    try {
      parsed = JSON.parse(text)
    } catch {
      parsed = undefined
    }
    const update = v.safeParse(Update, parsed)
    if (!update.success) {
      this.#log.error('the stored config is not {version, config, files}, what runs goes on')
      return
    }
    const { version, config, files } = update.output
    if (version === this.#version || version === this.#tried) return
    this.#tried = version
    if (await this.#web.reload({ config, files })) {
      this.#version = version
      this.#log.info('config taken over', { version })
    }
  }
}
