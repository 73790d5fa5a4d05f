/** The same over real sockets: bytes on a wire, clients that leave. */
import http from 'node:http'
import { expect, it } from 'vitest'
import { ask } from '../harness/client.ts'
import { ranMs, until } from '../harness/wait.ts'
import { proxyTo, world } from '../harness/world.ts'

it('a download comes at its rate, and whole', async () => {
  const w = world()
  const origin = await w.origin((_, response) => response.end('x'.repeat(300_000)))
  const gateway = await w.gateway({
    ...proxyTo([origin]),
    limits: [{ id: 'line', algorithm: 'bandwidth', limit: 500_000, window: '1s', burst: 50_000 }],
  })
  const [started, ran] = [performance.now(), ranMs()]
  const download = await ask(gateway.url)
  const [took, waited] = [performance.now() - started, ranMs() - ran]
  expect([download.complete, download.text.length]).toEqual([true, 300_000])
  // 250,000 bytes above the burst, at half a megabyte a second; a timer may be early by a millisecond.
  expect(took).toBeGreaterThan(480)
  expect(waited).toBeLessThan(5000)
  const [line] = await gateway.records(1)
  expect(line).toMatchObject({ status: 200, bytes_out: 300_000 })
})

it('a client that leaves gives its place towards the origin back', async () => {
  const w = world()
  let isOpen = true
  const origin = await w.origin((_, response) => {
    if (!isOpen) response.end('hello')
  })
  const gateway = await w.gateway({
    ...proxyTo([origin]),
    concurrency: {
      mode: 'enforce',
      minimum: 1,
      initial: 1,
      priorities: [{ when: 'true', priority: 'critical' }],
    },
  })
  const waiting = http.get(gateway.url).on('error', () => {})
  await until('the origin is asked', () => (origin.hits.length === 1 ? true : undefined))
  const shed = await ask(gateway.url)
  expect([shed.status, shed.get('retry-after')]).toEqual([503, '5'])
  expect(shed.get('proxy-status')).toContain('connection_limit_reached')
  waiting.destroy()
  isOpen = false
  await until('the place is free', async () =>
    (await ask(gateway.url)).status === 200 ? true : undefined,
  )
  expect(await gateway.metric('meridian_concurrency_in_flight')).toBe(0)
})

it('a browser waits on a page, and gets in with its cookie', async () => {
  const w = world()
  const origin = await w.origin((_, response) => response.end('inside'))
  const gateway = await w.gateway({
    ...proxyTo([origin]),
    waitingRooms: [
      {
        id: 'sale',
        admitPerSecond: 4,
        secret: { file: w.put('room.key', 'a secret of at least thirty-two bytes') },
      },
    ],
  })
  const headers = { accept: 'text/html' }
  const enter = () => ask(gateway.url, { headers })
  for (let i = 0; i < 4; i++) expect((await enter()).status).toBe(200)
  // The second may have turned.
  const page = await until('the second is full', async () => {
    const got = await enter()
    return got.status === 503 && got
  })
  expect(page.text).toContain('You are in line')
  const cookie = page.get('set-cookie')?.split(';')[0] ?? ''
  await until('the turn comes', async () =>
    (await ask(gateway.url, { headers: { ...headers, cookie } })).text === 'inside'
      ? true
      : undefined,
  )
})
