/** Who is let in, changed over the control port of a gateway that serves; and its state, kept and put back. */
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { describe, expect, it } from 'vitest'
import type { KnownRevocation, LimitReport, Penalty } from '../../src/admin/state-view.ts'
import { ConfigFile } from '../../src/runtimes/node/config-file.ts'
import { startGateway } from '../../src/runtimes/node/start.ts'
import { meridian } from '../cli/cli.fixture.ts'
import { ask } from '../harness/client.ts'
import { program } from '../harness/process.ts'
import { until } from '../harness/wait.ts'
import { pool, type TestConfig, withDefaults, world } from '../harness/world.ts'

const TOKEN = 'a-token-of-some-length'
const QUIET = { info: () => {}, warn: () => {}, error: () => {} }
const ISSUER = 'https://issuer.example'

function caller(control: string) {
  return async (method: string, path: string, body?: object) =>
    ask(`${control}${path}`, {
      method,
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
}

async function issuer() {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256', use: 'sig' }
  const token = (subject: string, id: string) =>
    new SignJWT({})
      .setProtectedHeader({ alg: 'ES256', kid: 'k', typ: 'at+jwt' })
      .setIssuer(ISSUER)
      .setAudience('site')
      .setSubject(subject)
      .setJti(id)
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(privateKey)
  return { jwk, token }
}

describe('who is let in', () => {
  it('is changed at once: bans, revocations, and what the limits say', async () => {
    const w = world()
    const { jwk, token } = await issuer()
    const config: TestConfig = {
      admin: { token: { file: w.put('token', TOKEN) } },
      trustedProxies: ['127.0.0.1'],
      penaltyBox: { exempt: ['198.51.100.0/24'] },
      limits: [{ id: 'one', limit: 1, window: '1h', scope: 'route', key: ['ip'] }],
      iam: { issuers: [{ id: 'i', issuer: ISSUER, jwks: { keys: [jwk] } }] },
      routes: [
        {
          id: 'own',
          match: { path: '/own' },
          auth: { methods: ['jwt'], audience: ['site'] },
          respond: { body: 'own' },
        },
        {
          id: 'limited',
          match: { path: '/limited' },
          auth: 'none',
          limits: ['one'],
          respond: { body: 'limited' },
        },
        { id: 'site', auth: 'none', respond: { body: 'site' } },
      ],
    }
    const g = await w.gateway(config)
    const call = caller(g.running.control as string)
    const from = async (ip: string, path = '/', bearer?: string) =>
      (
        await ask(`${g.url}${path}`, {
          headers: {
            'x-forwarded-for': ip,
            ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
          },
        })
      ).status
    const penalties = async () =>
      (await call('GET', '/penalties')).json<{ penalties: Penalty[] }>().penalties

    expect((await call('POST', '/penalties', { address: '203.0.113.7', for: '1h' })).status).toBe(
      200,
    )
    const banned = await call('POST', '/penalties', { address: '2001:db8:1:2:3::4' })
    expect(banned.json()).toEqual({ key: '2001:db8:1:2::/64', workers: 1, of: 1 })
    expect([await from('203.0.113.7'), await from('203.0.113.8')]).toEqual([429, 200])
    expect([await from('2001:db8:1:2::9'), await from('2001:db8:1:3::9')]).toEqual([429, 200])
    expect((await call('POST', '/penalties', { address: '198.51.100.9' })).status).toBe(409)
    expect(await penalties()).toMatchObject([
      { key: '203.0.113.7', secondsLeft: 3600, terms: 0 },
      { key: '2001:db8:1:2::/64' },
    ])
    // A reload keeps who is in, and by which name.
    const more: TestConfig['routes'][number] = {
      id: 'more',
      match: { path: '/more' },
      auth: 'none',
      respond: { body: 'more' },
    }
    g.write({ ...config, routes: [more, ...config.routes] })
    await until('the reload', async () => (await ask(`${g.url}/more`)).text === 'more')
    expect(await from('203.0.113.7')).toBe(429)
    expect((await call('DELETE', '/penalties/203.0.113.7')).status).toBe(200)
    expect((await call('DELETE', '/penalties/203.0.113.7')).status).toBe(404)
    expect([await from('203.0.113.7'), (await penalties()).length]).toEqual([200, 1])

    const alice = await token('alice', 't1')
    const again = await token('alice', 't2')
    expect(await from('203.0.113.9', '/own', alice)).toBe(200)
    const revoked = await call('POST', '/revocations', { token: alice })
    expect(await from('203.0.113.9', '/own', alice)).toBe(401)
    expect(await from('203.0.113.9', '/own', again)).toBe(200)
    expect((await call('POST', '/revocations', { kind: 'sub', value: 'alice' })).status).toBe(200)
    expect(await from('203.0.113.9', '/own', again)).toBe(401)
    const { revocations } = (await call('GET', '/revocations')).json<{
      revocations: KnownRevocation[]
    }>()
    expect(revocations).toMatchObject([
      { kind: 'token', id: revoked.json<{ id: string }>().id },
      { kind: 'sub', value: 'alice' },
    ])
    for (const { id } of revocations) {
      expect((await call('DELETE', `/revocations/${id}`)).status).toBe(200)
    }
    expect(await from('203.0.113.9', '/own', alice)).toBe(200)

    for (let i = 0; i < 3; i++) await from('203.0.113.10', '/limited')
    const { limits } = (await call('GET', '/limits')).json<{ limits: LimitReport[] }>()
    expect(limits).toMatchObject([{ id: 'one', keys: 1, denied: 2, windowMs: 3_600_000 }])
  })

  it('cannot be changed where the config has neither box nor identity', async () => {
    const w = world()
    const token = { file: w.put('token', TOKEN) }
    const g = await w.gateway({ admin: { token }, routes: [{ respond: { body: 'x' } }] })
    const call = caller(g.running.control as string)
    for (const [method, path, body] of [
      ['GET', '/penalties', undefined],
      ['POST', '/penalties', { address: '192.0.2.1' }],
      ['DELETE', '/penalties/192.0.2.1', undefined],
      ['GET', '/revocations', undefined],
      ['POST', '/revocations', { kind: 'sub', value: 'a' }],
      ['DELETE', '/revocations/x', undefined],
    ] as const) {
      expect([path, (await call(method, path, body)).status]).toEqual([path, 404])
    }
  })
})

describe('orders', () => {
  it('outlive a restart where there is a folder for them, before the first request', async () => {
    const w = world()
    const { jwk, token } = await issuer()
    const alice = await token('alice', 't1')
    const file = w.put(
      'meridian.json',
      JSON.stringify(
        withDefaults(
          {
            state: { directory: 'state' },
            admin: { token: { file: w.put('token', TOKEN) } },
            trustedProxies: ['127.0.0.1'],
            penaltyBox: {},
            iam: { issuers: [{ id: 'i', issuer: ISSUER, jwks: { keys: [jwk] } }] },
            routes: [
              {
                id: 'own',
                match: { path: '/own' },
                auth: { methods: ['jwt'], audience: ['site'] },
                respond: { body: 'own' },
              },
              { id: 'site', auth: 'none', respond: { body: 'site' } },
            ],
          },
          w.folder,
        ),
      ),
    )
    const start = async () => {
      const config = new ConfigFile(file)
      const running = await startGateway(config, await config.load(), { log: QUIET })
      const url = `http://127.0.0.1:${running.instance.ports[0]}`
      const status = async () => [
        (await ask(`${url}/own`, { headers: { authorization: `Bearer ${alice}` } })).status,
        (await ask(url, { headers: { 'x-forwarded-for': '203.0.113.7' } })).status,
      ]
      return { running, status, call: caller(running.control as string) }
    }
    const first = await start()
    expect(await first.status()).toEqual([200, 200])
    await first.call('POST', '/penalties', { address: '203.0.113.7', for: '1h' })
    const { id } = (
      await first.call('POST', '/revocations', { kind: 'sub', value: 'alice' })
    ).json<{
      id: string
    }>()
    await first.running.close()

    const second = await start()
    expect(await second.status()).toEqual([401, 429])
    // Taken back is taken back.
    expect((await second.call('DELETE', `/revocations/${id}`)).status).toBe(200)
    expect((await second.call('DELETE', '/penalties/203.0.113.7')).status).toBe(200)
    await second.running.close()
    const third = await start()
    expect(await third.status()).toEqual([200, 200])
    await third.running.close()

    const saved = join(w.folder, 'state', 'orders.json')
    expect(statSync(saved).mode & 0o777).toBe(0o600)
    for (const text of ['{', '{"version":2,"state":{}}', '{"version":1,"state":{"drains":[]}}']) {
      writeFileSync(saved, text)
      await expect(start()).rejects.toThrow(/state\.directory: .*orders\.json/)
    }
  })
})

describe('in worker processes', { timeout: 60_000 }, () => {
  it('the state is taken, and put back into a gateway that starts anew', async () => {
    const w = world()
    const { jwk, token } = await issuer()
    const near = await w.origin((_request, response) => response.end('near'))
    const far = await w.origin((_request, response) => response.end('far'))
    const config = withDefaults(
      {
        workers: 2,
        admin: { token: { env: 'ADMIN' } },
        trustedProxies: ['127.0.0.1'],
        penaltyBox: {},
        iam: { issuers: [{ id: 'i', issuer: ISSUER, jwks: { keys: [jwk] } }] },
        pools: { near: pool([near]), far: pool([far]) },
        regions: [
          { id: 'near', latitude: 50, longitude: 8, tags: [], pools: ['near'] },
          { id: 'far', latitude: 1, longitude: 103, tags: [], pools: ['far'] },
        ],
        steering: { policy: 'failover', order: ['near', 'far'] },
        routes: [
          {
            id: 'own',
            match: { path: '/own' },
            auth: { methods: ['jwt'], audience: ['site'] },
            respond: { body: 'own' },
          },
          {
            id: 'rollout',
            match: { path: '/rollout' },
            auth: 'none',
            pools: ['near'],
            rollout: { from: 'near', to: 'far', steps: [1, 100], bake: '1h' },
          },
          { id: 'site', auth: 'none' },
        ],
      },
      w.folder,
    )
    const file = w.put('meridian.json', JSON.stringify(config))
    const env = { ADMIN: TOKEN }
    const start = async () => {
      const run = program('cli/main.js', ['start', '--config', file], env)
      const url = await run.says(/listening on (http:\/\/\S+)/)
      const control = await run.says(/control port on (http:\/\/\S+)/)
      const cli = (...args: string[]) =>
        meridian([...args, '--control', control, '--token-env', 'ADMIN'], { env })
      return { run, url, cli, call: caller(control) }
    }
    const first = await start()
    const alice = await token('alice', 't1')
    const everywhere = async (url: string, path: string, headers: Record<string, string>) =>
      new Set(
        await Promise.all(
          Array.from({ length: 8 }, async () => {
            const answer = await ask(`${url}${path}`, {
              headers: { connection: 'close', ...headers },
            })
            return answer.status === 200 ? answer.text : String(answer.status)
          }),
        ),
      )
    const bearer = { authorization: `Bearer ${alice}` }
    const banned = { 'x-forwarded-for': '203.0.113.7' }
    for (const [path, body] of [
      ['/penalties', { address: '203.0.113.7' }],
      ['/revocations', { kind: 'sub', value: 'alice' }],
      ['/rollouts', { rollout: 'rollout', command: 'freeze' }],
    ] as const) {
      expect((await first.call('POST', path, body)).json()).toMatchObject({ workers: 2 })
    }
    expect((await first.cli('drain', 'near')).code).toBe(0)
    expect(await everywhere(first.url, '/', banned)).toEqual(new Set(['429']))
    expect(await everywhere(first.url, '/own', bearer)).toEqual(new Set(['401']))
    const saved = `${w.folder}/state.json`
    expect((await first.cli('snapshot', 'save', saved)).out).toBe(`saved to ${saved}\n`)
    first.run.kill('SIGTERM')
    expect(await first.run.exited()).toBe(0)

    const second = await start()
    expect(await everywhere(second.url, '/', banned)).toEqual(new Set(['near']))
    expect((await second.cli('snapshot', 'restore', saved)).out).toBe('restored in 2 processes\n')
    expect(await everywhere(second.url, '/', banned)).toEqual(new Set(['429']))
    expect(await everywhere(second.url, '/own', bearer)).toEqual(new Set(['401']))
    expect(await everywhere(second.url, '/', {})).toEqual(new Set(['far']))
    const rollouts = await second.call('GET', '/rollouts')
    expect(rollouts.json()).toMatchObject({ rollouts: [{ phase: 'frozen', elsewhere: 0 }] })
    await until('its events', async () => {
      return (await second.call('GET', '/events?kind=system')).text.includes('snapshot-restored')
    })
    second.run.kill('SIGTERM')
    expect(await second.run.exited()).toBe(0)
  })
})
