/**
 * Hedging (Dean and Barroso, "The Tail at Scale", 2013): a request that takes longer than almost all others
 * is sent to a second origin, and whichever answers first wins. The other is called off.
 */
import type { Millis } from '../exchange.ts'
import { type Clock, UpstreamError, type UpstreamReply } from '../ports.ts'
import type { UpstreamMeter } from './policy.ts'

export interface StartedAttempt {
  readonly result: Promise<UpstreamReply | UpstreamError>
  readonly cancel: () => void
}

/**
 * @param start begins the first attempt, and later the second: undefined when there is nowhere to go,
 *   `refused` when it would be too much load
 * @returns the first good reply; the last failure when there is none
 */
export function hedged(
  afterMs: Millis,
  clock: Clock,
  meter: UpstreamMeter | undefined,
  start: (isHedge: boolean) => StartedAttempt | 'refused' | undefined,
): Promise<UpstreamReply | UpstreamError> {
  return new Promise((resolve) => {
    const running: StartedAttempt[] = []
    let pending = 0
    let isSettled = false

    const begin = (isHedge: boolean): void => {
      const attempt = start(isHedge)
      if (attempt === 'refused') meter?.hedged('refused')
      if (attempt === undefined || attempt === 'refused') return
      running.push(attempt)
      pending++
      void attempt.result.then((result) => {
        pending--
        if (isSettled) {
          letGo(result)
          return
        }
        if (result instanceof UpstreamError && pending > 0) return
        isSettled = true
        cancelTimer()
        if (running.length > 1) meter?.hedged(attempt === running[1] ? 'won' : 'lost')
        for (const other of running) if (other !== attempt) other.cancel()
        resolve(result)
      })
    }

    const cancelTimer = clock.after(afterMs, () => {
      if (!isSettled) begin(true)
    })
    begin(false)
  })
}

/** A reply that nobody waits for any more. */
function letGo(result: UpstreamReply | UpstreamError): void {
  if (result instanceof UpstreamError) return
  const { body } = result
  if (body !== null && !(body instanceof Uint8Array)) body.cancel()
}
