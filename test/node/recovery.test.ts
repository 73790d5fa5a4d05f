/** Outages that clients should not notice, and changes that should cut nobody; over real sockets. */
import { describe, expect, it } from 'vitest'
import { inProcess } from '../cli/cli.fixture.ts'
import { ask } from '../harness/client.ts'
import type { HttpOrigin } from '../harness/origin.ts'
import { readBody } from '../harness/origin.ts'
import { pause, ranMs, until } from '../harness/wait.ts'
import { pool, proxyTo, type TestConfig, type World, world } from '../harness/world.ts'

const GERMAN = { 'x-forwarded-for': '91.10.0.1' }

/** Frankfurt and Virginia with an origin each, which answer their names. */
async function twoRegions(w: World, handler?: Parameters<World['origin']>[0]) {
  const [europe, america] = await Promise.all(
    ['europe', 'america'].map((name) =>
      w.origin(handler ?? ((_request, response) => response.end(name))),
    ),
  )
  const config = (drain: boolean): TestConfig => ({
    trustedProxies: ['127.0.0.1'],
    pools: { europe: pool([europe!]), america: pool([america!]) },
    regions: [
      { id: 'eu-central-1', cloud: 'aws:eu-central-1', pools: ['europe'], drain },
      { id: 'us-east-1', cloud: 'aws:us-east-1', pools: ['america'] },
    ],
    routes: [{ id: 'site', cache: false }],
    shutdown: { drain: '5s' },
  })
  return { europe: europe as HttpOrigin, america: america as HttpOrigin, config }
}

describe('everything is down for a while', () => {
  it('and requests that may wait are served when it is back, within their hold', async () => {
    const w = world()
    const origins = [await w.origin(), await w.origin()]
    const gateway = await w.gateway({
      ...proxyTo(origins, { outlier: { baseEjection: '200ms' } }),
      routes: [
        { id: 'site', pools: ['app'], cache: false, retry: { hold: '10s', deadline: '15s' } },
      ],
    })
    expect((await ask(gateway.url)).status).toBe(200)
    for (const origin of origins) await origin.refuse()
    // What may not be sent twice does not wait.
    const lost = await ask(gateway.url, { method: 'POST', body: 'pay 10' })
    expect([502, 503]).toContain(lost.status)
    const waiting = Array.from({ length: 40 }, (_, i) =>
      ask(`${gateway.url}/${i}`, { deadlineMs: 20_000 }),
    )
    await pause(1000)
    for (const origin of origins) await origin.reopen()
    const answers = await Promise.all(waiting)
    expect(answers.map(({ status }) => status)).toEqual(Array(40).fill(200))
    expect(
      await gateway.metric('meridian_upstream_held_requests_total', { outcome: 'served' }),
    ).toBeGreaterThan(0)
  })

  it('and what is stored is served, old as it is', async () => {
    const w = world()
    const origin = await w.origin((_request, response) =>
      response
        .writeHead(200, { 'cache-control': 'max-age=1, stale-if-error=600', 'content-length': 3 })
        .end('old'),
    )
    const gateway = await w.gateway({
      pools: { app: pool([origin]) },
      routes: [{ id: 'site', pools: ['app'], cache: {} }],
    })
    expect((await ask(gateway.url)).text).toBe('old')
    await origin.refuse()
    await pause(1100)
    for (let i = 0; i < 5; i++) {
      const got = await ask(gateway.url)
      expect([got.status, got.text]).toEqual([200, 'old'])
      expect(Number(got.get('age'))).toBeGreaterThanOrEqual(1)
      expect(got.get('cache-status')).toContain('stale-if-error')
    }
    expect((await ask(`${gateway.url}/never-seen`)).status).toBeGreaterThanOrEqual(502)
  })
})

describe('an origin that trickles', () => {
  it('its header is left for another; its body is cut, visibly', async () => {
    const w = world()
    const timers = new Set<NodeJS.Timeout>()
    w.onClose(() => timers.forEach((timer) => void clearInterval(timer)))
    const trickle = (send: () => void) => timers.add(setInterval(send, 100))
    const header = 'HTTP/1.1 200 OK\r\nX-Padding: '
    const slowHeader = await w.socketOrigin((socket) => {
      let at = 0
      trickle(() => socket.write(header[at++] ?? 'x'))
    })
    const slowBody = await w.socketOrigin((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegun')
      setTimeout(() => trickle(() => socket.write('x')), 1500)
    })
    const good = await w.origin((_request, response) => response.end('good'))
    const gateway = await w.gateway({
      pools: {
        header: pool([slowHeader], { timeouts: { firstByte: '400ms' } }),
        body: pool([slowBody], { timeouts: { idle: '400ms' } }),
        good: pool([good]),
      },
      routes: [
        { id: 'header', match: { path: '/header' }, pools: ['header', 'good'], cache: false },
        { id: 'body', pools: ['body'], cache: false },
      ],
    })
    const began = ranMs()
    const other = await ask(`${gateway.url}/header`)
    expect([other.status, other.text]).toEqual([200, 'good'])
    expect(ranMs() - began).toBeLessThan(400 + 1500)
    const cut = await ask(`${gateway.url}/body`)
    expect([cut.status, cut.complete, cut.text]).toEqual([200, false, 'begun'])
  })

  it('is ejected after five cut bodies', async () => {
    const w = world()
    const cutting = await w.origin((_request, response) => {
      response.writeHead(200, { 'content-length': 1000 })
      response.write('half', () => response.destroy())
    })
    const good = await w.origin()
    const gateway = await w.gateway({
      ...proxyTo([cutting, good], { balance: 'round-robin', outlier: { baseEjection: '60s' } }),
    })
    for (let i = 0; i < 60; i++) {
      const got = await ask(`${gateway.url}/${i}`, { headers: { 'cache-control': 'no-store' } })
      expect([got.status, got.complete]).toEqual([200, true])
    }
    expect(cutting.hits.length).toBeLessThanOrEqual(5)
  })
})

