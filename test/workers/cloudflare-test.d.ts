/** What the tests use of the pool's own module. */
declare module 'cloudflare:test' {
  import type { EdgeEnv, ExecutionContext } from '../../src/runtimes/workers/bindings.ts'

  export const env: Required<EdgeEnv> & {
    readonly CONFIG: { put(key: string, value: string): Promise<void> }
  }
  export function createExecutionContext(): ExecutionContext
  export function waitOnExecutionContext(context: ExecutionContext): Promise<void>
  export function runDurableObjectAlarm(stub: object): Promise<boolean>
  export function runInDurableObject<T>(
    stub: object,
    work: (object: unknown, state: { storage: { deleteAlarm(): Promise<void> } }) => Promise<T>,
  ): Promise<T>
}
