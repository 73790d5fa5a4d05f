/** The control port's paths of the configuration: look, check, publish. */
import { adminProblem } from './problem.ts'
import {
  IF_MATCH,
  ifMatchOf,
  MAX_TEXT_BYTES,
  notePublication,
  Problems,
  PUBLISH_PROBLEMS,
  PublishedAnswer,
  publishAnswer,
  source,
  validation,
} from './publish.ts'
import type { ConfigView } from './publish-view.ts'
import { redacted } from './redact.ts'
import { type AdminRoute, defineRoute } from './route.ts'
import type { AdminView } from './view.ts'

const missing = ({ configs }: AdminView) =>
  configs === undefined ? 'The config of this gateway cannot be replaced here.' : undefined

/** For handlers, which are called only where there is one. */
function configsOf({ configs }: AdminView): ConfigView {
  if (configs === undefined) throw new Error('there is no config to replace')
  return configs
}

export const CONFIG_ROUTES: readonly AdminRoute[] = [
  defineRoute({
    method: 'get',
    path: '/config',
    summary: 'The configuration in use, redacted; its ETag is that of the text it came from.',
    level: 'read',
    answer: { description: 'The configuration, without credentials.' },
    handle: async (c, _, { view, mask }) => {
      const etag = await view.configs?.etag()
      if (etag !== undefined) c.header('etag', `"${etag}"`)
      return c.json(redacted(await view.config(), mask()) as object)
    },
  }),
  defineRoute({
    method: 'get',
    path: '/config/source',
    summary: 'The config file as it is on disk now, with its comments.',
    level: 'administer',
    answer: { description: 'The text; its ETag is what PUT /config wants.' },
    missing,
    handle: async (c, _, { view }) => source(c, await configsOf(view).source()),
  }),
  defineRoute({
    method: 'post',
    path: '/config/validate',
    summary: 'What is wrong with a config, with line and column; nothing is changed.',
    // It reads the files that the text names, and says what is wrong with them.
    level: 'administer',
    body: 'text',
    maxBody: MAX_TEXT_BYTES,
    answer: { description: 'Whether it holds, and every problem.', schema: Problems },
    missing,
    handle: async (c, { body }, { view }) => validation(c, await configsOf(view).validate(body)),
  }),
  defineRoute({
    method: 'put',
    path: '/config',
    summary: 'Replaces the config file, if the text holds, and takes it into use in all processes.',
    level: 'administer',
    action: 'config.publish',
    body: 'text',
    maxBody: MAX_TEXT_BYTES,
    headers: IF_MATCH,
    answer: { description: 'It is in use.', schema: PublishedAnswer },
    problems: PUBLISH_PROBLEMS,
    missing,
    handle: async (c, { body }, { view }) => {
      const ifMatch = ifMatchOf(c)
      if (ifMatch instanceof Response) return ifMatch
      if (body.trim() === '') return adminProblem(c, 400, 'The body is empty.')
      const result = await configsOf(view).publish(body, ifMatch)
      notePublication(c, ifMatch, result)
      return publishAnswer(c, 'The config', result)
    },
  }),
]
