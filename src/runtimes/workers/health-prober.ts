/**
 * A Durable Object that checks all origins, for every isolate of the world. The alarm is set again before
 * anything is asked, so that a check that throws, or an object that is moved, does not end the checks; a
 * cron trigger sets it once more should it be lost all the same.
 */
import { DurableObject } from 'cloudflare:workers'
import type { HealthConfig } from '../../config/sections/health.ts'
import type { Millis } from '../../exchange.ts'
import {
  type ActiveHealth,
  afterProbe,
  NEVER_CHECKED,
  nextProbeDelay,
  type ProbeResult,
} from '../../health/active.ts'
import { activeRules } from '../../health/probe.ts'
import type { OriginAddress } from '../../ports.ts'
import { fetchProber } from '../web/prober.ts'

/** One origin to check; plain data, since it is stored. */
export interface ProbeSpec {
  readonly origin: OriginAddress
  readonly health: HealthConfig
}

export interface CheckedOrigin {
  readonly state: ActiveHealth['state']
  readonly against: number
  readonly detail: string
  readonly draining: boolean
  /** Wall clock. */
  readonly checkedAt: Millis
  readonly nextAt: Millis
}

export interface HealthSnapshot {
  /** When the last round of checks ended; 0 when there was none. */
  readonly at: Millis
  readonly origins: Readonly<Record<string, CheckedOrigin>>
}

interface Plan {
  readonly key: string
  readonly targets: readonly ProbeSpec[]
}

const EMPTY: HealthSnapshot = { at: 0, origins: {} }
/** An alarm that is overdue by this is taken for lost. */
const LOST_MS = 30_000
const MIN_DELAY_MS = 500

/** What a round of checks needs; the object's own, or a test's. */
export interface RoundPorts {
  readonly probe: (target: ProbeSpec) => Promise<ProbeResult>
  readonly now: () => Millis
  readonly draw: () => number
}

/** Checks the origins that are due. A check that throws has failed; it harms no other. */
export async function checkRound(
  targets: readonly ProbeSpec[],
  before: HealthSnapshot,
  { probe, now, draw }: RoundPorts,
): Promise<HealthSnapshot> {
  const origins: Record<string, CheckedOrigin> = {}
  const startedAt = now()
  await Promise.all(
    targets.map(async (target) => {
      const { id } = target.origin
      const known = before.origins[id]
      if (known !== undefined && known.nextAt > startedAt + MIN_DELAY_MS) {
        origins[id] = known
        return
      }
      let result: ProbeResult
      try {
        result = await probe(target)
      } catch (error) {
        result = { ok: false, detail: error instanceof Error ? error.message : String(error) }
      }
      const rules = activeRules(target.health)
      const health = afterProbe(known ?? NEVER_CHECKED, result, rules)
      origins[id] = {
        ...health,
        detail: result.detail,
        draining: result.drain === true,
        checkedAt: now(),
        nextAt: now() + nextProbeDelay(health, rules, draw()),
      }
    }),
  )
  return { at: now(), origins }
}

export class HealthProber extends DurableObject {
  /**
   * Takes over what is to be checked, and makes sure that checks go on. Cheap to call again.
   * @param key changes with the targets
   */
  async ensure(key: string, targets: readonly ProbeSpec[]): Promise<void> {
    const { storage } = this.ctx
    const plan = await storage.get<Plan>('plan')
    if (plan?.key !== key) await storage.put('plan', { key, targets } satisfies Plan)
    const alarm = await storage.getAlarm()
    if (plan?.key !== key || alarm === null || alarm < Date.now() - LOST_MS) {
      await storage.setAlarm(Date.now() + MIN_DELAY_MS)
    }
  }

  async snapshot(): Promise<HealthSnapshot> {
    return (await this.ctx.storage.get<HealthSnapshot>('snapshot')) ?? EMPTY
  }

  async alarm(): Promise<void> {
    const { storage } = this.ctx
    const plan = await storage.get<Plan>('plan')
    if (plan === undefined || plan.targets.length === 0) return
    const shortest = Math.min(...plan.targets.map(({ health }) => health.interval))
    await storage.setAlarm(Date.now() + Math.max(MIN_DELAY_MS, shortest))
    const before = (await storage.get<HealthSnapshot>('snapshot')) ?? EMPTY
    const after = await checkRound(plan.targets, before, {
      probe: fetchProber((url, init) => fetch(url, init)),
      now: () => Date.now(),
      draw: () => Math.random(),
    })
    await storage.put('snapshot', after)
    let next = Number.POSITIVE_INFINITY
    for (const { nextAt } of Object.values(after.origins)) next = Math.min(next, nextAt)
    if (Number.isFinite(next)) await storage.setAlarm(Math.max(Date.now() + MIN_DELAY_MS, next))
  }
}
