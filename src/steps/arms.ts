/**
 * Rollouts and mirrors of a route: what a request's places become in a rollout, what is repeated to a mirror.
 * Neither goes where the request itself may not go.
 */
import type { Attempt } from '../exchange.ts'
import type { Services } from '../gateway.ts'
import type { Passage } from '../passage.ts'
import { isInNewArm } from '../steering/rollout.ts'
import type { RolloutEvent } from '../steering/rollouts.ts'
import type { Place } from '../upstream/attempt.ts'
import { type Comparison, MIRROR_BODY_BYTES } from '../upstream/mirror.ts'
import { clientHash, isDrained, maySee } from './steering-request.ts'

/** In the new arm, the new pool comes before each place of the old one, which stays as a way back. */
export function enterRollout(x: Passage, services: Services): void {
  const compiled = x.plan?.rollout
  if (compiled === undefined) return
  const { rollout, to } = compiled
  const { clock } = services.platform
  const health = x.snapshot.health.usableShare(rollout.to)
  const event = rollout.review(health, clock.monotonic())
  if (event !== undefined) noteRollout(event, services)
  const at = x.places.findIndex(({ pool }) => pool.id === rollout.from)
  if (at < 0 || isDrained(x.snapshot, to.region) || !maySee(x, to.region)) return
  const arm = rollout.armOf(clientHash(x))
  x.arm = arm
  if (arm === 'old') return
  const places: Place[] = x.places.filter(({ pool }) => pool.id !== rollout.to)
  places.splice(at, 0, to)
  x.places = places
}

/** Counts a request of a rollout by its last attempt in the arm's own pool. */
export function leaveRollout(x: Passage, attempts: readonly Attempt[], services: Services): void {
  const rollout = x.plan?.rollout?.rollout
  const { arm } = x
  if (rollout === undefined || arm === undefined) return
  const own = arm === 'new' ? rollout.to : rollout.from
  for (let i = attempts.length - 1; i >= 0; i--) {
    const attempt = attempts[i] as Attempt
    if (attempt.pool !== own) continue
    if (attempt.outcome === 'cancelled' || attempt.outcome === 'request-body') continue
    const isError = attempt.status === null || attempt.status >= 500
    rollout.count(arm, isError, attempt.durationMs)
    services.telemetry.metrics.rolloutRequests.add([
      rollout.plan.id,
      arm,
      isError ? 'failed' : 'served',
    ])
    return
  }
}

/** @param by whose order it was; undefined when it moved by itself */
export function noteRollout(
  event: RolloutEvent,
  { platform, telemetry }: Services,
  by?: string,
): void {
  const { rollout, percent, phase, note } = event
  const why = by === undefined ? { note } : { note, by }
  telemetry.note('steering', `rollout-${phase}`, { rollout, percent, ...why })
  const message = `rollout ${rollout} is at ${percent} %: ${phase}`
  if (phase === 'rolled-back') platform.log.warn(message, why)
  else platform.log.info(message, why)
}

/** The least time between two events of one route's mirror. */
const NOTE_EVERY_MS = 1000

/** Repeats the request to the route's mirror, if it is one of those. */
export function beginMirror(
  x: Passage,
  request: {
    readonly method: string
    readonly path: string
    readonly fields: (host: string | undefined) => string[]
    readonly withBody: boolean
  },
  services: Services,
): Comparison | undefined {
  const compiled = x.plan?.mirror
  if (compiled === undefined || x.wantsWebSocket) return undefined
  const { mirror, percent, salt, region } = compiled
  if (!mirror.policy.methods.has(request.method) || isDrained(x.snapshot, region)) return undefined
  if (!isInNewArm(clientHash(x), salt, percent) || !maySee(x, region)) return undefined
  let body: Uint8Array | null = null
  if (request.withBody && x.body !== null) {
    const whole = x.body.isReplayable ? x.body.open() : undefined
    if (!(whole instanceof Uint8Array) || whole.length > MIRROR_BODY_BYTES) return undefined
    body = whole
  }
  const { platform, telemetry } = services
  const route = x.plan?.ref.id ?? ''
  const { path } = x.target
  const { upstream, clock, random } = platform
  return mirror.begin(
    { ...request, body, clientKey: x.client.ip?.text ?? '' },
    { upstream, clock, random, health: x.snapshot.health },
    (report) => {
      telemetry.metrics.mirrored.add([route, report.result])
      const now = clock.monotonic()
      compiled.tally.add(report, { method: request.method, path }, now, clock.now())
      if (report.result !== 'status' && report.result !== 'body') return
      if (now - compiled.notedAt < NOTE_EVERY_MS) return
      compiled.notedAt = now
      const { status, mirrorStatus, mirrorMs } = report
      const milliseconds = Math.round(mirrorMs)
      telemetry.note('steering', 'mirror-differs', {
        route,
        method: request.method,
        path,
        what: report.result,
        status,
        mirrorStatus,
        mirrorMs: milliseconds,
      })
    },
  )
}
