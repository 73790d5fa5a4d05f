/** The penalty box at work: who is shut out is refused first of all, and what was refused is remembered. */
import type { Reply } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import { problem } from '../http/problem.ts'
import { ABNORMAL_USAGE } from '../limits/fields.ts'
import type { PenaltyEvent } from '../limits/penalty-box.ts'
import type { Passage } from '../passage.ts'

export function shutOut(x: Passage): Reply | undefined {
  const seconds = x.snapshot.penaltyBox?.blockedFor(x.client.ip) ?? 0
  if (seconds === 0) return undefined
  x.outcome = 'penalized'
  x.why = `The client is in the penalty box for ${seconds} s more.`
  return problem('penalized', x.id, {
    type: ABNORMAL_USAGE,
    headers: ['retry-after', String(seconds)],
  })
}

/** Holds an answered request against its client. The client's going into the box is one event. */
export function penalize(x: Passage, status: number, services: Services): void {
  const { penaltyBox } = x.snapshot
  if (penaltyBox === undefined) return
  const offence = x.offence ?? offenceOf(x, status)
  if (offence === undefined || x.outcome === 'penalized') return
  holdAgainst(x, offence, services)
}

export function holdAgainst(x: Passage, offence: PenaltyEvent, services: Services): void {
  const { penaltyBox } = x.snapshot
  if (penaltyBox === undefined) return
  const { metrics, mask } = services.telemetry
  metrics.penaltyEvents.add([offence])
  const { ip } = x.client
  if (!penaltyBox.record(ip, offence)) return
  metrics.penaltyTerms.add([])
  services.telemetry.note('security', 'shut-out', {
    client: mask.ip(ip),
    because: offence,
    seconds: penaltyBox.blockedFor(ip),
    request: x.id,
  })
}

function offenceOf(x: Passage, status: number): PenaltyEvent | undefined {
  // A response that the WAF held back is the origin's doing.
  if (x.outcome === 'blocked') return x.verdicts.some(isRequestBlock) ? 'waf' : undefined
  return status === 404 ? 'notFound' : undefined
}

function isRequestBlock({ enforced, phase, action }: Passage['verdicts'][number]): boolean {
  return enforced && phase === 'request' && action === 'block'
}
