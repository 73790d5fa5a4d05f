/**
 * Memory: two lru-cache containers. What is new enters the window; what the window pushes out enters the
 * main part only if it was asked for more often, byte for byte, than what would have to go (TinyLFU,
 * with size in the scale as GDSF has it). Scans and one-hit wonders pass through the window.
 *
 * lru-cache's own expiry and fetch are not used: a stale entry is still worth validating.
 */
import { LRUCache } from 'lru-cache'
import type { CodingsKeeper, StoredResponse } from '../policy/stored-response.ts'
import type { BodyCodings } from './body-codings.ts'
import {
  type CacheStore,
  type StoredVariants,
  type StoreStats,
  withResponse,
} from './cache-store.ts'
import { FrequencySketch, hashKey } from './frequency-sketch.ts'

export interface MemoryStoreOptions {
  readonly capacityBytes: number
  readonly admission: 'tinylfu' | 'lru'
  /** Part of the capacity that new entries have to themselves. */
  readonly windowFraction?: number
}

/** How many are compared to find who leaves. */
const SAMPLE = 16

class Node implements StoredVariants {
  readonly key: string
  readonly hash: number
  readonly responses: readonly StoredResponse[]
  readonly size: number
  constructor(key: string, hash: number, responses: readonly StoredResponse[]) {
    this.key = key
    this.hash = hash
    this.responses = responses
    let size = 0
    for (const response of responses) size += response.size
    this.size = size
  }
}

export class MemoryStore implements CacheStore, CodingsKeeper {
  readonly name = 'memory'
  readonly #capacity: number
  readonly #window: LRUCache<string, Node>
  readonly #main: LRUCache<string, Node> | undefined
  readonly #sketch: FrequencySketch | undefined
  /** Pushed out of the window, waiting for admission: `dispose` must not touch the caches. */
  readonly #candidates: Node[] = []
  #evicted = 0
  #rejected = 0

