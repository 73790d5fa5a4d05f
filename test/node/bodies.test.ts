/** Large bodies with back-pressure, and bodies that end early: a cut is never passed on as an end. */
import http from 'node:http'
import http2 from 'node:http2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask, statusesOf, Wire } from '../harness/client.ts'
import { HttpOrigin, readBody } from '../harness/origin.ts'
import { pause, until, within } from '../harness/wait.ts'
import { pool, proxyTo, type TestGateway, World, world } from '../harness/world.ts'

const MEBIBYTE = 1024 * 1024
const TOTAL = 100 * MEBIBYTE
/** Kernel buffers of both hops hold some; what is above it would be the gateway's memory. */
const MOST_IN_FLIGHT = 40 * MEBIBYTE
const H2C = { addresses: [{ address: '127.0.0.1', port: 0, protocol: 'h2c' as const }] }

/** Waits until a count has stopped rising, and answers it. */
async function settled(count: () => number): Promise<number> {
  let before = -1
  return until('a count that stands still', async () => {
    const now = count()
    if (now > 0 && now === before) return now
    before = now
    await pause(150)
    return undefined
  })
}

describe('back-pressure', () => {
  it('a client that does not read stops the origin, and gets all of it later', async () => {
    const w = world()
    let sent = 0
    const origin = await w.origin((_request, response) => {
      const piece = Buffer.alloc(64 * 1024)
      response.writeHead(200, { 'content-length': TOTAL })
      const more = () => {
        while (sent < TOTAL) {
          sent += piece.length
          if (!response.write(piece)) {
            response.once('drain', more)
            return
          }
        }
        response.end()
      }
      more()
    })
    const gateway = await w.gateway(proxyTo([origin]))
    const response = await within(
      'a response',
      new Promise<http.IncomingMessage>((resolve) => {
        http.get(gateway.url, { agent: false }, resolve)
      }),
    )
    const buffersBefore = process.memoryUsage().arrayBuffers
    expect(await settled(() => sent)).toBeLessThan(MOST_IN_FLIGHT)
    expect(process.memoryUsage().arrayBuffers - buffersBefore).toBeLessThan(16 * MEBIBYTE)
    let received = 0
    response.on('data', (chunk: Buffer) => {
      received += chunk.length
    })
    await within('the rest', new Promise((resolve) => response.on('end', resolve)))
    expect(received).toBe(TOTAL)
  })

  it('an origin that does not read stops the client, and gets all of it later', async () => {
    const w = world()
    let go = () => {}
    const started = new Promise<void>((resolve) => {
      go = resolve
    })
    const origin = await w.origin((request, response, hit) => {
      void started.then(() => readBody(request, hit)).then(() => response.end(hit.sha256))
    })
    const gateway = await w.gateway({
      ...proxyTo([origin]),
      listen: { limits: { body: '200MiB' } },
    })
    const request = http.request(gateway.url, {
      method: 'POST',
      agent: false,
      headers: { 'content-length': TOTAL },
    })
    let sent = 0
    const piece = Buffer.alloc(64 * 1024)
    const more = () => {
      while (sent < TOTAL) {
        sent += piece.length
        if (!request.write(piece)) {
          request.once('drain', more)
          return
        }
      }
      request.end()
    }
    const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
      request.on('response', resolve)
      request.on('error', reject)
    })
    more()
    expect(await settled(() => sent)).toBeLessThan(MOST_IN_FLIGHT)
    go()
    const response = await within('a response', answered)
    response.resume()
    expect(response.statusCode).toBe(200)
    expect(origin.hits[0]).toMatchObject({ bodyBytes: TOTAL, complete: true })
  })
})

/** Each cut several times over: enough to eject the origin if it were counted against it. */
const CUTS = 6

