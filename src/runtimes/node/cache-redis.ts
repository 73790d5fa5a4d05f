/**
 * The tier of small responses that a fleet shares in Redis: one hash for each key, one field for each
 * variant. Each value carries a checksum or a seal, and what its gateway knew of purges when it stored it;
 * what is damaged, or may have been purged, is a miss. A server that is away costs a lookup its time limit
 * at most, and then nothing.
 */
import { createHash } from 'node:crypto'
import {
  recordOf,
  revive,
  type StoredRecord,
  type StoredResponse,
} from '../../cache/policy/stored-response.ts'
import type { CacheStore, StoredVariants } from '../../cache/store/cache-store.ts'
import type { Millis } from '../../exchange.ts'
import type { Clock } from '../../ports.ts'
import { Frames } from './cache-disk-frames.ts'
import type { Place } from './purge-board.ts'
import type { PurgeFleet } from './purge-fleet.ts'
import { type RedisConnection, RedisScript } from './redis.ts'

/** Format of the values; another version's are a miss. */
const MAGIC = Buffer.from('MRR1')
/** Variants of one key: all of them are read at once. */
const MOST_VARIANTS = 16
/** Bytes on their way to Redis; more is not sent. */
const MOST_SENDING = 16 * 1024 ** 2
/** Longest freshness that an entry is kept for, beside `keep`. */
const LONGEST: Millis = 30 * 86_400_000

const PUT = new RedisScript(`
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[4]) then
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if field ~= ARGV[1] then
      redis.call('HDEL', KEYS[1], field)
      break
    end
  end
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1
`)

/** What became of a lookup. */
export type RedisLookup = 'found' | 'nothing' | 'purged' | 'damaged' | 'unavailable'

export interface RedisStoreOptions {
  readonly redis: RedisConnection
  readonly fleet: PurgeFleet
  readonly maxObject: number
  /** How long an entry stays beyond its freshness. */
  readonly keep: Millis
  /** 32 bytes; without it values are only checksummed. */
  readonly key?: Uint8Array | undefined
  readonly clock: Clock
  /** Told of each lookup, and of each response that was not sent. */
  readonly observe: { looked(outcome: RedisLookup): void; rejected(): void }
}

type Header = StoredRecord & Place & { readonly hasBody: boolean }

export class RedisStore implements CacheStore {
  readonly name = 'redis'
  readonly isShared = true
  readonly #options: RedisStoreOptions
  readonly #frames: Frames
  readonly #looking = new Map<string, Promise<StoredVariants | undefined>>()
  #sending = 0

  constructor(options: RedisStoreOptions) {
    this.#options = options
    this.#frames = new Frames(options.key)
  }

  /** One question for all who ask for the key at the same time. */
  lookup(key: string): Promise<StoredVariants | undefined> {
    let looking = this.#looking.get(key)
    if (looking === undefined) {
      looking = this.#lookup(key).finally(() => this.#looking.delete(key))
      this.#looking.set(key, looking)
    }
    return looking
  }

