/** The control port's paths of limits, the penalty box and revoked tokens. */
import * as v from 'valibot'
import { duration } from '../config/values.ts'
import { sha256 } from '../expression/sha256.ts'
import { encodeHex, utf8 } from '../iam/encoding.ts'
import { parsePenaltyKey, penaltyKey } from '../limits/penalty-box.ts'
import { adminProblem } from './problem.ts'
import type { Done } from './regions-view.ts'
import { type AdminContext, type AdminRoute, type AdminWorld, defineRoute } from './route.ts'
import type { Penalty } from './state-view.ts'
import type { AdminView } from './view.ts'

const DAY_MS = 86_400_000
const LONGEST_BAN_MS = 366 * DAY_MS

const Ban = v.strictObject({
  address: v.pipe(
    v.string(),
    v.check((text) => parsePenaltyKey(text) !== undefined, 'an IP address is expected'),
  ),
  for: v.optional(v.pipe(duration, v.minValue(1000), v.maxValue(LONGEST_BAN_MS)), '1h'),
  reason: v.optional(v.pipe(v.string(), v.maxLength(256))),
})

const text = v.pipe(v.string(), v.minLength(1), v.maxLength(2048))
const seconds = v.pipe(v.number(), v.integer(), v.minValue(0))
const Revoke = v.pipe(
  v.strictObject({
    kind: v.optional(v.picklist(['jti', 'sub', 'sid', 'client', 'token', 'issuer'])),
    value: v.optional(text),
    /** Instead of both: the token itself, of which only the hash is kept. */
    token: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(16_384))),
    issuer: v.optional(text),
    before: v.optional(seconds),
    expiresAt: v.optional(seconds),
  }),
  v.check(
    ({ kind, value, token }) =>
      token === undefined
        ? kind !== undefined && value !== undefined
        : kind === undefined && value === undefined,
    'give "kind" and "value", or "token"',
  ),
  v.check(
    ({ kind, value }) => kind !== 'token' || /^[0-9a-f]{64}$/.test(value ?? ''),
    'the value of "token" is its SHA-256 in hex; or give "token"',
  ),
)

const Penalties = v.object({
  penalties: v.array(v.object({ key: v.string(), secondsLeft: v.number(), terms: v.number() })),
})
const DoneAnswer = v.object({ workers: v.number(), of: v.number() })
const Limits = v.object({
  limits: v.array(
    v.object({
      id: v.string(),
      algorithm: v.string(),
      scope: v.picklist(['global', 'route']),
      limit: v.number(),
      windowMs: v.nullable(v.number()),
      enforced: v.boolean(),
      keys: v.nullable(v.number()),
      displaced: v.nullable(v.number()),
      denied: v.number(),
      logged: v.number(),
    }),
  ),
})
const Revocations = v.object({
  revocations: v.array(
    v.object({
      id: v.string(),
      kind: v.string(),
      value: v.string(),
      issuer: v.optional(v.string()),
      before: v.optional(v.number()),
      expiresAt: v.number(),
    }),
  ),
})

const NO_BOX = 'The config has no "penaltyBox".'
const NO_IAM = 'The config has no "iam".'
const HALF_DONE = {
  503: 'Not every worker process has done it, or not every gateway has heard.',
} as const

/** An order that not every process and gateway has heard is no success, though it holds where it was heard. */
function answer(c: AdminContext, { workers, of, isTold }: Done, more: object = {}): Response {
  if (workers < of) {
    const title = `Only ${workers} of ${of} worker processes have done it; ask again.`
    return adminProblem(c, 503, title)
  }
  if (isTold === false) {
    const title = 'Done here; the other gateways cannot be told before Redis is back.'
    return adminProblem(c, 503, title)
  }
  return c.json({ ...more, workers, of })
}

/** Whoever may only look sees addresses as logs show them. */
function shown(c: AdminContext, penalty: Penalty, { mask }: AdminWorld): Penalty {
  if (c.get('caller').level !== 'read') return penalty
  return { ...penalty, key: mask().ip(parsePenaltyKey(penalty.key)) }
}

