/** Tokens revoked by the control port of one gateway are refused by all of a fleet, over a real Redis. */
import { SignJWT } from 'jose'
import { describe, expect, it } from 'vitest'
import { ask } from '../harness/client.ts'
import { hasRedis, RedisServer } from '../harness/redis.ts'
import { until } from '../harness/wait.ts'
import { sumOf, type TestConfig, type TestGateway, type World, world } from '../harness/world.ts'

const SECRET = 'a secret of at least thirty-two bytes'
const TOKEN = 'an-operator-may-do-this-and-nobody-else'
const IN_AN_HOUR = Math.floor(Date.now() / 1000) + 3600

function gatewayConfig(w: World, more: Partial<TestConfig> = {}): TestConfig {
  return {
    admin: { token: { file: w.put('admin.token', TOKEN) } },
    iam: {
      issuers: [
        {
          id: 'main',
          issuer: 'https://id.example.com',
          secret: { file: w.put('issuer.key', SECRET) },
          types: ['JWT'],
        },
      ],
      ...more.iam,
    },
    routes: [
      { id: 'site', respond: { status: 204 }, auth: { issuers: ['main'], audience: 'api' } },
    ],
    ...(more.redis === undefined ? {} : { redis: more.redis }),
  }
}

async function token(subject: string): Promise<string> {
  return new SignJWT({})
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setIssuer('https://id.example.com')
    .setAudience('api')
    .setSubject(subject)
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(new TextEncoder().encode(SECRET))
}

const use = async ({ url }: TestGateway, text: string) =>
  (await ask(url, { headers: { authorization: `Bearer ${text}` } })).status

async function order(gateway: TestGateway, method: string, query = '', body?: object) {
  return ask(`${gateway.running.control}/revocations${query}`, {
    method,
    headers: {
      authorization: `Bearer ${TOKEN}`,
      'content-type': 'application/json',
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}

const revoke = (gateway: TestGateway, value: string) =>
  order(gateway, 'POST', '', { kind: 'sub', value, expiresAt: IN_AN_HOUR })

const refuses = (gateway: TestGateway, text: string, deadlineMs?: number) =>
  until('it is refused', async () => (await use(gateway, text)) === 401, deadlineMs)

describe.skipIf(!hasRedis)('revocations of a fleet', () => {
  const shared = { iam: { revocations: { shared: true, resync: '1s' } } } as Partial<TestConfig>

  it('reach every gateway within a second, and those that start later', async () => {
    const w = world()
    const redis = await RedisServer.start()
    const config = gatewayConfig(w, { ...shared, redis: { url: redis.url, commandTimeout: '5s' } })
    const [one, other] = [await w.gateway(config), await w.gateway(config)]
    const alice = await token('alice')
    expect([await use(one, alice), await use(other, alice)]).toEqual([204, 204])
    const done = await revoke(one, 'alice')
    expect(done.json()).toMatchObject({ workers: 1, of: 1 })
    const { id } = done.json<{ id: string }>()
    expect(await use(one, alice)).toBe(401)
    await refuses(other, alice, 1000)
    const later = await w.gateway(config)
    expect(await use(later, alice)).toBe(401)
    const headers = { authorization: `Bearer ${TOKEN}` }
    const metrics = await ask(`${later.running.control}/metrics`, { headers })
    expect(sumOf(metrics.text, 'meridian_revocations')).toBe(1)
    expect((await order(other, 'DELETE', `/${id}`)).status).toBe(200)
    await until('it is accepted again', async () => (await use(one, alice)) === 204, 1000)
    // Again after it was taken back.
    await revoke(later, 'alice')
    await refuses(one, alice, 1000)
  })

  it('outlive a server that loses its memory, and are told when it is back', async () => {
    const w = world()
    const redis = await RedisServer.start()
    const config = gatewayConfig(w, { ...shared, redis: { url: redis.url, commandTimeout: '5s' } })
    const [one, other] = [await w.gateway(config), await w.gateway(config)]
    const [alice, bob] = [await token('alice'), await token('bob')]
    await revoke(one, 'alice')
    await refuses(other, alice)
    await redis.kill()
    await until('the loss is seen', () => one.running.instance.redis?.state === 'down')
    const untold = await revoke(one, 'bob')
    expect(untold.status).toBe(503)
    expect(untold.text).toContain('the other gateways cannot be told before Redis is back')
    expect([await use(one, bob), await use(other, bob), await use(other, alice)]).toEqual([
      401, 204, 401,
    ])
    await redis.restart()
    await refuses(other, bob)
    await until(
      'the server knows both again',
      () => redis.cli('hlen', '{meridian}:revocations') === '2',
    )
  })

  it('are unknown until the server was reached once: tokens are refused, not accepted', async () => {
    const w = world()
    const redis = await RedisServer.start()
    const config = gatewayConfig(w, {
      ...shared,
      redis: { url: redis.url, commandTimeout: '5s', connectTimeout: '100ms' },
    })
    const one = await w.gateway(config)
    const alice = await token('alice')
    await revoke(one, 'alice')
    await redis.kill()
    const cold = await w.gateway(config)
    expect(await use(cold, alice)).toBe(503)
    expect(cold.log.some(({ message }) => message.includes('not known yet'))).toBe(true)
    await redis.restart()
    await refuses(cold, alice)
    expect(await use(cold, await token('bob'))).toBe(204)
  })
})
