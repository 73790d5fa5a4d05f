/** What is not one request and one response over plain HTTP/1.1: events, WebSockets, HTTP/2, TLS, PROXY. */
import { createHash, randomBytes } from 'node:crypto'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import type http from 'node:http'
import type { ServerResponse } from 'node:http'
import http2, { type ClientHttp2Session } from 'node:http2'
import { join } from 'node:path'
import tls from 'node:tls'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import WebSocket, { WebSocketServer } from 'ws'
import { ask, statusesOf, Wire } from '../harness/client.ts'
import { type HttpOrigin, readBody } from '../harness/origin.ts'
import { until, within } from '../harness/wait.ts'
import { proxyTo, type TestConfig, type TestGateway, World, world } from '../harness/world.ts'

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url))
const loopback = (more: object) => ({ addresses: [{ address: '127.0.0.1', port: 0, ...more }] })

describe('server-sent events', () => {
  it('arrive one by one, each before the next is sent', async () => {
    const w = world()
    let stream: ServerResponse | undefined
    const origin = await w.origin((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.flushHeaders()
      stream = response
    })
    const gateway = await w.gateway(proxyTo([origin]))
    const wire = await Wire.open(gateway.port)
    wire.send('GET /events HTTP/1.1\r\nHost: a\r\n\r\n')
    await wire.receive(/text\/event-stream/)
    for (let i = 1; i <= 5; i++) {
      stream?.write(`data: ${i}\n\n`)
      await wire.receive(new RegExp(`data: ${i}\n`))
      expect(wire.text).not.toContain(`data: ${i + 1}`)
    }
    wire.close()
    await until('the origin to see the client leave', () => origin.hits[0]?.aborted)
  })
})

async function webSocketOrigin(w: World) {
  const origin = await w.origin()
  const sockets = new WebSocketServer({ server: origin.server })
  w.onClose(() => {
    for (const client of sockets.clients) client.terminate()
    sockets.close()
  })
  return { origin, sockets }
}

function opened(socket: WebSocket): Promise<void> {
  return within(
    'a WebSocket',
    new Promise((resolve, reject) => {
      socket.once('open', () => resolve())
      socket.once('error', reject)
    }),
  )
}

const next = (socket: WebSocket) =>
  within(
    'a message',
    new Promise<Buffer>((resolve) => socket.once('message', (data) => resolve(data as Buffer))),
  )
const closeCode = (socket: WebSocket) =>
  within('a close', new Promise<number>((resolve) => socket.once('close', resolve)))

