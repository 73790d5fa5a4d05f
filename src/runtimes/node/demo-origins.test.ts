import { request } from 'node:http'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import {
  DEMO_REGIONS,
  type DemoOrigins,
  startDemoOrigin,
  startDemoOrigins,
} from './demo-origins.ts'

let demo: DemoOrigins
let url: string

beforeAll(async () => {
  demo = await startDemoOrigins()
  url = demo.origins[0]!.url
})
afterAll(() => demo.close())

describe('the demo origins', () => {
  it('are three, and each names its region', async () => {
    for (const [i, origin] of demo.origins.entries()) {
      const answer = await fetch(`${origin.url}/any/path?q=1`, {
        headers: { 'x-request-id': 'id-1' },
      })
      expect(answer.headers.get('x-origin-region')).toBe(DEMO_REGIONS[i])
      expect(await answer.json()).toMatchObject({
        region: DEMO_REGIONS[i],
        path: '/any/path',
        query: 'q=1',
        requestId: 'id-1',
      })
    }
  })

  it.each([
    [
      '/cached?max-age=7&swr=3',
      200,
      { 'cache-control': 'public, max-age=7, stale-while-revalidate=3' },
    ],
    ['/etag', 200, { etag: '"demo-1"' }],
    ['/status/503', 503, {}],
    ['/status/204', 204, {}],
    ['//', 200, {}],
    ['/slow?ms=1', 200, {}],
    ['/bytes/100000', 200, { 'content-length': '100000' }],
  ])('%s answers %i', async (path, status, headers) => {
    const answer = await fetch(url + path)
    expect(answer.status).toBe(status)
    expect(Object.fromEntries(answer.headers)).toMatchObject(headers)
    await answer.arrayBuffer()
  })

  it('revalidates, drips, streams events, echoes bodies and headers', async () => {
    expect((await fetch(`${url}/etag`, { headers: { 'if-none-match': '"demo-1"' } })).status).toBe(
      304,
    )
    expect(await (await fetch(`${url}/drip?count=3&ms=1`)).text()).toBe(
      'eu-central-1 1\neu-central-1 2\neu-central-1 3\n',
    )
    const { headers } = await (await fetch(`${url}/headers`, { headers: { 'X-Odd': 'a' } })).json()
    expect(headers).toContainEqual(['X-Odd', 'a'])
    const echo = await fetch(`${url}/echo`, { method: 'POST', body: 'x'.repeat(1000) })
    expect(await echo.json()).toMatchObject({ length: 1000 })
    expect((await (await fetch(`${url}/bytes/200000?chunked`)).arrayBuffer()).byteLength).toBe(
      200_000,
    )
    const stop = new AbortController()
    const stream = await fetch(`${url}/events?ms=1`, { signal: stop.signal })
    const first = await stream.body!.getReader().read()
    expect(new TextDecoder().decode(first.value)).toContain(
      'data: {"region":"eu-central-1","count":1}',
    )
    stop.abort()
  })

  it.each(['/cut', '/reset'])('%s breaks the answer', async (path) => {
    await expect(fetch(url + path).then((answer) => answer.text())).rejects.toThrow()
  })

  it('switches its health off and on', async () => {
    const health = async () => (await fetch(`${url}/healthz`)).status
    expect(await health()).toBe(200)
    await fetch(`${url}/healthz?ok=0`, { method: 'POST' })
    expect(await health()).toBe(503)
    demo.origins[0]!.setHealthy(true)
    expect(await health()).toBe(200)
  })

  it.each([1, 125, 126, 65535, 65536, 300_000])('echoes a message of %i bytes', async (length) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`)
    await new Promise((resolve) => socket.once('open', resolve))
    const got = new Promise<Buffer>((resolve) => socket.once('message', resolve))
    const ponged = new Promise((resolve) => socket.once('pong', resolve))
    socket.send(Buffer.alloc(length, 7))
    expect((await got).equals(Buffer.alloc(length, 7))).toBe(true)
    socket.ping()
    await ponged
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.close(1000)
    expect(await closed).toBe(1000)
  })

  it('closes at once, with connections of every kind open', async () => {
    const origin = await startDemoOrigin('here')
    const socket = new WebSocket(`${origin.url.replace('http', 'ws')}/ws`)
    await new Promise((resolve) => socket.once('open', resolve))
    const left = new Promise((resolve) => socket.once('close', resolve))
    const idle = connect(origin.port, '127.0.0.1')
    const cut = new Promise((resolve) => idle.once('close', resolve))
    await new Promise((resolve) => idle.once('connect', resolve))
    const hanging = request(`${origin.url}/slow?ms=60000`)
    const failed = new Promise((resolve) => hanging.once('error', resolve))
    hanging.end()
    await expect.poll(() => origin.hits()).toBe(2)
    await origin.close()
    await Promise.all([left, cut, failed])
  })

  it('starts all or none', async () => {
    const { port } = demo.origins[0]!
    await expect(startDemoOrigins({ ports: [0, port, 0] })).rejects.toThrow('EADDRINUSE')
  })
})
