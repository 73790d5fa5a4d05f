/** Origins by name: several addresses are several servers, and follow what DNS says. */

import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import type net from 'node:net'
import type { AddressInfo } from 'node:net'
import { createSecureContext } from 'node:tls'
import { describe, expect, it, onTestFinished } from 'vitest'
import { ask } from '../harness/client.ts'
import { DnsServer } from '../harness/dns.ts'
import { until } from '../harness/wait.ts'
import { type TestConfig, type TestGateway, world } from '../harness/world.ts'

interface Server {
  readonly address: string
  readonly server: http.Server
  hits: number
  hosts: Set<string>
}

/** One HTTP server on each address of the loopback network, all on one port; they answer their address. */
async function servers(
  ...addresses: string[]
): Promise<{ port: number; at: (i: number) => Server }> {
  let port = 0
  const all: Server[] = []
  for (const address of addresses) {
    const entry: Server = { address, server: http.createServer(), hits: 0, hosts: new Set() }
    entry.server.on('request', (request, response) => {
      entry.hits++
      entry.hosts.add(request.headers.host ?? '')
      if (request.url === '/slow') {
        response.write('begun ')
        finish.push(() => response.end(address))
      } else response.end(address)
    })
    await new Promise<void>((resolve) => entry.server.listen(port, address, resolve))
    port = (entry.server.address() as AddressInfo).port
    onTestFinished(() => {
      entry.server.closeAllConnections()
      entry.server.close()
    })
    all.push(entry)
  }
  return { port, at: (i) => all[i] as Server }
}
const finish: (() => void)[] = []
const fixture = (name: string) =>
  readFileSync(new URL(`../fixtures/${name}`, import.meta.url), 'utf8')

function named(
  dns: DnsServer,
  port: number,
  more: NonNullable<TestConfig['pools']>[string] | object = {},
): TestConfig {
  return {
    resolver: { servers: [dns.address], timeout: '200ms' },
    pools: {
      app: {
        origins: [{ id: 'app', url: `http://app.test:${port}` }],
        dns: { ttlMin: '100ms', ttlMax: '200ms' },
        balance: 'round-robin',
        slowStart: '0ms',
        ...more,
      },
    },
    routes: [{ id: 'site', pools: ['app'] }],
  }
}

async function originsOf(gateway: TestGateway): Promise<Record<string, string[]>> {
  const { regions } = (await gateway.status()) as unknown as {
    regions: { origins: { id: string; addresses?: string[] }[] }[]
  }
  return Object.fromEntries(
    regions.flatMap(({ origins }) => origins.map(({ id, addresses }) => [id, addresses ?? []])),
  )
}
const whoAnswers = async (gateway: TestGateway, count = 12) => {
  const seen = new Set<string>()
  for (let i = 0; i < count; i++) {
    const got = await ask(`${gateway.url}/`, { headers: { host: 'www.example.com' } })
    expect(got.status).toBe(200)
    seen.add(got.text)
  }
  return [...seen].sort()
}

