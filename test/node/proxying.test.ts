/** What goes through unchanged: methods, bodies, fields, interim responses. */
import { createHash, randomBytes } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask, statusesOf, valuesOf, Wire } from '../harness/client.ts'
import { type HttpOrigin, type OriginHit, readBody, type SocketOrigin } from '../harness/origin.ts'
import { proxyTo, type TestGateway, World } from '../harness/world.ts'

const shared = new World()
let origin: HttpOrigin
let gateway: TestGateway
/** What the origin answers to the next request. */
let answer: (response: ServerResponse, hit: OriginHit) => void

beforeAll(async () => {
  origin = await shared.origin((request, response, hit) => {
    void readBody(request, hit).then(() => answer(response, hit))
  })
  gateway = await shared.gateway(proxyTo([origin]))
})
afterAll(() => shared.close())

const lastHit = () => origin.hits.at(-1) as OriginHit

describe('requests', () => {
  const tenMegabytes = randomBytes(10 * 1024 * 1024)
  it.each([
    { method: 'GET', body: undefined, chunked: false },
    { method: 'GET', body: 'a body on GET', chunked: false },
    { method: 'POST', body: 'hello', chunked: false },
    { method: 'POST', body: 'hello', chunked: true },
    { method: 'POST', body: '', chunked: false },
    { method: 'POST', body: '', chunked: true },
    { method: 'PUT', body: tenMegabytes, chunked: false },
    { method: 'PATCH', body: tenMegabytes, chunked: true },
    { method: 'DELETE', body: undefined, chunked: false },
    { method: 'OPTIONS', body: undefined, chunked: false },
    { method: 'QUERY', body: 'select', chunked: false },
  ])('$method with $body.length bytes, chunked: $chunked', async ({ method, body, chunked }) => {
    answer = (response, hit) => response.end(`${hit.method} ${hit.sha256}`)
    const got = await ask(`${gateway.url}/some/path?q=1`, {
      method,
      chunked,
      ...(body === undefined ? {} : { body }),
    })
    const sha256 = createHash('sha256')
      .update(body ?? '')
      .digest('hex')
    expect(got).toMatchObject({ status: 200, text: `${method} ${sha256}`, complete: true })
    expect(lastHit()).toMatchObject({ path: '/some/path?q=1', complete: true })
    if (!chunked && body !== undefined && body.length > 0) {
      expect(lastHit().headers['content-length']).toBe(String(body.length))
    }
  })

  it('HEAD has the length and no body, and the connection goes on', async () => {
    answer = (response) => response.writeHead(200, { 'content-length': 1234 }).end()
    const wire = await Wire.open(gateway.port)
    const head = 'HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n'
    wire.send(head + head)
    await wire.receive(/(content-length: 1234[\s\S]*){2}\r\n\r\n$/i)
    expect(statusesOf(wire.text)).toEqual([200, 200])
    wire.close()
  })
})

describe('responses', () => {
  it.each([204, 304])('%d has no body and no length of ours', async (status) => {
    answer = (response) => response.writeHead(status, { etag: '"v1"' }).end()
    const got = await ask(gateway.url)
    expect(got).toMatchObject({ status, complete: true })
    expect(got.body.length).toBe(0)
    expect(got.get('etag')).toBe('"v1"')
    expect(got.get('content-length')).toBeUndefined()
    expect(got.get('transfer-encoding')).toBeUndefined()
  })

  it('keep fields that come twice, in order, Set-Cookie among them', async () => {
    answer = (response) =>
      response
        .writeHead(200, [
          ['Set-Cookie', 'a=1; Expires=Wed, 21 Oct 2065 07:28:00 GMT'],
          ['Link', '</a>; rel=preload'],
          ['Set-Cookie', 'b=2'],
          ['Link', '</b>; rel=preload'],
        ] as never)
        .end('x')
    const got = await ask(gateway.url)
    expect(got.all('set-cookie')).toEqual(['a=1; Expires=Wed, 21 Oct 2065 07:28:00 GMT', 'b=2'])
    expect(got.all('link')).toEqual(['</a>; rel=preload', '</b>; rel=preload'])
  })

  it('keep the origin’s Date and Server, once', async () => {
    const date = 'Mon, 02 Jan 2006 15:04:05 GMT'
    answer = (response) => response.writeHead(200, { date, server: 'origin/1' }).end('x')
    const got = await ask(gateway.url)
    expect(got.all('date')).toEqual([date])
    expect(got.all('server')).toEqual(['origin/1'])
  })

  it('keep statuses that have no name here', async () => {
    answer = (response) => response.writeHead(299, 'Quite Fine').end('x')
    expect(await ask(gateway.url)).toMatchObject({ status: 299, text: 'x' })
  })

  it('pass compressed bodies as they are', async () => {
    const bytes = gzipSync('compressed text '.repeat(1000))
    answer = (response) =>
      response
        .writeHead(200, { 'content-encoding': 'gzip', 'content-length': bytes.length })
        .end(bytes)
    const got = await ask(gateway.url, { headers: { 'accept-encoding': 'gzip' } })
    expect(lastHit().headers['accept-encoding']).toBe('gzip')
    expect(got.get('content-encoding')).toBe('gzip')
    expect(got.body.equals(bytes)).toBe(true)
    expect(gunzipSync(got.body).length).toBe(16_000)
  })

  it('drop hop-by-hop fields and those that Connection names', async () => {
    answer = (response) => {
      response.writeHead(200, {
        connection: 'keep-alive, x-private',
        'keep-alive': 'timeout=7',
        'x-private': 'secret',
        'x-public': 'yes',
      })
      response.end('x')
    }
    const got = await ask(gateway.url)
    expect(got.get('x-private')).toBeUndefined()
    expect(got.get('keep-alive') ?? '').not.toContain('timeout=7')
    expect(got.get('x-public')).toBe('yes')
  })

  it('may have trailers, which are dropped', async () => {
    answer = (response) => {
      response.writeHead(200, { trailer: 'x-sum' })
      response.write('body')
      response.addTrailers({ 'x-sum': '1' })
      response.end()
    }
    const got = await ask(gateway.url)
    expect(got).toMatchObject({ status: 200, text: 'body', complete: true, trailers: [] })
    expect(got.get('trailer')).toBeUndefined()
  })
})

