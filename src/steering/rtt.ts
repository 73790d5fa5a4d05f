/**
 * How long it takes to reach regions, from the TCP connections that this gateway makes to them anyway.
 * Connect time and not time to first byte: an origin that fails fast, or one that computes, must not
 * look near or far. Peaks count at once and wear off slowly, as in Finagle's Peak EWMA.
 */
import type { Millis } from '../exchange.ts'
import type { RegionTable } from './regions.ts'
import { unitVector } from './regions.ts'

/** Milliseconds for the round trip over a fibre of that length: 0.01 ms a km there and back, routes half as long again. */
export function priorMs(km: number): Millis {
  return 5 + 0.015 * km
}

/** Weight of a measurement fades by 1/e in this time. */
const TAU_MS = 60_000
/** New measurements change rankings at most this often. */
const REVIEW_MS = 10_000
/** Bounds of the correction: a region is never taken for more than this much nearer or farther than it lies. */
const LEAST_INFLATION = 0.5
const MOST_INFLATION = 4

export class RttTable {
  readonly #ids: readonly string[]
  readonly #prior: Float64Array
  readonly #current: Float64Array
  readonly #seenAt: Float64Array
  /** What rankings are made from; `#current` as it was at the last review. */
  readonly #reviewed: Float64Array
  #reviewedAt = Number.NEGATIVE_INFINITY
  #changed = false
  #version = 0

  /** @param gateway where this gateway stands, if it is known */
  constructor(regions: RegionTable, gateway: { latitude: number; longitude: number } | undefined) {
    const from = unitVector(gateway?.latitude ?? Number.NaN, gateway?.longitude ?? Number.NaN)
    this.#ids = regions.ids()
    this.#prior = Float64Array.from(regions.regions, (region) =>
      priorMs(regions.distanceKm(from, region.index)),
    )
    this.#current = new Float64Array(regions.size).fill(Number.NaN)
    this.#seenAt = new Float64Array(regions.size)
    this.#reviewed = new Float64Array(regions.size).fill(Number.NaN)
  }

  /** What an older config's table has measured, for regions of the same name. */
  adopt(before: RttTable): void {
    this.#ids.forEach((id, index) => {
      const old = before.#ids.indexOf(id)
      if (old < 0) return
      this.#current[index] = before.#current[old] as number
      this.#reviewed[index] = before.#reviewed[old] as number
      this.#seenAt[index] = before.#seenAt[old] as number
    })
    this.#reviewedAt = before.#reviewedAt
    this.#changed = before.#changed
    this.#version++
  }

  /** Changes when the estimates do. */
  get version(): number {
    return this.#version
  }

  /** Takes one measured connect time. @param now monotonic */
  observe(index: number, connectMs: Millis, now: Millis): void {
    if (!(connectMs >= 0)) return
    const before = this.#current[index] as number
    if (Number.isNaN(before) || connectMs > before) {
      this.#current[index] = connectMs
    } else {
      const kept = Math.exp(-Math.max(0, now - (this.#seenAt[index] as number)) / TAU_MS)
      // At most a tenth of the way at once, or one measurement after a quiet minute would be everything.
      const weight = Math.max(kept, 0.9)
      this.#current[index] = before * weight + connectMs * (1 - weight)
    }
    this.#seenAt[index] = now
    this.#changed = true
    this.review(now)
  }

  /** Lets rankings see the newest measurements, if the last time is long enough ago. */
  review(now: Millis): void {
    if (!this.#changed || now - this.#reviewedAt < REVIEW_MS) return
    this.#reviewedAt = now
    this.#changed = false
    this.#reviewed.set(this.#current)
    this.#version++
  }

  /** Milliseconds from this gateway to a region: measured, else by distance; NaN when neither is known. */
  fromGateway(index: number): Millis {
    const measured = this.#reviewed[index] as number
    return Number.isNaN(measured) ? (this.#prior[index] as number) : measured
  }

  /** How much slower than its distance says the region answers: 1 until it was measured. */
  inflation(index: number): number {
    const ratio = (this.#reviewed[index] as number) / (this.#prior[index] as number)
    if (Number.isNaN(ratio)) return 1
    return Math.min(MOST_INFLATION, Math.max(LEAST_INFLATION, ratio))
  }

  /** Milliseconds from a client that far away. */
  estimate(index: number, km: number): Millis {
    return priorMs(km) * this.inflation(index)
  }
}
