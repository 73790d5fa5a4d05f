/**
 * One gateway's part of a limit, while it cannot ask what the fleet has used: the limit divided by the
 * gateways that were last known. What is used of it is told to the store once, when it is back.
 */
import type { Millis } from '../../exchange.ts'
import type { Clock } from '../../ports.ts'
import type { Algorithm, Finding } from '../algorithm.ts'
import { Gcra } from '../gcra.ts'
import { UntilTable } from '../until-table.ts'
import type { FleetPolicy } from './fleet-policy.ts'
import { fold } from './policy-state.ts'

/** Keys whose use is told; of more than these the store never hears. */
const MOST_TOLD = 10_000
const MITIGATION_SLOTS = 4096

/** Use of one key. */
interface Used {
  readonly high: number
  readonly low: number
  /** Units that the store may have counted itself. */
  uncertain: number
}

export class LocalShare {
  readonly #fleet: FleetPolicy
  readonly #clock: Clock
  readonly #mitigations: UntilTable | undefined
  #algorithm: Algorithm
  #gateways: number
  #used = new Map<number, Used>()
  /** Keys that did not fit into what is told. */
  untold = 0

  constructor(fleet: FleetPolicy, gateways: number, clock: Clock) {
    this.#fleet = fleet
    this.#clock = clock
    this.#gateways = gateways
    this.#algorithm = fleet.share(gateways, clock.monotonic())
    this.#mitigations =
      fleet.counting.mitigationMs > 0 ? new UntilTable(MITIGATION_SLOTS) : undefined
  }

  get #now(): Millis {
    return this.#algorithm.clock === 'wall' ? this.#clock.now() : this.#clock.monotonic()
  }

  /** The number of gateways has become known, or has changed. */
  resize(gateways: number): void {
    if (gateways === this.#gateways) return
    this.#gateways = gateways
    const next = this.#fleet.share(gateways, this.#clock.monotonic())
    next.adopt(this.#algorithm, this.#now)
    this.#algorithm = next
  }

  /** Whether `cost` units fit; `charge` is to follow at once when everything else fits too. */
  look(high: number, low: number, cost: number, found: Finding): boolean {
    const mitigations = this.#mitigations
    const now = this.#clock.monotonic()
    if (mitigations !== undefined) {
      const until = mitigations.get(high, low)
      if (until > now) return this.#shutOut(until - now, found)
    }
    // A part of a burst may be smaller than one request; it passes when nothing else has.
    const most = atOnce(this.#algorithm)
    if (this.#algorithm.peek(high, low, this.#now, Math.min(cost, most), found)) return true
    if (mitigations === undefined) return false
    const { mitigationMs } = this.#fleet.counting
    mitigations.set(high, low, now, now + mitigationMs)
    return this.#shutOut(mitigationMs, found)
  }

  #shutOut(ms: Millis, found: Finding): false {
    found.remaining = 0
    found.resetMs = ms
    found.retryMs = ms
    return false
  }

  /**
   * Charges what was looked at last.
   * @param isTold whether the store is to hear of it: not when it may have counted it itself
   */
  charge(high: number, low: number, cost: number, isTold: boolean): void {
    this.#algorithm.charge()
    this.#note(high, low, isTold ? 0 : cost)
  }

  settle(high: number, low: number, delta: number): void {
    this.#algorithm.settle?.(high, low, this.#now, delta)
    this.#note(high, low, 0)
  }

  #note(high: number, low: number, uncertain: number): void {
    const key = fold(high, low)
    const known = this.#used.get(key)
    if (known !== undefined) known.uncertain += uncertain
    else if (this.#used.size >= MOST_TOLD) this.untold++
    else this.#used.set(key, { high, low, uncertain })
  }

  /** What is still used of each key, in units; each is given once. */
  *takeUsage(found: Finding): Generator<readonly [high: number, low: number, units: number]> {
    const used = this.#used
    this.#used = new Map()
    const most = atOnce(this.#algorithm)
    for (const { high, low, uncertain } of used.values()) {
      this.#algorithm.peek(high, low, this.#now, 0, found)
      const units = most - found.remaining - uncertain
      if (units > 0) yield [high, low, units]
    }
  }
}

function atOnce(algorithm: Algorithm): number {
  return algorithm instanceof Gcra ? algorithm.capacity / algorithm.interval : algorithm.quota
}
