/**
 * The reserve: a bucket as the last tier of the cache, for responses that are large and live long enough to
 * be worth a write. One object for each key, with a checksum over all of it; writes are conditional, since
 * other isolates write too. What was purged, has expired or is damaged is a miss, and deleted when met. A
 * bucket that is slow costs a lookup its time limit, and after a few of them nothing until it is tried again.
 */
import type { StoredResponse } from '../../cache/policy/stored-response.ts'
import type { ResponseCache } from '../../cache/response-cache.ts'
import {
  type CacheStore,
  replaces,
  type StoredVariants,
  withResponse,
} from '../../cache/store/cache-store.ts'
import type { ReserveConfig } from '../../config/sections/cache.ts'
import type { Millis } from '../../exchange.ts'
import { sha256 } from '../../expression/sha256.ts'
import { encodeHex, utf8 } from '../../iam/encoding.ts'
import type { Clock, Logger } from '../../ports.ts'
import type { BucketObject, ObjectBucket } from './bindings.ts'
import { fitting, isSame, pack, unpack } from './packed-variants.ts'

export type ReserveLookup =
  | 'found'
  | 'nothing'
  | 'purged'
  | 'expired'
  | 'damaged'
  | 'busy'
  | 'failed'
  | 'unavailable'
export type ReserveWrite =
  | 'written'
  | 'known'
  | 'unfit'
  | 'busy'
  | 'conflict'
  | 'failed'
  | 'unavailable'

export interface ReserveOptions {
  readonly bucket: ObjectBucket
  readonly clock: Clock
  readonly log: Logger
  /** Keeps a write alive behind the answer. */
  readonly keepAlive: (work: Promise<unknown>) => void
}

/** What is known once the gateway has been made. */
export interface ReserveSurroundings {
  readonly cache: Pick<ResponseCache, 'epochs'> | undefined
  readonly config: ReserveConfig
  /** False while purges of others may be unheard of: then nothing is given. */
  readonly hasPurges: () => boolean
  /** What keys of a URL begin with; for unsafe requests, whose URL is deleted. */
  readonly keyPrefixes: () => readonly string[]
  readonly observe: { looked(outcome: ReserveLookup): void; wrote(outcome: ReserveWrite): void }
}

const PREFIX = 'cache/v1/'
const MAGIC = utf8('MRV1')
/** Magic and SHA-256 in front of what is packed. */
const ROOM = 4 + 32
/** Entries are read and written whole. */
const MOST_ENTRY_BYTES = 16 * 1024 * 1024
/** Bytes on their way in both directions; an isolate has 128 MB for everything. */
const MOST_MOVING_BYTES = 24 * 1024 * 1024
const MOST_VARIANTS = 16
const MAX_KEY = 4096
const LOOKUP_MS = 2000
const WRITE_MS = 15_000
/** Longer than any call: what is still counted then belonged to a request that the platform has ended. */
const FORGOTTEN_MS = 30_000
const MOST_FAILURES = 3
const PAUSE_MS = 30_000
const TRIES = 3
/** Keys that a lookup has just not found; nothing need be deleted there. */
const MOST_ABSENT = 1000
const ABSENT_MS = 60_000
/** Purges are remembered for longer than this. */
const OLDEST_MS = 365 * 86_400_000

export class ReserveStore implements CacheStore {
  readonly name = 'reserve'
  readonly #options: ReserveOptions
  #around: ReserveSurroundings | undefined
  #moving: { bytes: number; at: Millis }[] = []
  readonly #absent = new Map<string, Millis>()
  #failures = 0
  #pausedUntil: Millis = 0
  #isAway = false

  constructor(options: ReserveOptions) {
    this.#options = options
  }

  /** Until then it has nothing and takes nothing. */
  attach(around: ReserveSurroundings): void {
    this.#around = around
    around.cache?.epochs.onPurge((name, soft, _at, isOwn) => {
      if (isOwn && !soft && name.startsWith('url:')) this.#forgetUrl(name.slice(4))
    })
  }

  /** Whether the bucket is left alone for a while. */
  get isAway(): boolean {
    return this.#isAway
  }

  async lookup(key: string): Promise<StoredVariants | undefined> {
    const around = this.#around
    if (around === undefined || key.length > MAX_KEY) return undefined
    if (!around.hasPurges() || !this.#mayTry()) {
      around.observe.looked('unavailable')
      return undefined
    }
    try {
      const { outcome, responses } = await this.#inTime(LOOKUP_MS, this.#find(key, around))
      this.#succeeded()
      around.observe.looked(outcome)
      return outcome === 'found' ? { key, responses } : undefined
    } catch (error) {
      this.#failed(error)
      around.observe.looked('failed')
      return undefined
    }
  }

