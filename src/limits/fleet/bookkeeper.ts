/**
 * What happens between a process and the store behind the requests: units that nobody used go back,
 * corrections are sent, counts are exchanged, and after an outage the store is told once what was used.
 */
import type { Millis } from '../../exchange.ts'
import type { Clock } from '../../ports.ts'
import { Finding } from '../algorithm.ts'
import type { KeyState } from './key-state.ts'
import type { PolicyState } from './policy-state.ts'
import { type FleetStore, StoreUnavailable, type Take } from './store.ts'

const SWEEP_MS: Millis = 500
/** Limits in one question. */
const BATCH = 64

export class Bookkeeper {
  readonly #store: FleetStore
  readonly #clock: Clock
  readonly #states: ReadonlyMap<string, PolicyState>
  readonly #found = new Finding()
  #cancelSweep: (() => void) | undefined
  readonly #syncs = new Map<PolicyState, () => void>()

  constructor(store: FleetStore, clock: Clock, states: ReadonlyMap<string, PolicyState>) {
    this.#store = store
    this.#clock = clock
    this.#states = states
  }

  // Leases --------------------------------------------------------------------------------------------

  /** Looks soon for units that are void. */
  sweepSoon(): void {
    this.#cancelSweep ??= this.#clock.after(SWEEP_MS, () => this.#sweep())
  }

  #sweep(): void {
    this.#cancelSweep = undefined
    const now = this.#clock.monotonic()
    const takes: Take[] = []
    let isHolding = false
    for (const state of this.#states.values()) {
      // Of a failure that came and went without an outage.
      if (this.#store.isUp) this.#tellUsage(state)
      for (const [name, key] of state.keys) {
        if (key.tokens > 0 && now >= key.until) takes.push(...this.#voided(state, key))
        if (key.isIdle(now)) state.keys.delete(name)
        isHolding = true
      }
    }
    void this.#send(takes)
    if (isHolding) this.sweepSoon()
  }

  /** Takes the units of a key from it, to be given back. */
  #voided(state: PolicyState, key: KeyState): Take[] {
    const units = key.tokens
    if (units === 0) return []
    key.tokens = 0
    state.wasted += units
    const take = state.take('settle', key.high, key.low, -units, 0, this.#clock.now())
    // Of a period that is over there is nothing to give back.
    return take.name === key.leasedFrom ? [take] : []
  }

  giveBack(state: PolicyState, key: KeyState): void {
    const takes = this.#voided(state, key)
    if (key.pending !== 0) takes.push(this.#owed(state, key))
    state.unsynced.delete(key)
    void this.#send(takes)
  }

  // Counting behind the answers -----------------------------------------------------------------------

  /** Whether `cost` units fit into what the store said was left, and what has come back since. */
  fits(state: PolicyState, key: KeyState, cost: number, now: Millis): boolean {
    const { counting } = state.fleet
    let left = key.remaining ?? counting.atOnce
    if (counting.unitMs > 0) {
      // Of what comes back, the other gateways use their part.
      const since = Math.max(0, now - key.returnsFrom) / this.#store.gateways
      left += Math.floor(since / counting.unitMs)
    } else if (now >= key.resetAt && counting.periods !== undefined) left = counting.atOnce
    if (Math.min(left, counting.atOnce) - key.pending - key.telling >= cost) return true
    key.retryAt = now + state.fleet.intervalMs
    // Others may have left something since: the next exchange says.
    this.syncSoon(state, key)
    return false
  }

  syncSoon(state: PolicyState, key: KeyState): void {
    state.unsynced.add(key)
    if (this.#syncs.has(state)) return
    const cancel = this.#clock.after(state.fleet.intervalMs, () => {
      this.#syncs.delete(state)
      void this.#sync(state)
    })
    this.#syncs.set(state, cancel)
  }

  #owed(state: PolicyState, key: KeyState): Take {
    const take = state.take('settle', key.high, key.low, key.pending, 0, this.#clock.now())
    key.pending = 0
    return take
  }

  async #sync(state: PolicyState): Promise<void> {
    const keys = [...state.unsynced]
    state.unsynced.clear()
    for (let at = 0; at < keys.length; at += BATCH) {
      const part = keys.slice(at, at + BATCH)
      const owed = part.map((key) => key.pending)
      const takes = part.map((key) => this.#owed(state, key))
      // Until it answers, what it is told of is used up here all the same.
      part.forEach((key, i) => {
        key.telling = owed[i] as number
      })
      try {
        const { verdicts } = await this.#store.ask(takes)
        const now = this.#clock.monotonic()
        part.forEach((key, i) => {
          const verdict = verdicts[i]
          if (verdict !== undefined) key.learn(verdict, state.fleet, '', now)
        })
      } catch (error) {
        const mayBeCharged = error instanceof StoreUnavailable && error.mayBeCharged
        part.forEach((key, i) => {
          // What may have been counted is not told again.
          if (mayBeCharged) state.lost++
          else {
            key.pending += owed[i] as number
            state.unsynced.add(key)
          }
        })
      }
      for (const key of part) key.telling = 0
    }
    const [waiting] = state.unsynced
    if (waiting !== undefined) this.syncSoon(state, waiting)
  }

  // Corrections ---------------------------------------------------------------------------------------

  settle(state: PolicyState, high: number, low: number, delta: number): void {
    const key = state.key(high, low, (old) => this.giveBack(state, old))
    const { mode, onFailure } = state.fleet
    if (mode === 'async') {
      key.pending += delta
      this.syncSoon(state, key)
      return
    }
    const now = this.#clock.monotonic()
    if (mode === 'lease' && now < key.until && key.tokens >= delta) {
      key.tokens -= delta
      this.sweepSoon()
      return
    }
    if (this.#store.isUp) {
      const take = state.take('settle', high, low, delta, 0, this.#clock.now())
      void this.#send([take], (isLost) => {
        if (isLost) state.lost++
        else this.#settleAlone(state, high, low, delta)
      })
    } else if (onFailure === 'local') this.#settleAlone(state, high, low, delta)
    else state.lost++
  }