describe('a region that is drained', () => {
  it('ends its downloads, and gets no new client', async () => {
    const w = world()
    const finish: (() => void)[] = []
    const { europe, america, config } = await twoRegions(w, (request, response) => {
      if (request.url !== '/download') {
        response.end(String(request.socket.localPort))
        return
      }
      response.write('x'.repeat(100_000))
      finish.push(() => response.end('end'))
    })
    const gateway = await w.gateway(config(false))
    const downloads = [1, 2, 3].map(() => ask(`${gateway.url}/download`, { headers: GERMAN }))
    await until('three downloads', () => finish.length === 3)
    gateway.write(config(true))
    await until('the reload', () =>
      gateway.log.some(({ message }) => message === 'config reloaded'),
    )
    const before = europe.hits.length
    for (let i = 0; i < 10; i++) {
      const got = await ask(`${gateway.url}/${i}`, { headers: GERMAN })
      expect(got.text).toBe(String(america.port))
    }
    expect(europe.hits.length).toBe(before)
    for (const end of finish) end()
    for (const got of await Promise.all(downloads)) {
      expect([got.complete, got.body.length]).toEqual([true, 100_003])
    }
  })
})

describe('a mirror that answers otherwise', () => {
  it('is reported, over a reload', async () => {
    const w = world()
    const origin = await w.origin((_request, response) => response.end('fine'))
    const mirror = await w.origin((request, response) => {
      if (request.url === '/gone') response.writeHead(404)
      response.end(request.url === '/body' ? 'else' : 'fine')
    })
    const config: TestConfig = {
      pools: { app: pool([origin]), copy: pool([mirror]) },
      routes: [{ id: 'shop', pools: ['app'], cache: false, mirror: { pool: 'copy' } }],
    }
    const gateway = await w.gateway(config)
    const control = gateway.running.control as string
    const compared = async (count: number) => {
      for (const path of ['/', '/body', '/gone']) await ask(`${gateway.url}${path}`)
      await until('the comparisons', async () => {
        const all = await gateway.metric('meridian_mirror_requests_total')
        return all === count
      })
    }
    await compared(3)
    gateway.write({ ...config, shutdown: { drain: '200ms' } })
    await until('the reload', () =>
      gateway.log.some(({ message }) => message === 'config reloaded'),
    )
    await compared(6)
    const { out } = await inProcess(['mirror', 'shop', '--control', control])
    expect(out).toMatch(/compared +6 \(33\.33 % alike\)/)
    expect(out).toMatch(/differ +2 in status, 2 in body/)
    expect(out).toContain('200 became 404: 2')
    expect(out).toMatch(/GET \/body: body 4-\w+-\w+ became 4-\w+-\w+/)
    const unknown = await inProcess(['mirror', 'shpo', '--control', control])
    expect([unknown.code, unknown.err]).toEqual([1, expect.stringContaining('there are "shop"')])
  })
})

describe('a mirror that hangs', () => {
  it('holds no more than its share, and no client waits for it', async () => {
    const w = world()
    const origin = await w.origin((request, response, hit) => {
      void readBody(request, hit).then(() => response.end('fine'))
    })
    let isHanging = false
    const mirror = await w.origin((_request, response) => {
      if (!isHanging) response.end('fine')
    })
    const gateway = await w.gateway({
      pools: { app: pool([origin]), copy: pool([mirror]) },
      routes: [
        {
          id: 'site',
          pools: ['app'],
          cache: false,
          mirror: { pool: 'copy', concurrency: 4, timeout: '60s' },
        },
      ],
    })
    const p95 = async () => {
      const times: number[] = []
      for (let i = 0; i < 100; i++) {
        const began = performance.now()
        const got = await ask(`${gateway.url}/${i}`)
        times.push(performance.now() - began)
        expect([got.status, got.text]).toEqual([200, 'fine'])
      }
      return times.sort((a, b) => a - b)[94] as number
    }
    const well = await p95()
    await until('the mirror is done', async () => {
      const done = await gateway.metric('meridian_mirror_requests_total', { result: 'match' })
      return done === 100
    })
    isHanging = true
    const hits = mirror.hits.length
    // A machine that others use is noisy; a client that waited for the mirror would wait a minute.
    expect(await p95()).toBeLessThan(well * 3 + 50)
    expect(mirror.hits.length - hits).toBe(4)
    const dropped = await gateway.metric('meridian_mirror_requests_total', { result: 'dropped' })
    expect(dropped).toBe(96)
  })
})
