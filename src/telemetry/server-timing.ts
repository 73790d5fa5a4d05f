/**
 * `Server-Timing` (https://www.w3.org/TR/server-timing/): where the time of an answer went, for the developer
 * tools of browsers. Times can tell what is in the cache and how far away origins are, so it is off unless
 * the config says who gets it.
 */
import type { TelemetryConfig } from '../config/sections/telemetry.ts'
import type { Attempt, Exchange, Millis } from '../exchange.ts'
import { CidrSet } from '../http/cidr.ts'
import type { DebugGate } from './debug-headers.ts'

type ServerTimingConfig = NonNullable<TelemetryConfig['serverTiming']>
type Phase = ServerTimingConfig['phases'][number]

/** One metric; empty when the phase does not apply. */
type Metric = (x: Exchange, totalMs: Millis) => string

/** From the first attempt's start to the last one's response header: hedged attempts overlap. */
function originMs(attempts: readonly Attempt[]): Millis {
  let begun = Number.POSITIVE_INFINITY
  let ended = 0
  for (const { startedAt = 0, durationMs } of attempts) {
    begun = Math.min(begun, startedAt)
    ended = Math.max(ended, startedAt + durationMs)
  }
  return attempts.length === 0 ? 0 : ended - begun
}

/** Milliseconds; a tenth is finer than a network. */
function dur(ms: Millis): string {
  return `dur=${Math.max(0, Math.round(ms * 10) / 10)}`
}

const METRICS: Readonly<Record<Phase, Metric>> = {
  total: (_x, totalMs) => `total;${dur(totalMs)}`,
  gateway: (x, totalMs) => `gateway;${dur(totalMs - originMs(x.attempts))}`,
  origin: ({ attempts }) => {
    if (attempts.length === 0) return ''
    const tries = attempts.length === 1 ? '' : `;desc="${attempts.length} tries"`
    return `origin;${dur(originMs(attempts))}${tries}`
  },
  cache: ({ cacheStatus }) =>
    cacheStatus === undefined ? '' : `cache;desc="${cacheStatus.outcome}"`,
  region: (x) => {
    const region = x.attempts.at(-1)?.region ?? x.decision?.region
    return region === undefined ? '' : `region;desc="${region}"`
  },
}

export class ServerTiming {
  readonly #metrics: readonly Metric[]
  readonly #to: 'everyone' | 'debug' | CidrSet
  readonly #debug: DebugGate

  constructor({ phases, to }: ServerTimingConfig, debug: DebugGate) {
    this.#metrics = phases.map((phase) => METRICS[phase])
    this.#to = typeof to === 'string' ? to : CidrSet.of(to)
    this.#debug = debug
  }

  #isFor(x: Exchange): boolean {
    const to = this.#to
    if (to === 'everyone') return true
    return to === 'debug' ? this.#debug.allows(x) : to.contains(x.client.ip)
  }

  /**
   * The field's value; empty for whom it is not, or when there is nothing to say.
   * @param totalMs since the request's header, until the answer's
   */
  value(x: Exchange, totalMs: Millis): string {
    if (!this.#isFor(x)) return ''
    let out = ''
    for (const metric of this.#metrics) {
      const text = metric(x, totalMs)
      if (text !== '') out += out === '' ? text : `, ${text}`
    }
    return out
  }
}