describe('WebSockets', () => {
  it('pass messages both ways, large ones too, and the close', async () => {
    const w = world()
    const { origin, sockets } = await webSocketOrigin(w)
    let seen: http.IncomingHttpHeaders = {}
    sockets.on('connection', (socket, request) => {
      seen = request.headers
      socket.on('message', (data, isBinary) => {
        if (data.toString() === 'leave') socket.close(4001, 'left')
        else socket.send(data, { binary: isBinary })
      })
    })
    const gateway = await w.gateway(proxyTo([origin]))
    const client = new WebSocket(`ws://127.0.0.1:${gateway.port}/chat?room=1`, ['v2', 'v1'])
    await opened(client)
    expect(client.protocol).toBe('v2')
    for (const message of ['hello', randomBytes(1_000_000), '']) {
      client.send(message)
      expect((await next(client)).equals(Buffer.from(message))).toBe(true)
    }
    expect(seen['x-forwarded-for']).toBe('127.0.0.1')
    expect(gateway.lines()).toEqual([])
    client.send('leave')
    expect(await closeCode(client)).toBe(4001)
    const [record] = await gateway.records(1)
    expect(record).toMatchObject({ status: 101, path: '/chat', outcome: 'served' })
    expect(record?.bytes_in).toBeGreaterThan(1_000_000)
    await until('the end at the origin', () => origin.sockets.size === 0)
  })

  it.each(['client', 'origin'])('end on both sides when the %s vanishes', async (who) => {
    const w = world()
    const { origin, sockets } = await webSocketOrigin(w)
    const gateway = await w.gateway(proxyTo([origin]))
    const client = new WebSocket(`ws://127.0.0.1:${gateway.port}/`)
    client.on('error', () => {})
    await opened(client)
    const ended = closeCode(client)
    if (who === 'client') client.terminate()
    else for (const one of sockets.clients) one.terminate()
    await ended
    await until('the end at the origin', () => origin.sockets.size === 0)
    await gateway.records(1)
  })

  it.each([
    { by: 'the WAF', path: "/chat?id=1'%20OR%20'1'='1", status: 403 },
    { by: 'identity', path: '/private', status: 401 },
    { by: 'the router', path: '/nowhere', status: 404 },
    { by: 'the origin', path: '/not-here', status: 426 },
  ])('are refused by $by with an ordinary answer', async ({ path, status }) => {
    const w = world()
    const origin = await w.origin()
    const upgrades: string[] = []
    origin.server.on('upgrade', (request, socket) => {
      upgrades.push(request.url ?? '')
      socket.end('HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
    })
    const jwk = { kty: 'oct', k: randomBytes(32).toString('base64url'), kid: 'a', alg: 'HS256' }
    const gateway = await w.gateway({
      ...proxyTo([origin]),
      waf: { rulesets: ['basic'] },
      iam: {
        default: 'none',
        issuers: [
          {
            id: 'test',
            issuer: 'https://issuer.test',
            secret: { file: w.put('secret', jwk.k) },
            algorithms: ['HS256'],
          },
        ],
      } as never,
      routes: [
        {
          id: 'private',
          match: { path: '/private' },
          pools: ['app'],
          auth: { methods: ['jwt'], issuers: ['test'], audience: ['chat'] },
        },
        { id: 'site', match: { path: ['/chat', '/not-here'] }, pools: ['app'] },
      ] as never,
    })
    const client = new WebSocket(`ws://127.0.0.1:${gateway.port}${path}`)
    client.on('error', () => {})
    const response = await within(
      'an answer',
      new Promise<http.IncomingMessage>((resolve) =>
        client.once('unexpected-response', (_request, answer) => resolve(answer)),
      ),
    )
    expect(response.statusCode).toBe(status)
    response.destroy()
    expect(upgrades).toEqual(status === 426 ? [path] : [])
    const records = await gateway.records(1)
    expect(records).toHaveLength(1)
    expect(records[0]).toMatchObject({ status })
  })

  it.each(['h2c', 'TLS/1.3', 'foo, websocket'])(
    'other upgrades (%s) are plain requests',
    async (protocol) => {
      const w = world()
      const origin = await w.origin()
      const gateway = await w.gateway(proxyTo([origin]))
      const wire = await Wire.open(gateway.port)
      wire.send(
        `GET /plain HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: ${protocol}\r\n` +
          'HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n',
      )
      const text = await wire.over()
      expect(statusesOf(text)).toEqual([200])
      expect(text).toContain('GET /plain')
      expect(origin.hits[0]?.headers.upgrade).toBeUndefined()
      expect(origin.hits[0]?.headers['http2-settings']).toBeUndefined()
    },
  )
})

interface StreamAnswer {
  readonly status: number
  readonly headers: http2.IncomingHttpHeaders
  readonly body: Buffer
}

function over2(
  session: ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  body?: Uint8Array,
): Promise<StreamAnswer> {
  return within(
    'an answer over HTTP/2',
    new Promise((resolve, reject) => {
      const stream = session.request(headers, { endStream: body === undefined })
      const chunks: Buffer[] = []
      let answer: http2.IncomingHttpHeaders = {}
      stream.on('response', (got) => {
        answer = got
      })
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('error', reject)
      stream.on('end', () =>
        resolve({
          status: Number(answer[':status']),
          headers: answer,
          body: Buffer.concat(chunks),
        }),
      )
      if (body !== undefined) stream.end(body)
    }),
  )
}

describe.each(['TLS', 'prior knowledge'])('HTTP/2 by %s', (how) => {
  async function connect(origin: HttpOrigin, more: TestConfig['listen'] = {}) {
    const gateway = await current.gateway({
      ...proxyTo([origin]),
      listen: {
        ...more,
        ...loopback(
          how === 'TLS'
            ? {
                protocol: 'https',
                tls: { certificates: [{ cert: fixture('first.pem'), key: fixture('first.key') }] },
              }
            : { protocol: 'h2c' },
        ),
      },
    })
    const scheme = how === 'TLS' ? 'https' : 'http'
    const session = http2.connect(`${scheme}://127.0.0.1:${gateway.port}`, {
      rejectUnauthorized: false,
      maxOutstandingPings: 5000,
      maxSessionMemory: 100,
      settings: { initialWindowSize: 1024 * 1024 },
    })
    session.on('error', () => {})
    current.onClose(() => session.destroy())
    return { gateway, session }
  }
  let current: World

  it('serves many streams at once, and large bodies both ways', async () => {
    current = world()
    const large = randomBytes(10 * 1024 * 1024)
    const origin = await current.origin((request, response, hit) => {
      if (request.method === 'GET' && request.url === '/large') response.end(large)
      else void readBody(request, hit).then(() => response.end(`${request.url} ${hit.sha256}`))
    })
    const { gateway, session } = await connect(origin)
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, i) => over2(session, { ':path': `/${i}`, cookie: 'a=1' })),
    )
    answers.forEach((got, i) => {
      expect(got.status).toBe(200)
      expect(got.body.toString()).toMatch(new RegExp(`^/${i} `))
    })
    expect(origin.hits[0]?.headers.via).toBe('2.0 meridian')
    const [up, down] = await Promise.all([
      over2(session, { ':path': '/up', ':method': 'POST' }, large),
      over2(session, { ':path': '/large' }),
    ])
    expect(up.body.toString()).toBe(`/up ${createHash('sha256').update(large).digest('hex')}`)
    expect(down.body.equals(large)).toBe(true)
    const head = await over2(session, { ':path': '/x', ':method': 'HEAD' })
    expect(head).toMatchObject({ status: 200, body: Buffer.alloc(0) })
    const records = await gateway.records(63)
    expect(new Set(records.map((record) => record.protocol))).toEqual(new Set(['HTTP/2']))
  })

  it('passes 103 Early Hints', async () => {
    current = world()
    const origin = await current.origin((_request, response) => {
      response.writeEarlyHints({ link: '</s.css>; rel=preload' }, () => response.end('page'))
    })
    const { session } = await connect(origin)
    const stream = session.request({ ':path': '/' })
    const interim: http2.IncomingHttpHeaders[] = []
    stream.on('headers', (headers) => interim.push(headers))
    stream.resume()
    await within('the end', new Promise((resolve) => stream.on('end', resolve)))
    expect(interim).toMatchObject([{ ':status': 103, link: '</s.css>; rel=preload' }])
  })

  it('ends the work at the origin when a stream is reset, and only that', async () => {
    current = world()
    const origin = await current.origin((request, response) => {
      if (request.url === '/slow') response.write('begin')
      else response.end('quick')
    })
    const { session } = await connect(origin)
    const reset = new AbortController()
    const slow = session.request({ ':path': '/slow' }, { signal: reset.signal })
    slow.on('error', () => {})
    await within('a beginning', new Promise((resolve) => slow.once('data', resolve)))
    reset.abort()
    await until('an abort at the origin', () => origin.hits[0]?.aborted)
    expect((await over2(session, { ':path': '/quick' })).body.toString()).toBe('quick')
  })

  it.each(['NGHTTP2_CANCEL', 'NGHTTP2_NO_ERROR', 'NGHTTP2_INTERNAL_ERROR'] as const)(
    'ends a connection that resets streams in a flood (%s)',
    async (code) => {
      current = world()
      const origin = await current.origin(() => {})
      const { gateway, session } = await connect(origin, { limits: { http2Resets: 50 } })
      let sent = 0
      while (!session.closed && !session.destroyed && sent < 600) {
        for (let i = 0; i < 20 && !session.closed && !session.destroyed; i++) {
          const stream = session.request({ ':path': '/' })
          stream.on('error', () => {})
          await new Promise((resolve) => setImmediate(resolve))
          stream.close(http2.constants[code])
          sent++
        }
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      await until('the end of the connection', () => session.closed || session.destroyed)
      expect(sent).toBeLessThan(600)
      expect(origin.connections).toBeLessThanOrEqual(120)
      expect((await ask(`${gateway.running.control}/healthz`)).status).toBe(200)
    },
  )

  it('ends a connection that pings in a flood', async () => {
    current = world()
    const { session } = await connect(await current.origin())
    await over2(session, { ':path': '/' })
    for (let i = 0; i < 50; i++) session.ping(() => {})
    expect((await over2(session, { ':path': '/' })).status).toBe(200)
    for (let i = 0; i < 1000 && !session.destroyed; i++) session.ping(() => {})
    await until('the end of the connection', () => session.closed || session.destroyed)
  })
})

