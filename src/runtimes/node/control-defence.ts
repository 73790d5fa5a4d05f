/** The control port's hand on limits, the penalty box and revoked tokens. */
import type {
  BanOrder,
  KnownRevocation,
  LimitReport,
  PenaltiesView,
  Penalty,
  RevocationsView,
} from '../../admin/state-view.ts'
import { sha256 } from '../../expression/sha256.ts'
import { encodeHex, utf8 } from '../../iam/encoding.ts'
import type { Revocation, RevocationList } from '../../iam/revocation.ts'
import { PenaltyBox, parsePenaltyKey } from '../../limits/penalty-box.ts'
import { authenticate } from './admin-jwt.ts'
import type { Asker } from './control.ts'
import type { Instance } from './instance.ts'

/** What the primary asks of a worker about who is let in. */
export type DefenceQuestion =
  | {
      readonly ask: 'defence-limits' | 'defence-penalties' | 'defence-revocations' | 'defence-life'
    }
  | { readonly ask: 'defence-authenticate'; readonly token: string }
  | { readonly ask: 'defence-ban'; readonly order: BanOrder; readonly isNoted?: boolean }
  | {
      readonly ask: 'defence-lift'
      readonly key: string
      readonly by: string
      readonly isNoted?: boolean
    }
  | {
      readonly ask: 'defence-revoke'
      readonly revocation: Revocation
      readonly by: string
      readonly isNoted?: boolean
    }
  | {
      readonly ask: 'defence-restore'
      /** Its id; `id` is the number of a question between processes. */
      readonly entry: string
      readonly by: string
      readonly isNoted?: boolean
    }

/** For "there is none": an answer that a process can give, unlike undefined. */
const NONE = null
/** Done here, and the other gateways of the fleet could not be told. */
const UNTOLD = 'untold'

/** Entries of the list of revocations; more is what subjects, clients and issuers are for. */
const MAX_REVOCATIONS = 100_000
/** Where the config has no issuer. */
const DAY_SECONDS = 86_400

export function answerAboutDefence(instance: Instance, question: DefenceQuestion): unknown {
  const { telemetry } = instance
  switch (question.ask) {
    case 'defence-limits':
      return limitsOf(instance)
    case 'defence-authenticate':
      return authenticate(instance, question.token)
    case 'defence-penalties':
      return boxOf(instance)?.list() ?? NONE
    case 'defence-ban': {
      const { key, seconds, by } = question.order
      const ip = parsePenaltyKey(key)
      const isIn = ip !== undefined && boxOf(instance)?.ban(ip, seconds * 1000) === true
      if (isIn && question.isNoted === true) {
        telemetry.note('security', 'banned', { client: telemetry.mask.ip(ip), seconds, by })
      }
      return isIn
    }
    case 'defence-lift': {
      const { key, by, isNoted } = question
      const ip = parsePenaltyKey(key)
      if (ip !== undefined) boxOf(instance)?.release(ip)
      if (isNoted === true) {
        telemetry.note('security', 'let-out', { client: telemetry.mask.ip(ip), by })
      }
      return true
    }
    case 'defence-revocations': {
      const list = revocationsOf(instance)
      return list === undefined ? NONE : known(list)
    }
    case 'defence-life':
      return longestLife(instance)
    case 'defence-revoke': {
      const { revocation, by, isNoted } = question
      const list = revocationsOf(instance)
      if (list === undefined || list.size >= MAX_REVOCATIONS) return NONE
      list.add(revocation)
      if (isNoted === true) {
        telemetry.note('security', 'revoked', { kind: revocation.kind, id: idOf(revocation), by })
        return told(instance.revocations?.revoke(revocation))
      }
      return true
    }
    case 'defence-restore': {
      const { entry: id, by, isNoted } = question
      const list = revocationsOf(instance)
      const found = list === undefined ? undefined : known(list).find((one) => one.id === id)
      if (found !== undefined) list?.withdraw(found)
      if (isNoted !== true) return true
      telemetry.note('security', 'revocation-withdrawn', { id, by })
      return told(found && instance.revocations?.withdraw(found))
    }
  }
}

/** Whether the other gateways have heard, where there are any. */
async function told(telling: Promise<boolean> | undefined): Promise<true | typeof UNTOLD> {
  return (await telling) === false ? UNTOLD : true
}

function boxOf({ snapshot }: Instance): PenaltyBox | undefined {
  return snapshot.penaltyBox instanceof PenaltyBox ? snapshot.penaltyBox : undefined
}

