/** What orders have made of a process beyond its config: given to a worker that takes another's place. */

import type { Revocation } from '../../iam/revocation.ts'
import type { Drain } from '../../steering/drains.ts'
import type { Instance } from './instance.ts'

export interface RuntimeState {
  readonly drains: readonly Drain[]
  readonly revocations: readonly Revocation[]
}

export function runtimeState(instance: Instance): RuntimeState {
  const { drains, identity } = instance.snapshot
  return { drains: drains.list(), revocations: [...(identity?.revocations ?? [])] }
}

export function adoptState(instance: Instance, state: RuntimeState): void {
  const { drains, identity } = instance.snapshot
  drains.replace(state.drains)
  for (const revocation of state.revocations) identity?.revocations.add(revocation)
}
