import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAdminApp } from '../../src/admin/app.ts'
import { exchangeOf, telemetryConfig } from '../../src/telemetry/exchange.fixture.ts'
import { explain } from '../../src/telemetry/explain.ts'
import { Mask } from '../../src/telemetry/mask.ts'

const TOKEN = 'a-token-of-some-length'
const mask = new Mask(telemetryConfig().mask, new Uint8Array(16))

let server: Server
let explained = 0

beforeAll(async () => {
  const app = createAdminApp(
    {
      status: () => ({
        version: '0',
        runtime: 'node',
        startedAt: 0,
        workers: 1,
        config: { hash: '', file: null, loadedAt: 0, lastError: null },
        geo: { source: 'none', builtAt: null },
        regions: [],
      }),
      readiness: () => ({ ready: true, reasons: [] }),
      metrics: () => 'up 1\n',
      config: () => ({}),
      explain: () => {
        explained++
        return explain(exchangeOf(), { status: 200 }, mask)
      },
      events: () => [],
    },
    { token: TOKEN, hosts: [], isUnixSocket: false, monotonic: () => performance.now() },
    () => mask,
  )
  server = createServer(getRequestListener(app.fetch, { overrideGlobalObjects: false }))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})

afterAll(() => {
  server.closeAllConnections()
  server.close()
})

/** Sends bytes as they are; answers the whole reply once the server has closed. */
function raw(lines: string[], body = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    let reply = ''
    socket.setEncoding('latin1')
    socket.on('data', (text) => {
      reply += text
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(reply))
    socket.write(`${lines.join('\r\n')}\r\nConnection: close\r\n\r\n${body}`)
  })
}

const AUTHORIZED = `Authorization: Bearer ${TOKEN}`

describe('raw requests to the control port', () => {
  it.each([
    ['right', ['GET /status HTTP/1.1', 'Host: localhost', AUTHORIZED], 200],
    ['no Host (refused by the adapter)', ['GET /status HTTP/1.0', AUTHORIZED], 400],
    ['a forged Host', ['GET /status HTTP/1.1', 'Host: evil.example', AUTHORIZED], 421],
    [
      'absolute form, forged',
      ['GET http://evil.example/status HTTP/1.1', 'Host: evil.example', AUTHORIZED],
      421,
    ],
    ['no token', ['GET /status HTTP/1.1', 'Host: localhost'], 401],
    ['dots before the path', ['GET /healthz/../status HTTP/1.1', 'Host: localhost'], 401],
    ['an encoded path', ['GET /healthz%2f..%2fstatus HTTP/1.1', 'Host: localhost'], 401],
    ['two slashes', ['GET //status HTTP/1.1', 'Host: localhost'], 401],
    [
      'the token in the query',
      [`GET /status?access_token=${TOKEN} HTTP/1.1`, 'Host: localhost'],
      400,
    ],
  ])('%s', async (_, lines, status) => {
    const reply = await raw(lines)
    expect(reply.slice(0, 12)).toBe(`HTTP/1.1 ${status}`)
    expect(reply.toLowerCase()).not.toContain('access-control-allow')
  })

  it.each([
    ['a foreign Origin', ['Origin: http://evil.example', 'Content-Type: application/json'], 403],
    ['a form', ['Content-Type: application/x-www-form-urlencoded'], 415],
    ['plain text', ['Content-Type: text/plain'], 415],
    ['JSON', ['Content-Type: application/json'], 200],
  ])('a write with %s', async (_, headers, status) => {
    const before = explained
    const body = '{"url":"/"}'
    const reply = await raw(
      [
        'POST /explain HTTP/1.1',
        'Host: localhost',
        AUTHORIZED,
        `Content-Length: ${body.length}`,
        ...headers,
      ],
      body,
    )
    expect(reply.slice(0, 12)).toBe(`HTTP/1.1 ${status}`)
    expect(explained - before).toBe(status === 200 ? 1 : 0)
  })
})
