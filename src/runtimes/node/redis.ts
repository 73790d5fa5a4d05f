/**
 * The connection to the Redis server that a fleet shares. Everything built on it must be able to go on
 * without it: a command is answered within `redis.commandTimeout` or refused, nothing waits for a
 * connection, and a server that hangs is left alone until it answers a probe.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { RedisClientOptions, RedisClientType } from '@redis/client'
import { ConfigError } from '../../config/errors.ts'
import { parseRedisUrl, type RedisConfig } from '../../config/sections/redis.ts'
import type { Logger } from '../../ports.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import type { ConfigBundle } from './config-file.ts'
import { RedisLink, type RedisState } from './redis-link.ts'

export type { RedisState } from './redis-link.ts'

type RedisArgument = string | Buffer

/** How a command ended. A refused one was not sent; `error` is the server's own answer. */
export type RedisOutcome = 'ok' | 'error' | 'timeout' | 'lost' | 'refused'

/**
 * The server was not asked, or did not answer in time: after `timeout` and `lost` the command may or may
 * not have been carried out.
 */
export class RedisUnavailable extends Error {
  override readonly name = 'RedisUnavailable'
  readonly outcome: 'timeout' | 'lost' | 'refused'

  constructor(outcome: 'timeout' | 'lost' | 'refused', message: string) {
    super(message)
    this.outcome = outcome
  }
}

/** A Lua script, sent whole once and then by its digest. */
export class RedisScript {
  readonly text: string
  readonly digest: string

  constructor(text: string) {
    this.text = text
    this.digest = createHash('sha1').update(text).digest('hex')
  }
}

export interface RedisObserver {
  /** After each command; `seconds` is 0 for one that was not sent. */
  ended(outcome: RedisOutcome, seconds: number): void
  stateChanged(state: RedisState, reason: string): void
}

export interface RedisStatus {
  readonly url: string
  readonly node: string
  readonly state: RedisState
  readonly reason: string
  /** Milliseconds since the epoch. */
  readonly since: number
}

/** Pause between two probes of a server that is left alone, milliseconds. */
const PROBE_MS = 500
/** Probes without an answer after which the connection is given up for a new one. */
const PROBES = 6
const SHORTEST_RETRY_MS = 50
const LONGEST_RETRY_MS = 2000

type Client = RedisClientType<
  Record<string, never>,
  Record<string, never>,
  Record<string, never>,
  3,
  Record<string, never>
>
type Library = typeof import('@redis/client')

interface Subscription {
  readonly channel: string
  readonly onMessage: (message: string) => void
  readonly onConnected: () => void
}

export class RedisConnection {
  /** Name of this gateway in the fleet. */
  readonly node: string
  /** First part of every key and channel. */
  readonly keyPrefix: string
  readonly #config: RedisConfig
  readonly #options: RedisClientOptions
  readonly #library: Library
  readonly #observer: RedisObserver
  readonly #link: RedisLink
  readonly #subscriptions: Subscription[] = []
  readonly #listeners: (() => void)[] = []
  #client: Client
  #since = Date.now()
  #probe: NodeJS.Timeout | undefined
  #unanswered = 0
  #isClosed = false

  private constructor(
    config: RedisConfig,
    options: RedisClientOptions,
    library: Library,
    observer: RedisObserver,
  ) {
    this.#config = config
    this.#options = options
    this.#library = library
    this.#observer = observer
    this.node = config.node ?? randomBytes(6).toString('hex')
    this.keyPrefix = config.keyPrefix
    this.#link = new RedisLink((state, reason) => {
      this.#since = Date.now()
      observer.stateChanged(state, reason)
      if (state === 'up') for (const run of this.#listeners) run()
      if (this.#link.isLeftAlone) this.#probeSoon()
    })
    this.#client = this.#connect()
  }

  /**
   * Connects, and gives the server `connectTimeout` for it; one that is not there is asked again behind the traffic.
   * @throws ConfigError when the client library is not installed or a file of `redis.tls` does not read
   */
  static async open(
    config: RedisConfig,
    password: string | undefined,
    observer: RedisObserver,
  ): Promise<RedisConnection> {
    const connection = new RedisConnection(
      config,
      clientOptions(config, password),
      await loadLibrary(),
      observer,
    )
    await connection.#firstConnected()
    return connection
  }

  get state(): RedisState {
    return this.#link.state
  }

  /** Longest time that a command takes, milliseconds. */
  get commandTimeout(): number {
    return this.#config.commandTimeout
  }

