/** What every tier of the cache promises, whichever keeps the bytes; and what only Redis can do wrong. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { describe, expect, it, onTestFinished } from 'vitest'
import { hasRedis, RedisServer } from '../../../test/harness/redis.ts'
import { ranMs, until } from '../../../test/harness/wait.ts'
import type { CacheStore } from '../../cache/store/cache-store.ts'
import { MemoryStore } from '../../cache/store/memory-store.ts'
import {
  keepsItsPromises,
  MAX_OBJECT,
  storedFor,
  text,
} from '../../cache/store/store-contract.fixture.ts'
import { joinTiers } from '../../cache/store/tiered-store.ts'
import { seeded, World } from '../../cache/world.fixture.ts'
import { RedisSection } from '../../config/sections/redis.ts'
import type { Logger } from '../../ports.ts'
import { DiskStore } from './cache-disk.ts'
import { type RedisLookup, RedisStore } from './cache-redis.ts'
import { nodeClock } from './clock.ts'
import { PurgeFleet } from './purge-fleet.ts'
import { RedisConnection } from './redis.ts'

const KEY = new Uint8Array(32).fill(7)
const quiet: Logger = { info: () => undefined, warn: () => undefined, error: () => undefined }

const made = (path: string, body: string, fields = {}, headers = {}) =>
  storedFor(nodeClock, path, body, fields, headers)

async function disk(key: Uint8Array | undefined): Promise<CacheStore> {
  const directory = await mkdtemp(join(tmpdir(), 'meridian-store-'))
  onTestFinished(() =>
    rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 }),
  )
  const options = {
    directory,
    capacityBytes: 50e6,
    maxObject: MAX_OBJECT,
    clock: nodeClock,
    log: quiet,
  }
  const store = new DiskStore({ ...options, key })
  await store.start()
  await store.ready()
  return store
}

/** One gateway's side of a Redis server. */
interface Side {
  readonly redis: RedisConnection
  readonly fleet: PurgeFleet
  readonly store: RedisStore
  readonly world: World
  readonly looked: RedisLookup[]
}

/** @param isDeaf hears no message */
async function side(server: RedisServer, key?: Uint8Array, isDeaf = false): Promise<Side> {
  const redis = await RedisConnection.open(
    v.parse(RedisSection, { url: server.url, commandTimeout: '1s' }),
    undefined,
    { ended: () => undefined, stateChanged: () => undefined },
  )
  onTestFinished(() => redis.close())
  if (isDeaf) redis.subscribe = () => undefined
  const looked: RedisLookup[] = []
  const fleet = new PurgeFleet(redis, { log: quiet, observer: { purges: () => undefined } })
  onTestFinished(() => fleet.close())
  const store = new RedisStore({
    redis,
    fleet,
    maxObject: MAX_OBJECT,
    keep: 60_000,
    key,
    clock: nodeClock,
    observe: { looked: (outcome) => looked.push(outcome), rejected: () => undefined },
  })
  const world = new World()
  await fleet.attach(world.cache)
  return { redis, fleet, store, world, looked }
}

const redisStore = async (key?: Uint8Array) => (await side(await RedisServer.start(), key)).store

const TIERS: { name: string; open: () => Promise<CacheStore>; needsRedis?: boolean }[] = [
  {
    name: 'memory',
    open: async () => new MemoryStore({ capacityBytes: 50e6, admission: 'tinylfu' }),
  },
  { name: 'disk, checksummed', open: () => disk(undefined) },
  { name: 'disk, sealed', open: () => disk(KEY) },
  { name: 'Redis, checksummed', open: () => redisStore(), needsRedis: true },
  { name: 'Redis, sealed', open: () => redisStore(KEY), needsRedis: true },
  {
    name: 'disk before Redis',
    open: async () => joinTiers([await disk(undefined), await redisStore()]) as CacheStore,
    needsRedis: true,
  },
]

describe.each(TIERS)('the store: $name', ({ open, needsRedis }) => {
  it.skipIf(needsRedis === true && !hasRedis)('keeps its promises', async () => {
    await keepsItsPromises(await open(), nodeClock)
  })
})

