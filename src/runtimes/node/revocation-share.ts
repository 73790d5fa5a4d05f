/**
 * Revocations of a fleet: kept in one hash of Redis, told on a channel, and read whole at each connection and now
 * and then, since what is said while a connection is away is lost. Each record has the server's time, and the
 * later one wins, so it does not matter by which way or how often a gateway hears of it. A server that lost its
 * memory is told again by those who know.
 *
 * Until the list was read once nobody knows who is revoked, and tokens are refused. Afterwards the last list
 * stays while the server is away.
 */
import * as v from 'valibot'
import type { Revocation, RevocationList } from '../../iam/revocation.ts'
import type { Clock, Logger, Random } from '../../ports.ts'
import type { Snapshot } from '../../snapshot.ts'
import { type RedisConnection, RedisScript } from './redis.ts'

const CHANNEL = 'revocations'
const PAGE = '500'
/** A record that could not be told is tried again after this, and a list that could not be read too. */
const RETRY_MS = 500
const DAY_SECONDS = 86_400

/** Writes one record with the server's time, and tells everybody. */
const WRITE = new RedisScript(`
local time = redis.call('TIME')
local record = string.format('%.0f', time[1] * 1000000 + time[2]) .. ' ' .. ARGV[2]
redis.call('HSET', KEYS[1], ARGV[1], record)
redis.call('PUBLISH', ARGV[3], ARGV[1] .. '\\n' .. record)
return record
`)

/** A revocation, or that it was taken back. */
interface RevocationRecord {
  /** The server's time, microseconds since the epoch. */
  readonly at: number
  readonly text: string
  readonly revocation: Revocation
  readonly isWithdrawn: boolean
  /** When it may be forgotten, seconds since the epoch. */
  readonly expiresAt: number
}

const Stored = v.strictObject({
  kind: v.picklist(['jti', 'sub', 'sid', 'client', 'token', 'issuer']),
  value: v.string(),
  issuer: v.optional(v.string()),
  before: v.optional(v.number()),
  expiresAt: v.number(),
  withdrawn: v.optional(v.literal(true)),
})

export interface RevocationShareOptions {
  readonly redis: RedisConnection
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

export class RevocationShare {
  readonly #options: RevocationShareOptions
  /** By field of the hash. */
  readonly #records = new Map<string, RevocationRecord>()
  /** Records that the server has not taken yet. */
  readonly #untold = new Map<string, string>()
  #list: RevocationList | undefined
  #cancel: (() => void) | undefined
  #readAt: number | undefined
  #resyncMs = 30_000
  #isStarted = false
  #isStopped = false

  constructor(options: RevocationShareOptions) {
    this.#options = options
  }

  /**
   * Follows the config in use. The first time that one shares revocations, the list is read.
   * @returns when that is done, or has failed
   */
  async use({ config, identity }: Pick<Snapshot, 'config' | 'identity'>): Promise<void> {
    const section = config.iam?.revocations
    this.#follow(section?.shared === true ? identity?.revocations : undefined, section?.resync)
    if (this.#list === undefined || this.#isStarted) return
    this.#isStarted = true
    await this.#start()
    if (this.isKnown) return
    this.#options.log.warn('what the fleet has revoked is not known yet, tokens are refused', {
      hint: 'the server of section "redis" must be reached once',
    })
  }

  /**
   * The list of the config in use; one that is new knows nothing until it was filled. Undefined: nothing is
   * shared any more.
   */
  #follow(list: RevocationList | undefined, resyncMs = 30_000): void {
    this.#resyncMs = resyncMs
    if (list === this.#list) return
    if (this.#list !== undefined) this.#list.isKnown = true
    this.#list = list
    if (list === undefined) return
    list.isKnown = this.#readAt !== undefined
    for (const { revocation, isWithdrawn } of this.#records.values()) {
      if (!isWithdrawn) list.add(revocation)
    }
  }

  async #start(): Promise<void> {
    const { redis } = this.#options
    let isFirst: Promise<void> | undefined
    redis.subscribe(
      CHANNEL,
      (text) => this.#heard(text),
      () => {
        isFirst = this.#resync()
      },
    )
    isFirst ??= this.#resync()
    await isFirst
  }

  stop(): void {
    this.#isStopped = true
    this.#cancel?.()
  }

  /** Since the list was read last, milliseconds; undefined before. */
  get age(): number | undefined {
    return this.#readAt === undefined ? undefined : this.#options.clock.monotonic() - this.#readAt
  }

  get isFollowing(): boolean {
    return this.#list !== undefined
  }

  get isKnown(): boolean {
    return this.#readAt !== undefined
  }

  /** @returns whether the other gateways have been told */
  revoke(revocation: Revocation): Promise<boolean> {
    const { kind, value, issuer, before, expiresAt } = revocation
    const text = JSON.stringify({ kind, value, issuer, before, expiresAt })
    return this.#order(fieldOf(revocation), text)
  }

