export interface BenchRequest {
  readonly kind: string
  readonly method: string
  readonly target: string
  readonly headers: string[]
  /** Byte string. */
  readonly body: string
}
export const REQUESTS: readonly BenchRequest[]
