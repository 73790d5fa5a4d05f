/** What the runtime's own module offers, as far as it is used. */
declare module 'cloudflare:workers' {
  export interface ObjectStorage {
    get<T>(key: string): Promise<T | undefined>
    put(key: string, value: unknown): Promise<void>
    getAlarm(): Promise<number | null>
    setAlarm(at: number): Promise<void>
    readonly sql: {
      exec<Row>(query: string, ...values: (string | number)[]): Iterable<Row>
    }
  }
  export class DurableObject<Env = unknown> {
    protected ctx: { readonly storage: ObjectStorage }
    protected env: Env
    constructor(ctx: DurableObject['ctx'], env: Env)
  }
}
