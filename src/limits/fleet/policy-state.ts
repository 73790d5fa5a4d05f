/** What one process holds of one shared limit: its keys, its part of the limit, and its counts. */
import type { Millis } from '../../exchange.ts'
import type { Clock } from '../../ports.ts'
import type { FleetPolicy } from './fleet-policy.ts'
import { KeyState } from './key-state.ts'
import { LocalShare } from './local-share.ts'
import type { Take, TakeKind } from './store.ts'

/** Who decided: units leased before, the store, a count behind the answers, or, with the store away, these. */
export const SOURCES = ['lease', 'store', 'async', 'local', 'open', 'closed'] as const
export type Source = (typeof SOURCES)[number]

export class PolicyState {
  readonly id: string
  readonly fleet: FleetPolicy
  readonly keys = new Map<number, KeyState>()
  readonly decisions: Record<Source, number> = {
    lease: 0,
    store: 0,
    async: 0,
    local: 0,
    open: 0,
    closed: 0,
  }
  /** Units fetched ahead, and those of them that nobody used in time. */
  leased = 0
  wasted = 0
  /** Keys given up for others. */
  displaced = 0
  /** Corrections that the store may not have heard of. */
  lost = 0
  /** `async`: keys with something to tell. */
  readonly unsynced = new Set<KeyState>()
  #share: LocalShare | undefined

  constructor(id: string, fleet: FleetPolicy) {
    this.id = id
    this.fleet = fleet
  }

  /** The state of a key. @param onDisplaced gets one that had to make room */
  key(high: number, low: number, onDisplaced: (key: KeyState) => void): KeyState {
    const name = fold(high, low)
    const known = this.keys.get(name)
    if (known !== undefined) return known
    if (this.keys.size >= this.fleet.slots) {
      // The oldest. The store knows what it used: it is only asked again.
      for (const [old, key] of this.keys) {
        this.keys.delete(old)
        this.displaced++
        onDisplaced(key)
        break
      }
    }
    const key = new KeyState(high, low)
    this.keys.set(name, key)
    return key
  }

  /** This gateway's part, for as long as it is alone. */
  share(gateways: number, clock: Clock): LocalShare {
    if (this.#share === undefined) this.#share = new LocalShare(this.fleet, gateways, clock)
    else this.#share.resize(gateways)
    return this.#share
  }

  /** The store is back: the part ends. */
  takeShare(): LocalShare | undefined {
    const share = this.#share
    this.#share = undefined
    return share
  }

  /** @param wall clock, for calendars */
  take(kind: TakeKind, high: number, low: number, cost: number, extra: number, wall: Millis): Take {
    const { counting } = this.fleet
    const hash = hex(high) + hex(low)
    if (counting.algorithm !== 'calendar' || counting.periods === undefined) {
      return { kind, counting, name: `${counting.name}:${hash}`, cost, extra, start: 0, end: 0 }
    }
    counting.periods.seek(wall)
    const { start, end } = counting.periods
    return { kind, counting, name: `${counting.name}:${start}:${hash}`, cost, extra, start, end }
  }
}

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0')
}

/** 53 of the 64 bits of a key's hash: as many as a number holds. */
export function fold(high: number, low: number): number {
  return (high & 0x1fffff) * 0x1_0000_0000 + (low >>> 0)
}
