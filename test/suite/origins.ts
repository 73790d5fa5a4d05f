/**
 * Three regions and a way to break them, for tests that may run where there are no servers: started by
 * Vitest beside the tests, told what to do over HTTP.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import type { TestProject } from 'vitest/node'

export const REGIONS = ['eu', 'us', 'ap'] as const
export type RegionName = (typeof REGIONS)[number]

export interface OriginUrls {
  readonly regions: Readonly<Record<RegionName, string>>
  readonly control: string
}

declare module 'vitest' {
  interface ProvidedContext {
    origins: OriginUrls
  }
}

type Page = (request: IncomingMessage, response: ServerResponse) => void

/** More than an isolate keeps of one body. */
const LARGE = Buffer.alloc(5 * 1024 * 1024, 'large ')

const PAGES: Readonly<Record<string, Page>> = {
  '/seen': (request, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ url: request.url, headers: request.headers }))
  },
  '/echo': (request, response) => void request.pipe(response),
  '/gzip': (_, response) => {
    const body = gzipSync('squeezed '.repeat(100))
    response.setHeader('content-type', 'text/plain')
    response.setHeader('content-encoding', 'gzip')
    response.setHeader('content-length', body.length)
    response.end(body)
  },
  '/cookies': (_, response) => {
    response.setHeader('set-cookie', ['a=1', 'b=2; Path=/'])
    response.end('cookies')
  },
  '/redirect': (_, response) => void response.writeHead(302, { location: '/seen' }).end(),
  '/empty': (_, response) => void response.writeHead(204).end(),
  '/cut-known': (_, response) => {
    response.writeHead(200, { 'content-length': 300_000, 'cache-control': 'max-age=60' })
    response.write('x'.repeat(1000))
    setTimeout(() => response.destroy(), 30)
  },
  '/cut-chunked': (_, response) => {
    response.writeHead(200, { 'cache-control': 'max-age=60' })
    response.write('x'.repeat(1000))
    setTimeout(() => response.destroy(), 30)
  },
  '/events': (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: 1\n\n')
    setTimeout(() => response.end('data: 2\n\n'), 150)
  },
  '/cached': (_, response) => {
    response.setHeader('cache-control', 'max-age=60')
    response.end(`made ${process.hrtime.bigint()}`)
  },
  '/large': (_, response) => {
    response.writeHead(200, { 'cache-control': 'max-age=60', 'content-length': LARGE.length })
    response.end(LARGE)
  },
  '/large-chunked': (_, response) => {
    response.writeHead(200, { 'cache-control': 'max-age=60' })
    response.write(LARGE)
    response.end()
  },
  '/stale': (_, response) => {
    response.writeHead(200, { 'cache-control': 'max-age=0, stale-if-error=600', etag: '"1"' })
    response.end('stale')
  },
  '/language': (request, response) => {
    response.setHeader('cache-control', 'max-age=60')
    response.setHeader('vary', 'x-variant')
    response.end(`variant ${request.headers['x-variant']}`)
  },
  '/private': (_, response) => {
    response.setHeader('cache-control', 'private')
    response.end(`made ${process.hrtime.bigint()}`)
  },
  '/healthz': (_, response) => void response.end('ok'),
}

type State = 'up' | 'refusing' | 'failing'

class Origin {
  readonly region: RegionName
  hits: Record<string, number> = {}
  #state: State = 'up'
  #server: Server
  port = 0

  constructor(region: RegionName) {
    this.region = region
    this.#server = this.#make()
  }

  #make(): Server {
    return createServer((request, response) => {
      const path = new URL(request.url ?? '/', 'http://origin').pathname
      this.hits[path] = (this.hits[path] ?? 0) + 1
      response.setHeader('x-region', this.region)
      if (this.#state === 'failing') {
        response.writeHead(503).end('failing')
        return
      }
      const name = Object.keys(PAGES).find((page) => path === page || path.startsWith(`${page}/`))
      const page = name === undefined ? undefined : PAGES[name]
      if (page === undefined) response.end(`${this.region} ${path}`)
      else page(request, response)
    })
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.port, '127.0.0.1', resolve)
    })
    this.port = (this.#server.address() as AddressInfo).port
  }

  async become(state: State): Promise<void> {
    const wasRefusing = this.#state === 'refusing'
    this.#state = state
    if (state === 'refusing' && !wasRefusing) await this.close()
    if (state !== 'refusing' && wasRefusing) {
      this.#server = this.#make()
      await this.listen()
    }
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }
}

/** Vitest's global setup. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const origins = REGIONS.map((region) => new Origin(region))
  for (const origin of origins) await origin.listen()
  const control = createServer((request, response) => {
    void (async () => {
      const url = new URL(request.url ?? '/', 'http://control')
      if (url.pathname === '/reset') {
        for (const origin of origins) {
          await origin.become('up')
          origin.hits = {}
        }
      }
      const region = url.searchParams.get('region')
      const origin = origins.find((one) => one.region === region)
      if (url.pathname === '/become') await origin?.become(url.searchParams.get('state') as State)
      const hits = Object.fromEntries(origins.map((one) => [one.region, one.hits]))
      response.end(JSON.stringify(hits))
    })()
  })
  await new Promise<void>((resolve) => control.listen(0, '127.0.0.1', resolve))
  const url = (port: number) => `http://localhost:${port}`
  project.provide('origins', {
    regions: Object.fromEntries(
      origins.map((origin) => [origin.region, url(origin.port)]),
    ) as Record<RegionName, string>,
    control: url((control.address() as AddressInfo).port),
  })
  return async () => {
    for (const origin of origins) await origin.become('up').then(() => origin.close())
    control.close()
    control.closeAllConnections()
  }
}
