/** Rollouts on the control port. The runtime implements it, for all worker processes. */
import type { Millis } from '../exchange.ts'
import { type RolloutCommand, rolloutRefusal } from '../steering/rollout.ts'
import type { RolloutPosition, RolloutStatus } from '../steering/rollouts.ts'

/** One arm's requests since the last comparison. */
export interface ArmReport {
  readonly requests: number
  readonly errors: number
  /** The slowest process's; null without a request. */
  readonly p95Ms: Millis | null
}

/** A rollout in all processes together: it is where the process is that is least far. */
export interface RolloutReport extends Omit<RolloutStatus, 'old' | 'new'> {
  readonly old: ArmReport
  readonly new: ArmReport
  readonly workers: number
  /** Processes that are elsewhere: each judges its own traffic. */
  readonly elsewhere: number
}

export interface RolloutOrder {
  /** The route whose rollout it is. */
  readonly rollout: string
  readonly command: RolloutCommand
}

export interface RolloutView {
  status(): Promise<readonly RolloutReport[]>
  /**
   * @param from where all processes are put before the command, so that they come to the same place
   * @param by   who asks, as the runtime names it
   * @returns processes that have done it
   */
  command(order: RolloutOrder, from: RolloutPosition, by: string): Promise<number>
}

/** What became of an order. */
export type RolloutAnswer =
  | { readonly report: RolloutReport; readonly workers: number }
  | { readonly refused: 'unknown' | 'conflict'; readonly why: string }

/** Carries an order out, or says why not. */
export async function orderRollout(
  view: RolloutView,
  order: RolloutOrder,
  by: string,
): Promise<RolloutAnswer> {
  const { rollout, command } = order
  const before = await view.status()
  const found = before.find((one) => one.rollout === rollout)
  if (found === undefined) {
    const known = before.map((one) => `"${one.rollout}"`).join(', ')
    const why = known === '' ? 'no route has one' : `there are ${known}`
    return { refused: 'unknown', why: `There is no rollout "${rollout}": ${why}.` }
  }
  const reason = rolloutRefusal(found, command)
  if (reason !== undefined) {
    return { refused: 'conflict', why: `The rollout "${rollout}" ${reason}.` }
  }
  const workers = await view.command(order, found, by)
  const after = await view.status()
  return { report: after.find((one) => one.rollout === rollout) ?? found, workers }
}

/** Reports of worker processes, each of which has all rollouts of the same config, as one. */
export function mergeRollouts(reports: readonly (readonly RolloutStatus[])[]): RolloutReport[] {
  const byId = new Map<string, RolloutStatus[]>()
  for (const status of reports.flat()) {
    const same = byId.get(status.rollout)
    if (same === undefined) byId.set(status.rollout, [status])
    else same.push(status)
  }
  return [...byId.values()].map((same) => {
    const least = same.reduce((least, one) => (one.percent < least.percent ? one : least))
    const isElsewhere = (one: RolloutStatus) =>
      one.percent !== least.percent || one.phase !== least.phase
    return {
      ...least,
      old: armOf(same.map((one) => one.old)),
      new: armOf(same.map((one) => one.new)),
      workers: same.length,
      elsewhere: same.filter(isElsewhere).length,
    }
  })
}

function armOf(windows: readonly RolloutStatus['old'][]): ArmReport {
  const times = windows.map((one) => one.p95Ms).filter((time) => !Number.isNaN(time))
  return {
    requests: windows.reduce((sum, one) => sum + one.requests, 0),
    errors: windows.reduce((sum, one) => sum + one.errors, 0),
    p95Ms: times.length === 0 ? null : Math.max(...times),
  }
}
