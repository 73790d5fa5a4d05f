/**
 * A gateway on Web interfaces alone: ports bound to `fetch`, memory and the clock; config and rulesets come
 * as texts. Bun, Deno and tests use it as it is, Workers add their bindings.
 */
import { ResponseCache } from '../../cache/response-cache.ts'
import type { CacheStore } from '../../cache/store/cache-store.ts'
import { type CompileOptions, compileSnapshot } from '../../compile/compile.ts'
import { type CheckedConfig, openChecked } from '../../config/checked.ts'
import { ConfigError, formatProblem } from '../../config/errors.ts'
import type { LoadedConfig } from '../../config/load.ts'
import type { ReadSecret } from '../../config/secrets.ts'
import type { TelemetryConfig } from '../../config/sections/telemetry.ts'
import { hmacSha256 } from '../../expression/sha256.ts'
import { Gateway, type Services } from '../../gateway.ts'
import { GeoSlots } from '../../geo/place.ts'
import { NO_GEO_SOURCE } from '../../geo/source.ts'
import type { HealthEvent } from '../../health/board.ts'
import { utf8 } from '../../iam/encoding.ts'
import { FleetLimits } from '../../limits/fleet/fleet-limits.ts'
import { type FlexibleLimiter, FlexibleStore } from '../../limits/fleet/flexible-store.ts'
import type {
  GeoSource,
  KeySource,
  Logger,
  OpenIdLibrary,
  Platform,
  RecordSink,
  Upstream,
} from '../../ports.ts'
import type { Snapshot } from '../../snapshot.ts'
import { OtlpExport } from '../../telemetry/otlp/otlp-export.ts'
import { Telemetry, type TelemetrySecrets } from '../../telemetry/telemetry.ts'
import { type Capabilities, WEB_CAPABILITIES } from './capabilities.ts'
import { webClock, webRandom } from './clock.ts'
import { webDecoder } from './decoder.ts'
import { FetchUpstream } from './fetch-upstream.ts'
import { fetchKeySource } from './key-source.ts'
import { fetchUplink } from './uplink.ts'
import { VERSION } from './version.ts'

/** A config with everything it names, as texts: what a bundler or a key-value store can hold. */
export interface ConfigTexts {
  /** meridian.json. */
  readonly config: string
  /** Files that the config names (lists, keys), by path as written. */
  readonly files?: Readonly<Record<string, string>> | undefined
}

/** Texts, and what they came to where they were built. */
export interface BuiltConfig extends ConfigTexts {
  /** Left out, or made by another version: the texts are read when the gateway starts. */
  readonly checked?: CheckedConfig | undefined
}

/** Texts of `rules/NAME.json` by name, or what finds them. */
export type Rulesets = Readonly<Record<string, string>> | ((name: string) => string | undefined)

export interface WebGatewayOptions extends BuiltConfig {
  readonly name?: Platform['name'] | undefined
  /** Where `{"env": …}` secrets come from. */
  readonly env?: Readonly<Record<string, unknown>> | undefined
  /** Rulesets that come with the gateway (`rules/NAME.json`), by name. */
  readonly rulesets?: Rulesets | undefined
  readonly capabilities?: Capabilities | undefined
  readonly upstream?: Upstream | undefined
  readonly keys?: KeySource | undefined
  /** For configs with a login: `openId` of `meridian-gateway/openid`. */
  readonly openId?: OpenIdLibrary | undefined
  readonly geo?: ((slots: GeoSlots) => GeoSource) | undefined
  readonly access?: RecordSink | undefined
  readonly log?: Logger | undefined
  /** A slower, larger tier of the cache. */
  readonly lowerCache?: CacheStore | undefined
  /** Changes to a config for a platform, after it was read. */
  readonly adapt?: ((loaded: LoadedConfig) => LoadedConfig) | undefined
  readonly shared?: Services['shared']
  /** Limiters of rate-limiter-flexible, for limits that several processes count together, by the limit's id. */
  readonly limiters?: Readonly<Record<string, FlexibleLimiter>> | undefined
  /** For these limits: what names clients in their store is hashed with it. The same in all processes. */
  readonly limiterSecret?: string | undefined
  /** Processes that share the limiters: while they fail, each admits its part. Default: 1. */
  readonly processes?: number | undefined
  /** Keeps the platform from stopping what goes on behind an answer. */
  readonly keepAlive?: ((work: Promise<unknown>) => void) | undefined
  /** Every change of an origin's health. */
  readonly onHealthEvent?: ((event: HealthEvent) => void) | undefined
}

