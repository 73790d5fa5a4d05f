/**
 * What a gateway knows beyond its config: who is shut out, what is revoked, how full the limits are, and all of
 * it at one moment. The runtime implements it, for all worker processes.
 */
import type { Millis, Seconds } from '../exchange.ts'
import type { Revocation } from '../iam/revocation.ts'
import type { Penalty } from '../limits/penalty-box.ts'
import type { Drain } from '../steering/drains.ts'
import type { RolloutStatus } from '../steering/rollouts.ts'
import type { Done } from './regions-view.ts'

export type { Penalty } from '../limits/penalty-box.ts'

export interface BanOrder {
  /** As parsed: an IPv4 address, or an IPv6 /64. */
  readonly key: string
  readonly seconds: Seconds
  readonly by: string
}

export interface PenaltiesView {
  /** Undefined when the config has no `penaltyBox`. */
  list(): Promise<readonly Penalty[] | undefined>
  /** `exempt`: the config lets nobody shut it out. */
  ban(order: BanOrder): Promise<Done | 'exempt'>
  lift(key: string, by: string): Promise<Done>
}

export interface LimitReport {
  readonly id: string
  readonly algorithm: string
  readonly scope: 'global' | 'route'
  readonly limit: number
  readonly windowMs: Millis | null
  readonly enforced: boolean
  /** Keys that owe something, in all processes; null for a policy that keeps none here. */
  readonly keys: number | null
  /** Keys that gave way to others while they owed something. */
  readonly displaced: number | null
  /** Since the start. */
  readonly denied: number
  /** Would have been, with a policy that only logs. */
  readonly logged: number
}

export interface KnownRevocation extends Revocation {
  readonly id: string
}

export interface RevocationsView {
  /** Undefined when the config has no `iam`. */
  list(): Promise<readonly KnownRevocation[] | undefined>
  /** @returns undefined when there is no more room */
  add(revocation: Revocation, by: string): Promise<(Done & { readonly id: string }) | undefined>
  remove(id: string, by: string): Promise<Done>
  /** How long tokens of the config's issuers may live at most, seconds. */
  longestLife(): Promise<Seconds>
}

/** Of one process: what orders and traffic have made of it. Times are those of the wall clock. */
export interface RuntimeState {
  readonly takenAt: Millis
  readonly drains: readonly Drain[]
  readonly penalties: readonly Penalty[]
  readonly revocations: readonly Revocation[]
  readonly rollouts: readonly RolloutStatus[]
  /** Origins that live traffic has ejected, and until when. */
  readonly ejections: readonly { readonly origin: string; readonly until: Millis }[]
}

export interface StateView {
  take(): Promise<RuntimeState>
  /** Puts all processes there. */
  restore(state: RuntimeState, by: string): Promise<Done>
}
