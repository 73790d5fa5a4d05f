/**
 * A bucket of anything that speaks the S3 API (Amazon S3, Alibaba OSS, R2, MinIO…): look, and put. Requests are
 * signed with SigV4; a body goes out no faster than it may.
 */
import type { FileHandle } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { AwsV4Signer } from 'aws4fetch'
import { request } from 'undici'

export interface StoreSettings {
  /** Origin of the service, such as `https://oss-eu-central-1.aliyuncs.com`. */
  readonly endpoint: string
  readonly region: string
  readonly bucket: string
  /** `virtual`: the bucket is part of the host; `path`: of the path. */
  readonly addressing: 'virtual' | 'path'
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
  readonly bytesPerSecond: number
}

export interface StoredObject {
  readonly size: number
  /** Without quotes, lower case; the MD5 of what was put in one piece, unless the store encrypts with its own keys. */
  readonly etag: string
  /** What we said of it when we put it. */
  readonly sha256: string | undefined
}

export interface LocalObject {
  readonly handle: FileHandle
  readonly size: number
  readonly sha256: string
  readonly md5: string
}

/** The store refused, or could not be reached. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly isTransient: boolean
  constructor(message: string, isTransient: boolean, options?: ErrorOptions) {
    super(message, options)
    this.isTransient = isTransient
  }
}

const TIMEOUT_MS = 60_000
const PIECE_BYTES = 64 * 1024
const META = 'x-amz-meta-sha256'
/** SHA-256 of nothing. */
const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

export class ObjectStore {
  readonly #settings: StoreSettings
  readonly #base: string

  constructor(settings: StoreSettings) {
    this.#settings = settings
    const { protocol, host } = new URL(settings.endpoint)
    this.#base =
      settings.addressing === 'path'
        ? `${protocol}//${host}/${settings.bucket}/`
        : `${protocol}//${settings.bucket}.${host}/`
  }

  /** @throws StoreError */
  async head(key: string): Promise<StoredObject | undefined> {
    const { status, headers } = await this.#send('HEAD', key, { 'x-amz-content-sha256': EMPTY })
    if (status === 404) return undefined
    return {
      size: Number(headers['content-length'] ?? -1),
      etag: String(headers.etag ?? '')
        .replace(/^"|"$/g, '')
        .toLowerCase(),
      sha256: headers[META] === undefined ? undefined : String(headers[META]),
    }
  }

  /** @throws StoreError */
  async put(key: string, object: LocalObject): Promise<void> {
    const headers = {
      'x-amz-content-sha256': object.sha256,
      'content-md5': Buffer.from(object.md5, 'hex').toString('base64'),
      'content-type': 'application/vnd.apache.parquet',
      'content-length': String(object.size),
      [META]: object.sha256,
    }
    await this.#send('PUT', key, headers, () => this.#paced(object))
  }

  async *#paced({ handle, size }: LocalObject): AsyncGenerator<Uint8Array> {
    const startedAt = performance.now()
    const perMs = this.#settings.bytesPerSecond / 1000
    for (let sent = 0; sent < size; ) {
      const early = sent / perMs - (performance.now() - startedAt)
      if (early > 1) await new Promise((resolve) => setTimeout(resolve, early))
      const piece = new Uint8Array(Math.min(PIECE_BYTES, size - sent))
      const { bytesRead } = await handle.read(piece, 0, piece.length, sent)
      if (bytesRead === 0) throw new StoreError('the file has become shorter', false)
      sent += bytesRead
      yield piece.subarray(0, bytesRead)
    }
  }

  async #send(
    method: 'HEAD' | 'PUT',
    key: string,
    headers: Readonly<Record<string, string>>,
    body?: () => AsyncGenerator<Uint8Array>,
  ): Promise<{ status: number; headers: Record<string, string | string[] | undefined> }> {
    const { accessKeyId, secretAccessKey, sessionToken, region } = this.#settings
    const signed = await new AwsV4Signer({
      method,
      url: this.#base + key.split('/').map(encodeURIComponent).join('/'),
      headers,
      service: 's3',
      region,
      accessKeyId,
      secretAccessKey,
      ...(sessionToken !== undefined && { sessionToken }),
    }).sign()
    let answer: Awaited<ReturnType<typeof request>>
    let text: string
    try {
      answer = await request(signed.url, {
        method,
        headers: Object.fromEntries(signed.headers),
        body: body === undefined ? null : Readable.from(body(), { objectMode: false }),
        headersTimeout: TIMEOUT_MS,
        bodyTimeout: TIMEOUT_MS,
      })
      text = await answer.body.text()
    } catch (error) {
      if (error instanceof StoreError) throw error
      const reason = error instanceof Error ? error.message : String(error)
      throw new StoreError(`${signed.url.host} does not answer: ${reason}`, true, { cause: error })
    }
    const { statusCode: status } = answer
    if (status < 300 || (status === 404 && method === 'HEAD')) {
      return { status, headers: answer.headers }
    }
    const code = /<Code>([A-Za-z0-9]{1,64})<\/Code>/.exec(text)?.[1]
    const isTransient =
      status >= 500 || status === 408 || status === 429 || code === 'RequestTimeout'
    throw new StoreError(
      `${signed.url.host} answered ${status}${code === undefined ? '' : ` ${code}`} to ${method}`,
      isTransient,
    )
  }
}

/** Whether the store has these very bytes. */
export function isSame(stored: StoredObject, local: Omit<LocalObject, 'handle'>): boolean {
  if (stored.size !== local.size) return false
  return stored.sha256 === local.sha256 || stored.etag === local.md5
}
