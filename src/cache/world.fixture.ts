/** A cache, a virtual clock and a scripted origin, for tests. */
import * as v from 'valibot'
import { CacheSection, RouteCacheSection } from '../config/sections/cache.ts'
import {
  type ByteSink,
  type ByteStream,
  HeaderList,
  type Millis,
  type Reply,
  UNKNOWN_GEO,
} from '../exchange.ts'
import type { Clock, Random } from '../ports.ts'
import type { Forward, ForwardOptions } from './core.ts'
import type { CacheRequest } from './key/cache-key.ts'
import { type CachePolicy, compileCachePolicy } from './policy/cache-policy.ts'
import { ResponseCache, type ResponseCacheOptions } from './response-cache.ts'

interface Timer {
  at: Millis
  run: () => void
}

/** Time that moves when a test says so. Wall and monotonic time can be set apart. */
export class VirtualClock implements Clock {
  #monotonic = 5_000
  #offset = Date.UTC(2026, 0, 1) - 5_000
  #timers: Timer[] = []

  now(): Millis {
    return this.#monotonic + this.#offset
  }

  monotonic(): Millis {
    return this.#monotonic
  }

  after(delay: Millis, run: () => void): () => void {
    const timer = { at: this.#monotonic + delay, run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  /** Moves both clocks on and runs what falls due, in order. */
  advance(by: Millis): void {
    const end = this.#monotonic + by
    for (;;) {
      const due = this.#timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#timers = this.#timers.filter((timer) => timer !== due)
      this.#monotonic = Math.max(this.#monotonic, due.at)
      due.run()
    }
    this.#monotonic = end
  }

  /** The wall clock is corrected; monotonic time stays. */
  step(by: Millis): void {
    this.#offset += by
  }
}

/** mulberry32: small, seeded, good enough for tests. */
export function seeded(seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
  return {
    next,
    bytes: (count) => Uint8Array.from({ length: count }, () => Math.floor(next() * 256)),
  }
}

/** A body that a test feeds piece by piece. */
export class FedStream implements ByteStream {
  readonly length: number | null
  sink: ByteSink | undefined
  cancelled: Error | undefined
  isCancelled = false
  resumed = 0
  /** Run once somebody reads. */
  onPipe: (() => void) | undefined

  constructor(length: number | null = null) {
    this.length = length
  }

  pipe(sink: ByteSink): void {
    this.sink = sink
    this.onPipe?.()
  }

  resume(): void {
    this.resumed++
  }

  cancel(reason?: Error): void {
    this.isCancelled = true
    this.cancelled = reason
  }

  write(text: string): boolean {
    return this.sink?.write(bytes(text)) ?? true
  }
}

/** Takes a body and remembers it; can be made to stop taking. */
export class Drain implements ByteSink {
  text = ''
  size = 0
  ended = false
  failed: Error | undefined
  accepts = true

  write(chunk: Uint8Array): boolean {
    this.text += new TextDecoder().decode(chunk)
    this.size += chunk.byteLength
    return this.accepts
  }

  end(): void {
    this.ended = true
  }

  fail(error: Error): void {
    this.failed = error
  }
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

export type Fields = Readonly<Record<string, string | readonly string[]>>

export function flat(fields: Fields): string[] {
  const list: string[] = []
  for (const [name, value] of Object.entries(fields)) {
    for (const line of typeof value === 'string' ? [value] : value) list.push(name, line)
  }
  return list
}

export function reply(
  status: number,
  fields: Fields,
  body: string | ByteStream | null = '',
): Reply {
  return {
    status,
    headers: flat(fields),
    body: typeof body === 'string' ? bytes(body) : body,
  }
}

export interface Answer {
  readonly status: number
  readonly headers: HeaderList
  readonly reply: Reply
  /** Outcome for the record. */
  readonly outcome: string
  readonly reason: string
  /** The body when it is in memory. */
  readonly text: string
}

export interface WorldOptions {
  readonly profile?: 'safe' | 'rfc9111'
  readonly route?: v.InferInput<typeof RouteCacheSection>
  readonly cache?: Partial<ResponseCacheOptions>
  readonly seed?: number
}

export interface AskOptions {
  readonly method?: string
  readonly headers?: Fields
  readonly authority?: string
  readonly country?: string
  readonly principal?: string
  readonly body?: CacheRequest['body']
  readonly policy?: CachePolicy
}

export class World {
  readonly clock = new VirtualClock()
  readonly random: Random
  readonly cache: ResponseCache
  readonly policy: CachePolicy
  /** What the origin got, in order. */
  readonly asked: ForwardOptions[] = []
  /** How the origin answers; replaced by tests. */
  origin: (options: ForwardOptions) => Reply | Promise<Reply> = () => reply(200, {}, 'origin')

  constructor(options: WorldOptions = {}) {
    this.random = seeded(options.seed ?? 1)
    const shared = v.parse(CacheSection, { profile: options.profile ?? 'safe' })
    this.policy = compileCachePolicy(v.parse(RouteCacheSection, options.route ?? {}), shared)
    this.cache = new ResponseCache({
      clock: this.clock,
      random: this.random,
      name: 'test',
      statusHeader: true,
      memoryBytes: 4 * 1024 ** 2,
      admission: 'tinylfu',
      maxMemoryObject: 1024 ** 2,
      fillMemory: 8 * 1024 ** 2,
      ...options.cache,
    })
  }

  /** HTTP-date of now plus seconds. */
  date(seconds = 0): string {
    return new Date(this.clock.now() + seconds * 1000).toUTCString()
  }

  request(target: string, options: AskOptions = {}): CacheRequest {
    const mark = target.indexOf('?')
    return {
      method: options.method ?? 'GET',
      scheme: 'https',
      authority: options.authority ?? 'example.com',
      target: {
        raw: target,
        path: mark < 0 ? target : target.slice(0, mark),
        query: mark < 0 ? '' : target.slice(mark + 1),
        pathAndQuery: target,
      },
      headers: new HeaderList(flat(options.headers ?? {})),
      geo: { ...UNKNOWN_GEO, country: options.country ?? null },
      principal: options.principal === undefined ? undefined : { kind: options.principal },
      body: options.body ?? null,
      cacheStatus: undefined,
      served: undefined,
      aborted: false,
      onAbort: undefined,
    }
  }

  readonly forward: Forward = (options) => {
    this.asked.push(options)
    return this.origin(options)
  }

  send(request: CacheRequest, policy: CachePolicy = this.policy): Reply | Promise<Reply> {
    return this.cache.respond(request, policy, this.forward)
  }

  async ask(target: string, options: AskOptions = {}): Promise<Answer> {
    const request = this.request(target, options)
    const answer = await this.send(request, options.policy)
    return answerOf(answer, request)
  }

  /** Header fields of the last request that the origin got. */
  lastAsked(): HeaderList {
    return new HeaderList(this.asked.at(-1)?.headers ?? [])
  }
}

export function answerOf(answer: Reply, request: CacheRequest): Answer {
  const { body } = answer
  return {
    status: answer.status,
    headers: new HeaderList(answer.headers),
    reply: answer,
    outcome: request.cacheStatus?.outcome ?? 'none',
    reason: request.cacheStatus?.reason ?? 'none',
    text: body !== null && 'byteLength' in body ? new TextDecoder().decode(body) : '',
  }
}

/** Lets promises that are ready run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 12; i++) await Promise.resolve()
}
