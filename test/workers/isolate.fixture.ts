/** Isolates of a Worker: what each keeps in memory is its own, bindings are shared. */
import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import type { MeridianConfigInput } from '../../src/config/schema.ts'
import type { EdgeEnv } from '../../src/runtimes/workers/bindings.ts'
import { createWorker, type EdgeWorker } from '../../src/runtimes/workers/worker.ts'
import { suiteConfig } from '../suite/harness.ts'

export const CF = { colo: 'TST', country: 'DE' }
let count = 0
/** A name that no other test has used, since bindings are shared. */
export const unique = (name: string): string => `${name}-${Date.now().toString(36)}-${count++}`

export interface Isolate {
  ask(path: string, init?: RequestInit & { cf?: object | null }): Promise<Response>
  readonly worker: EdgeWorker
  readonly logged: string[]
  /** Ends what runs behind the answers. */
  settle(): Promise<void>
}

/** One isolate: what it keeps in memory is its own, bindings are shared. */
export function isolate(config: Partial<MeridianConfigInput>, bindings: EdgeEnv = {}): Isolate {
  const logged: string[] = []
  const note = (message: string, fields?: object) =>
    void logged.push(`${message} ${JSON.stringify(fields ?? {})}`)
  const worker = createWorker(
    { config: JSON.stringify(suiteConfig(config)) },
    { log: { info: note, warn: note, error: note } },
  )
  const contexts: ReturnType<typeof createExecutionContext>[] = []
  return {
    worker,
    logged,
    ask(path, { cf = CF, ...init } = {}) {
      const context = createExecutionContext()
      contexts.push(context)
      const request = new Request(`http://gateway.test${path}`, {
        ...init,
        ...(cf === null ? {} : { cf }),
      } as RequestInit)
      return worker.fetch(request, bindings, context)
    },
    settle: async () => {
      for (const context of contexts) await waitOnExecutionContext(context)
    },
  }
}

/** Of a client whose address Cloudflare vouches for. */
export const from = (ip: string) => ({ headers: { 'cf-connecting-ip': ip } })
