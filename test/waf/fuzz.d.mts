export interface FuzzOptions {
  readonly count: number
  readonly seed: number
  /** Folder of a CRS release; without it, the rulesets that come with the gateway only. */
  readonly crs?: string | undefined
  readonly onProgress?: ((result: FuzzResult) => void) | undefined
}

export interface Fault {
  /** Number of the request; the same with the same seed. */
  readonly at: number
  readonly what: string
  readonly request: string
}

export interface FuzzResult {
  done: number
  refused: number
  blocked: number
  matched: number
  roundTrips: number
  exhausted: number
  /** Most of the work budget that a request took. */
  mostWork: number
  slowestMs: number
  faults: Fault[]
}

export function fuzz(options: FuzzOptions): Promise<FuzzResult>
