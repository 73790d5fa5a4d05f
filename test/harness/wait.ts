/** Waiting without sleeping: conditions are polled until a deadline. Time in which the machine stood still is no time. */

/** Between two looks at the clock, and the most that passes from one look to the next. */
const TICK_MS = 5
const MOST_MS = 25
let ran = 0
let lookedAt = performance.now()

/**
 * A clock for what a test holds against a limit: it stands still while this process does, as on a machine that
 * is busy with others. What is waited for passes on it; what blocks the process counts as a moment.
 * @returns milliseconds
 */
export function ranMs(): number {
  const now = performance.now()
  ran += Math.min(now - lookedAt, MOST_MS)
  lookedAt = now
  return ran
}
setInterval(ranMs, TICK_MS).unref()

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

/**
 * Asks until the answer is neither undefined nor false.
 * @param what        named in the error when it does not come in time
 * @param deadlineMs  by `ranMs`
 */
export async function until<T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  deadlineMs = 10_000,
): Promise<T> {
  const end = ranMs() + deadlineMs
  for (;;) {
    const answer = await ask()
    if (answer !== undefined && answer !== false) return answer
    if (ranMs() > end) throw new Error(`not in ${deadlineMs} ms: ${what}`)
    await pause(10)
  }
}

/** The promise's own end, or an error that names what did not happen. */
export async function within<T>(
  what: string,
  promise: Promise<T>,
  deadlineMs = 10_000,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not in ${deadlineMs} ms: ${what}`)), deadlineMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
