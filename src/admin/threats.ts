/** The control port's path of threats: who is refused most, and who is unlike what is usual. */
import * as v from 'valibot'
import { adminProblem } from './problem.ts'
import { type AdminRoute, defineRoute } from './route.ts'

const MOST = 1000
const UNWATCHED = 'Nothing is watched: the config has no "threats".'

export const THREAT_ROUTES: readonly AdminRoute[] = [
  defineRoute({
    method: 'get',
    path: '/threats',
    summary:
      'Networks that are refused most, and anomalies of this moment: at most `limit` of each.',
    level: 'read',
    query: v.object({
      limit: v.optional(
        v.pipe(v.string(), v.digits(), v.transform(Number), v.minValue(1), v.maxValue(MOST)),
        '20',
      ),
    }),
    answer: { description: 'Attackers by refused requests, anomalies by score, with the reason.' },
    missing: ({ threats }) => (threats === undefined ? UNWATCHED : undefined),
    handle: async (c, { query }, { view }) => {
      const report = await view.threats?.(query.limit)
      return report === undefined ? adminProblem(c, 404, UNWATCHED) : c.json(report)
    },
  }),
]
