/**
 * The control port's table of routes: what each is called, who may use it, what it takes and answers. The app
 * serves this table, the description at /openapi.json is made of it, and the list at / too.
 */
import type { Context } from 'hono'
import type * as v from 'valibot'
import type { Millis } from '../exchange.ts'
import type { Mask } from '../telemetry/mask.ts'
import type { Caller, Level } from './caller.ts'
import type { AdminView } from './view.ts'

/** What a handler adds to the audit log's entry. */
export interface AuditNote {
  target?: string
  detail?: Record<string, string | number | boolean>
  /** The caller may not do this. */
  isRefused?: boolean
  /** Nothing was changed after all, such as by a dry run: no entry. */
  isNothing?: boolean
}

export interface AdminEnv {
  Variables: { caller: Caller; note: AuditNote }
}
export type AdminContext = Context<AdminEnv>

/** What handlers share. */
export interface AdminWorld {
  readonly view: AdminView
  /** Hides credentials in the configuration; asked for at each request, since a reload swaps it. */
  readonly mask: () => Mask
  readonly monotonic: () => Millis
  readonly peer: (c: AdminContext) => string
  /** Purges that were carried out under an idempotency key. */
  readonly purges: Map<string, RememberedOrder>
}

export interface RememberedOrder {
  readonly order: string
  readonly answer: Promise<object>
  readonly until: Millis
}

export type Method = 'get' | 'post' | 'put' | 'delete'

/** Besides JSON there is text that is JSON for people: with comments, or too large to be parsed twice. */
export type BodySchema = v.GenericSchema | 'text'

export interface AdminRoute {
  readonly method: Method
  /** As OpenAPI writes it: `/regions/{name}/drain`. */
  readonly path: string
  readonly summary: string
  /** `open`: without a token. */
  readonly level: Level | 'open'
  /** Of the audit log; marks a route that changes something. */
  readonly action?: string | undefined
  /** An object of texts. */
  readonly query?: v.GenericSchema | undefined
  readonly body?: BodySchema | undefined
  /** Largest body, bytes; 64 KiB when left out. */
  readonly maxBody?: number | undefined
  /** Request headers it reads, with what they mean. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Of the answer with status 200. */
  readonly answer: { readonly description: string; readonly schema?: v.GenericSchema }
  readonly mediaType?: string | undefined
  /** What else it may answer, besides what every route may. */
  readonly problems?: Readonly<Record<number, string>> | undefined
  /** Why the gateway does not have this; undefined when it does. Answered with 404. */
  readonly missing?: ((view: AdminView) => string | undefined) | undefined
  readonly handle: (
    c: AdminContext,
    input: { readonly body: unknown; readonly query: unknown },
    world: AdminWorld,
  ) => Response | Promise<Response>
}

/** A route whose handler gets what its schemas make of body and query. */
export interface TypedRoute<B extends BodySchema | undefined, Q extends v.GenericSchema | undefined>
  extends Omit<AdminRoute, 'handle' | 'body' | 'query'> {
  readonly body?: B
  readonly query?: Q
  readonly handle: (
    c: AdminContext,
    input: {
      readonly body: B extends v.GenericSchema ? v.InferOutput<B> : string
      readonly query: Q extends v.GenericSchema ? v.InferOutput<Q> : undefined
    },
    world: AdminWorld,
  ) => Response | Promise<Response>
}

export function defineRoute<
  const B extends BodySchema | undefined = undefined,
  const Q extends v.GenericSchema | undefined = undefined,
>(route: TypedRoute<B, Q>): AdminRoute {
  // The app parses body and query by these same schemas before it calls the handler.
  return route as unknown as AdminRoute
}

/** Of a path's variables, in order. */
export function parametersOf(path: string): string[] {
  return [...path.matchAll(/\{([a-z]+)\}/g)].map(([, name]) => name as string)
}

/** The path as Hono writes it. */
export function honoPath(path: string): string {
  return path.replaceAll(/\{([a-z]+)\}/g, ':$1')
}