  async put(response: StoredResponse, maxVariants: number): Promise<void> {
    const { redis, fleet, maxObject, keep, observe } = this.#options
    const { place } = fleet
    const { body } = response
    if (place === undefined || redis.state !== 'up') return
    if (response.source !== undefined || (body?.byteLength ?? 0) > maxObject) {
      // Too large for here: what is here of the same name is older.
      if (response.source !== undefined) await this.remove(response.key, response)
      return
    }
    const value = this.#seal(response, place)
    if (this.#sending + value.byteLength > MOST_SENDING) {
      observe.rejected()
      return
    }
    const now = this.#options.clock.monotonic()
    const fresh = Math.min(Math.max(0, -response.staleness(now)), LONGEST)
    this.#sending += value.byteLength
    try {
      await redis.script(
        PUT,
        [this.#nameOf(response.key)],
        [
          fieldOf(response),
          value,
          String(Math.ceil(fresh + keep)),
          String(Math.min(maxVariants, MOST_VARIANTS)),
        ],
      )
    } catch {
      // The connection's own metrics say why; the response is in the nearer tiers.
      observe.rejected()
    } finally {
      this.#sending -= value.byteLength
    }
  }

  async remove(key: string, response?: StoredResponse): Promise<void> {
    const name = this.#nameOf(key)
    await this.#quietly(response === undefined ? ['DEL', name] : ['HDEL', name, fieldOf(response)])
  }

  /** Everything of every gateway. */
  async clear(): Promise<void> {
    const { redis } = this.#options
    let cursor = '0'
    do {
      const answer = await redis.command(['SCAN', cursor, 'MATCH', this.#nameOf(), 'COUNT', '500'])
      const [next, names] = answer as [string, string[]]
      if (names.length > 0) await redis.command(['UNLINK', ...names])
      cursor = next
    } while (cursor !== '0')
  }

  async #lookup(key: string): Promise<StoredVariants | undefined> {
    const { redis, fleet, observe } = this.#options
    if (fleet.place === undefined || redis.state !== 'up') {
      observe.looked('unavailable')
      return undefined
    }
    let values: Buffer[]
    try {
      // The values first: whatever was purged before they were read is then known.
      const [read, isKnown] = await Promise.all([
        redis.commandBytes(['HVALS', this.#nameOf(key)]) as Promise<Buffer[]>,
        fleet.seenAll(),
      ])
      if (!isKnown) {
        observe.looked('unavailable')
        return undefined
      }
      values = read
    } catch {
      // Away, or it has no time: the connection's own metrics say which.
      observe.looked('unavailable')
      return undefined
    }
    return this.#read(key, values)
  }

  #read(key: string, values: readonly Buffer[]): StoredVariants | undefined {
    const { observe } = this.#options
    const responses: StoredResponse[] = []
    let outcome: RedisLookup = 'nothing'
    for (const value of values) {
      const header = this.#open(key, value)
      if (header === undefined) {
        outcome = 'damaged'
        continue
      }
      const response = this.#revive(header)
      if (response === undefined) outcome = 'purged'
      else responses.push(response)
    }
    observe.looked(responses.length > 0 ? 'found' : outcome)
    // What is of no use to anybody is not read again.
    if (values.length > 0 && responses.length === 0) void this.remove(key)
    responses.sort((a, b) => b.receivedWall - a.receivedWall)
    return responses.length === 0 ? undefined : { key, responses }
  }

  #seal(response: StoredResponse, place: Place): Buffer {
    const header: Header = { ...recordOf(response), ...place, hasBody: response.body !== null }
    const text = Buffer.from(JSON.stringify(header))
    const length = Buffer.alloc(4)
    length.writeUInt32BE(text.byteLength)
    const payload = Buffer.concat([length, text, response.body ?? Buffer.alloc(0)])
    return Buffer.concat([MAGIC, this.#frames.seal(payload, placeIn(response.key), 0)])
  }

  /** @returns undefined for what is not, to the byte, what a gateway wrote under this key */
  #open(key: string, value: Buffer): { header: Header; body: Uint8Array | null } | undefined {
    try {
      if (!value.subarray(0, 4).equals(MAGIC)) return undefined
      const payload = this.#frames.unsealWhole(value.subarray(4), placeIn(key), 0)
      const end = 4 + payload.readUInt32BE(0)
      const header = JSON.parse(payload.toString('utf8', 4, end)) as Header
      if (header.key !== key) return undefined
      // A copy: the value's own buffer would be kept alive with it.
      return { header, body: header.hasBody ? new Uint8Array(payload.subarray(end)) : null }
    } catch {
      // Cut, changed, or sealed with another key.
      return undefined
    }
  }

  #revive({
    header,
    body,
  }: {
    header: Header
    body: Uint8Array | null
  }): StoredResponse | undefined {
    const { fleet, clock } = this.#options
    const { generation, number, hasBody: _, ...record } = header
    const verdict = fleet.verdict(record.epochNames, { generation, number })
    if (verdict === 'hard') return undefined
    const response = revive({ ...record, stamp: fleet.stamp() }, { body }, clock)
    if (verdict === 'live') return response
    // Purged softly: stale from now on, at hand when the origin fails.
    const age = clock.monotonic() - response.receivedAt + response.initialAge
    return response.with({ lifetime: Math.min(response.lifetime, age) })
  }

  /** Without a key, the pattern of all. */
  #nameOf(key?: string): string {
    const hash = key === undefined ? '*' : createHash('sha256').update(key).digest('base64url')
    return `${this.#options.redis.keyPrefix}:cache:${hash}`
  }

  async #quietly(command: readonly string[]): Promise<void> {
    try {
      await this.#options.redis.command(command)
    } catch {
      // What stays is judged when it is read.
    }
  }
}

/** What tells variants and parts of one key from each other. */
function fieldOf({ vary, signature, range }: StoredResponse): string {
  const part = range === undefined ? '' : `\n${range.first}-${range.last}`
  return createHash('sha256').update(`${vary.join()}${signature}${part}`).digest('base64url')
}

/** Binds a value to its key: one that is moved does not open. */
function placeIn(key: string): Buffer {
  return createHash('sha256').update(key).digest().subarray(0, 16)
}
