/** The control port's path of the rollouts: where they are, and orders to move or hold them. */
import type { Context, Hono } from 'hono'
import * as v from 'valibot'
import { firstIssue, jsonBody } from './body.ts'
import { adminProblem } from './problem.ts'
import { orderRollout, type RolloutView } from './rollout-view.ts'

const Order = v.strictObject({
  rollout: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
  command: v.picklist(['advance', 'rollback', 'freeze', 'resume']),
})

export const ROLLOUT_PATHS = {
  '/rollouts':
    'Where the rollouts are. POST: `rollout`, and `command`: advance, rollback, freeze or resume.',
} as const

/** @param rollouts undefined where there are none: the path then says so */
export function rolloutRoutes(
  app: Hono,
  rollouts: RolloutView | undefined,
  options: { readonly peer: (c: Context) => string },
): void {
  if (rollouts === undefined) {
    app.on(['GET', 'POST'], '/rollouts', (c) => adminProblem(c, 404, 'There are no rollouts here.'))
    return
  }
  app.get('/rollouts', async (c) => c.json({ rollouts: await rollouts.status() }))
  app.post('/rollouts', async (c) => {
    const parsed = v.safeParse(Order, await jsonBody(c))
    if (!parsed.success) return adminProblem(c, 400, firstIssue(parsed.issues))
    const answer = await orderRollout(rollouts, parsed.output, options.peer(c))
    if ('refused' in answer) {
      return adminProblem(c, answer.refused === 'unknown' ? 404 : 409, answer.why)
    }
    return c.json({ workers: answer.workers, rollout: answer.report })
  })
}
