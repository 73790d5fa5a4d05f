/**
 * One pass over a value that finds every literal of a list (Aho and Corasick, CACM 18(6), 1975), without
 * regard to ASCII case; any run of white space counts as one space. Transitions are a dense table, so the
 * cost per character does not depend on the number of literals.
 */

export class Automaton {
  /** Column of each character code; 0 for characters that no literal has. */
  readonly #column = new Uint8Array(256)
  readonly #width: number
  readonly #next: Uint16Array
  /** Literal that ends in this state, -1 for none. */
  readonly #output: Int16Array
  /** Nearest shorter state that has an output, 0 for none. */
  readonly #link: Uint16Array
  readonly #space: number

  /** @param literals lower case, at most 65,535 characters together; white space as one space */
  constructor(literals: readonly string[]) {
    let columns = 1
    let size = 1
    for (const literal of literals) {
      size += literal.length
      for (let i = 0; i < literal.length; i++) {
        const c = literal.charCodeAt(i)
        if (this.#column[c] === 0) this.#column[c] = columns++
      }
    }
    for (let c = 65; c <= 90; c++) this.#column[c] = this.#column[c + 32] as number
    for (let c = 1; c < 32; c++) this.#column[c] = this.#column[32] as number
    this.#space = this.#column[32] as number
    const width = columns
    this.#width = width
    const next = new Uint16Array(size * width)
    const output = new Int16Array(size).fill(-1)
    const link = new Uint16Array(size)
    let states = 1
    literals.forEach((literal, index) => {
      let state = 0
      for (let i = 0; i < literal.length; i++) {
        const at = state * width + (this.#column[literal.charCodeAt(i)] as number)
        if (next[at] === 0) next[at] = states++
        state = next[at] as number
      }
      output[state] = index
    })
    const fail = new Uint16Array(states)
    const queue: number[] = []
    for (let c = 1; c < width; c++) if (next[c] !== 0) queue.push(next[c] as number)
    for (let head = 0; head < queue.length; head++) {
      const state = queue[head] as number
      const suffix = fail[state] as number
      link[state] = output[suffix] !== -1 ? suffix : (link[suffix] as number)
      for (let c = 1; c < width; c++) {
        const at = state * width + c
        const target = next[at] as number
        const fallback = next[suffix * width + c] as number
        if (target === 0) next[at] = fallback
        else {
          fail[target] = fallback
          queue.push(target)
        }
      }
    }
    this.#next = next.slice(0, states * width)
    this.#output = output.slice(0, states)
    this.#link = link.slice(0, states)
  }

  /** Calls `found(literal, end)` for every occurrence, `end` being the index behind it. */
  scan(text: string, found: (literal: number, end: number) => void): void {
    const next = this.#next
    const column = this.#column
    const width = this.#width
    const space = this.#space
    let state = 0
    let before = 0
    for (let i = 0; i < text.length; i++) {
      const c = text.charCodeAt(i)
      const k = c < 256 ? (column[c] as number) : 0
      if (k === space && before === space && space !== 0) continue
      before = k
      if (k === 0) {
        state = 0
        continue
      }
      state = next[state * width + k] as number
      if (state === 0) continue
      let at = this.#output[state] !== -1 ? state : (this.#link[state] as number)
      while (at !== 0) {
        found(this.#output[at] as number, i + 1)
        at = this.#link[at] as number
      }
    }
  }
}
