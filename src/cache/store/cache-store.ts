/** Where stored responses are kept. Memory answers at once, other tiers with a promise. */
import type { ByteSink } from '../../exchange.ts'
import type { StoredResponse } from '../policy/stored-response.ts'

/** All variants of one key, newest first. */
export interface StoredVariants {
  readonly key: string
  readonly responses: readonly StoredResponse[]
}

export interface StoreStats {
  readonly entries: number
  readonly bytes: number
  readonly capacity: number
  readonly evicted: number
  readonly rejected: number
}

export interface CacheStore {
  readonly name: string
  lookup(key: string): StoredVariants | undefined | Promise<StoredVariants | undefined>
  /** Keeps it, in place of a stored response of the same key, signature and span. */
  put(response: StoredResponse, maxVariants: number): void | Promise<void>
  /** Takes out one response, or with `response` left out all of the key. */
  remove(key: string, response?: StoredResponse): void | Promise<void>
  clear(): void | Promise<void>
  /** Absent where only a server knows, which other processes share. */
  stats?(): StoreStats
  /** Whether other processes write to it: it may have a fresher response than memory. */
  readonly isShared?: boolean
  /** Where it stands for several, the nearest first. */
  readonly tiers?: readonly CacheStore[]
  /** The largest body that a writer takes; 0 or absent when there is none. */
  readonly maxObject?: number
  /**
   * Takes a body while it arrives; `response` has none yet, and its length is known.
   * @param resume called when the writer can take more after `write` said false
   * @returns undefined when it is not to be kept
   */
  writer?(response: StoredResponse, length: number, resume: () => void): ByteSink | undefined
}

/** The variants of a key after `response` was added: newest first, the same variant replaced. */
export function withResponse(
  responses: readonly StoredResponse[],
  response: StoredResponse,
  maxVariants: number,
): StoredResponse[] {
  const kept = [response]
  for (const other of responses) {
    if (kept.length === maxVariants) break
    if (!replaces(response, other)) kept.push(other)
  }
  return kept
}

/** Whether keeping `response` makes `other` needless: the same variant, or a part of it. */
export function replaces(response: StoredResponse, other: StoredResponse): boolean {
  if (other === response || other.signature !== response.signature) return other === response
  if (response.vary.length !== other.vary.length) return false
  if (response.vary.some((name, i) => name !== other.vary[i])) return false
  const span = response.range
  // A whole replaces every part; parts replace each other when they are the same span.
  if (span === undefined) return true
  return other.range?.first === span.first && other.range.last === span.last
}
