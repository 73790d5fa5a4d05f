/**
 * Purges of a fleet, in Redis: each order gets the next number, names keep the number of their last purge,
 * and what was told is also said on a channel. A gateway that has missed something asks for what came after
 * the last number it knows.
 *
 * `<prefix>:{purge}:state` holds the generation, the last number, and the number up to which names may have
 * been forgotten; `<prefix>:{purge}:names` the names, each with `h` or `s` (hard, soft) before it. A server
 * that has lost the state begins a new generation.
 */
import { randomBytes } from 'node:crypto'
import { type RedisConnection, RedisScript } from './redis.ts'

/** Names that Redis remembers; older ones are forgotten by counting everything older as purged. */
const REMEMBERED = 65_536
/** Names asked for at a time, and most names of one order. */
const PAGE = 2000
export const MOST_NAMES = 500

const TELL = new RedisScript(`
local generation = redis.call('HGET', KEYS[1], 'generation')
if not generation then
  generation = ARGV[1]
  redis.call('HSET', KEYS[1], 'generation', generation)
  redis.call('DEL', KEYS[2])
end
local number = redis.call('HINCRBY', KEYS[1], 'number', 1)
local names = {}
for i = 5, #ARGV do
  redis.call('ZADD', KEYS[2], number, ARGV[i])
  names[#names + 1] = ARGV[i]
end
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[3])
if over > 0 then
  local last = redis.call('ZRANGE', KEYS[2], over - 1, over - 1, 'WITHSCORES')
  redis.call('HSET', KEYS[1], 'floor', last[2])
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, over - 1)
end
redis.call('HSET', KEYS[1], 'count', redis.call('ZCARD', KEYS[2]))
redis.call('PUBLISH', ARGV[2], cjson.encode({ generation, number, ARGV[4], names }))
return { generation, number }
`)

/** Names that a full server has thrown out are noticed by their count. */
const READ = new RedisScript(`
local generation = redis.call('HGET', KEYS[1], 'generation')
if not generation then
  generation = ARGV[1]
  redis.call('HSET', KEYS[1], 'generation', generation)
  redis.call('DEL', KEYS[2])
end
local number = tonumber(redis.call('HGET', KEYS[1], 'number') or '0')
local known = redis.call('ZCARD', KEYS[2])
if known < tonumber(redis.call('HGET', KEYS[1], 'count') or '0') then
  redis.call('HSET', KEYS[1], 'floor', number, 'count', known)
end
local floor = tonumber(redis.call('HGET', KEYS[1], 'floor') or '0')
local after = '-1'
if generation == ARGV[2] then after = ARGV[3] end
local names = {}
if number > tonumber(after) then
  names = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[4])
end
return { generation, number, floor, names }
`)

/** How much of the board a gateway has seen. */
export interface Place {
  readonly generation: string
  readonly number: number
}

export interface PurgedName {
  readonly name: string
  readonly soft: boolean
  readonly number: number
}

export interface BoardPage extends Place {
  /** Responses from before this number may have been purged by a name that is forgotten. */
  readonly floor: number
  readonly names: readonly PurgedName[]
  /** Whether there is more to ask for. */
  readonly isPart: boolean
}

export interface BoardNotice extends Place {
  readonly by: string
  readonly names: readonly PurgedName[]
}

export class PurgeBoard {
  readonly #redis: RedisConnection
  readonly #keys: readonly [string, string]
  readonly #channel: string

  constructor(redis: RedisConnection) {
    const top = `${redis.keyPrefix}:{purge}`
    this.#redis = redis
    this.#keys = [`${top}:state`, `${top}:names`]
    this.#channel = `${redis.keyPrefix}:purges`
  }

  /**
   * Writes an order of at most `MOST_NAMES` names and says it to everybody.
   * @throws RedisUnavailable, or the server's own error
   */
  async tell(by: string, names: readonly Omit<PurgedName, 'number'>[]): Promise<Place> {
    const [generation, number] = (await this.#redis.script(TELL, this.#keys, [
      newGeneration(),
      this.#channel,
      String(REMEMBERED),
      by,
      ...names.map(({ name, soft }) => `${soft ? 's' : 'h'}${name}`),
    ])) as [string, number]
    return { generation, number }
  }

  /**
   * What was told after `place`; everything that is remembered without one.
   * @throws RedisUnavailable, or the server's own error
   */
  async read(place: Place | undefined): Promise<BoardPage> {
    const [generation, number, floor, flat] = (await this.#redis.script(READ, this.#keys, [
      newGeneration(),
      place?.generation ?? '',
      String(place?.number ?? -1),
      String(PAGE),
    ])) as [string, number, number, string[]]
    const names: PurgedName[] = []
    for (let i = 0; i < flat.length; i += 2) {
      names.push(parsed(flat[i] as string, Number(flat[i + 1])))
    }
    const isPart = names.length === PAGE
    // The names of one number may be cut apart by the page: those of the last come again.
    const seen = isPart ? (names.at(-1)?.number ?? number) - 1 : number
    return { generation, number: seen, floor, names, isPart }
  }

  /** The place that the board is at now, for what has just been read. @throws as `read` */
  async place(): Promise<Place | undefined> {
    const [generation, number] = (await this.#redis.command([
      'HMGET',
      this.#keys[0],
      'generation',
      'number',
    ])) as [string | null, string | null]
    return generation === null ? undefined : { generation, number: Number(number ?? 0) }
  }

  /** @param onConnected when messages may have been missed */
  listen(onNotice: (notice: BoardNotice | undefined) => void, onConnected: () => void): void {
    this.#redis.subscribe('purges', (text) => onNotice(noticeOf(text)), onConnected)
  }
}

function newGeneration(): string {
  return randomBytes(9).toString('base64url')
}

function parsed(text: string, number: number): PurgedName {
  return { name: text.slice(1), soft: text.startsWith('s'), number }
}

/** @returns undefined for what no gateway of this version says */
function noticeOf(text: string): BoardNotice | undefined {
  try {
    const [generation, number, by, names] = JSON.parse(text) as unknown[]
    if (typeof generation !== 'string' || typeof number !== 'number') return undefined
    if (typeof by !== 'string' || !Array.isArray(names)) return undefined
    return { generation, number, by, names: names.map((name) => parsed(String(name), number)) }
  } catch {
    // Not JSON.
    return undefined
  }
}