describe('a name with several addresses', () => {
  it('is several origins, of which a dead one alone is ejected', async () => {
    const w = world()
    const dns = await DnsServer.start()
    const { port, at } = await servers('127.0.0.1', '127.0.0.2', '127.0.0.3')
    dns.names.set('app.test', ['127.0.0.3', '127.0.0.1', '127.0.0.2'])
    const gateway = await w.gateway(named(dns, port))
    await until('three origins', async () => Object.keys(await originsOf(gateway)).length === 3)
    expect(await originsOf(gateway)).toEqual({
      'app/app@127.0.0.1': ['127.0.0.1'],
      'app/app@127.0.0.2': ['127.0.0.2'],
      'app/app@127.0.0.3': ['127.0.0.3'],
    })
    expect(await whoAnswers(gateway)).toEqual(['127.0.0.1', '127.0.0.2', '127.0.0.3'])
    expect(at(0).hosts).toEqual(new Set(['www.example.com']))
    at(1).server.closeAllConnections()
    at(1).server.close()
    expect(await whoAnswers(gateway, 20)).toEqual(['127.0.0.1', '127.0.0.3'])
    const healthy = (address: string) =>
      gateway.metric('meridian_origin_healthy', { origin: `app/app@${address}` })
    expect([await healthy('127.0.0.1'), await healthy('127.0.0.2')]).toEqual([1, 0])
    const explained = await fetch(`${gateway.running.control}/explain?url=http://x.test/`)
    expect(await explained.text()).toContain('app/app@127.0.0.')
  })

  it('gets and loses them without a failed request; what is under way ends', async () => {
    const w = world()
    const dns = await DnsServer.start()
    const { port, at } = await servers('127.0.0.1', '127.0.0.2', '127.0.0.3')
    dns.names.set('app.test', ['127.0.0.1', '127.0.0.2'])
    const gateway = await w.gateway(named(dns, port, { health: { interval: '50ms' } }))
    await until('two origins', async () => Object.keys(await originsOf(gateway)).length === 2)
    const downloads = await Promise.all(
      [0, 1, 2, 3].map(() => {
        const download = ask(`${gateway.url}/slow`)
        return { download }
      }),
    )
    await until('downloads at the second', () => finish.length === 4)

    dns.names.set('app.test', ['127.0.0.2', '127.0.0.3'])
    await until('the third answers', async () =>
      (await ask(`${gateway.url}/`)).text.includes('127.0.0.3'),
    )
    const before = at(0).hits
    expect(await whoAnswers(gateway, 30)).toEqual(['127.0.0.2', '127.0.0.3'])
    expect(at(0).hits).toBe(before)
    for (const end of finish.splice(0)) end()
    const ended = await Promise.all(downloads.map(({ download }) => download))
    expect(ended.map(({ complete, text }) => [complete, text.slice(0, 6)])).toEqual(
      Array(4).fill([true, 'begun ']),
    )
    await until(
      'the first is forgotten',
      async () =>
        !(await (await fetch(`${gateway.running.control}/metrics`)).text()).includes(
          'app@127.0.0.1',
        ),
    )
    const { events } = (await (
      await fetch(`${gateway.running.control}/events?kind=health`)
    ).json()) as { events: { what: string; detail: Record<string, unknown> }[] }
    expect(JSON.stringify(events)).toContain('addresses-changed')

    // The resolver fails in every way: the last good answer stays.
    for (const mode of ['fails', 'silent'] as const) {
      dns.mode = mode
      const asked = dns.questions
      await until('more questions', () => dns.questions > asked + 4)
      expect(await whoAnswers(gateway)).toEqual(['127.0.0.2', '127.0.0.3'])
    }
    dns.mode = 'answers'
    dns.names.delete('app.test')
    const asked = dns.questions
    await until('more questions', () => dns.questions > asked + 4)
    expect(await whoAnswers(gateway)).toEqual(['127.0.0.2', '127.0.0.3'])
    expect(
      await gateway.metric('meridian_name_resolutions_total', { result: 'failed' }),
    ).toBeGreaterThan(2)
    expect(gateway.log.map(({ message }) => message)).toContain(
      'the name of an origin does not resolve; its last addresses stay in use',
    )
  })

  it('keeps its origins and what is known of them over a reload', async () => {
    const w = world()
    const dns = await DnsServer.start()
    const { port, at } = await servers('127.0.0.1', '127.0.0.2')
    dns.names.set('app.test', ['127.0.0.1', '127.0.0.2'])
    const config = named(dns, port, { outlier: { baseEjection: '60s' } })
    const gateway = await w.gateway(config)
    await until('two origins', async () => Object.keys(await originsOf(gateway)).length === 2)
    at(1).server.closeAllConnections()
    at(1).server.close()
    expect(await whoAnswers(gateway)).toEqual(['127.0.0.1'])
    const healthy = () => gateway.metric('meridian_origin_healthy', { origin: 'app/app@127.0.0.2' })
    expect(await healthy()).toBe(0)
    gateway.write({ ...config, lists: { x: { type: 'string', values: ['a'] } } } as TestConfig)
    await until('the reload', () =>
      gateway.log.some(({ message }) => message === 'config reloaded'),
    )
    expect(Object.keys(await originsOf(gateway))).toHaveLength(2)
    expect(await healthy()).toBe(0)
    expect(await whoAnswers(gateway)).toEqual(['127.0.0.1'])
    dns.names.set('app.test', ['127.0.0.1'])
    await until('one origin', async () => 'app/app' in (await originsOf(gateway)))
    expect(await whoAnswers(gateway)).toEqual(['127.0.0.1'])
  })

  it('is one origin where the config says so', async () => {
    const w = world()
    const dns = await DnsServer.start()
    const { port } = await servers('127.0.0.1', '127.0.0.2')
    dns.names.set('app.test', ['127.0.0.1', '127.0.0.2'])
    const gateway = await w.gateway(
      named(dns, port, { dns: { perAddress: false, ttlMin: '100ms' } }),
    )
    await until('an answer', async () => (await ask(gateway.url)).status === 200)
    expect(Object.keys(await originsOf(gateway))).toEqual(['app/app'])
  })

  it('that resolves only later is served then', async () => {
    const w = world()
    const dns = await DnsServer.start()
    const { port } = await servers('127.0.0.1')
    const gateway = await w.gateway(named(dns, port))
    const refused = await ask(gateway.url)
    expect(refused.status).toBeGreaterThanOrEqual(502)
    dns.names.set('app.test', ['127.0.0.1'])
    await until('an answer', async () => (await ask(gateway.url)).status === 200)
  })
})

