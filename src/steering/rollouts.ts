/**
 * Rollouts that are under way: which arm a request is in, what became of it, and the review of both arms.
 * Driven by requests; `rollout.ts` decides. State outlives a reload of the config.
 */
import type { Millis } from '../exchange.ts'
import {
  type ArmWindow,
  beginRollout,
  commandRollout,
  type GateVerdict,
  isInNewArm,
  judgeArms,
  type RolloutCommand,
  type RolloutPlan,
  type RolloutState,
  reviewRollout,
  rolloutSalt,
} from './rollout.ts'

export type Arm = 'old' | 'new'

/** A change of a rollout, for events and the log. */
export interface RolloutEvent {
  readonly rollout: string
  readonly percent: number
  readonly phase: RolloutState['phase']
  readonly note: string
}

/** What the control port and the command line show. */
export interface RolloutStatus extends RolloutEvent {
  readonly from: string
  readonly to: string
  readonly steps: readonly number[]
  /** -1 after a rollback. */
  readonly step: number
  /** How long the present step has lasted. */
  readonly sinceMs: Millis
  readonly bakeMs: Millis
  /** The comparison under way. */
  readonly old: ArmWindow
  readonly new: ArmWindow
}

/** Both arms are compared this often. */
const WINDOW_MS = 10_000
/** With too little traffic the window grows up to this, and begins anew. */
const MOST_WINDOW_MS = 300_000
const SAMPLES = 2048
/** A new pool with less of it up is given up without waiting for the window. */
const LEAST_HEALTHY = 0.5

/** Requests of one arm since the last review; times in a ring, so that a burst costs no memory. */
class ArmCount {
  requests = 0
  errors = 0
  readonly #times = new Float64Array(SAMPLES)
  #timed = 0

  add(isError: boolean, duration: Millis): void {
    this.requests++
    if (isError) {
      this.errors++
      return
    }
    this.#times[this.#timed % SAMPLES] = duration
    this.#timed++
  }

  window(): ArmWindow {
    const count = Math.min(this.#timed, SAMPLES)
    const sorted = this.#times.slice(0, count).sort()
    return {
      requests: this.requests,
      errors: this.errors,
      p95Ms: sorted[Math.max(0, Math.ceil(count * 0.95) - 1)] ?? Number.NaN,
    }
  }

  clear(): void {
    this.requests = 0
    this.errors = 0
    this.#timed = 0
  }
}

/** Where a rollout is: what worker processes tell each other. */
export type RolloutPosition = Pick<RolloutStatus, 'step' | 'percent' | 'phase' | 'sinceMs' | 'note'>

/** What is kept of a rollout over a restart. */
export type SavedRollout = RolloutPosition & Pick<RolloutStatus, 'rollout' | 'from' | 'to'>

export class Rollout {
  readonly plan: RolloutPlan
  /** After each change of share or phase, whoever made it. */
  onChange: ((status: RolloutStatus) => void) | undefined
  /** Pools. */
  readonly from: string
  readonly to: string
  readonly #salt: number
  readonly #old = new ArmCount()
  readonly #new = new ArmCount()
  #state: RolloutState
  #windowAt: Millis
  #reviewAt: Millis

  /**
   * @param now monotonic
   * @param before the same rollout before a reload: it goes on where it was
   */
  constructor(plan: RolloutPlan, from: string, to: string, now: Millis, before?: Rollout) {
    this.plan = plan
    this.from = from
    this.to = to
    this.#salt = rolloutSalt(plan.id)
    this.#windowAt = now
    this.#reviewAt = now + WINDOW_MS
    const isSame = before !== undefined && before.from === from && before.to === to
    this.#state = isSame ? carriedOver(before.#state, plan, now) : beginRollout(plan, now)
  }

  get percent(): number {
    return this.#state.percent
  }

