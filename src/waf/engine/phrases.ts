/** Many phrases in one pass, in any case: `@pm` and its lists. An Aho-Corasick automaton, built when first used. */

import type { Needs } from '../../expression/regex/needs.ts'
import { asciiLower } from '../bytes.ts'

/** States up to this depth have a full row, so that ordinary text, which seldom gets further, is quick. */
const DENSE_DEPTH = 2

interface State {
  readonly depth: number
  /** Children by byte. */
  readonly edges: Map<number, number>
  failure: number
  /** Length of the longest phrase that ends here; 0 for none. */
  length: number
  /** Next state by byte, failures resolved; for shallow states only. */
  row: Uint32Array | undefined
}

export class PhraseMatcher {
  /** Lower case, without duplicates and empty ones. */
  readonly phrases: readonly string[]
  #states: readonly State[] = []

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
    if (this.#states.length === 0) this.#states = build(this.phrases)
    const states = this.#states
    const root = (states[0] as State).row as Uint32Array
    let index = 0
    for (let i = 0; i < text.length; i++) {
      const code = LOWER[text.charCodeAt(i) & 255] as number
      index = index === 0 ? (root[code] as number) : step(states, states[index] as State, code)
      if (index === 0) continue
      const { length } = states[index] as State
      if (length > 0) return text.slice(i + 1 - length, i + 1)
    }
    return undefined
  }
}

const LOWER = new Uint8Array(256)
for (let code = 0; code < 256; code++) LOWER[code] = code >= 65 && code <= 90 ? code + 32 : code

function step(states: readonly State[], from: State, code: number): number {
  let state = from
  for (;;) {
    if (state.row !== undefined) return state.row[code] as number
    const next = state.edges.get(code)
    if (next !== undefined) return next
    state = states[state.failure] as State
  }
}

function newState(depth: number): State {
  return { depth, edges: new Map(), failure: 0, length: 0, row: undefined }
}

function build(phrases: readonly string[]): State[] {
  const states = [newState(0)]
  for (const phrase of phrases) {
    let at = 0
    for (let i = 0; i < phrase.length; i++) {
      const { edges, depth } = states[at] as State
      let next = edges.get(phrase.charCodeAt(i))
      if (next === undefined) {
        next = states.length
        edges.set(phrase.charCodeAt(i), next)
        states.push(newState(depth + 1))
      }
      at = next
    }
    ;(states[at] as State).length = phrase.length
  }
  // Breadth first: failures and rows of shallower states are complete.
  const queue = [0]
  for (let head = 0; head < queue.length; head++) {
    const index = queue[head] as number
    const state = states[index] as State
    for (const [code, child] of state.edges) {
      const target = states[child] as State
      target.failure = index === 0 ? 0 : step(states, states[state.failure] as State, code)
      if (target.length === 0) target.length = (states[target.failure] as State).length
      queue.push(child)
    }
    if (state.depth > DENSE_DEPTH) continue
    const row = new Uint32Array(256)
    if (index !== 0) row.set((states[state.failure] as State).row as Uint32Array)
    for (const [code, child] of state.edges) row[code] = child
    state.row = row
  }
  return states
}
