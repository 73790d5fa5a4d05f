/**
 * re2js's lazily built automaton, as far as it is read here, and a copy of it in one table: a step is one
 * load where re2js's own states take five. The automaton is not part of its typings: the version is pinned,
 * the shape is checked, and without it everything goes through its public methods.
 */

export interface Automaton {
  readonly startStates: ReadonlyMap<number, AutomatonState>
  readonly latin1Class: Int32Array
  readonly numClasses: number
  stateBudget: number
  memBudget: number
}

export interface AutomatonState {
  /** By byte class; the last entry is the end of the text. */
  readonly next: readonly (AutomatonState | null)[] | null
  /** The same for a search that cannot begin later. */
  readonly nextAnchored: readonly (AutomatonState | null)[] | null
  /** Empty when nothing can match any more. */
  readonly nfaStates: readonly number[]
  readonly isMatch: boolean
}

/** Begin of text and of line: the context at offset 0 (re2js's EMPTY_BEGIN_TEXT | EMPTY_BEGIN_LINE). */
const AT_BEGIN = 4 | 1

/** What stands in the table where no row does. */
const UNKNOWN = 0
const MATCH = -1
const DEAD = -2

/** Entries of one table (64 KiB), above which it starts anew: hundreds of patterns share an isolate. */
const MOST_ENTRIES = 1 << 14

export class AutomatonTable {
  readonly #automaton: Automaton
  readonly #isAnchored: boolean
  readonly #classes: Int32Array
  /** Byte classes and the end of the text. */
  readonly #width: number
  /** Offset of a row and column to offset of the next row; row 0 is none. */
  #table: Int32Array
  /** By row. */
  #states: (AutomatonState | undefined)[] = [undefined]
  #rows = new Map<AutomatonState, number>()
  #start = 0

  constructor(automaton: Automaton, isAnchored: boolean) {
    this.#automaton = automaton
    this.#isAnchored = isAnchored
    this.#classes = automaton.latin1Class
    this.#width = automaton.numClasses + 1
    this.#table = new Int32Array(this.#width * 8)
  }

  /** Walks known transitions only; undefined when one is missing, which re2js then adds. */
  test(text: string): boolean | undefined {
    let row = this.#start
    if (row === 0) {
      const start = this.#automaton.startStates.get(AT_BEGIN)
      if (start === undefined) return undefined
      row = this.#start = this.#rowOf(start)
    }
    const classes = this.#classes
    let table = this.#table
    for (let i = 0; i < text.length; i++) {
      const column = classes[text.charCodeAt(i)] as number
      let to = table[row + column] as number
      if (to > 0) {
        row = to
        continue
      }
      if (to === UNKNOWN) {
        to = this.#learn(row, column)
        table = this.#table
        if (to > 0) {
          row = to
          continue
        }
      }
      // Text that is no byte string has no column and ends here too.
      return to === MATCH ? true : to === DEAD ? false : undefined
    }
    const column = this.#width - 1
    const end = table[row + column] as number
    const answer = end === UNKNOWN ? this.#learn(row, column) : end
    return answer === UNKNOWN ? undefined : answer === MATCH
  }

  /** Copies one transition. */
  #learn(row: number, column: number): number {
    const state = this.#states[row / this.#width]
    const edges = this.#isAnchored ? state?.nextAnchored : state?.next
    const next = edges?.[column]
    if (next === null || next === undefined) return UNKNOWN
    const isEnd = column === this.#width - 1
    if (next.isMatch || isEnd || (this.#isAnchored && next.nfaStates.length === 0)) {
      const last = next.isMatch ? MATCH : DEAD
      this.#table[row + column] = last
      return last
    }
    if (this.#states.length * this.#width > MOST_ENTRIES && !this.#rows.has(next)) {
      this.#forget()
      return UNKNOWN
    }
    const to = this.#rowOf(next)
    this.#table[row + column] = to
    return to
  }

  #rowOf(state: AutomatonState): number {
    const known = this.#rows.get(state)
    if (known !== undefined) return known
    const row = this.#states.length * this.#width
    if (row + this.#width > this.#table.length) {
      const larger = new Int32Array(this.#table.length * 2)
      larger.set(this.#table)
      this.#table = larger
    }
    this.#states.push(state)
    this.#rows.set(state, row)
    return row
  }

  #forget(): void {
    this.#table = new Int32Array(this.#width * 8)
    this.#states = [undefined]
    this.#rows = new Map()
    this.#start = 0
  }
}
