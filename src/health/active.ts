/**
 * Active checks of one origin: what a row of results says. Pure: results in, state out. Rise and fall
 * thresholds as in HAProxy; the first result after the start counts alone, so that nobody waits for a
 * second opinion on an origin that nothing is known about.
 */
import type { Millis } from '../exchange.ts'

/** `unknown` until the first result: such an origin serves, after the ones known to be healthy. */
export type ActiveState = 'unknown' | 'up' | 'down'

export interface ActiveRules {
  readonly intervalMs: Millis
  readonly fastIntervalMs: Millis
  readonly timeoutMs: Millis
  readonly rise: number
  readonly fall: number
}

export interface ProbeResult {
  readonly ok: boolean
  /** For people: `200`, `503`, `connection refused`, `no answer in 2000 ms`. */
  readonly detail: string
  /** The failure leaves no doubt (the process is gone): `fall` does not have to be reached. */
  readonly immediate?: boolean | undefined
  /** The origin asks for no new work. */
  readonly drain?: boolean | undefined
}

export interface ActiveHealth {
  readonly state: ActiveState
  /** Results in a row that speak against `state`. */
  readonly against: number
}

export const NEVER_CHECKED: ActiveHealth = Object.freeze({ state: 'unknown', against: 0 })

export function afterProbe(
  health: ActiveHealth,
  result: ProbeResult,
  rules: ActiveRules,
): ActiveHealth {
  const seen: ActiveState = result.ok ? 'up' : 'down'
  if (health.state === 'unknown') return { state: seen, against: 0 }
  if (health.state === seen) return health.against === 0 ? health : { state: seen, against: 0 }
  const against = health.against + 1
  const needed = result.ok ? rules.rise : result.immediate === true ? 1 : rules.fall
  return against >= needed ? { state: seen, against: 0 } : { state: health.state, against }
}

/** A check's time varies by this share either way, so that gateways started together drift apart. */
const JITTER = 0.1

/**
 * When to check again.
 * @param draw uniform in [0, 1)
 */
export function nextProbeDelay(health: ActiveHealth, rules: ActiveRules, draw: number): Millis {
  const base = health.against > 0 ? rules.fastIntervalMs : rules.intervalMs
  return base * (1 + JITTER * (2 * draw - 1))
}

/** The longest time an origin can be dead before it is known, when it dies right after a check. */
export function worstDetection(rules: ActiveRules): Millis {
  const first = rules.intervalMs * (1 + JITTER) + rules.timeoutMs
  return first + (rules.fall - 1) * (rules.fastIntervalMs * (1 + JITTER) + rules.timeoutMs)
}
