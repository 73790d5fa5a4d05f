/**
 * Keys that are shut out until a time: no timer, no list, just the time in a slot. The key whose time ends
 * first gives way when its set is full.
 */
import type { Millis } from '../exchange.ts'
import { SlotTable } from './slot-table.ts'

export class UntilTable extends SlotTable {
  constructor(slots: number) {
    super(slots, true)
  }

  /** The time until which the key is shut out, or 0. */
  get(high: number, low: number): Millis {
    const slot = this.index.find(high, low)
    return slot < 0 ? 0 : (this.values[this.valueAt(slot)] as number)
  }

  set(high: number, low: number, now: Millis, until: Millis): void {
    let slot = this.index.find(high, low)
    if (slot < 0) slot = this.claim(high, low, now)
    this.values[this.valueAt(slot)] = until
  }

  /** Takes over the entries of the same table before a reload. */
  adopt(previous: UntilTable, now: Millis): void {
    previous.each((high, low, slot) => {
      const until = previous.values[previous.valueAt(slot)] as number
      if (until > now) this.set(high, low, now, until)
    })
  }

  used(now: Millis): number {
    return this.indebted(now)
  }

  protected override debt(slot: number, now: Millis): number {
    return (this.values[this.valueAt(slot)] as number) - now
  }

  protected override clear(slot: number): void {
    this.values[this.valueAt(slot)] = 0
  }
}
