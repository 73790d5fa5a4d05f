/** Many phrases in one pass, in any case: `@pm` and its lists. An Aho-Corasick automaton, built when first used. */
import { asciiLower } from '../bytes.ts'
import type { Needs } from './needs.ts'

export class PhraseMatcher {
  /** Lower case, without duplicates and empty ones. */
  readonly phrases: readonly string[]
  #trie: Map<number, number>[] = []
  #failure: number[] = []
  /** Length of the longest phrase that ends in a state; 0 for none. */
  #ends: number[] = []

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
    if (this.#trie.length === 0) this.#build()
    let state = 0
    for (let i = 0; i < text.length; i++) {
      let code = text.charCodeAt(i)
      if (code >= 65 && code <= 90) code += 32
      let next = (this.#trie[state] as Map<number, number>).get(code)
      while (next === undefined && state !== 0) {
        state = this.#failure[state] as number
        next = (this.#trie[state] as Map<number, number>).get(code)
      }
      state = next ?? 0
      const length = this.#ends[state] as number
      if (length > 0) return text.slice(i + 1 - length, i + 1)
    }
    return undefined
  }

  #build(): void {
    const trie: Map<number, number>[] = [new Map()]
    const ends = [0]
    for (const phrase of this.phrases) {
      let state = 0
      for (let i = 0; i < phrase.length; i++) {
        const row = trie[state] as Map<number, number>
        let next = row.get(phrase.charCodeAt(i))
        if (next === undefined) {
          next = trie.length
          row.set(phrase.charCodeAt(i), next)
          trie.push(new Map())
          ends.push(0)
        }
        state = next
      }
      ends[state] = phrase.length
    }
    const failure = new Array<number>(trie.length).fill(0)
    const queue = [...(trie[0] as Map<number, number>).values()]
    for (let head = 0; head < queue.length; head++) {
      const state = queue[head] as number
      for (const [code, child] of trie[state] as Map<number, number>) {
        let from = failure[state] as number
        while (from !== 0 && !(trie[from] as Map<number, number>).has(code)) {
          from = failure[from] as number
        }
        const target = (trie[from] as Map<number, number>).get(code)
        failure[child] = target ?? 0
        if (ends[child] === 0) ends[child] = ends[failure[child] as number] as number
        queue.push(child)
      }
    }
    this.#trie = trie
    this.#failure = failure
    this.#ends = ends
  }
}
