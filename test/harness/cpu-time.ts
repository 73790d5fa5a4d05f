/** For tests that hold the growth of time: CPU time, which a busy machine only ever adds to. */

/** CPU milliseconds, the best of `runs`. */
export function cost(work: () => void, runs = 5): number {
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < runs; i++) {
    const before = process.cpuUsage()
    work()
    const { user, system } = process.cpuUsage(before)
    best = Math.min(best, (user + system) / 1000)
  }
  return best
}

/**
 * The best costs of several works, measured in turn again for as long as they look bad: more runs are
 * nearer to the truth, and what grows too fast stays bad.
 */
export function settled(
  works: readonly (() => void)[],
  runs: number,
  isBad: (...costs: number[]) => boolean,
): number[] {
  const best = works.map((work) => cost(work, runs))
  for (let more = 0; more < 8 && isBad(...best); more++) {
    for (const [i, work] of works.entries()) best[i] = Math.min(best[i] as number, cost(work, runs))
  }
  return best
}
