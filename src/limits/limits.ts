/**
 * Limits as the gateway sees them: one synchronous check for each phase of a request, which charges all
 * policies that apply or none, a settlement when the response is known, and a release at the end.
 */
import type { Report } from '../config/errors.ts'
import type { LimitsConfig } from '../config/sections/limits.ts'
import type { Exchange, HeaderList, Millis } from '../exchange.ts'
import type { Clock } from '../ports.ts'
import { Finding } from './algorithm.ts'
import { type BandwidthMeter, type BandwidthPolicy, compileBandwidth } from './bandwidth.ts'
import type { Fleet } from './fleet/fleet-counter.ts'
import type { ExpressionCompiler } from './key.ts'
import { KeyHasher, MISSING } from './key-hash.ts'
import {
  type CompileContext,
  compilePolicy,
  costOf,
  MAX_COST,
  type Phase,
  type Policy,
  phaseOf,
} from './policy.ts'
import {
  Admission,
  type Charge,
  Denial,
  KeptAdmission,
  type LimitResult,
  NONE,
  wholeSeconds,
} from './result.ts'

/** The policies of one route, by phase. */
export interface RouteLimits {
  readonly address: readonly Policy[]
  readonly identity: readonly Policy[]
  readonly origin: readonly Policy[]
  /** Those that the fleet counts together, by phase; in none of the lists above. */
  readonly shared: Readonly<Record<Phase, readonly Policy[]>>
  /** Charged by status when the response is there. */
  readonly response: readonly Policy[]
  /** Whether a policy reads its cost from the response's fields. */
  readonly readsCost: boolean
  readonly bandwidth: readonly BandwidthPolicy[]
}

export interface LimitsOptions {
  readonly clock: Clock
  /** At least 8 unpredictable bytes: the key of the hash. */
  readonly seed: Uint8Array
  readonly report: Report
  readonly expressions?: ExpressionCompiler | undefined
  /** Counts what is shared. */
  readonly fleet?: Fleet | undefined
  /** Whether the config names something to count in together; left out, whether there is a `fleet`. */
  readonly canShare?: boolean | undefined
  /** Whether what passes here may be denied by counters elsewhere, for whatever limit. */
  readonly isFirstOfTwo?: boolean | undefined
  /** The limits before a reload, whose usage is carried over. */
  readonly previous?: Limits | undefined
}

export class Limits {
  readonly policies: readonly Policy[]
  readonly bandwidthPolicies: readonly BandwidthPolicy[]
  readonly #clock: Clock
  readonly #hasher: KeyHasher
  /** With the key of the whole fleet. */
  readonly #fleetHasher: KeyHasher
  /** What a route without a list of its own has. */
  readonly global: RouteLimits

  // The policies that apply to the request being checked. Checks never interleave.
  #applied: Policy[] = []
  #highs: number[] = []
  #lows: number[] = []
  #costs: number[] = []
  readonly #found = new Finding()

  private constructor(
    policies: readonly Policy[],
    bandwidth: readonly BandwidthPolicy[],
    clock: Clock,
    hasher: KeyHasher,
    fleet: Fleet | undefined,
  ) {
    this.policies = policies
    this.bandwidthPolicies = bandwidth
    this.#clock = clock
    this.#hasher = hasher
    this.#fleetHasher = fleet?.hasher ?? hasher
    this.global = this.#byPhase(new Set())
  }

  /** Compiles `limits`. Problems go to `report`; policies that have one are left out. */
  static compile(config: LimitsConfig, options: LimitsOptions): Limits {
    const { clock, report, previous } = options
    const startedAt = clock.monotonic()
    const policies: Policy[] = []
    const bandwidth: BandwidthPolicy[] = []
    const ids = new Set<string>()
    const { fleet } = options
    const context: CompileContext = {
      report,
      expressions: options.expressions,
      startedAt,
      keys: new Map(),
      fleet,
      canShare: options.canShare ?? fleet !== undefined,
      sharedPhases: new Set(
        config
          .filter(({ shared }) => shared !== undefined || options.isFirstOfTwo)
          .map((entry) => phaseOf(entry)),
      ),
    }
    for (const [i, entry] of config.entries()) {
      const path = `limits[${i}]`
      if (ids.has(entry.id)) report(`${path}.id`, `there are two limits "${entry.id}"`)
      ids.add(entry.id)
      if (entry.algorithm === 'bandwidth') {
        const policy = compileBandwidth(entry, path, context)
        if (policy !== undefined) bandwidth.push(policy)
        continue
      }
      const policy = compilePolicy(entry, path, context)
      if (policy !== undefined) policies.push(policy)
    }
    // The same hash key, or the tables carried over would find nothing.
    const hasher = previous === undefined ? new KeyHasher(options.seed) : previous.#hasher
    const limits = new Limits(policies, bandwidth, clock, hasher, fleet)
    if (previous !== undefined) limits.#adopt(previous)
    return limits
  }

