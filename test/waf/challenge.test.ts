/** Challenges through whole gateways: over sockets with the page's own script, and on a clock that is told. */
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { type ConfigError, formatProblem } from '../../src/config/errors.ts'
import { builtInRuleset } from '../../src/runtimes/node/rulesets.ts'
import { WebGateway } from '../../src/runtimes/web/instance.ts'
import { type AskOptions, ask } from '../harness/client.ts'
import { program } from '../harness/process.ts'
import { type Simulated, type SimulatedConfig, simulated } from '../harness/simulated.ts'
import { pairOf, posedBy, solved, unsolved } from '../harness/solve.ts'
import {
  proxyTo,
  sumOf,
  type TestConfig,
  type World,
  withDefaults,
  world,
} from '../harness/world.ts'

const BROWSER = { accept: 'text/html,*/*;q=0.8', 'user-agent': 'Browser/1' }
const ANSWERS = '/.meridian/challenge'

/** Everything below /shop is challenged, /shop/admin is blocked whatever one has solved. */
function waf(w: World, challenge: object = { difficulty: 8 }): NonNullable<TestConfig['waf']> {
  const rule = (id: string, action: string, path: string) => ({
    id,
    description: id,
    expression: `starts_with(http.request.uri.path, "${path}")`,
    action,
  })
  const rules = [rule('ask', 'challenge', '/shop'), rule('admin', 'block', '/shop/admin')]
  const file = w.put('rules.json', JSON.stringify({ ruleset: 'own', rules }))
  return { rulesets: [{ file }], challenge }
}

/** The clearance that a browser gets which solves what `url` asks. */
async function clearance(url: string, headers: Record<string, string> = BROWSER): Promise<string> {
  const page = await ask(`${url}/shop`, { headers })
  const body = await solved(posedBy(page.text))
  const done = await ask(url + ANSWERS, { method: 'POST', headers, body })
  expect(done.status).toBe(204)
  return pairOf(done.get('set-cookie'))
}