  constructor(options: MemoryStoreOptions) {
    this.#capacity = options.capacityBytes
    const isTiny = options.admission === 'tinylfu'
    const windowBytes = isTiny
      ? Math.max(1, Math.floor(options.capacityBytes * (options.windowFraction ?? 0.1)))
      : options.capacityBytes
    this.#window = new LRUCache({
      maxSize: windowBytes,
      sizeCalculation: (node) => node.size,
      dispose: (node, _key, reason) => {
        if (reason === 'evict') this.#candidates.push(node)
      },
      // An entry larger than the window still deserves a comparison with the main part.
      maxEntrySize: options.capacityBytes,
    })
    if (isTiny) {
      this.#main = new LRUCache({
        maxSize: Math.max(1, options.capacityBytes - windowBytes),
        sizeCalculation: (node) => node.size,
      })
      this.#sketch = new FrequencySketch(Math.max(1024, Math.floor(options.capacityBytes / 8192)))
    }
  }

  lookup(key: string): StoredVariants | undefined {
    const node = this.#window.get(key) ?? this.#main?.get(key)
    if (this.#sketch !== undefined) this.#sketch.add(node === undefined ? hashKey(key) : node.hash)
    return node
  }

  /** Without counting it as a use. */
  peek(key: string): StoredVariants | undefined {
    return this.#window.peek(key) ?? this.#main?.peek(key)
  }

  /** All that is stored, for people who ask; not counted as uses. */
  *responses(): Generator<StoredResponse> {
    for (const node of this.#window.values()) yield* node.responses
    if (this.#main !== undefined) for (const node of this.#main.values()) yield* node.responses
  }

  put(response: StoredResponse, maxVariants: number): void {
    const { key } = response
    response.keeper = this
    const inMain = this.#main?.peek(key)
    const old = inMain ?? this.#window.peek(key)
    const hash = (old as Node | undefined)?.hash ?? hashKey(key)
    this.#set(
      new Node(key, hash, withResponse(old?.responses ?? [], response, maxVariants)),
      inMain !== undefined,
    )
  }

  keepCoding(key: string, codings: BodyCodings, cost: number): boolean {
    const inMain = this.#main?.peek(key)
    const node = inMain ?? this.#window.peek(key)
    if (node?.responses.some((stored) => stored.codings === codings) !== true) return false
    if (node.size + cost > (this.#main ?? this.#window).maxSize) return false
    codings.bytes += cost
    this.#set(new Node(key, node.hash, node.responses), inMain !== undefined)
    return true
  }

  remove(key: string, response?: StoredResponse): void {
    const inMain = this.#main?.peek(key)
    const node = inMain ?? this.#window.peek(key)
    if (node === undefined) return
    const rest =
      response === undefined ? [] : node.responses.filter((stored) => stored !== response)
    if (rest.length === node.responses.length) return
    if (rest.length > 0) {
      this.#set(new Node(key, node.hash, rest), inMain !== undefined)
      return
    }
    this.#window.delete(key)
    this.#main?.delete(key)
  }

  clear(): void {
    this.#window.clear()
    this.#main?.clear()
  }

  /** Frees memory down to `bytes`; for a governor that watches the process. */
  shrinkTo(bytes: number): void {
    while (this.bytes > bytes) {
      const from =
        this.#main !== undefined && this.#main.calculatedSize > 0 ? this.#main : this.#window
      if (from.pop() === undefined) return
      this.#evicted++
    }
    this.#candidates.length = 0
  }

  get bytes(): number {
    return this.#window.calculatedSize + (this.#main?.calculatedSize ?? 0)
  }

  stats(): StoreStats {
    return {
      entries: this.#window.size + (this.#main?.size ?? 0),
      bytes: this.bytes,
      capacity: this.#capacity,
      evicted: this.#evicted,
      rejected: this.#rejected,
    }
  }

  #set(node: Node, isMain: boolean): void {
    const main = this.#main
    if (main === undefined) {
      this.#window.set(node.key, node)
      this.#evicted += this.#candidates.length
      this.#candidates.length = 0
      return
    }
    if (isMain) {
      // Takes its place back with its new size; what it pushes out is the least recently used.
      const before = main.size
      if (node.size <= main.maxSize) main.set(node.key, node)
      else main.delete(node.key)
      this.#evicted += Math.max(0, before - main.size)
      return
    }
    if (node.size > this.#window.maxSize) {
      this.#window.delete(node.key)
      this.#admit(node, main)
    } else this.#window.set(node.key, node)
    for (let i = 0; i < this.#candidates.length; i++) this.#admit(this.#candidates[i] as Node, main)
    this.#candidates.length = 0
  }

  /** Lets a candidate in if it is worth more than what would have to leave. */
  #admit(candidate: Node, main: LRUCache<string, Node>): void {
    const { size } = candidate
    if (size > main.maxSize) {
      this.#rejected++
      return
    }
    let free = main.maxSize - main.calculatedSize
    if (free < size) {
      const worth = this.#worth(candidate)
      const victims = this.#leastWorth(main)
      let leaving = 0
      while (free < size) {
        const victim = victims[leaving]
        if (victim === undefined || this.#worth(victim) > worth) {
          this.#rejected++
          return
        }
        free += victim.size
        leaving++
      }
      for (let i = 0; i < leaving; i++) main.delete((victims[i] as Node).key)
      this.#evicted += leaving
    }
    main.set(candidate.key, candidate)
  }

  /** Some of those not used for longest, the least worth first. */
  #leastWorth(main: LRUCache<string, Node>): Node[] {
    const sample: Node[] = []
    for (const key of main.rkeys()) {
      sample.push(main.peek(key) as Node)
      if (sample.length === SAMPLE) break
    }
    return sample.sort((a, b) => this.#worth(a) - this.#worth(b))
  }

  /** Uses per byte. */
  #worth(node: Node): number {
    const uses = (this.#sketch as FrequencySketch).estimate(node.hash) + 0.5
    return uses / node.size
  }
}
