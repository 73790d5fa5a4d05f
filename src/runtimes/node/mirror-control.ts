/** The control port's view of the mirrors of one process, and of those of all worker processes. */
import { type MirrorStatus, type MirrorView, mergeMirrors } from '../../admin/mirror-view.ts'
import { nodeClock } from './clock.ts'
import type { Instance } from './instance.ts'

/** What the primary asks of a worker. */
export interface MirrorQuestion {
  readonly ask: 'mirror-status'
}

export function mirrorStatus({ snapshot }: Pick<Instance, 'snapshot'>): MirrorStatus[] {
  const now = nodeClock.monotonic()
  return snapshot.routes.flatMap(({ ref, mirror }) => {
    if (mirror === undefined) return []
    const { policy, underWay } = mirror.mirror
    const { percent, tally } = mirror
    return [{ mirror: ref.id, pool: policy.pool.id, percent, underWay, ...tally.counts(now) }]
  })
}

/** @param askAll answers of every process */
export function mirrorView(askAll: (question: MirrorQuestion) => Promise<unknown[]>): MirrorView {
  return {
    status: async () => mergeMirrors((await askAll({ ask: 'mirror-status' })) as MirrorStatus[][]),
  }
}

/** The mirrors of one process. */
export function instanceMirrorView(instance: Instance): MirrorView {
  return mirrorView(async () => [mirrorStatus(instance)])
}