describe('TLS', () => {
  let shared: World
  let gateway: TestGateway
  let folder: string
  const put = (from: string, to: string) => {
    for (const kind of ['pem', 'key']) {
      copyFileSync(fixture(`${from}.${kind}`), join(folder, `${to}.${kind}`))
    }
  }

  beforeAll(async () => {
    shared = new World()
    folder = shared.folder
    put('first', 'first')
    put('second', 'second')
    gateway = await shared.gateway({
      routes: [{ id: 'hello', respond: { body: 'hello' } }],
      listen: loopback({
        protocol: 'https',
        tls: {
          certificates: ['first', 'second'].map((name) => ({
            cert: join(folder, `${name}.pem`),
            key: join(folder, `${name}.key`),
          })),
        },
      }),
    })
  })
  afterAll(() => shared.close())

  /** Common name of the certificate that a server name gets. */
  async function shown(servername: string): Promise<string> {
    const wire = await Wire.openTls(gateway.port, servername === '' ? {} : { servername })
    const name = String((wire.socket as tls.TLSSocket).getPeerCertificate().subject.CN)
    wire.close()
    return name
  }

  it.each([
    ['first.test', 'first.test'],
    ['second.test', 'second.test'],
    ['SECOND.test', 'second.test'],
    ['a.wild.test', 'second.test'],
    ['a.b.wild.test', 'first.test'],
    ['unknown.test', 'first.test'],
    ['', 'first.test'],
  ])('shows the server name %j the certificate of %s', async (servername, expected) => {
    expect(await shown(servername)).toBe(expected)
  })

  it('speaks HTTP/1.1 to clients that do not offer HTTP/2', async () => {
    const wire = await Wire.openTls(gateway.port, { ALPNProtocols: ['http/1.1'] })
    expect((wire.socket as tls.TLSSocket).alpnProtocol).toBe('http/1.1')
    wire.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    expect(statusesOf(await wire.over())).toEqual([200])
  })

  it('refuses TLS 1.1', async () => {
    await expect(
      Wire.openTls(gateway.port, {
        minVersion: 'TLSv1',
        maxVersion: 'TLSv1.1',
        ciphers: 'DEFAULT@SECLEVEL=0',
      }),
    ).rejects.toThrow()
  })

  it('takes new files over for every client, and keeps the last good ones', async () => {
    const open = await Wire.openTls(gateway.port, { servername: 'first.test' })
    put('renewed', 'first')
    await until(
      'the new certificate by name',
      async () => (await shown('first.test')) === 'renewed.test',
    )
    await until(
      'the new certificate without a name',
      async () => (await shown('')) === 'renewed.test',
    )
    expect(await shown('second.test')).toBe('second.test')
    open.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    expect(statusesOf(await open.over())).toEqual([200])

    const errors = () => gateway.log.filter((entry) => entry.level === 'error').length
    const before = errors()
    copyFileSync(fixture('second.key'), join(folder, 'first.key'))
    await until('a complaint about a key that does not fit', () => errors() > before)
    expect(await shown('first.test')).toBe('renewed.test')
    writeFileSync(join(folder, 'first.pem'), 'not a certificate')
    await until('another complaint', () => errors() > before + 1)
    expect(await shown('first.test')).toBe('renewed.test')
    expect(await shown('')).toBe('renewed.test')
    put('first', 'first')
    await until('the good ones again', async () => (await shown('first.test')) === 'first.test')
  })
})

