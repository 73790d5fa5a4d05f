/** The control port's path of threats: who is refused most, and who is unlike what is usual. */
import type { Hono } from 'hono'
import * as v from 'valibot'
import { firstIssue } from './body.ts'
import { adminProblem } from './problem.ts'
import type { AdminView } from './view.ts'

export const THREAT_PATHS = {
  '/threats': 'Networks that are refused most, and anomalies of this moment: ?limit=N.',
} as const

const Query = v.object({
  limit: v.optional(
    v.pipe(v.string(), v.digits(), v.transform(Number), v.minValue(1), v.maxValue(1000)),
    '20',
  ),
})

export function threatRoutes(app: Hono, view: AdminView): void {
  app.get('/threats', async (c) => {
    const parsed = v.safeParse(Query, c.req.query())
    if (!parsed.success) return adminProblem(c, 400, firstIssue(parsed.issues))
    const report = await view.threats?.(parsed.output.limit)
    if (report === undefined) {
      return adminProblem(c, 404, 'Nothing is watched: the config has no "threats".')
    }
    return c.json(report)
  })
}