  put(response: StoredResponse, maxVariants: number): Promise<void> {
    return this.#behind(async (around) => {
      const most = Math.min(maxVariants, MOST_VARIANTS)
      if (response.key.length > MAX_KEY) return 'unfit'
      if (!this.#isFit(response, around.config)) {
        // What is there of the same name is older: it must not come back.
        const lookedAt = this.#absent.get(response.key) ?? Number.NEGATIVE_INFINITY
        if (this.#options.clock.monotonic() - lookedAt > ABSENT_MS) {
          await this.#options.bucket.delete(nameOf(response.key))
        }
        return 'unfit'
      }
      return this.#change(response.key, around, (before) =>
        before.some((other) => this.#isAsGood(other, response, around))
          ? undefined
          : withResponse(before, response, most),
      )
    })
  }

  remove(key: string, response?: StoredResponse): Promise<void> {
    return this.#behind(async (around) => {
      if (response === undefined) {
        await this.#options.bucket.delete(nameOf(key))
        return undefined
      }
      await this.#change(key, around, (before) => {
        const rest = before.filter((other) => !isSame(other, response))
        return rest.length === before.length ? undefined : rest
      })
      return undefined
    })
  }

  /** Everything of every isolate. */
  async clear(): Promise<void> {
    const { bucket } = this.#options
    for (;;) {
      const { objects, truncated } = await bucket.list({ prefix: PREFIX })
      if (objects.length > 0) await bucket.delete(objects.map((object) => object.key))
      if (!truncated) return
    }
  }

  async #find(
    key: string,
    around: ReserveSurroundings,
  ): Promise<{ outcome: ReserveLookup; responses: StoredResponse[] }> {
    const object = await this.#options.bucket.get(nameOf(key))
    if (object === null) {
      if (this.#absent.size >= MOST_ABSENT) this.#absent.clear()
      this.#absent.set(key, this.#options.clock.monotonic())
      return { outcome: 'nothing', responses: [] }
    }
    this.#absent.delete(key)
    const all = await this.#open(key, object)
    if (all === 'busy') return { outcome: 'busy', responses: [] }
    const responses = all === 'damaged' ? [] : this.#alive(all, around)
    if (responses.length > 0) return { outcome: 'found', responses }
    void this.remove(key)
    if (all === 'damaged') return { outcome: 'damaged', responses }
    const isPurged = all.some((response) => this.#isPurged(response, around))
    return { outcome: isPurged ? 'purged' : 'expired', responses }
  }

  /** Reads an object whole, if there is room for it and it is, to the byte, what was written for the key. */
  async #open(key: string, object: BucketObject): Promise<StoredResponse[] | 'busy' | 'damaged'> {
    const tooLarge = object.size > 2 * MOST_ENTRY_BYTES
    const release = tooLarge ? undefined : this.#room(object.size)
    if (release === undefined) {
      await object.body.cancel()
      return tooLarge ? 'damaged' : 'busy'
    }
    try {
      const bytes = new Uint8Array(await object.arrayBuffer())
      const packed = bytes.subarray(ROOM)
      const sum = await digest(packed)
      if (bytes.byteLength < ROOM || !isAlike(bytes, MAGIC, 0) || !isAlike(bytes, sum, 4)) {
        return 'damaged'
      }
      try {
        return unpack(packed, key, this.#options.clock)
      } catch {
        return 'damaged'
      }
    } finally {
      release()
    }
  }

  /** @param edit undefined when there is nothing to change */
  async #change(
    key: string,
    around: ReserveSurroundings,
    edit: (before: readonly StoredResponse[]) => StoredResponse[] | undefined,
  ): Promise<ReserveWrite> {
    const { bucket } = this.#options
    const name = nameOf(key)
    for (let i = 0; i < TRIES; i++) {
      const object = await bucket.get(name)
      const opened = object === null ? [] : await this.#open(key, object)
      if (opened === 'busy') return 'busy'
      const after = edit(opened === 'damaged' ? [] : this.#alive(opened, around))
      if (after === undefined) return 'known'
      if (after.length === 0) {
        await bucket.delete(name)
        return 'written'
      }
      const bytes = pack(fitting(after, MOST_ENTRY_BYTES), ROOM)
      const release = this.#room(bytes.byteLength)
      if (release === undefined) return 'busy'
      try {
        bytes.set(MAGIC)
        bytes.set(await digest(bytes.subarray(ROOM)), 4)
        // Another isolate may have written since: then what it wrote is read again.
        const onlyIf = object === null ? { etagDoesNotMatch: '*' } : { etagMatches: object.etag }
        this.#absent.delete(key)
        if ((await bucket.put(name, bytes, { onlyIf })) !== null) return 'written'
      } finally {
        release()
      }
    }
    return 'conflict'
  }

  /** Work behind the answer, which never rejects. */
  #behind(work: (around: ReserveSurroundings) => Promise<ReserveWrite | undefined>): Promise<void> {
    const around = this.#around
    if (around === undefined) return Promise.resolve()
    if (!this.#mayTry()) {
      around.observe.wrote('unavailable')
      return Promise.resolve()
    }
    const done = this.#inTime(WRITE_MS, work(around)).then(
      (outcome) => {
        this.#succeeded()
        if (outcome !== undefined) around.observe.wrote(outcome)
      },
      (error: unknown) => {
        this.#failed(error)
        around.observe.wrote('failed')
      },
    )
    this.#options.keepAlive(done)
    return done
  }

  #isFit(response: StoredResponse, config: ReserveConfig): boolean {
    const length = response.body?.byteLength ?? 0
    if (response.source !== undefined || length < config.minObject || length > config.maxObject) {
      return false
    }
    const left = -response.staleness(this.#options.clock.monotonic())
    return left + staleWindow(response) >= config.minLifetime
  }

  /** The same bytes are there, and will be for nearly as long: a write would gain nothing. */
  #isAsGood(other: StoredResponse, response: StoredResponse, around: ReserveSurroundings): boolean {
    if (!replaces(response, other) || other.bodyLength !== response.bodyLength) return false
    if (!response.hasValidator || lastingFields(response) !== lastingFields(other)) return false
    const { epochs } = around.cache ?? {}
    if (epochs !== undefined && epochs.verdict(other.epochNames, other.stamp) !== 'live')
      return false
    return response.freshUntil - other.freshUntil < response.lifetime / 2
  }

  #alive(responses: readonly StoredResponse[], around: ReserveSurroundings): StoredResponse[] {
    const { clock } = this.#options
    const now = clock.monotonic()
    return responses.filter(
      (response) =>
        !this.#isPurged(response, around) &&
        response.staleness(now) <= staleWindow(response) + around.config.keep &&
        clock.now() - response.stamp < OLDEST_MS,
    )
  }

  #isPurged({ epochNames, stamp }: StoredResponse, { cache }: ReserveSurroundings): boolean {
    return cache?.epochs.verdict(epochNames, stamp) === 'hard'
  }

  /** An unsafe request was here: isolates that have not seen it would find what was stored before. */
  #forgetUrl(url: string): void {
    void this.#behind(async ({ keyPrefixes }) => {
      const names = new Set(keyPrefixes().map((prefix) => nameOf(prefix + url)))
      if (names.size > 0) await this.#options.bucket.delete([...names])
      return undefined
    })
  }

  /** Room for so many bytes, to be given back; undefined when there is none. */
  #room(bytes: number): (() => void) | undefined {
    const now = this.#options.clock.monotonic()
    this.#moving = this.#moving.filter(({ at }) => now - at < FORGOTTEN_MS)
    const sum = this.#moving.reduce((total, one) => total + one.bytes, bytes)
    // One alone always may.
    if (sum > MOST_MOVING_BYTES && this.#moving.length > 0) return undefined
    const one = { bytes, at: now }
    this.#moving.push(one)
    return () => {
      this.#moving = this.#moving.filter((other) => other !== one)
    }
  }

  async #inTime<T>(limit: Millis, work: Promise<T>): Promise<T> {
    let cancel = () => {}
    const late = new Promise<never>((_, reject) => {
      cancel = this.#options.clock.after(limit, () =>
        reject(new Error(`no answer within ${limit} ms`)),
      )
    })
    try {
      return await Promise.race([work, late])
    } finally {
      cancel()
    }
  }

  /** While the bucket fails, one call in every pause. */
  #mayTry(): boolean {
    const now = this.#options.clock.monotonic()
    if (now < this.#pausedUntil) return false
    if (this.#failures >= MOST_FAILURES) this.#pausedUntil = now + PAUSE_MS
    return true
  }

  #succeeded(): void {
    this.#failures = 0
    this.#pausedUntil = 0
    if (!this.#isAway) return
    this.#isAway = false
    this.#options.log.info('the reserve of the cache answers again')
  }

  #failed(error: unknown): void {
    const { clock, log } = this.#options
    this.#failures++
    if (this.#failures >= MOST_FAILURES) this.#pausedUntil = clock.monotonic() + PAUSE_MS
    if (this.#isAway) return
    this.#isAway = true
    log.warn('the reserve of the cache does not answer: what only it has is fetched anew', {
      error: error instanceof Error ? error.message : String(error),
    })
  }
}

/** How long it may be used past its freshness, by its own fields. */
function staleWindow(response: StoredResponse): Millis {
  return Math.max(response.staleWhileRevalidate(0), response.staleIfError(0))
}

/** Without those that differ each time that an origin says the same; validators are among the rest. */
function lastingFields({ fields }: StoredResponse): string {
  let text = ''
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]?.toLowerCase()
    if (name !== 'date' && name !== 'expires') text += `${name}: ${fields[i + 1]}\n`
  }
  return text
}

function nameOf(key: string): string {
  return PREFIX + encodeHex(sha256(utf8(key)))
}

async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
}

function isAlike(bytes: Uint8Array, part: Uint8Array, at: number): boolean {
  return part.every((byte, i) => bytes[at + i] === byte)
}
