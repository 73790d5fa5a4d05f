/** The control port's hand on the revocations of one process, and on those of all worker processes. */
import type { RevocationView } from '../../admin/revocation-view.ts'
import {
  type Revocation,
  type RevocationChange,
  type RevocationKind,
  RevocationList,
} from '../../iam/revocation.ts'
import type { Instance } from './instance.ts'

/** What the primary asks of a worker about its revocations. */
export type RevocationQuestion =
  | { readonly ask: 'revocation-list' }
  | { readonly ask: 'revocation-change'; readonly changes: readonly RevocationChange[] }

/** For `revocation-change`, how many of the changes changed anything. */
export function answerAboutRevocations(
  instance: Instance,
  question: RevocationQuestion,
): Revocation[] | number {
  const list = instance.snapshot.identity?.revocations
  if (question.ask === 'revocation-list') return list === undefined ? [] : [...list]
  if (list === undefined) return 0
  list.expire(Date.now() / 1000)
  list.isKnown = true
  let changed = 0
  for (const change of question.changes) {
    const { version } = list
    list.adopt(change)
    if (list.version !== version) changed++
  }
  return changed
}

export function isAboutRevocations(question: {
  readonly ask: string
}): question is RevocationQuestion {
  return question.ask.startsWith('revocation-')
}

/** The revocations of one process. */
export function instanceRevocationView(instance: Instance): RevocationView {
  const list = () => instance.snapshot.identity?.revocations
  return {
    list: async () => answerAboutRevocations(instance, { ask: 'revocation-list' }) as Revocation[],
    revoke: async (revocation) => {
      list()?.expire(Date.now() / 1000)
      list()?.add(revocation)
      return list() === undefined ? 0 : 1
    },
    restore: async (kind, value) => (list()?.remove(kind, value) ? 1 : 0),
  }
}

/**
 * The list of the primary, which has no requests: a worker that starts gets all of it, and what one worker
 * changes the others hear at once.
 */
export class FleetRevocations implements RevocationView {
  readonly #list = new RevocationList()
  readonly #askAll: (question: RevocationQuestion) => Promise<unknown[]>

  constructor(askAll: (question: RevocationQuestion) => Promise<unknown[]>) {
    this.#askAll = askAll
  }

  /** For a worker that has just started: it refuses tokens until it has the list. */
  all(): RevocationQuestion {
    this.#list.expire(Date.now() / 1000)
    const changes = [...this.#list].map((revoke): RevocationChange => ({ revoke }))
    return { ask: 'revocation-change', changes }
  }

  /** What a worker has changed: for the others. */
  heard(changes: readonly RevocationChange[]): RevocationQuestion {
    for (const change of changes) this.#list.adopt(change)
    return { ask: 'revocation-change', changes }
  }

  async list(): Promise<readonly Revocation[]> {
    this.#list.expire(Date.now() / 1000)
    return [...this.#list]
  }

  revoke(revocation: Revocation): Promise<number> {
    return this.#change({ revoke: revocation })
  }

  restore(kind: RevocationKind, value: string): Promise<number> {
    return this.#change({ restore: { kind, value } })
  }

  async #change(change: RevocationChange): Promise<number> {
    const answers = await this.#askAll(this.heard([change]))
    const processes = answers.filter((changed) => changed !== 0).length
    // Without an identity section nobody has a list: what was refused must not come true by a reload.
    if (processes === 0 && 'revoke' in change) {
      const { kind, value } = change.revoke
      this.#list.adopt({ restore: { kind, value } })
    }
    return processes
  }
}
