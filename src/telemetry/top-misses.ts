/**
 * What the cache misses most: by route, shape of the path, and reason. Fixed memory by Space-Saving (Metwally et
 * al., 2005): when the table is full the least counted gives way, and its successor inherits its count as the error.
 * Whatever is missed more often than one in `capacity` times is in it.
 */
import type { RequestRecord } from './record.ts'

export interface TopMiss {
  readonly route: string
  /** Segments with digits as `*`: `/products/*`. */
  readonly path: string
  /** Of the outcomes miss, bypass and pass. */
  readonly outcome: string
  readonly reason: string
  readonly count: number
  /** By how much the count may be too high. */
  readonly error: number
}

interface Counter {
  readonly miss: Pick<TopMiss, 'route' | 'path' | 'outcome' | 'reason'>
  count: number
  error: number
}

const CAPACITY = 128
const MISSED: ReadonlySet<string> = new Set(['miss', 'bypass', 'pass'])
const WITH_DIGIT = /\/[^/\d]*\d[^/]*/g
const MAX_PATH = 128

export class TopMisses {
  readonly #capacity: number
  readonly #counters = new Map<string, Counter>()

  constructor(capacity = CAPACITY) {
    this.#capacity = capacity
  }

  add({ cache, cacheReason, route, path }: RequestRecord): void {
    if (!MISSED.has(cache)) return
    const shape = path.slice(0, MAX_PATH).replace(WITH_DIGIT, '/*')
    const key = `${route} ${cache} ${cacheReason} ${shape}`
    const known = this.#counters.get(key)
    if (known !== undefined) {
      known.count++
      return
    }
    let error = 0
    if (this.#counters.size >= this.#capacity) error = this.#evict()
    const miss = { route, path: shape, outcome: cache, reason: cacheReason }
    this.#counters.set(key, { miss, count: error + 1, error })
  }

  #evict(): number {
    let least = Number.POSITIVE_INFINITY
    let victim = ''
    for (const [key, { count }] of this.#counters) {
      if (count >= least) continue
      least = count
      victim = key
      if (least === 1) break
    }
    this.#counters.delete(victim)
    return least
  }

  /** Most missed first. */
  list(limit: number): TopMiss[] {
    return [...this.#counters.values()]
      .sort((a, b) => b.count - a.count)
      .slice(0, limit)
      .map(({ miss, count, error }) => ({ ...miss, count, error }))
  }
}

/** Of several processes: counts of the same are added up. */
export function mergeTopMisses(lists: readonly (readonly TopMiss[])[], limit: number): TopMiss[] {
  const sums = new Map<string, TopMiss>()
  for (const one of lists.flat()) {
    const key = `${one.route} ${one.outcome} ${one.reason} ${one.path}`
    const known = sums.get(key)
    sums.set(
      key,
      known === undefined
        ? one
        : { ...one, count: known.count + one.count, error: known.error + one.error },
    )
  }
  return [...sums.values()].sort((a, b) => b.count - a.count).slice(0, limit)
}
