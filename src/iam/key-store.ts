/**
 * The keys of one issuer, and how they are kept fresh. An issuer's outage must not become ours: the last
 * good set goes on serving, attempts are spaced by when they were made (not by when one last succeeded),
 * and an unknown key id cannot be used to make the gateway fetch.
 */
import type { Millis } from '../exchange.ts'
import type { Clock, KeySource, Random } from '../ports.ts'
import { type Key, type KeyProblem, KeySet, parseKeySet } from './key-set.ts'

export type KeyMiss = 'key_not_found' | 'keys_unavailable'

/** What verification asks: a key, or why there is none. */
export interface KeyStore {
  find(keyId: string | undefined, algorithm: string): Key | KeyMiss | Promise<Key | KeyMiss>
  /** Whether a token that was verified with this key may still be believed. */
  has(key: Key): boolean
  /** Changes with every accepted set. */
  readonly version: number
}

export class StaticKeys implements KeyStore {
  readonly version = 0
  readonly #set: KeySet

  constructor(set: KeySet) {
    this.#set = set
  }

  find(keyId: string | undefined, algorithm: string): Key | KeyMiss {
    return this.#set.find(keyId, algorithm) ?? 'key_not_found'
  }

  has(key: Key): boolean {
    return this.#set.has(key)
  }
}

export interface RemoteKeysOptions {
  readonly url: string
  /** Freshness when the answer does not say; its max-age counts within a minute and a day. */
  readonly ttlMs: Millis
  readonly maxStaleMs: Millis
  readonly cooldownMs: Millis
  readonly bootstrap?: KeySet | undefined
  readonly source: KeySource
  readonly clock: Clock
  readonly random: Random
  /** Hears of every attempt, for metrics and the log. */
  readonly onRefresh?:
    | ((outcome: 'accepted' | 'failed', detail: string, problems: readonly KeyProblem[]) => void)
    | undefined
}

const FETCH_TIMEOUT_MS = 5000
/** How long a request waits for the refresh that its unknown key id caused. */
const UNKNOWN_KEY_WAIT_MS = 1000
const MAX_BACKOFF_MS = 60_000
const MIN_TTL_MS = 60_000
const MAX_TTL_MS = 86_400_000

export class RemoteKeys implements KeyStore {
  version = 0
  readonly #options: RemoteKeysOptions
  #set: KeySet | undefined
  /** When the set ought to be fetched anew, and when it is no longer fresh. */
  #refreshAt: Millis
  #freshUntil: Millis
  #lastAttempt = Number.NEGATIVE_INFINITY
  #failures = 0
  #pending: Promise<void> | undefined

  constructor(options: RemoteKeysOptions) {
    this.#options = options
    const now = options.clock.monotonic()
    this.#set = options.bootstrap
    // A bootstrap file is as good as a stale set: refreshed at once, served for `maxStale`.
    this.#refreshAt = now
    this.#freshUntil = now
  }

  /** Seconds for Retry-After while there are no keys. */
  get retryAfterSeconds(): number {
    const wait = this.#nextAttempt() - this.#options.clock.monotonic()
    return Math.max(1, Math.ceil(wait / 1000))
  }

  has(key: Key): boolean {
    return this.#set?.has(key) ?? false
  }

  find(keyId: string | undefined, algorithm: string): Key | KeyMiss | Promise<Key | KeyMiss> {
    const { clock, maxStaleMs, cooldownMs } = this.#options
    const now = clock.monotonic()
    const isUsable = this.#set !== undefined && now < this.#freshUntil + maxStaleMs
    if (!isUsable) {
      if (this.#pending === undefined && now >= this.#nextAttempt()) this.#start(now)
      return this.#afterRefresh(keyId, algorithm, FETCH_TIMEOUT_MS)
    }
    if (now >= this.#refreshAt && this.#pending === undefined && now >= this.#nextAttempt()) {
      this.#start(now)
    }
    const key = this.#set?.find(keyId, algorithm)
    if (key !== undefined) return key
    // A token without a key id is not helped by a fetch, unless the set is due for one anyway.
    if (this.#pending === undefined && keyId !== undefined) {
      if (now - this.#lastAttempt >= cooldownMs && now >= this.#nextAttempt()) this.#start(now)
    }
    return this.#afterRefresh(keyId, algorithm, UNKNOWN_KEY_WAIT_MS)
  }

  #afterRefresh(
    keyId: string | undefined,
    algorithm: string,
    waitMs: Millis,
  ): KeyMiss | Promise<Key | KeyMiss> {
    if (this.#pending === undefined) return this.#miss()
    return this.#within(this.#pending, waitMs).then(
      () => this.#usable()?.find(keyId, algorithm) ?? this.#miss(),
    )
  }

  #usable(): KeySet | undefined {
    const { clock, maxStaleMs } = this.#options
    return clock.monotonic() < this.#freshUntil + maxStaleMs ? this.#set : undefined
  }

