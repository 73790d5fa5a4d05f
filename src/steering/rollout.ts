/**
 * Moving traffic from one pool to another in stages, and back at once when the new one is worse. Which
 * clients are in the new arm is a hash; whether it is worse is a comparison of both arms over the same
 * time. Pure: the caller counts, asks, and acts.
 */
import type { Millis } from '../exchange.ts'
import { hashKey, rehash } from './hash.ts'

const BUCKETS = 10_000

/**
 * Whether a client is in the new arm. Raising the share only adds clients; each rollout, by its salt, draws
 * its own.
 * @param percent 0 to 100, in steps of 0.01
 */
export function isInNewArm(clientHash: number, salt: number, percent: number): boolean {
  return bucketOf(clientHash, salt) < Math.round(percent * (BUCKETS / 100))
}

/** 0 to 9,999. */
export function bucketOf(clientHash: number, salt: number): number {
  return Math.floor((rehash(clientHash, salt) / 2 ** 32) * BUCKETS)
}

/** A salt from the rollout's id, so that the split is the same on every gateway. */
export function rolloutSalt(id: string): number {
  return hashKey(id, 0x726f6c6c)
}

/** One arm's requests over a window; first tries of requests that were retried do not count. */
export interface ArmWindow {
  readonly requests: number
  readonly errors: number
  /** 95th percentile of the time to the response header; NaN when there were none. */
  readonly p95Ms: Millis
}

export interface RolloutGate {
  /** Most that the new arm's error rate may be above the old one's, percentage points. */
  readonly errorPoints: number
  /** Most that the new arm's p95 may be of the old one's. */
  readonly p95Ratio: number
  /** Fewest requests in each arm for a comparison. */
  readonly minSamples: number
}

export type GateVerdict =
  | { readonly verdict: 'good' }
  | { readonly verdict: 'unsure'; readonly samples: number }
  | { readonly verdict: 'bad'; readonly why: 'errors' | 'latency'; readonly value: number }

/** Significance that a difference in error rates must have: one-sided, about one in 740 by chance. */
const Z_LIMIT = 3

/** Compares the arms over one window. */
export function judgeArms(old: ArmWindow, fresh: ArmWindow, gate: RolloutGate): GateVerdict {
  const samples = Math.min(old.requests, fresh.requests)
  if (samples < gate.minSamples) return { verdict: 'unsure', samples }
  const rise = fresh.errors / fresh.requests - old.errors / old.requests
  if (rise * 100 > gate.errorPoints && zScore(old, fresh) > Z_LIMIT) {
    return { verdict: 'bad', why: 'errors', value: rise * 100 }
  }
  const ratio = fresh.p95Ms / old.p95Ms
  if (ratio > gate.p95Ratio) return { verdict: 'bad', why: 'latency', value: ratio }
  return { verdict: 'good' }
}

/** Two-proportion z-test with pooled variance, new arm against old. */
function zScore(old: ArmWindow, fresh: ArmWindow): number {
  const pooled = (old.errors + fresh.errors) / (old.requests + fresh.requests)
  const variance = pooled * (1 - pooled) * (1 / old.requests + 1 / fresh.requests)
  if (variance === 0) return 0
  return (fresh.errors / fresh.requests - old.errors / old.requests) / Math.sqrt(variance)
}

export interface RolloutPlan {
  readonly id: string
  /** Per cent of clients in the new arm, rising. */
  readonly steps: readonly number[]
  /** How long each step must have been good before the next. */
  readonly bakeMs: Millis
  readonly gate: RolloutGate
}

export interface RolloutState {
  /** Index into `steps`; -1 before the first. */
  readonly step: number
  readonly percent: number
  readonly phase: 'baking' | 'done' | 'rolled-back' | 'frozen'
  /** When the step began, monotonic. */
  readonly since: Millis
  /** Bad latency windows in a row. */
  readonly slowWindows: number
  readonly note: string
}

