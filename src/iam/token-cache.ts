/**
 * Tokens that were verified, so that a caller's next request costs a look-up instead of a signature.
 *
 * The key is the whole token, as text. A digest would keep tokens out of a memory dump, but Web Crypto
 * digests only asynchronously, which would make a promise of every request, and one written in JavaScript
 * costs several times this look-up; anything shorter than a collision-resistant digest of the whole token
 * lets one identity pass for another. Bounded by count and by bytes; what is older than `maxAgeMs`,
 * expired or signed by a key that its issuer withdrew does not count.
 */
import { LRUCache } from 'lru-cache'
import type { Millis, Principal, Seconds } from '../exchange.ts'
import type { RevocationMark } from './revocation.ts'
import type { Verified } from './verify.ts'

export interface KnownToken extends Verified {
  readonly principal: Principal
  readonly audiences: readonly string[] | undefined
  readonly expiresAt: Seconds
  readonly notBefore: Seconds
  /** Monotonic. */
  readonly verifiedAt: Millis
  /** Version of the issuer's keys when the key was last seen in them. */
  keysVersion: number
  readonly revocation: RevocationMark
}

export interface TokenCacheOptions {
  readonly tokens: number
  readonly bytes: number
  readonly maxAgeMs: Millis
}

/** What an entry takes besides the token's text: claims, principal and the map's own. */
const ENTRY_BYTES = 512

export class TokenCache {
  hits = 0
  misses = 0
  readonly #entries: LRUCache<string, KnownToken>
  readonly #maxAgeMs: Millis

  constructor(options: TokenCacheOptions) {
    this.#maxAgeMs = options.maxAgeMs
    this.#entries = new LRUCache({
      max: options.tokens,
      maxSize: options.bytes,
      // The text is held once and its claims again in parts.
      sizeCalculation: (_known, token) => ENTRY_BYTES + 3 * token.length,
    })
  }

  get size(): number {
    return this.#entries.size
  }

  /** @param now monotonic */
  get(token: string, now: Millis): KnownToken | undefined {
    const known = this.#entries.get(token)
    if (known === undefined || now - known.verifiedAt >= this.#maxAgeMs) {
      this.misses++
      return undefined
    }
    const { keys } = known.issuer
    if (known.keysVersion !== keys.version) {
      if (!keys.has(known.key)) {
        this.#entries.delete(token)
        this.misses++
        return undefined
      }
      known.keysVersion = keys.version
    }
    this.hits++
    return known
  }

  set(token: string, known: KnownToken): void {
    this.#entries.set(token, known)
  }

  delete(token: string): void {
    this.#entries.delete(token)
  }
}
