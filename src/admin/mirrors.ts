/** The control port's path of the mirrors: whether the other pool answers alike. */
import { type AdminRoute, defineRoute } from './route.ts'
import type { AdminView } from './view.ts'

const missing = ({ mirrors }: AdminView) =>
  mirrors === undefined ? 'There are no mirrors here.' : undefined

export const MIRROR_ROUTES: readonly AdminRoute[] = [
  defineRoute({
    method: 'get',
    path: '/mirrors',
    summary:
      'What comparing mirrored answers came to: counts, statuses that differ, the latest differences.',
    level: 'read',
    answer: { description: 'All mirrors.' },
    missing,
    handle: async (c, _, { view }) => c.json({ mirrors: (await view.mirrors?.status()) ?? [] }),
  }),
]
