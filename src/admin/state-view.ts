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

export interface RevocationsReport {
  readonly revocations: readonly KnownRevocation[]
  /** Whether other gateways hear of them; `unknown`: their list was not read yet, and tokens are refused. */
  readonly fleet: 'none' | 'unknown' | 'known'
}

export interface RevocationDone extends Done {
  /** Whether the other gateways have been told: false while their server is away; null where there are none. */
  readonly isTold: boolean | null
}

export interface RevocationsView {
  /** Undefined where nobody is asked who they are. */
  list(): Promise<RevocationsReport | undefined>
  /** Undefined when the list is full. */
  add(
    revocation: Revocation,
    by: string,
  ): Promise<(RevocationDone & { readonly id: string }) | undefined>
  remove(id: string, by: string): Promise<RevocationDone>
  /** Seconds after which no token that lives now is accepted. */
  longestLife(): Promise<number>
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
