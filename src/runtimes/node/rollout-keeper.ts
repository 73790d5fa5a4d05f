/** Rollouts over a restart: put back where they were, and every change handed on to be kept. */
import { mergeRollouts } from '../../admin/rollout-view.ts'
import type { Logger } from '../../ports.ts'
import type { Snapshot } from '../../snapshot.ts'
import type { RolloutStatus, SavedRollout } from '../../steering/rollouts.ts'
import { nodeClock } from './clock.ts'
import type { RolloutFile } from './rollout-file.ts'

export class RolloutKeeper {
  readonly #saved: readonly SavedRollout[]
  readonly #onChange: (status: RolloutStatus) => void

  /** @param onChange after each change of share or phase, and with every rollout of each config */
  constructor(saved: readonly SavedRollout[], onChange: (status: RolloutStatus) => void) {
    this.#saved = saved
    this.#onChange = onChange
  }

  /** Before the first request. */
  restore({ rollouts }: Pick<Snapshot, 'rollouts'>, log: Logger): void {
    const now = nodeClock.monotonic()
    for (const saved of this.#saved) {
      const rollout = rollouts.get(saved.rollout)
      if (rollout === undefined) continue
      const { from, to, percent, phase, note } = saved
      if (rollout.restore(saved, now)) {
        const at = rollout.status(now)
        const fields = { was: `${percent} %, ${phase}`, why: note }
        log.info(`rollout ${saved.rollout} goes on at ${at.percent} %: ${at.phase}`, fields)
      } else {
        const why = `it went from ${from} to ${to} before the restart`
        log.warn(`rollout ${saved.rollout} begins anew`, { why })
      }
    }
    this.follow({ rollouts })
  }

  /** Hands on what changes in a config's rollouts. */
  follow({ rollouts }: Pick<Snapshot, 'rollouts'>): void {
    rollouts.watch(this.#onChange)
    for (const status of rollouts.status(nodeClock.monotonic())) this.#onChange(status)
  }
}

/** Of one process. */
export function keptBy(file: RolloutFile): RolloutKeeper {
  const positions = new RolloutPositions((saved) => file.save(saved))
  return new RolloutKeeper(file.saved, (status) => positions.moved(0, status))
}

/** Where each process is; what is kept is where the one is that is least far. */
export class RolloutPositions {
  readonly #byProcess = new Map<number, Map<string, RolloutStatus>>()
  readonly #save: (saved: SavedRollout[]) => void

  constructor(save: (saved: SavedRollout[]) => void) {
    this.#save = save
  }

  moved(process: number, status: RolloutStatus): void {
    const known = this.#byProcess.get(process) ?? new Map<string, RolloutStatus>()
    this.#byProcess.set(process, known.set(status.rollout, status))
    this.#save(
      mergeRollouts([...this.#byProcess.values()].map((each) => [...each.values()])).map(
        ({ rollout, from, to, step, percent, phase, sinceMs, note }): SavedRollout => ({
          ...{ rollout, from, to, step, percent, phase, sinceMs, note },
        }),
      ),
    )
  }

  forget(process: number): void {
    this.#byProcess.delete(process)
  }
}
