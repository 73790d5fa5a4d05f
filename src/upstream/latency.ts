/**
 * How long a pool takes to answer: a histogram with buckets a fifth wider than the one before, and two
 * halves in turn, so that what is older than a minute is forgotten. Nothing is allocated after the start.
 */
import type { Millis } from '../exchange.ts'

/** Buckets for each doubling; quantiles are at most 19 % too high. */
const PER_OCTAVE = 4
/** The first bucket ends at 1/4 ms, the last holds everything above about a minute. */
const OFFSET = 2 * PER_OCTAVE
const BUCKETS = 18 * PER_OCTAVE
const HALF_MS = 30_000

export class LatencySketch {
  readonly #counts = new Uint32Array(BUCKETS)
  readonly #before = new Uint32Array(BUCKETS)
  #total = 0
  #totalBefore = 0
  #turnAt = Number.NEGATIVE_INFINITY

  observe(duration: Millis, now: Millis): void {
    this.#turn(now)
    const bucket = bucketOf(duration)
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1
    this.#total++
  }

  /** How many answers the quantiles stand on. */
  count(now: Millis): number {
    this.#turn(now)
    return this.#total + this.#totalBefore
  }

  /**
   * @param q 0 to 1
   * @returns upper end of the bucket, ms; NaN when nothing is known
   */
  quantile(q: number, now: Millis): Millis {
    const total = this.count(now)
    if (total === 0) return Number.NaN
    const wanted = Math.max(1, Math.ceil(total * q))
    let seen = 0
    for (let i = 0; i < BUCKETS; i++) {
      seen += (this.#counts[i] as number) + (this.#before[i] as number)
      if (seen >= wanted) return upperEnd(i)
    }
    return upperEnd(BUCKETS - 1)
  }

  clear(): void {
    this.#counts.fill(0)
    this.#before.fill(0)
    this.#total = 0
    this.#totalBefore = 0
  }

  #turn(now: Millis): void {
    const elapsed = now - this.#turnAt
    if (elapsed < HALF_MS) return
    this.#turnAt = now
    if (elapsed >= 2 * HALF_MS) {
      this.#before.fill(0)
      this.#totalBefore = 0
    } else {
      this.#before.set(this.#counts)
      this.#totalBefore = this.#total
    }
    this.#counts.fill(0)
    this.#total = 0
  }
}

function bucketOf(duration: Millis): number {
  if (!(duration > 0.25)) return 0
  return Math.min(BUCKETS - 1, Math.floor(Math.log2(duration) * PER_OCTAVE) + OFFSET + 1)
}

function upperEnd(bucket: number): Millis {
  return 2 ** ((bucket - OFFSET) / PER_OCTAVE)
}
