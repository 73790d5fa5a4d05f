/** Slow start: an origin that just came up takes its share little by little, as in Envoy. */
import type { Millis } from '../exchange.ts'

/** An origin never gets less than this share of its weight. */
const LEAST_FACTOR = 0.1

/**
 * What to multiply an origin's weight with.
 * @param upForMs    since it came up
 * @param windowMs   length of the slow start; 0 is off
 * @param aggression 1 is linear, above it the beginning is faster
 * @returns 0.1 to 1
 */
export function slowStartFactor(upForMs: Millis, windowMs: Millis, aggression = 1): number {
  if (upForMs >= windowMs) return 1
  return Math.max(LEAST_FACTOR, (Math.max(0, upForMs) / windowMs) ** (1 / aggression))
}