describe.skipIf(!hasRedis)('the tier in Redis', () => {
  it('takes nothing that is damaged, moved, or sealed with another key', async () => {
    const server = await RedisServer.start()
    for (const key of [undefined, KEY]) {
      const { redis, store, looked } = await side(server, key)
      await store.clear()
      const response = await made('/a', 'x'.repeat(200))
      await store.put(response, 8)
      const [name] = (await redis.command(['KEYS', 'meridian:cache:*'])) as [string]
      const [field] = (await redis.command(['HKEYS', name])) as [string]
      const good = (await redis.commandBytes(['HGET', name, field])) as Buffer
      const broken: Buffer[] = [Buffer.alloc(0), Buffer.from('rubbish'), good.subarray(0, -1)]
      broken.push(
        Buffer.concat([good, Buffer.from('x')]),
        Buffer.concat([Buffer.from('MRR2'), good.subarray(4)]),
      )
      for (let at = 0; at < good.length; at += 37) {
        const flipped = Buffer.from(good)
        flipped[at]! ^= 1
        broken.push(flipped)
      }
      for (const bytes of broken) {
        await redis.command(['HSET', name, field, bytes])
        expect(await store.lookup(response.key)).toBeUndefined()
      }
      expect(new Set(looked)).toEqual(new Set(['damaged']))
      // Whole, but under the name of another.
      const other = await made('/b', 'y')
      await store.put(other, 8)
      const names = (await redis.command(['KEYS', 'meridian:cache:*'])) as string[]
      await redis.command(['HSET', names.find((one) => one !== name) as string, 'moved', good])
      expect(await store.lookup(other.key)).toMatchObject({ responses: [{ key: other.key }] })
      await redis.command(['HSET', name, field, good])
      expect(await text((await store.lookup(response.key))?.responses[0])).toBe('x'.repeat(200))
      const stranger = await side(server, new Uint8Array(32).fill(9))
      expect(await stranger.store.lookup(response.key)).toBeUndefined()
    }
  })

  it('expires what nobody wrote again, and holds a few variants of a key', async () => {
    const server = await RedisServer.start()
    const { redis, store } = await side(server)
    for (let i = 0; i < 20; i++) {
      await store.put(await made('/v', `${i}`, { Vary: 'Foo' }, { Foo: `${i}` }), 64)
    }
    const [name] = (await redis.command(['KEYS', 'meridian:cache:*'])) as [string]
    expect(await redis.command(['HLEN', name])).toBe(16)
    const left = (await redis.command(['PTTL', name])) as number
    // Fresh for ten minutes, kept for one more.
    expect(left).toBeGreaterThan(600_000)
    expect(left).toBeLessThanOrEqual(660_000)
  })

  it('asks once for all who look for a key, and costs nothing while Redis is away', async () => {
    const server = await RedisServer.start()
    const { redis, store, looked } = await side(server)
    const response = await made('/a', 'body')
    await store.put(response, 8)
    await Promise.all(Array.from({ length: 40 }, () => store.lookup(response.key)))
    expect(looked).toEqual(['found'])
    await server.kill()
    await until('the loss is noticed', () => redis.state !== 'up')
    const startedAt = ranMs()
    for (let i = 0; i < 200; i++) {
      expect(await store.lookup(response.key)).toBeUndefined()
      await store.put(response, 8)
    }
    expect(ranMs() - startedAt).toBeLessThan(500)
  })

  it.each([
    ['hard', undefined],
    ['soft', 'stale'],
  ] as const)('knows of a %s purge that it was not told of', async (mode, left) => {
    const server = await RedisServer.start()
    const [one, two] = [await side(server), await side(server, undefined, true)]
    const response = await made('/a', 'old', { 'Cache-Tag': 'red' })
    await one.store.put(response, 8)
    expect(await two.store.lookup(response.key)).toBeDefined()
    // No message comes: the lookup itself asks for what it has not heard.
    await one.fleet.tell(['tag:red'], mode === 'soft')
    for (const { store } of [two, one]) {
      const found = (await store.lookup(response.key))?.responses[0]
      if (left === undefined) expect(found).toBeUndefined()
      else expect(found!.staleness(nodeClock.monotonic())).toBeGreaterThanOrEqual(0)
      if (mode === 'hard') continue
    }
    // What is stored after the purge has seen it.
    await two.store.put(response, 8)
    const found = (await one.store.lookup(response.key))?.responses[0]
    expect(found!.staleness(nodeClock.monotonic())).toBeLessThan(0)
  })

  it('gives nothing of a purge that waits to be told, and nothing from before names were forgotten', async () => {
    const server = await RedisServer.start()
    const { redis, fleet, store, world } = await side(server)
    const response = await made('/a', 'old', { 'Cache-Tag': 'red' })
    await store.put(response, 8)
    // An unsafe request here: told within the same turn of the loop, and judged before that.
    world.cache.epochs.purge('tag:red', false)
    expect(fleet.waiting).toBe(1)
    expect(fleet.verdict(response.epochNames, fleet.place!)).toBe('hard')
    await until('it is told', () => fleet.waiting === 0)
    await store.put(response, 8)
    expect(await store.lookup(response.key)).toBeDefined()
    // A full server threw the names out.
    await fleet.tell(['tag:blue'], false)
    await redis.command(['DEL', 'meridian:{purge}:names'])
    await fleet.tell(['tag:green'], false)
    await redis.command(['DEL', 'meridian:{purge}:names'])
    const late = await side(server)
    expect(await late.store.lookup(response.key)).toBeUndefined()
  })

  it('what an earlier run left on disk is judged by what was told meanwhile', async () => {
    const server = await RedisServer.start()
    const { fleet, redis } = await side(server)
    const { epochs } = new World().cache
    const left = epochs.stamp()
    /** A gateway that starts with a folder on disk, and what it knew of the board when it ended. */
    const started = async (known: string | undefined) => {
      const { cache } = new World()
      let kept = known
      const again = new PurgeFleet(redis, {
        log: quiet,
        observer: { purges: () => undefined },
        generation: {
          read: () => known,
          write: (generation) => {
            kept = generation
          },
        },
      })
      onTestFinished(() => again.close())
      await again.attach(cache)
      const verdict = (name: string) => cache.epochs.verdict(['all', name], left)
      return { kept, red: verdict('tag:red'), blue: verdict('tag:blue') }
    }
    await fleet.tell(['tag:red'], false)
    const generation = fleet.place!.generation
    const live = { kept: generation, red: 'hard', blue: 'live' }
    expect(await started(undefined)).toEqual(live)
    expect(await started(generation)).toEqual(live)
    // Another board: what it has forgotten may have been anything.
    expect(await started('another')).toEqual({ kept: generation, red: 'hard', blue: 'hard' })
  })

  it.each([1, 2, 3])(
    'never gives what was purged before it was asked, whatever happens to Redis (seed %i)',
    async (seed) => {
      const server = await RedisServer.start()
      const sides = [await side(server), await side(server), await side(server, undefined, true)]
      const random = seeded(seed)
      const roll = (n: number) => Math.floor(random.next() * n)
      const paths = ['/a', '/b', '/c']
      const responses = await Promise.all(
        paths.map((path) => made(path, 'body', { 'Cache-Tag': `t${path}` })),
      )
      const versions = paths.map(() => 1)
      const counts = { found: 0, purged: 0, lost: 0 }
      for (let step = 0; step < 400; step++) {
        const at = roll(paths.length)
        const { store, fleet, redis } = sides[roll(sides.length)]!
        const action = roll(100)
        if (action < 40) {
          // What a fill that begins now would store.
          const etag = `"${versions[at]}"`
          await store.put(responses[at]!.with({ etag, receivedWall: nodeClock.now() }), 8)
        } else if (action < 80) {
          const found = (await store.lookup(responses[at]!.key))?.responses[0]
          if (found === undefined) continue
          counts.found++
          expect(Number(found.etag?.slice(1, -1)), `step ${step}`).toBe(versions[at])
        } else if (action < 95) {
          versions[at]!++
          if ((await fleet.tell([`tag:t${paths[at]}`], false)) === 'told') counts.purged++
          // Until it is told, only the one that purged knows.
          else await until('it is told', () => fleet.waiting === 0)
        } else {
          counts.lost++
          // Connections break, the state is thrown out, or the names, or everything.
          const command =
            action < 97
              ? ['CLIENT', 'KILL', 'TYPE', 'pubsub']
              : action < 98
                ? ['DEL', 'meridian:{purge}:state']
                : action < 99
                  ? ['DEL', 'meridian:{purge}:names']
                  : ['FLUSHALL']
          // Its own connection may be among those that break.
          await redis.command(command).catch(() => undefined)
          for (const one of sides) {
            await until('it is up', () =>
              one.redis.command(['PING']).then(
                () => true,
                () => false,
              ),
            )
          }
        }
      }
      expect(Math.min(counts.found, counts.purged, counts.lost)).toBeGreaterThan(5)
    },
  )
})