describe('an upload that the client cuts', () => {
  const shared = new World()
  let origin: HttpOrigin
  let http1: TestGateway
  let http2Gateway: TestGateway
  beforeAll(async () => {
    origin = await shared.origin((request, response, hit) => {
      void readBody(request, hit).then(() => response.end('whole'))
    })
    http1 = await shared.gateway(proxyTo([origin]))
    http2Gateway = await shared.gateway({ ...proxyTo([origin]), listen: H2C })
  })
  afterAll(() => shared.close())

  async function expectUntouched(gateway: TestGateway, before: number) {
    const hits = origin.hits.slice(before)
    await until('every attempt to be over', () => hits.every((hit) => hit.aborted))
    expect(hits.filter((hit) => hit.complete)).toEqual([])
    expect(await gateway.metric('meridian_origin_healthy', { origin: 'app/a' })).toBe(1)
    expect(await gateway.metric('meridian_health_transitions_total')).toBe(0)
    expect(await gateway.metric('meridian_upstream_attempts_total', { outcome: 'ok' })).toBe(0)
  }

  it.each([
    { framing: 'Content-Length: 1000', part: 'x'.repeat(500), how: 'FIN' as const },
    { framing: 'Content-Length: 1000', part: 'x'.repeat(500), how: 'RST' as const },
    { framing: 'Content-Length: 400000', part: 'x'.repeat(200_000), how: 'FIN' as const },
    { framing: 'Content-Length: 400000', part: 'x'.repeat(200_000), how: 'RST' as const },
    { framing: 'Transfer-Encoding: chunked', part: '5\r\nhello\r\n', how: 'FIN' as const },
    { framing: 'Transfer-Encoding: chunked', part: '5\r\nhello\r\n', how: 'RST' as const },
    {
      framing: 'Transfer-Encoding: chunked',
      part: `30d40\r\n${'x'.repeat(200_000)}\r\n`,
      how: 'RST' as const,
    },
    { framing: 'Transfer-Encoding: chunked', part: '5\r\nhel', how: 'FIN' as const },
  ])('never looks whole: HTTP/1.1, $framing, $how', async ({ framing, part, how }) => {
    const before = origin.hits.length
    const recordsBefore = http1.lines().length
    for (let i = 0; i < CUTS; i++) {
      const wire = await Wire.open(http1.port)
      wire.send(`POST /cut HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n${part}`)
      // A large or chunked one is on its way to the origin when it is cut.
      if (!framing.endsWith(' 1000')) {
        await until('the request at the origin', () => origin.hits.length > before + i)
      }
      if (how === 'FIN') {
        wire.socket.end()
        expect(statusesOf(await wire.over())).not.toContain(200)
      } else wire.reset()
    }
    const records = await http1.records(recordsBefore + CUTS)
    for (const record of records.slice(recordsBefore)) {
      expect(['body-cut', 'client-closed']).toContain(record.outcome)
    }
    await expectUntouched(http1, before)
  })

  it.each([
    { how: 'RST_STREAM', size: 500, length: 1000 },
    { how: 'RST_STREAM', size: 200_000, length: undefined },
    { how: 'connection', size: 200_000, length: 400_000 },
    { how: 'connection', size: 500, length: undefined },
  ])('never looks whole: HTTP/2, $how after $size of $length', async ({ how, size, length }) => {
    const before = origin.hits.length
    for (let i = 0; i < CUTS; i++) {
      const session = http2.connect(http2Gateway.url)
      session.on('error', () => {})
      const reset = new AbortController()
      const stream = session.request(
        { ':method': 'POST', ...(length === undefined ? {} : { 'content-length': length }) },
        { signal: reset.signal },
      )
      stream.on('error', () => {})
      await new Promise((resolve) => stream.write(Buffer.alloc(size), resolve))
      if (length !== 1000) {
        await until('the request at the origin', () => origin.hits.length > before + i)
      }
      if (how === 'connection') session.destroy()
      else {
        // Not `close`: Node ends the stream first, and the upload would be whole.
        reset.abort()
        await new Promise((resolve) => stream.once('close', resolve))
        session.close()
      }
    }
    await expectUntouched(http2Gateway, before)
  })
})

