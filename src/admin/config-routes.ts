/** The control port's paths of the configuration: look, check, publish. */
import { redacted } from './redact.ts'
import { type AdminRoute, defineRoute } from './route.ts'

export const CONFIG_ROUTES: readonly AdminRoute[] = [
  defineRoute({
    method: 'get',
    path: '/config',
    summary: 'The configuration in use, redacted.',
    level: 'read',
    answer: { description: 'The configuration, without credentials.' },
    handle: async (c, _, { view, mask }) => c.json(redacted(await view.config(), mask()) as object),
  }),
]
