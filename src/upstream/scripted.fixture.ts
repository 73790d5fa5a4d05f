/** Origins that do as they are told, on a clock that moves when it is told. */
import {
  type BodySource,
  type ByteSink,
  type ByteStream,
  HeaderList,
  type Millis,
} from '../exchange.ts'
import {
  type Clock,
  type OriginAddress,
  type Random,
  type Upstream,
  type UpstreamCall,
  UpstreamError,
  type UpstreamErrorClass,
  type UpstreamReply,
  type UpstreamRequest,
} from '../ports.ts'
import { Attempts } from './attempt.ts'
import { maglevTable } from './balance.ts'
import { Hold } from './hold.ts'
import { LatencySketch } from './latency.ts'
import { PeakEwma } from './peak-ewma.ts'
import type { HealthReporter, Place, RetryPolicy, UpstreamMeter } from './policy.ts'
import type { Balance, Origin, Panic, Pool } from './pool.ts'
import { HedgeBudget, RetryBudget } from './retry-budget.ts'

export class VirtualClock implements Clock {
  time: Millis = 1000
  readonly #timers = new Set<{ at: Millis; run: () => void }>()

  now(): Millis {
    return 1_700_000_000_000 + this.time
  }

  monotonic(): Millis {
    return this.time
  }

  after(delay: Millis, run: () => void): () => void {
    const timer = { at: this.time + Math.max(0, delay), run }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Lets `duration` pass, running what falls due in order, promises included. */
  async pass(duration: Millis): Promise<void> {
    const end = this.time + duration
    for (;;) {
      await flush()
      let next: { at: Millis; run: () => void } | undefined
      for (const timer of this.#timers) {
        if (timer.at <= end && (next === undefined || timer.at < next.at)) next = timer
      }
      if (next === undefined) break
      this.#timers.delete(next)
      this.time = Math.max(this.time, next.at)
      next.run()
    }
    this.time = end
    await flush()
  }
}

async function flush(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve()
}

export function seededRandom(seed = 1): Random {
  let state = seed
  return {
    next: () => {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      return (state >>> 0) / 2 ** 32
    },
    bytes: (count) => new Uint8Array(count),
  }
}

/** What an origin does with one request, and after how long. */
export interface Act {
  readonly after?: Millis
  readonly status?: number
  readonly headers?: string[]
  readonly body?: string
  readonly fails?: UpstreamErrorClass
}

export interface Sent {
  readonly origin: string
  readonly at: Millis
  readonly fresh: boolean
  readonly method: string
  readonly fields: Readonly<Record<string, string>>
  readonly timeouts: {
    readonly connect: Millis
    readonly firstByte: Millis
    readonly total: Millis
  }
  cancelled: boolean
}

/** Acts come from a list for each origin; the last one goes on for ever. */
export class ScriptedUpstream implements Upstream {
  readonly sent: Sent[] = []
  readonly #clock: Clock
  readonly #acts: Record<string, Act | Act[]>

  constructor(clock: Clock, acts: Record<string, Act | Act[]>) {
    this.#clock = clock
    this.#acts = acts
  }

  /** Changes what an origin does from now on. */
  script(origin: string, acts: Act | Act[]): void {
    this.#acts[origin] = acts
  }

  send({ id }: OriginAddress, request: UpstreamRequest): UpstreamCall {
    const fields: Record<string, string> = {}
    for (let i = 0; i < request.headers.length; i += 2) {
      fields[request.headers[i]!] = request.headers[i + 1]!
    }
    const sent: Sent = {
      origin: id,
      at: this.#clock.monotonic(),
      fresh: request.fresh === true,
      method: request.method,
      fields,
      timeouts: {
        connect: request.connectTimeoutMs,
        firstByte: request.firstByteTimeoutMs,
        total: request.totalTimeoutMs ?? Number.NaN,
      },
      cancelled: false,
    }
    this.sent.push(sent)
    const acts = this.#acts[id] ?? {}
    const act = Array.isArray(acts) ? (acts.length > 1 ? acts.shift()! : (acts[0] ?? {})) : acts
    let cancel = () => {}
    const reply = new Promise<UpstreamReply>((resolve, reject) => {
      const wait = act.after ?? 1
      const isLate = wait > request.firstByteTimeoutMs
      const stop = this.#clock.after(Math.min(wait, request.firstByteTimeoutMs), () => {
        if (isLate) reject(new UpstreamError('timeout', 'late'))
        else if (act.fails !== undefined) reject(new UpstreamError(act.fails, act.fails))
        else {
          const body = act.body === undefined ? null : new TextEncoder().encode(act.body)
          resolve({ status: act.status ?? 200, headers: act.headers ?? [], body })
        }
      })
      cancel = () => {
        stop()
        sent.cancelled = true
        reject(new UpstreamError('cancelled', 'cancelled'))
      }
    })
    return { reply, cancel: () => cancel() }
  }
}

/** Up unless said otherwise, and a record of what was reported. */
export class FakeHealth implements HealthReporter {
  readonly reports: string[] = []
  readonly down = new Set<number>()
  readonly trial = new Set<number>()
  readonly unknown = new Set<number>()
  /** Origin number to the share of its weight. */
  readonly starting = new Map<number, number>()
  share = 1

  isUp(origin: number): boolean {
    return !this.down.has(origin)
  }

