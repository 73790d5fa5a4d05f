/**
 * Quotas by calendar or by fixed window: so many units each day, month or minute, beginning at its edge in a
 * time zone. A client may use two quotas around an edge; that is what a quota means. Follows the wall clock.
 */
import type { Millis } from '../exchange.ts'
import type { Algorithm, Finding } from './algorithm.ts'
import { SlotTable } from './slot-table.ts'

/** Finds the period that an instant lies in. Remembers the last one: the next call costs a comparison. */
export interface Periods {
  /** `w` in seconds, 0 when periods differ in length. */
  readonly seconds: number
  /** Names periods of different kinds apart: a reload compares it. */
  readonly name: string
  start: Millis
  end: Millis
  /** Sets `start` and `end` around `now`. */
  seek(now: Millis): void
}

export class FixedPeriods implements Periods {
  readonly seconds: number
  readonly name: string
  start: Millis = 0
  end: Millis = 0
  readonly #length: Millis

  constructor(length: Millis) {
    this.#length = length
    this.seconds = Math.max(1, Math.round(length / 1000))
    this.name = `fixed:${length}`
  }

  seek(now: Millis): void {
    if (now >= this.start && now < this.end) return
    this.start = Math.floor(now / this.#length) * this.#length
    this.end = this.start + this.#length
  }
}

export type CalendarUnit = 'hour' | 'day' | 'week' | 'month'

/** Local hours, days, weeks (from Monday, ISO 8601) and months of an IANA time zone. */
export class CalendarPeriods implements Periods {
  readonly seconds: number
  readonly name: string
  start: Millis = 0
  end: Millis = 0
  readonly #unit: CalendarUnit
  readonly #format: Intl.DateTimeFormat

  /** @throws RangeError for an unknown time zone */
  constructor(unit: CalendarUnit, timeZone: string) {
    this.#unit = unit
    this.seconds = { hour: 3600, day: 86_400, week: 604_800, month: 0 }[unit]
    this.name = `${unit}:${timeZone}`
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
  }

  seek(now: Millis): void {
    if (now >= this.start && now < this.end) return
    const local = new Date(this.#local(now))
    const year = local.getUTCFullYear()
    const month = local.getUTCMonth()
    const day = local.getUTCDate()
    switch (this.#unit) {
      case 'hour': {
        // By elapsed time, so that a clock change makes no hour of zero or two hours' length.
        const offset = this.#local(now) - Math.floor(now / 1000) * 1000
        this.start = Math.floor((now + offset) / 3_600_000) * 3_600_000 - offset
        this.end = this.start + 3_600_000
        return
      }
      case 'day':
        this.start = this.#instant(Date.UTC(year, month, day))
        this.end = this.#instant(Date.UTC(year, month, day + 1))
        return
      case 'week': {
        const monday = day - ((local.getUTCDay() + 6) % 7)
        this.start = this.#instant(Date.UTC(year, month, monday))
        this.end = this.#instant(Date.UTC(year, month, monday + 7))
        return
      }
      case 'month':
        this.start = this.#instant(Date.UTC(year, month, 1))
        this.end = this.#instant(Date.UTC(year, month + 1, 1))
        return
    }
  }

  /** The zone's wall-clock time at an instant, as if it were UTC; whole seconds. */
  #local(instant: Millis): Millis {
    const fields: Record<string, number> = {}
    for (const part of this.#format.formatToParts(instant)) fields[part.type] = Number(part.value)
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = fields
    return Date.UTC(year, month - 1, day, hour, minute, second)
  }

  /** The instant of a wall-clock time; two steps settle the offset across a clock change. */
  #instant(local: Millis): Millis {
    let instant = local
    for (let i = 0; i < 2; i++) instant = local - (this.#local(instant) - instant)
    return instant
  }
}

export interface CalendarOptions {
  readonly limit: number
  readonly periods: Periods
  readonly slots: number
}

export class Calendar extends SlotTable implements Algorithm {
  readonly clock = 'wall'
  readonly quota: number
  readonly windowSeconds: number
  readonly #periods: Periods
  readonly #start: Float64Array
  readonly #count: Float64Array
  #high = 0
  #low = 0
  #slot = -1
  #next = 0

  constructor(options: CalendarOptions) {
    super(options.slots)
    this.quota = options.limit
    this.#periods = options.periods
    this.windowSeconds = options.periods.seconds
    this.#start = new Float64Array(this.slots)
    this.#count = new Float64Array(this.slots)
  }

  peek(high: number, low: number, now: Millis, cost: number, found: Finding): boolean {
    this.#periods.seek(now)
    const slot = this.index.find(high, low)
    const used = slot < 0 ? 0 : this.debt(slot)
    found.resetMs = this.#periods.end - now
    if (used + cost > this.quota) {
      found.remaining = Math.max(0, this.quota - used)
      found.retryMs = cost > this.quota ? Number.POSITIVE_INFINITY : found.resetMs
      return false
    }
    found.remaining = this.quota - used - cost
    this.#high = high
    this.#low = low
    this.#slot = slot
    this.#next = used + cost
    return true
  }

  charge(): void {
    this.#put(this.#slot, this.#high, this.#low, this.#next)
  }

  settle(high: number, low: number, now: Millis, delta: number): void {
    this.#periods.seek(now)
    const slot = this.index.find(high, low)
    this.#put(slot, high, low, Math.max(0, (slot < 0 ? 0 : this.debt(slot)) + delta))
  }

  #put(slot: number, high: number, low: number, count: number): void {
    const at = slot < 0 ? this.claim(high, low, 0) : slot
    this.#start[at] = this.#periods.start
    this.#count[at] = count
  }

  adopt(previous: Algorithm, now: Millis): boolean {
    if (!(previous instanceof Calendar)) return false
    if (previous.#periods.name !== this.#periods.name) return false
    this.#periods.seek(now)
    previous.#periods.seek(now)
    previous.each((high, low, from) => {
      const count = previous.debt(from)
      if (count > 0) this.#put(this.index.find(high, low), high, low, count)
    })
    return true
  }

  used(now: Millis): number {
    this.#periods.seek(now)
    return this.indebted(now)
  }

  /** A period that lies ahead is from before the clock stepped back: its use counts for this one. */
  protected override debt(slot: number): number {
    const start = this.#start[slot] as number
    if (start < this.#periods.start) return 0
    if (start > this.#periods.start) this.#start[slot] = this.#periods.start
    return this.#count[slot] as number
  }

  protected override clear(slot: number): void {
    this.#count[slot] = 0
  }
}
