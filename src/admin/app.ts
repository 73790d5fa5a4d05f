/**
 * The control port: health for orchestrators, metrics for scrapers, status, events and explanations for
 * people. A Hono app over an `AdminView`; it never touches the data path.
 */
import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import * as v from 'valibot'
import type { EventKind } from '../telemetry/events.ts'
import { EXPOSITION_CONTENT_TYPE } from '../telemetry/exposition.ts'
import type { Mask } from '../telemetry/mask.ts'
import { firstIssue } from './body.ts'
import { CACHE_PATHS, cacheRoutes } from './cache.ts'
import { type AdminAccess, guard } from './guard.ts'
import { adminProblem } from './problem.ts'
import { redacted } from './redact.ts'
import { ROLLOUT_PATHS, rolloutRoutes } from './rollouts.ts'
import { THREAT_PATHS, threatRoutes } from './threats.ts'
import { type AdminView, ExplainError, type ExplainQuery } from './view.ts'

const MAX_BODY_BYTES = 64 * 1024
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

const EventsQuery = v.object({
  since: v.optional(v.pipe(v.string(), v.digits(), v.transform(Number)), '0'),
  limit: v.optional(
    v.pipe(v.string(), v.digits(), v.transform(Number), v.minValue(1), v.maxValue(MAX_EVENTS)),
    '100',
  ),
  kind: v.optional(v.picklist(KINDS)),
})

/** What each path is for; the answer to `GET /`, and what the tests compare the routes with. */
export const ADMIN_PATHS = {
  '/healthz': 'Whether the process lives.',
  '/readyz': 'Whether traffic may be sent here; 503 with the reasons when not.',
  '/metrics': 'Prometheus metrics.',
  '/status': 'Version, configuration, regions and origins with their health and why.',
  '/config': 'The configuration in use, redacted.',
  '/events': 'Recent events: ?since=SEQUENCE&limit=N&kind=KIND.',
  '/explain':
    'What each step decides about a request: ?url=…&method=…&ip=…&header=name:value, or POST.',
  ...THREAT_PATHS,
  ...ROLLOUT_PATHS,
  ...CACHE_PATHS,
} as const

async function answerExplanation(c: Context, view: AdminView, input: unknown): Promise<Response> {
  const parsed = v.safeParse(ExplainRequest, input)
  if (!parsed.success) return adminProblem(c, 400, firstIssue(parsed.issues))
  const query: ExplainQuery = parsed.output
  try {
    return c.json(await view.explain(query))
  } catch (error) {
    if (error instanceof ExplainError) return adminProblem(c, 400, error.message)
    throw error
  }
}

function allowed(path: string): string {
  if (path === '/explain' || path === '/rollouts') return 'GET, HEAD, POST'
  return path === '/cache/purge' || path === '/cache/warm' ? 'POST' : 'GET, HEAD'
}

/** `name: value` as on a command line. */
function headerPair(text: string): [string, string] {
  const colon = text.indexOf(':')
  return colon < 0 ? [text, ''] : [text.slice(0, colon).trim(), text.slice(colon + 1).trim()]
}

/**
 * @param mask hides credentials in the configuration; asked for at each request, since a reload swaps it
 */
export function createAdminApp(view: AdminView, access: AdminAccess, mask: () => Mask): Hono {
  const app = new Hono()

  app.use(async (c, next) => {
    await next()
    c.header('cache-control', 'no-store')
    c.header('x-content-type-options', 'nosniff')
    c.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'")
    c.header('referrer-policy', 'no-referrer')
    c.header('cross-origin-resource-policy', 'same-origin')
  })
  app.use(guard(access, view))
  app.use(
    bodyLimit({
      maxSize: MAX_BODY_BYTES,
      onError: (c) => adminProblem(c, 413, 'The body is too large.'),
    }),
  )

  app.get('/', (c) => c.json({ name: 'meridian', paths: ADMIN_PATHS }))
  app.get('/healthz', (c) => c.json({ status: 'alive' }))
  app.get('/readyz', (c) => {
    const { ready, reasons } = view.readiness()
    return c.json({ status: ready ? 'ready' : 'not ready', reasons }, ready ? 200 : 503)
  })
  app.get('/metrics', async (c) =>
    c.body(await view.metrics(), 200, { 'content-type': EXPOSITION_CONTENT_TYPE }),
  )
  app.get('/status', async (c) => c.json(await view.status()))
  app.get('/config', (c) => c.json(redacted(view.config(), mask())))
  app.get('/events', async (c) => {
    const parsed = v.safeParse(EventsQuery, c.req.query())
    if (!parsed.success) return adminProblem(c, 400, firstIssue(parsed.issues))
    const { since, limit, kind } = parsed.output
    return c.json({ events: await view.events(since, limit, kind) })
  })
  app.get('/explain', (c) => {
    const { method, url, ip } = c.req.query()
    const headers = (c.req.queries('header') ?? []).map(headerPair)
    return answerExplanation(c, view, {
      url,
      headers,
      ...(method === undefined ? {} : { method }),
      ...(ip === undefined ? {} : { ip }),
    })
  })
  app.post('/explain', async (c) => {
    let input: unknown
    try {
      input = await c.req.json()
    } catch {
      return adminProblem(c, 400, 'The body is not valid JSON.')
    }
    return answerExplanation(c, view, input)
  })

  threatRoutes(app, view)

  const peer = (c: Context) => access.peer?.(c.env) ?? 'unknown'
  rolloutRoutes(app, view.rollouts, { peer })
  cacheRoutes(app, view.cache, { monotonic: access.monotonic, peer })

  for (const path of ['/', ...Object.keys(ADMIN_PATHS)]) {
    app.all(path, (c) =>
      adminProblem(c, 405, 'This method is not allowed here.', {
        allow: allowed(path),
      }),
    )
  }
  app.notFound((c) => adminProblem(c, 404, 'Nothing is here.'))
  // The cause goes to the gateway's log, never to the caller.
  app.onError((error, c) => {
    view.onFailed?.(error, c.req.path)
    return adminProblem(c, 500, 'The control port failed.')
  })
  return app
}