  standing(origin: number): 0 | 1 | 2 | 3 {
    if (this.down.has(origin)) return 0
    if (this.trial.has(origin)) return 1
    return this.unknown.has(origin) ? 2 : 3
  }

  slowStart(origin: number): number {
    return this.starting.get(origin) ?? 1
  }

  usableShare(): number {
    return this.share
  }

  began(): void {}

  report(origin: number, outcome: string): void {
    this.reports.push(`${origin}:${outcome}`)
  }
}

export function poolOf(
  id: string,
  weights: readonly number[],
  options: { balance?: Balance; panic?: Panic; budget?: number; from?: number } = {},
): Pool {
  const origins = weights.map(
    (weight, i): Origin => ({
      id: `${id}${i + 1}`,
      health: (options.from ?? 0) + i,
      address: { id: `${id}${i + 1}` } as OriginAddress,
      weight,
      host: undefined,
      load: { inFlight: 0, restUntil: 0 },
      latency: new PeakEwma(),
    }),
  )
  return {
    id,
    origins,
    balance: options.balance ?? 'round-robin',
    connectTimeoutMs: 500,
    firstByteTimeoutMs: 2000,
    idleTimeoutMs: 1000,
    slowStartMs: 30_000,
    panic: options.panic,
    budget: new RetryBudget(options.budget ?? 20),
    hedges: new HedgeBudget(),
    latency: new LatencySketch(),
    shares: new Float64Array(weights.length),
    table: options.balance === 'maglev' ? maglevTable(origins) : undefined,
    turn: 0,
  }
}

export const RETRY: RetryPolicy = {
  tries: 3,
  regions: 2,
  deadlineMs: 10_000,
  perTryMs: Number.POSITIVE_INFINITY,
  statuses: new Set([502, 503, 504]),
  methods: new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']),
  idempotencyKey: false,
  adaptive: false,
  announceDeadline: false,
  bodyLimit: 65_536,
  holdMs: 0,
  hedge: undefined,
}

/** A request body in one of its states. */
export function bodyOf(state: 'replayable' | 'spent'): BodySource {
  const bytes = new TextEncoder().encode('body')
  return {
    length: bytes.length,
    prefix: () => ({ bytes, truncated: false }),
    open: () => bytes,
    isReplayable: state === 'replayable',
    discard: () => {},
  }
}

/** A body that arrives in pieces when the test says so. */
export class PushStream implements ByteStream {
  readonly length: number | null
  cancelled = false
  #sink: ByteSink | undefined

  constructor(length: number | null = null) {
    this.length = length
  }

  pipe(sink: ByteSink): void {
    this.#sink = sink
  }

  push(text: string): void {
    this.#sink?.write(new TextEncoder().encode(text))
  }

  end(): void {
    this.#sink?.end()
  }

  fail(error: Error): void {
    this.#sink?.fail(error)
  }

  resume(): void {}

  cancel(): void {
    this.cancelled = true
  }
}

export interface WorldInit {
  readonly acts: Record<string, Act | Act[]>
  /** Regions in order; each has one pool of its own name, with so many origins. */
  readonly places?: Readonly<Record<string, number>>
  readonly policy?: Partial<RetryPolicy>
  readonly seed?: number
  readonly panic?: Panic
  readonly budget?: number
  readonly mostWaiters?: number
}

/** A pool for each region, the upstream, the clock, and what was counted. */
export function attemptWorld(init: WorldInit) {
  const clock = new VirtualClock()
  const random = seededRandom(init.seed)
  const upstream = new ScriptedUpstream(clock, init.acts)
  const health = new FakeHealth()
  const hold = new Hold(clock, random, init.mostWaiters)
  const counted: string[] = []
  const meter: UpstreamMeter = {
    budgetEmpty: (pool) => counted.push(`empty:${pool}`),
    held: (outcome) => counted.push(`held:${outcome}`),
    hedged: (outcome) => counted.push(`hedge:${outcome}`),
  }
  let from = 0
  const places: Place[] = Object.entries(init.places ?? { a: 1, b: 1 }).map(([region, count]) => {
    const pool = poolOf(
      region,
      Array.from({ length: count }, () => 100),
      {
        from,
        ...(init.panic === undefined ? {} : { panic: init.panic }),
        ...(init.budget === undefined ? {} : { budget: init.budget }),
      },
    )
    from += count
    return { region, pool }
  })
  const request = (
    method = 'GET',
    headers: string[] = [],
    body: BodySource | null = null,
    policy: Partial<RetryPolicy> = {},
    timeLeftMs?: number,
  ) => {
    const attempts = new Attempts(
      places,
      {
        method,
        path: '/',
        received: new HeaderList(headers),
        fields: () => [...headers],
        body,
        clientKey: 'client',
        timeLeftMs,
      },
      { ...RETRY, ...init.policy, ...policy },
      {},
      { upstream, clock, random, health, hold, meter },
    )
    return { attempts, done: settled(attempts.run()) }
  }
  return { clock, upstream, health, hold, counted, places, request }
}

export type Outcome = { status: number } | { problem: string }

async function settled(reply: Promise<UpstreamReply>): Promise<Outcome> {
  try {
    return { status: (await reply).status }
  } catch (error) {
    return { problem: (error as { code?: string }).code ?? String(error) }
  }
}
