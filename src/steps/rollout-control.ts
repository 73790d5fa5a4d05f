/** Rollouts as operators see and move them: for the control port and the command line. */
import type { Millis } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import type { Passage } from '../passage.ts'
import type { Snapshot } from '../snapshot.ts'
import type { RolloutCommand } from '../steering/rollout.ts'
import type { RolloutPosition, RolloutStatus } from '../steering/rollouts.ts'
import type { ExplainedRollout } from '../telemetry/explain.ts'
import { noteRollout } from './arms.ts'

export function rolloutStatus(services: Services, snapshot: Snapshot): RolloutStatus[] {
  return snapshot.rollouts.status(services.platform.clock.monotonic())
}

/**
 * @param id   of the route whose rollout it is
 * @param from where it is put first; undefined: where it is
 * @param by   who orders it; undefined when another process notes the order
 * @returns what it has become; undefined when there is no such rollout
 */
export function rolloutCommand(
  services: Services,
  snapshot: Snapshot,
  id: string,
  command: RolloutCommand,
  from?: RolloutPosition,
  by?: string,
): RolloutStatus | undefined {
  const rollout = snapshot.rollouts.get(id)
  if (rollout === undefined) return undefined
  const now = services.platform.clock.monotonic()
  if (from !== undefined) rollout.adopt(from, now)
  rollout.command(command, now)
  const status = rollout.status(now)
  if (by !== undefined) {
    services.telemetry.metrics.rolloutCommands.add([id, command])
    noteRollout(status, services, by)
  }
  return status
}

/** Puts every rollout where it is in another process. */
export function adoptRollouts(
  services: Services,
  snapshot: Snapshot,
  all: readonly (RolloutPosition & { readonly rollout: string })[],
): void {
  const now = services.platform.clock.monotonic()
  for (const position of all) snapshot.rollouts.get(position.rollout)?.adopt(position, now)
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

/** For the explanation of a request. @param now monotonic */
export function explainedRollout(x: Passage, now: Millis): ExplainedRollout | undefined {
  const { arm } = x
  const rollout = x.plan?.rollout?.rollout
  if (arm === undefined || rollout === undefined) return undefined
  const { percent, phase, from, to } = rollout.status(now)
  return { rollout: rollout.plan.id, arm, pool: arm === 'new' ? to : from, percent, phase }
}
