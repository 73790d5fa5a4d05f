/**
 * Where a program matches and what its groups hold, the leftmost match and of those the one that Perl would
 * find first. Short texts go by backtracking that tries no instruction twice at a position, long ones by a
 * simulation of all attempts at once (Pike's; Cox, swtch.com/~rsc/regexp/regexp2.html). Both are linear.
 */
import { hasByte } from './byte-set.ts'
import { ASSERT, BYTE, isIn, isWordByte, MATCH, type Program, SAVE, SPLIT } from './program.ts'
import { BEGIN_LINE, BEGIN_TEXT, BOUNDARY, END_LINE, END_TEXT, NO_BOUNDARY } from './re2-tree.ts'

/** Bits for instructions times positions, above which a text is long: 32 KiB, shared by all programs. */
export const MOST_BITS = 1 << 18
let visited = new Uint32Array(0)

/** Attempts at one position, the preferred first, with their slots. */
interface Attempts {
  count: number
  readonly at: Uint16Array
  readonly slots: Int32Array
}

export class Captures {
  readonly #program: Program
  readonly #slots: Int32Array
  /** Instructions, and slots with their former positions: these as -1 - slot. */
  readonly #stack: number[] = []
  /** For the simulation, made when first needed. */
  #met: Uint32Array | undefined
  #step = 0
  #lists: [Attempts, Attempts] | undefined
  /** Instructions that were looked at so far. */
  work = 0

  constructor(program: Program) {
    this.#program = program
    this.#slots = new Int32Array(program.slots)
  }

  /** Positions by slot, -1 where a group took no part; undefined when there is no match. */
  find(text: string): Int32Array | undefined {
    const isShort = this.#program.ops.length * (text.length + 1) <= MOST_BITS
    return isShort ? this.backtrack(text) : this.simulate(text)
  }

  backtrack(text: string): Int32Array | undefined {
    const { ops, prefix, isAnchored } = this.#program
    const words = ((ops.length * (text.length + 1)) >>> 5) + 1
    if (visited.length < words) visited = new Uint32Array(Math.max(words, 1024))
    else visited.fill(0, 0, words)
    for (let at = 0; at <= text.length; at++) {
      if (prefix !== '') {
        at = text.indexOf(prefix, at)
        if (at < 0) return undefined
      }
      if (!this.#mayBegin(text, at)) continue
      if (this.#attempt(text, at)) return this.#slots
      if (isAnchored) return undefined
    }
    return undefined
  }

  #mayBegin(text: string, at: number): boolean {
    const { first } = this.#program
    return first === undefined || (at < text.length && hasByte(first, text.charCodeAt(at) & 255))
  }

  #attempt(text: string, begin: number): boolean {
    const { ops, outs, args, sets, start } = this.#program
    const width = text.length + 1
    const slots = this.#slots
    const stack = this.#stack
    slots.fill(-1)
    slots[0] = begin
    stack.length = 0
    stack.push(start, begin)
    while (stack.length > 0) {
      let position = stack.pop() as number
      let at = stack.pop() as number
      if (at < 0) {
        slots[-1 - at] = position
        continue
      }
      for (;;) {
        const bit = at * width + position
        const word = bit >>> 5
        const mask = 1 << (bit & 31)
        if (((visited[word] as number) & mask) !== 0) break
        visited[word] = (visited[word] as number) | mask
        this.work++
        const op = ops[at]
        const arg = args[at] as number
        if (op === BYTE) {
          if (position + 1 === width || !isIn(sets, arg, text.charCodeAt(position) & 255)) break
          position++
        } else if (op === SPLIT) {
          stack.push(arg, position)
        } else if (op === SAVE) {
          stack.push(-1 - arg, slots[arg] as number)
          slots[arg] = position
        } else if (op === ASSERT) {
          if ((arg & holding(text, position)) === 0) break
        } else {
          slots[1] = position
          return true
        }
        at = outs[at] as number
      }
    }
    return false
  }

  simulate(text: string): Int32Array | undefined {
    const { ops, outs, start, slots: width, isAnchored, prefix } = this.#program
    this.#met ??= new Uint32Array(ops.length)
    this.#lists ??= [attempts(ops.length, width), attempts(ops.length, width)]
    let [now, next] = this.#lists
    const slots = this.#slots
    now.count = 0
    let best: Int32Array | undefined
    for (let at = 0; at <= text.length; at++) {
      if (now.count === 0) {
        if (best !== undefined || (isAnchored && at > 0)) break
        if (prefix !== '') {
          at = text.indexOf(prefix, at)
          if (at < 0) break
        }
      }
      this.#begin()
      next.count = 0
      const holds = this.#program.claims === 0 ? 0 : holding(text, at)
      let isMatch = false
      for (let i = 0; i < now.count && !isMatch; i++) {
        const from = i * width
        for (let slot = 0; slot < width; slot++) slots[slot] = now.slots[from + slot] as number
        isMatch = this.#add(outs[now.at[i] as number] as number, text, at, holds, next)
      }
      if (!isMatch && best === undefined && this.#mayBegin(text, at)) {
        slots.fill(-1)
        slots[0] = at
        isMatch = this.#add(start, text, at, holds, next)
      }
      if (isMatch) best = slots.slice()
      const other = now
      now = next
      next = other
    }
    return best
  }

  #begin(): void {
    if (this.#step === 0xffffffff) {
      this.#step = 0
      this.#met?.fill(0)
    }
    this.#step++
  }

  /**
   * Adds the attempts at `from` that the byte at the position lets go on.
   * @returns whether one has matched, with its slots in #slots: what would come after it is of no interest
   */
  #add(from: number, text: string, position: number, holds: number, into: Attempts): boolean {
    const { ops, outs, args, sets, slots: width } = this.#program
    const met = this.#met as Uint32Array
    const slots = this.#slots
    const stack = this.#stack
    const byte = position < text.length ? text.charCodeAt(position) & 255 : -1
    stack.length = 0
    stack.push(from, 0)
    while (stack.length > 0) {
      const former = stack.pop() as number
      let at = stack.pop() as number
      if (at < 0) {
        slots[-1 - at] = former
        continue
      }
      while (met[at] !== this.#step) {
        met[at] = this.#step
        this.work++
        const op = ops[at]
        const arg = args[at] as number
        if (op === BYTE) {
          if (byte < 0 || !isIn(sets, arg, byte)) break
          const to = into.count++
          into.at[to] = at
          for (let slot = 0; slot < width; slot++) {
            into.slots[to * width + slot] = slots[slot] as number
          }
          break
        }
        if (op === MATCH) {
          slots[1] = position
          return true
        }
        if (op === SPLIT) stack.push(arg, 0)
        else if (op === SAVE) {
          stack.push(-1 - arg, slots[arg] as number)
          slots[arg] = position
        } else if ((arg & holds) === 0) break
        at = outs[at] as number
      }
    }
    return false
  }
}

function attempts(count: number, width: number): Attempts {
  return { count: 0, at: new Uint16Array(count), slots: new Int32Array(count * width) }
}

/** The claims that hold at a position. */
function holding(text: string, at: number): number {
  const before = at === 0 ? -1 : text.charCodeAt(at - 1)
  const after = at === text.length ? -1 : text.charCodeAt(at)
  return (
    (at === 0 ? BEGIN_TEXT | BEGIN_LINE : before === 10 ? BEGIN_LINE : 0) |
    (at === text.length ? END_TEXT | END_LINE : after === 10 ? END_LINE : 0) |
    (isWordByte(before) === isWordByte(after) ? NO_BOUNDARY : BOUNDARY)
  )
}