describe('client certificates', () => {
  const identity = (name: string) => ({ cert: fixture(`${name}.pem`), key: fixture(`${name}.key`) })
  const read = (name: string) => ({
    cert: readFileSync(fixture(`${name}.pem`)),
    key: readFileSync(fixture(`${name}.key`)),
  })
  const config = (origin: HttpOrigin, clientCertificate: 'request' | 'require'): TestConfig => ({
    ...proxyTo([origin]),
    listen: loopback({
      protocol: 'https',
      tls: {
        certificates: [identity('first'), identity('second')],
        clientCa: fixture('authority.pem'),
        clientCertificate,
      },
    }),
    routes: [
      {
        id: 'site',
        pools: ['app'],
        transforms: {
          request: {
            set: {
              'x-subject': { expression: 'cf.tls_client_auth.cert_subject_dn' },
              'x-verified': {
                expression: 'to_string(cf.tls_client_auth.cert_verified)',
              },
            },
          },
        },
      },
    ],
  })

  it.each([
    { name: undefined, servername: 'first.test', subject: '', verified: 'false' },
    { name: 'client', servername: 'first.test', subject: 'CN=client-7', verified: 'true' },
    { name: 'client', servername: undefined, subject: 'CN=client-7', verified: 'true' },
    { name: 'client', servername: 'a.wild.test', subject: 'CN=client-7', verified: 'true' },
    { name: 'stranger', servername: 'first.test', subject: 'CN=client-7', verified: 'false' },
  ])('say who the client is: $name for $servername', async ({ name, servername, ...expected }) => {
    const w = world()
    const origin = await w.origin()
    const gateway = await w.gateway(config(origin, 'request'))
    const wire = await Wire.openTls(gateway.port, {
      ...(name === undefined ? {} : read(name)),
      ...(servername === undefined ? {} : { servername }),
    })
    wire.send('GET / HTTP/1.1\r\nHost: first.test\r\nConnection: close\r\n\r\n')
    expect(statusesOf(await wire.over())).toEqual([200])
    const { headers } = origin.hits[0]!
    expect(headers['x-verified']).toBe(expected.verified)
    expect(headers['x-subject'] ?? '').toBe(expected.subject)
  })

  it.each([
    { name: undefined, isLetIn: false },
    { name: 'stranger', isLetIn: false },
    { name: 'client', isLetIn: true },
  ])('can be required: $name is let in: $isLetIn', async ({ name, isLetIn }) => {
    const w = world()
    const origin = await w.origin()
    const gateway = await w.gateway(config(origin, 'require'))
    const options = name === undefined ? {} : read(name)
    for (const servername of ['first.test', 'second.test']) {
      const answered = Wire.openTls(gateway.port, { ...options, servername }).then((wire) => {
        wire.send('GET / HTTP/1.1\r\nHost: first.test\r\nConnection: close\r\n\r\n')
        return wire.over()
      })
      const text = await answered.catch(() => '')
      expect(statusesOf(text)).toEqual(isLetIn ? [200] : [])
    }
    expect(origin.hits).toHaveLength(isLetIn ? 2 : 0)
  })
})