const penaltyRoutes: readonly AdminRoute[] = [
  defineRoute({
    method: 'get',
    path: '/penalties',
    summary: 'Clients in the penalty box. Who may only look sees their addresses cut.',
    level: 'read',
    answer: { description: 'Each with the time it has left.', schema: Penalties },
    missing: ({ penalties }) => (penalties === undefined ? NO_BOX : undefined),
    handle: async (c, _, world) => {
      const found = await world.view.penalties?.list()
      return found === undefined
        ? adminProblem(c, 404, NO_BOX)
        : c.json({ penalties: found.map((one) => shown(c, one, world)) })
    },
  }),
  defineRoute({
    method: 'post',
    path: '/penalties',
    summary: 'Shuts a client out: an IPv4 address, or the /64 of an IPv6 address.',
    level: 'administer',
    action: 'penalty.ban',
    body: Ban,
    answer: {
      description: 'It is shut out.',
      schema: v.object({ key: v.string(), ...DoneAnswer.entries }),
    },
    problems: { ...HALF_DONE, 409: 'The config exempts it.' },
    missing: ({ penalties }) => (penalties === undefined ? NO_BOX : undefined),
    handle: async (c, { body }, { view: { penalties } }) => {
      const ip = parsePenaltyKey(body.address)
      if (penalties === undefined || (await penalties.list()) === undefined || ip === undefined) {
        return adminProblem(c, 404, NO_BOX)
      }
      const key = penaltyKey(ip)
      const note = c.get('note')
      note.target = key
      note.detail = {
        seconds: body.for / 1000,
        ...(body.reason === undefined ? {} : { reason: body.reason }),
      }
      const by = c.get('caller').principal
      const done = await penalties.ban({ key, seconds: body.for / 1000, by })
      return done === 'exempt'
        ? adminProblem(
            c,
            409,
            `${key} is exempt: it is in "penaltyBox.exempt" or "trustedProxies" of the config.`,
          )
        : answer(c, done, { key })
    },
  }),
  defineRoute({
    method: 'delete',
    path: '/penalties/{key}',
    summary: 'Lets a client out: by its address, or its key as listed.',
    level: 'administer',
    action: 'penalty.lift',
    answer: { description: 'It is out.', schema: DoneAnswer },
    problems: { ...HALF_DONE, 404: 'It is not in the box.' },
    missing: ({ penalties }) => (penalties === undefined ? NO_BOX : undefined),
    handle: async (c, _, { view: { penalties } }) => {
      const ip = parsePenaltyKey(c.req.param('key') ?? '')
      if (ip === undefined) return adminProblem(c, 400, 'key: an IP address is expected')
      const found = await penalties?.list()
      if (penalties === undefined || found === undefined) return adminProblem(c, 404, NO_BOX)
      const key = penaltyKey(ip)
      c.get('note').target = key
      if (!found.some((one) => one.key === key)) {
        return adminProblem(c, 404, `${key} is not in the penalty box.`)
      }
      return answer(c, await penalties.lift(key, c.get('caller').principal))
    },
  }),
]

const revocationRoutes: readonly AdminRoute[] = [
  defineRoute({
    method: 'get',
    path: '/revocations',
    summary: 'What has been revoked before its time.',
    level: 'operate',
    answer: { description: 'Entries whose tokens could still live.', schema: Revocations },
    missing: ({ revocations }) => (revocations === undefined ? NO_IAM : undefined),
    handle: async (c, _, { view }) => {
      const found = await view.revocations?.list()
      return found === undefined
        ? adminProblem(c, 404, NO_IAM)
        : c.json({ revocations: found as readonly object[] })
    },
  }),
  defineRoute({
    method: 'post',
    path: '/revocations',
    summary:
      'Revokes a token (`token`, or `kind: jti`), or all of a subject, session, client or issuer.',
    level: 'administer',
    action: 'revocation.add',
    body: Revoke,
    answer: {
      description: 'It is revoked.',
      schema: v.object({ id: v.string(), ...DoneAnswer.entries }),
    },
    problems: { ...HALF_DONE, 409: 'The list is full.' },
    missing: ({ revocations }) => (revocations === undefined ? NO_IAM : undefined),
    handle: async (c, { body }, { view }) => {
      const { revocations } = view
      if (revocations === undefined || (await revocations.list()) === undefined) {
        return adminProblem(c, 404, NO_IAM)
      }
      const now = Math.floor((view.now?.() ?? 0) / 1000)
      const expiresAt = body.expiresAt ?? now + (await revocations.longestLife())
      if (expiresAt <= now) return adminProblem(c, 400, 'expiresAt: this time is over already')
      const kind = body.kind ?? 'token'
      const value =
        body.token === undefined ? (body.value ?? '') : encodeHex(sha256(utf8(body.token)))
      const note = c.get('note')
      note.target = `${kind} ${value}`
      note.detail = { expiresAt }
      const entry = {
        kind,
        value,
        expiresAt,
        ...(body.issuer === undefined ? {} : { issuer: body.issuer }),
        ...(body.before === undefined ? {} : { before: body.before }),
      }
      const done = await revocations.add(entry, c.get('caller').principal)
      return done === undefined
        ? adminProblem(c, 409, 'The list is full: revoke a subject, client or issuer as a whole.')
        : answer(c, done, { id: done.id })
    },
  }),
  defineRoute({
    method: 'delete',
    path: '/revocations/{id}',
    summary: 'Takes a revocation back.',
    level: 'administer',
    action: 'revocation.remove',
    answer: { description: 'It is no longer revoked.', schema: DoneAnswer },
    problems: { ...HALF_DONE, 404: 'There is no such revocation.' },
    missing: ({ revocations }) => (revocations === undefined ? NO_IAM : undefined),
    handle: async (c, _, { view: { revocations } }) => {
      const id = c.req.param('id') ?? ''
      const found = (await revocations?.list())?.find((one) => one.id === id)
      if (revocations === undefined || found === undefined) {
        return adminProblem(c, 404, `There is no revocation "${id}".`)
      }
      c.get('note').target = `${found.kind} ${found.value}`
      return answer(c, await revocations.remove(id, c.get('caller').principal))
    },
  }),
]

export const DEFENCE_ROUTES: readonly AdminRoute[] = [
  defineRoute({
    method: 'get',
    path: '/limits',
    summary: 'Limits with their keys and denials.',
    level: 'read',
    answer: { description: 'All limits of the config, in order.', schema: Limits },
    missing: ({ limits }: AdminView) =>
      limits === undefined ? 'The limits of this gateway cannot be seen here.' : undefined,
    handle: async (c, _, { view: { limits } }) => c.json({ limits: (await limits?.()) ?? [] }),
  }),
  ...penaltyRoutes,
  ...revocationRoutes,
]
