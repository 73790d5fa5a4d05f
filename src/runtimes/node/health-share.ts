/**
 * Verdicts on origins, told to the other gateways of a fleet through Redis: each change at once, everything once
 * an interval and to whoever has just come. Nothing waits for it: while Redis is away the reports of others grow
 * old, and every gateway is on its own.
 */
import type { HealthBoard } from '../../health/board.ts'
import { FleetHealth, type OwnReport } from '../../health/fleet.ts'
import type { Clock, Random } from '../../ports.ts'
import type { GatewayMetrics } from '../../telemetry/gateway-metrics.ts'
import type { RedisConnection } from './redis.ts'

const CHANNEL = 'health'
/** A report counts for so many intervals. */
const FRESH_INTERVALS = 3
/** The longest message that is read. */
const MOST_CHARACTERS = 4 * 1024 * 1024
const UP = 'up'
const DOWN = 'down'

/** Verdicts by origin. */
interface Message {
  readonly node: string
  readonly epoch: number
  readonly verdicts: Readonly<Record<string, 'up' | 'down'>>
}

export interface HealthShareOptions {
  readonly redis: RedisConnection
  readonly intervalMs: number
  /** Of several processes of one machine one speaks for all; the others only listen. */
  readonly speaks: boolean
  readonly board: () => HealthBoard
  readonly clock: Clock
  readonly random: Random
  readonly metrics: GatewayMetrics
}

export class HealthShare {
  readonly #options: HealthShareOptions
  readonly #fleet: FleetHealth
  readonly #changed = new Set<string>()
  #cancel: (() => void) | undefined
  #isPending = false
  #isStopped = false

  constructor(options: HealthShareOptions) {
    const { redis, intervalMs, clock } = options
    this.#options = options
    this.#fleet = new FleetHealth(redis.node, FRESH_INTERVALS * intervalMs, clock.now())
  }

  start(): void {
    const { redis } = this.#options
    redis.subscribe(
      CHANNEL,
      (text) => this.#heard(text),
      () => void this.#readAll(),
    )
    this.#tick()
  }

  stop(): void {
    this.#isStopped = true
    this.#cancel?.()
  }

  /** An origin's state has changed here. */
  changed(origin: string): void {
    this.#changed.add(origin)
    if (this.#isPending || this.#isStopped) return
    this.#isPending = true
    // What one event brings about is told at once, together.
    queueMicrotask(() => {
      this.#isPending = false
      const origins = [...this.#changed]
      this.#changed.clear()
      this.#say(origins)
      this.#review()
    })
  }

  /** For the metrics. */
  get gateways(): number {
    return this.#fleet.gateways(this.#options.clock.monotonic())
  }

  #tick(): void {
    const { clock, random, intervalMs } = this.#options
    const origins = this.#board.states().map(({ id }) => id)
    this.#fleet.keepOnly(origins)
    this.#say(origins)
    this.#review()
    this.#cancel = clock.after(intervalMs * (0.9 + 0.2 * random.next()), () => this.#tick())
  }

  get #board(): HealthBoard {
    return this.#options.board()
  }

