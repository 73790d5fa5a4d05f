/** After the answer has left: what a request says about its network, and what that means for its client. */
import type { Services } from '../gateway.ts'
import type { Passage } from '../passage.ts'
import type { Snapshot } from '../snapshot.ts'
import type { RequestRecord } from '../telemetry/record.ts'
import type { ThreatReport } from '../telemetry/threats/threats.ts'
import { holdAgainst } from './penalty.ts'

/** @param now monotonic */
export function watchThreats(
  x: Passage,
  record: Readonly<RequestRecord>,
  services: Services,
  now: number,
): void {
  const { threats } = x.snapshot
  if (threats === undefined || x.outcome === 'client-closed') return
  const isBad = threats.observe(x.client.ip, record, now)
  if (isBad && threats.config.action === 'ban') {
    holdAgainst(x, 'anomaly', services)
  }
}

/** @returns undefined when the config does not watch for threats */
export function threatReport(
  services: Services,
  snapshot: Snapshot,
  limit: number,
): ThreatReport | undefined {
  return snapshot.threats?.report(limit, services.platform.clock.monotonic())
}
