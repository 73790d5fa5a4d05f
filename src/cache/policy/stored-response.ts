/** A stored response, and the rules for using it again (RFC 9111 §4). */
import type { Body, ByteStream, CacheStatus, Millis, Reply } from '../../exchange.ts'
import type { Clock } from '../../ports.ts'
import type { CacheControl } from '../http/cache-control.ts'
import { notModifiedFields } from '../http/fields.ts'
import type { ContentRange, Span } from '../http/range.ts'
import { BodyCodings } from '../store/body-codings.ts'

/** A body that lies elsewhere: on disk. */
export interface StoredBody {
  readonly length: number
  /** False once it was evicted. */
  readonly isThere: boolean
  /** Inclusive positions; the whole without them. */
  open(span?: Span): ByteStream
}

export interface StoredInit {
  readonly key: string
  /** scheme://authority/path?query as forwarded; what purges and invalidation name. */
  readonly url: string
  readonly status: number
  /** Flat; without connection fields and Age, with Date. */
  readonly fields: readonly string[]
  readonly body: Uint8Array | null
  /** Where the body is when it is not in memory. */
  readonly source?: StoredBody | undefined
  readonly vary: readonly string[]
  readonly signature: string
  /** Content-Language where the response varies by language alone. */
  readonly language: string | undefined
  readonly control: CacheControl
  readonly lifetime: Millis
  readonly initialAge: Millis
  readonly receivedAt: Millis
  readonly receivedWall: Millis
  readonly date: Millis
  readonly etag: string | undefined
  readonly lastModified: string | undefined
  readonly lastModifiedAt: Millis
  /** How long the last fetch took, for early refresh. */
  readonly fetchTook: Millis
  /** Order of the fill's start among purges; see `purge/epochs.ts`. */
  readonly stamp: number
  readonly epochNames: readonly string[]
  readonly range: ContentRange | undefined
}

/** A store that bears the cost of codings. */
export interface CodingsKeeper {
  /** @returns false when it no longer has the body, or has no room for them */
  keepCoding(key: string, codings: BodyCodings, cost: number): boolean
}

/** How replies from the cache call themselves. */
export interface StatusFormat {
  /** Token of the cache in Cache-Status. */
  readonly name: string
  /** Whether replies carry the field. */
  readonly header: boolean
}

const NO_RANGE_STATUS: ReadonlySet<number> = new Set([204, 304])

export class StoredResponse implements StoredInit {
  readonly key: string
  readonly url: string
  readonly status: number
  readonly fields: readonly string[]
  readonly body: Uint8Array | null
  readonly source: StoredBody | undefined
  readonly vary: readonly string[]
  readonly signature: string
  readonly language: string | undefined
  readonly control: CacheControl
  readonly lifetime: Millis
  readonly initialAge: Millis
  readonly receivedAt: Millis
  readonly receivedWall: Millis
  readonly date: Millis
  readonly etag: string | undefined
  readonly lastModified: string | undefined
  readonly lastModifiedAt: Millis
  readonly fetchTook: Millis
  readonly stamp: number
  readonly epochNames: readonly string[]
  readonly range: ContentRange | undefined
  /** Monotonic time until which it is fresh; -Infinity when it must be validated each time. */
  readonly freshUntil: Millis
  /** Version of the purge table it was last compared with. */
  checkedVersion = -1
  isSoftPurged = false
  /** The store in memory that has it. */
  keeper: CodingsKeeper | undefined

  readonly #plainSize: number
  #codings: BodyCodings | undefined
  #second = -1
  #hitFields: string[] = []
  #hitStatus: CacheStatus = { outcome: 'hit', reason: 'fresh', header: '' }
  #notModified: string[] | undefined

  constructor(init: StoredInit) {
    this.key = init.key
    this.url = init.url
    this.status = init.status
    this.fields = init.fields
    this.body = init.body
    this.source = init.source
    this.vary = init.vary
    this.signature = init.signature
    this.language = init.language
    this.control = init.control
    this.lifetime = init.lifetime
    this.initialAge = init.initialAge
    this.receivedAt = init.receivedAt
    this.receivedWall = init.receivedWall
    this.date = init.date
    this.etag = init.etag
    this.lastModified = init.lastModified
    this.lastModifiedAt = init.lastModifiedAt
    this.fetchTook = init.fetchTook
    this.stamp = init.stamp
    this.epochNames = init.epochNames
    this.range = init.range
    this.freshUntil = init.control.noCache
      ? Number.NEGATIVE_INFINITY
      : init.receivedAt + init.lifetime - init.initialAge
    this.#plainSize = costOf(init)
  }

  /** What it costs the process with its codings, bytes. */
  get size(): number {
    return this.#plainSize + (this.#codings?.bytes ?? 0)
  }

  /** The codings of the body that are kept. */
  get codings(): BodyCodings | undefined {
    return this.#codings
  }

