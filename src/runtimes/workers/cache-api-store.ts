/**
 * The Cache API as a byte store under the isolate's memory: one entry for each key of the gateway, with all
 * its variants. Vary, freshness and revalidation stay the gateway's, since the platform ignores the first
 * and knows only part of the others.
 */
import type { StoredResponse } from '../../cache/policy/stored-response.ts'
import {
  type CacheStore,
  type StoredVariants,
  type StoreStats,
  withResponse,
} from '../../cache/store/cache-store.ts'
import type { Millis } from '../../exchange.ts'
import type { Clock } from '../../ports.ts'
import { fitting, isSame, pack, unpack } from './packed-variants.ts'

/** What is used of `caches.default`. */
export interface ByteCache {
  match(url: string): Promise<Response | undefined>
  put(url: string, response: Response): Promise<void>
  delete(url: string): Promise<boolean>
}

export interface CacheApiStoreOptions {
  /** Asked for each time: there is no cache outside a request. */
  readonly cache: () => ByteCache | Promise<ByteCache>
  readonly clock: Clock
  /** Keeps a write alive behind the answer. */
  readonly keepAlive: (work: Promise<unknown>) => void
}

/** How long past its freshness a response is kept, to be validated or served stale, seconds. */
const KEEP_SECONDS = 86_400
/** The notice board remembers a purge for longer than this. */
const MOST_SECONDS = 365 * 86_400
/** A change that has not ended by then never will: its request was over, and the platform has stopped it. */
const STOPPED_MS = 5000
/** How long a reader waits for a change of its key. */
const READER_WAITS_MS = 250
/** Entries are read and written whole. */
const MAX_BYTES = 16 * 1024 * 1024
/** A key becomes a URL; a longer one is not worth it. */
const MAX_KEY = 4096

export class CacheApiStore implements CacheStore {
  readonly name = 'cache-api'
  readonly #options: CacheApiStoreOptions
  /** Changes of one key, one after the other: each reads what the one before has written. */
  readonly #changes = new Map<string, Promise<void>>()
  #rejected = 0

  constructor(options: CacheApiStoreOptions) {
    this.#options = options
  }

  async lookup(key: string): Promise<StoredVariants | undefined> {
    if (key.length > MAX_KEY) return undefined
    // What is there may just be taken out.
    const change = this.#changes.get(key)
    if (change !== undefined && !(await this.#ends(change, READER_WAITS_MS))) return undefined
    return this.#find(key)
  }

  async #find(key: string): Promise<StoredVariants | undefined> {
    try {
      const cache = await this.#options.cache()
      const found = await cache.match(urlOf(key))
      if (found === undefined) return undefined
      const responses = unpack(new Uint8Array(await found.arrayBuffer()), key, this.#options.clock)
      return responses.length === 0 ? undefined : { key, responses }
    } catch {
      // Damaged, or from another version: it is a miss.
      return undefined
    }
  }

  put(response: StoredResponse, maxVariants: number): Promise<void> {
    return this.#change(response.key, () => this.#put(response, maxVariants))
  }

  remove(key: string, response?: StoredResponse): Promise<void> {
    return this.#change(key, () => this.#remove(key, response))
  }

  #change(key: string, change: () => Promise<void>): Promise<void> {
    const before = this.#changes.get(key)
    const work =
      before === undefined ? change() : this.#ends(before, STOPPED_MS).then(() => change())
    this.#changes.set(key, work)
    const done = work.finally(() => {
      if (this.#changes.get(key) === work) this.#changes.delete(key)
    })
    this.#options.keepAlive(done)
    return done
  }

  /** Whether `change` ends within `patience`. */
  #ends(change: Promise<void>, patience: Millis): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(patience, () => resolve(false))
      const end = () => {
        cancel()
        resolve(true)
      }
      change.then(end, end)
    })
  }

  /** The platform cannot list what it has; purges of the gateway make it void. */
  clear(): void {}

  stats(): StoreStats {
    return { entries: 0, bytes: 0, capacity: 0, evicted: 0, rejected: this.#rejected }
  }

  async #put(response: StoredResponse, maxVariants: number): Promise<void> {
    const { key } = response
    if (key.length > MAX_KEY || response.source !== undefined) {
      this.#rejected++
      return
    }
    const others = await this.#find(key)
    await this.#write(key, withResponse(others?.responses ?? [], response, maxVariants))
  }

  async #remove(key: string, response: StoredResponse | undefined): Promise<void> {
    const others = response === undefined ? undefined : await this.#find(key)
    const rest = (others?.responses ?? []).filter((other) => !isSame(other, response))
    try {
      if (rest.length > 0) await this.#write(key, rest)
      else await (await this.#options.cache()).delete(urlOf(key))
    } catch {
      // It ends by its own lifetime.
    }
  }

  async #write(key: string, responses: readonly StoredResponse[]): Promise<void> {
    const now = this.#options.clock.monotonic()
    const kept = fitting(responses, MAX_BYTES)
    const fresh = kept.map((response) => Math.ceil(-response.staleness(now) / 1000))
    const seconds = Math.min(MOST_SECONDS, Math.max(0, ...fresh) + KEEP_SECONDS)
    const whole = pack(kept)
    try {
      const cache = await this.#options.cache()
      // Nothing of the stored response's own fields: the platform would act on Set-Cookie or Vary.
      await cache.put(
        urlOf(key),
        new Response(whole, {
          headers: {
            'cache-control': `public, max-age=${seconds}`,
            'content-type': 'application/octet-stream',
          },
        }),
      )
    } catch {
      this.#rejected++
    }
  }
}

function urlOf(key: string): string {
  return `https://cache.meridian.invalid/v1/${encodeURIComponent(key)}`
}
