/** The control port at its socket: what a browser, a neighbour or a guesser could send, byte by byte. */
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type AdminWorldFixture, adminWorld, READER, TOKEN } from '../../src/admin/world.fixture.ts'

interface Raw extends AdminWorldFixture {
  /** Sends bytes as they are; answers the whole reply once the server has closed. */
  readonly send: (lines: readonly string[], body?: string) => Promise<string>
}

async function listening(): Promise<Raw> {
  const world = adminWorld()
  const listener = getRequestListener(world.app.fetch, { overrideGlobalObjects: false })
  const server: Server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    ...world,
    send: (lines, body = '') =>
      new Promise((resolve, reject) => {
        const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
        let reply = ''
        socket.setEncoding('latin1')
        socket.on('data', (text) => {
          reply += text
        })
        socket.on('error', reject)
        socket.on('close', () => resolve(reply))
        socket.write(`${lines.join('\r\n')}\r\nConnection: close\r\n\r\n${body}`)
      }),
  }
}

const statusOf = (reply: string) => Number(reply.slice(9, 12))
const HOST = 'Host: localhost'
const JSON_TYPE = 'Content-Type: application/json'
const AUTHORIZED = `Authorization: Bearer ${TOKEN}`

describe('raw requests to look', () => {
  it.each([
    ['right', ['GET /status HTTP/1.1', HOST, AUTHORIZED], 200],
    ['no Host (refused by the adapter)', ['GET /status HTTP/1.0', AUTHORIZED], 400],
    ['a forged Host', ['GET /status HTTP/1.1', 'Host: evil.example', AUTHORIZED], 421],
    [
      'absolute form, forged',
      ['GET http://evil.example/status HTTP/1.1', 'Host: evil.example', AUTHORIZED],
      421,
    ],
    ['no token', ['GET /status HTTP/1.1', HOST], 401],
    ['dots before the path', ['GET /healthz/../status HTTP/1.1', HOST], 401],
    ['an encoded path', ['GET /healthz%2f..%2fstatus HTTP/1.1', HOST], 401],
    ['two slashes', ['GET //status HTTP/1.1', HOST], 401],
    ['the token in the query', [`GET /status?access_token=${TOKEN} HTTP/1.1`, HOST], 400],
    [
      'the token as a password',
      ['GET /status HTTP/1.1', HOST, `Authorization: Basic ${TOKEN}`],
      401,
    ],
    ['two tokens in one field', ['GET /status HTTP/1.1', HOST, `${AUTHORIZED} ${TOKEN}`], 401],
    [
      'two fields, the first wrong',
      ['GET /status HTTP/1.1', HOST, 'Authorization: Bearer wrong', AUTHORIZED],
      401,
    ],
    [
      'reading, with the reading token',
      ['GET /status HTTP/1.1', HOST, `Authorization: Bearer ${READER}`],
      200,
    ],
    [
      'what only writers see',
      ['GET /config/source HTTP/1.1', HOST, `Authorization: Bearer ${READER}`],
      403,
    ],
    ['a method that is none', ['STATUS /status HTTP/1.1', HOST, AUTHORIZED], 400],
  ])('%s', async (_, lines, status) => {
    const { send } = await listening()
    const reply = await send(lines)
    expect(statusOf(reply)).toBe(status)
    expect(reply.toLowerCase()).not.toContain('access-control-allow')
    expect(reply).not.toContain(TOKEN)
  })
})

/** What each of these is refused for, and what the audit log says of it. */
const REFUSED: readonly (readonly [
  name: string,
  lines: readonly string[],
  status: number,
  entry: object,
])[] = [
  ['a forged Host', ['Host: evil.example', AUTHORIZED, JSON_TYPE], 421, { principal: 'nobody' }],
  [
    'a name that only begins like an address',
    ['Host: 127.0.0.1.evil.example', AUTHORIZED, JSON_TYPE],
    421,
    { principal: 'nobody' },
  ],
  [
    'a foreign Origin',
    [HOST, AUTHORIZED, JSON_TYPE, 'Origin: http://evil.example'],
    403,
    { reason: 'Requests from other sites are refused.' },
  ],
  ['an opaque Origin', [HOST, AUTHORIZED, JSON_TYPE, 'Origin: null'], 403, {}],
  [
    'another port’s Origin',
    [HOST, AUTHORIZED, JSON_TYPE, 'Origin: http://localhost:3000'],
    403,
    {},
  ],
  ['a page of another site', [HOST, AUTHORIZED, JSON_TYPE, 'Sec-Fetch-Site: cross-site'], 403, {}],
  ['no token', [HOST, JSON_TYPE], 401, { principal: 'nobody', reason: 'no token' }],
  [
    'a wrong token',
    [HOST, JSON_TYPE, 'Authorization: Bearer a-token-of-other-length'],
    401,
    { principal: 'nobody', reason: 'wrong token' },
  ],
  [
    'the reading token',
    [HOST, JSON_TYPE, `Authorization: Bearer ${READER}`],
    403,
    { principal: 'read-token', action: 'region.drain', target: 'eu' },
  ],
  [
    'a form',
    [HOST, AUTHORIZED, 'Content-Type: application/x-www-form-urlencoded'],
    415,
    { principal: 'token' },
  ],
  ['plain text', [HOST, AUTHORIZED, 'Content-Type: text/plain'], 415, { principal: 'token' }],
  ['no type at all', [HOST, AUTHORIZED], 415, { principal: 'token' }],
]

