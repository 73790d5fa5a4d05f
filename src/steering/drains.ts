/**
 * Regions that an operator has taken out of service: no new request goes there, neither by policy nor by a
 * sticky cookie, nor as a last resort; what is under way ends. Stronger than `drain` of the config, which lets
 * sticky clients stay. No timers: `advance` ends what has a time. The board of the next snapshot adopts this
 * one's, so that a reload of the config loses nothing.
 */
import type { Millis } from '../exchange.ts'
import type { RegionMask, RegionTable } from './regions.ts'

export interface Drain {
  /** A region's id; it may be one that the present config does not have. */
  readonly region: string
  /** Milliseconds since the epoch, like `until`. */
  readonly since: Millis
  /** Null: until it is enabled again. */
  readonly until: Millis | null
  /** Who ordered it, as the control port names callers. */
  readonly by: string
  readonly reason: string | null
}

export class DrainBoard implements RegionMask {
  /** Bit i: region i is drained (`high`: regions 32 to 63). */
  low = 0
  high = 0
  readonly #regions: RegionTable
  readonly #drains = new Map<string, Drain>()
  #nextEnd = Number.POSITIVE_INFINITY

  constructor(regions: RegionTable, previous?: DrainBoard) {
    this.#regions = regions
    if (previous !== undefined) this.adopt(previous)
  }

  /** Whether any region of this config is drained. */
  get any(): boolean {
    return this.low !== 0 || this.high !== 0
  }

  has(index: number): boolean {
    return ((index < 32 ? this.low : this.high) & (1 << (index & 31))) !== 0
  }

  /** By the region's id. */
  get(region: string): Drain | undefined {
    return this.#drains.get(region)
  }

  list(): Drain[] {
    return [...this.#drains.values()]
  }

  drain(drain: Drain): void {
    this.#drains.set(drain.region, drain)
    this.#refresh()
  }

  /** @returns whether it was drained */
  enable(region: string): boolean {
    const was = this.#drains.delete(region)
    if (was) this.#refresh()
    return was
  }

  /** Takes over all that another board has, and forgets what it has not. */
  adopt(other: DrainBoard): void {
    this.replace(other.list())
  }

  replace(drains: Iterable<Drain>): void {
    this.#drains.clear()
    for (const drain of drains) this.#drains.set(drain.region, drain)
    this.#refresh()
  }

  /** Ends drains whose time has come. One comparison when there is none: call it with every request. */
  advance(now: Millis): void {
    if (now < this.#nextEnd) return
    for (const { region, until } of this.list()) {
      if (until !== null && until <= now) this.#drains.delete(region)
    }
    this.#refresh()
  }

  #refresh(): void {
    this.low = 0
    this.high = 0
    this.#nextEnd = Number.POSITIVE_INFINITY
    for (const { region, until } of this.#drains.values()) {
      if (until !== null) this.#nextEnd = Math.min(this.#nextEnd, until)
      const index = this.#regions.indexOf(region)
      if (index === undefined) continue
      if (index < 32) this.low |= 1 << index
      else this.high |= 1 << (index & 31)
    }
  }
}
