/**
 * Shared limits in any store of rate-limiter-flexible: SQL, Mongo, Dynamo, Redis and others, for quotas by
 * calendar or by fixed window. Its limiters count one key at a time from the key's first request on, so the
 * period is part of the key here, and what was taken before a denial is given back.
 */
import type { Millis } from '../../exchange.ts'
import type { Clock } from '../../ports.ts'
import type { Counting } from './fleet-policy.ts'
import { type Answer, type FleetStore, StoreUnavailable, type Take, type Verdict } from './store.ts'

/** What a limiter answers; a denial is one that is thrown. */
export interface FlexibleResult {
  readonly consumedPoints: number
}

/** A limiter of rate-limiter-flexible, as far as it is used. */
export interface FlexibleLimiter {
  readonly points: number
  consume(key: string, points: number, options: FlexibleOptions): Promise<FlexibleResult>
  reward(key: string, points: number, options: FlexibleOptions): Promise<FlexibleResult>
  penalty(key: string, points: number, options: FlexibleOptions): Promise<FlexibleResult>
  get(key: string): Promise<FlexibleResult | null>
}

export interface FlexibleOptions {
  /** Seconds that a key lives which this call makes. */
  readonly customDuration: number
}

export interface FlexibleStoreOptions {
  /** By the id of their limit. */
  readonly limiters: Readonly<Record<string, FlexibleLimiter>>
  readonly clock: Clock
  /** How long a request may wait for an answer. */
  readonly timeoutMs: Millis
  /** Processes that share the store, for their parts of a limit while it is away. */
  readonly gateways: number
}

/** Failures in a row after which the store is left alone, and for how long. */
const FAILURES = 5
const LEFT_ALONE_MS: Millis = 500

/** One limit's part of a question. */
interface Charge {
  readonly take: Take
  readonly limiter: FlexibleLimiter
  readonly key: string
  readonly options: FlexibleOptions
}

export class FlexibleStore implements FleetStore {
  readonly name = 'rate-limiter-flexible'
  readonly timeoutMs: Millis
  readonly gateways: number
  readonly #limiters: Readonly<Record<string, FlexibleLimiter>>
  readonly #clock: Clock
  readonly #listeners: (() => void)[] = []
  #failures = 0
  #askFrom: Millis = 0

  constructor({ limiters, clock, timeoutMs, gateways }: FlexibleStoreOptions) {
    this.#limiters = limiters
    this.#clock = clock
    this.timeoutMs = timeoutMs
    this.gateways = gateways
  }

  get isUp(): boolean {
    return this.#clock.monotonic() >= this.#askFrom
  }

  onUp(run: () => void): void {
    this.#listeners.push(run)
  }

  /** Why a limit cannot be counted here. */
  refuses(id: string, { algorithm, limit }: Counting): string | undefined {
    const limiter = Object.hasOwn(this.#limiters, id) ? this.#limiters[id] : undefined
    if (limiter === undefined) return `there is no limiter for "${id}"`
    if (algorithm !== 'fixed' && algorithm !== 'calendar') {
      return `a limiter of rate-limiter-flexible counts "fixed" and "calendar" only, not "${algorithm}"`
    }
    if (limiter.points === limit) return undefined
    return `its limiter has ${limiter.points} points, the limit is ${limit}`
  }

  ask(takes: readonly Take[]): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const cancel = this.#clock.after(this.timeoutMs, () => {
        this.#failed()
        reject(new StoreUnavailable(true, `no answer within ${this.timeoutMs} ms`))
      })
      this.#ask(takes).then(
        (answer) => {
          cancel()
          this.#succeeded()
          resolve(answer)
        },
        (error: unknown) => {
          cancel()
          this.#failed()
          const message = error instanceof Error ? error.message : String(error)
          reject(new StoreUnavailable(true, message))
        },
      )
    })
  }

  #succeeded(): void {
    if (this.#failures === 0) return
    const wasAway = this.#failures >= FAILURES
    this.#failures = 0
    this.#askFrom = 0
    if (wasAway) for (const run of this.#listeners) run()
  }

  #failed(): void {
    this.#failures++
    if (this.#failures >= FAILURES) this.#askFrom = this.#clock.monotonic() + LEFT_ALONE_MS
  }

  async #ask(takes: readonly Take[]): Promise<Answer> {
    const wall = this.#clock.now()
    const verdicts: Verdict[] = []
    const taken: Charge[] = []
    let passes = true
    for (const take of takes) {
      const { counting, kind, cost } = take
      const charge = this.#charge(take, wall)
      const resetMs = Math.max(0, charge.end - wall)
      const consumed = await this.#run(charge.charge)
      const isOver = consumed > counting.limit
      if (!isOver && (kind === 'charge' || kind === 'try')) taken.push(charge.charge)
      if (isOver && kind === 'charge') passes = false
      if (isOver && kind === 'look') passes = false
      const left = isOver && kind !== 'settle' ? consumed - cost : consumed
      verdicts.push({
        reason: isOver && kind !== 'settle' ? 'limit' : undefined,
        remaining: Math.max(0, counting.limit - left),
        resetMs,
        retryMs: !isOver ? 0 : cost > counting.limit ? Number.POSITIVE_INFINITY : resetMs,
        granted: 0,
      })
    }
    if (!passes) {
      for (const { take, limiter, key, options } of taken) {
        if (take.cost > 0) await limiter.reward(key, take.cost, options)
      }
    }
    return { passes, verdicts }
  }

  #charge(take: Take, wall: Millis): { readonly charge: Charge; readonly end: Millis } {
    const { counting, name } = take
    const id = name.slice(0, name.indexOf(':'))
    const limiter = this.#limiters[id]
    const { periods } = counting
    if (limiter === undefined || periods === undefined) {
      throw new RangeError(`no limiter counts "${id}"`)
    }
    periods.seek(wall)
    const { start, end } = periods
    const key = counting.algorithm === 'calendar' ? name : `${name}:${start}`
    const customDuration = Math.max(1, Math.ceil((end - wall) / 1000))
    return { charge: { take, limiter, key, options: { customDuration } }, end }
  }

  /** What is consumed afterwards, or would be. A charge that does not fit is undone. */
  async #run({ take, limiter, key, options }: Charge): Promise<number> {
    const { kind, cost, counting } = take
    if (kind === 'look' || cost === 0) return ((await limiter.get(key))?.consumedPoints ?? 0) + cost
    if (kind === 'settle') {
      const result =
        cost > 0
          ? await limiter.penalty(key, cost, options)
          : await limiter.reward(key, -cost, options)
      return result.consumedPoints
    }
    const consumed = await consumedBy(limiter.consume(key, cost, options))
    // Denied requests are not charged; where the quota was used up before, that makes no difference.
    if (consumed > counting.limit && consumed - cost < counting.limit) {
      await limiter.reward(key, cost, options)
    }
    return consumed
  }
}

/** A denial is thrown, as a result; an error is a store that failed. */
async function consumedBy(consuming: Promise<FlexibleResult>): Promise<number> {
  try {
    return (await consuming).consumedPoints
  } catch (error) {
    const { consumedPoints } = (error ?? {}) as Partial<FlexibleResult>
    if (error instanceof Error || typeof consumedPoints !== 'number') throw error
    return consumedPoints
  }
}
