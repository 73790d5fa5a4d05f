/**
 * How loaded regions are, as far as this gateway sees, and which share of what arrives each may keep.
 * A region above its capacity keeps 1/u of its clients, u being demand over capacity; the rest go on to
 * the next region. Demand, not what was served: measured behind the spill it would sink to the capacity,
 * the spill would stop, and the load would swing.
 */
import type { Millis } from '../exchange.ts'
import type { RegionTable } from './regions.ts'

/** Rates are averaged over this time. */
const TAU_MS = 5000

export class LoadBoard {
  /** Share of arriving clients that each region keeps, 0 to 1, by index. */
  readonly shares: Float64Array
  /** Whether any share is below 1. */
  limited = false
  readonly #regions: RegionTable
  readonly #rates: Float64Array
  readonly #inflightMean: Float64Array
  readonly #inflight: Int32Array
  readonly #countedAt: Float64Array

  constructor(regions: RegionTable) {
    this.#regions = regions
    this.shares = new Float64Array(regions.size).fill(1)
    this.#rates = new Float64Array(regions.size)
    this.#inflightMean = new Float64Array(regions.size)
    this.#inflight = new Int32Array(regions.size)
    this.#countedAt = new Float64Array(regions.size)
  }

  /** Rates of an older config's regions of the same name. Requests under way there end there. */
  adopt(before: LoadBoard): void {
    for (const { id, index } of this.#regions.regions) {
      const old = before.#regions.indexOf(id)
      if (old === undefined) continue
      this.#rates[index] = before.#rates[old] as number
      this.#inflightMean[index] = before.#inflightMean[old] as number
      this.#countedAt[index] = before.#countedAt[old] as number
    }
  }

  /**
   * A request arrived at a region, whether it stayed there or went on: call it for the chosen region and
   * for each in the decision's `spilledFrom`.
   */
  arrived(index: number, now: Millis): void {
    const region = this.#regions.at(index)
    const limitless =
      region.maxRequestsPerSecond === Number.POSITIVE_INFINITY &&
      region.maxInflight === Number.POSITIVE_INFINITY
    if (limitless) return
    const elapsed = Math.max(0, now - (this.#countedAt[index] as number))
    const kept = Math.exp(-elapsed / TAU_MS)
    this.#countedAt[index] = now
    const rate = (this.#rates[index] as number) * kept + 1000 / TAU_MS
    this.#rates[index] = rate
    const inflight =
      (this.#inflightMean[index] as number) * kept + (this.#inflight[index] as number) * (1 - kept)
    this.#inflightMean[index] = inflight
    const use = Math.max(rate / region.maxRequestsPerSecond, inflight / region.maxInflight)
    const share = use > 1 ? 1 / use : 1
    if (share === this.shares[index]) return
    this.shares[index] = share
    this.limited = this.shares.some((value) => value < 1)
  }

  /** A request was sent to a region; call the answer when it is over. */
  begin(index: number): void {
    this.#inflight[index] = (this.#inflight[index] as number) + 1
  }

  end(index: number): void {
    this.#inflight[index] = Math.max(0, (this.#inflight[index] as number) - 1)
  }

  /** Requests a second and under way, for metrics. */
  read(index: number): { readonly requestsPerSecond: number; readonly inflight: number } {
    return {
      requestsPerSecond: this.#rates[index] as number,
      inflight: this.#inflight[index] as number,
    }
  }
}
