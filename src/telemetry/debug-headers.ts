/**
 * Response headers that say what the gateway decided. They name regions, origins and rules, so only
 * callers that the config authorises get them.
 */
import type { TelemetryConfig } from '../config/sections/telemetry.ts'
import type { Exchange } from '../exchange.ts'
import { CidrSet } from '../http/cidr.ts'
import { secretEquals } from './constant-time.ts'

/** The request field that asks for debug headers; it is a credential and never forwarded or shown. */
export const DEBUG_REQUEST_HEADER = 'meridian-debug'

const NOT_PRINTABLE = /[^\u0020-\u007e]/g

export class DebugGate {
  readonly #token: string | undefined
  readonly #allowed: CidrSet

  /** @param token the secret that the section names, already read */
  constructor(config: TelemetryConfig['debugHeaders'], token: string | undefined) {
    // An empty secret would authorise everybody.
    this.#token = token === '' ? undefined : token
    this.#allowed = CidrSet.of(config.allowFrom)
  }

  /** Whether this request may see them: it asks, and has the token or comes from a listed address. */
  allows(x: Exchange): boolean {
    if (this.#token === undefined && this.#allowed.size === 0) return false
    const asked = x.headers.get(DEBUG_REQUEST_HEADER)
    if (asked === undefined) return false
    if (this.#token !== undefined && secretEquals(asked, this.#token)) return true
    return this.#allowed.contains(x.client.ip)
  }
}

/** Flat name, value list to add to the reply. */
export function debugHeaders(x: Exchange): string[] {
  const headers = ['meridian-request-id', x.id, 'meridian-outcome', x.outcome]
  if (x.route !== undefined) headers.push('meridian-route', x.route.id)
  headers.push(
    'meridian-geo',
    `${x.geo.country ?? 'unknown'};source=${x.geo.source}${x.geo.asn === null ? '' : `;asn=${x.geo.asn}`}`,
  )
  const { decision } = x
  if (decision !== undefined) {
    headers.push(
      'meridian-region',
      x.attempts.at(-1)?.region ?? decision.region,
      'meridian-steering',
      `${decision.policy};order="${decision.order.join(' ')}";reason="${decision.reason}"`,
    )
  }
  if (x.attempts.length > 0) {
    headers.push(
      'meridian-attempts',
      x.attempts
        .map((one) => `${one.origin};outcome=${one.outcome};ms=${Math.round(one.durationMs)}`)
        .join(', '),
    )
  }
  if (x.verdicts.length > 0) {
    headers.push(
      'meridian-rules',
      x.verdicts
        .map((one) => `${one.rule};action=${one.action}${one.enforced ? ';enforced' : ''}`)
        .join(', '),
    )
  }
  for (let i = 1; i < headers.length; i += 2) {
    headers[i] = (headers[i] as string).replace(NOT_PRINTABLE, '?')
  }
  return headers
}