describe('request trailers', () => {
  it('are dropped, and the body is whole', async () => {
    answer = (response, hit) => response.end(hit.body)
    const wire = await Wire.open(gateway.port)
    wire.send(
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-admin\r\nConnection: close\r\n\r\n' +
        '5\r\nhello\r\n0\r\nx-admin: yes\r\n\r\n',
    )
    expect(await wire.over()).toMatch(/ 200 [\s\S]*hello/)
    expect(valuesOf(lastHit().rawHeaders, 'x-admin')).toEqual([])
    expect(valuesOf(lastHit().rawHeaders, 'trailer')).toEqual([])
  })
})

describe('interim responses', () => {
  it('103 Early Hints reach an HTTP/1.1 client, before the response', async () => {
    answer = (response) =>
      response.writeEarlyHints({ link: '</s.css>; rel=preload; as=style' }, () =>
        response.end('page'),
      )
    const got = await ask(gateway.url)
    expect(got).toMatchObject({ status: 200, text: 'page' })
    expect(got.interim.map((one) => one.status)).toEqual([103])
    expect(valuesOf(got.interim[0]?.fields ?? [], 'link')).toEqual([
      '</s.css>; rel=preload; as=style',
    ])
  })

  it('do not reach an HTTP/1.0 client', async () => {
    answer = (response) =>
      response.writeEarlyHints({ link: '</s.css>; rel=preload' }, () => response.end('page'))
    const wire = await Wire.open(gateway.port)
    wire.send('GET / HTTP/1.0\r\nHost: a\r\n\r\n')
    const text = await wire.over()
    expect(text).not.toContain(' 103 ')
    expect(text).toMatch(/ 200 [\s\S]*page/)
  })

  it('of other kinds and broken hints do no harm', async () => {
    const raw: SocketOrigin = await shared.socketOrigin((socket) => {
      socket.write(
        'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: not a link\r\nx: y\r\n\r\n' +
          'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
      )
    })
    const behind = await shared.gateway(proxyTo([raw]))
    const got = await ask(behind.url)
    expect(got).toMatchObject({ status: 200, text: 'ok', complete: true })
  })
})

describe('Expect: 100-continue', () => {
  it.each([10, 200_000])('asks for a body of %d bytes once it is wanted', async (size) => {
    answer = (response, hit) => response.end(String(hit.bodyBytes))
    const got = await ask(gateway.url, {
      method: 'POST',
      body: 'x'.repeat(size),
      expectContinue: true,
    })
    expect(got).toMatchObject({ status: 200, text: String(size) })
    expect(got.interim.map((one) => one.status)).toEqual([100])
    expect(lastHit().headers.expect).toBeUndefined()
  })

  it('is never answered after a refusal, and the connection is closed', async () => {
    const refusing = await shared.gateway({
      routes: [{ id: 'small', match: { path: '/none' }, respond: { body: 'x' } }],
    })
    const wire = await Wire.open(refusing.port)
    wire.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n')
    const text = await wire.over()
    expect(statusesOf(text)).toEqual([404])
    expect(text).not.toContain(' 100 ')
    expect(text).toMatch(/connection: close/i)
  })
})
