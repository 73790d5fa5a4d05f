/** The control port's path of the rollouts: where they are, and orders to move or hold them. */
import * as v from 'valibot'
import { adminProblem } from './problem.ts'
import { orderRollout } from './rollout-view.ts'
import { type AdminRoute, defineRoute } from './route.ts'
import type { AdminView } from './view.ts'

const Order = v.strictObject({
  rollout: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
  command: v.picklist(['advance', 'rollback', 'freeze', 'resume']),
})

const missing = ({ rollouts }: AdminView) =>
  rollouts === undefined ? 'There are no rollouts here.' : undefined

export const ROLLOUT_ROUTES: readonly AdminRoute[] = [
  defineRoute({
    method: 'get',
    path: '/rollouts',
    summary: 'Where the rollouts are.',
    level: 'read',
    answer: { description: 'All rollouts, with both arms.' },
    missing,
    handle: async (c, _, { view }) => c.json({ rollouts: (await view.rollouts?.status()) ?? [] }),
  }),
  defineRoute({
    method: 'post',
    path: '/rollouts',
    summary: 'Moves or holds a rollout: `command` is advance, rollback, freeze or resume.',
    level: 'operate',
    action: 'rollout.command',
    body: Order,
    answer: { description: 'Where the rollout is now, and in how many processes.' },
    problems: { 404: 'There is no such rollout.', 409: 'It cannot be done where it is.' },
    missing,
    handle: async (c, { body }, { view, peer }) => {
      const { rollouts } = view
      if (rollouts === undefined) return adminProblem(c, 404, 'There are no rollouts here.')
      const note = c.get('note')
      note.target = body.rollout
      note.detail = { command: body.command }
      const answer = await orderRollout(rollouts, body, peer(c))
      if ('refused' in answer) {
        return adminProblem(c, answer.refused === 'unknown' ? 404 : 409, answer.why)
      }
      return c.json({ workers: answer.workers, rollout: answer.report })
    },
  }),
]