  /** The body in a coding: what is kept, or what `make` makes, once for all who ask meanwhile. */
  coded(variant: string, make: () => Promise<Uint8Array>): Uint8Array | Promise<Uint8Array> {
    this.#codings ??= new BodyCodings()
    return this.#codings.of(
      variant,
      make,
      (codings, cost) => this.keeper?.keepCoding(this.key, codings, cost) ?? false,
    )
  }

  get bodyLength(): number {
    return this.source?.length ?? this.body?.byteLength ?? 0
  }

  /** The body to send: the bytes, or a stream that is opened now. */
  openBody(): Body {
    return this.source === undefined ? this.body : this.source.open()
  }

  /** current_age (RFC 9111 §4.2.3), whole seconds. */
  age(now: Millis): number {
    return Math.max(0, Math.floor((this.initialAge + now - this.receivedAt) / 1000))
  }

  /** Milliseconds past freshness; negative while fresh. */
  staleness(now: Millis): Millis {
    return now - (this.receivedAt + this.lifetime - this.initialAge)
  }

  /** Whether the origin allows stale use where nothing says otherwise (RFC 9111 §4.2.4). */
  get mayBeStale(): boolean {
    const { control } = this
    return !(
      control.mustRevalidate ||
      control.proxyRevalidate ||
      control.sMaxAge >= 0 ||
      control.noCache
    )
  }

  /** Milliseconds for which it may be used stale while it is revalidated (RFC 5861 §3). */
  staleWhileRevalidate(policyDefault: Millis): Millis {
    const { control } = this
    if (control.mustRevalidate || control.proxyRevalidate || control.noCache) return 0
    // s-maxage implies proxy-revalidate, but an origin that says both means this one.
    if (control.staleWhileRevalidate >= 0) return control.staleWhileRevalidate * 1000
    return this.mayBeStale ? policyDefault : 0
  }

  /** Milliseconds for which it may be used stale when the origin fails (RFC 5861 §4). */
  staleIfError(policyDefault: Millis): Millis {
    const { control } = this
    if (control.mustRevalidate || control.proxyRevalidate || control.noCache) return 0
    if (control.staleIfError >= 0) return control.staleIfError * 1000
    return this.mayBeStale ? policyDefault : 0
  }

  get hasValidator(): boolean {
    return this.etag !== undefined || this.lastModified !== undefined
  }

  /** 200 with the whole body: what conditions and ranges are answered from. */
  get isWhole(): boolean {
    return this.range === undefined && !NO_RANGE_STATUS.has(this.status)
  }

  /**
   * The reply for a fresh hit. Everything but the array of fields is shared between hits of one second:
   * Age and Cache-Status change no faster.
   */
  hit(now: Millis, format: StatusFormat, body: Body): Reply {
    this.#refresh(now, format)
    return { status: this.status, headers: this.#hitFields.slice(), body }
  }

  /** For the record; valid after `hit`. */
  hitStatus(now: Millis, format: StatusFormat): CacheStatus {
    this.#refresh(now, format)
    return this.#hitStatus
  }

  #refresh(now: Millis, format: StatusFormat): void {
    const age = this.age(now)
    if (age === this.#second) return
    this.#second = age
    const ttl = Math.floor(this.lifetime / 1000) - age
    const header = `${format.name}; hit; ttl=${ttl}`
    this.#hitStatus = { outcome: 'hit', reason: 'fresh', header }
    this.#hitFields = this.fields.slice()
    this.#hitFields.push('Age', String(age))
    if (format.header) this.#hitFields.push('Cache-Status', header)
  }

  /** Fields of a 304 made from it, without Age and Cache-Status. */
  notModifiedFields(): string[] {
    this.#notModified ??= notModifiedFields(this.fields)
    return this.#notModified
  }

  /** The same response with other parts. */
  with(change: Partial<StoredInit>): StoredResponse {
    const other = new StoredResponse({
      ...recordOf(this),
      body: this.body,
      source: this.source,
      ...change,
    })
    // The same bytes: what they are in a coding stays true.
    if (other.body === this.body) other.#codings = this.#codings
    other.keeper = this.keeper
    return other
  }
}

/** Everything of a stored response but its body, as tiers outside the process write it: JSON. */
export type StoredRecord = Omit<StoredInit, 'body' | 'source'>

/** The fields alone: what a `StoredResponse` memoises about itself stays behind. */
export function recordOf(stored: StoredInit): StoredRecord {
  const { key, url, status, fields, vary, signature, language, control, lifetime } = stored
  const { initialAge, receivedAt, receivedWall, date, etag, lastModified, lastModifiedAt } = stored
  const { fetchTook, stamp, epochNames, range } = stored
  return {
    key,
    url,
    status,
    fields,
    vary,
    signature,
    language,
    control,
    lifetime,
    initialAge,
    receivedAt,
    receivedWall,
    date,
    etag,
    lastModified,
    lastModifiedAt,
    fetchTook,
    stamp,
    epochNames,
    range,
  }
}

/**
 * A stored response from a record that another process or isolate wrote as JSON.
 * Its monotonic time means nothing here: the age is taken from the wall clock.
 */
export function revive(
  record: StoredRecord,
  body: Pick<StoredInit, 'body' | 'source'>,
  clock: Clock,
): StoredResponse {
  const resident = Math.max(0, clock.now() - record.receivedWall)
  return new StoredResponse({
    ...record,
    ...body,
    // JSON has no NaN.
    lastModifiedAt: record.lastModifiedAt ?? Number.NaN,
    receivedAt: clock.monotonic() - resident,
  })
}

/**
 * What an entry costs, with what V8 adds to it: the object, its Cache-Control and memo, two arrays of
 * fields, a header per string, the key in the table. Measured by `bench/cache-memory.mjs`.
 */
function costOf(init: StoredInit): number {
  let bytes = 1850 + (init.body?.byteLength ?? 0) + init.key.length * 2 + init.url.length
  for (const part of init.fields) bytes += 32 + part.length
  for (const name of init.epochNames) bytes += 40 + name.length
  // Growth of the process is this much above the live heap: room that the collector keeps.
  return Math.ceil((bytes + init.signature.length) * 1.07)
}
