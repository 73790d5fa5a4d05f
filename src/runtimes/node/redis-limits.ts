/** Limits counted in Redis by all gateways of a fleet: the store behind `limits[].shared`. */
import { createHmac, randomBytes } from 'node:crypto'
import type { SharedLimitsStatus } from '../../admin/view.ts'
import type { RedisConfig } from '../../config/sections/redis.ts'
import { FleetLimits } from '../../limits/fleet/fleet-limits.ts'
import { SOURCES } from '../../limits/fleet/policy-state.ts'
import {
  type Answer,
  type FleetStore,
  StoreUnavailable,
  type Take,
  type Verdict,
} from '../../limits/fleet/store.ts'
import type { Clock, Logger } from '../../ports.ts'
import type { GatewayMetrics } from '../../telemetry/gateway-metrics.ts'
import type { ConfigBundle } from './config-file.ts'
import { LIMIT_SCRIPT, TICKS_PER_MICROSECOND } from './limit-script.ts'
import { type RedisConnection, RedisScript, RedisUnavailable } from './redis.ts'

const script = new RedisScript(LIMIT_SCRIPT)

/** Enters this process among those that share the server, and counts them. Answers their number. */
const census = new RedisScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
`)

const CENSUS_MS = 2000
const CENSUS_RETRY_MS = 500
/** A process that was not heard of for so long is gone. */
const GONE_MS = 10_000
const TICKS_PER_MS = TICKS_PER_MICROSECOND * 1000
/** Numbers of an answer: two of the question, and five for each limit. */
const HEAD = 2
const FIELDS = 5

export class RedisLimitStore implements FleetStore {
  readonly name = 'redis'
  readonly #redis: RedisConnection
  readonly #clock: Clock
  readonly #log: Logger
  readonly #process: string
  /** One tag, so that the keys of a question are in one slot of a cluster. */
  readonly #prefix: string
  readonly #listeners: (() => void)[] = []
  #cancelCensus: (() => void) | undefined
  #gateways = 1
  #upSince = 0
  /** At least the server's time less this process's monotonic time, microseconds; undefined until it is known. */
  #ahead: number | undefined
  #hasComplained = false

  constructor(redis: RedisConnection, clock: Clock, log: Logger) {
    this.#redis = redis
    this.#clock = clock
    this.#log = log
    this.#process = `${redis.node}:${randomBytes(6).toString('hex')}`
    this.#prefix = `{${redis.keyPrefix}}:limit:`
    redis.onUp(() => this.#cameUp())
    if (redis.state === 'up') this.#cameUp()
  }

  get isUp(): boolean {
    return this.#redis.state === 'up'
  }

  get timeoutMs(): number {
    return this.#redis.commandTimeout
  }

  get gateways(): number {
    return this.#gateways
  }

  onUp(run: () => void): void {
    this.#listeners.push(run)
  }

  async ask(takes: readonly Take[]): Promise<Answer> {
    const keys = takes.map((take) => this.#prefix + take.name)
    let answer = await this.#timed(keys, takes)
    // In time and yet too late: the server's clock has stepped, which this answer tells.
    if (answer[0] === -1) answer = await this.#timed(keys, takes)
    if (answer[0] === -1) throw new StoreUnavailable(false, 'the answer would have come too late')
    return { passes: answer[0] === 1, verdicts: verdictsOf(answer) }
  }

  async #timed(keys: readonly string[], takes: readonly Take[]): Promise<readonly number[]> {
    const sentAt = this.#clock.monotonic()
    const answer = await this.#run(keys, argumentsOf(takes, this.#deadline(sentAt)))
    this.#ahead = (answer[1] as number) - sentAt * 1000
    return answer
  }

  async close(): Promise<void> {
    this.#cancelCensus?.()
    if (!this.isUp) return
    // One that leaves is not waited for; the server forgets it in any case.
    await this.#redis.command(['ZREM', this.#censusKey, this.#process]).catch(() => {})
  }

  /** When nobody waits any more, by the server's clock: a command that it finds later is void. */
  #deadline(sentAt: number): string {
    if (this.#ahead === undefined) return ''
    return String(Math.ceil((sentAt + this.timeoutMs) * 1000 + this.#ahead))
  }

  async #run(keys: readonly string[], args: readonly string[]): Promise<readonly number[]> {
    try {
      // The script answers whole numbers only.
      return (await this.#redis.script(script, keys, args)) as readonly number[]
    } catch (error) {
      if (error instanceof RedisUnavailable) {
        throw new StoreUnavailable(error.outcome !== 'refused', error.message)
      }
      const message = error instanceof Error ? error.message : String(error)
      if (!this.#hasComplained) {
        this.#hasComplained = true
        this.#log.error('redis refuses to count limits', {
          error: message,
          hint: 'the user of section "redis" needs EVALSHA, EVAL, TIME, GET, SET, DEL and the Z commands on its keys',
        })
      }
      throw new StoreUnavailable(false, message)
    }
  }

  #cameUp(): void {
    this.#upSince = this.#clock.monotonic()
    this.#hasComplained = false
    for (const run of this.#listeners) run()
    this.#cancelCensus?.()
    void this.#count()
  }

  get #censusKey(): string {
    return `{${this.#redis.keyPrefix}}:gateways`
  }

  async #count(): Promise<void> {
    let next = CENSUS_MS
    try {
      const answer = await this.#redis.script(
        census,
        [this.#censusKey],
        [this.#process, String(GONE_MS)],
      )
      const count = Number(answer)
      // After a restart of the server the others enter themselves again one by one.
      const isSettled = this.#clock.monotonic() - this.#upSince > GONE_MS
      if (count > this.#gateways || isSettled) this.#gateways = Math.max(1, count)
    } catch {
      next = CENSUS_RETRY_MS
      // The last known number stays; the connection itself says that the server is away.
    }
    if (this.isUp) this.#cancelCensus = this.#clock.after(next, () => void this.#count())
  }
}

function argumentsOf(takes: readonly Take[], deadline: string): string[] {
  // The time is the server's.
  const args = ['', deadline]
  for (const { kind, counting, cost, extra, start, end } of takes) {
    const [a = 0, b = 0, c = 0, d = 0] = counting.parameters
    const isCalendar = counting.algorithm === 'calendar'
    args.push(kind, counting.algorithm, String(cost), String(extra), String(counting.mitigationMs))
    args.push(String(a), String(b), String(isCalendar ? start : c), String(isCalendar ? end : d))
  }
  return args
}

function verdictsOf(answer: readonly number[]): Verdict[] {
  const verdicts: Verdict[] = []
  for (let at = HEAD; at + FIELDS <= answer.length; at += FIELDS) {
    const [verdict, remaining, reset, retry, granted] = answer.slice(at, at + FIELDS) as [
      number,
      number,
      number,
      number,
      number,
    ]
    verdicts.push({
      reason: verdict === 1 ? undefined : verdict === 2 ? 'mitigation' : 'limit',
      remaining,
      resetMs: reset / TICKS_PER_MS,
      retryMs: retry < 0 ? Number.POSITIVE_INFINITY : retry / TICKS_PER_MS,
      granted,
    })
  }
  return verdicts
}

/**
 * The key of the hash that names clients in Redis: the same for all gateways. From the secret of the config,
 * else from the server's password, else from the prefix alone, which others could compute.
 */
function fleetSeed(config: RedisConfig, secret: string | undefined): Uint8Array {
  const text = `limit keys of ${config.keyPrefix}`
  return createHmac('sha256', secret ?? '')
    .update(text)
    .digest()
    .subarray(0, 16)
}

/** The limits of a fleet, over the connection that there is. */
export class RedisLimits {
  readonly limits: FleetLimits
  readonly #store: RedisLimitStore

  constructor(
    { config, secrets }: ConfigBundle,
    redis: RedisConnection,
    clock: Clock,
    log: Logger,
  ) {
    const section = config.redis as RedisConfig
    const ref = section.keySecret ?? section.password
    const isUsed = config.limits.some(({ shared }) => shared !== undefined)
    if (ref === undefined && isUsed) {
      log.warn('the hash that names clients in redis has no secret', {
        hint: 'set redis.keySecret to the same secret on all gateways',
      })
    }
    this.#store = new RedisLimitStore(redis, clock, log)
    this.limits = new FleetLimits({
      store: this.#store,
      clock,
      seed: fleetSeed(section, ref === undefined ? undefined : secrets.get(ref)),
    })
  }

  status(): SharedLimitsStatus {
    const { isUp, gateways } = this.#store
    return {
      store: this.#store.name,
      decides: isUp ? 'fleet' : 'gateway',
      gateways,
      limits: [...this.limits.states.values()].map(({ id, fleet, keys, decisions }) => ({
        id,
        mode: fleet.mode,
        onFailure: fleet.onFailure,
        keys: keys.size,
        decisions: { ...decisions },
      })),
    }
  }

  observe(metrics: GatewayMetrics): void {
    metrics.limitGateways.set([], this.#store.gateways)
    for (const state of this.limits.states.values()) {
      for (const source of SOURCES) {
        metrics.limitShared.setTotal([state.id, source], state.decisions[source])
      }
      metrics.limitLeased.setTotal([state.id], state.leased)
      metrics.limitReturned.setTotal([state.id], state.wasted)
      metrics.limitUntold.setTotal([state.id], state.lost)
    }
  }

  /** Gives back what is leased. */
  async close(): Promise<void> {
    await this.limits.close()
    await this.#store.close()
  }
}
