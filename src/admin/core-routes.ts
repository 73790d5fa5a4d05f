/** Paths of the control port that every gateway has: health, metrics, status, events, explanations. */
import * as v from 'valibot'
import type { EventKind } from '../telemetry/events.ts'
import { EXPOSITION_CONTENT_TYPE } from '../telemetry/exposition.ts'
import { firstIssue } from './body.ts'
import { adminProblem } from './problem.ts'
import { type AdminContext, type AdminRoute, defineRoute } from './route.ts'
import { type AdminView, ExplainError } from './view.ts'

const MAX_EVENTS = 1000

const KINDS = ['security', 'steering', 'health', 'config', 'system'] as const satisfies EventKind[]

const method = v.pipe(v.string(), v.regex(/^[A-Z]{1,32}$/, 'an upper-case method is expected'))
const url = v.pipe(v.string(), v.minLength(1), v.maxLength(8192))
const header = v.tuple([
  v.pipe(v.string(), v.regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'a header name is expected')),
  v.pipe(v.string(), v.maxLength(8192)),
])
const ExplainRequest = v.strictObject({
  method: v.optional(method, 'GET'),
  url,
  ip: v.optional(v.string()),
  headers: v.optional(v.pipe(v.array(header), v.maxLength(100)), []),
})
const ExplainInQuery = v.object({
  url: v.optional(v.string()),
  method: v.optional(v.string()),
  ip: v.optional(v.string()),
  header: v.optional(v.string()),
})

const digits = v.pipe(v.string(), v.digits(), v.transform(Number))
const EventsQuery = v.object({
  since: v.optional(digits, '0'),
  limit: v.optional(v.pipe(digits, v.minValue(1), v.maxValue(MAX_EVENTS)), '100'),
  kind: v.optional(v.picklist(KINDS)),
})

async function answerExplanation(
  c: AdminContext,
  view: AdminView,
  input: unknown,
): Promise<Response> {
  const parsed = v.safeParse(ExplainRequest, input)
  if (!parsed.success) return adminProblem(c, 400, firstIssue(parsed.issues))
  try {
    return c.json(await view.explain(parsed.output))
  } catch (error) {
    if (error instanceof ExplainError) return adminProblem(c, 400, error.message)
    throw error
  }
}

/** `name: value` as on a command line. */
function headerPair(text: string): [string, string] {
  const colon = text.indexOf(':')
  return colon < 0 ? [text, ''] : [text.slice(0, colon).trim(), text.slice(colon + 1).trim()]
}

export const CORE_ROUTES: readonly AdminRoute[] = [
  defineRoute({
    method: 'get',
    path: '/healthz',
    summary: 'Whether the process lives.',
    level: 'open',
    answer: { description: 'It does.', schema: v.object({ status: v.literal('alive') }) },
    handle: (c) => c.json({ status: 'alive' }),
  }),
  defineRoute({
    method: 'get',
    path: '/readyz',
    summary: 'Whether traffic may be sent here; 503 with the reasons when not.',
    level: 'open',
    answer: { description: 'It may.' },
    problems: { 503: 'It may not.' },
    handle: (c, _, { view }) => {
      const { ready, reasons } = view.readiness()
      return c.json({ status: ready ? 'ready' : 'not ready', reasons }, ready ? 200 : 503)
    },
  }),
  defineRoute({
    method: 'get',
    path: '/metrics',
    summary: 'Prometheus metrics.',
    level: 'read',
    mediaType: 'text/plain',
    answer: { description: 'The text exposition format, all processes together.' },
    handle: async (c, _, { view }) =>
      c.body(await view.metrics(), 200, { 'content-type': EXPOSITION_CONTENT_TYPE }),
  }),
  defineRoute({
    method: 'get',
    path: '/status',
    summary: 'Version, configuration, regions and origins with their health and why.',
    level: 'read',
    answer: { description: 'The gateway’s state.' },
    handle: async (c, _, { view }) => c.json(await view.status()),
  }),
  defineRoute({
    method: 'get',
    path: '/events',
    summary: 'Recent events: `since` a sequence number, at most `limit`, of one `kind`.',
    level: 'read',
    query: EventsQuery,
    answer: { description: 'Events, oldest first.' },
    handle: async (c, { query: { since, limit, kind } }, { view }) =>
      c.json({ events: await view.events(since, limit, kind) }),
  }),
  defineRoute({
    method: 'get',
    path: '/explain',
    summary: 'What each step decides about a request: `url`, `method`, `ip`, `header=name:value`.',
    level: 'read',
    query: ExplainInQuery,
    answer: { description: 'Every step with its outcome and why.' },
    handle: (c, { query }, { view }) => {
      const headers = (c.req.queries('header') ?? []).map(headerPair)
      const { method, url, ip } = query
      return answerExplanation(c, view, {
        url,
        headers,
        ...(method === undefined ? {} : { method }),
        ...(ip === undefined ? {} : { ip }),
      })
    },
  }),
  defineRoute({
    method: 'post',
    path: '/explain',
    summary: 'The same for a request in the body.',
    level: 'read',
    body: ExplainRequest,
    answer: { description: 'Every step with its outcome and why.' },
    handle: (c, { body }, { view }) => answerExplanation(c, view, body),
  }),
]
