/**
 * Limits that a fleet counts together. Most requests are decided here and now: by units leased ahead, or by a
 * denial that the store has said lately. The others wait for one answer of the store; when none comes, each
 * limit does what it was told to do without it, within the store's time limit, and while the store is away at
 * once. All limits of a request are charged or none.
 */
import type { Exchange, Millis } from '../../exchange.ts'
import type { Clock } from '../../ports.ts'
import { Finding } from '../algorithm.ts'
import { KeyHasher } from '../key-hash.ts'
import { hashKey, type RouteLimits } from '../limits.ts'
import { costOf, type Phase, type Policy } from '../policy.ts'
import {
  Admission,
  type Charge,
  Denial,
  type DenialReason,
  KeptAdmission,
  type LimitResult,
  NONE,
  wholeSeconds,
} from '../result.ts'
import type { SharedLimits } from '../shared.ts'
import { Bookkeeper } from './bookkeeper.ts'
import type { Fleet } from './fleet-counter.ts'
import type { FleetPolicy } from './fleet-policy.ts'
import type { KeyState } from './key-state.ts'
import { PolicyState } from './policy-state.ts'
import { type Answer, type FleetStore, StoreUnavailable, type Take } from './store.ts'

export interface FleetOptions {
  readonly store: FleetStore
  readonly clock: Clock
  /** At least 8 bytes, the same for all gateways: the key of the hash that names clients in the store. */
  readonly seed: Uint8Array
}

/** One limit of one request. */
interface Need {
  readonly policy: Policy
  readonly state: PolicyState
  readonly key: KeyState
  readonly cost: number
  /** `held`: units are set aside. `ask`: only the store can say. `over`: denied, and only logged. */
  outcome: 'lease' | 'async' | 'ask' | 'over'
  isHeld: boolean
}

/** What a request needs of the shared limits of a phase. */
interface Call {
  readonly needs: Need[]
  logged: string[] | undefined
  readonly startedAt: Millis
}

/** Share of the store's time limit in which a request may still begin to wait for the store. */
const PATIENCE = 0.2

export class FleetLimits implements SharedLimits<Exchange>, Fleet {
  readonly hasher: KeyHasher
  readonly store: FleetStore
  readonly #clock: Clock
  readonly #states = new Map<string, PolicyState>()
  readonly #found = new Finding()
  readonly #books: Bookkeeper
  readonly #giveBack = (state: PolicyState, key: KeyState): void => this.#books.giveBack(state, key)