  #adopt(previous: Limits): void {
    for (const policy of this.bandwidthPolicies) {
      const before = previous.bandwidthPolicies.find((other) => other.identity === policy.identity)
      if (before !== undefined) policy.adopt(before, this.#clock.monotonic())
    }
    for (const policy of this.policies) {
      const before = previous.policies.find((other) => other.identity === policy.identity)
      if (before === undefined) continue
      const now = this.#now(policy)
      policy.algorithm.adopt(before.algorithm, now)
      if (policy.mitigations !== undefined && before.mitigations !== undefined) {
        policy.mitigations.adopt(before.mitigations, this.#clock.monotonic())
      }
    }
  }

  /** The policies of a route: all global ones and those it lists. Unknown ids are reported. */
  route(ids: readonly string[], path: string, report: Report): RouteLimits {
    const known = [...this.policies, ...this.bandwidthPolicies]
    for (const [i, id] of ids.entries()) {
      if (!known.some((policy) => policy.id === id)) {
        report(`${path}[${i}]`, `there is no limit "${id}"`)
      }
    }
    return ids.length === 0 ? this.global : this.#byPhase(new Set(ids))
  }

  #byPhase(listed: ReadonlySet<string>): RouteLimits {
    const mine = this.policies.filter(
      (policy) => policy.scope === 'global' || listed.has(policy.id),
    )
    const bandwidth = this.bandwidthPolicies.filter(
      (policy) => policy.scope === 'global' || listed.has(policy.id),
    )
    const during = (phase: Phase, isShared = false) =>
      mine.filter((policy) => policy.phase === phase && (policy.fleet !== undefined) === isShared)
    return {
      address: during('address'),
      identity: during('identity'),
      origin: during('origin'),
      shared: {
        address: during('address', true),
        identity: during('identity', true),
        origin: during('origin', true),
      },
      response: mine.filter((policy) => policy.countsResponses),
      readsCost: mine.some((policy) => policy.costHeader !== undefined),
      bandwidth,
    }
  }

