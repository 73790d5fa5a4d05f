/** The control port's path of the audit log. */
import * as v from 'valibot'
import { type AdminRoute, defineRoute } from './route.ts'

const MAX_ENTRIES = 1000
const digits = v.pipe(v.string(), v.digits(), v.transform(Number))

export const AUDIT_ROUTES: readonly AdminRoute[] = [
  defineRoute({
    method: 'get',
    path: '/audit',
    summary: 'The last entries of the audit log, and whether it reaches its file.',
    level: 'read',
    query: v.object({
      after: v.optional(digits, '0'),
      limit: v.optional(v.pipe(digits, v.minValue(1), v.maxValue(MAX_ENTRIES)), '100'),
    }),
    answer: {
      description: 'Entries after `after`, oldest first; of more than `limit` the newest.',
    },
    missing: ({ audit }) => (audit === undefined ? 'There is no audit log here.' : undefined),
    handle: (c, { query }, { view: { audit } }) =>
      c.json({
        ...audit?.report(),
        entries: audit?.after(query.after, query.limit) ?? [],
      }),
  }),
]
