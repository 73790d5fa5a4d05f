/** The cache behind real connections: what only sockets show. */
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type Adapter, startAdapter } from './node-adapter.fixture.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

async function origin(handle: http.RequestListener): Promise<{ host: string; port: number }> {
  const server = http.createServer(handle)
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  closing.push(
    () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(resolve)
      }),
  )
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
}

async function adapter(at: { host: string; port: number }): Promise<Adapter> {
  const started = await startAdapter(at, 'safe')
  closing.push(() => started.close())
  return started
}

interface Got {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
}

function get(
  port: number,
  path: string,
  headers: http.OutgoingHttpHeaders = {},
  begun: () => void = () => undefined,
): Promise<Got> {
  return new Promise((resolve, reject) => {
    const request = http.get(
      { host: '127.0.0.1', port, path, headers, agent: false },
      (response) => {
        let body = ''
        response.on('data', (chunk: Buffer) => {
          body += chunk.toString()
          begun()
        })
        response.on('error', reject)
        response.on('end', () => {
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body,
          })
        })
      },
    )
    request.on('error', reject)
  })
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe('over sockets', () => {
  it('40 cold requests make one origin request', async () => {
    let asked = 0
    const at = await origin((_, response) => {
      asked++
      setTimeout(() => {
        response.setHeader('Cache-Control', 'max-age=60')
        response.end('once')
      }, 50)
    })
    const { port } = await adapter(at)
    const got = await Promise.all(Array.from({ length: 40 }, () => get(port, '/')))
    expect(got.every((one) => one.body === 'once')).toBe(true)
    expect(asked).toBe(1)
  })

  it('a joiner’s first byte does not wait for the end of the fill', async () => {
    let finish: () => void = () => undefined
    const at = await origin((_, response) => {
      response.writeHead(200, { 'Cache-Control': 'max-age=60' })
      response.write('first')
      finish = () => response.end(' last')
    })
    const { port } = await adapter(at)
    const begins = (path: string) => {
      let whole: Promise<Got> | undefined
      const first = new Promise<void>((resolve) => {
        whole = get(port, path, {}, resolve)
      })
      return { first, whole: whole as unknown as Promise<Got> }
    }
    const leader = begins('/')
    await leader.first
    const joiner = begins('/')
    // The origin says nothing more until it is there.
    await joiner.first
    finish()
    const late = await joiner.whole
    expect(late.body).toBe('first last')
    expect(late.headers['cache-status']).toContain('collapsed')
    expect((await leader.whole).body).toBe('first last')
  })

  it('a body that breaks off is a broken connection for the client, and is not kept', async () => {
    let asked = 0
    const at = await origin((_, response) => {
      asked++
      response.writeHead(200, { 'Cache-Control': 'max-age=60', 'Content-Length': '1000' })
      response.write('x'.repeat(500))
      setTimeout(() => response.socket?.destroy(), 20)
    })
    const { port, cache } = await adapter(at)
    await expect(get(port, '/')).rejects.toThrow()
    await expect(get(port, '/')).rejects.toThrow()
    expect(asked).toBe(2)
    expect(cache.stats().memory.entries).toBe(0)
  })

  it('a stalled client makes the origin stop, too: little more than the buffers is sent', async () => {
    const total = 100 * 1024 ** 2
    let sent = 0
    const at = await origin((_, response) => {
      response.writeHead(200, { 'Cache-Control': 'max-age=60', 'Content-Length': String(total) })
      const piece = Buffer.alloc(256 * 1024)
      const more = () => {
        while (sent < total) {
          sent += piece.length
          if (!response.write(piece)) return void response.once('drain', more)
        }
        response.end()
      }
      more()
    })
    const { port } = await adapter(at)
    const socket = net.connect(port, '127.0.0.1')
    socket.write('GET /big HTTP/1.1\r\nHost: example.com\r\n\r\n')
    await new Promise((resolve) => socket.once('readable', resolve))
    await pause(400)
    socket.destroy()
    expect(sent).toBeGreaterThan(0)
    expect(sent).toBeLessThan(24 * 1024 ** 2)
  })

  it('fields of the connection are neither kept nor passed on', async () => {
    const at = await origin((_, response) => {
      response.writeHead(200, {
        'Cache-Control': 'max-age=60',
        Connection: 'close, X-Hop',
        'X-Hop': '1',
        'Proxy-Authenticate': 'Basic',
        'X-End': '1',
      })
      response.end('x')
    })
    const { port } = await adapter(at)
    await get(port, '/')
    const hit = await get(port, '/')
    expect(hit.headers['cache-status']).toContain('hit')
    expect(hit.headers['x-hop']).toBeUndefined()
    expect(hit.headers['proxy-authenticate']).toBeUndefined()
    expect(hit.headers['x-end']).toBe('1')
  })
})