  constructor({ store, clock, seed }: FleetOptions) {
    this.store = store
    this.#clock = clock
    this.hasher = new KeyHasher(seed)
    this.#books = new Bookkeeper(store, clock, this.#states)
    store.onUp(() => this.#books.recovered())
  }

  get states(): ReadonlyMap<string, PolicyState> {
    return this.#states
  }

  check(
    x: Exchange,
    phase: Phase,
    route: RouteLimits,
  ): LimitResult | undefined | Promise<LimitResult | undefined> {
    const policies = route.shared[phase]
    if (policies.length === 0) return undefined
    const now = this.#clock.monotonic()
    const call: Call = { needs: [], logged: undefined, startedAt: now }
    let denied: Denial | undefined
    for (const policy of policies) {
      if (policy.when !== undefined && !policy.when(x)) continue
      if (!hashKey(this.hasher, policy, x)) {
        if (policy.onMissing === 'skip') continue
        if (policy.onMissing === 'deny') {
          denied = this.#over(call, policy, 'key', denied)
          continue
        }
      }
      if (policy.fleet === undefined) continue
      const state = this.#stateOf(policy.id, policy.fleet)
      const { high, low } = this.hasher
      const cost = costOf(policy, x)
      const key = state.key(high, low, (old) => this.#giveBack(state, old))
      key.demand(cost, now, state.fleet.leaseMs)
      call.needs.push({ policy, state, key, cost, outcome: 'ask', isHeld: false })
    }
    if (denied !== undefined) return denied.result(call.logged ?? NONE)
    if (call.needs.length === 0 && call.logged === undefined) return undefined
    return this.#decide(call)
  }

  #over(
    call: Call,
    policy: Policy,
    reason: DenialReason,
    denied: Denial | undefined,
  ): Denial | undefined {
    if (!policy.enforced) {
      call.logged ??= []
      call.logged.push(policy.id)
      return denied
    }
    if (denied === undefined) return new Denial(policy, reason, this.#found)
    denied.violated.push(policy.id)
    return denied
  }

  #decide(call: Call): LimitResult | undefined | Promise<LimitResult | undefined> {
    const now = this.#clock.monotonic()
    let denied: Denial | undefined
    let asks = false
    let underWay: Promise<boolean> | undefined
    for (const need of call.needs) {
      const { policy, state, key, cost } = need
      if (need.outcome === 'over') continue
      const { mode } = state.fleet
      if (mode !== 'strict' && key.isDenied(cost, now)) {
        this.#denial(key, now)
        denied = this.#over(call, policy, key.isMitigated ? 'mitigation' : 'limit', denied)
        need.outcome = 'over'
      } else if (mode === 'lease' && key.holds(cost, now)) {
        need.outcome = 'lease'
      } else if (mode === 'async' && this.store.isUp) {
        if (this.#books.fits(state, key, cost, now)) need.outcome = 'async'
        else {
          this.#denial(key, now)
          denied = this.#over(call, policy, 'limit', denied)
          need.outcome = 'over'
        }
      } else {
        need.outcome = 'ask'
        asks = true
        underWay ??= key.asking
      }
    }
    if (denied !== undefined) return denied.result(call.logged ?? NONE)
    this.#hold(call, now)
    if (!asks) return this.#passed(call, now)
    if (!this.store.isUp) return this.#alone(call, true)
    const isEarly = now - call.startedAt < this.store.timeoutMs * PATIENCE
    if (underWay !== undefined && isEarly) {
      return underWay.then((answered) => {
        if (!answered) return this.#alone(call, true)
        this.#release(call)
        return this.#decide(call)
      })
    }
    return this.#ask(call, now)
  }

  /** Fills in what a key remembers of its denial. */
  #denial(key: KeyState, now: Millis): void {
    this.#found.remaining = Math.max(0, key.remaining ?? 0)
    this.#found.resetMs = Math.max(1, key.resetAt - now)
    this.#found.retryMs = Math.max(1, Math.max(key.retryAt, key.deniedUntil) - now)
  }

  /** Sets units aside, until the request passes or is denied by another limit. */
  #hold(call: Call, now: Millis): void {
    for (const need of call.needs) {
      const { state, key, cost } = need
      if (need.outcome === 'lease') {
        key.tokens -= cost
        need.isHeld = true
        if (key.isLow(now, state.fleet.leaseMs)) this.#renew(state, key, now)
      } else if (need.outcome === 'async') {
        key.pending += cost
        need.isHeld = true
        this.#books.syncSoon(state, key)
      }
    }
  }

