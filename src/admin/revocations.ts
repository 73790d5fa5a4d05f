/** The control port's path of the revocations: tokens and sessions that are ended before their time. */
import * as v from 'valibot'
import { adminProblem } from './problem.ts'
import { type AdminRoute, defineRoute } from './route.ts'
import type { AdminView } from './view.ts'

const kind = v.picklist(['jti', 'sub', 'sid', 'client', 'token', 'issuer'])
const text = v.pipe(v.string(), v.minLength(1), v.maxLength(2048))
/** Since the epoch. */
const seconds = v.pipe(v.number(), v.integer(), v.minValue(0))

export const RevocationOrder = v.strictObject({
  kind,
  value: text,
  issuer: v.optional(text),
  before: v.optional(seconds),
  expiresAt: seconds,
})
export const RestoreOrder = v.strictObject({ kind, value: text })

const missing = ({ revocations }: AdminView) =>
  revocations === undefined ? 'There are no revocations here.' : undefined

export const REVOCATION_ROUTES: readonly AdminRoute[] = [
  defineRoute({
    method: 'get',
    path: '/revocations',
    summary: 'Tokens and sessions that are revoked.',
    level: 'read',
    answer: { description: 'The list.' },
    missing,
    handle: async (c, _, { view }) =>
      c.json({ revocations: (await view.revocations?.list()) ?? [] }),
  }),
  defineRoute({
    method: 'post',
    path: '/revocations',
    summary:
      'Revokes by `kind` (jti, sub, sid, client, token, issuer) and `value`; `before` spares what was issued later, `expiresAt` is when the entry may be forgotten (both seconds since the epoch).',
    level: 'operate',
    action: 'revocation.add',
    body: RevocationOrder,
    answer: { description: 'In how many processes it holds.' },
    problems: { 409: 'There is no identity section.' },
    missing,
    handle: async (c, { body }, { view }) => {
      const note = c.get('note')
      note.target = `${body.kind} ${body.value}`
      const workers = (await view.revocations?.revoke(body)) ?? 0
      return workers === 0
        ? adminProblem(c, 409, 'The configuration has no "iam" section: nobody would heed it.')
        : c.json({ workers })
    },
  }),
  defineRoute({
    method: 'delete',
    path: '/revocations',
    summary: 'Takes a revocation back, by `kind` and `value`.',
    level: 'operate',
    action: 'revocation.remove',
    query: RestoreOrder,
    answer: { description: 'How many processes had it.' },
    problems: { 404: 'There is no such revocation.' },
    missing,
    handle: async (c, { query }, { view }) => {
      const note = c.get('note')
      note.target = `${query.kind} ${query.value}`
      const workers = (await view.revocations?.restore(query.kind, query.value)) ?? 0
      return workers === 0
        ? adminProblem(c, 404, 'There is no such revocation.')
        : c.json({ workers })
    },
  }),
]
