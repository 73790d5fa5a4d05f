/** Clock and Random where there are only Web interfaces. */
import type { Clock, Random } from '../../ports.ts'

export const webClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delay, run) {
    const timer: unknown = setTimeout(run, delay)
    // Where timers keep a process alive (Bun, Deno's Node layer), this one must not.
    if (typeof timer === 'object' && timer !== null && 'unref' in timer) {
      ;(timer as { unref(): void }).unref()
    }
    return () => clearTimeout(timer as ReturnType<typeof setTimeout>)
  },
}

export const webRandom: Random = {
  next: () => Math.random(),
  bytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
}
