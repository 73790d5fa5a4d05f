/**
 * What orders and traffic have made of a process beyond its config: given to a worker that takes another's
 * place, and taken and put back by operators.
 */
import type { RuntimeState, StateView } from '../../admin/state-view.ts'
import { PenaltyBox, parsePenaltyKey } from '../../limits/penalty-box.ts'
import { adoptRollouts, rolloutStatus } from '../../steps/rollout-control.ts'
import type { Asker } from './control.ts'
import type { Instance } from './instance.ts'

/** What the primary asks of a worker about its state. */
export type StateQuestion =
  | { readonly ask: 'state-take' }
  | {
      readonly ask: 'state-restore'
      readonly state: RuntimeState
      readonly by?: string
      readonly isNoted?: boolean
    }

export function answerAboutState(instance: Instance, question: StateQuestion): unknown {
  if (question.ask === 'state-take') return takeState(instance)
  const { state, by, isNoted } = question
  restoreState(instance, state)
  if (isNoted === true) {
    const now = instance.platform.clock.now()
    for (const revocation of state.revocations) {
      if (revocation.expiresAt * 1000 > now) void instance.revocations?.revoke(revocation)
    }
    const takenAt = new Date(state.takenAt).toISOString()
    instance.telemetry.note('system', 'snapshot-restored', { takenAt, by: by ?? '' })
    instance.platform.log.warn('a snapshot was restored', { takenAt, by })
  }
  return true
}

export function takeState(instance: Instance): RuntimeState {
  const { snapshot, gateway, platform } = instance
  const { clock } = platform
  const [now, monotonic] = [clock.now(), clock.monotonic()]
  snapshot.drains.advance(now)
  const box = snapshot.penaltyBox
  return {
    takenAt: now,
    drains: snapshot.drains.list(),
    penalties: box instanceof PenaltyBox ? box.list() : [],
    revocations: [...(snapshot.identity?.revocations ?? [])],
    rollouts: rolloutStatus(gateway.services, snapshot),
    ejections: snapshot.health
      .states()
      .flatMap(({ id, ejectedUntil }) =>
        ejectedUntil === null ? [] : [{ origin: id, until: now + (ejectedUntil - monotonic) }],
      ),
  }
}

/** Drains become those of the state; penalties, revocations and ejections are added, each for what is left of it. */
export function restoreState(
  { snapshot, gateway, platform }: Pick<Instance, 'snapshot' | 'gateway' | 'platform'>,
  state: RuntimeState,
): void {
  const { clock } = platform
  const [now, monotonic] = [clock.now(), clock.monotonic()]
  snapshot.drains.replace(state.drains)
  snapshot.drains.advance(now)
  const box = snapshot.penaltyBox
  if (box instanceof PenaltyBox) {
    for (const { key, secondsLeft } of state.penalties) {
      const ip = parsePenaltyKey(key)
      const left = state.takenAt + secondsLeft * 1000 - now
      if (ip !== undefined && left > 0) box.ban(ip, left)
    }
  }
  for (const revocation of state.revocations) {
    if (revocation.expiresAt * 1000 > now) snapshot.identity?.revocations.add(revocation)
  }
  for (const { origin, until } of state.ejections) {
    snapshot.health.adoptEjection(origin, monotonic + (until - now), monotonic)
  }
  adoptRollouts(gateway.services, snapshot, state.rollouts)
}

/** Of several processes: who is shut out or ejected in one of them, for as long as anywhere. */
function mergeStates(states: readonly RuntimeState[]): RuntimeState {
  const [first, ...others] = states
  if (first === undefined) throw new Error('no worker answers')
  const penalties = new Map(first.penalties.map((one) => [one.key, one]))
  const ejections = new Map(first.ejections.map((one) => [one.origin, one]))
  for (const other of others) {
    for (const one of other.penalties) {
      const known = penalties.get(one.key)
      if (known === undefined || known.secondsLeft < one.secondsLeft) penalties.set(one.key, one)
    }
    for (const one of other.ejections) {
      const known = ejections.get(one.origin)
      if (known === undefined || known.until < one.until) ejections.set(one.origin, one)
    }
  }
  return { ...first, penalties: [...penalties.values()], ejections: [...ejections.values()] }
}

export function stateView({ all, order, size }: Asker): StateView {
  return {
    take: async () => mergeStates((await all({ ask: 'state-take' })) as RuntimeState[]),
    restore: async (state, by) => {
      const done = await order({ ask: 'state-restore', state, by })
      return { workers: done.length, of: size() }
    },
  }
}