describe('a response that the origin cuts', () => {
  const known = (length: number, part: string) =>
    `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n${part}`
  const chunked = (part: string) =>
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${part.length.toString(16)}\r\n${part}\r\n`

  it.each(['FIN', 'RST'])('is served whole by another one when it is short (%s)', async (how) => {
    const w = world()
    const cutting = await w.socketOrigin((socket) => {
      socket.write(known(1000, 'x'.repeat(400)), () => {
        if (how === 'FIN') socket.end()
        else socket.resetAndDestroy()
      })
    })
    const good = await w.origin()
    const gateway = await w.gateway(proxyTo([cutting, good], { balance: 'round-robin' }))
    for (let i = 0; i < 20; i++) {
      const got = await ask(`${gateway.url}/${i}`)
      expect(got).toMatchObject({ status: 200, text: `GET /${i}\n`, complete: true })
    }
    expect(cutting.heads.length).toBeGreaterThan(0)
    expect(cutting.heads.length).toBeLessThanOrEqual(5)
    expect(await gateway.metric('meridian_origin_healthy', { origin: 'app/a' })).toBe(0)
  })

  it.each([
    { name: 'long', text: known(200_000, 'x'.repeat(100_000)) },
    { name: 'chunked', text: chunked('x'.repeat(100)) },
    { name: 'long and chunked', text: chunked('x'.repeat(100_000)) },
  ])('looks cut to the client when it is $name', async ({ text }) => {
    const w = world()
    const cutting = await w.socketOrigin((socket) => {
      socket.write(text, () => setTimeout(() => socket.destroy(), 20))
    })
    const spare = await w.origin()
    const config = {
      pools: { app: pool([cutting]), spare: pool([spare]) },
      routes: [{ id: 'site', pools: ['app', 'spare'] }],
    }
    const gateway = await w.gateway(config)
    expect(await ask(gateway.url)).toMatchObject({ status: 200, complete: false })
    // Without framing only a reset tells the end of a connection from the end of the body.
    const old = await Wire.open(gateway.port)
    let failure: NodeJS.ErrnoException | undefined
    old.socket.on('error', (error) => {
      failure = error
    })
    old.send('GET / HTTP/1.0\r\nHost: a\r\n\r\n')
    await old.over()
    if (!/content-length/i.test(old.text)) {
      await until('a reset', () => failure?.code === 'ECONNRESET')
    }
    expect(spare.hits).toEqual([])
    const overHttp2 = await w.gateway({ ...config, listen: H2C })
    const session = http2.connect(overHttp2.url)
    const stream = session.request({ ':path': '/' })
    stream.resume()
    const error = await within(
      'an end of the stream',
      new Promise<Error | undefined>((resolve) => {
        stream.on('error', resolve)
        stream.on('close', () => resolve(undefined))
      }),
    )
    session.close()
    expect(error?.message).toMatch(/NGHTTP2_INTERNAL_ERROR/)
  })

  it('looks cut when it stalls for longer than the idle timeout', async () => {
    const w = world()
    const stalling = await w.socketOrigin((socket) => socket.write(chunked('begin')))
    const gateway = await w.gateway(proxyTo([stalling], { timeouts: { idle: '300ms' } }))
    const got = await ask(gateway.url)
    expect(got).toMatchObject({ status: 200, text: 'begin', complete: false })
    await until('the connection to the origin is let go', () => stalling.openConnections === 0)
  })
})

describe('a client that leaves', () => {
  it('ends the work at the origin, before and in the middle of the response', async () => {
    const w = world()
    const origin = await HttpOrigin.start((request, response) => {
      if (request.url === '/body') response.write('x'.repeat(100))
    })
    w.onClose(() => origin.close())
    const gateway = await w.gateway(proxyTo([origin]))
    for (const path of ['/head', '/body']) {
      const wire = await Wire.open(gateway.port)
      wire.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
      await until('the request at the origin', () => origin.hits.at(-1)?.path === path)
      if (path === '/body') await wire.receive(/xxx/)
      wire.close()
      await until('an abort at the origin', () => origin.hits.at(-1)?.aborted)
    }
    const [first, second] = await gateway.records(2)
    expect(first).toMatchObject({ outcome: 'client-closed', aborted: true })
    expect(second).toMatchObject({ status: 200, aborted: true })
    expect(await gateway.metric('meridian_origin_healthy')).toBe(1)
  })
})