  status(): RedisStatus {
    const { url } = this.#config
    return {
      url,
      node: this.node,
      state: this.state,
      reason: this.#link.reason,
      since: this.#since,
    }
  }

  /**
   * One command; text in its answer is a string.
   * @throws RedisUnavailable, or the server's own error
   */
  command(args: readonly RedisArgument[]): Promise<unknown> {
    return this.#run(() => this.#client.sendCommand(args))
  }

  /** As `command`, but text in the answer is bytes. */
  commandBytes(args: readonly RedisArgument[]): Promise<unknown> {
    const typeMapping = { [this.#library.RESP_TYPES.BLOB_STRING]: Buffer }
    return this.#run(() => this.#client.sendCommand(args, { typeMapping }))
  }

  /**
   * Runs a script. All keys must carry one hash tag where the server is a cluster.
   * @throws RedisUnavailable, or the server's own error
   */
  async script(
    script: RedisScript,
    keys: readonly RedisArgument[],
    args: readonly RedisArgument[],
  ): Promise<unknown> {
    const rest = [String(keys.length), ...keys, ...args]
    try {
      return await this.command(['EVALSHA', script.digest, ...rest])
    } catch (error) {
      if (!isMissingScript(error)) throw error
      return this.command(['EVAL', script.text, ...rest])
    }
  }

  /**
   * Listens on `<keyPrefix>:<channel>` for as long as the connection lives.
   * @param onConnected after each time that the connection is there anew: what was said meanwhile is lost
   */
  subscribe(channel: string, onMessage: (message: string) => void, onConnected: () => void): void {
    const subscription = { channel: `${this.keyPrefix}:${channel}`, onMessage, onConnected }
    this.#subscriptions.push(subscription)
    if (this.#client.isReady) void this.#listen(this.#client, subscription)
  }

  /** Calls `run` each time that the server is up again. */
  onUp(run: () => void): void {
    this.#listeners.push(run)
  }

  /** Says something to every gateway that listens on the channel, this one included. */
  publish(channel: string, message: string): Promise<unknown> {
    return this.command(['PUBLISH', `${this.keyPrefix}:${channel}`, message])
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#probe)
    this.#client.destroy()
  }

  #connect(): Client {
    const client = this.#library.createClient(this.#options) as unknown as Client
    client.on('ready', () => {
      if (client !== this.#client) return
      this.#unanswered = 0
      this.#link.connected()
      for (const subscription of this.#subscriptions) void this.#listen(client, subscription)
    })
    client.on('error', (error: Error) => {
      if (client === this.#client) this.#link.lost(reasonOf(error))
    })
    // Rejects only when the client is destroyed: the attempts go on for ever.
    client.connect().catch(() => {})
    return client
  }

  async #firstConnected(): Promise<void> {
    const deadline = Date.now() + this.#config.connectTimeout
    while (this.state === 'connecting' && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  async #listen(client: Client, { channel, onMessage, onConnected }: Subscription): Promise<void> {
    try {
      await client.subscribe(channel, onMessage)
      onConnected()
    } catch (error) {
      // The connection is gone; the next one subscribes again.
      this.#link.failed(reasonOf(error))
    }
  }

  #run(send: () => Promise<unknown>): Promise<unknown> {
    if (!this.#link.isUsable) {
      this.#observer.ended('refused', 0)
      return Promise.reject(new RedisUnavailable('refused', `Redis is away: ${this.#link.reason}`))
    }
    return this.#timed(send)
  }

  #timed(send: () => Promise<unknown>): Promise<unknown> {
    const startedAt = performance.now()
    return new Promise((resolve, reject) => {
      let isOver = false
      const over = (outcome: RedisOutcome): boolean => {
        if (isOver) return false
        isOver = true
        clearTimeout(timer)
        this.#observer.ended(outcome, (performance.now() - startedAt) / 1000)
        return true
      }
      const giveUp = () => {
        if (!over('timeout')) return
        const message = `no answer within ${this.#config.commandTimeout} ms`
        this.#link.failed(message)
        reject(new RedisUnavailable('timeout', message))
      }
      // After a turn for reading: when this process was late, the answer may be there already.
      const timer = setTimeout(() => setImmediate(giveUp), this.#config.commandTimeout)
      send().then(
        (answer) => {
          if (!over('ok')) return
          this.#link.succeeded()
          resolve(answer)
        },
        (error: unknown) => {
          const isReply = error instanceof this.#library.ErrorReply
          if (!over(isReply ? 'error' : 'lost')) return
          if (isReply && !isNotServing(error)) {
            this.#link.succeeded()
            reject(error)
            return
          }
          this.#link.failed(reasonOf(error))
          reject(new RedisUnavailable('lost', reasonOf(error)))
        },
      )
    })
  }

  #probeSoon(): void {
    clearTimeout(this.#probe)
    if (this.#isClosed) return
    this.#probe = setTimeout(() => void this.#ask(), PROBE_MS)
    this.#probe.unref()
  }

  /** Asks a server that is left alone; a connection on which nothing ever comes back is replaced. */
  async #ask(): Promise<void> {
    if (!this.#link.isLeftAlone) return
    try {
      await this.#timed(() => this.#client.sendCommand(['PING']))
      this.#unanswered = 0
    } catch {
      this.#unanswered++
      if (this.#unanswered >= PROBES && !this.#isClosed) this.#replace()
    }
    if (this.#link.isLeftAlone) this.#probeSoon()
  }

  #replace(): void {
    this.#unanswered = 0
    const old = this.#client
    this.#link.lost('the connection answers nothing')
    this.#client = this.#connect()
    old.destroy()
  }
}

/** The connection that the config asks for, its life in the metrics, the events and the log. */
export async function openRedis(
  { config, secrets }: ConfigBundle,
  telemetry: Telemetry,
  log: Logger,
): Promise<RedisConnection | undefined> {
  const { redis } = config
  if (redis === undefined) return undefined
  const password = redis.password === undefined ? undefined : secrets.get(redis.password)
  const connection = await RedisConnection.open(redis, password, {
    ended: (outcome, seconds) => {
      telemetry.metrics.redisCommands.add([outcome])
      if (outcome !== 'refused') telemetry.metrics.redisDuration.observe([], seconds)
    },
    stateChanged: (state, reason) => {
      telemetry.note('system', `redis-${state}`, { url: redis.url, reason })
      if (state === 'up') log.info('redis is up', { url: redis.url })
      else log.warn('redis is away, the gateway goes on without it', { url: redis.url, reason })
    },
  })
  if (connection.state === 'connecting') {
    log.warn('redis does not answer yet, the gateway starts without it', { url: redis.url })
  }
  return connection
}

async function loadLibrary(): Promise<Library> {
  try {
    return await import('@redis/client')
  } catch {
    throw new ConfigError([
      {
        path: 'redis',
        message: 'the Redis client is not installed',
        hint: 'npm install @redis/client@6',
      },
    ])
  }
}

function clientOptions(config: RedisConfig, password: string | undefined): RedisClientOptions {
  return {
    RESP: 3,
    socket: { ...addressOf(config), connectTimeout: config.connectTimeout, reconnectStrategy },
    disableOfflineQueue: true,
    database: config.database,
    maintNotifications: 'disabled',
    ...(config.username === undefined ? {} : { username: config.username }),
    ...(password === undefined ? {} : { password }),
  }
}

function addressOf(config: RedisConfig): NonNullable<RedisClientOptions['socket']> {
  const address = parseRedisUrl(config.url)
  if (address === undefined) throw new RangeError('the schema lets no such URL through')
  if ('socketPath' in address) return { path: address.socketPath, tls: false }
  const { host, port, isTls } = address
  if (!isTls) return { host, port }
  return {
    host,
    port,
    tls: true,
    servername: config.tls?.serverName ?? host,
    ...authorities(config),
  }
}

function authorities(config: RedisConfig): { ca?: Buffer } {
  const file = config.tls?.ca
  if (file === undefined) return {}
  try {
    return { ca: readFileSync(file) }
  } catch (error) {
    throw new ConfigError([
      { path: 'redis.tls.ca', message: `the file cannot be read: ${(error as Error).message}` },
    ])
  }
}

/** Twice as long each time, with jitter, so that a fleet does not come back all at once. */
function reconnectStrategy(retries: number): number {
  const pause = Math.min(SHORTEST_RETRY_MS * 2 ** Math.min(retries, 10), LONGEST_RETRY_MS)
  return pause / 2 + Math.random() * (pause / 2)
}

function isMissingScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT')
}

/** Answers of a server that is there, but serves nothing now. */
function isNotServing(error: Error): boolean {
  return /^(LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|READONLY|BUSY|NOAUTH|NOPERM|WRONGPASS)\b/.test(
    error.message,
  )
}

/** An aggregate of several addresses that were tried has no message of its own. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') {
    return error.errors.map(reasonOf).join('; ')
  }
  return error instanceof Error && error.message !== '' ? error.message : String(error)
}
