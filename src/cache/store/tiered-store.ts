/** Several slower tiers as one, the nearest first. */
import type { ByteSink } from '../../exchange.ts'
import type { StoredResponse } from '../policy/stored-response.ts'
import type { CacheStore, StoredVariants } from './cache-store.ts'

/** @returns undefined for no tier, the tier itself for one */
export function joinTiers(tiers: readonly CacheStore[]): CacheStore | undefined {
  return tiers.length < 2 ? tiers[0] : new TieredStore(tiers)
}

class TieredStore implements CacheStore {
  readonly name: string
  readonly maxObject: number
  readonly tiers: readonly CacheStore[]

  constructor(tiers: readonly CacheStore[]) {
    this.tiers = tiers
    this.name = tiers.map(({ name }) => name).join('+')
    this.maxObject = Math.max(...tiers.map((tier) => tier.maxObject ?? 0))
  }

  /** From the nearest that has it; those before it take it over. */
  async lookup(key: string): Promise<StoredVariants | undefined> {
    for (const [at, tier] of this.tiers.entries()) {
      const found = await tier.lookup(key)
      if (found === undefined) continue
      for (const nearer of this.tiers.slice(0, at)) {
        // Oldest first, as they would have come.
        for (const response of [...found.responses].reverse()) {
          void nearer.put(response, found.responses.length)
        }
      }
      return found
    }
    return undefined
  }

  async put(response: StoredResponse, maxVariants: number): Promise<void> {
    await Promise.all(this.tiers.map((tier) => tier.put(response, maxVariants)))
  }

  async remove(key: string, response?: StoredResponse): Promise<void> {
    await Promise.all(this.tiers.map((tier) => tier.remove(key, response)))
  }

  async clear(): Promise<void> {
    await Promise.all(this.tiers.map((tier) => tier.clear()))
  }

  writer(response: StoredResponse, length: number, resume: () => void): ByteSink | undefined {
    for (const tier of this.tiers) {
      const writer = tier.writer?.(response, length, resume)
      if (writer !== undefined) return writer
    }
    return undefined
  }
}
