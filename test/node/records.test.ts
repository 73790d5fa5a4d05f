/** One record for each request, which log, metrics and debug headers agree on; and reloads. */
import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import WebSocket, { WebSocketServer } from 'ws'
import { type Answer, ask, Wire } from '../harness/client.ts'
import { type HttpOrigin, refusingUrl } from '../harness/origin.ts'
import { until } from '../harness/wait.ts'
import { pool, proxyTo, type TestConfig, type TestGateway, World, world } from '../harness/world.ts'

const TOKEN = 'let-me-see-what-you-did'
const GERMAN = '91.10.12.34'

describe('the record of a request', () => {
  const shared = new World()
  let origin: HttpOrigin
  let gateway: TestGateway
  beforeAll(async () => {
    origin = await shared.origin((request, response) => {
      if (request.url === '/never') return
      if (request.url === '/half') {
        response.write('half')
        return
      }
      const cacheable = request.url?.startsWith('/cached') === true
      response.writeHead(200, cacheable ? { 'cache-control': 'max-age=60' } : {})
      response.end('answer')
    })
    gateway = await shared.gateway({
      trustedProxies: ['127.0.0.1'],
      pools: { app: pool([origin]), down: pool([{ url: await refusingUrl() }]) },
      regions: [{ id: 'eu-central-1', cloud: 'aws:eu-central-1', pools: ['app'] }],
      waf: { rulesets: ['basic'] },
      routes: [
        { id: 'cached', match: { path: '/cached' }, cache: {} },
        { id: 'down', match: { path: '/down' }, pools: ['down'] },
        { id: 'small', match: { path: '/small' }, bodyLimit: '1KiB' },
        { id: 'site', match: { path: ['/site', '/never', '/half'] } },
      ],
      telemetry: { debugHeaders: { token: { file: shared.put('token', `${TOKEN}\n`) } } },
    })
    await ask(`${gateway.url}/cached`)
    await gateway.records(1)
  })
  afterAll(() => shared.close())

  const request = (path: string, more: Parameters<typeof ask>[1] = {}) =>
    ask(`${gateway.url}${path}`, {
      ...more,
      headers: { 'x-forwarded-for': GERMAN, 'meridian-debug': TOKEN },
    })
  const raw = async (bytes: string): Promise<Answer | undefined> => {
    const wire = await Wire.open(gateway.port)
    wire.send(bytes)
    await wire.over()
    expect(wire.text).toMatch(/^HTTP\/1\.1 /)
    return undefined
  }
  const leave = async (path: string, waitFor?: RegExp): Promise<undefined> => {
    const wire = await Wire.open(gateway.port)
    wire.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await until('the request at the origin', () => origin.hits.at(-1)?.path === path)
    if (waitFor !== undefined) await wire.receive(waitFor)
    wire.close()
  }

  it.each([
    {
      name: 'served',
      run: () => request('/site'),
      line: { status: 200, outcome: 'served', route: 'site', region: 'eu-central-1', attempts: 1 },
      counted: { status_class: '2xx', route: 'site', region: 'eu-central-1' },
    },
    {
      name: 'served from the cache',
      run: () => request('/cached'),
      line: { status: 200, outcome: 'served', route: 'cached', cache: 'hit' },
      counted: { status_class: '2xx', route: 'cached', cache: 'hit' },
    },
    {
      name: 'without a route',
      run: () => request('/nowhere'),
      line: { status: 404, outcome: 'no-route' },
      counted: { status_class: '4xx', route: 'none' },
    },
    {
      name: 'blocked',
      run: () => request("/site?id=1'%20OR%20'1'='1"),
      line: { status: 403, outcome: 'blocked', route: 'site', blocked: true },
      counted: { status_class: '4xx', route: 'site' },
    },
    {
      name: 'failed',
      run: () => request('/down'),
      line: { status: 502, outcome: 'origin-connect', route: 'down', attempts: 2 },
      counted: { status_class: '5xx', route: 'down' },
    },
    {
      name: 'too large',
      run: () => request('/small', { method: 'POST', body: 'x'.repeat(2000) }),
      line: { status: 413, outcome: 'body-too-large', method: 'POST' },
      counted: { status_class: '4xx', method: 'POST' },
    },
    {
      name: 'refused by the front',
      run: () => raw('GET / HTTP/1.1\r\n\r\n'),
      line: { status: 400, outcome: 'bad-host' },
      counted: { status_class: '4xx' },
    },
    {
      name: 'refused by the parser',
      run: () => raw('GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n'),
      line: { status: 400, outcome: 'bad-request' },
      counted: { status_class: '4xx' },
    },
    {
      name: 'left before an answer',
      run: () => leave('/never'),
      line: { outcome: 'client-closed', route: 'site', aborted: true },
      counted: { route: 'site' },
    },
    {
      name: 'left in the middle of an answer',
      run: () => leave('/half', /half/),
      line: { status: 200, outcome: 'served', route: 'site', bytes_out: 4, aborted: true },
      counted: { status_class: '2xx', route: 'site' },
    },
  ] as {
    name: string
    run: () => Promise<Answer | undefined>
    line: Record<string, unknown>
    counted: Record<string, string>
  }[])('that is $name', async ({ run, line, counted }) => {
    const before = gateway.lines().length
    const NAME = 'meridian_http_requests_total'
    const [all, these] = [await gateway.metric(NAME), await gateway.metric(NAME, counted)]
    const problems = await gateway.metric('meridian_http_problems_total')
    const answer = await run()
    const lines = await gateway.records(before + 1)
    expect(lines).toHaveLength(before + 1)
    const last = lines.at(-1)!
    expect(last).toMatchObject(line)
    expect(await gateway.metric(NAME)).toBe(all + 1)
    expect(await gateway.metric(NAME, counted)).toBe(these + 1)
    expect(await gateway.metric('meridian_http_problems_total')).toBe(
      problems + (last.outcome === 'served' ? 0 : 1),
    )
    if (answer === undefined) return
    expect(answer.status).toBe(last.status)
    expect(answer.get('x-request-id')).toBe(last.id)
    expect(answer.get('meridian-request-id')).toBe(last.id)
    expect(answer.get('meridian-outcome')).toBe(last.outcome)
    expect(answer.get('meridian-route') ?? undefined).toBe(last.route)
    expect(answer.get('meridian-geo')).toMatch(/^DE;/)
    expect(last.client).toBe('91.10.12.0')
    expect(last.bytes_out).toBe(answer.body.length)
  })

  it('shows no address and no credential', async () => {
    const secrets = {
      'x-forwarded-for': '2001:db8:aaaa:bbbb:cccc::1',
      authorization: 'Bearer credential-1',
      cookie: 'session=credential-2',
      referer: 'https://user:credential-3@example.test/?access_token=credential-4',
      'meridian-debug': TOKEN,
    }
    const before = gateway.lines().length
    await ask(`${gateway.url}/site?token=credential-5&password=credential-6&page=7`, {
      headers: secrets,
    })
    const line = JSON.stringify((await gateway.records(before + 1)).at(-1))
    expect(line).not.toContain('credential')
    expect(line).not.toContain('bbbb')
    expect(line).not.toContain(TOKEN)
    expect(line).toContain('page=7')
    expect(JSON.parse(line)).toMatchObject({ client: '2001:db8:aaaa::' })
    expect(origin.hits.at(-1)?.headers['meridian-debug']).toBeUndefined()
  })

  it.each([undefined, '', '1', 'let-me-see-what-you-do', `${TOKEN} `.repeat(2)])(
    'is shown to nobody without the token (%j)',
    async (token) => {
      const got = await ask(`${gateway.url}/site`, {
        headers: token === undefined ? {} : { 'meridian-debug': token },
      })
      expect(got.fields.filter((_, i) => i % 2 === 0).join()).not.toMatch(/meridian-/i)
    },
  )
})

