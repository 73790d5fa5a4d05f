/** Stands where a limit's table would be: what is settled later is settled where the fleet counts. */
import type { Millis } from '../../exchange.ts'
import type { Algorithm } from '../algorithm.ts'
import type { KeyHasher } from '../key-hash.ts'
import type { FleetPolicy } from './fleet-policy.ts'

/** What counts for the fleet, as the limits of a config know it. */
export interface Fleet {
  /** With a key that all gateways have. */
  readonly hasher: KeyHasher
  /** Why a limit cannot be counted there; undefined when it can. */
  refuses(id: string, policy: FleetPolicy): string | undefined
  /** Corrects an earlier charge of the limit `id` by `delta` units, up or down, without asking. */
  settle(id: string, policy: FleetPolicy, high: number, low: number, delta: number): void
  /** Keys of the limit of which something is remembered here. */
  held(id: string): number
  displaced(id: string): number
}

export class FleetCounter implements Algorithm {
  readonly clock: Algorithm['clock']
  readonly quota: number
  readonly windowSeconds: number
  readonly #id: string
  readonly #policy: FleetPolicy
  readonly #fleet: Fleet | undefined

  /** @param template the limit as a table of one process */
  constructor(
    id: string,
    policy: FleetPolicy,
    { clock, quota, windowSeconds }: Algorithm,
    fleet: Fleet | undefined,
  ) {
    this.clock = clock
    this.quota = quota
    this.windowSeconds = windowSeconds
    this.#id = id
    this.#policy = policy
    this.#fleet = fleet
  }

  /** Checks of the process's own leave shared limits out, and an explanation counts nothing. */
  peek(): boolean {
    return true
  }

  charge(): void {}

  settle(high: number, low: number, _now: Millis, delta: number): void {
    this.#fleet?.settle(this.#id, this.#policy, high, low, delta)
  }

  /** What is used is in the store, under the limit's name. */
  adopt(): boolean {
    return true
  }

  get displaced(): number {
    return this.#fleet?.displaced(this.#id) ?? 0
  }

  used(): number {
    return this.#fleet?.held(this.#id) ?? 0
  }
}