  #settleAlone(state: PolicyState, high: number, low: number, delta: number): void {
    state.share(this.#store.gateways, this.#clock).settle(high, low, delta)
  }

  // Outages -------------------------------------------------------------------------------------------

  /** The store is back: what each key still uses of this gateway's part is counted there, once. */
  recovered(): void {
    for (const state of this.#states.values()) this.#tellUsage(state)
  }

  #tellUsage(state: PolicyState): void {
    const share = state.takeShare()
    if (share === undefined) return
    const wall = this.#clock.now()
    state.lost += share.untold
    const takes: Take[] = []
    for (const [high, low, units] of share.takeUsage(this.#found)) {
      takes.push(state.take('settle', high, low, units, 0, wall))
    }
    void this.#send(takes, () => state.lost++)
  }

  /** @param onFailed for each batch: whether the store may have counted it all the same */
  async #send(takes: readonly Take[], onFailed?: (mayBeCharged: boolean) => void): Promise<void> {
    for (let at = 0; at < takes.length; at += BATCH) {
      try {
        await this.#store.ask(takes.slice(at, at + BATCH))
      } catch (error) {
        onFailed?.(error instanceof StoreUnavailable && error.mayBeCharged)
      }
    }
  }

  /** The same limit with other settings: its keys go on where they count alike. */
  retire(old: PolicyState, next: PolicyState): void {
    const isSame = old.fleet.counting.name === next.fleet.counting.name
    for (const [name, key] of old.keys) {
      if (isSame && old.fleet.mode === next.fleet.mode) next.keys.set(name, key)
      else this.giveBack(old, key)
    }
    for (const key of old.unsynced) if (isSame) this.syncSoon(next, key)
    Object.assign(next.decisions, old.decisions)
    next.leased = old.leased
    next.wasted = old.wasted
    next.displaced = old.displaced
    next.lost = old.lost
  }

  async close(): Promise<void> {
    this.#cancelSweep?.()
    for (const cancel of this.#syncs.values()) cancel()
    const takes: Take[] = []
    for (const state of this.#states.values()) {
      for (const key of state.keys.values()) {
        takes.push(...this.#voided(state, key))
        if (key.pending !== 0) takes.push(this.#owed(state, key))
      }
    }
    if (this.#store.isUp) await this.#send(takes)
  }
}