  /** A key is known not to exist only when the issuer could be asked. */
  #miss(): KeyMiss {
    const couldAsk = this.#failures === 0 && this.#pending === undefined
    return couldAsk && this.#usable() !== undefined ? 'key_not_found' : 'keys_unavailable'
  }

  #nextAttempt(): Millis {
    if (this.#failures === 0) return Number.NEGATIVE_INFINITY
    const backoff = Math.min(MAX_BACKOFF_MS, 1000 * 2 ** (this.#failures - 1))
    return this.#lastAttempt + backoff
  }

  #start(now: Millis): void {
    this.#lastAttempt = now
    this.#pending = this.#refresh().finally(() => {
      this.#pending = undefined
    })
  }

  async #refresh(): Promise<void> {
    const { source, clock, random, url, onRefresh } = this.#options
    let detail = 'no answer in time'
    let problems: readonly KeyProblem[] = []
    try {
      const answer = await this.#within(
        source.fetch(url, { headers: { accept: 'application/jwk-set+json, application/json' } }),
        FETCH_TIMEOUT_MS,
      )
      if (answer !== undefined) {
        detail = `status ${answer.status}`
        const parsed = answer.status === 200 ? parseKeySet(answer.body) : undefined
        if (answer.status === 200) detail = 'not a key set'
        if (parsed !== undefined) {
          problems = parsed.problems
          detail = 'no usable key'
          const keys = await usableKeys(parsed.set)
          if (keys.length > 0) {
            const now = clock.monotonic()
            const ttl = freshness(answer.headers, this.#options.ttlMs)
            this.#set = new KeySet(keys)
            this.version++
            this.#failures = 0
            this.#freshUntil = now + ttl
            this.#refreshAt = now + ttl * (0.7 + 0.2 * random.next())
            onRefresh?.('accepted', `${keys.length} keys`, problems)
            return
          }
        }
      }
    } catch (error) {
      detail = error instanceof Error ? error.message : 'failed'
    }
    this.#failures++
    onRefresh?.('failed', detail, problems)
  }

  /** The promise's value, or undefined when it takes longer than `ms`. */
  #within<T>(promise: Promise<T>, ms: Millis): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const cancel = this.#options.clock.after(ms, () => resolve(undefined))
      promise.then(
        (value) => {
          cancel()
          resolve(value)
        },
        (error) => {
          cancel()
          reject(error)
        },
      )
    })
  }
}

/** Keys that Web Crypto takes; a point off its curve is found here. */
async function usableKeys(set: KeySet): Promise<Key[]> {
  const keys: Key[] = []
  for (const key of set.keys) {
    const imported = await key.import(key.algorithms[0] as string)
    if (imported !== undefined) keys.push(key)
  }
  return keys
}

/** RFC 9111 §5.2.2.1, within a minute and a day. */
function freshness(headers: Readonly<Record<string, string>>, fallback: Millis): Millis {
  const control = headers['cache-control'] ?? headers['Cache-Control']
  const match = control === undefined ? null : /(?:^|[\s,])max-age="?([0-9]{1,9})/i.exec(control)
  const ttl = match === null ? fallback : Number(match[1]) * 1000
  return Math.min(MAX_TTL_MS, Math.max(MIN_TTL_MS, ttl))
}
