/**
 * Which request something runs for. Workers stop what a request began when it is over, unless it was told
 * to wait; this finds the one to tell.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { ExecutionContext } from './bindings.ts'

const current = new AsyncLocalStorage<ExecutionContext>()

/** Runs `work` for a request. */
export function within<T>(context: ExecutionContext, work: () => T): T {
  return current.run(context, work)
}

/** Keeps the request that this runs for alive until `work` is done; its failure is nobody's. */
export function keepAlive(work: Promise<unknown>): void {
  current.getStore()?.waitUntil(work.catch(() => {}))
}
