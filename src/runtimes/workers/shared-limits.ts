/**
 * Limits beyond one isolate, cheapest first: what a counter denied is denied here until its time is up; a
 * lease is spent here; a flood guard at the data centre; then the client's counter object. Only `gcra`
 * limits are shared, and only what the isolate's own tables have let through gets here.
 */
import type { MeridianConfig } from '../../config/schema.ts'
import type { Millis } from '../../exchange.ts'
import type { Passage } from '../../gateway.ts'
import { KeyHasher } from '../../limits/key-hash.ts'
import type { RouteLimits } from '../../limits/limits.ts'
import { costOf, type Phase, type Policy } from '../../limits/policy.ts'
import type { LimitResult } from '../../limits/result.ts'
import type { SharedLimits } from '../../limits/shared.ts'
import { UntilTable } from '../../limits/until-table.ts'
import type { Clock, Logger } from '../../ports.ts'
import type { EdgeEnv } from './bindings.ts'
import type { SharedLimit, Taken } from './counter-shard.ts'

const DENIED_SLOTS = 8192
const MOST_LEASES = 4096
/** A lease that is not used is void after this, since the counter has long forgotten it. */
const LEASE_MS = 1000
const DEFAULT_SHARDS = 16

interface Lease {
  units: number
  readonly until: Millis
}

/** What a request has taken, as long as another limit may still deny it. */
interface Spent {
  readonly limit: SharedLimit
  readonly high: number
  readonly low: number
  readonly cost: number
  readonly name: string
  /** From this isolate's lease. */
  readonly isLeased: boolean
}

export interface SharedLimitOptions {
  readonly counters: EdgeEnv['COUNTERS']
  readonly flood: EdgeEnv['FLOOD']
  readonly shards: number
  readonly clock: Clock
  readonly log: Logger
}

export class EdgeLimits implements SharedLimits<Passage> {
  readonly #options: SharedLimitOptions
  /** Isolates must name a client alike, so the hash has a fixed key; the tables of a shard are its own. */
  readonly #hasher = new KeyHasher(new Uint8Array(8))
  readonly #denied = new UntilTable(DENIED_SLOTS)
  readonly #leases = new Map<string, Lease>()
  readonly #limits = new WeakMap<MeridianConfig, ReadonlyMap<string, SharedLimit>>()
  #isDegraded = false

  constructor(options: SharedLimitOptions) {
    this.#options = options
  }