  #now(policy: Policy): Millis {
    return policy.followsWallClock ? this.#clock.now() : this.#clock.monotonic()
  }

  /**
   * Checks a request against the policies of one phase and charges all or none.
   * @param time monotonic, when the caller has read it for this request already
   * @returns undefined when no policy applies
   */
  check(
    x: Exchange,
    phase: Phase,
    route: RouteLimits = this.global,
    time?: Millis,
  ): LimitResult | undefined {
    const policies = route[phase]
    if (policies.length === 0) return undefined
    const monotonic = time ?? this.#clock.monotonic()
    if (policies.length === 1 && (policies[0] as Policy).isPlain) {
      return this.#checkPlain(policies[0] as Policy, x, monotonic)
    }
    let count = 0
    let denied: Denial | undefined
    let logged: string[] | undefined
    // The policy nearest to its limit, and what it said.
    let nearest: Policy | undefined
    let nearestShare = Number.POSITIVE_INFINITY
    let nearestRemaining = 0
    let nearestReset = 0
    const found = this.#found
    let lastKey: Policy['key'] | undefined
    let hasKey = false
    for (let i = 0; i < policies.length; i++) {
      const policy = policies[i] as Policy
      if (policy.when !== undefined && !policy.when(x)) continue
      // Policies with the same key share its parts: hashed once.
      if (policy.key !== lastKey) {
        hasKey = hashKey(this.#hasher, policy, x)
        lastKey = policy.key
      }
      if (!hasKey && policy.onMissing === 'skip') continue
      const { high, low } = this.#hasher
      const cost = costOf(policy, x)
      const now = policy.followsWallClock ? this.#clock.now() : monotonic
      const reason =
        !hasKey && policy.onMissing === 'deny'
          ? 'key'
          : this.#look(policy, high, low, now, monotonic, cost)
      if (reason !== undefined) {
        if (!policy.enforced) {
          logged ??= []
          logged.push(policy.id)
        } else if (denied === undefined) {
          denied = new Denial(policy, reason, found)
        } else {
          denied.violated.push(policy.id)
        }
        continue
      }
      if (policy.enforced) {
        const remaining = policy.countsResponses ? found.remaining + cost : found.remaining
        const share = remaining / policy.quota
        if (share < nearestShare) {
          nearest = policy
          nearestShare = share
          nearestRemaining = remaining
          nearestReset = found.resetMs
        }
      }
      if (policy.countsResponses) continue
      this.#applied[count] = policy
      this.#highs[count] = high
      this.#lows[count] = low
      this.#costs[count] = cost
      count++
    }
    if (denied !== undefined) return denied.result(logged ?? NONE)

    let charges: Charge[] | undefined
    for (let i = 0; i < count; i++) {
      const policy = this.#applied[i] as Policy
      if (policy.gcra === undefined) policy.algorithm.charge()
      else policy.gcra.charge()
      if (policy.keepsCharge) {
        charges ??= []
        charges.push({
          policy,
          high: this.#highs[i] as number,
          low: this.#lows[i] as number,
          cost: this.#costs[i] as number,
        })
      }
    }
    if (nearest === undefined) {
      if (logged === undefined && charges === undefined) return undefined
      nearest = policies[0] as Policy
      nearestRemaining = nearest.quota
    }
    if (logged === undefined && charges === undefined) {
      return new Admission(nearest, nearestRemaining, wholeSeconds(nearestReset))
    }
    return new KeptAdmission(
      nearest,
      nearestRemaining,
      wholeSeconds(nearestReset),
      logged ?? NONE,
      charges ?? NONE,
    )
  }

  /** The common case without all that the loop has to keep apart. */
  #checkPlain(policy: Policy, x: Exchange, now: Millis): LimitResult | undefined {
    const found = this.#found
    const { gcra, onMissing } = policy
    if (!hashKey(this.#hasher, policy, x) && onMissing !== 'shared') {
      return onMissing === 'skip' ? undefined : new Denial(policy, 'key', found).result(NONE)
    }
    const { high, low } = this.#hasher
    // Plain: the cost is a number.
    const cost = policy.cost as number
    if (gcra !== undefined) {
      if (!gcra.take(high, low, now, cost, found)) {
        return new Denial(policy, 'limit', found).result(NONE)
      }
    } else {
      const { algorithm } = policy
      if (!algorithm.peek(high, low, now, cost, found)) {
        return new Denial(policy, 'limit', found).result(NONE)
      }
      algorithm.charge()
    }
    return new Admission(policy, found.remaining, wholeSeconds(found.resetMs))
  }

  #look(
    policy: Policy,
    high: number,
    low: number,
    now: Millis,
    monotonic: Millis,
    cost: number,
  ): 'limit' | 'mitigation' | undefined {
    const { algorithm, mitigations } = policy
    const found = this.#found
    if (mitigations !== undefined) {
      const until = mitigations.get(high, low)
      if (until > monotonic) {
        found.remaining = 0
        found.retryMs = until - monotonic
        found.resetMs = found.retryMs
        return 'mitigation'
      }
    }
    const { gcra } = policy
    const passes =
      gcra === undefined
        ? algorithm.peek(high, low, now, cost, found)
        : gcra.peek(high, low, now, cost, found)
    if (passes) return undefined
    if (mitigations !== undefined) {
      mitigations.set(high, low, monotonic, monotonic + policy.mitigationMs)
      found.retryMs = policy.mitigationMs
      found.resetMs = policy.mitigationMs
    }
    return 'limit'
  }

  /**
   * When the response is known: counts what counts by status, charges the difference to a cost that the
   * origin stated, gives back what a failed request took.
   * @param results of this request's checks
   */
  settle(
    x: Exchange,
    route: RouteLimits,
    results: readonly (LimitResult | undefined)[],
    status: number,
    headers: HeaderList | undefined,
  ): void {
    for (const policy of route.response) {
      if (policy.countStatus !== undefined && !policy.countStatus.includes(status)) continue
      if (policy.when !== undefined && !policy.when(x)) continue
      const hasher = policy.fleet === undefined ? this.#hasher : this.#fleetHasher
      if (!hashKey(hasher, policy, x) && policy.onMissing !== 'shared') continue
      const { high, low } = hasher
      policy.algorithm.settle?.(high, low, this.#now(policy), costOf(policy, x))
    }
    this.correct(results, status, headers)
  }

  /** The part of `settle` that is about what has been charged already. */
  correct(
    results: readonly (LimitResult | undefined)[],
    status: number,
    headers: HeaderList | undefined,
  ): void {
    for (const result of results) {
      if (result === undefined) continue
      for (const { policy, high, low, cost } of result.charges) {
        let delta = 0
        if (policy.refundOnError && status >= 500) delta = -cost
        else if (policy.costHeader !== undefined) {
          delta = statedCost(headers?.get(policy.costHeader), cost) - cost
        }
        if (delta !== 0) policy.algorithm.settle?.(high, low, this.#now(policy), delta)
      }
    }
  }

  /**
   * Takes back what a check has charged, since limits that are checked after it denied the request. What is
   * held until the request ends stays charged, and is in what is returned, to be released.
   */
  undo(result: LimitResult): LimitResult | undefined {
    const held: Charge[] = []
    for (const charge of result.charges) {
      const { policy, high, low, cost } = charge
      if (policy.algorithm.release !== undefined) held.push(charge)
      else policy.algorithm.settle?.(high, low, this.#now(policy), -cost)
    }
    if (held.length === 0) return undefined
    return new KeptAdmission(result.policy, result.remaining, result.resetSeconds, NONE, held)
  }

  /** The request is over, however it ended. To be called once for the results of each request. */
  release(results: readonly (LimitResult | undefined)[]): void {
    for (const result of results) {
      if (result === undefined) continue
      for (const charge of result.charges) {
        charge.policy.algorithm.release?.(charge.high, charge.low, charge.cost)
      }
    }
  }

  /** Meters for the bytes of a response; empty when none applies. */
  bandwidth(x: Exchange, route: RouteLimits = this.global): readonly BandwidthMeter[] {
    if (route.bandwidth.length === 0) return NONE
    const meters: BandwidthMeter[] = []
    for (const policy of route.bandwidth) {
      const meter = policy.meter(x, this.#hasher, this.#clock)
      if (meter !== undefined) meters.push(meter)
    }
    return meters
  }

  /** The ids among `ids` whose limits are announced to clients. */
  announced(ids: readonly string[]): readonly string[] {
    return ids.filter((id) =>
      this.policies.some((policy) => policy.id === id && policy.policyItem !== undefined),
    )
  }

  /** For metrics: how full each table is. Walks the tables; not for every request. */
  usage(): { readonly id: string; readonly used: number; readonly displaced: number }[] {
    return this.policies.map((policy) => ({
      id: policy.id,
      used: policy.algorithm.used(this.#now(policy)),
      displaced: policy.algorithm.displaced,
    }))
  }
}

/** Hashes the policy's key of this request; false when a part is missing. */
export function hashKey(hasher: KeyHasher, policy: Policy, x: Exchange): boolean {
  if (policy.isByAddress) return hasher.address(x.client)
  hasher.reset()
  let isComplete = true
  const parts = policy.key
  for (let i = 0; i < parts.length; i++) {
    if (!(parts[i] as Policy['key'][number])(x, hasher)) {
      isComplete = false
      hasher.word(MISSING)
    }
  }
  hasher.hash()
  return isComplete
}

function statedCost(text: string | undefined, charged: number): number {
  if (text === undefined || !/^[0-9]{1,7}$/.test(text)) return charged
  const value = Number(text)
  return value >= 1 && value <= MAX_COST ? value : charged
}
