/** Outcomes that a person looking for attacks wants to see. */

/** Refusals that are events. */
export const SECURITY_OUTCOMES: ReadonlySet<string> = new Set([
  'blocked',
  'denied-address',
  'challenge',
  'challenge-failed',
  'unauthenticated',
  'bad-credentials-request',
  'forbidden',
  'rate-limited',
  'loop-detected',
  'misdirected',
])

/** Refusals for the sake of security. Those of the penalty box are no events: the client's going in was one. */
export function isRefusal(outcome: string): boolean {
  return outcome === 'penalized' || SECURITY_OUTCOMES.has(outcome)
}
