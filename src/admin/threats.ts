/** The control port's path of threats: who is refused most, and who is unlike what is usual. */
import * as v from 'valibot'
import { adminProblem } from './problem.ts'
import { type AdminRoute, defineRoute } from './route.ts'

const Query = v.object({
  limit: v.optional(
    v.pipe(v.string(), v.digits(), v.transform(Number), v.minValue(1), v.maxValue(1000)),
    '20',
  ),
})

export const THREAT_ROUTES: readonly AdminRoute[] = [
  defineRoute({
    method: 'get',
    path: '/threats',
    summary: 'Networks that are refused most, and anomalies of this moment: ?limit=N.',
    level: 'read',
    query: Query,
    answer: { description: 'Attackers and anomalies, all worker processes together.' },
    missing: ({ threats }) => (threats === undefined ? 'No threats are watched here.' : undefined),
    handle: async (c, { query }, { view }) => {
      const report = await view.threats?.(query.limit)
      return report === undefined
        ? adminProblem(c, 404, 'Nothing is watched: the config has no "threats".')
        : c.json(report)
    },
  }),
]