describe('a service name', () => {
  it('is its servers of the lowest priority, with their ports and weights', async () => {
    const w = world()
    const dns = await DnsServer.start()
    const [first, second, spare] = await Promise.all([1, 2, 3].map(() => servers('127.0.0.1')))
    dns.names.set('one.test', ['127.0.0.1'])
    const record = (port: number, weight: number, priority = 1) => ({
      ...{ priority, weight, port, target: 'one.test' },
    })
    const service = '_http._tcp.app.test'
    dns.services.set(service, [
      record(first!.port, 30),
      record(second!.port, 10),
      record(spare!.port, 9, 2),
    ])
    const gateway = await w.gateway(
      named(dns, first!.port, { origins: [{ id: 'app', url: `http://${service}` }] }),
    )
    await until('two origins', async () => Object.keys(await originsOf(gateway)).length === 2)
    expect(Object.keys(await originsOf(gateway)).sort()).toEqual(
      [first!, second!].map(({ port }) => `app/app@127.0.0.1:${port}`).sort(),
    )
    for (let i = 0; i < 40; i++) expect((await ask(gateway.url)).status).toBe(200)
    expect(first!.at(0).hits).toBeGreaterThan(25)
    expect(first!.at(0).hits + second!.at(0).hits).toBe(40)
    expect(spare!.at(0).hits).toBe(0)
    // The service moves, to one server.
    dns.services.set(service, [record(spare!.port, 0)])
    await until('one origin', async () => 'app/app' in (await originsOf(gateway)))
    expect((await ask(gateway.url)).status).toBe(200)
    expect(spare!.at(0).hits).toBe(1)
    dns.services.set(service, [record(second!.port, 0)])
    const before = second!.at(0).hits
    await until('it has moved', async () => {
      expect((await ask(gateway.url)).status).toBe(200)
      return second!.at(0).hits > before
    })
  })
})

describe('TLS to one of several addresses', () => {
  it('asks for the name and checks it', async () => {
    const w = world()
    const dns = await DnsServer.start()
    const cert = fixture('first.pem')
    const key = fixture('first.key')
    const asked: string[] = []
    let port = 0
    for (const address of ['127.0.0.1', '127.0.0.2']) {
      const server = https.createServer(
        {
          cert,
          key,
          SNICallback: (name, done) => {
            asked.push(name)
            done(null, createSecureContext({ cert, key }))
          },
        },
        (_request, response) => response.end(address),
      )
      await new Promise<void>((resolve) => server.listen(port, address, resolve))
      port = (server.address() as net.AddressInfo).port
      onTestFinished(() => {
        server.closeAllConnections()
        server.close()
      })
    }
    dns.names.set('first.test', ['127.0.0.1', '127.0.0.2'])
    const ca = w.put('ca.pem', cert)
    const gateway = await w.gateway(
      named(dns, port, {
        origins: [{ id: 'app', url: `https://first.test:${port}`, tls: { ca } }],
      }),
    )
    await until('two origins', async () => Object.keys(await originsOf(gateway)).length === 2)
    expect(await whoAnswers(gateway)).toEqual(['127.0.0.1', '127.0.0.2'])
    expect(new Set(asked)).toEqual(new Set(['first.test']))
  })
})
