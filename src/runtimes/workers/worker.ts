/**
 * The Worker: `createWorker` of a bundle is what an entry module exports, next to the two Durable Objects.
 * Control paths stand under `/.meridian/`, behind a token; everything else is the gateway's.
 */
import { type Context, Hono } from 'hono'
import { problem } from '../../http/problem.ts'
import type { Logger } from '../../ports.ts'
import { secretEquals } from '../../telemetry/constant-time.ts'
import { exposition } from '../../telemetry/exposition.ts'
import { CHALLENGE_PATH } from '../../waf/challenge/page.ts'
import { explainRequest } from '../web/explain.ts'
import { toResponse } from '../web/respond.ts'
import { VERSION } from '../web/version.ts'
import type { CloudflareFacts, EdgeEnv, ExecutionContext } from './bindings.ts'
import { within } from './context.ts'
import { Edge, type EdgeBundle } from './edge.ts'

export { CounterShard } from './counter-shard.ts'
export type { EdgeBundle } from './edge.ts'
export { HealthProber } from './health-prober.ts'

const CONTROL = '/.meridian/'

/** The handlers of a Worker. */
export interface EdgeWorker {
  fetch(request: Request, env: EdgeEnv, context: ExecutionContext): Promise<Response>
  scheduled(event: unknown, env: EdgeEnv, context: ExecutionContext): Promise<void>
}

export interface WorkerOptions {
  /** For people; the platform's log by default. */
  readonly log?: Logger | undefined
}

/** A Worker of a bundle. Nothing is compiled before the first request. */
export function createWorker(bundle: EdgeBundle, options: WorkerOptions = {}): EdgeWorker {
  const log = options.log ?? consoleLog
  let starting: Promise<Edge> | undefined

  function edgeOf(env: EdgeEnv, context: ExecutionContext): Promise<Edge> {
    if (starting === undefined) {
      starting = within(context, () => Edge.start(bundle, env, log))
      starting.catch((error: unknown) => {
        log.error('the gateway does not start', {
          error: error instanceof Error ? error.message : String(error),
        })
        starting = undefined
      })
    }
    // Others may wait for it when the first client has left.
    context.waitUntil(starting.catch(() => {}))
    return starting
  }

  const control = controlApp()
  return {
    async fetch(request, env, context) {
      let edge: Edge
      try {
        edge = await edgeOf(env, context)
      } catch {
        const id = crypto.randomUUID()
        return toResponse(problem('internal', id), request.method === 'HEAD', {}, () => {})
      }
      const { url } = request
      const pathAt = url.indexOf('/', 8)
      const login = edge.web.loaded.config.iam?.login?.path
      if (env.EDGE_TOKEN !== undefined && isControl(url, pathAt, login)) {
        return control.fetch(request, { env, edge })
      }
      return edge.fetch(request, context)
    },

    /** The watchdog: should the prober's alarm be lost, this sets it again. */
    async scheduled(_event, env, context) {
      const edge = await edgeOf(env, context)
      await within(context, () => edge.health?.ensure(edge.web.snapshot))
    },
  }
}

/** Answers to challenges are for every client, and so is a login. */
function isControl(url: string, pathAt: number, login: string | undefined): boolean {
  if (!url.startsWith(CONTROL, pathAt)) return false
  const query = url.indexOf('?', pathAt)
  const path = url.slice(pathAt, query < 0 ? undefined : query)
  if (login !== undefined && (path === login || path.startsWith(`${login}/`))) return false
  return path !== CHALLENGE_PATH
}

interface Control {
  Bindings: { readonly env: EdgeEnv; readonly edge: Edge }
}

function controlApp(): Hono<Control> {
  const app = new Hono<Control>().basePath('/.meridian')
  app.use('*', async (c, next) => {
    const given = /^bearer +(\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1]
    const { EDGE_TOKEN } = c.env.env
    if (given === undefined || EDGE_TOKEN === undefined || !secretEquals(given, EDGE_TOKEN)) {
      return c.json({ title: 'A valid bearer token is required.', status: 401 }, 401, {
        'www-authenticate': 'Bearer realm="meridian"',
      })
    }
    await next()
    return undefined
  })
  app.get('/health', (c) => c.json(statusOf(c.env.edge)))
  app.get('/metrics', (c) => c.text(exposition(c.env.edge.web.telemetry.metrics.snapshot())))
  app.get('/explain', explainAnswer)
  app.notFound((c) => c.json({ title: 'Nothing is served here.', status: 404 }, 404))
  return app
}

/** `?url=…&method=…&ip=…&header=name:value`, and the place of the client as `country`, `latitude`, … */
async function explainAnswer(c: Context<Control>): Promise<Response> {
  const query = (name: string) => c.req.query(name)
  const place: Record<string, string> = {}
  for (const name of ['country', 'latitude', 'longitude', 'asn'] as const) {
    const value = query(name)
    if (value !== undefined) place[name] = value
  }
  const { cf } = c.req.raw as Request & { cf?: CloudflareFacts }
  const isAsked = Object.keys(place).length > 0
  const result = await explainRequest(c.env.edge.web, {
    method: query('method') ?? 'GET',
    url: query('url') ?? '/',
    ip: query('ip'),
    headers: (c.req.queries('header') ?? []).map((text): [string, string] => {
      const colon = text.indexOf(':')
      return colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1).trim()]
    }),
    place: isAsked || c.env.env.PLATFORM === 'local' ? place : cf,
  })
  return typeof result === 'string' ? c.json({ title: result, status: 400 }, 400) : c.json(result)
}

function statusOf(edge: Edge) {
  const { web, updates, health } = edge
  return {
    version: VERSION,
    config: { version: updates?.version ?? 'bundled', lastError: web.lastError },
    checks: { ageMs: health?.age ?? null },
    origins: web.snapshot.health
      .states()
      .map(({ id, tier, lastProbe }) => ({ id, tier, lastProbe })),
  }
}

const consoleLog: Logger = {
  // biome-ignore lint/suspicious/noConsole: the platform's log is what people read
  info: (message, fields) => console.log(JSON.stringify({ message, ...fields })),
  // biome-ignore lint/suspicious/noConsole: the same
  warn: (message, fields) => console.warn(JSON.stringify({ message, ...fields })),
  // biome-ignore lint/suspicious/noConsole: the same
  error: (message, fields) => console.error(JSON.stringify({ message, ...fields })),
}