describe('the PROXY protocol', () => {
  const GERMAN = '91.10.0.1'
  const v2 = (command: number, family: number, addresses: Buffer) => {
    const length = Buffer.alloc(2)
    length.writeUInt16BE(addresses.length)
    return Buffer.concat([
      Buffer.from('0d0a0d0a000d0a515549540a', 'hex'),
      Buffer.from([0x20 | command, family]),
      length,
      addresses,
    ])
  }
  const ipv4 = Buffer.from([91, 10, 0, 1, 127, 0, 0, 1, 0x13, 0x88, 0, 80])
  const ipv6 = Buffer.concat([
    Buffer.from('200300c0000000000000000000000001', 'hex'),
    Buffer.from('00000000000000000000000000000001', 'hex'),
    Buffer.from([0x13, 0x88, 0, 80]),
  ])
  const extension = Buffer.from([0x04, 0, 3, 1, 2, 3])

  const config = (origin: HttpOrigin, from: string, more: object = {}): TestConfig => ({
    ...proxyTo([origin]),
    listen: loopback({ ...more, proxyProtocol: { from: [from] } }),
    routes: [
      {
        id: 'site',
        pools: ['app'],
        transforms: { request: { set: { 'x-country': { expression: 'ip.src.country' } } } },
      },
    ],
  })
  const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'

  it.each([
    { name: 'v1', bytes: `PROXY TCP4 ${GERMAN} 127.0.0.1 5000 80\r\n`, ip: GERMAN, country: 'DE' },
    {
      name: 'v1, IPv6',
      bytes: 'PROXY TCP6 2003:c0::1 ::1 5000 80\r\n',
      ip: '2003:c0::1',
      country: 'DE',
    },
    { name: 'v1 UNKNOWN', bytes: 'PROXY UNKNOWN\r\n', ip: '127.0.0.1', country: 'XX' },
    { name: 'v2', bytes: v2(1, 0x11, ipv4), ip: GERMAN, country: 'DE' },
    { name: 'v2, IPv6', bytes: v2(1, 0x21, ipv6), ip: '2003:c0::1', country: 'DE' },
    {
      name: 'v2 with extensions',
      bytes: v2(1, 0x11, Buffer.concat([ipv4, extension])),
      ip: GERMAN,
      country: 'DE',
    },
    { name: 'v2 LOCAL', bytes: v2(0, 0x11, ipv4), ip: '127.0.0.1', country: 'XX' },
  ])('$name from a listed peer names the client', async ({ bytes, ip, country }) => {
    const w = world()
    const origin = await w.origin()
    const gateway = await w.gateway(config(origin, '127.0.0.0/8'))
    const whole = Buffer.concat([Buffer.from(bytes as string, 'latin1'), Buffer.from(GET)])
    // At once, and in pieces that cut header and request anywhere.
    for (const size of [whole.length, 5]) {
      const wire = await Wire.open(gateway.port)
      for (let at = 0; at < whole.length; at += size) {
        wire.send(whole.subarray(at, at + size))
        if (size !== whole.length) await new Promise((resolve) => setImmediate(resolve))
      }
      expect(statusesOf(await wire.over())).toEqual([200])
    }
    expect(origin.hits).toHaveLength(2)
    for (const { headers } of origin.hits) {
      expect(headers['x-forwarded-for']).toBe(ip)
      expect(headers['x-country'] ?? '').toBe(country)
    }
  })

  it.each([
    { name: 'nothing but a request', bytes: GET },
    { name: 'an unknown family', bytes: `PROXY TCP9 1.1.1.1 2.2.2.2 1 2\r\n${GET}` },
    { name: 'a bad address', bytes: `PROXY TCP4 1.1.1.999 2.2.2.2 1 2\r\n${GET}` },
    { name: 'a line without end', bytes: `PROXY TCP4 ${'1'.repeat(200)}` },
    { name: 'an unknown version', bytes: Buffer.from('0d0a0d0a000d0a515549540a31110000', 'hex') },
    { name: 'silence', bytes: '' },
  ])('from a listed peer is required: $name is cut off', async ({ bytes }) => {
    const w = world()
    const origin = await w.origin()
    const base = config(origin, '127.0.0.0/8')
    const gateway = await w.gateway({
      ...base,
      listen: { ...base.listen, timeouts: { header: '300ms' } },
    })
    const wire = await Wire.open(gateway.port)
    wire.send(bytes)
    expect(await wire.over()).toBe('')
    expect(origin.hits).toEqual([])
  })

  it('from anybody else is no request, and ordinary requests are', async () => {
    const w = world()
    const origin = await w.origin()
    const gateway = await w.gateway(config(origin, '10.0.0.0/8'))
    const liar = await Wire.open(gateway.port)
    liar.send(`PROXY TCP4 ${GERMAN} 127.0.0.1 5000 80\r\n${GET}`)
    expect(statusesOf(await liar.over()).every((status) => status >= 400)).toBe(true)
    expect(origin.hits).toEqual([])
    const honest = await Wire.open(gateway.port)
    honest.send(GET)
    expect(statusesOf(await honest.over())).toEqual([200])
    expect(origin.hits[0]?.headers['x-forwarded-for']).toBe('127.0.0.1')
  })

  it.each(['http/1.1', 'h2'])('stands in front of TLS (%s)', async (protocol) => {
    const w = world()
    const origin = await w.origin()
    const gateway = await w.gateway(
      config(origin, '127.0.0.0/8', {
        protocol: 'https',
        tls: { certificates: [{ cert: fixture('first.pem'), key: fixture('first.key') }] },
      }),
    )
    const plain = await Wire.open(gateway.port, { reads: false })
    plain.send(v2(1, 0x11, ipv4))
    const secure = tls.connect({
      socket: plain.socket,
      servername: 'first.test',
      rejectUnauthorized: false,
      ALPNProtocols: [protocol],
    })
    secure.on('error', () => {})
    await within('a handshake', new Promise((resolve) => secure.once('secureConnect', resolve)))
    if (protocol === 'h2') {
      const session = http2.connect('https://first.test', { createConnection: () => secure })
      session.on('error', () => {})
      expect((await over2(session, { ':path': '/' })).status).toBe(200)
      session.destroy()
    } else {
      secure.write(GET)
      const chunks: Buffer[] = []
      secure.on('data', (chunk: Buffer) => chunks.push(chunk))
      await within('the end', new Promise((resolve) => secure.once('end', resolve)))
      expect(statusesOf(Buffer.concat(chunks).toString('latin1'))).toEqual([200])
    }
    plain.close()
    expect(origin.hits[0]?.headers).toMatchObject({
      'x-forwarded-for': GERMAN,
      'x-forwarded-proto': 'https',
      'x-country': 'DE',
    })
  })
})
