/** Networks that swallow what is sent: nothing answers, nothing refuses. In a namespace, where one can be made. */
import http from 'node:http'
import { describe, expect, it } from 'vitest'
import { ask } from '../harness/client.ts'
import { DnsServer } from '../harness/dns.ts'
import { FarMachine, hasNetns } from '../harness/netns.ts'
import { ranMs, until } from '../harness/wait.ts'
import { pool, proxyTo, world } from '../harness/world.ts'

const PORT = 8080
const CONNECT_MS = 1500

interface Seen {
  readonly status: number
  readonly from: string
  readonly ms: number
}

/** Clients that ask without a pause, each over its own kept-alive connection. */
function load(url: string, connections: number) {
  const seen: Seen[] = []
  let isOver = false
  const one = async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    while (!isOver) {
      const began = ranMs()
      const got = await ask(url, { agent }).catch(() => undefined)
      seen.push({
        status: got?.complete === true ? got.status : 0,
        from: got?.text ?? '',
        ms: ranMs() - began,
      })
    }
    agent.destroy()
  }
  const all = Array.from({ length: connections }, one)
  return {
    seen,
    stop: async () => {
      isOver = true
      await Promise.all(all)
    },
  }
}

describe.skipIf(!hasNetns)('an origin that is swallowed', { timeout: 60_000 }, () => {
  it('costs a client at most a connect timeout, and no answer but 200', async () => {
    const w = world()
    const far = FarMachine.start()
    await far.origin(PORT)
    const urls = [2, 3, 4].map((last) => ({ url: `http://${far.address(last)}:${PORT}` }))
    // Connections are not kept, so that each request makes one: kept ones would hang, not fail to connect.
    const gateway = await w.gateway(
      proxyTo(urls, {
        balance: 'round-robin',
        keepAlive: '1ms',
        timeouts: { connect: `${CONNECT_MS}ms`, firstByte: `${CONNECT_MS}ms` },
        outlier: { baseEjection: '60s' },
      }),
    )
    const running = load(gateway.url, 16)
    await until('all three answer', () => {
      const late = running.seen.slice(-50)
      return running.seen.length > 200 && new Set(late.map((one) => one.from)).size === 3
    })
    far.swallow(2)
    const swallowedAt = running.seen.length
    await until(
      'it is ejected',
      async () => (await gateway.metric('meridian_origin_healthy', { origin: 'app/a' })) === 0,
    )
    const at = running.seen.length
    await until('more answers', () => running.seen.length > at + 300)
    await running.stop()
    expect(running.seen.filter((one) => one.status !== 200)).toEqual([])
    // Two timeouts would be two tries at it; the rest is what a busy machine takes.
    const after = running.seen.slice(swallowedAt)
    expect(Math.max(...after.map((one) => one.ms))).toBeLessThan(2 * CONNECT_MS)
    // Those that were under way when the ejection came have all come back.
    expect(new Set(running.seen.slice(at + 50).map((one) => one.from))).toEqual(
      new Set([far.address(3), far.address(4)]),
    )
    expect(after.filter((one) => one.ms >= CONNECT_MS).length).toBeLessThanOrEqual(2 * 16)
  })

  it('is left for the new address of its name within the time to live and a second', async () => {
    const w = world()
    const far = FarMachine.start()
    await far.origin(PORT)
    const dns = await DnsServer.start()
    dns.names.set('app.test', [far.address(2)])
    const gateway = await w.gateway({
      resolver: { servers: [dns.address] },
      pools: {
        app: pool([{ url: `http://app.test:${PORT}` }], {
          dns: { ttlMin: '500ms' },
          timeouts: { connect: `${CONNECT_MS}ms`, firstByte: `${CONNECT_MS}ms` },
        }),
      },
      routes: [{ id: 'site', pools: ['app'], retry: { hold: '10s' } }],
    })
    const running = load(gateway.url, 4)
    await until('answers', () => running.seen.length > 50)
    far.swallow(2)
    const changedAt = ranMs()
    dns.names.set('app.test', [far.address(3)])
    await until('the new address', () => running.seen.at(-1)?.from === far.address(3))
    const tookMs = ranMs() - changedAt
    const at = running.seen.length
    await until('more answers', () => running.seen.length > at + 100)
    await running.stop()
    expect(tookMs).toBeLessThan(dns.ttl * 1000 + 1000 + CONNECT_MS)
    // Those whose request was on a kept connection when it was swallowed: it may have arrived.
    expect(running.seen.filter((one) => one.status !== 200).length).toBeLessThanOrEqual(4)
    expect(new Set(running.seen.slice(at).map((one) => one.from))).toEqual(
      new Set([far.address(3)]),
    )
  })
})
