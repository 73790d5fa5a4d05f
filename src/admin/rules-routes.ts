/** The control port's paths of the rulesets: look, check, try on recorded requests, publish. */
import * as v from 'valibot'
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
import type { RulesView } from './publish-view.ts'
import { type AdminContext, type AdminRoute, defineRoute } from './route.ts'
import type { AdminView } from './view.ts'

/** Most recorded requests that one dry run judges. */
const MAX_REQUESTS = 10_000
const MAX_SHOWN = 1000

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(256))
const text = v.pipe(v.string(), v.maxLength(MAX_TEXT_BYTES))

const DryRunRequest = v.strictObject({
  name,
  text,
  limit: v.optional(
    v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_REQUESTS)),
    MAX_REQUESTS,
  ),
})
const Judged = v.array(
  v.object({
    id: v.string(),
    method: v.string(),
    path: v.string(),
    route: v.nullable(v.string()),
    rules: v.array(v.string()),
  }),
)
const DryRunAnswer = v.object({
  requests: v.number(),
  withoutBody: v.number(),
  newlyBlocked: Judged,
  newlyPassed: Judged,
  newlyBlockedCount: v.number(),
  newlyPassedCount: v.number(),
  otherRules: v.number(),
  unchanged: v.number(),
})
const Rulesets = v.object({
  rulesets: v.array(
    v.object({
      name: v.string(),
      source: v.string(),
      etag: v.string(),
      writable: v.boolean(),
      why: v.optional(v.string()),
      rules: v.number(),
      mode: v.picklist(['enforce', 'simulate']),
    }),
  ),
})
const Recorded = v.object({
  size: v.number(),
  capacity: v.number(),
  requests: v.array(
    v.object({
      id: v.string(),
      time: v.number(),
      method: v.string(),
      url: v.string(),
      client: v.string(),
      status: v.number(),
      outcome: v.string(),
      headers: v.array(v.tuple([v.string(), v.string()])),
      hasBody: v.boolean(),
    }),
  ),
})

const missing = ({ rules }: AdminView) =>
  rules === undefined ? 'The rules of this gateway cannot be seen here.' : undefined

/** For handlers, which are called only where there is one. */
function rulesOf({ rules }: AdminView): RulesView {
  if (rules === undefined) throw new Error('there are no rules')
  return rules
}

function unknown(c: AdminContext, of: string): Response {
  return adminProblem(c, 404, `"waf.rulesets" has no ruleset "${of}"; GET /rules lists them.`)
}

export const RULES_ROUTES: readonly AdminRoute[] = [
  defineRoute({
    method: 'get',
    path: '/rules',
    summary: 'The rulesets of the config, in order.',
    level: 'read',
    answer: {
      description: 'Each with where it is and whether it can be replaced.',
      schema: Rulesets,
    },
    missing,
    handle: async (c, _, { view }) => c.json({ rulesets: await rulesOf(view).list() }),
  }),
  defineRoute({
    method: 'post',
    path: '/rules/validate',
    summary: 'What is wrong with a ruleset, with line and column; with `name`, in its place.',
    level: 'operate',
    body: v.strictObject({ text, name: v.optional(name) }),
    maxBody: 2 * MAX_TEXT_BYTES,
    answer: { description: 'Whether it holds, and every problem.', schema: Problems },
    problems: { 404: 'There is no such ruleset.' },
    missing,
    handle: async (c, { body }, { view }) => {
      const problems = await rulesOf(view).validate(body.text, body.name)
      return problems === undefined ? unknown(c, body.name ?? '') : validation(c, problems)
    },
  }),
  defineRoute({
    method: 'post',
    path: '/rules/dry-run',
    summary: 'Which of the recorded requests a changed ruleset would judge otherwise.',
    level: 'operate',
    body: DryRunRequest,
    maxBody: 2 * MAX_TEXT_BYTES,
    answer: { description: 'What would be blocked, and what would pass.', schema: DryRunAnswer },
    problems: {
      404: 'There is no such ruleset.',
      409: 'No requests are recorded.',
      422: 'The ruleset does not hold.',
    },
    missing,
    handle: async (c, { body }, { view }) => {
      const rules = rulesOf(view)
      const { capacity } = await rules.recorded(0)
      if (capacity === 0) {
        return adminProblem(c, 409, 'No requests are recorded: set "admin.recorded" to a number.')
      }
      const result = await rules.dryRun(body.name, body.text, body.limit)
      if (result === undefined) return unknown(c, body.name)
      return 'requests' in result
        ? c.json(result)
        : adminProblem(c, 422, 'The ruleset does not hold.', {}, { problems: result })
    },
  }),
  defineRoute({
    method: 'get',
    path: '/rules/{name}',
    summary: 'The text of a ruleset.',
    level: 'read',
    answer: { description: 'The file as it is now; its ETag is what PUT wants.' },
    problems: { 404: 'There is no such ruleset.' },
    missing,
    handle: async (c, _, { view }) => {
      const of = c.req.param('name') ?? ''
      const found = await rulesOf(view).read(of)
      return found === undefined ? unknown(c, of) : source(c, found)
    },
  }),
  defineRoute({
    method: 'put',
    path: '/rules/{name}',
    summary: 'Replaces a ruleset file, if the text holds, and takes it into use in all processes.',
    level: 'administer',
    action: 'rules.publish',
    body: 'text',
    maxBody: MAX_TEXT_BYTES,
    headers: IF_MATCH,
    answer: { description: 'It is in use.', schema: PublishedAnswer },
    problems: { 404: 'There is no such ruleset.', ...PUBLISH_PROBLEMS },
    missing,
    handle: async (c, { body }, { view }) => {
      const of = c.req.param('name') ?? ''
      const ifMatch = ifMatchOf(c)
      if (ifMatch instanceof Response) return ifMatch
      const result = await rulesOf(view).publish(of, body, ifMatch)
      if (result === undefined) return unknown(c, of)
      notePublication(c, ifMatch, result)
      return publishAnswer(c, `The ruleset "${of}"`, result)
    },
  }),
  defineRoute({
    method: 'get',
    path: '/recorded',
    summary:
      'The requests that dry runs judge, masked as logs are: how many, and the newest `limit`.',
    level: 'read',
    query: v.object({
      limit: v.optional(
        v.pipe(v.string(), v.digits(), v.transform(Number), v.maxValue(MAX_SHOWN)),
        '0',
      ),
    }),
    answer: { description: 'The ring of recorded requests.', schema: Recorded },
    missing,
    handle: async (c, { query }, { view }) => c.json(await rulesOf(view).recorded(query.limit)),
  }),
]