describe('a changed config', () => {
  const answering = (text: string): TestConfig => ({
    routes: [{ id: 'r', respond: { body: text } }],
  })

  it('takes effect without cutting what is under way', async () => {
    const w = world()
    let download: ServerResponse | undefined
    const origin = await w.origin((request, response) => {
      if (request.url !== '/download') response.end('old')
      else {
        response.writeHead(200, { 'content-length': 10 })
        response.write('12345')
        download = response
      }
    })
    const sockets = new WebSocketServer({ server: origin.server })
    w.onClose(() => sockets.close())
    sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
    const other = await w.origin((_request, response) => response.end('new'))
    const gateway = await w.gateway(proxyTo([origin]))
    const client = new WebSocket(`ws://127.0.0.1:${gateway.port}/`)
    w.onClose(() => client.terminate())
    await new Promise((resolve) => client.once('open', resolve))
    const slow = ask(`${gateway.url}/download`)
    await until('the download', () => download)
    const kept = await Wire.open(gateway.port)
    kept.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await kept.receive(/old/)

    gateway.write(proxyTo([other]))
    await until('the new route', async () => (await ask(gateway.url)).text === 'new')
    kept.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await kept.receive(/new/)
    kept.close()
    client.send('still there?')
    const echoed = await new Promise((resolve) => client.once('message', resolve))
    expect(String(echoed)).toBe('still there?')
    download?.end('67890')
    expect(await slow).toMatchObject({ text: '1234567890', complete: true })
    client.close()
    await until('the old connections to end', () => origin.sockets.size === 0)
  })

  it.each([
    { name: 'not JSON', text: '{"routes": [' },
    { name: 'an unknown key', text: '{"routes": [{"id": "r", "respnd": {}}]}' },
    {
      name: 'an expression that does not compile',
      text: '{"routes": [{"match": "http.hots eq 1"}]}',
    },
    { name: 'empty', text: '' },
  ])('that is wrong ($name) changes nothing, and says so', async ({ text }) => {
    const w = world()
    const gateway = await w.gateway(answering('one'))
    const successful = () => gateway.metric('meridian_config_last_reload_successful')
    expect(await successful()).toBe(1)
    expect((await gateway.status()).config.lastError).toBeNull()
    gateway.write(text)
    const error = await until('the error', async () => {
      const { config } = await gateway.status()
      return config.lastError ?? undefined
    })
    expect(error).toMatch(/meridian\.json|config/)
    expect(await successful()).toBe(0)
    expect(await gateway.metric('meridian_config_reloads_total', { result: 'failure' })).toBe(1)
    expect(gateway.log.filter((entry) => entry.level === 'error')).toHaveLength(1)
    expect((await ask(gateway.url)).text).toBe('one')
    gateway.write(answering('two'))
    await until('the repaired one', async () => (await ask(gateway.url)).text === 'two')
    expect(await successful()).toBe(1)
    expect((await gateway.status()).config.lastError).toBeNull()
  })

  it('may come many times in a row: the last one wins', async () => {
    const w = world()
    const gateway = await w.gateway(answering('0'))
    for (let i = 1; i <= 20; i++) {
      gateway.write(answering(String(i)))
      expect((await ask(gateway.url)).status).toBe(200)
    }
    await until('the last one', async () => (await ask(gateway.url)).text === '20')
  })
})
