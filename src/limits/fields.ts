/**
 * The RateLimit-Policy and RateLimit response fields (draft-ietf-httpapi-ratelimit-headers-10), as
 * Structured Field lists of RFC 9651. Never to be stored in a cache: they are about one client.
 */
import type { LimitResult } from './result.ts'

/** Lower-case names; the cache drops these and they are added anew to each answer. */
export const RATE_LIMIT_FIELDS: readonly string[] = ['ratelimit', 'ratelimit-policy']

/** Problem types that the draft registers for the body of a refusal. */
export const QUOTA_EXCEEDED = 'https://iana.org/assignments/http-problem-types#quota-exceeded'
export const REDUCED_CAPACITY =
  'https://iana.org/assignments/http-problem-types#temporary-reduced-capacity'
export const ABNORMAL_USAGE =
  'https://iana.org/assignments/http-problem-types#abnormal-usage-detected'

/**
 * Appends the fields for what the checks of a request found: the policy nearest to its limit, or the
 * first that denied; with a denial also Retry-After.
 * @param headers flat name, value list of the reply
 * @param jitter  in [0, 1): spreads clients over a tenth of the wait, never shortens it
 */
export function addRateLimitFields(
  headers: string[],
  results: readonly (LimitResult | undefined)[],
  jitter = 0,
): void {
  let shown: LimitResult | undefined
  for (const result of results) {
    if (result === undefined) continue
    if (!result.allowed) {
      shown = result
      break
    }
    if (result.policy.policyItem === undefined) continue
    if (shown === undefined || share(result) < share(shown)) shown = result
  }
  if (shown === undefined) return
  const { policy } = shown
  if (policy.policyItem !== undefined && shown.reason !== 'key' && shown.reason !== 'store') {
    const reset = shown.remaining === shown.limit ? 0 : shown.resetSeconds
    headers.push(
      'ratelimit-policy',
      policy.policyItem,
      'ratelimit',
      reset === 0
        ? `${policy.stateItem}${shown.remaining}`
        : `${policy.stateItem}${shown.remaining};t=${reset}`,
    )
  }
  if (!shown.allowed && shown.retryAfter > 0) {
    const extra = Math.floor(shown.retryAfter * 0.1 * jitter)
    headers.push('retry-after', String(shown.retryAfter + extra))
  }
}

function share(result: LimitResult): number {
  return result.remaining / result.limit
}
