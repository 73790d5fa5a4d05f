/** Revocations on the control port. The runtime implements it, for all worker processes. */
import type { Revocation, RevocationKind } from '../iam/revocation.ts'

export interface RevocationView {
  list(): Promise<readonly Revocation[]>
  /** @returns processes that know it now */
  revoke(revocation: Revocation): Promise<number>
  /** @returns processes that had it */
  restore(kind: RevocationKind, value: string): Promise<number>
}
