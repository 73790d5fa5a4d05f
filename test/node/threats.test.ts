/** Threats and alerts of a gateway, over sockets. */
import { createHmac } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import { inProcess } from '../cli/cli.fixture.ts'
import { ask } from '../harness/client.ts'
import { program } from '../harness/process.ts'
import { until } from '../harness/wait.ts'
import { pool, type TestConfig, type World, withDefaults, world } from '../harness/world.ts'

const SECRET = 'the receiver knows this'

interface Received {
  readonly isSigned: boolean
  readonly body: {
    readonly data: { readonly alert: string; readonly state: string; readonly summary: string }
  }
}

/** A receiver that checks signatures; it does not answer the first message. */
async function receiver(w: World) {
  const received: Received[] = []
  let isFirst = true
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const piece of request.setEncoding('utf8')) text += piece
    if (isFirst) {
      isFirst = false
      request.socket.destroy()
      return
    }
    const {
      'webhook-id': id,
      'webhook-timestamp': time,
      'webhook-signature': mac,
    } = request.headers
    const expected = createHmac('sha256', SECRET).update(`${id}.${time}.${text}`).digest('base64')
    received.push({ isSigned: mac === `v1,${expected}`, body: JSON.parse(text) })
    response.writeHead(204).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  w.onClose(() => new Promise((resolve) => server.close(resolve)))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?team=7`
  return { url, received }
}

describe('threats', () => {
  it('an attacking network is found, told, and its guilty clients are shut out, no others', async () => {
    const w = world()
    const { url, received } = await receiver(w)
    const origin = await w.origin((request, response) => {
      response.writeHead(request.url === '/' ? 200 : 404)
      response.end()
    })
    const gateway = await w.gateway({
      trustedProxies: ['127.0.0.1'],
      pools: { app: pool([origin]) },
      routes: [{ id: 'site', pools: ['app'] }],
      penaltyBox: { weights: { notFound: 0, anomaly: 10 }, threshold: 30 },
      threats: { action: 'ban' },
      alerts: [
        {
          name: 'attack',
          when: { anomaly: 80 },
          url,
          secret: { file: w.put('secret', `${SECRET}\n`) },
        },
      ],
    })
    const from = (ip: string, path: string) =>
      ask(`${gateway.url}${path}`, { headers: { 'x-forwarded-for': ip } })
    const statuses: number[] = []
    for (let i = 0; i < 140; i++) statuses.push((await from('203.0.113.66', `/scan/${i}`)).status)
    expect(statuses.slice(0, 20)).toEqual(Array(20).fill(404))
    expect(statuses.at(-1)).toBe(429)
    expect((await from('203.0.113.67', '/')).status).toBe(200)
    expect((await from('198.51.100.1', '/typo')).status).toBe(404)

    const shown = await inProcess(['threats', '--control', gateway.running.control ?? ''])
    expect(shown.code).toBe(0)
    expect(shown.out).toMatch(/203\.0\.113\.0\/24 +site +\d+ +\d+ s +.*asked in vain/)
    const { out } = await inProcess([
      'threats',
      '--json',
      '--control',
      gateway.running.control ?? '',
    ])
    expect(JSON.parse(out)).toMatchObject({
      anomalies: [{ network: '203.0.113.0/24', route: 'site' }],
      attackers: [{ network: '203.0.113.0/24' }],
    })
    expect(await gateway.metric('meridian_threats')).toBe(1)
    expect(await gateway.metric('meridian_threat_anomalies_total', { route: 'site' })).toBe(1)
    expect(await gateway.metric('meridian_penalty_terms_total')).toBe(1)
    await until('the alert arrives at the second try', () => received.length === 1 || undefined)
    expect(received).toMatchObject([
      { isSigned: true, body: { data: { alert: 'attack', state: 'firing' } } },
    ])
    expect(received[0]?.body.data.summary).toMatch(/^203\.0\.113\.0\/24 is anomalous on route site/)
    expect(await gateway.metric('meridian_alerts_total', { outcome: 'delivered' })).toBe(1)
  })

  it('are not there to be asked for when nothing is watched', async () => {
    const w = world()
    const gateway = await w.gateway({
      pools: { app: pool([await w.origin()]) },
      routes: [{ id: 'site', pools: ['app'] }],
    })
    const { code, err } = await inProcess(['threats', '--control', gateway.running.control ?? ''])
    expect([code, err]).toEqual([1, expect.stringMatching(/no "threats"/)])
  })

  it('a reload takes over alerts, and one that cannot work is refused with its path', async () => {
    const w = world()
    const { url, received } = await receiver(w)
    const [alive, dying] = [await w.origin(), await w.origin()]
    const config: TestConfig = {
      pools: {
        near: pool([dying], { health: { path: '/', interval: '50ms', fastInterval: '50ms' } }),
        far: pool([alive]),
      },
      regions: [
        { id: 'near', latitude: 1, longitude: 1, pools: ['near'] },
        { id: 'far', latitude: 50, longitude: 1, pools: ['far'] },
      ],
      routes: [{ id: 'site' }],
    }
    const gateway = await w.gateway(config)
    const alert = (secret: string) => ({
      ...config,
      alerts: [
        {
          name: 'down',
          when: { regionDown: true as const },
          url,
          secret: { file: w.put(`s-${secret.length}`, secret) },
        },
      ],
    })
    gateway.write(alert('short'))
    await until(
      'it is refused',
      async () =>
        /alerts\[0\]\.secret.*16 characters/.test(
          (await gateway.status()).config.lastError ?? '',
        ) || undefined,
    )
    gateway.write(alert(SECRET))
    await until(
      'it is taken over',
      async () => (await gateway.status()).config.lastError === null || undefined,
    )
    await dying.close()
    await until('it is told', () => received.length === 1 || undefined)
    expect(received[0]).toMatchObject({ isSigned: true, body: { data: { state: 'firing' } } })
    expect(received[0]?.body.data.summary).toBe('region near is down: no origin is up')
  })

  it('worker processes tell together, once', async () => {
    const w = world()
    const { url, received } = await receiver(w)
    const [alive, dying] = [await w.origin(), await w.origin()]
    const config = withDefaults(
      {
        workers: 2,
        pools: {
          near: pool([dying], { health: { path: '/', interval: '50ms', fastInterval: '50ms' } }),
          far: pool([alive]),
        },
        regions: [
          { id: 'near', latitude: 1, longitude: 1, pools: ['near'] },
          { id: 'far', latitude: 50, longitude: 1, pools: ['far'] },
        ],
        routes: [{ id: 'site' }],
        alerts: [{ name: 'down', when: { regionDown: true }, url, secret: { env: 'HOOK' } }],
      },
      w.folder,
    )
    const file = w.put('meridian.json', JSON.stringify(config))
    const gateway = program('cli/main.js', ['start', '--config', file], { HOOK: SECRET })
    const control = await gateway.says(/control port on (http:\S+)/)
    await dying.close()
    await until('both workers have seen it', async () => {
      const text = await (await fetch(`${control}/metrics`)).text()
      return /meridian_alerts_total\{alert="down",outcome="suppressed"\} 1/.test(text) || undefined
    })
    await until('it is told', () => received.length >= 1 || undefined)
    expect(received).toHaveLength(1)
  }, 40_000)
})
