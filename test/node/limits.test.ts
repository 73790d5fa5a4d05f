/** What one client may cost: timeouts, sizes, pipelining, connections; and that refusals end there. */
import http from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask, statusesOf, Wire } from '../harness/client.ts'
import { type HttpOrigin, readBody, writeBytes } from '../harness/origin.ts'
import { pause, until } from '../harness/wait.ts'
import { proxyTo, type TestGateway, World, world } from '../harness/world.ts'

const problemsIn = (text: string) =>
  [...text.matchAll(/urn:meridian:problem:([a-z-]+)/g)].map((match) => match[1])

describe('a client that is too slow', () => {
  const shared = new World()
  let origin: HttpOrigin
  let gateway: TestGateway
  beforeAll(async () => {
    origin = await shared.origin((request, response, hit) => {
      if (request.url === '/huge') void writeBytes(response, 64 * 1024 * 1024)
      else void readBody(request, hit).then(() => response.end('whole'))
    })
    gateway = await shared.gateway({
      ...proxyTo([origin]),
      listen: { timeouts: { header: '300ms', body: '300ms', write: '300ms', keepAlive: '300ms' } },
    })
  })
  afterAll(() => shared.close())

  it.each([
    { name: 'half a header', bytes: 'GET / HTTP/1.1\r\nHost: a\r\nX-Half' },
    { name: 'half a second header', bytes: 'GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT' },
  ])('with its header ($name) gets a 408 and is cut', async ({ bytes }) => {
    const wire = await Wire.open(gateway.port)
    wire.send(bytes)
    const text = await wire.over()
    expect(statusesOf(text).at(-1)).toBe(408)
    expect(text).toMatch(/connection: close/i)
  })

  it('that says nothing at all is cut', async () => {
    const wire = await Wire.open(gateway.port)
    await wire.over()
    const used = await Wire.open(gateway.port)
    used.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(statusesOf(await used.over())).toEqual([200])
  })

  it.each([
    { name: 'short', framing: 'Content-Length: 100', part: 'x' },
    { name: 'long', framing: 'Content-Length: 900000', part: 'x'.repeat(100_000) },
    { name: 'chunked', framing: 'Transfer-Encoding: chunked', part: '5\r\nhello\r\n' },
  ])('with its body ($name) gets a 408, and the origin an abort', async ({ framing, part }) => {
    const before = origin.hits.length
    const wire = await Wire.open(gateway.port)
    wire.send(`POST / HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n${part}`)
    const text = await wire.over()
    expect(statusesOf(text)).toEqual([408])
    expect(problemsIn(text)).toEqual(['request-timeout'])
    const hits = origin.hits.slice(before)
    await until('an abort at the origin', () => hits.every((hit) => hit.aborted))
    expect(hits.filter((hit) => hit.complete)).toEqual([])
    expect(await gateway.metric('meridian_origin_healthy')).toBe(1)
  })

  it('with reading is cut, and the origin with it', async () => {
    const wire = await Wire.open(gateway.port, { reads: false })
    wire.send('GET /huge HTTP/1.1\r\nHost: a\r\n\r\n')
    const record = await until('its record', () =>
      gateway.lines().find((line) => line.path === '/huge'),
    )
    expect(record).toMatchObject({ status: 200, aborted: true })
    await until('an abort at the origin', () => origin.hits.at(-1)?.aborted)
    wire.close()
  })

  it('but steady is served', async () => {
    // A client that the machine held up was not steady: another one.
    await until('a steady client', async () => {
      const wire = await Wire.open(gateway.port)
      wire.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nConnection: close\r\n\r\n')
      let longest = 0
      for (let i = 0; i < 6; i++) {
        wire.send('x')
        const began = performance.now()
        await pause(90)
        longest = Math.max(longest, performance.now() - began)
      }
      const statuses = statusesOf(await wire.over())
      if (longest > 200) return false
      expect(statuses).toEqual([200])
      return true
    })
  })
})

