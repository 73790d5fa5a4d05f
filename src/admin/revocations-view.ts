/** Revoked tokens on the control port. The runtime implements it, for all worker processes. */
import type { Revocation, RevocationKind } from '../iam/revocation.ts'
import type { Done } from './regions-view.ts'

export interface RevocationsReport {
  readonly revocations: readonly Revocation[]
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
  revoke(revocation: Revocation, by: string): Promise<RevocationDone>
  restore(kind: RevocationKind, value: string, by: string): Promise<RevocationDone>
}