describe('raw requests to change something', () => {
  const order = (lines: readonly string[], target = '/regions/eu/drain', body = '{}') => [
    `POST ${target} HTTP/1.1`,
    ...lines,
    `Content-Length: ${body.length}`,
  ]

  it.each(REFUSED)(
    'with %s are refused and noted, and change nothing',
    async (_, lines, status, entry) => {
      const { send, done, audit } = await listening()
      expect(statusOf(await send(order(lines), '{}'))).toBe(status)
      expect(done).toEqual([])
      const noted = audit.after(0, 10)
      expect(noted).toMatchObject([{ outcome: 'refused', status, peer: '192.0.2.1', ...entry }])
      for (const token of [TOKEN, READER, 'a-token-of-other-length']) {
        expect(JSON.stringify(noted)).not.toContain(token)
      }
    },
  )

  it('with the token in the query are refused, and the token is not noted', async () => {
    const { send, done, audit } = await listening()
    for (const key of ['token', 'access_token', 'api_key']) {
      const target = `/regions/eu/drain?${key}=${TOKEN}`
      expect(statusOf(await send(order([HOST, JSON_TYPE, AUTHORIZED], target), '{}'))).toBe(400)
    }
    expect(done).toEqual([])
    expect(audit.after(0, 10)).toHaveLength(3)
    expect(JSON.stringify(audit.after(0, 10))).not.toContain(TOKEN)
  })

  it('by one who guesses are refused with the right token too, for a while', async () => {
    const { send, done, audit } = await listening()
    for (let i = 0; i < 10; i++) {
      const guess = `Authorization: Bearer a-guess-of-length-${i}`
      expect(statusOf(await send(order([HOST, JSON_TYPE, guess]), '{}'))).toBe(401)
    }
    const locked = await send(order([HOST, JSON_TYPE, AUTHORIZED]), '{}')
    expect(statusOf(locked)).toBe(429)
    expect(locked).toMatch(/retry-after: 60/i)
    expect(done).toEqual([])
    expect(audit.after(0, 20).map((one) => one.status)).toEqual([...Array(10).fill(401), 429])
  })

  it.each([
    ['whole', ['Content-Length: 12'], '{"for":"5m"}'],
    ['in chunks', ['Transfer-Encoding: chunked'], 'c\r\n{"for":"5m"}\r\n0\r\n\r\n'],
  ])('are carried out with a body %s', async (_, framing, body) => {
    const { send, done } = await listening()
    const head = ['POST /regions/eu/drain HTTP/1.1', HOST, JSON_TYPE, AUTHORIZED, ...framing]
    expect(statusOf(await send(head, body))).toBe(200)
    expect(done).toMatchObject([{ region: 'eu', by: 'token' }])
  })

  it.each([
    ['stated', [`Content-Length: ${70_000}`], 'x'.repeat(70_000)],
    [
      'in chunks',
      ['Transfer-Encoding: chunked'],
      `${(70_000).toString(16)}\r\n${'x'.repeat(70_000)}\r\n0\r\n\r\n`,
    ],
  ])('are not read beyond their limit, %s', async (_, framing, body) => {
    const { send, done } = await listening()
    const head = ['POST /regions/eu/drain HTTP/1.1', HOST, JSON_TYPE, AUTHORIZED, ...framing]
    expect(statusOf(await send(head, body))).toBe(413)
    expect(done).toEqual([])
  })

  it.each([
    ['another method', 'PATCH /regions/eu/drain', 405],
    ['an override', 'GET /regions/eu/drain', 405],
    ['a path with a dot', 'POST /regions/./eu/drain', 200],
    ['a slash in the name', 'POST /regions/eu%2f../drain', 404],
    ['a null byte', 'POST /regions/e%00u/drain', 404],
    ['a name of a prototype', 'POST /regions/__proto__/drain', 404],
  ])('with %s do what they say, or nothing', async (_, line, status) => {
    const { send, done } = await listening()
    const head = [
      `${line} HTTP/1.1`,
      ...[HOST, JSON_TYPE, AUTHORIZED, 'Content-Length: 2', 'X-HTTP-Method-Override: POST'],
    ]
    expect(statusOf(await send(head, '{}'))).toBe(status)
    expect(done).toHaveLength(status === 200 ? 1 : 0)
  })
})
