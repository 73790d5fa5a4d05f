/** What orders have made of a process beyond its config: given to a worker that takes another's place. */
import type { Drain } from '../../steering/drains.ts'
import type { Instance } from './instance.ts'

export interface RuntimeState {
  readonly drains: readonly Drain[]
}

export function runtimeState(instance: Instance): RuntimeState {
  return { drains: instance.snapshot.drains.list() }
}

export function adoptState(instance: Instance, state: RuntimeState): void {
  instance.snapshot.drains.replace(state.drains)
}