export const QUIET: Logger = { info: () => {}, warn: () => {}, error: () => {} }

export class WebGateway {
  readonly gateway: Gateway
  readonly telemetry: Telemetry
  readonly platform: Platform
  readonly slots: GeoSlots
  readonly options: WebGatewayOptions
  readonly #otlp: OtlpExport
  readonly #fleet: FleetLimits | undefined
  #loaded: LoadedConfig
  #lastError: string | null = null

  private constructor(parts: {
    gateway: Gateway
    telemetry: Telemetry
    platform: Platform
    slots: GeoSlots
    options: WebGatewayOptions
    loaded: LoadedConfig
    otlp: OtlpExport
    fleet: FleetLimits | undefined
  }) {
    this.gateway = parts.gateway
    this.telemetry = parts.telemetry
    this.platform = parts.platform
    this.slots = parts.slots
    this.options = parts.options
    this.#loaded = parts.loaded
    this.#fleet = parts.fleet
    this.#otlp = parts.otlp
  }

  /** @throws ConfigError with every problem, the platform's own included */
  static async create(options: WebGatewayOptions): Promise<WebGateway> {
    const { checked } = options
    const isChecked = checked?.version === VERSION
    const loaded = isChecked ? await open(checked, options) : await read(options, options)
    const { config } = loaded
    const slots = new GeoSlots()
    const log = options.log ?? QUIET
    const platform: Platform = {
      name: options.name ?? 'web',
      clock: webClock,
      random: webRandom,
      upstream: options.upstream ?? new FetchUpstream(),
      geo: options.geo?.(slots) ?? NO_GEO_SOURCE,
      keys: options.keys ?? fetchKeySource((...call) => fetch(...call)),
      openId: options.openId,
      access: options.access ?? { line: () => {} },
      log,
      decoder: webDecoder,
    }
    const telemetry = new Telemetry(config.telemetry, telemetrySecrets(config.telemetry, loaded), {
      clock: webClock,
      random: webRandom,
      access: options.access,
      build: { version: VERSION, runtime: platform.name },
    })
    const fleet = fleetOf(options, platform)
    const snapshot = await compileSnapshot(loaded, {
      ...compileOptions(options, platform, slots, telemetry, fleet),
      areRulesTested: isChecked,
    })
    const cache = new ResponseCache({
      clock: webClock,
      random: webRandom,
      name: config.cache.name,
      statusHeader: config.cache.statusHeader,
      memoryBytes: config.cache.memory,
      admission: config.cache.admission,
      maxMemoryObject: config.cache.maxMemoryObject,
      fillMemory: config.cache.fillMemory,
      lower: options.lowerCache,
    })
    const { shared = fleet } = options
    const gateway = new Gateway(
      { platform, telemetry, cache, ...(shared === undefined ? {} : { shared }) },
      snapshot,
    )
    const otlp = new OtlpExport(telemetry, {
      clock: webClock,
      random: webRandom,
      log,
      build: { version: VERSION, runtime: platform.name },
      uplink: ({ compression }) => fetchUplink(compression),
      keepAlive: options.keepAlive,
      hasBackground: (options.capabilities ?? WEB_CAPABILITIES).background,
    })
    otlp.configure(config.telemetry, (ref) => loaded.secrets.get(ref))
    return new WebGateway({ gateway, telemetry, platform, slots, options, loaded, otlp, fleet })
  }

  get loaded(): LoadedConfig {
    return this.#loaded
  }

  get snapshot(): Snapshot {
    return this.gateway.snapshot
  }

