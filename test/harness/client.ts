/** Clients: requests through `node:http` with everything visible, and bare sockets. */
import http, { type IncomingMessage } from 'node:http'
import net, { type Socket } from 'node:net'
import tls from 'node:tls'
import { until, within } from './wait.ts'

export interface Interim {
  readonly status: number
  readonly fields: readonly string[]
}

export interface Answer {
  readonly status: number
  readonly reason: string
  /** Name, value, name, value as on the wire. */
  readonly fields: readonly string[]
  readonly body: Buffer
  readonly text: string
  /** False when the connection ended before the message did. */
  readonly complete: boolean
  readonly interim: readonly Interim[]
  readonly trailers: readonly string[]
  /** First value of a field; the name in lower case. */
  get(name: string): string | undefined
  all(name: string): string[]
  json<T = Record<string, unknown>>(): T
}

export interface AskOptions {
  readonly method?: string
  readonly headers?: http.OutgoingHttpHeaders | readonly string[]
  readonly body?: string | Uint8Array
  /** Send the body chunked. */
  readonly chunked?: boolean
  readonly agent?: http.Agent | false
  /** Wait for 100 Continue before the body. */
  readonly expectContinue?: boolean
  readonly deadlineMs?: number
}

/** One request; resolves also when the response is cut (`complete` says so), rejects when there is none. */
export function ask(url: string, options: AskOptions = {}): Promise<Answer> {
  const promise = new Promise<Answer>((resolve, reject) => {
    const interim: Interim[] = []
    const headers: http.OutgoingHttpHeaders | readonly string[] = options.headers ?? {}
    const request = http.request(url, {
      method: options.method ?? 'GET',
      agent: options.agent ?? false,
      headers: headers as http.OutgoingHttpHeaders,
    })
    if (options.expectContinue === true) request.setHeader('expect', '100-continue')
    request.on('error', reject)
    request.on('information', (info) => {
      // 100 has an event of its own as well.
      if (info.statusCode !== 100)
        interim.push({ status: info.statusCode, fields: info.rawHeaders })
    })
    request.on('continue', () => {
      interim.push({ status: 100, fields: [] })
      request.end(options.body)
    })
    request.on('response', (response) => {
      request.off('error', reject)
      request.on('error', () => {})
      void readAnswer(response, interim).then(resolve)
    })
    const { body } = options
    if (body !== undefined && options.chunked !== true) {
      request.setHeader('content-length', Buffer.byteLength(body))
    }
    if (options.expectContinue === true) request.flushHeaders()
    else if (options.chunked === true && body !== undefined) {
      request.write(body)
      request.end()
    } else request.end(body)
  })
  return within(`an answer of ${url}`, promise, options.deadlineMs ?? 15_000)
}

function readAnswer(response: IncomingMessage, interim: readonly Interim[]): Promise<Answer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('error', () => {})
    response.on('close', () => {
      const body = Buffer.concat(chunks)
      resolve(
        answerOf({
          status: response.statusCode ?? 0,
          reason: response.statusMessage ?? '',
          fields: response.rawHeaders,
          body,
          complete: response.complete,
          interim,
          trailers: response.rawTrailers,
        }),
      )
    })
  })
}

function answerOf(parts: Omit<Answer, 'text' | 'get' | 'all' | 'json'>): Answer {
  const all = (name: string) => valuesOf(parts.fields, name)
  return {
    ...parts,
    text: parts.body.toString('utf8'),
    get: (name) => all(name)[0],
    all,
    json: <T>() => JSON.parse(parts.body.toString('utf8')) as T,
  }
}

export function valuesOf(fields: readonly string[], name: string): string[] {
  const values: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i]?.toLowerCase() === name) values.push(fields[i + 1] as string)
  }
  return values
}

/** A connection whose bytes the test writes and reads itself. */
export class Wire {
  readonly socket: Socket
  #received = Buffer.alloc(0)
  #ended = false
  #closed = false

  private constructor(socket: Socket, reads: boolean) {
    this.socket = socket
    if (reads) this.read()
    socket.on('error', () => {})
    socket.on('end', () => {
      this.#ended = true
    })
    socket.on('close', () => {
      this.#closed = true
    })
  }

  /** @param reads false for a client that takes nothing until `read` */
  static async open(port: number, options: { reads?: boolean } = {}): Promise<Wire> {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    const wire = new Wire(socket, options.reads ?? true)
    await until('a connection', () => socket.readyState === 'open' || wire.isOver)
    return wire
  }

  static async openTls(port: number, options: tls.ConnectionOptions = {}): Promise<Wire> {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options })
    const wire = new Wire(socket, true)
    await within(
      'a TLS handshake',
      new Promise<void>((resolve, reject) => {
        socket.once('secureConnect', resolve)
        socket.once('error', reject)
      }),
    )
    return wire
  }

  read(): void {
    this.socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk])
    })
  }

  send(text: string | Uint8Array): void {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text)
  }

  get text(): string {
    return this.#received.toString('latin1')
  }

  /** The other side has said that nothing more comes, or is gone. */
  get isOver(): boolean {
    return this.#ended || this.#closed
  }

  /** Everything received, once `pattern` is in it. */
  async receive(pattern: RegExp, deadlineMs?: number): Promise<string> {
    return until(
      `${pattern} in what was received: ${JSON.stringify(this.text.slice(0, 500))}`,
      () => (pattern.test(this.text) ? this.text : undefined),
      deadlineMs,
    )
  }

  /** Everything received, once the other side is done. */
  async over(deadlineMs?: number): Promise<string> {
    await until('the end of the connection', () => this.isOver, deadlineMs)
    return this.text
  }

  close(): void {
    this.socket.destroy()
  }

  /** RST instead of FIN. */
  reset(): void {
    this.socket.resetAndDestroy()
  }
}

/** Status codes of the final responses in a received text, in order. */
export function statusesOf(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.[01] ([2-5]\d\d) /g)].map((match) => Number(match[1]))
}
