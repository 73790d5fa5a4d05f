/** The control port's hand on revoked tokens of one process, and on those of all worker processes. */
import type {
  RevocationDone,
  RevocationsReport,
  RevocationsView,
} from '../../admin/revocations-view.ts'
import type { Revocation, RevocationKind } from '../../iam/revocation.ts'
import type { Asker } from './control.ts'
import type { Instance } from './instance.ts'

/** What the primary asks of a worker. `isNoted`: this process notes it, and tells the other gateways. */
export type RevocationQuestion =
  | { readonly ask: 'revocations-list' }
  | {
      readonly ask: 'revocations-revoke'
      readonly revocation: Revocation
      readonly by: string
      readonly isNoted?: boolean
    }
  | {
      readonly ask: 'revocations-restore'
      readonly kind: RevocationKind
      readonly value: string
      readonly by: string
      readonly isNoted?: boolean
    }

/** What one process has done; null: it tells nobody. */
interface Outcome {
  readonly isTold: boolean | null
}

export async function answerAboutRevocations(
  instance: Instance,
  question: RevocationQuestion,
): Promise<RevocationsReport | Outcome | null> {
  const list = instance.snapshot.identity?.revocations
  if (list === undefined) return null
  const share = instance.revocations
  switch (question.ask) {
    case 'revocations-list':
      return {
        revocations: [...list],
        fleet: share === undefined ? 'none' : share.isKnown ? 'known' : 'unknown',
      }
    case 'revocations-revoke': {
      const { revocation, by, isNoted } = question
      list.add(revocation)
      if (isNoted !== true) return { isTold: null }
      instance.telemetry.note('security', 'revoked', { kind: revocation.kind, by })
      return { isTold: share === undefined ? null : await share.revoke(revocation) }
    }
    case 'revocations-restore': {
      const { kind, value, by, isNoted } = question
      list.remove(kind, value)
      if (isNoted !== true) return { isTold: null }
      instance.telemetry.note('security', 'restored', { kind, by })
      return { isTold: share === undefined ? null : await share.restore(kind, value) }
    }
  }
}

export function revocationsView({ first, order, size }: Asker): RevocationsView {
  const done = (outcomes: unknown[]): RevocationDone => {
    const told = (outcomes as Outcome[]).find(({ isTold }) => isTold !== null)
    return { workers: outcomes.length, of: size(), isTold: told?.isTold ?? null }
  }
  return {
    list: async () =>
      ((await first({ ask: 'revocations-list' })) as RevocationsReport | null) ?? undefined,
    revoke: async (revocation, by) =>
      done(await order({ ask: 'revocations-revoke', revocation, by })),
    restore: async (kind, value, by) =>
      done(await order({ ask: 'revocations-restore', kind, value, by })),
  }
}
