/** Login of browsers by OpenID Connect with the Worker in workerd, a provider and an origin over real sockets. */
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { Miniflare } from 'miniflare'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { MeridianConfigInput } from '../../src/config/schema.ts'
import { HttpOrigin } from '../harness/origin.ts'
import { Browser, SITE } from '../iam/browser.fixture.ts'
import { CLIENT, Provider } from '../iam/provider.fixture.ts'

const SESSION = '__Host-meridian-session'
const CALLBACK = `${SITE}/.meridian/login/callback`
const root = fileURLToPath(new URL('../..', import.meta.url))

let provider: Provider
let app: HttpOrigin
let worker: Miniflare
let url: string

async function script(config: MeridianConfigInput): Promise<string> {
  const bundled = await build({
    stdin: {
      contents: `
        import { createWorker } from './src/runtimes/workers/worker.ts'
        import { openId } from './src/runtimes/web/openid.ts'
        export default createWorker({ config: ${JSON.stringify(JSON.stringify(config))}, openId })`,
      resolveDir: root,
    },
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2024',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    conditions: ['workerd', 'worker', 'import'],
    external: ['node:*', 'cloudflare:*'],
    logLevel: 'error',
  })
  return bundled.outputFiles[0]!.text
}

beforeAll(async () => {
  provider = await Provider.start()
  app = await HttpOrigin.start((request, response) => void response.end(`page ${request.url}`))
  worker = new Miniflare({
    modules: true,
    script: await script({
      telemetry: { access: { enabled: false } },
      waf: { mode: 'off' },
      trustedProxies: ['127.0.0.1'],
      pools: { app: { origins: [{ id: 'a', url: app.url }] } },
      iam: {
        publicOrigin: SITE,
        login: {
          issuer: provider.issuer,
          clientId: CLIENT.id,
          clientSecret: { env: 'LOGIN_CLIENT' },
          secret: { env: 'LOGIN_SEAL' },
          map: { tenant: 'org' },
        },
      },
      routes: [{ id: 'site', pools: ['app'], auth: { methods: ['session'] } }],
    }),
    compatibilityDate: '2026-04-01',
    compatibilityFlags: ['nodejs_compat', 'enable_request_signal'],
    bindings: {
      PLATFORM: 'local',
      // The control paths are on, and must leave those of the login alone.
      EDGE_TOKEN: 'secret-of-the-test',
      LOGIN_CLIENT: CLIENT.secret,
      LOGIN_SEAL: 'a secret of at least thirty-two bytes',
    },
    cf: false,
    host: '127.0.0.1',
    port: 0,
  })
  url = (await worker.ready).origin
}, 60_000)

afterAll(async () => {
  await worker?.dispose()
  await app?.close()
  await provider?.origin.close()
})

describe('a browser that logs in at a Worker', () => {
  it('comes back to its page as its user, stays logged in, and can log out', async () => {
    const browser = new Browser(url)
    const page = await browser.visit('/page?a=1')
    expect(page.visited.map((address) => address.split('?')[0])).toEqual([
      `${SITE}/page`,
      `${provider.issuer}/authorize`,
      CALLBACK,
      `${SITE}/page`,
    ])
    expect([page.status, page.text]).toEqual([200, 'page /page?a=1'])
    expect([...browser.cookies.keys()]).toEqual([SESSION])
    expect(app.hits.at(-1)?.headers).toMatchObject({
      'x-auth-method': 'session',
      'x-auth-subject': 'alice',
      'x-auth-tenant': 'acme',
      'x-auth-roles': 'admin,ops',
    })
    expect(app.hits.at(-1)?.headers.cookie).toBeUndefined()
    const before = provider.origin.hits.length
    expect((await browser.send('/other')).text).toBe('page /other')
    expect(provider.origin.hits.length).toBe(before)
    const hits = app.hits.length
    await browser.visit('/.meridian/login/logout', { method: 'POST' })
    expect(browser.cookies.has(SESSION)).toBe(false)
    const asked = await browser.send('/page')
    expect(asked.get('location')).toContain(`${provider.issuer}/authorize`)
    expect(app.hits.length).toBe(hits)
  })

  it('is let in by no callback of somebody else’s, and by no cookie that was changed', async () => {
    const mallory = new Browser(url)
    const sent = await mallory.send('/page')
    const back = await fetch(sent.get('location')!, { redirect: 'manual' })
    const callback = new URL(back.headers.get('location')!)
    const victim = new Browser(url)
    const stolen = await victim.send(callback.pathname + callback.search)
    expect(stolen.status).toBeGreaterThanOrEqual(400)
    expect(victim.cookies.has(SESSION)).toBe(false)
    const alice = new Browser(url)
    await alice.visit('/page')
    const session = alice.cookies.get(SESSION)!
    const at = session.length >> 1
    const changed = session[at] === 'A' ? 'B' : 'A'
    alice.cookies.set(SESSION, session.slice(0, at) + changed + session.slice(at + 1))
    const refused = await alice.send('/data', { headers: { accept: 'application/json' } })
    expect(refused.status).toBe(401)
  })
})
