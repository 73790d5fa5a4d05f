/** The `threats` and `alerts` sections. */
import type { Report } from '../config/errors.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { ThreatsConfig } from '../config/sections/threats.ts'
import { isWebhook } from '../config/webhook.ts'
import type { IpAddress } from '../exchange.ts'
import { type ReadyAlert, readyAlerts } from '../telemetry/alerts/courier.ts'
import { type AnomalyChange, Threats } from '../telemetry/threats/threats.ts'
import type { Expressions } from './expressions.ts'

export interface ThreatSurroundings {
  /** Masks an address for people. */
  readonly show: (ip: IpAddress) => string
  readonly onChange: (change: AnomalyChange) => void
}

/** What has been learnt goes on over a reload that does not touch the section. */
export function compileThreats(
  config: ThreatsConfig | undefined,
  surroundings: ThreatSurroundings | undefined,
  previous: Threats | undefined,
): Threats | undefined {
  if (config === undefined || surroundings === undefined) return undefined
  if (previous !== undefined && JSON.stringify(previous.config) === JSON.stringify(config)) {
    return previous
  }
  return new Threats(config, surroundings.show, surroundings.onChange)
}

/** Alerts with their URLs, keys and expressions; what cannot work is reported. */
export function compileAlerts(
  { config, secrets }: LoadedConfig,
  expressions: Expressions,
  report: Report,
): ReadyAlert[] {
  const { alerts, faults } = readyAlerts(config.alerts, (ref) => secrets.get(ref), isWebhook)
  for (const { index, field, message } of faults) report(`alerts[${index}].${field}`, message)
  const matching = new Map(
    config.alerts.map(({ name, when: { expression } }, index) => [
      name,
      expression === undefined
        ? undefined
        : expressions.condition(expression, `alerts[${index}].when.expression`, report),
    ]),
  )
  return alerts.map((alert) => ({ ...alert, matches: matching.get(alert.config.name) }))
}
