/**
 * Keeps pools at what their origins' names resolve to: an address that comes is a new origin, with a small share
 * at first; one that goes gets no new requests, and is forgotten when the last one there has ended.
 */
import type { PoolConfig } from '../config/sections/pools.ts'
import type { HealthBoard } from '../health/board.ts'
import type { Platform } from '../ports.ts'
import { MOST_ADDRESSES } from '../upstream/endpoints.ts'
import type { Origin, Pool } from '../upstream/pool.ts'
import { type Member, membersOf, nameOf, weightOf } from './members.ts'
import { fillPool, type OriginMaker } from './pools.ts'

/** How often it is looked whether addresses that are gone have ended their last request. */
const SWEEP_MS = 1000

export interface AddressChange {
  readonly pool: string
  readonly added: readonly string[]
  readonly removed: readonly string[]
  /** Addresses beyond the most that count. */
  readonly leftOut: number
}

export interface NamedPool {
  readonly pool: Pool
  readonly config: PoolConfig
  readonly make: OriginMaker
  members: readonly Member[]
}

export class OriginNames {
  readonly #pools: readonly NamedPool[]
  readonly #board: HealthBoard
  readonly #platform: Platform
  readonly #onChange: (change: AddressChange) => void
  #unwatch: (() => void)[] = []
  #leaving: Origin[] = []
  #cancelSweep: (() => void) | undefined

  /** @param onChange after the pool and the board have changed */
  constructor(
    pools: readonly NamedPool[],
    board: HealthBoard,
    platform: Platform,
    onChange: (change: AddressChange) => void,
  ) {
    this.#pools = pools
    this.#board = board
    this.#platform = platform
    this.#onChange = onChange
  }

  start(): void {
    const { names } = this.#platform
    if (names === undefined) return
    for (const named of this.#pools) {
      const { dns } = named.config
      const limits = { leastMs: dns.ttlMin, mostMs: dns.ttlMax }
      const wanted = new Set(named.config.origins.map(nameOf))
      for (const name of wanted) {
        if (name === undefined) continue
        this.#unwatch.push(names.watch(name, limits, () => this.#update(named)))
      }
      // An answer may have come between compiling and now.
      this.#update(named)
    }
  }

  stop(): void {
    for (const unwatch of this.#unwatch.splice(0)) unwatch()
    this.#cancelSweep?.()
    this.#cancelSweep = undefined
  }

  #update(named: NamedPool): void {
    const { pool, config } = named
    const now = this.#platform.clock.monotonic()
    const before = named.members
    const members = membersOf(pool.id, config, this.#platform.names)
    const kept = new Map(before.map((member) => [member.endpoint.id, member]))
    for (const { endpoint } of members) {
      const known = kept.get(endpoint.id)?.endpoint.stands ?? []
      const isOther = known.length > 0 && !endpoint.stands.some((each) => known.includes(each))
      if (isOther) this.#board.renew(endpoint.id, now)
    }
    named.members = members
    const ids = new Set(members.map(({ endpoint }) => endpoint.id))
    const added = members.filter(({ endpoint }) => !kept.has(endpoint.id))
    const removed = before.filter(({ endpoint }) => !ids.has(endpoint.id))
    const isReweighed = members.some((member) => {
      const old = kept.get(member.endpoint.id)
      return old !== undefined && (weightOf(old) !== weightOf(member) || isMoved(old, member))
    })
    if (added.length === 0 && removed.length === 0 && !isReweighed) return
    this.#board.setOrigins(
      pool.id,
      members.map((member) => ({
        id: member.endpoint.id,
        weight: weightOf(member),
        knownAs: before.find((other) => isSameServer(other, member))?.endpoint.id,
      })),
      now,
    )
    const gone = fillPool(pool, members, named.make, (id) => this.#board.indexOf(id))
    this.#leaving = this.#leaving.filter(({ id }) => !ids.has(id)).concat(gone)
    this.#sweep()
    this.#onChange({
      pool: pool.id,
      added: added.map(({ endpoint }) => endpoint.id),
      removed: removed.map(({ endpoint }) => endpoint.id),
      leftOut: this.#leftOut(config),
    })
  }

  #leftOut(config: PoolConfig): number {
    if (!config.dns.perAddress) return 0
    let count = 0
    for (const name of new Set(config.origins.map(nameOf))) {
      const found = name === undefined ? 0 : (this.#platform.names?.addresses(name)?.length ?? 0)
      count += Math.max(0, found - MOST_ADDRESSES)
    }
    return count
  }

  #sweep(): void {
    this.#cancelSweep?.()
    this.#cancelSweep = undefined
    this.#leaving = this.#leaving.filter(({ id, load }) => {
      if (load.inFlight > 0) return true
      this.#board.release(id)
      return false
    })
    if (this.#leaving.length === 0) return
    this.#cancelSweep = this.#platform.clock.after(SWEEP_MS, () => this.#sweep())
  }
}

function isSameServer(one: Member, other: Member): boolean {
  return (
    one.index === other.index &&
    one.endpoint.stands.some((each) => other.endpoint.stands.includes(each))
  )
}

/** Under one id, but at another place: the only server of a service. */
function isMoved(old: Member, member: Member): boolean {
  return member.endpoint.port !== undefined && !isSameServer(old, member)
}
