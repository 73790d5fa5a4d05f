/**
 * Where records go: lines are gathered for a moment and sent in one piece, behind an answer and never
 * before it. The request that begins a batch is kept alive until it is sent, so the last one of a quiet
 * isolate is not lost.
 */
import type { Logger, RecordSink } from '../../ports.ts'
import type { EdgeEnv } from './bindings.ts'

const GATHER_MS = 1000
/** Workers allow 25 points for each invocation, and 100 messages a batch. */
const BATCH = 25
/** Lines that wait at most; what is above is dropped. */
const MOST_WAITING = 1000

export class EdgeRecords implements RecordSink {
  readonly #queue: EdgeEnv['RECORDS']
  readonly #analytics: EdgeEnv['ANALYTICS']
  readonly #keepAlive: (work: Promise<unknown>) => void
  readonly #print: (line: string) => void
  readonly #log: Logger
  #waiting: string[] = []
  #pending: (() => void) | undefined
  #dropped = 0

  constructor(options: {
    readonly queue: EdgeEnv['RECORDS']
    readonly analytics: EdgeEnv['ANALYTICS']
    readonly keepAlive: (work: Promise<unknown>) => void
    /** For a Worker without either: the platform's own log. */
    readonly print: (line: string) => void
    readonly log: Logger
  }) {
    this.#queue = options.queue
    this.#analytics = options.analytics
    this.#keepAlive = options.keepAlive
    this.#print = options.print
    this.#log = options.log
  }

  get dropped(): number {
    return this.#dropped
  }

  line(text: string): void {
    if (this.#queue === undefined && this.#analytics === undefined) {
      this.#print(text)
      return
    }
    if (this.#waiting.length >= MOST_WAITING) {
      this.#dropped++
      return
    }
    this.#waiting.push(text)
    if (this.#waiting.length >= BATCH && this.#pending !== undefined) this.#pending()
    else if (this.#pending === undefined) this.#keepAlive(this.#gather())
  }

  async #gather(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, GATHER_MS)
      this.#pending = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#pending = undefined
    await this.#send(this.#waiting.splice(0, BATCH))
    if (this.#waiting.length > 0) await this.#gather()
  }

  async #send(lines: readonly string[]): Promise<void> {
    for (const line of lines) this.#analytics?.writeDataPoint(pointOf(line))
    try {
      await this.#queue?.sendBatch(lines.map((body) => ({ body, contentType: 'text' })))
    } catch (error) {
      this.#dropped += lines.length
      this.#log.warn('records were not taken by the queue', {
        lines: lines.length,
        error: error instanceof Error ? error.message : String(error),
      })
    }
  }
}

/** A line of the access log (docs/telemetry.md) as a point; the order of the columns is documented. */
function pointOf(line: string): { indexes: string[]; blobs: string[]; doubles: number[] } {
  let record: Record<string, unknown> = {}
  try {
    record = JSON.parse(line) as Record<string, unknown>
  } catch {
    // The combined format: the whole line is the only column.
    return { indexes: ['line'], blobs: [line.slice(0, 5000)], doubles: [] }
  }
  const text = (name: string): string => {
    const value = record[name]
    return typeof value === 'string' ? value.slice(0, 1024) : ''
  }
  const number = (name: string): number => {
    const value = record[name]
    return typeof value === 'number' ? value : 0
  }
  return {
    indexes: [text('route').slice(0, 96)],
    blobs: ['outcome', 'method', 'host', 'path', 'country', 'region', 'cache', 'id'].map(text),
    doubles: ['status', 'bytes_out', 'bytes_in', 'duration_ms'].map(number),
  }
}