  #release(call: Call): void {
    for (const need of call.needs) {
      if (!need.isHeld) continue
      need.isHeld = false
      if (need.outcome === 'lease') need.key.tokens += need.cost
      else need.key.pending -= need.cost
    }
  }

  /** Asks for more behind the requests that use what is left. */
  #renew(state: PolicyState, key: KeyState, now: Millis): void {
    if (!this.store.isUp) return
    const extra = key.expected(now, state.fleet.leaseMs)
    const take = state.take('charge', key.high, key.low, 0, extra, this.#clock.now())
    void this.#question([take], [{ state, key }]).catch(() => {})
  }

  /** One question, and what the keys learn from the answer before anybody else looks at them. */
  #question(
    takes: readonly Take[],
    of: readonly { readonly state: PolicyState; readonly key: KeyState }[],
  ): Promise<Answer> {
    const learnt = this.store.ask(takes).then(
      (answer) => {
        const now = this.#clock.monotonic()
        of.forEach(({ state, key }, i) => {
          const verdict = answer.verdicts[i]
          const take = takes[i]
          key.asking = undefined
          if (verdict === undefined || take === undefined) return
          const wasted = key.learn(verdict, state.fleet, take.name, now)
          state.leased += verdict.granted
          state.wasted += wasted
          if (verdict.granted > 0) this.#books.sweepSoon()
          if (verdict.reason !== undefined && state.fleet.mode === 'lease' && take.cost > 0) {
            key.deny(take.cost, verdict, state.fleet.leaseMs, now)
          }
        })
        return answer
      },
      (error: unknown) => {
        for (const { key } of of) key.asking = undefined
        throw error
      },
    )
    const asking = learnt.then(
      () => true,
      () => false,
    )
    for (const { state, key } of of) if (state.fleet.mode === 'lease') key.asking = asking
    return learnt
  }

  async #ask(call: Call, now: Millis): Promise<LimitResult | undefined> {
    const asked = call.needs.filter(({ outcome }) => outcome === 'ask')
    const wall = this.#clock.now()
    const takes = asked.map(({ policy, state, key, cost }) => {
      const kind = policy.countsResponses ? 'look' : policy.enforced ? 'charge' : 'try'
      const { mode, leaseMs } = state.fleet
      const extra = mode === 'lease' ? Math.max(0, key.expected(now, leaseMs) - cost) : 0
      return state.take(kind, key.high, key.low, cost, extra, wall)
    })
    let answer: Answer
    try {
      answer = await this.#question(takes, asked)
    } catch (error) {
      return this.#alone(call, !(error instanceof StoreUnavailable && error.mayBeCharged))
    }
    let denied: Denial | undefined
    asked.forEach((need, i) => {
      const verdict = answer.verdicts[i]
      need.state.decisions.store++
      if (verdict?.reason === undefined) return
      this.#found.remaining = verdict.remaining
      this.#found.resetMs = verdict.resetMs
      this.#found.retryMs = verdict.retryMs
      denied = this.#over(call, need.policy, verdict.reason, denied)
      need.outcome = 'over'
    })
    if (denied === undefined) return this.#passed(call, this.#clock.monotonic())
    this.#release(call)
    return (denied as Denial).result(call.logged ?? NONE)
  }

  /**
   * Without the store: each limit that needs it does as it was told.
   * @param isCertain whether the store has charged nothing of this request
   */
  #alone(call: Call, isCertain: boolean): LimitResult | undefined {
    let denied: Denial | undefined
    for (const need of call.needs) {
      if (need.outcome !== 'ask') continue
      const { policy, state, key, cost } = need
      const { onFailure } = state.fleet
      state.decisions[onFailure]++
      if (onFailure === 'open') continue
      if (onFailure === 'local') {
        const share = state.share(this.store.gateways, this.#clock)
        if (share.look(key.high, key.low, cost, this.#found)) continue
      }
      denied = this.#over(call, policy, onFailure === 'closed' ? 'store' : 'limit', denied)
      need.outcome = 'over'
    }
    if (denied !== undefined) {
      this.#release(call)
      return denied.result(call.logged ?? NONE)
    }
    for (const { policy, state, key, cost, outcome } of call.needs) {
      if (outcome !== 'ask' || state.fleet.onFailure !== 'local' || policy.countsResponses) continue
      const share = state.share(this.store.gateways, this.#clock)
      share.charge(key.high, key.low, cost, isCertain)
      this.#books.sweepSoon()
    }
    return this.#passed(call, this.#clock.monotonic())
  }

  /** Every limit has let it pass. */
  #passed(call: Call, now: Millis): LimitResult | undefined {
    let nearest: Policy | undefined
    let least = Number.POSITIVE_INFINITY
    let remaining = 0
    let resetMs = 0
    let charges: Charge[] | undefined
    for (const { policy, state, key, cost, outcome } of call.needs) {
      if (outcome === 'lease' || outcome === 'async') state.decisions[outcome]++
      if (outcome === 'over') continue
      if (policy.keepsCharge) {
        charges ??= []
        charges.push({ policy, high: key.high, low: key.low, cost })
      }
      if (!policy.enforced || key.remaining === undefined) continue
      const left = Math.max(0, key.remaining + key.tokens - key.pending - key.telling)
      if (left / policy.quota >= least) continue
      nearest = policy
      least = left / policy.quota
      remaining = left
      resetMs = Math.max(1, key.resetAt - now)
    }
    const { logged } = call
    const shown = nearest ?? call.needs[0]?.policy
    if (shown === undefined) return undefined
    if (nearest === undefined) remaining = shown.quota
    if (logged === undefined && charges === undefined) {
      return nearest && new Admission(nearest, remaining, wholeSeconds(resetMs))
    }
    return new KeptAdmission(
      shown,
      remaining,
      wholeSeconds(resetMs),
      logged ?? NONE,
      charges ?? NONE,
    )
  }

  refuses(id: string, { counting }: FleetPolicy): string | undefined {
    return this.store.refuses?.(id, counting)
  }

  settle(id: string, policy: FleetPolicy, high: number, low: number, delta: number): void {
    if (delta !== 0) this.#books.settle(this.#stateOf(id, policy), high, low, delta)
  }

  held(id: string): number {
    return this.#states.get(id)?.keys.size ?? 0
  }

  displaced(id: string): number {
    return this.#states.get(id)?.displaced ?? 0
  }

  /** Gives back what is leased and tells what is owed. */
  close(): Promise<void> {
    return this.#books.close()
  }

  /** A reload keeps what a limit holds, as long as it counts in the same way. */
  #stateOf(id: string, fleet: FleetPolicy): PolicyState {
    const known = this.#states.get(id)
    if (known?.fleet === fleet) return known
    const state = new PolicyState(id, fleet)
    if (known !== undefined) this.#books.retire(known, state)
    this.#states.set(id, state)
    return state
  }
}
