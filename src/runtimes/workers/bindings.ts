/**
 * The bindings of a Worker, as far as the gateway uses them. Written out here, so that whoever reads the
 * package's types needs no others; a test compares them with Cloudflare's own. Every one may be missing.
 */
import type { CounterShard } from './counter-shard.ts'
import type { HealthProber } from './health-prober.ts'
import type { NoticeBoard } from './notice-board.ts'

export interface ExecutionContext {
  waitUntil(promise: Promise<unknown>): void
}

export interface KeyValueStore {
  getWithMetadata(
    key: string,
    options: { type: 'text'; cacheTtl: number },
  ): Promise<{ value: string | null; metadata: unknown }>
}

/** A stub's calls are the object's methods, each with a promise around its answer. */
export type Stub<T> = {
  [K in keyof T]: T[K] extends (...args: infer A) => infer R
    ? (...args: A) => Promise<Awaited<R>>
    : never
}

export interface ObjectNamespace<T> {
  idFromName(name: string): object
  get(id: object): Pick<Stub<T>, Exclude<keyof T, 'ctx' | 'env' | 'fetch' | 'alarm'>>
}

export interface FloodLimiter {
  limit(options: { key: string }): Promise<{ success: boolean }>
}

export interface AnalyticsDataset {
  writeDataPoint(point: { indexes?: string[]; blobs?: string[]; doubles?: number[] }): void
}

export interface RecordQueue {
  sendBatch(messages: { body: unknown; contentType?: 'text' }[]): Promise<unknown>
}

export interface BucketObject {
  readonly etag: string
  readonly size: number
  readonly body: { cancel(): Promise<void> }
  arrayBuffer(): Promise<ArrayBuffer>
}

export interface ObjectBucket {
  get(name: string): Promise<BucketObject | null>
  put(
    name: string,
    bytes: Uint8Array,
    options: { onlyIf: { etagMatches: string } | { etagDoesNotMatch: string } },
  ): Promise<object | null>
  delete(names: string | string[]): Promise<void>
  list(options: { prefix: string }): Promise<{
    readonly objects: readonly { readonly key: string }[]
    readonly truncated: boolean
  }>
}

/** Names are those of wrangler.toml. Secrets that the config names are found by their own names. */
export interface EdgeEnv {
  /** Hot updates of the config, under the key `config`. */
  readonly CONFIG?: KeyValueStore
  readonly COUNTERS?: ObjectNamespace<CounterShard>
  readonly PROBER?: ObjectNamespace<HealthProber>
  /** Purges, revocations and penalties, for all isolates. */
  readonly NOTICES?: ObjectNamespace<NoticeBoard>
  readonly FLOOD?: FloodLimiter
  /** A bucket of large, long-lived responses, under the Cache API. */
  readonly RESERVE?: ObjectBucket
  readonly ANALYTICS?: AnalyticsDataset
  readonly RECORDS?: RecordQueue
  /** Bearer token of the control paths; without it there are none. */
  readonly EDGE_TOKEN?: string
  /** "local" where this is not Cloudflare: nothing is believed that only Cloudflare could vouch for. */
  readonly PLATFORM?: string
  /** How many counter objects the clients are spread over; 16 when left out. */
  readonly COUNTER_SHARDS?: string
}

/** What the gateway reads of `request.cf`. */
export interface CloudflareFacts {
  readonly colo?: unknown
  readonly country?: unknown
  readonly latitude?: unknown
  readonly longitude?: unknown
  readonly asn?: unknown
  readonly tlsVersion?: unknown
  readonly tlsCipher?: unknown
  readonly tlsClientAuth?: {
    readonly certPresented?: unknown
    readonly certVerified?: unknown
    readonly certSubjectDN?: unknown
    readonly certIssuerDN?: unknown
    readonly certSerial?: unknown
    readonly certFingerprintSHA256?: unknown
  } | null
}
