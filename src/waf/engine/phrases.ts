/** Many phrases in one pass, in any case: `@pm` and its lists. An Aho-Corasick automaton, built when first used. */

import type { Needs } from '../../expression/regex/needs.ts'
import { asciiLower } from '../bytes.ts'

/** States up to this depth have a full row, so that ordinary text, which seldom gets further, is quick. */
const DENSE_DEPTH = 2

/** States are numbered breadth first, so the shallow ones come first. */
interface Tables {
  /** States below this have a row. */
  readonly dense: number
  /** Next state by state and byte, in any case, failures resolved. */
  readonly rows: Uint32Array
  /** Length of the longest phrase that ends in a state; 0 for none. */
  readonly lengths: Uint32Array
  readonly failures: Uint32Array
  /** Children by lower-case byte. */
  readonly edges: readonly ReadonlyMap<number, number>[]
}

export class PhraseMatcher {
  /** Lower case, without duplicates and empty ones. */
  readonly phrases: readonly string[]
  #tables: Tables | undefined

  constructor(phrases: readonly string[]) {
    this.phrases = [...new Set(phrases.map(asciiLower))].filter((phrase) => phrase !== '')
  }

  needs(): Needs {
    let shortest = Number.POSITIVE_INFINITY
    for (const phrase of this.phrases) shortest = Math.min(shortest, phrase.length)
    return {
      literals: shortest >= 2 ? this.phrases : null,
      sets: [],
      minLength: Number.isFinite(shortest) ? shortest : 0,
    }
  }

  /** The first phrase to end in the text, as it stands there. */
  find(text: string): string | undefined {
    this.#tables ??= build(this.phrases)
    const tables = this.#tables
    const { dense, rows, lengths } = tables
    let state = 0
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i) & 255
      state = state < dense ? (rows[(state << 8) | code] as number) : step(tables, state, code)
      if (state === 0) continue
      const length = lengths[state] as number
      if (length > 0) return text.slice(i + 1 - length, i + 1)
    }
    return undefined
  }
}

function lower(code: number): number {
  return code >= 65 && code <= 90 ? code + 32 : code
}

function step({ dense, rows, failures, edges }: Tables, from: number, code: number): number {
  const wanted = lower(code)
  let state = from
  while (state >= dense) {
    const next = (edges[state] as ReadonlyMap<number, number>).get(wanted)
    if (next !== undefined) return next
    state = failures[state] as number
  }
  return rows[(state << 8) | code] as number
}

interface Node {
  readonly depth: number
  readonly edges: Map<number, Node>
  index: number
  length: number
}

function newNode(depth: number): Node {
  return { depth, edges: new Map(), index: 0, length: 0 }
}

function build(phrases: readonly string[]): Tables {
  const root = newNode(0)
  for (const phrase of phrases) {
    let at = root
    for (let i = 0; i < phrase.length; i++) {
      const code = phrase.charCodeAt(i)
      let next = at.edges.get(code)
      if (next === undefined) {
        next = newNode(at.depth + 1)
        at.edges.set(code, next)
      }
      at = next
    }
    at.length = phrase.length
  }
  const nodes = [root]
  for (let head = 0; head < nodes.length; head++) {
    const node = nodes[head] as Node
    node.index = head
    nodes.push(...node.edges.values())
  }
  const deep = nodes.findIndex((node) => node.depth > DENSE_DEPTH)
  const dense = deep < 0 ? nodes.length : deep
  const tables: Tables = {
    dense,
    rows: new Uint32Array(dense * 256),
    lengths: Uint32Array.from(nodes, (node) => node.length),
    failures: new Uint32Array(nodes.length),
    edges: nodes.map(
      ({ edges }) => new Map([...edges].map(([code, child]) => [code, child.index])),
    ),
  }
  // Breadth first: failures and rows of shallower states are complete.
  const { rows, lengths, failures } = tables
  for (const { index, edges } of nodes) {
    const failure = failures[index] as number
    for (const [code, child] of edges) {
      const target = index === 0 ? 0 : step(tables, failure, code)
      failures[child.index] = target
      if (child.length === 0) lengths[child.index] = lengths[target] as number
    }
    if (index >= dense) continue
    const row = index << 8
    if (index !== 0) rows.copyWithin(row, failure << 8, (failure + 1) << 8)
    for (const [code, child] of edges) {
      rows[row | code] = child.index
      if (code >= 97 && code <= 122) rows[row | (code - 32)] = child.index
    }
  }
  return tables
}
