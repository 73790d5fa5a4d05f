/**
 * The prefilter: one pass over a text tells which patterns can match it at all. Mandatory literals go into
 * one Aho-Corasick automaton (Aho & Corasick 1975) over case-folded byte classes; mandatory bytes are
 * 256-bit sets; and there is the least length. On benign traffic over nine of ten evaluations end here.
 */
import { type ByteSet, hasByte } from '../../expression/regex/byte-set.ts'
import type { Needs } from '../../expression/regex/needs.ts'
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

/** What of a pattern's needs is left to ask once its literals were found. */
interface Residue {
  /** For each set that must be met, the marks of its bytes: low word, high word. */
  readonly marks: readonly number[]
  readonly minLength: number
}

export class Scanner {
  /** Words of 32 patterns each. */
  readonly words: number
  readonly states: number
  readonly #residues: readonly Residue[]
  /** Byte to column of the automaton. */
  readonly #classOf: Uint8Array
  /** Byte to its mark: bytes that patterns tell apart most have marks of their own, the rest share. */
  readonly #marks: Marks
  /** Row offset and column to row offset. */
  readonly #next: Uint32Array
  /** Rows from here on have hits. */
  readonly #firstHit: number
  /** By row, from the first with hits: index into #hits, whose lists end in -1. */
  readonly #hitsAt: Int32Array
  readonly #hits: Int32Array
  readonly #classes: number
  /** Patterns that need no literal. */
  readonly #unconditional: Uint32Array

  constructor(needs: readonly Needs[]) {
    this.words = (needs.length + 31) >>> 5
    this.#unconditional = new Uint32Array(this.words)
    this.#marks = marksOf(needs)
    this.#residues = needs.map((need) => ({
      marks: need.sets.flatMap((set) => markOfSet(set, this.#marks)),
      minLength: need.minLength,
    }))
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
    // States with hits are numbered last, so that one comparison tells them.
    const order = Array.from({ length: trie.states }, (_, state) => state)
    const isHit = (state: number): boolean => (trie.patterns[state] as Set<number>).size > 0
    order.sort((x, y) => Number(isHit(x)) - Number(isHit(y)) || x - y)
    const rowOf = new Uint32Array(trie.states)
    for (const [row, state] of order.entries()) rowOf[state] = row
    const firstHit = order.findIndex(isHit)
    this.#firstHit = (firstHit < 0 ? trie.states : firstHit) * classes
    this.#next = new Uint32Array(trie.states * classes)
    const hits: number[] = []
    const hitsAt: number[] = []
    for (const [row, state] of order.entries()) {
      const edges = trie.edges[state] as Int32Array
      for (let column = 0; column < classes; column++) {
        this.#next[row * classes + column] = (rowOf[edges[column] as number] as number) * classes
      }
      if (!isHit(state)) continue
      hitsAt.push(hits.length)
      hits.push(...(trie.patterns[state] as Set<number>), -1)
    }
    this.#hits = Int32Array.from(hits)
    this.#hitsAt = Int32Array.from(hitsAt)
  }

  /** Makes sure that `node.scanned` points at the words of the patterns that may match it. */
  scan(node: TextNode, pool: ScanPool): number {
    if (node.scanned >= 0) return node.scanned
    const offset = pool.take(this.words)
    const { words } = pool
    const { bytes } = node
    const next = this.#next
    const classOf = this.#classOf
    const { low: lowOf, high: highOf } = this.#marks
    const firstHit = this.#firstHit
    for (let i = 0; i < this.words; i++) words[offset + i] = this.#unconditional[i] as number
    let row = 0
    let low = 0
    let high = 0
    for (let i = 0; i < bytes.length; i++) {
      const code = bytes.charCodeAt(i) & 255
      low |= lowOf[code] as number
      high |= highOf[code] as number
      row = next[row + (classOf[code] as number)] as number
      if (row >= firstHit) this.#mark(row, words, offset)
    }

    const { length } = bytes
    for (let word = 0; word < this.words; word++) {
      let left = words[offset + word] as number
      let kept = left
      while (left !== 0) {
        const bit = 31 - Math.clz32(left & -left)
        left &= left - 1
        const residue = this.#residues[word * 32 + bit] as Residue
        if (!isMet(residue, low, high, length)) kept &= ~(1 << bit)
      }
      words[offset + word] = kept
    }
    node.scanned = pool.shared(offset, this.words)
    return node.scanned
  }

  #mark(row: number, words: Uint32Array, offset: number): void {
    const hits = this.#hits
    let at = this.#hitsAt[(row - this.#firstHit) / this.#classes] as number
    for (let bit = hits[at] as number; bit >= 0; bit = hits[++at] as number) {
      const word = offset + (bit >> 5)
      words[word] = (words[word] as number) | (1 << (bit & 31))
    }
  }
}