describe('pipelined requests', () => {
  it('are answered in order, a few at a time', async () => {
    const w = world()
    let now = 0
    let most = 0
    const origin = await w.origin((request, response) => {
      now++
      most = Math.max(most, now)
      const index = Number(request.url?.slice(1))
      // The first ones take longest.
      setTimeout(
        () => {
          now--
          response.end(`answer ${index};`)
        },
        (7 - (index % 7)) * 3,
      )
    })
    const gateway = await w.gateway({
      ...proxyTo([origin]),
      listen: { limits: { pipelinedRequests: 4 } },
    })
    const wire = await Wire.open(gateway.port)
    const COUNT = 40
    wire.send(
      Array.from({ length: COUNT }, (_, i) => `GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''),
    )
    const text = await wire.receive(new RegExp(`answer ${COUNT - 1};`))
    const order = [...text.matchAll(/answer (\d+);/g)].map((match) => Number(match[1]))
    expect(order).toEqual(Array.from({ length: COUNT }, (_, i) => i))
    expect(most).toBeLessThanOrEqual(4)
    expect(most).toBeGreaterThan(1)
    wire.close()
    await gateway.records(COUNT)
  })

  it('above the cap are not even read', async () => {
    const w = world()
    const held: http.ServerResponse[] = []
    const origin = await w.origin((_request, response) => {
      held.push(response)
    })
    const gateway = await w.gateway({
      ...proxyTo([origin]),
      listen: { limits: { pipelinedRequests: 2 } },
    })
    const wire = await Wire.open(gateway.port)
    const one = `GET / HTTP/1.1\r\nHost: a\r\nX-Padding: ${'x'.repeat(4000)}\r\n\r\n`
    const piece = Buffer.from(one.repeat(16))
    const PIECES = 800
    let accepted = 0
    // One at a time: the callbacks of writes that wait together all come with the last byte.
    const send = () => {
      wire.socket.write(piece, (error) => {
        if (error == null && ++accepted < PIECES) send()
      })
    }
    send()
    await until('the cap', () => held.length === 2)
    let before = -1
    await until('a standstill', async () => {
      if (accepted === before) return true
      before = accepted
      await pause(200)
      return false
    })
    // The kernel's buffers hold some megabytes of the fifty.
    expect(accepted).toBeLessThan(PIECES / 2)
    expect(held).toHaveLength(2)
    wire.close()
    for (const response of held) response.end()
    await until(
      'the end of the connection',
      async () => (await gateway.metric('meridian_open_connections')) === 0,
    )
  })

  it('end at the origin when the client leaves, those behind the first too', async () => {
    const w = world()
    const origin = await w.origin(() => {})
    const gateway = await w.gateway(proxyTo([origin]))
    const wire = await Wire.open(gateway.port)
    wire.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(3))
    await until('three requests at the origin', () => origin.hits.length === 3)
    wire.close()
    await until('aborts at the origin', () => origin.hits.every((hit) => hit.aborted))
    expect(await gateway.records(3)).toHaveLength(3)
  })

  it('go on after a pause, to the last', async () => {
    const w = world()
    const origin = await w.origin((request, response) => {
      setImmediate(() => response.end(`answer ${request.url?.slice(1)};`))
    })
    const gateway = await w.gateway({
      ...proxyTo([origin]),
      listen: { limits: { pipelinedRequests: 1 } },
    })
    const wire = await Wire.open(gateway.port)
    const COUNT = 300
    for (let i = 0; i < COUNT; i++) {
      wire.send(`GET /${i} HTTP/1.1\r\nHost: a\r\nX-Padding: ${'x'.repeat(1000)}\r\n\r\n`)
      if (i % 50 === 0) await pause(1)
    }
    const text = await wire.receive(new RegExp(`answer ${COUNT - 1};`))
    expect(statusesOf(text)).toHaveLength(COUNT)
    wire.close()
  })
})

describe('a refused request', () => {
  const shared = new World()
  let origin: HttpOrigin
  let gateway: TestGateway
  beforeAll(async () => {
    origin = await shared.origin((request, response, hit) => {
      void readBody(request, hit).then(() =>
        setTimeout(() => response.end('served'), request.url === '/slow' ? 100 : 0),
      )
    })
    const { pools } = proxyTo([origin])
    gateway = await shared.gateway({
      pools: pools ?? {},
      listen: { limits: { headerBytes: '4KiB', headerFields: 20, body: '100KiB' } },
      routes: [
        { id: 'small', match: { path: '/small' }, pools: ['app'], bodyLimit: '1KiB' },
        { id: 'large', match: { path: '/large' }, pools: ['app'], bodyLimit: '1MiB' },
        { id: 'site', pools: ['app'] },
      ],
    })
  })
  afterAll(() => shared.close())

  const chunk = (size: number) => `${size.toString(16)}\r\n${'x'.repeat(size)}\r\n`
  const post = (path: string, rest: string) => `POST ${path} HTTP/1.1\r\nHost: a\r\n${rest}`
  const NEXT = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'

  it.each([
    { name: 'no Host', status: 400, send: 'GET / HTTP/1.1\r\n\r\n' },
    { name: 'two Hosts', status: 400, send: 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n' },
    { name: 'a bad field', status: 400, send: 'GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n' },
    {
      name: 'a large field',
      status: 431,
      send: `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(5000)}\r\n\r\n`,
    },
    {
      name: 'many fields',
      status: 431,
      send: `GET / HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(40)}\r\n`,
    },
    { name: 'a bad method', status: 405, send: 'TRACE / HTTP/1.1\r\nHost: a\r\n\r\n' },
    { name: 'a bad version', status: 505, send: 'GET / HTTP/2.0\r\nHost: a\r\n\r\n' },
    {
      name: 'two lengths',
      status: 400,
      send: post('/', 'Content-Length: 1\r\nContent-Length: 2\r\n\r\nx'),
    },
    {
      name: 'a length and chunks',
      status: 400,
      send: post(
        '/',
        `Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n${chunk(5)}0\r\n\r\n`,
      ),
    },
    {
      name: 'a body declared too large',
      status: 413,
      send: post('/', 'Content-Length: 200000\r\n\r\n'),
    },
    {
      name: 'chunks that grow too large',
      status: 413,
      send: post('/', `Transfer-Encoding: chunked\r\n\r\n${chunk(60_000).repeat(20)}0\r\n\r\n`),
    },
  ])('($name) is the last of its connection', async ({ send, status }) => {
    const before = origin.hits.length
    const wire = await Wire.open(gateway.port)
    wire.send(send + NEXT)
    const text = await wire.over()
    expect(statusesOf(text)).toEqual([status])
    expect(text).toMatch(/connection: close/i)
    expect(text).toContain('application/problem+json')
    const hits = origin.hits.slice(before)
    await until('aborts at the origin', () => hits.every((hit) => hit.aborted))
    expect(hits.filter((hit) => hit.complete || hit.path === '/smuggled')).toEqual([])
    const after = await Wire.open(gateway.port)
    after.send('GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    expect(statusesOf(await after.over())).toEqual([200])
  })

  it('lets those before it finish first, and none behind it begin', async () => {
    const before = origin.hits.length
    for (const bad of ['GET / HTTP/1.1\r\n\r\n', 'GET\r\n\r\n']) {
      const wire = await Wire.open(gateway.port)
      wire.send(`GET /slow HTTP/1.1\r\nHost: a\r\n\r\n${bad}${NEXT}`)
      expect(statusesOf(await wire.over())).toEqual([200, 400])
    }
    expect(origin.hits.slice(before).map((hit) => hit.path)).toEqual(['/slow', '/slow'])
  })

  it.each([false, true])(
    'is refused where its route allows less (chunked: %s)',
    async (chunked) => {
      const before = origin.hits.length
      const got = await ask(`${gateway.url}/small`, {
        method: 'POST',
        body: 'x'.repeat(2000),
        chunked,
      })
      expect(got.status).toBe(413)
      expect(origin.hits.slice(before).filter((hit) => hit.complete)).toEqual([])
    },
  )

  it('is only refused where the limit holds: a route may allow more', async () => {
    for (const chunked of [false, true]) {
      const got = await ask(`${gateway.url}/large`, {
        method: 'POST',
        body: 'x'.repeat(500_000),
        chunked,
      })
      expect(got.status).toBe(200)
      expect(origin.hits.at(-1)?.bodyBytes).toBe(500_000)
    }
  })
})

describe('connections', () => {
  it('above the limit are closed, and let in again when there is room', async () => {
    const w = world()
    const gateway = await w.gateway({
      routes: [{ respond: { body: 'x' } }],
      listen: { limits: { connections: 3 } },
    })
    const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
    const kept = await Promise.all([1, 2, 3].map(() => Wire.open(gateway.port)))
    for (const wire of kept) {
      wire.send(GET)
      await wire.receive(/ 200 /)
    }
    const extra = await Wire.open(gateway.port)
    extra.send(GET)
    expect(await extra.over()).toBe('')
    kept[0]?.close()
    await until('room for another', async () => {
      const wire = await Wire.open(gateway.port)
      wire.send(`GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
      return statusesOf(await wire.over()).length === 1
    })
    for (const wire of kept) wire.close()
  })

  it('are closed after their share of requests', async () => {
    const w = world()
    const gateway = await w.gateway({
      routes: [{ respond: { body: 'x' } }],
      listen: { limits: { requestsPerConnection: 3 } },
    })
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    const closes: boolean[] = []
    for (let i = 0; i < 6; i++) {
      const got = await ask(gateway.url, { agent })
      expect(got.status).toBe(200)
      closes.push(got.get('connection') === 'close')
    }
    agent.destroy()
    expect(closes).toEqual([false, false, true, false, false, true])
  })
})
