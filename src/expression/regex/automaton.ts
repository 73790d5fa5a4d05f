/**
 * Whether a program matches somewhere in a text: a deterministic automaton, built as texts ask for it. Its
 * table is one array, so that a step is one load; it is bounded, and starts anew when it is full. A text that
 * fills it again and again is simulated instead, so the time stays linear.
 */
import {
  ASSERT,
  BACKWARD,
  BYTE,
  isIn,
  isWordByte,
  MATCH,
  type Program,
  SPLIT,
  WORDS,
} from './program.ts'
import { BEGIN_LINE, BEGIN_TEXT, BOUNDARY, END_LINE, END_TEXT, NO_BOUNDARY } from './re2-tree.ts'

/** What stands in the table where no row does. */
const UNKNOWN = 0
const MATCHED = -1
const DEAD = -2

/** Entries of a table and instructions of its states (at most 512 KiB): hundreds of patterns share an isolate. */
export const MOST_ENTRIES = 1 << 16
export const MOST_MEMBERS = 1 << 17
/** A table that was filled within so many bytes for each of its states is not worth filling. */
const BYTES_PER_STATE = 10

/** The byte before was one of a word: beside the claims in a context. */
const AFTER_WORD = 64
/** The state has claims that wait for the next byte. */
const IS_WAITING = 128

export class Automaton {
  readonly #program: Program
  readonly #classes: Uint8Array
  /** By class: one of its bytes. */
  readonly #bytes: readonly number[]
  /** Byte classes and the end of the text. */
  readonly #width: number
  /** Offset of a row and column to offset of the next row; row 0 is none. */
  #table: Int32Array
  /** By row: its context, and its instructions in ascending order, as characters. */
  #states: string[] = ['']
  #rows = new Map<string, number>()
  #members = 0
  #start = 0
  /** By instruction: the last step that has met it. */
  readonly #met: Uint32Array
  #step = 0
  readonly #found: Uint16Array
  #count = 0
  readonly #stack: number[] = []
  /** What a match that begins in the middle of the text begins with. */
  readonly #restart: Uint16Array
  #isMatch = false
  #isWaiting = false
  /** Instructions that were looked at so far: what the time goes with, besides the length of the texts. */
  work = 0

  constructor(program: Program) {
    this.#program = program
    const { classes, bytes } = classesOf(program)
    this.#classes = classes
    this.#bytes = bytes
    this.#width = bytes.length + 1
    this.#table = new Int32Array(this.#width * 4)
    this.#met = new Uint32Array(program.ops.length)
    this.#found = new Uint16Array(program.ops.length)
    this.#begin()
    if (!program.isAnchored) this.#follow(program.start, 0, BACKWARD)
    this.#restart = this.#found.slice(0, this.#count)
  }

