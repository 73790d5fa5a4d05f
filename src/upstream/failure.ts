/** What becomes of a request when no origin answered it. */
import type { ProblemCode } from '../http/problem.ts'
import { UpstreamError, type UpstreamErrorClass } from '../ports.ts'

/** Every attempt failed, or none could be made. An `UpstreamError`, so that the cache may answer instead. */
export class AttemptsFailed extends UpstreamError {
  readonly code: ProblemCode
  constructor(code: ProblemCode, options?: ErrorOptions) {
    const kind = options?.cause instanceof UpstreamError ? options.cause.kind : 'connect'
    super(kind, code, options)
    this.code = code
  }
}

export const PROBLEM_OF: Readonly<Record<UpstreamErrorClass, ProblemCode>> = {
  connect: 'origin-connect',
  'stale-connection': 'origin-reset',
  reset: 'origin-reset',
  protocol: 'origin-protocol',
  timeout: 'origin-timeout',
  truncated: 'origin-truncated',
  cancelled: 'client-closed',
  'request-body': 'body-cut',
}