describe('a challenged browser', () => {
  it('gets in by the script of its page, and neither origin nor cache sees the cookie', async () => {
    const w = world()
    const origin = await w.origin((_, response) => {
      response.setHeader('cache-control', 'max-age=60')
      response.end('wares')
    })
    const gateway = await w.gateway({
      ...proxyTo([origin]),
      routes: [
        {
          id: 'site',
          pools: ['app'],
          cache: { key: { cookies: ['a', 'meridian-clearance'] } },
          transforms: { response: { set: { 'content-security-policy': "default-src 'self'" } } },
        },
      ],
      waf: waf(w, { difficulty: 10 }),
    })
    const page = await ask(`${gateway.url}/shop?x=1`, { headers: BROWSER })
    expect([page.status, page.get('cache-control')]).toEqual([403, 'no-store'])
    expect(page.get('content-security-policy')).toMatch(/^default-src 'none'; script-src 'sha256-/)
    expect(page.text).not.toMatch(/(src|href)=|https?:|style="|onclick="/)
    const head = await ask(`${gateway.url}/shop`, { method: 'HEAD', headers: BROWSER })
    expect([head.status, head.text, head.get('content-type')]).toEqual([
      403,
      '',
      'text/html; charset=utf-8',
    ])

    await expect(runPage(page.text, gateway.url, { cookieEnabled: false })).rejects.toThrow(
      'needs cookies',
    )
    const stored = `${Date.now()} 3`
    await expect(runPage(page.text, gateway.url, { stored })).rejects.toThrow('does not hold')
    const forged = page.text.replace('data-ticket="q.', 'data-ticket="q.9')
    await expect(runPage(forged, gateway.url)).rejects.toThrow('not accepted')
    const { reloads, field } = await runPage(page.text, gateway.url)
    expect(reloads).toBe(1)
    expect(field).toMatch(/^meridian-clearance=\S+; Path=\/; Max-Age=1800; HttpOnly; SameSite=Lax$/)
    const cookie = pairOf(field)
    const shop = (more: string) =>
      ask(`${gateway.url}/shop`, { headers: { ...BROWSER, cookie: more } })
    expect(await shop(`a=1; ${cookie}; b=2`)).toMatchObject({ status: 200, text: 'wares' })
    expect(origin.hits.at(-1)?.headers.cookie).toBe('a=1; b=2')
    // A clearance of another time is the same request to the cache.
    expect((await shop(`a=1; b=2; ${await clearance(gateway.url)}`)).status).toBe(200)
    expect(origin.hits).toHaveLength(1)
    expect((await shop(cookie)).status).toBe(200)
    expect(origin.hits.at(-1)?.headers.cookie).toBeUndefined()

    const admin = await ask(`${gateway.url}/shop/admin`, { headers: { ...BROWSER, cookie } })
    expect([admin.status, admin.json().type]).toEqual([403, 'urn:meridian:problem:blocked'])
    expect(origin.hits.map(({ path }) => path)).toEqual(['/shop', '/shop'])

    const count = (outcome: string, reason: string) =>
      gateway.metric('meridian_waf_challenges_total', { outcome, reason })
    expect(await count('issued', 'missing')).toBe(3)
    expect([await count('solved', 'none'), await count('passed', 'none')]).toEqual([2, 4])
    expect(await gateway.metric('meridian_waf_matches_total', { action: 'cleared' })).toBe(4)
    const lines = await gateway.records(10)
    expect(lines.filter(({ cleared }) => cleared === true).map(({ blocked }) => blocked)).toEqual([
      false,
      false,
      false,
      true,
    ])
    expect(
      gateway.log.filter(({ message }) => message.includes('waf.challenge.secret')),
    ).toHaveLength(1)
    // What was drawn outlives a reload.
    const { instance } = gateway.running
    expect(await instance.reload(instance.bundle)).toBe(true)
    expect((await shop(cookie)).status).toBe(200)
  })

  it('gets a cookie for its host and TLS only where there is TLS', async () => {
    const w = world()
    const origin = await w.origin()
    const gateway = await w.gateway({
      ...proxyTo([origin]),
      waf: waf(w),
      trustedProxies: ['127.0.0.1'],
    })
    const secure = { ...BROWSER, 'x-forwarded-for': '192.0.2.7', 'x-forwarded-proto': 'https' }
    const page = await ask(`${gateway.url}/shop`, { headers: secure })
    const body = await solved(posedBy(page.text))
    const done = await ask(gateway.url + ANSWERS, { method: 'POST', headers: secure, body })
    const field = done.get('set-cookie') ?? ''
    expect(field).toMatch(/^__Host-meridian-clearance=\S+; Path=\/; .*; Secure$/)
    const cookie = pairOf(field)
    const status = async (headers: Record<string, string>) =>
      (await ask(`${gateway.url}/shop`, { headers: { ...secure, cookie, ...headers } })).status
    expect(await status({})).toBe(200)
    expect(await status({ 'x-forwarded-for': '192.0.2.99' })).toBe(200)
    expect(await status({ 'x-forwarded-for': '192.0.3.7' })).toBe(403)
    expect(await status({ cookie: cookie.replace('__Host-', '') })).toBe(403)
    expect(await status({ 'x-forwarded-proto': 'http' })).toBe(403)
    expect(origin.hits).toHaveLength(2)
    expect(origin.hits.every(({ headers }) => headers.cookie === undefined)).toBe(true)
    // The page of one network is not solved by another.
    const elsewhere = { ...secure, 'x-forwarded-for': '198.51.100.1' }
    expect(
      (await ask(gateway.url + ANSWERS, { method: 'POST', headers: elsewhere, body })).status,
    ).toBe(403)
    expect(
      await gateway.metric('meridian_waf_challenges_total', {
        outcome: 'failed',
        reason: 'address',
      }),
    ).toBe(1)
  })
})

describe('everybody else', () => {
  it('is told that a challenge is needed, and wrong answers are refused', async () => {
    const w = world()
    const origin = await w.origin()
    const gateway = await w.gateway({
      ...proxyTo([origin]),
      waf: waf(w),
      penaltyBox: { threshold: 1000 },
    })
    const shop = `${gateway.url}/shop`
    for (const options of [
      { headers: { accept: 'application/json' } },
      { headers: { accept: '*/*' } },
      { method: 'POST', headers: BROWSER, body: 'x=1' },
    ]) {
      const answer = await ask(shop, options)
      expect([answer.status, answer.get('content-type')]).toEqual([403, 'application/problem+json'])
      expect(answer.json()).toMatchObject({
        type: 'urn:meridian:problem:challenge',
        detail: expect.stringContaining('browser'),
      })
    }
    const posed = posedBy((await ask(shop, { headers: BROWSER })).text)
    const good = await solved(posed)
    const post = (body: string | undefined, more: AskOptions = {}) =>
      ask(gateway.url + ANSWERS, {
        method: 'POST',
        headers: BROWSER,
        ...more,
        ...(body === undefined ? {} : { body }),
      })
    const cases: [string, string | undefined, AskOptions?][] = [
      ['unsolved', await unsolved(posed)],
      ['signature', good.replace(/^q\.\d/, 'q.2')],
      ['agent', good, { headers: { ...BROWSER, 'user-agent': 'Other' } }],
      ['signature', good, { headers: { ...BROWSER, host: 'other.example' } }],
      ['malformed', undefined],
      ['malformed', 'x'.repeat(100)],
      ['malformed', 'x'.repeat(100_000)],
      ['malformed', 'x'.repeat(100_000), { chunked: true }],
      ['malformed', `${good}${' '.repeat(200)}`, { chunked: true }],
    ]
    const count = (reason: string) =>
      gateway.metric('meridian_waf_challenges_total', { outcome: 'failed', reason })
    for (const [reason, body, more] of cases) {
      const before = await count(reason)
      const answer = await post(body, more)
      expect([reason, answer.status, answer.get('set-cookie')]).toEqual([reason, 403, undefined])
      expect(answer.json().type).toBe('urn:meridian:problem:challenge-failed')
      expect([reason, await count(reason)]).toEqual([reason, before + 1])
    }
    // What no honest browser sends: here a signature may be from before a restart.
    const held = await gateway.metric('meridian_penalty_events_total', { event: 'challenge' })
    expect(held).toBe(cases.filter(([reason]) => /unsolved|malformed/.test(reason)).length)
    const get = await ask(gateway.url + ANSWERS)
    expect([get.status, get.get('allow')]).toEqual([405, 'POST'])
    expect((await post(good, { chunked: true })).status).toBe(204)
    expect(origin.hits).toHaveLength(0)
    // Without a rule that asks, the path and the cookie are the site's.
    const open = await w.gateway({ ...proxyTo([origin]), waf: { rulesets: ['basic'] } })
    const cookie = 'meridian-clearance=x'
    expect((await ask(open.url + ANSWERS, { headers: { cookie } })).status).toBe(200)
    expect(origin.hits.at(-1)?.headers.cookie).toBe(cookie)
  })
})

const XSS = '/search?q=%3Cscript%3Ealert(1)%3C/script%3E'

const OVERRIDES = [{ ids: ['cross-site-scripting'], action: 'challenge' as const }]

function challengingXss(ttl = '30m'): SimulatedConfig {
  return {
    waf: { rulesets: [{ name: 'basic', overrides: OVERRIDES }], challenge: { difficulty: 8, ttl } },
  }
}

const flat = (headers: Record<string, string>) => Object.entries(headers).flat()

describe('time', () => {
  it('ends a clearance, and explain says why each request was answered as it was', async () => {
    const g = await simulated(challengingXss('10m'))
    const { visitor } = g.begin(XSS, { headers: flat(BROWSER) }).exchange
    const ticket = g.gateway.snapshot.challenge?.clear(visitor, g.clock.now()) ?? ''
    const question = {
      headers: flat({ ...BROWSER, cookie: `__Host-meridian-clearance=${ticket}` }),
    }
    expect((await g.ask(XSS, question)).status).toBe(200)
    expect(await g.why(XSS, { headers: flat(BROWSER) })).toMatch(
      /^inspect: Rule cross-site-scripting asks for a challenge: .* It shows no clearance\.$/,
    )
    await g.clock.pass(599_000)
    expect((await g.ask(XSS, question)).status).toBe(200)
    await g.clock.pass(1000)
    expect(await g.ask(XSS, question)).toMatchObject({ status: 403, outcome: 'challenge' })
    expect(await g.why(XSS, question)).toMatch(/Its clearance does not hold: expired\.$/)
    expect(await g.why(ANSWERS, { method: 'POST' })).toBe(
      'accept: The answer to a challenge was refused: malformed.',
    )
    // What is only simulated asks nobody.
    await g.reload({ ...challengingXss(), waf: { ...challengingXss().waf, mode: 'simulate' } })
    expect((await g.ask(XSS, { headers: flat(BROWSER) })).status).toBe(200)
  })
})

describe('the penalty box', () => {
  const config = (secret: boolean): SimulatedConfig => ({
    penaltyBox: { threshold: 6 },
    waf: {
      rulesets: [{ name: 'basic', overrides: OVERRIDES }],
      challenge: { difficulty: 8, ...(secret && { secret: { env: 'KEY' } }) },
    },
  })
  const cookie = (value: string, more: object = {}) => ({
    headers: flat({ ...BROWSER, cookie: `__Host-meridian-clearance=${value}`, ...more }),
  })
  const fed = (g: Simulated) => g.metric('meridian_penalty_events_total', { event: 'challenge' })

  it('takes who forges: twice by the default weight, and the third is refused unseen', async () => {
    const g = await simulated(config(true))
    const { visitor } = g.begin(XSS, { headers: flat(BROWSER) }).exchange
    const good = g.gateway.snapshot.challenge?.clear(visitor, g.clock.now()) ?? ''
    const forged = good.slice(0, -2) + (good.endsWith('AA') ? 'BB' : 'AA')
    expect(await g.ask(XSS, cookie(forged))).toMatchObject({ status: 403, outcome: 'challenge' })
    expect((await g.ask(ANSWERS, { method: 'POST' })).outcome).toBe('challenge-failed')
    expect(await fed(g)).toBe(2)
    expect(await g.ask('/', cookie(good))).toMatchObject({ status: 429, outcome: 'penalized' })
    expect(g.events('shut-out').map(({ detail }) => detail.because)).toEqual(['challenge'])
    expect((await g.ask(XSS, { ip: '198.51.100.9', ...cookie('x') })).outcome).toBe('challenge')
  })

  it('holds nothing against who is late, has moved, or was cleared before a restart', async () => {
    const g = await simulated(config(false))
    const { visitor } = g.begin(XSS, { headers: flat(BROWSER) }).exchange
    const good = g.gateway.snapshot.challenge?.clear(visitor, g.clock.now()) ?? ''
    const changed = good.slice(0, -2) + (good.endsWith('AA') ? 'BB' : 'AA')
    for (let i = 0; i < 3; i++) {
      expect((await g.ask(XSS, { headers: flat(BROWSER) })).outcome).toBe('challenge')
      expect((await g.ask(XSS, cookie(changed))).outcome).toBe('challenge')
      expect((await g.ask(XSS, cookie(good, { 'user-agent': 'New/2' }))).outcome).toBe('challenge')
    }
    await g.clock.pass(30 * 60_000)
    expect((await g.ask(XSS, cookie(good))).outcome).toBe('challenge')
    expect(await fed(g)).toBe(0)
  })

  it('weighs it as the config says', async () => {
    const g = await simulated({ ...config(true), penaltyBox: { weights: { challenge: 0 } } })
    for (let i = 0; i < 20; i++) await g.ask(ANSWERS, { method: 'POST' })
    expect((await g.ask('/')).status).toBe(200)
  })
})

describe('a config', () => {
  const secret = { env: 'KEY' }
  it.each<{ name: string; challenge: object; env?: string; on?: 'web' | 'workers'; says: string }>([
    {
      name: 'without a secret, on a Worker',
      challenge: {},
      on: 'workers',
      says: 'waf.challenge: a rule challenges, and there is no secret that all isolates share',
    },
    {
      name: 'with a short secret',
      challenge: { secret },
      env: 'short',
      says: 'waf.challenge.secret: the secret has 5 bytes; at least 32 are expected',
    },
    {
      name: 'with a second secret that is short',
      challenge: { secret: [secret, { env: 'OLD' }] },
      says: 'waf.challenge.secret[1]: the secret has 3 bytes',
    },
    { name: 'that is too hard', challenge: { difficulty: 23 }, says: 'waf.challenge.difficulty' },
    { name: 'that is too easy', challenge: { difficulty: 7 }, says: 'waf.challenge.difficulty' },
    {
      name: 'that remembers too long',
      challenge: { ttl: '25h' },
      says: 'waf.challenge.ttl: a clearance holds between 1m and 1d',
    },
    { name: 'with an unknown key', challenge: { dificulty: 9 }, says: 'difficulty' },
  ])('$name is refused', async ({ challenge, env = 'x'.repeat(32), on = 'web', says }) => {
    const config = JSON.stringify({
      routes: [{ id: 'r', respond: { body: 'x' } }],
      waf: { rulesets: [{ name: 'basic', overrides: OVERRIDES }], challenge },
    })
    const problems = await WebGateway.create({
      config,
      name: on,
      rulesets: builtInRuleset,
      env: { KEY: env, OLD: 'old' },
    }).then(
      () => 'it was taken',
      (error: ConfigError) => error.problems.map(formatProblem).join('\n'),
    )
    expect(problems).toContain(says)
  })
})

describe('worker processes', { timeout: 60_000 }, () => {
  it('take each other’s clearances without a secret, and warn once', async () => {
    const w = world()
    const origin = await w.origin()
    const config = withDefaults({ ...proxyTo([origin]), waf: waf(w), workers: 2 }, w.folder)
    const run = program('cli/main.js', [
      'start',
      '--config',
      w.put('m.json', JSON.stringify(config)),
    ])
    const url = await run.says(/listening on (http:\/\/\S+)/)
    const control = await run.says(/control port on (http:\/\/\S+)/)
    const cookie = await clearance(url)
    for (let i = 0; i < 8; i++) {
      expect((await ask(`${url}/shop`, { headers: { ...BROWSER, cookie } })).status).toBe(200)
    }
    const text = (await ask(`${control}/metrics`)).text
    expect(sumOf(text, 'meridian_waf_challenges_total', { outcome: 'passed' })).toBe(8)
    run.kill('SIGTERM')
    expect(await run.exited()).toBe(0)
    expect(`${run.err}${run.out}`.match(/waf\.challenge\.secret is not set/g)).toHaveLength(1)
  })
})

/** Runs the script of a page in a context that has what a browser has. */
async function runPage(
  page: string,
  url: string,
  browser: { cookieEnabled?: boolean; stored?: string } = {},
): Promise<{ reloads: number; field: string }> {
  const script = /<script>([\s\S]*)<\/script>/.exec(page)?.[1] ?? ''
  const { ticket, difficulty } = posedBy(page)
  const element = { dataset: { ticket, difficulty: String(difficulty) }, textContent: '' }
  let { stored } = browser
  let field = ''
  let reloads = 0
  await new Promise<void>((resolve, reject) => {
    const reload = () => {
      reloads++
      resolve()
    }
    runInNewContext(script, {
      document: {
        querySelector: () => element,
        getElementById: (id: string) => {
          if (id === 'again') reject(new Error(element.textContent))
          return element
        },
      },
      navigator: { cookieEnabled: browser.cookieEnabled ?? true },
      location: { reload },
      sessionStorage: {
        getItem: () => stored ?? null,
        setItem: (_: string, value: string) => {
          stored = value
        },
      },
      performance,
      setTimeout,
      fetch: async (path: string, { method, body }: { method: string; body: string }) => {
        const answer = await ask(url + path, { method, body, headers: BROWSER })
        field = answer.get('set-cookie') ?? ''
        return { ok: answer.status === 204 }
      },
    })
  })
  return { reloads, field }
}