  /** Entries of the table and instructions of its states. */
  get size(): { readonly entries: number; readonly members: number } {
    return { entries: this.#table.length, members: this.#members }
  }

  test(text: string): boolean {
    const { length } = text
    const { prefix } = this.#program
    // No claim stands before the prefix: what begins in the middle begins as at the begin of the text.
    const from = prefix === '' ? 0 : text.indexOf(prefix)
    if (from < 0) return false
    const classes = this.#classes
    let table = this.#table
    let row = this.#start
    if (row === 0) {
      row = this.#startRow()
      if (row < 0) return row === MATCHED
      table = this.#table
    }
    let restartedAt = -1
    for (let i = from; i < length; i++) {
      const column = classes[text.charCodeAt(i) & 255] as number
      let to = table[row + column] as number
      if (to > 0) {
        row = to
        continue
      }
      if (to === UNKNOWN) {
        const state = this.#states[row / this.#width] as string
        const next = this.#next(state, column)
        to = typeof next === 'number' ? next : this.#rowOf(next)
        if (to === UNKNOWN) {
          const most = BYTES_PER_STATE * this.#states.length
          this.#forget()
          if (restartedAt >= 0 && i - restartedAt < most) {
            return this.#simulate(next as string, text, i + 1)
          }
          restartedAt = i
          to = this.#rowOf(next as string)
          table = this.#table
          if (to === UNKNOWN) return this.#simulate(next as string, text, i + 1)
        } else {
          table = this.#table
          table[row + column] = to
        }
        if (to > 0) {
          row = to
          continue
        }
      }
      return to === MATCHED
    }
    const end = row + this.#width - 1
    let answer = table[end] as number
    if (answer === UNKNOWN) {
      answer = this.#atEnd(this.#states[row / this.#width] as string)
      table[end] = answer
    }
    return answer === MATCHED
  }

  #startRow(): number {
    this.#begin()
    const context = BEGIN_TEXT | BEGIN_LINE
    this.#follow(this.#program.start, context, BACKWARD)
    if (this.#isMatch) return MATCHED
    this.#start = this.#rowOf(this.#state(context))
    return this.#start
  }

  /** The rest of a text without the table, each step by itself. */
  #simulate(from: string, text: string, at: number): boolean {
    let state = from
    for (let i = at; i < text.length; i++) {
      const next = this.#next(state, this.#classes[text.charCodeAt(i) & 255] as number)
      if (typeof next === 'number') return next === MATCHED
      state = next
    }
    return this.#atEnd(state) === MATCHED
  }