function isMet({ marks, minLength }: Residue, low: number, high: number, length: number): boolean {
  if (length < minLength) return false
  for (let i = 0; i < marks.length; i += 2) {
    if (((marks[i] as number) & low) === 0 && ((marks[i + 1] as number) & high) === 0) return false
  }
  return true
}

/** By byte: its mark, one bit out of 64. */
interface Marks {
  readonly low: Int32Array
  readonly high: Int32Array
}

/**
 * Sixty-four marks over the bytes: bytes that the same sets hold share one. Where there are more kinds than
 * marks, letters and digits, which nearly every text has, are thrown together first. Sharing only makes
 * the filter let more through.
 */
function marksOf(needs: readonly Needs[]): Marks {
  const kinds = new Map<string, number[]>()
  const sets = needs.flatMap((need) => need.sets)
  for (let code = 0; code < 256; code++) {
    const members = sets.map((set) => (hasByte(set, code) ? '1' : '0')).join('')
    const kind = kinds.get(members)
    if (kind === undefined) kinds.set(members, [code])
    else kind.push(code)
  }
  const isCommon = (code: number): boolean => /[A-Za-z0-9]/.test(String.fromCharCode(code))
  const byRarity = [...kinds.values()].sort(
    (a, b) => Number(a.some(isCommon)) - Number(b.some(isCommon)),
  )
  const marks: Marks = { low: new Int32Array(256), high: new Int32Array(256) }
  for (const [i, codes] of byRarity.entries()) {
    const index = Math.min(i, 63)
    const words = index < 32 ? marks.low : marks.high
    for (const code of codes) words[code] = 1 << (index & 31)
  }
  return marks
}

function markOfSet(set: ByteSet, { low, high }: Marks): [number, number] {
  let lowMarks = 0
  let highMarks = 0
  for (let code = 0; code < 256; code++) {
    if (!hasByte(set, code)) continue
    lowMarks |= low[code] as number
    highMarks |= high[code] as number
  }
  return [lowMarks, highMarks]
}

interface Trie {
  readonly states: number
  /** By state: the next state by column. */
  readonly edges: readonly Int32Array[]
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
  return { states, edges, patterns }
}

/**
 * Words for the scans of one transaction; grows, and is reused by the next one. Hundreds of texts have a
 * few dozen different answers, so equal ones are kept once, and a join meets each of them once.
 */
export class ScanPool {
  words = new Uint32Array(1024)
  #used = 0
  /** By hash of an answer: its offset and 1. Of two with one hash the second is not shared. */
  readonly #offsets = new Int32Array(256)
  /** By offset: the last join that has met the answer. */
  #joins = new Uint32Array(1024)
  #join = 0

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

  /** The offset of an answer like the one that was taken last, which then is given back. */
  shared(offset: number, count: number): number {
    const { words } = this
    let hash = 0
    for (let i = 0; i < count; i++) {
      hash = (Math.imul(hash, 31) + (words[offset + i] as number)) | 0
    }
    const slot = Math.imul(hash, 0x9e3779b1) >>> 24
    const known = (this.#offsets[slot] as number) - 1
    if (known < 0) {
      this.#offsets[slot] = offset + 1
      return offset
    }
    for (let i = 0; i < count; i++) if (words[known + i] !== words[offset + i]) return offset
    this.#used = offset
    return known
  }

  beginJoin(): void {
    this.#join++
    if (this.#joins.length < this.words.length) {
      const larger = new Uint32Array(this.words.length)
      larger.set(this.#joins)
      this.#joins = larger
    }
  }

  /** Whether the join that was begun last has not met this answer yet. */
  isNew(offset: number): boolean {
    if (this.#joins[offset] === this.#join) return false
    this.#joins[offset] = this.#join
    return true
  }

  reset(): void {
    this.#used = 0
    this.#offsets.fill(0)
    // Joins are numbered on: what stands there is of earlier ones.
    if (this.#join > 0x7fffffff) {
      this.#join = 0
      this.#joins.fill(0)
    }
    // One huge request must not hold its memory for ever.
    if (this.words.length > 1 << 18) this.words = new Uint32Array(1024)
  }
}