  /** @returns whether the other gateways have been told */
  withdraw(revocation: Revocation): Promise<boolean> {
    // At least so long that all have heard of it.
    const soonest = Math.ceil(this.#options.clock.now() / 1000) + DAY_SECONDS
    const expiresAt = Math.max(soonest, revocation.expiresAt)
    const { kind, value, issuer, before } = revocation
    const text = JSON.stringify({ kind, value, issuer, before, expiresAt, withdrawn: true })
    return this.#order(fieldOf(revocation), text)
  }

  async #order(field: string, text: string): Promise<boolean> {
    this.#untold.set(field, text)
    // Here at once, by this gateway's own time until the server has given its.
    this.#take(field, `${this.#options.clock.now() * 1000} ${text}`)
    return this.#tell(field, text)
  }

  async #tell(field: string, text: string): Promise<boolean> {
    const { redis } = this.#options
    try {
      const channel = `${redis.keyPrefix}:${CHANNEL}`
      const record = await redis.script(WRITE, [this.#key], [field, text, channel])
      if (this.#untold.get(field) === text) this.#untold.delete(field)
      // In place of the one with this gateway's own time.
      this.#records.delete(field)
      this.#take(field, String(record))
      return true
    } catch {
      this.#soon(RETRY_MS)
      return false
    }
  }

  get #key(): string {
    return `{${this.#options.redis.keyPrefix}}:revocations`
  }

  #heard(message: string): void {
    const end = message.indexOf('\n')
    if (end > 0) this.#take(message.slice(0, end), message.slice(end + 1))
  }

  /** Takes a record over, unless a later one is known. */
  #take(field: string, stored: string): void {
    const record = parse(stored)
    if (record === undefined) {
      this.#options.log.warn('a revocation in redis cannot be read', { field: field.slice(0, 80) })
      return
    }
    const known = this.#records.get(field)
    if (known !== undefined && known.at >= record.at) return
    this.#records.set(field, record)
    const list = this.#list
    if (list === undefined) return
    if (record.isWithdrawn) list.withdraw(record.revocation)
    else list.add(record.revocation)
  }

  #soon(delay: number): void {
    this.#cancel?.()
    if (this.#isStopped) return
    this.#cancel = this.#options.clock.after(delay, () => void this.#resync())
  }

  async #resync(): Promise<void> {
    const { clock, random } = this.#options
    this.#cancel?.()
    try {
      const there = await this.#readAll()
      this.#readAt = clock.monotonic()
      if (this.#list !== undefined) this.#list.isKnown = true
      await this.#forget(there)
      for (const [field, text] of [...this.#untold]) await this.#tell(field, text)
      await this.#refill(there)
      this.#soon(this.#resyncMs * (0.9 + 0.2 * random.next()))
    } catch {
      // The connection says that the server is away; the last list stays.
      this.#soon(RETRY_MS)
    }
  }

  /** @returns the fields that are there */
  async #readAll(): Promise<Set<string>> {
    const there = new Set<string>()
    let cursor = '0'
    do {
      const page = (await this.#options.redis.command([
        'HSCAN',
        this.#key,
        cursor,
        'COUNT',
        PAGE,
      ])) as [string, string[]]
      cursor = String(page[0])
      for (let i = 0; i + 1 < page[1].length; i += 2) {
        const field = page[1][i] as string
        there.add(field)
        this.#take(field, page[1][i + 1] as string)
      }
    } while (cursor !== '0')
    return there
  }

  /** Tokens that all have expired need no record. */
  async #forget(there: Set<string>): Promise<void> {
    const { clock, redis } = this.#options
    const now = clock.now() / 1000
    const over: string[] = []
    for (const [field, record] of this.#records) {
      if (record.expiresAt > now) continue
      this.#records.delete(field)
      if (there.delete(field)) over.push(field)
    }
    this.#list?.expire(now)
    if (over.length > 0) await redis.command(['HDEL', this.#key, ...over])
  }

  /** What the server has lost. */
  async #refill(there: ReadonlySet<string>): Promise<void> {
    for (const [field, { at, text }] of this.#records) {
      if (there.has(field) || this.#untold.has(field)) continue
      await this.#options.redis.command(['HSETNX', this.#key, field, `${at} ${text}`])
    }
  }
}

function fieldOf({ kind, value, issuer, before }: Revocation): string {
  return JSON.stringify([kind, value, issuer ?? '', before ?? ''])
}

function parse(stored: string): RevocationRecord | undefined {
  const space = stored.indexOf(' ')
  const at = Number(stored.slice(0, space))
  const text = stored.slice(space + 1)
  try {
    const parsed = v.safeParse(Stored, JSON.parse(text))
    if (!parsed.success || !Number.isFinite(at)) return undefined
    const { withdrawn, issuer, before, ...rest } = parsed.output
    const revocation: Revocation = {
      ...rest,
      ...(issuer === undefined ? {} : { issuer }),
      ...(before === undefined ? {} : { before }),
    }
    return { at, text, revocation, isWithdrawn: withdrawn === true, expiresAt: rest.expiresAt }
  } catch {
    return undefined
  }
}
