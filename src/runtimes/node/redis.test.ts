import * as v from 'valibot'
import { describe, expect, it, onTestFinished } from 'vitest'
import { hasRedis, RedisServer } from '../../../test/harness/redis.ts'
import { ranMs, until } from '../../../test/harness/wait.ts'
import { type RedisConfig, RedisSection } from '../../config/sections/redis.ts'
import { RedisConnection, type RedisOutcome, RedisScript, RedisUnavailable } from './redis.ts'

const config = (url: string, more: object): RedisConfig =>
  v.parse(RedisSection, { url, connectTimeout: '500ms', commandTimeout: '5s', ...more })

interface Observed {
  readonly outcomes: RedisOutcome[]
  readonly states: string[]
}

async function connected(
  url: string,
  password?: string,
  more: object = {},
): Promise<{ redis: RedisConnection } & Observed> {
  const observed: Observed = { outcomes: [], states: [] }
  const redis = await RedisConnection.open(config(url, more), password, {
    ended: (outcome) => observed.outcomes.push(outcome),
    stateChanged: (state) => observed.states.push(state),
  })
  onTestFinished(() => redis.close())
  return { redis, ...observed }
}

/** How a command ends, and how long that takes in milliseconds. */
async function timed(work: Promise<unknown>): Promise<{ outcome: string; ms: number }> {
  const startedAt = performance.now()
  const outcome = await work.then(
    () => 'ok',
    (error: unknown) => (error instanceof RedisUnavailable ? error.outcome : String(error)),
  )
  return { outcome, ms: performance.now() - startedAt }
}

describe.skipIf(!hasRedis)('the Redis connection', () => {
  it('runs commands and scripts, and keeps bytes as they are', async () => {
    const server = await RedisServer.start('--requirepass', 'open sesame')
    const { redis, outcomes } = await connected(server.url, 'open sesame')
    const bytes = Buffer.from([0, 255, 128, 13, 10])
    await redis.command(['SET', 'k', bytes])
    expect(await redis.commandBytes(['GET', 'k'])).toEqual(bytes)
    expect(await redis.command(['GET', 'none'])).toBeNull()
    const twice = new RedisScript('return tonumber(ARGV[1]) * 2')
    expect(await redis.script(twice, ['k'], ['21'])).toBe(42)
    expect(await redis.script(twice, ['k'], ['4'])).toBe(8)
    await expect(redis.command(['INCR', 'k'])).rejects.toThrow('not an integer')
    expect(redis.state).toBe('up')
    expect(outcomes.filter((one) => one === 'error')).toHaveLength(2)
    const wrong = await connected(server.url, 'close sesame')
    expect(wrong.redis.state).not.toBe('up')
    expect(wrong.redis.status().reason).toContain('WRONGPASS')
  })

  it('costs a hung server its time limit five times, then nothing, and takes it back', async () => {
    const server = await RedisServer.start()
    const { redis, states } = await connected(server.url, undefined, { commandTimeout: '50ms' })
    server.pause()
    for (let i = 0; i < 5; i++) {
      const { outcome, ms } = await timed(redis.command(['GET', 'k']))
      expect(outcome).toBe('timeout')
      expect(ms).toBeGreaterThan(45)
    }
    const startedAt = ranMs()
    for (let i = 0; i < 1000; i++)
      expect((await timed(redis.command(['GET', 'k']))).outcome).toBe('refused')
    expect(ranMs() - startedAt).toBeLessThan(500)
    server.resume()
    await until('it is used again', () => redis.state === 'up')
    expect(await redis.command(['GET', 'k'])).toBeNull()
    expect(states).toEqual(['up', 'down', 'up'])
  })

  it('starts without a server, finds it when it comes, and listens again after each loss', async () => {
    const server = await RedisServer.start()
    await server.kill()
    const { redis } = await connected(server.url)
    expect(redis.state).not.toBe('up')
    expect((await timed(redis.command(['PING']))).outcome).toBe('refused')
    const heard: string[] = []
    let connections = 0
    redis.subscribe(
      'news',
      (message) => heard.push(message),
      () => connections++,
    )
    for (let round = 1; round <= 2; round++) {
      await server.restart()
      await until('it listens', () => connections === round)
      await redis.publish('news', `round ${round}`)
      await until('it hears', () => heard.length === round)
      await server.kill()
      await until('the loss is seen', () => redis.state === 'down')
    }
    expect(heard).toEqual(['round 1', 'round 2'])
  })
})

describe('the address of the server', () => {
  it.each([
    'http://cache:6379',
    'redis://:secret@cache',
    'redis://cache/2',
    'redis://cache:0',
    'redis://cache:70000',
    'unix:relative',
    'redis://',
  ])('%s is refused', (url) => {
    expect(v.safeParse(RedisSection, { url }).success).toBe(false)
  })

  it.each(['redis://cache', 'rediss://cache:6380', 'redis://[::1]:6379', 'unix:/run/redis.sock'])(
    '%s is taken',
    (url) => {
      expect(v.safeParse(RedisSection, { url }).success).toBe(true)
    },
  )
})
