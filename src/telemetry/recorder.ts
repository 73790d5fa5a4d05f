/**
 * The last requests, for trying changed rules on them. Masked when they are recorded, as log lines are: what is
 * never kept cannot leak. Bodies are not kept. A ring of fixed size; the newest overwrite the oldest.
 */
import type { Exchange, Millis } from '../exchange.ts'
import type { Mask } from './mask.ts'

export interface KeptRequest {
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly time: Millis
  readonly method: string
  /** Absolute. */
  readonly url: string
  /** Address without its last part. */
  readonly client: string
  readonly status: number
  readonly outcome: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly hasBody: boolean
}

/** Longest URL, and most and longest header fields, that are kept of one request. */
const MAX_URL = 8192
const MAX_FIELDS = 64
const MAX_VALUE = 2048

export class RequestRecorder {
  readonly capacity: number
  readonly #ring: KeptRequest[] = []
  #next = 0

  /** @param capacity requests kept, at least 1 */
  constructor(capacity: number) {
    this.capacity = capacity
  }

  get size(): number {
    return this.#ring.length
  }

  /** A request that the front refused is none that a rule would see. */
  record(x: Exchange, status: number, mask: Mask): void {
    if (x.refusal !== undefined) return
    const { path, query } = x.target
    const search = query === '' ? '' : `?${mask.query(query)}`
    const names = x.headers.names()
    const headers: [string, string][] = []
    for (let i = 0; i < names.length && i < MAX_FIELDS; i++) {
      const name = names[i] as string
      const value = (x.headers.flat[i * 2 + 1] as string).slice(0, MAX_VALUE)
      headers.push([name, name === 'referer' ? mask.url(value) : mask.header(name, value)])
    }
    this.#ring[this.#next] = {
      id: x.id,
      time: x.startedAt,
      method: x.method,
      url: `${x.scheme}://${x.authority}${mask.text(path)}${search}`.slice(0, MAX_URL),
      client: mask.ip(x.client.ip),
      status,
      outcome: x.outcome,
      headers,
      hasBody: x.body !== null,
    }
    this.#next = (this.#next + 1) % this.capacity
  }

  /** @returns at most `limit`, the newest, oldest first */
  newest(limit: number): KeptRequest[] {
    const all = [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)]
    return limit === 0 ? [] : all.slice(-limit)
  }
}