  check(x: Passage, phase: Phase): LimitResult | undefined | Promise<LimitResult | undefined> {
    const routeLimits: RouteLimits = x.plan?.limits ?? x.snapshot.limits.global
    const policies = routeLimits[phase]
    const { flood, counters } = this.#options
    const first = policies[0]
    if (first === undefined) return undefined
    if (phase === 'address' && flood !== undefined && x.client.ip !== undefined) {
      return this.#guardFlood(flood, x.client.ip.text, first).then((denied) =>
        denied === undefined && counters !== undefined
          ? this.#walk(x, policies, 0, [], undefined)
          : denied,
      )
    }
    return counters === undefined ? undefined : this.#walk(x, policies, 0, [], undefined)
  }

  async #guardFlood(
    flood: NonNullable<EdgeEnv['FLOOD']>,
    ip: string,
    policy: Policy,
  ): Promise<LimitResult | undefined> {
    try {
      const { success } = await flood.limit({ key: ip })
      return success ? undefined : denial(policy, 0, 10_000)
    } catch (error) {
      this.#degraded(error)
      return undefined
    }
  }

  /**
   * Each policy in order; the first that denies ends it, and what was taken by then is given back. A few
   * milliseconds pass in between, in which another request may be denied that would just have passed.
   */
  #walk(
    x: Passage,
    policies: readonly Policy[],
    from: number,
    spent: Spent[],
    nearest: LimitResult | undefined,
  ): LimitResult | undefined | Promise<LimitResult | undefined> {
    let last = nearest
    for (let i = from; i < policies.length; i++) {
      const answer = this.#ask(x, policies[i] as Policy, spent)
      if (answer instanceof Promise) {
        return answer.then((result) =>
          result?.allowed === false
            ? this.#giveBack(spent, result)
            : this.#walk(x, policies, i + 1, spent, result ?? last),
        )
      }
      if (answer?.allowed === false) return this.#giveBack(spent, answer)
      last = answer ?? last
    }
    return last
  }

  #giveBack(spent: readonly Spent[], denied: LimitResult): LimitResult | Promise<LimitResult> {
    const atShards: Promise<void>[] = []
    const now = this.#options.clock.monotonic()
    for (const one of spent) {
      const lease = one.isLeased ? this.#leases.get(one.name) : undefined
      if (lease !== undefined && lease.until > now) lease.units += one.cost
      else atShards.push(this.#giveBackToShard(one))
    }
    return atShards.length === 0 ? denied : Promise.all(atShards).then(() => denied)
  }

  async #giveBackToShard({ limit, high, low, cost }: Spent): Promise<void> {
    try {
      await this.#shardOf(low)?.giveBack({ limit, high, low, cost })
    } catch (error) {
      this.#degraded(error)
    }
  }

  #shardOf(low: number) {
    const { counters, shards } = this.#options
    return counters?.get(counters.idFromName(`shard-${low % shards}`))
  }

  #ask(
    x: Passage,
    policy: Policy,
    spent: Spent[],
  ): LimitResult | undefined | Promise<LimitResult | undefined> {
    const limit = this.#sharedLimit(x.snapshot.config, policy)
    if (limit === undefined || (policy.when !== undefined && !policy.when(x))) return undefined
    if (!this.#key(policy, x)) return undefined
    const { high, low } = this.#hasher
    const now = this.#options.clock.monotonic()
    const cost = costOf(policy, x)
    // Until one unit is there; for more of them it takes longer.
    const until = this.#denied.get(high, low)
    if (until > now) return denial(policy, 0, waitFor(limit, cost, until - now))
    const name = `${high} ${low}`
    const lease = this.#leases.get(name)
    if (lease !== undefined && lease.until > now && lease.units >= cost) {
      lease.units -= cost
      spent.push({ limit, high, low, cost, name, isLeased: true })
      return undefined
    }
    return this.#take(policy, { limit, high, low, cost, name, isLeased: false }, spent)
  }

  async #take(policy: Policy, asked: Spent, spent: Spent[]): Promise<LimitResult | undefined> {
    const { limit, high, low, cost, name } = asked
    let taken: Taken | undefined
    try {
      taken = await this.#shardOf(low)?.take({ limit, high, low, cost, lease: leaseOf(limit) })
    } catch (error) {
      this.#degraded(error)
    }
    if (taken === undefined) return undefined
    this.#isDegraded = false
    const now = this.#options.clock.monotonic()
    if (!taken.allowed) {
      // A cheaper request may pass: only what refuses a single unit refuses all that come.
      const forOne = taken.resetMs - (cost - 1) * unitMs(limit)
      if (taken.remaining === 0 && forOne > 0) this.#denied.set(high, low, now, now + forOne)
      return denial(policy, taken.remaining, taken.retryMs)
    }
    spent.push(asked)
    if (taken.leased > 0) {
      if (this.#leases.size >= MOST_LEASES) this.#leases.clear()
      const left = this.#leases.get(name)
      const units = taken.leased + (left !== undefined && left.until > now ? left.units : 0)
      this.#leases.set(name, { units, until: now + LEASE_MS })
    }
    return {
      ...denial(policy, taken.remaining + taken.leased, taken.resetMs),
      allowed: true,
      reason: undefined,
      retryAfter: 0,
      violated: [],
    }
  }

  /** Hashes the policy's key with its id; false when a part of it is missing. */
  #key(policy: Policy, x: Passage): boolean {
    const hasher = this.#hasher
    hasher.reset()
    hasher.text(policy.id)
    for (const part of policy.key) if (!part(x, hasher)) return false
    hasher.hash()
    return true
  }

  #sharedLimit(config: MeridianConfig, policy: Policy): SharedLimit | undefined {
    let limits = this.#limits.get(config)
    if (limits === undefined) {
      limits = sharedLimits(config)
      this.#limits.set(config, limits)
    }
    return policy.enforced && !policy.countsResponses ? limits.get(policy.id) : undefined
  }

  /** Counters that fail let requests pass: the isolate's own tables still count. */
  #degraded(error: unknown): void {
    if (this.#isDegraded) return
    this.#isDegraded = true
    this.#options.log.warn('shared limits are not reached; each isolate counts on its own', {
      error: error instanceof Error ? error.message : String(error),
    })
  }
}

function sharedLimits(config: MeridianConfig): ReadonlyMap<string, SharedLimit> {
  const limits = new Map<string, SharedLimit>()
  for (const { id, algorithm, limit, window, burst } of config.limits) {
    if (algorithm !== 'gcra' || window === undefined) continue
    // The default is that of `limits/policy.ts`.
    const most = burst ?? Math.max(1, Math.floor(limit / 10))
    limits.set(id, { id, limit, windowMs: window, burst: most })
  }
  return limits
}

/** How long a unit takes to come back. */
function unitMs({ windowMs, limit }: SharedLimit): Millis {
  return windowMs / limit
}

/** @param forOne until a single unit is there */
function waitFor(limit: SharedLimit, cost: number, forOne: Millis): Millis {
  return cost > limit.burst ? Number.POSITIVE_INFINITY : forOne + (cost - 1) * unitMs(limit)
}

function denial(policy: Policy, remaining: number, waitMs: Millis): LimitResult {
  const seconds = Number.isFinite(waitMs) ? Math.max(1, Math.ceil(waitMs / 1000)) : 0
  return {
    allowed: false,
    status: policy.status,
    policy,
    reason: 'limit',
    limit: policy.algorithm.quota,
    remaining,
    resetSeconds: seconds,
    retryAfter: seconds,
    violated: [policy.id],
    logged: [],
    charges: [],
  }
}

/** Of a burst of hundreds, a fiftieth at a time: one call for several requests, and little is lost. */
function leaseOf(limit: SharedLimit): number {
  return limit.burst < 200 ? 0 : Math.floor(limit.burst / 50)
}

/** @returns how many shards; a power of two would not be needed, at least one is */
export function shardsOf(text: string | undefined): number {
  const count = Number(text)
  return Number.isInteger(count) && count >= 1 && count <= 1024 ? count : DEFAULT_SHARDS
}