export type RolloutCommand = 'advance' | 'rollback' | 'freeze' | 'resume'

/** Slow windows in a row that roll back; one may be chance. */
const SLOW_WINDOWS = 2

export function beginRollout(plan: RolloutPlan, now: Millis): RolloutState {
  return stepTo(plan, 0, now, 'begun')
}

/**
 * Takes the verdict on the last window. Goes back on the first bad error rate or unhealthy pool, on the
 * second slow window; goes on when the step has been good for its time. After a rollback nothing moves
 * until an operator says so.
 * @param healthyShare share of the new pool's origins that are up, 0 to 1
 */
export function reviewRollout(
  plan: RolloutPlan,
  state: RolloutState,
  verdict: GateVerdict,
  healthyShare: number,
  now: Millis,
): RolloutState {
  if (state.phase !== 'baking' && state.phase !== 'done') return state
  if (healthyShare < 0.5) return rolledBack(state, now, 'less than half of the new pool is up')
  if (verdict.verdict === 'bad') {
    if (verdict.why === 'errors') {
      return rolledBack(state, now, `errors ${verdict.value.toFixed(2)} points above the old pool`)
    }
    const slowWindows = state.slowWindows + 1
    if (slowWindows < SLOW_WINDOWS) return { ...state, slowWindows }
    return rolledBack(state, now, `p95 ${verdict.value.toFixed(2)} times that of the old pool`)
  }
  if (state.phase === 'done') return state.slowWindows === 0 ? state : { ...state, slowWindows: 0 }
  const isBaked = verdict.verdict === 'good' && now - state.since >= plan.bakeMs
  if (isBaked) return stepTo(plan, state.step + 1, now, 'the last step was good')
  return state.slowWindows === 0 ? state : { ...state, slowWindows: 0 }
}

/**
 * Why an order makes no sense now; undefined when it does. A rollback is never refused.
 */
export function rolloutRefusal(
  state: Pick<RolloutState, 'phase'>,
  command: RolloutCommand,
): string | undefined {
  const { phase } = state
  switch (command) {
    case 'rollback':
      return undefined
    case 'advance':
      if (phase === 'done') return 'is at its last step: there is nothing to advance to'
      return phase === 'frozen' ? 'is frozen: resume it before it can advance' : undefined
    case 'freeze':
      if (phase === 'done') return 'is at its last step: there is nothing to freeze'
      return phase === 'rolled-back'
        ? 'is rolled back: nothing moves before somebody advances it'
        : undefined
    case 'resume':
      return phase === 'frozen' ? undefined : 'is not frozen'
  }
}

/** What an operator may do. */
export function commandRollout(
  plan: RolloutPlan,
  state: RolloutState,
  command: RolloutCommand,
  now: Millis,
): RolloutState {
  switch (command) {
    case 'advance':
      return stepTo(plan, state.phase === 'rolled-back' ? 0 : state.step + 1, now, 'by an operator')
    case 'rollback':
      return rolledBack(state, now, 'by an operator')
    case 'freeze':
      return state.phase === 'baking'
        ? { ...state, phase: 'frozen', note: 'by an operator' }
        : state
    case 'resume':
      return state.phase === 'frozen'
        ? { ...state, phase: 'baking', since: now, slowWindows: 0, note: 'by an operator' }
        : state
  }
}

function stepTo(plan: RolloutPlan, step: number, now: Millis, note: string): RolloutState {
  const last = plan.steps.length - 1
  const at = Math.min(step, last)
  const percent = plan.steps[at] ?? 0
  return {
    step: at,
    percent,
    phase: at === last ? 'done' : 'baking',
    since: now,
    slowWindows: 0,
    note,
  }
}

function rolledBack(state: RolloutState, now: Millis, note: string): RolloutState {
  return {
    step: -1,
    percent: 0,
    phase: 'rolled-back',
    since: now,
    slowWindows: state.slowWindows,
    note,
  }
}
