/** Clock and Random on Node. */
import { randomBytes } from 'node:crypto'
import type { Clock, Random } from '../../ports.ts'

export const nodeClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delay, run) {
    const timer = setTimeout(run, delay)
    timer.unref()
    return () => clearTimeout(timer)
  },
}

export const nodeRandom: Random = {
  next: () => Math.random(),
  bytes: (count) => randomBytes(count),
}