  /** Why the last reload failed; null when it did not. */
  get lastError(): string | null {
    return this.#lastError
  }

  /** Takes a new config over, or says why not and keeps the old one. */
  async reload(texts: ConfigTexts): Promise<boolean> {
    const { log } = this.platform
    const { configReloads, configSuccess } = this.telemetry.metrics
    try {
      const loaded = await read(texts, this.options)
      const before = this.gateway.snapshot
      const next = await compileSnapshot(loaded, {
        ...compileOptions(this.options, this.platform, this.slots, this.telemetry, this.#fleet),
        previous: before,
      })
      before.stop()
      this.gateway.swap(next)
      const { telemetry } = loaded.config
      this.telemetry.configure(telemetry, telemetrySecrets(telemetry, loaded))
      this.#otlp.configure(telemetry, (ref) => loaded.secrets.get(ref))
      this.#loaded = loaded
      this.#lastError = null
      configReloads.add(['success'])
      configSuccess.set([], 1)
      return true
    } catch (error) {
      this.#lastError = messageOf(error)
      configReloads.add(['failure'])
      configSuccess.set([], 0)
      this.telemetry.note('config', 'reload-failed', { error: this.#lastError.slice(0, 500) })
      log.error('config not reloaded, the old one stays', { error: this.#lastError })
      return false
    }
  }
}

/** Parser, schema and checks are loaded when there is a text to read. */
async function read(texts: ConfigTexts, options: WebGatewayOptions): Promise<LoadedConfig> {
  const { load } = await import('./load.ts')
  return load(texts, options)
}

async function open(checked: CheckedConfig, options: WebGatewayOptions): Promise<LoadedConfig> {
  const { files = {}, env = {}, adapt } = options
  const loaded = await openChecked(checked, files, secretsOf(env, files))
  return adapt === undefined ? loaded : adapt(loaded)
}

/** Secrets are bindings, or files beside the config. */
export function secretsOf(
  env: Readonly<Record<string, unknown>>,
  files: Readonly<Record<string, string>>,
): ReadSecret {
  return (ref) => {
    const value = 'env' in ref ? env[ref.env] : files[ref.file]
    return typeof value === 'string' ? value : undefined
  }
}

export function compileOptions(
  options: WebGatewayOptions,
  platform: Platform,
  slots: GeoSlots,
  telemetry: Telemetry,
  fleet?: FleetLimits,
): CompileOptions {
  const { rulesets = {} } = options
  return {
    platform,
    slots,
    fleet,
    countsElsewhere: options.shared !== undefined,
    builtInRuleset:
      typeof rulesets === 'function'
        ? rulesets
        : (name) => (Object.hasOwn(rulesets, name) ? rulesets[name] : undefined),
    threats: {
      show: (ip) => telemetry.mask.ip(ip),
      onChange: (change) => telemetry.noteAnomaly(change),
    },
    onHealthEvent: (event) => {
      telemetry.noteHealth(event)
      options.onHealthEvent?.(event)
    },
  }
}

const LIMITER_TIMEOUT_MS = 50

/** Limits that are counted in limiters of the app's. */
function fleetOf(
  { limiters, limiterSecret = '', processes = 1 }: WebGatewayOptions,
  { clock }: Platform,
): FleetLimits | undefined {
  if (limiters === undefined) return undefined
  const store = new FlexibleStore({
    limiters,
    clock,
    timeoutMs: LIMITER_TIMEOUT_MS,
    gateways: Math.max(1, processes),
  })
  const seed = hmacSha256(utf8(limiterSecret), utf8('limit keys'))
  return new FleetLimits({ store, clock, seed })
}

function telemetrySecrets(config: TelemetryConfig, loaded: LoadedConfig): TelemetrySecrets {
  const { subjectKey } = config.mask
  return subjectKey === undefined ? {} : { subjectKey: loaded.secrets.get(subjectKey) }
}

function messageOf(error: unknown): string {
  if (error instanceof ConfigError) return error.problems.map(formatProblem).join('\n')
  return error instanceof Error ? error.message : String(error)
}