  #review(): void {
    this.#fleet.review(this.#board, this.#options.clock.monotonic())
  }

  #say(origins: readonly string[]): void {
    const { speaks, clock } = this.#options
    if (!speaks || this.#isStopped) return
    const own = this.#fleet.reports(this.#board, origins, clock.monotonic())
    if (own.length > 0) void this.#send(own)
  }

  /** The channel for those who listen, a hash that expires for those who come later. */
  async #send(reports: readonly OwnReport[]): Promise<void> {
    const { redis, intervalMs, metrics } = this.#options
    const [first] = reports
    if (first === undefined) return
    const { node, epoch } = first
    const verdicts = Object.fromEntries(
      reports.map(({ origin, isUp }) => [origin, isUp ? UP : DOWN] as const),
    )
    const key = this.#hashOf(node)
    const life = String(FRESH_INTERVALS * intervalMs)
    const sent = await Promise.allSettled([
      redis.publish(CHANNEL, JSON.stringify({ node, epoch, verdicts } satisfies Message)),
      redis.command(['HSET', key, 'epoch', String(epoch), ...Object.entries(verdicts).flat()]),
      redis.command(['PEXPIRE', key, life]),
      redis.command(['SADD', this.#nodesKey, node]),
    ])
    const isSent = sent.every(({ status }) => status === 'fulfilled')
    metrics.fleetReports.add([isSent ? 'sent' : 'failed'], reports.length)
  }

  #heard(text: string): void {
    const message = text.length > MOST_CHARACTERS ? undefined : parseMessage(text)
    if (message !== undefined) this.#take(message, this.#options.clock.monotonic())
  }

  /** @param at when it was said, monotonic */
  #take({ node, epoch, verdicts }: Message, at: number): void {
    const { redis, metrics } = this.#options
    if (node === redis.node) return
    for (const [origin, verdict] of Object.entries(verdicts)) {
      this.#fleet.accept({ node, origin, isUp: verdict === UP, epoch }, this.#board, at)
      metrics.fleetReports.add(['received'])
    }
    this.#review()
  }

  /** What was said before this gateway listened. */
  async #readAll(): Promise<void> {
    const { redis, intervalMs, clock } = this.#options
    try {
      const nodes = (await redis.command(['SMEMBERS', this.#nodesKey])) as string[]
      for (const node of nodes) {
        const key = this.#hashOf(node)
        const left = (await redis.command(['PTTL', key])) as number
        if (left < 0) {
          await redis.command(['SREM', this.#nodesKey, node])
          continue
        }
        const message = messageOf(node, await redis.command(['HGETALL', key]))
        const age = Math.max(0, FRESH_INTERVALS * intervalMs - left)
        if (message !== undefined) this.#take(message, clock.monotonic() - age)
      }
    } catch {
      // Redis is away again; the next connection reads anew, and each interval brings everything.
    }
    if (this.#isStopped) return
    this.#say(this.#board.states().map(({ id }) => id))
  }

  get #nodesKey(): string {
    return `${this.#options.redis.keyPrefix}:health:nodes`
  }

  #hashOf(node: string): string {
    return `${this.#options.redis.keyPrefix}:health:node:${node}`
  }
}

/** Undefined for what no gateway of this kind has said. */
function parseMessage(text: string): Message | undefined {
  try {
    const value = JSON.parse(text) as Partial<Message> | null
    const { node, epoch, verdicts } = value ?? {}
    if (typeof node !== 'string' || typeof epoch !== 'number' || !Number.isFinite(epoch))
      return undefined
    if (typeof verdicts !== 'object' || verdicts === null) return undefined
    return { node, epoch, verdicts: lawful(Object.entries(verdicts)) }
  } catch {
    return undefined
  }
}

/** A hash as the client library gives it, which differs by protocol. */
function messageOf(node: string, hash: unknown): Message | undefined {
  const pairs: [string, unknown][] = []
  if (hash instanceof Map) for (const [key, value] of hash) pairs.push([String(key), value])
  else if (Array.isArray(hash))
    for (let i = 0; i + 1 < hash.length; i += 2) pairs.push([String(hash[i]), hash[i + 1]])
  else if (typeof hash === 'object' && hash !== null) pairs.push(...Object.entries(hash))
  const epoch = Number(pairs.find(([key]) => key === 'epoch')?.[1])
  return Number.isFinite(epoch) ? { node, epoch, verdicts: lawful(pairs) } : undefined
}

function lawful(pairs: readonly (readonly [string, unknown])[]): Record<string, 'up' | 'down'> {
  const verdicts: Record<string, 'up' | 'down'> = Object.create(null)
  for (const [origin, verdict] of pairs) {
    if (verdict === UP || verdict === DOWN) verdicts[origin] = verdict
  }
  return verdicts
}