  armOf(clientHash: number): Arm {
    return isInNewArm(clientHash, this.#salt, this.#state.percent) ? 'new' : 'old'
  }

  /** One request is over. @param isError the arm's own pool failed it */
  count(arm: Arm, isError: boolean, duration: Millis): void {
    const count = arm === 'new' ? this.#new : this.#old
    count.add(isError, duration)
  }

  /**
   * Compares the arms, when it is time to.
   * @param healthyShare of the new pool, 0 to 1
   * @returns what changed
   */
  review(healthyShare: number, now: Millis): RolloutEvent | undefined {
    const { phase } = this.#state
    if (phase === 'frozen' || phase === 'rolled-back') return undefined
    if (now < this.#reviewAt && healthyShare >= LEAST_HEALTHY) return undefined
    this.#reviewAt = now + WINDOW_MS
    const verdict: GateVerdict = judgeArms(this.#old.window(), this.#new.window(), this.plan.gate)
    const isAlone = this.#state.percent === 100
    // With everybody in the new arm there is nothing to compare it with.
    const next = reviewRollout(
      this.plan,
      this.#state,
      isAlone ? { verdict: 'good' } : verdict,
      healthyShare,
      now,
    )
    const isOld = now - this.#windowAt >= MOST_WINDOW_MS
    if (verdict.verdict !== 'unsure' || isOld) this.#beginWindow(now)
    return this.#become(next, now)
  }

  command(command: RolloutCommand, now: Millis): RolloutEvent | undefined {
    return this.#become(commandRollout(this.plan, this.#state, command, now), now)
  }

  /**
   * Goes where the rollout is in another process. A position of another plan is left alone: the config that
   * it belongs to has not come here yet, or is gone.
   * @param now monotonic
   */
  adopt(position: RolloutPosition, now: Millis): RolloutEvent | undefined {
    const { step, percent, phase, sinceMs, note } = position
    const isOfPlan = phase === 'rolled-back' ? percent === 0 : this.plan.steps[step] === percent
    if (!isOfPlan) return undefined
    return this.#become({ step, percent, phase, since: now - sinceMs, slowWindows: 0, note }, now)
  }

  /**
   * Goes on where it was before a restart, at the beginning of the step; never further than it was.
   * @returns whether it is the same rollout: to other pools it begins anew
   */
  restore(saved: SavedRollout, now: Millis): boolean {
    if (saved.from !== this.from || saved.to !== this.to) return false
    const { step, percent, phase, note } = saved
    const before: RolloutState = { step, percent, phase, since: now, slowWindows: 0, note }
    this.#state = carriedOver(before, this.plan, now)
    this.#beginWindow(now)
    return true
  }

  status(now: Millis): RolloutStatus {
    const { step, since } = this.#state
    return {
      ...this.#event(),
      from: this.from,
      to: this.to,
      steps: this.plan.steps,
      step,
      sinceMs: now - since,
      bakeMs: this.plan.bakeMs,
      old: this.#old.window(),
      new: this.#new.window(),
    }
  }

  #become(next: RolloutState, now: Millis): RolloutEvent | undefined {
    const { percent, phase } = this.#state
    this.#state = next
    if (next.percent === percent && next.phase === phase) return undefined
    this.#beginWindow(now)
    this.onChange?.(this.status(now))
    return this.#event()
  }

  #event(): RolloutEvent {
    const { percent, phase, note } = this.#state
    return { rollout: this.plan.id, percent, phase, note }
  }

  #beginWindow(now: Millis): void {
    this.#old.clear()
    this.#new.clear()
    this.#windowAt = now
    this.#reviewAt = now + WINDOW_MS
  }
}

/** The state under a plan whose steps may have changed: never further than it was. */
function carriedOver(state: RolloutState, plan: RolloutPlan, now: Millis): RolloutState {
  if (plan.steps[state.step] === state.percent || state.phase === 'rolled-back') {
    const isLast = state.step === plan.steps.length - 1
    return state.phase === 'done' && !isLast ? { ...state, phase: 'baking', since: now } : state
  }
  const step = plan.steps.findLastIndex((percent) => percent <= state.percent)
  if (step < 0) return beginRollout(plan, now)
  return {
    ...state,
    step,
    percent: plan.steps[step] ?? 0,
    phase:
      step === plan.steps.length - 1 ? 'done' : state.phase === 'done' ? 'baking' : state.phase,
    since: now,
    note: 'the steps were changed',
  }
}

/** All rollouts of a config, by id. */
export class Rollouts {
  readonly #byId: ReadonlyMap<string, Rollout>

  constructor(byId: ReadonlyMap<string, Rollout>) {
    this.#byId = byId
  }

  get(id: string): Rollout | undefined {
    return this.#byId.get(id)
  }

  /** Tells of every change from now on. */
  watch(onChange: (status: RolloutStatus) => void): void {
    for (const rollout of this.#byId.values()) rollout.onChange = onChange
  }

  /** @param now monotonic */
  status(now: Millis): RolloutStatus[] {
    return [...this.#byId.values()].map((rollout) => rollout.status(now))
  }
}
