/** The control port's paths of revoked tokens. */
import * as v from 'valibot'
import { adminProblem } from './problem.ts'
import type { RevocationDone } from './revocations-view.ts'
import { type AdminContext, type AdminRoute, defineRoute } from './route.ts'
import type { AdminView } from './view.ts'

const RevocationKinds = v.picklist(['jti', 'sub', 'sid', 'client', 'token', 'issuer'])
const text = v.pipe(v.string(), v.minLength(1), v.maxLength(2048))
const seconds = v.pipe(v.number(), v.integer(), v.minValue(0))

export const RevocationOrder = v.strictObject({
  kind: RevocationKinds,
  value: text,
  issuer: v.optional(text),
  before: v.optional(seconds),
  expiresAt: seconds,
})
export const RestoreOrder = v.strictObject({ kind: RevocationKinds, value: text })

const Ordered = v.object({ workers: v.number(), of: v.number(), isTold: v.nullable(v.boolean()) })

const missing = ({ revocations }: AdminView) =>
  revocations === undefined ? 'Tokens cannot be revoked here.' : undefined

const NOTHING: RevocationDone = { workers: 0, of: 1, isTold: null }

/** An order that not every process and gateway has heard is no success, though it holds where it was heard. */
function answer(c: AdminContext, done: RevocationDone): Response {
  if (done.workers < done.of) {
    const title = `Only ${done.workers} of ${done.of} worker processes have done it; ask again.`
    return adminProblem(c, 503, title)
  }
  if (done.isTold === false) {
    const title =
      'Done here, but the other gateways cannot be told: they hear of it when Redis is back.'
    return adminProblem(c, 503, title)
  }
  return c.json(done)
}

const NO_IDENTITY = 'The config has no "iam" section: no token is looked at.'

export const REVOCATION_ROUTES: readonly AdminRoute[] = [
  defineRoute({
    method: 'get',
    path: '/revocations',
    summary: 'Revoked tokens, subjects, sessions, clients and issuers.',
    level: 'read',
    answer: {
      description: 'All that has not expired, and whether the fleet shares it.',
      schema: v.object({
        revocations: v.array(RevocationOrder),
        fleet: v.picklist(['none', 'unknown', 'known']),
      }),
    },
    problems: { 409: NO_IDENTITY },
    missing,
    handle: async (c, _, { view }) => {
      const report = await view.revocations?.list()
      return report === undefined ? adminProblem(c, 409, NO_IDENTITY) : c.json(report)
    },
  }),
  defineRoute({
    method: 'post',
    path: '/revocations',
    summary: 'Revokes tokens by `kind` and `value`, until `expiresAt`, everywhere at once.',
    level: 'administer',
    action: 'token.revoke',
    body: RevocationOrder,
    answer: { description: 'How many processes have done it, and who was told.', schema: Ordered },
    problems: { 409: NO_IDENTITY, 503: 'Not every process or gateway has heard of it.' },
    missing,
    handle: async (c, { body }, { view }) => {
      if ((await view.revocations?.list()) === undefined) return adminProblem(c, 409, NO_IDENTITY)
      c.get('note').target = body.kind
      const done = await view.revocations?.revoke(body, c.get('caller').principal)
      return answer(c, done ?? NOTHING)
    },
  }),
  defineRoute({
    method: 'delete',
    path: '/revocations',
    summary: 'Takes the revocations of a `kind` and `value` back.',
    level: 'administer',
    action: 'token.restore',
    query: RestoreOrder,
    answer: { description: 'How many processes have done it, and who was told.', schema: Ordered },
    problems: { 409: NO_IDENTITY, 503: 'Not every process or gateway has heard of it.' },
    missing,
    handle: async (c, { query }, { view }) => {
      if ((await view.revocations?.list()) === undefined) return adminProblem(c, 409, NO_IDENTITY)
      c.get('note').target = query.kind
      const { kind, value } = query
      const done = await view.revocations?.restore(kind, value, c.get('caller').principal)
      return answer(c, done ?? NOTHING)
    },
  }),
]
