/** Rollouts as operators see and move them: for the control port and the command line. */
import type { Services } from '../gateway.ts'
import type { Snapshot } from '../snapshot.ts'
import type { RolloutCommand } from '../steering/rollout.ts'
import type { RolloutStatus } from '../steering/rollouts.ts'
import { noteRollout } from './arms.ts'

export function rolloutStatus(services: Services, snapshot: Snapshot): RolloutStatus[] {
  return snapshot.rollouts.status(services.platform.clock.monotonic())
}

/**
 * @param id of the route whose rollout it is
 * @returns what it has become; undefined when there is no such rollout
 */
export function rolloutCommand(
  services: Services,
  snapshot: Snapshot,
  id: string,
  command: RolloutCommand,
): RolloutStatus | undefined {
  const rollout = snapshot.rollouts.get(id)
  if (rollout === undefined) return undefined
  const now = services.platform.clock.monotonic()
  const event = rollout.command(command, now)
  if (event !== undefined) noteRollout(event, services)
  return rollout.status(now)
}

/** Shares of clients, read at each scrape. */
export function watchRollouts(services: Services, snapshot: () => Snapshot): void {
  const { metrics } = services.telemetry
  metrics.registry.onCollect(() => {
    for (const { rollout, percent } of rolloutStatus(services, snapshot())) {
      metrics.rolloutPercent.set([rollout], percent)
    }
  })
}