  #next(state: string, column: number): string | typeof MATCHED | typeof DEAD {
    const { ops, outs, args, sets, claims, isAnchored, start } = this.#program
    const byte = this.#bytes[column] as number
    const isWord = isWordByte(byte)
    let now = state
    if ((state.charCodeAt(0) & IS_WAITING) !== 0) {
      now = this.#settled(state, byte === 10 ? END_LINE : 0, isWord)
      if (this.#isMatch) return MATCHED
    }
    const context =
      (byte === 10 ? claims & BEGIN_LINE : 0) | (isWord && (claims & WORDS) !== 0 ? AFTER_WORD : 0)
    this.#begin()
    this.work += now.length
    for (let i = 1; i < now.length; i++) {
      const at = now.charCodeAt(i)
      if (ops[at] !== BYTE || !isIn(sets, args[at] as number, byte)) continue
      this.#follow(outs[at] as number, context, BACKWARD)
      if (this.#isMatch) return MATCHED
    }
    if (!isAnchored) {
      if ((context & BEGIN_LINE) === 0) this.#addRestart()
      else this.#follow(start, context, BACKWARD)
      if (this.#isMatch) return MATCHED
    }
    if (this.#count === 0 && isAnchored) return DEAD
    return this.#state(context)
  }

  #addRestart(): void {
    const met = this.#met
    const restart = this.#restart
    for (let i = 0; i < restart.length; i++) {
      const at = restart[i] as number
      if (met[at] === this.#step) continue
      met[at] = this.#step
      this.#found[this.#count++] = at
      if (this.#program.ops[at] === ASSERT) this.#isWaiting = true
    }
    this.work += restart.length
  }

  #atEnd(state: string): typeof MATCHED | typeof DEAD {
    if ((state.charCodeAt(0) & IS_WAITING) === 0) return DEAD
    this.#settled(state, END_TEXT | END_LINE, false)
    return this.#isMatch ? MATCHED : DEAD
  }

  /** The state's instructions once its claims are decided by what comes next. */
  #settled(state: string, ahead: number, isWord: boolean): string {
    const { ops, outs, args } = this.#program
    const context = state.charCodeAt(0)
    const isBoundary = ((context & AFTER_WORD) !== 0) !== isWord
    const holding = (context & BACKWARD) | ahead | (isBoundary ? BOUNDARY : NO_BOUNDARY)
    this.#begin()
    this.work += state.length
    for (let i = 1; i < state.length; i++) {
      const at = state.charCodeAt(i)
      if (ops[at] === BYTE) {
        if (this.#met[at] === this.#step) continue
        this.#met[at] = this.#step
        this.#found[this.#count++] = at
      } else if (((args[at] as number) & holding) !== 0) {
        this.#follow(outs[at] as number, holding, -1)
        if (this.#isMatch) break
      }
    }
    return this.#state(0)
  }

  #begin(): void {
    if (this.#step === 0xffffffff) {
      this.#step = 0
      this.#met.fill(0)
    }
    this.#step++
    this.#count = 0
    this.#isMatch = false
    this.#isWaiting = false
  }

  /**
   * Adds what `from` leads to without a byte. Claims of `holding` hold, others that are `known` do not, and the
   * rest waits.
   */
  #follow(from: number, holding: number, known: number): void {
    const { ops, outs, args } = this.#program
    const met = this.#met
    const step = this.#step
    const stack = this.#stack
    stack.push(from)
    while (stack.length > 0) {
      const at = stack.pop() as number
      if (met[at] === step) continue
      met[at] = step
      this.work++
      const op = ops[at]
      if (op === BYTE) {
        this.#found[this.#count++] = at
      } else if (op === MATCH) {
        this.#isMatch = true
      } else if (op === ASSERT) {
        const claim = args[at] as number
        if ((claim & holding) !== 0) {
          stack.push(outs[at] as number)
        } else if ((claim & known) === 0) {
          this.#isWaiting = true
          this.#found[this.#count++] = at
        }
      } else {
        if (op === SPLIT) stack.push(args[at] as number)
        stack.push(outs[at] as number)
      }
    }
  }

  /** What was found, as a state. */
  #state(context: number): string {
    const found = this.#found.subarray(0, this.#count).sort()
    let text = String.fromCharCode(this.#isWaiting ? context | IS_WAITING : 0)
    // A call takes so many arguments at most.
    for (let i = 0; i < found.length; i += 4096) {
      text += String.fromCharCode(...found.subarray(i, i + 4096))
    }
    return text
  }

  /** UNKNOWN when the table is full. */
  #rowOf(state: string): number {
    const known = this.#rows.get(state)
    if (known !== undefined) return known
    const row = this.#states.length * this.#width
    const end = row + this.#width
    if (end > MOST_ENTRIES || this.#members + state.length > MOST_MEMBERS) return UNKNOWN
    if (end > this.#table.length) {
      const larger = new Int32Array(Math.min(MOST_ENTRIES, this.#table.length * 2))
      larger.set(this.#table)
      this.#table = larger
    }
    this.#members += state.length
    this.#states.push(state)
    this.#rows.set(state, row)
    return row
  }

  #forget(): void {
    this.#table = new Int32Array(this.#width * 4)
    this.#states = ['']
    this.#rows = new Map()
    this.#members = 0
    this.#start = 0
  }
}

/** Bytes that no set and no claim tells apart are one class. */
function classesOf({ sets, claims }: Program): { classes: Uint8Array; bytes: number[] } {
  const classes = new Uint8Array(256)
  let count = 1
  const split = (isInside: (byte: number) => boolean): void => {
    // By class: the class that its bytes in the set go to, and whether others are left.
    const inside = new Int16Array(count).fill(-1)
    const outside = new Uint8Array(count)
    for (let byte = 0; byte < 256; byte++) {
      const of = classes[byte] as number
      if (isInside(byte)) inside[of] = of
      else outside[of] = 1
    }
    const before = count
    for (let of = 0; of < before; of++) {
      if ((inside[of] as number) >= 0 && outside[of] === 1) inside[of] = count++
    }
    if (count === before) return
    for (let byte = 0; byte < 256; byte++) {
      if (isInside(byte)) classes[byte] = inside[classes[byte] as number] as number
    }
  }
  for (let set = 0; set < sets.length >> 3; set++) split((byte) => isIn(sets, set, byte))
  if ((claims & WORDS) !== 0) split(isWordByte)
  if ((claims & (BEGIN_LINE | END_LINE)) !== 0) split((byte) => byte === 10)
  const bytes: number[] = []
  for (let byte = 255; byte >= 0; byte--) bytes[classes[byte] as number] = byte
  return { classes, bytes }
}
