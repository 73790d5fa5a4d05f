/**
 * The prefilter: one pass over a text tells which patterns can match it at all. Mandatory literals go into
 * one Aho-Corasick automaton (Aho & Corasick 1975) over case-folded byte classes; mandatory bytes are
 * 256-bit sets; and there is the least length. On benign traffic over nine of ten evaluations end here.
 */
import { type ByteSet, intersects } from './byte-set.ts'
import type { Needs } from './needs.ts'
import type { TextNode } from './values.ts'

/** Literals are cut to this many bytes: longer ones cost states and select little more. */
const LITERAL_BYTES = 6

export class ScannerBuilder {
  readonly #needs: Needs[] = []
  readonly #known = new Map<string, number>()

  /** @returns the pattern's bit */
  add(key: string, needs: () => Needs): number {
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const bit = this.#needs.length
    this.#needs.push(needs())
    this.#known.set(key, bit)
    return bit
  }

  build(): Scanner {
    return new Scanner(this.#needs)
  }
}

export class Scanner {
  /** Words of 32 patterns each. */
  readonly words: number
  readonly states: number
  readonly #needs: readonly Needs[]
  /** Byte to column. */
  readonly #classOf: Uint8Array
  readonly #classes: number
  readonly #next: Uint16Array | Uint32Array
  /** By state: index into #hits, 0 for none; lists end in -1. */
  readonly #hitsAt: Int32Array
  readonly #hits: Int32Array
  /** Patterns that need no literal. */
  readonly #unconditional: Uint32Array
  readonly #present = new Uint32Array(8)

  constructor(needs: readonly Needs[]) {
    this.#needs = needs
    this.words = (needs.length + 31) >>> 5
    this.#unconditional = new Uint32Array(this.words)
    const patternsOf = new Map<string, number[]>()
    for (const [bit, need] of needs.entries()) {
      if (need.literals === null) {
        this.#unconditional[bit >> 5] =
          (this.#unconditional[bit >> 5] as number) | (1 << (bit & 31))
        continue
      }
      for (const literal of need.literals) {
        const cut = literal.slice(0, LITERAL_BYTES)
        const patterns = patternsOf.get(cut)
        if (patterns === undefined) patternsOf.set(cut, [bit])
        else if (patterns[patterns.length - 1] !== bit) patterns.push(bit)
      }
    }

    this.#classOf = new Uint8Array(256)
    let classes = 1
    for (const literal of patternsOf.keys()) {
      for (let i = 0; i < literal.length; i++) {
        const code = literal.charCodeAt(i)
        if (this.#classOf[code] === 0) this.#classOf[code] = classes++
      }
    }
    for (let code = 65; code <= 90; code++) this.#classOf[code] = this.#classOf[code + 32] as number
    this.#classes = classes

    const trie = buildTrie(patternsOf, this.#classOf, classes)
    this.states = trie.states
    this.#next = trie.next
    this.#hitsAt = new Int32Array(trie.states)
    const hits: number[] = [-1]
    for (let state = 0; state < trie.states; state++) {
      const bits = trie.patterns[state] as Set<number>
      if (bits.size === 0) continue
      this.#hitsAt[state] = hits.length
      hits.push(...bits, -1)
    }
    this.#hits = Int32Array.from(hits)
  }

  /** Makes sure that `node.scanned` points at the words of the patterns that may match it. */
  scan(node: TextNode, pool: ScanPool): number {
    if (node.scanned >= 0) return node.scanned
    const offset = pool.take(this.words)
    node.scanned = offset
    const words = pool.words
    words.set(this.#unconditional, offset)

    const { bytes } = node
    const present = this.#present.fill(0)
    const next = this.#next
    const classOf = this.#classOf
    const classes = this.#classes
    const hitsAt = this.#hitsAt
    let state = 0
    for (let i = 0; i < bytes.length; i++) {
      const code = bytes.charCodeAt(i) & 255
      present[code >> 5] = (present[code >> 5] as number) | (1 << (code & 31))
      state = next[state * classes + (classOf[code] as number)] as number
      let hit = hitsAt[state] as number
      if (hit !== 0) {
        for (let bit = this.#hits[hit] as number; bit >= 0; bit = this.#hits[++hit] as number) {
          const at = offset + (bit >> 5)
          words[at] = (words[at] as number) | (1 << (bit & 31))
        }
      }
    }

    for (let word = 0; word < this.words; word++) {
      let left = words[offset + word] as number
      while (left !== 0) {
        const low = 31 - Math.clz32(left & -left)
        left &= left - 1
        const need = this.#needs[word * 32 + low] as Needs
        if (bytes.length < need.minLength || !hasAll(need.sets, present)) {
          words[offset + word] = (words[offset + word] as number) & ~(1 << low)
        }
      }
    }
    return offset
  }
}

function hasAll(sets: readonly ByteSet[], present: Uint32Array): boolean {
  for (let i = 0; i < sets.length; i++) {
    if (!intersects(sets[i] as ByteSet, present, 0)) return false
  }
  return true
}

interface Trie {
  readonly states: number
  readonly next: Uint16Array | Uint32Array
  /** By state: patterns whose literals end there, suffixes included. */
  readonly patterns: readonly ReadonlySet<number>[]
}

function buildTrie(
  patternsOf: ReadonlyMap<string, readonly number[]>,
  classOf: Uint8Array,
  classes: number,
): Trie {
  const edges: Int32Array[] = [new Int32Array(classes).fill(-1)]
  const patterns: Set<number>[] = [new Set()]
  for (const [literal, bits] of patternsOf) {
    let state = 0
    for (let i = 0; i < literal.length; i++) {
      const column = classOf[literal.charCodeAt(i)] as number
      const row = edges[state] as Int32Array
      if (row[column] === -1) {
        row[column] = edges.length
        edges.push(new Int32Array(classes).fill(-1))
        patterns.push(new Set())
      }
      state = row[column] as number
    }
    for (const bit of bits) (patterns[state] as Set<number>).add(bit)
  }

  // Breadth first: a state's failure is complete before its children are visited.
  const states = edges.length
  const failure = new Int32Array(states)
  const queue = [0]
  for (let head = 0; head < queue.length; head++) {
    const state = queue[head] as number
    const row = edges[state] as Int32Array
    const fallback = edges[failure[state] as number] as Int32Array
    for (let column = 0; column < classes; column++) {
      const child = row[column] as number
      if (child >= 0) {
        failure[child] = state === 0 ? 0 : (fallback[column] as number)
        for (const bit of patterns[failure[child] as number] as Set<number>) {
          ;(patterns[child] as Set<number>).add(bit)
        }
        queue.push(child)
      } else {
        row[column] = state === 0 ? 0 : (fallback[column] as number)
      }
    }
  }
  const size = states * classes
  const next = states < 65536 ? new Uint16Array(size) : new Uint32Array(size)
  for (const [state, row] of edges.entries()) next.set(row, state * classes)
  return { states, next, patterns }
}

/** Words for the scans of one transaction; grows, and is reused by the next one. */
export class ScanPool {
  words = new Uint32Array(1024)
  #used = 0

  take(count: number): number {
    const offset = this.#used
    this.#used += count
    if (this.#used > this.words.length) {
      const larger = new Uint32Array(Math.max(this.words.length * 2, this.#used))
      larger.set(this.words)
      this.words = larger
    }
    return offset
  }

  reset(): void {
    this.#used = 0
    // One huge request must not hold its memory for ever.
    if (this.words.length > 1 << 18) this.words = new Uint32Array(1024)
  }
}
