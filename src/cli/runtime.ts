/**
 * What verbs need of the Node runtime. It is imported when a verb runs, so that `--help` and `check`
 * do not load servers and databases.
 */
import type { Explanation } from '../telemetry/explain.ts'

export interface StartOptions {
  /** Instead of the config's `workers`. */
  readonly workers?: number | 'auto' | undefined
}

/** A gateway that serves. */
export interface RunningGateway {
  /** Where clients connect, as URLs. */
  readonly addresses: readonly string[]
  /** The control port, as a URL, when there is one. */
  readonly control?: string | undefined
  /** Drains and stops. */
  close(): Promise<void>
}

export interface DemoOptions {
  /** Port of the gateway. */
  readonly port: number
  /** Port of the control interface, on 127.0.0.1. */
  readonly adminPort: number
}

/** One request to explain. */
export interface ExplainRequest {
  readonly method: string
  readonly url: string
  /** Client address; left out: unknown. */
  readonly ip?: string | undefined
  readonly headers: readonly (readonly [name: string, value: string])[]
}

export interface StartModule {
  startFromFile(path: string, options: StartOptions): Promise<RunningGateway>
}
export interface DemoModule {
  runDemo(options: DemoOptions): Promise<void>
}
export interface ExplainModule {
  explainRequest(configPath: string, request: ExplainRequest): Promise<Explanation>
}
