/** Origins that a test scripts: over `node:http`, or byte by byte. */
import { createHash } from 'node:crypto'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import net, { type AddressInfo, type Socket } from 'node:net'
import { pause } from './wait.ts'

/** What an origin saw of one request. */
export interface OriginHit {
  readonly method: string
  readonly path: string
  readonly headers: http.IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  /** Bytes of the body so far. */
  bodyBytes: number
  /** SHA-256 of the body, hex, once it is whole. */
  sha256: string | undefined
  body: string
  /** The parser saw the end of the message. */
  complete: boolean
  /** The connection went away before the end, of the request or of the response. */
  aborted: boolean
}

export type OriginHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  hit: OriginHit,
) => void

const KEPT_BODY = 4096

export class HttpOrigin {
  readonly server: http.Server
  /** In the order of arrival. */
  readonly hits: OriginHit[] = []
  readonly sockets = new Set<Socket>()
  /** Connections that were ever opened. */
  connections = 0
  #port = 0

  private constructor(handler: OriginHandler | undefined) {
    this.server = http.createServer({ keepAliveTimeout: 60_000 }, (request, response) =>
      this.#answer(request, response, handler),
    )
    this.server.on('checkContinue', (request, response) => {
      response.writeContinue()
      this.#answer(request, response, handler)
    })
    this.server.on('connection', (socket) => {
      this.connections++
      this.sockets.add(socket)
      socket.on('close', () => this.sockets.delete(socket))
      socket.on('error', () => {})
    })
  }

  static async start(handler?: OriginHandler): Promise<HttpOrigin> {
    const origin = new HttpOrigin(handler)
    await origin.#listen(0)
    return origin
  }

  async #listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject)
      this.server.listen(port, '127.0.0.1', resolve)
    })
    this.#port = (this.server.address() as AddressInfo).port
  }

  get port(): number {
    return this.#port
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  #answer(
    request: IncomingMessage,
    response: ServerResponse,
    handler: OriginHandler | undefined,
  ): void {
    const hit: OriginHit = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      rawHeaders: request.rawHeaders,
      bodyBytes: 0,
      sha256: undefined,
      body: '',
      complete: false,
      aborted: false,
    }
    this.hits.push(hit)
    response.on('close', () => {
      if (!response.writableFinished) hit.aborted = true
    })
    if (handler !== undefined) {
      handler(request, response, hit)
      return
    }
    void readBody(request, hit).then(() => {
      response.end(`${hit.method} ${hit.path}\n`)
    })
  }

  /** Nothing listens here any more and every connection is cut; `reopen` undoes it. */
  async refuse(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve())
      this.cut()
    })
  }

  async reopen(): Promise<void> {
    await this.#listen(this.#port)
  }

  /** Resets every connection. */
  cut(): void {
    for (const socket of this.sockets) socket.resetAndDestroy()
  }

  async close(): Promise<void> {
    if (this.server.listening) await this.refuse()
  }
}

/** Reads a request's body, noting length and hash; resolves also when it is cut. */
export function readBody(request: IncomingMessage, hit: OriginHit): Promise<void> {
  const hash = createHash('sha256')
  return new Promise((resolve) => {
    request.on('data', (chunk: Buffer) => {
      hit.bodyBytes += chunk.length
      if (hit.body.length < KEPT_BODY) hit.body += chunk.toString('latin1')
      hash.update(chunk)
    })
    request.on('end', () => {
      hit.complete = request.complete
      hit.sha256 = hash.digest('hex')
      resolve()
    })
    request.on('error', () => {
      hit.aborted = true
    })
  })
}

/** Gets a connection and what has come of a request head on it; called once for each request head. */
export type SocketScript = (socket: Socket, head: string, count: number) => void

/** Answers heads of requests with whatever the script writes. */
export class SocketOrigin {
  readonly #server: net.Server
  readonly #sockets = new Set<Socket>()
  /** Heads of the requests, in the order of arrival. */
  readonly heads: string[] = []
  connections = 0

  private constructor(script: SocketScript) {
    this.#server = net.createServer((socket) => {
      this.connections++
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      socket.on('error', () => {})
      let seen = ''
      socket.on('data', (chunk) => {
        seen += chunk.toString('latin1')
        for (;;) {
          const end = seen.indexOf('\r\n\r\n')
          if (end < 0) return
          const head = seen.slice(0, end)
          seen = seen.slice(end + 4)
          this.heads.push(head)
          script(socket, head, this.heads.length)
        }
      })
    })
  }

  static async start(script: SocketScript): Promise<SocketOrigin> {
    const origin = new SocketOrigin(script)
    await new Promise<void>((resolve) => origin.#server.listen(0, '127.0.0.1', resolve))
    return origin
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get openConnections(): number {
    return this.#sockets.size
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
      for (const socket of this.#sockets) socket.destroy()
    })
  }
}

/** A port of loopback that was free a moment ago, to listen on. */
export async function freePort(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise<void>((resolve) => server.close(() => resolve()))
  return port
}

/** A URL that refuses connections, for good: its port is the near end of a connection, so that nobody is given it. */
export async function refusingUrl(): Promise<string> {
  const server = net.createServer((socket) => socket.unref())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const holder = net.connect(port, '127.0.0.1')
  await new Promise<void>((resolve) => holder.once('connect', resolve))
  holder.unref()
  server.close()
  return `http://127.0.0.1:${holder.localPort}`
}

/** Writes `total` bytes with back-pressure. */
export async function writeBytes(response: ServerResponse, total: number): Promise<void> {
  const piece = Buffer.alloc(64 * 1024, 'meridian ')
  for (let left = total; left > 0; left -= piece.length) {
    if (response.destroyed) return
    const isFlowing = response.write(left >= piece.length ? piece : piece.subarray(0, left))
    if (!isFlowing) {
      await new Promise<void>((resolve) => {
        const go = () => {
          response.off('drain', go).off('close', go)
          resolve()
        }
        response.on('drain', go).on('close', go)
      })
    }
  }
  await pause(0)
}
