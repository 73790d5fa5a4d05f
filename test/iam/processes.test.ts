/** Revocations and logouts in all worker processes of a machine, through the built command. */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { rawToken, signer } from '../../src/iam/world.fixture.ts'
import { ask } from '../harness/client.ts'
import { program } from '../harness/process.ts'
import { until } from '../harness/wait.ts'
import { proxyTo, withDefaults, world } from '../harness/world.ts'
import { Browser, SITE } from './browser.fixture.ts'
import { CLIENT, Provider } from './provider.fixture.ts'

const ISSUER = 'https://id.example.com'

it('hold in each worker within a second, also in one that is started again', async () => {
  const w = world()
  const origin = await w.origin()
  const provider = await Provider.start()
  w.onClose(() => provider.origin.close())
  const key = await signer('ES256', 'k1')
  const config = withDefaults(
    {
      ...proxyTo([origin]),
      workers: 2,
      trustedProxies: ['127.0.0.1'],
      admin: { token: { env: 'ADMIN' } },
      iam: {
        publicOrigin: SITE,
        issuers: [{ id: 'main', issuer: ISSUER, jwks: { keys: [key.jwk] } }],
        login: {
          issuer: provider.issuer,
          clientId: CLIENT.id,
          clientSecret: { env: 'CLIENT' },
          secret: { env: 'SEAL' },
        },
      },
      routes: [
        { id: 'api', match: { path: '/api' }, pools: ['app'], auth: { audience: 'api' } },
        { id: 'site', pools: ['app'], auth: { methods: ['session'] } },
      ],
    },
    w.folder,
  )
  const file = w.put('meridian.json', JSON.stringify(config))
  const run = program('cli/main.js', ['start', '--config', file], {
    ADMIN: 'admin-token-of-the-test',
    CLIENT: CLIENT.secret,
    SEAL: 's'.repeat(32),
  })
  const url = await run.says(/listening on (http:\/\/\S+)/)
  const control = await run.says(/control port on (http:\/\/\S+)/)
  const now = Math.floor(Date.now() / 1000)
  const token = await rawToken(
    { alg: 'ES256', kid: 'k1', typ: 'at+jwt' },
    { iss: ISSUER, sub: 'alice', aud: 'api', exp: now + 600, iat: now - 10, jti: 't1' },
    key,
  )
  /** Connections take turns over the workers: the statuses that any of them gives. */
  const statuses = async (send: () => Promise<{ status: number }>) => {
    const found = new Set<number>()
    for (let i = 0; i < 8; i++) found.add((await send()).status)
    return [...found]
  }
  const api = () => ask(`${url}/api`, { headers: { authorization: `Bearer ${token}` } })
  const order = (method: string, query: string, body?: object) =>
    ask(`${control}/revocations${query}`, {
      method,
      headers: {
        authorization: 'Bearer admin-token-of-the-test',
        'content-type': 'application/json',
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
  expect(await statuses(api)).toEqual([200])

  const revocation = { kind: 'sub', value: 'alice', before: now, expiresAt: now + 600 }
  const { id, ...done } = (await order('POST', '', revocation)).json<{ id: string }>()
  expect(done).toEqual({ workers: 2, of: 2 })
  expect(await statuses(api)).toEqual([401])

  // One dies; the one in its place has the list.
  const workers = () =>
    readFileSync(`/proc/${run.pid}/task/${run.pid}/children`, 'utf8').trim().split(' ').map(Number)
  const [pid = 0] = workers()
  process.kill(pid, 'SIGKILL')
  await until(
    'another one in its place',
    async () => {
      const headers = { authorization: 'Bearer admin-token-of-the-test' }
      const status = await ask(`${control}/status`, { headers })
      return !workers().includes(pid) && status.json<{ workers: number }>().workers === 2
    },
    30_000,
  )
  await until('both refuse', async () => `${await statuses(api)}` === '401')

  expect((await order('DELETE', `/${id}`)).status).toBe(200)
  expect(await statuses(api)).toEqual([200])

  // A logout in one worker ends the session in all.
  const browser = new Browser(url)
  expect((await browser.visit('/page')).status).toBe(200)
  const copy = new Map(browser.cookies)
  const logout = { method: 'POST', headers: { origin: SITE } }
  expect((await browser.send('/.meridian/login/logout', logout)).status).toBe(303)
  for (const [name, value] of copy) browser.cookies.set(name, value)
  const page = () => browser.send('/page', { headers: { accept: 'application/json' } })
  await until('all refuse', async () => `${await statuses(page)}` === '401', 1000)
  run.kill('SIGTERM')
  expect(await run.exited()).toBe(0)
}, 90_000)
