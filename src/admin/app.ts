/**
 * The control port: health for orchestrators, metrics for scrapers, status, events and explanations for
 * people, and orders. A Hono app over an `AdminView`, made of the table of routes; it never touches the data
 * path.
 */
import { Hono } from 'hono'
import * as v from 'valibot'
import type { Mask } from '../telemetry/mask.ts'
import { AUDIT_ROUTES } from './audit-routes.ts'
import { firstIssue, parsedJson, textBody } from './body.ts'
import { CACHE_ROUTES } from './cache.ts'
import { mayDo } from './caller.ts'
import { CONFIG_ROUTES } from './config-routes.ts'
import { CORE_ROUTES } from './core-routes.ts'
import { DEFENCE_ROUTES } from './defence-routes.ts'
import { type AdminAccess, asksForToken, guard } from './guard.ts'
import { LIVE_ROUTES } from './live.ts'
import { MIRROR_ROUTES } from './mirrors.ts'
import { openApi } from './openapi.ts'
import { isPagePath, pageRoutes } from './page.ts'
import { adminProblem } from './problem.ts'
import { REGION_ROUTES } from './regions.ts'
import { ROLLOUT_ROUTES } from './rollouts.ts'
import {
  type AdminContext,
  type AdminEnv,
  type AdminRoute,
  type AdminWorld,
  defineRoute,
  honoPath,
} from './route.ts'
import { RULES_ROUTES } from './rules-routes.ts'
import { SNAPSHOT_ROUTES } from './snapshot-routes.ts'
import { THREAT_ROUTES } from './threats.ts'
import type { AdminView } from './view.ts'

const MAX_BODY_BYTES = 64 * 1024

/** Every route, in the order of the documentation. */
export const ADMIN_ROUTES: readonly AdminRoute[] = [
  ...CORE_ROUTES,
  ...CONFIG_ROUTES,
  ...RULES_ROUTES,
  ...REGION_ROUTES,
  ...ROLLOUT_ROUTES,
  ...THREAT_ROUTES,
  ...MIRROR_ROUTES,
  ...CACHE_ROUTES,
  ...DEFENCE_ROUTES,
  ...SNAPSHOT_ROUTES,
  ...AUDIT_ROUTES,
  ...LIVE_ROUTES,
  defineRoute({
    method: 'get',
    path: '/openapi.json',
    summary: 'This list with all that can be sent and answered, as OpenAPI 3.1.',
    level: 'read',
    answer: { description: 'The description.' },
    handle: async (c, _, { view }) =>
      c.json(openApi(ADMIN_ROUTES, (await view.status()).version) as object),
  }),
]

/** By path, what `GET /` lists. */
export const ADMIN_PATHS: Readonly<Record<string, string>> = summaries()

function summaries(): Record<string, string> {
  const paths: Record<string, string> = {}
  for (const { method, path, summary } of ADMIN_ROUTES) {
    const before = paths[path]
    const text = method === 'get' ? summary : `${method.toUpperCase()}: ${summary}`
    paths[path] = before === undefined ? text : `${before} ${text}`
  }
  return paths
}

function allowed(path: string): string {
  const methods = ADMIN_ROUTES.filter((route) => route.path === path).flatMap(({ method }) =>
    method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()],
  )
  return methods.join(', ')
}

/** What a change came to, for the audit log. */
function noteChange(c: AdminContext, route: AdminRoute, world: AdminWorld, status: number) {
  const note = c.get('note')
  const isRefused = note.isRefused === true
  if ((route.action === undefined && !isRefused) || note.isNothing === true) return
  world.view.audit?.record({
    principal: c.get('caller').principal,
    peer: world.peer(c),
    action: route.action ?? 'request',
    target: note.target ?? (Object.values(c.req.param()).join(' ') || c.req.path),
    outcome: isRefused ? 'refused' : status < 400 ? 'done' : 'failed',
    status,
    detail: note.detail,
  })
}

/** Level, then query and body by their schemas, then the handler. */
async function serve(c: AdminContext, route: AdminRoute, world: AdminWorld): Promise<Response> {
  const caller = c.get('caller')
  if (route.level !== 'open' && !mayDo(caller, route.level)) {
    const title =
      caller.level === 'read'
        ? 'This token may only look.'
        : 'This needs "admin.token", "admin.jwt" or "admin.socket": without them any program of this machine could do it.'
    c.get('note').isRefused = true
    return adminProblem(c, 403, title)
  }
  const missing = route.missing?.(world.view)
  if (missing !== undefined) return adminProblem(c, 404, missing)
  let query: unknown
  if (route.query !== undefined) {
    const parsed = v.safeParse(route.query, c.req.query())
    if (!parsed.success) return adminProblem(c, 400, firstIssue(parsed.issues))
    query = parsed.output
  }
  if (route.body === undefined) return route.handle(c, { body: undefined, query }, world)
  const text = await textBody(c, route.maxBody ?? MAX_BODY_BYTES)
  if (text === undefined) return adminProblem(c, 413, 'The body is too large.')
  if (route.body === 'text') return route.handle(c, { body: text, query }, world)
  const sent = parsedJson(text)
  if (sent === undefined) return adminProblem(c, 400, 'The body is not valid JSON.')
  const parsed = v.safeParse(route.body, sent)
  if (!parsed.success) return adminProblem(c, 400, firstIssue(parsed.issues))
  return route.handle(c, { body: parsed.output, query }, world)
}

/** @param mask hides credentials in the configuration; asked for at each request, since a reload swaps it */
export function createAdminApp(
  view: AdminView,
  access: AdminAccess,
  mask: () => Mask,
): Hono<AdminEnv> {
  const app = new Hono<AdminEnv>()
  const world: AdminWorld = {
    view,
    mask,
    monotonic: access.monotonic,
    peer: (c) => access.peer?.(c.env) ?? 'unknown',
    purges: new Map(),
  }

  app.use(async (c, next) => {
    await next()
    c.header('x-content-type-options', 'nosniff')
    // The page's files say themselves how long they may be kept and what they may load.
    if (!isPagePath(c.req.path) || c.res.status >= 400) {
      c.header('cache-control', 'no-store')
      c.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'")
    }
    c.header('referrer-policy', 'no-referrer')
    c.header('cross-origin-resource-policy', 'same-origin')
  })
  app.use(guard(access, view, mask))

  app.get('/', (c) => c.json({ name: 'meridian', paths: ADMIN_PATHS }))
  for (const route of ADMIN_ROUTES) {
    app.on(route.method.toUpperCase(), honoPath(route.path), async (c) => {
      let status = 500
      try {
        const response = await serve(c, route, world)
        status = response.status
        return response
      } finally {
        noteChange(c, route, world, status)
      }
    })
  }
  for (const path of new Set(['/', ...Object.keys(ADMIN_PATHS)])) {
    app.all(honoPath(path), (c) =>
      adminProblem(c, 405, 'This method is not allowed here.', {
        allow: path === '/' ? 'GET, HEAD' : allowed(path),
      }),
    )
  }
  pageRoutes(app, view.page, asksForToken(access))
  app.notFound((c) => adminProblem(c, 404, 'Nothing is here.'))
  // The cause goes to the gateway's log, never to the caller.
  app.onError((error, c) => {
    view.onFailed?.(error, c.req.path)
    return adminProblem(c, 500, 'The control port failed.')
  })
  return app
}