/** Without those whose tokens have all expired. */
function revocationsOf({ snapshot, platform }: Instance): RevocationList | undefined {
  const list = snapshot.identity?.revocations
  list?.expire(platform.clock.now() / 1000)
  return list
}

/** The same for the same entry, in every process. */
function idOf({ kind, value, issuer, before }: Revocation): string {
  const text = JSON.stringify([kind, value, issuer ?? null, before ?? null])
  return encodeHex(sha256(utf8(text))).slice(0, 32)
}

function known(list: RevocationList): KnownRevocation[] {
  return [...list].map((revocation) => ({ id: idOf(revocation), ...revocation }))
}

function longestLife({ bundle }: Instance): number {
  const { iam } = bundle.config
  const lives = (iam?.issuers ?? []).map(({ maxLifetime }) => maxLifetime)
  return Math.ceil((Math.max(DAY_SECONDS * 1000, ...lives) + (iam?.skew ?? 0)) / 1000)
}

function limitsOf({ bundle, snapshot, telemetry }: Instance): LimitReport[] {
  const usage = new Map(snapshot.limits.usage().map((one) => [one.id, one]))
  const decisions = new Map<string, number>()
  for (const { definition, series } of telemetry.metrics.snapshot()) {
    if (definition.name !== 'meridian_limit_decisions_total') continue
    for (const { labels, value } of series) decisions.set(labels.join(' '), value)
  }
  return bundle.config.limits.map((limit): LimitReport => {
    const used = usage.get(limit.id)
    return {
      id: limit.id,
      algorithm: limit.algorithm,
      scope: limit.scope,
      limit: limit.limit,
      windowMs: limit.window ?? null,
      enforced: limit.action === 'block',
      keys: used?.used ?? null,
      displaced: used?.displaced ?? null,
      denied: decisions.get(`${limit.id} denied`) ?? 0,
      logged: decisions.get(`${limit.id} logged`) ?? 0,
    }
  })
}

function plus(a: number | null, b: number | null): number | null {
  return a === null ? b : a + (b ?? 0)
}

function mergeLimits([first = [], ...others]: readonly LimitReport[][]): LimitReport[] {
  return first.map((limit) => {
    let sum = limit
    for (const other of others) {
      const same = other.find(({ id }) => id === limit.id)
      if (same === undefined) continue
      sum = {
        ...sum,
        keys: plus(sum.keys, same.keys),
        displaced: plus(sum.displaced, same.displaced),
        denied: sum.denied + same.denied,
        logged: sum.logged + same.logged,
      }
    }
    return sum
  })
}

export function limitsView({ all }: Asker): () => Promise<readonly LimitReport[]> {
  return async () => mergeLimits((await all({ ask: 'defence-limits' })) as LimitReport[][])
}

export function penaltiesView({ all, order, size }: Asker): PenaltiesView {
  return {
    list: async () => {
      const lists = (await all({ ask: 'defence-penalties' })) as (Penalty[] | null)[]
      if (lists.every((list) => list === NONE)) return undefined
      const byKey = new Map<string, Penalty>()
      for (const one of lists.flatMap((list) => list ?? [])) {
        const longest = byKey.get(one.key)
        if (longest === undefined || longest.secondsLeft < one.secondsLeft) byKey.set(one.key, one)
      }
      return [...byKey.values()]
    },
    ban: async (ban) => {
      const done = await order({ ask: 'defence-ban', order: ban })
      if (done.length > 0 && done.every((isIn) => isIn === false)) return 'exempt'
      return { workers: done.filter((isIn) => isIn === true).length, of: size() }
    },
    lift: async (key, by) => {
      const done = await order({ ask: 'defence-lift', key, by })
      return { workers: done.length, of: size() }
    },
  }
}

export function revocationsView({ first, order, size }: Asker): RevocationsView {
  return {
    list: async () =>
      ((await first({ ask: 'defence-revocations' })) as KnownRevocation[] | null) ?? undefined,
    add: async (revocation, by) => {
      const done = await order({ ask: 'defence-revoke', revocation, by })
      const workers = done.filter((one) => one !== NONE).length
      const isTold = !done.includes(UNTOLD)
      return workers === 0 ? undefined : { id: idOf(revocation), workers, of: size(), isTold }
    },
    remove: async (id, by) => {
      const done = await order({ ask: 'defence-restore', entry: id, by })
      return { workers: done.length, of: size(), isTold: !done.includes(UNTOLD) }
    },
    longestLife: async () => (await first({ ask: 'defence-life' })) as number,
  }
}
