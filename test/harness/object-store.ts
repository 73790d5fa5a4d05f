/** A bucket in memory that answers as S3 does: objects appear when all of them has come, signatures must hold. */
import { createHash, createHmac } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface StoredBytes {
  readonly bytes: Buffer
  readonly sha256: string
}

export const STORE_KEYS = { id: 'AKIDEXAMPLE', secret: 'wJalrXUtnFEMI-K7MDENG-bPxRfiCY' } as const

export class TestStore {
  readonly objects = new Map<string, StoredBytes>()
  /** `PUT key` of each request, in order. */
  readonly asked: string[] = []
  /** Why requests were refused. */
  readonly refused: string[] = []
  /** Called for each piece of a body; false holds it back for good. */
  onPiece: (key: string, bytes: number) => boolean = () => true
  /** Called before an answer; a promise holds it back, a number is the status instead. */
  onAnswer: (method: string, key: string) => Promise<void> | number | undefined = () => undefined
  readonly #server: Server

  private constructor() {
    this.#server = createServer((request, response) => void this.#take(request, response))
  }

  static async start(): Promise<TestStore> {
    const store = new TestStore()
    await new Promise<void>((resolve) => store.#server.listen(0, '127.0.0.1', resolve))
    return store
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  close(): Promise<void> {
    this.#server.closeAllConnections()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = request.method ?? ''
    const key = decodeURIComponent((request.url ?? '').slice('/bucket/'.length))
    this.asked.push(`${method} ${key}`)
    const hash = createHash('sha256')
    const md5 = createHash('md5')
    const pieces: Buffer[] = []
    let size = 0
    try {
      for await (const piece of request as AsyncIterable<Buffer>) {
        size += piece.length
        if (!this.onPiece(key, size)) await new Promise(() => {})
        hash.update(piece)
        md5.update(piece)
        pieces.push(piece)
      }
    } catch {
      return // The client was killed.
    }
    const sha256 = hash.digest('hex')
    const wrong = signatureFault(request, sha256)
    if (wrong !== undefined) {
      this.refused.push(wrong)
      response.writeHead(403).end('<Error><Code>SignatureDoesNotMatch</Code></Error>')
      return
    }
    const instead = this.onAnswer(method, key)
    if (typeof instead === 'number') {
      response.writeHead(instead).end('<Error><Code>SlowDown</Code></Error>')
      return
    }
    if (method === 'PUT') {
      if (md5.digest('base64') !== request.headers['content-md5']) {
        response.writeHead(400).end('<Error><Code>BadDigest</Code></Error>')
        return
      }
      this.objects.set(key, { bytes: Buffer.concat(pieces), sha256 })
    }
    await instead
    const found = this.objects.get(key)
    if (found === undefined) {
      response.writeHead(404).end()
      return
    }
    const etag = createHash('md5').update(found.bytes).digest('hex')
    response.writeHead(200, {
      etag: `"${etag}"`,
      ...(method === 'HEAD' && { 'content-length': found.bytes.length }),
    })
    response.end()
  }
}

/** Signature Version 4 worked out independently. */
function signatureFault(request: IncomingMessage, sha256: string): string | undefined {
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      request.headers.authorization ?? '',
    )
  if (match === null) return 'no signature'
  const [, id, date, region, signed, signature] = match as unknown as string[]
  if (id !== STORE_KEYS.id) return 'another key'
  if (request.headers['x-amz-content-sha256'] !== sha256) return 'another body'
  const names = signed!.split(';')
  const path = (request.url ?? '')
    .split('/')
    .map((part) =>
      encodeURIComponent(decodeURIComponent(part)).replace(
        /[!'()*]/g,
        (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
      ),
    )
    .join('/')
  const canonical = [
    request.method,
    path,
    '',
    ...names.map((name) => `${name}:${String(request.headers[name]).trim()}`),
    '',
    signed,
    sha256,
  ].join('\n')
  const scope = `${date}/${region}/s3/aws4_request`
  const text = [
    'AWS4-HMAC-SHA256',
    request.headers['x-amz-date'],
    scope,
    createHash('sha256').update(canonical).digest('hex'),
  ].join('\n')
  const hmac = (key: string | Buffer, value: string) =>
    createHmac('sha256', key).update(value).digest()
  const key = [date!, region!, 's3', 'aws4_request'].reduce<string | Buffer>(
    (sum, part) => hmac(sum, part),
    `AWS4${STORE_KEYS.secret}`,
  )
  return createHmac('sha256', key).update(text).digest('hex') === signature
    ? undefined
    : 'the signature does not hold'
}
