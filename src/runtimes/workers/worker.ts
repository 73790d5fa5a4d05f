/**
 * The Worker: `createWorker` of a bundle is what an entry module exports, next to the Durable Objects.
 * Control paths stand under `/.meridian/`, behind a token; everything else is the gateway's.
 *
 * The gateway is a module of its own, loaded by the first request: the Durable Objects and the cron trigger live
 * in isolates that never need it, and start with a tenth of the code.
 */
import { problem } from '../../http/problem.ts'
import type { Logger } from '../../ports.ts'
import { CHALLENGE_PATH } from '../../waf/challenge/path.ts'
import { toResponse } from '../web/respond.ts'
import type { EdgeEnv, ExecutionContext } from './bindings.ts'
import { within } from './context.ts'
import type { Edge, EdgeBundle } from './edge.ts'

export { CounterShard } from './counter-shard.ts'
export type { EdgeBundle } from './edge.ts'
export { HealthProber } from './health-prober.ts'
export { NoticeBoard } from './notice-board.ts'

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

/**
 * A Worker of a bundle. Nothing is compiled before the first request.
 * @param bundle itself, or how to load it when it is first needed
 */
export function createWorker(
  bundle: EdgeBundle | (() => Promise<EdgeBundle>),
  options: WorkerOptions = {},
): EdgeWorker {
  const log = options.log ?? consoleLog
  let starting: Promise<Edge> | undefined

  function edgeOf(env: EdgeEnv, context: ExecutionContext): Promise<Edge> {
    if (starting === undefined) {
      starting = within(context, () => startEdge(bundle, env, log))
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

  let control: Promise<ControlApp> | undefined
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
        control ??= import('./control.ts').then(({ controlApp }) => controlApp())
        return (await control).fetch(request, { env, edge })
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

type ControlApp = ReturnType<typeof import('./control.ts').controlApp>

async function startEdge(
  bundle: EdgeBundle | (() => Promise<EdgeBundle>),
  env: EdgeEnv,
  log: Logger,
): Promise<Edge> {
  const [{ Edge }, loaded] = await Promise.all([
    import('./edge.ts'),
    typeof bundle === 'function' ? bundle() : bundle,
  ])
  return Edge.start(loaded, env, log)
}

/** Answers to challenges are for every client, and so is a login. */
function isControl(url: string, pathAt: number, login: string | undefined): boolean {
  if (!url.startsWith(CONTROL, pathAt)) return false
  const query = url.indexOf('?', pathAt)
  const path = url.slice(pathAt, query < 0 ? undefined : query)
  if (login !== undefined && (path === login || path.startsWith(`${login}/`))) return false
  return path !== CHALLENGE_PATH
}

const consoleLog: Logger = {
  // biome-ignore lint/suspicious/noConsole: the platform's log is what people read
  info: (message, fields) => console.log(JSON.stringify({ message, ...fields })),
  // biome-ignore lint/suspicious/noConsole: the same
  warn: (message, fields) => console.warn(JSON.stringify({ message, ...fields })),
  // biome-ignore lint/suspicious/noConsole: the same
  error: (message, fields) => console.error(JSON.stringify({ message, ...fields })),
}
