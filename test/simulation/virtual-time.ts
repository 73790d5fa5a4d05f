/** Time that moves when everything due has been done, and chance that comes from a seed. */
import type { Millis } from '../../src/exchange.ts'
import type { Clock, Random } from '../../src/ports.ts'

interface Timer {
  readonly at: Millis
  readonly order: number
  run: (() => void) | undefined
}

/** Timers in a binary heap; of those due at the same time the older one runs first. */
export class VirtualTime {
  now: Millis = 0
  readonly #heap: Timer[] = []
  #order = 0
  #pending = 0

  /** Timers that have neither run nor been cancelled. */
  get pending(): number {
    return this.#pending
  }

  after(delay: Millis, run: () => void): () => void {
    const timer: Timer = { at: this.now + Math.max(0, delay), order: this.#order++, run }
    this.#push(timer)
    this.#pending++
    return () => {
      if (timer.run === undefined) return
      timer.run = undefined
      this.#pending--
    }
  }

  /** Lets time pass, one timer after the other, each with all that follows from it. */
  async pass(duration: Millis): Promise<void> {
    const end = this.now + duration
    await settled()
    for (;;) {
      const next = this.#heap[0]
      if (next === undefined || next.at > end) break
      this.#pop()
      const { run } = next
      if (run === undefined) continue
      this.now = Math.max(this.now, next.at)
      next.run = undefined
      this.#pending--
      run()
      await settled()
    }
    this.now = end
  }

  #push(timer: Timer): void {
    const heap = this.#heap
    let at = heap.push(timer) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as Timer
      if (!isBefore(timer, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = timer
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as Timer
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= heap.length) break
      const right = child + 1
      if (right < heap.length && isBefore(heap[right] as Timer, heap[child] as Timer)) child = right
      if (!isBefore(heap[child] as Timer, last)) break
      heap[at] = heap[child] as Timer
      at = child
    }
    heap[at] = last
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}

/** Every promise that can go on has gone on: the queue of microtasks is empty when this one runs. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** One gateway's clock: all measure the same durations, each has its own idea of the date. */
export class SteppingClock implements Clock {
  readonly #time: VirtualTime
  /** How far its date is off. */
  offset: Millis = 0

  constructor(time: VirtualTime) {
    this.#time = time
  }

  now(): Millis {
    return 1_790_000_000_000 + this.#time.now + this.offset
  }

  monotonic(): Millis {
    return this.#time.now
  }

  after(delay: Millis, run: () => void): () => void {
    return this.#time.after(delay, run)
  }
}

/** Mulberry32: small, quick, and the same everywhere. */
export class SeededRandom implements Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => Math.floor(this.next() * 256))
  }

  /** Between two numbers. */
  between(least: number, most: number): number {
    return least + this.next() * (most - least)
  }

  /** A whole number below `count`. */
  below(count: number): number {
    return Math.floor(this.next() * count)
  }

  pick<T>(all: readonly T[]): T {
    return all[this.below(all.length)] as T
  }

  /** Time to the next event of a Poisson process. */
  wait(mean: number): number {
    return -Math.log(1 - this.next()) * mean
  }
}
