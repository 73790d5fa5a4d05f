/**
 * Which responses get a content coding, and which one (RFC 9110 §8.4, §12.5.3). Values only: the bytes are
 * encoded by the runtime's `Compressor`.
 */
import type { CompressionConfig } from '../config/sections/compression.ts'
import { HeaderList, type Reply } from '../exchange.ts'
import type { ContentCoding } from '../ports.ts'
import { isStrongTag } from './http/entity-tag.ts'
import { weighted } from './http/vary.ts'

/** Answers about values that browsers send over and over. */
const REMEMBERED = 256
/** Integrity that the origin vouched for: another coding would break it, and it cannot be made anew here. */
const SEALS = [
  'content-md5',
  'digest',
  'content-digest',
  'repr-digest',
  'signature-input',
  'content-range',
]
const NEVER = /^(?:text\/event-stream|application\/grpc)/

/** What is asked of a request. */
export interface CodingRequest {
  readonly method: string
  readonly headers: HeaderList
  readonly isFromCache: boolean
}

export class RouteCompression {
  readonly level: number
  readonly #codings: readonly ContentCoding[]
  readonly #types: RegExp
  readonly #minBytes: number
  readonly #credentials: boolean
  readonly #accepted = new Map<string, ContentCoding | undefined>()
  readonly #typeAnswers = new Map<string, boolean>()

  /** @param available what the runtime can make */
  constructor(config: CompressionConfig, available: readonly ContentCoding[]) {
    this.level = config.level
    this.#codings = config.codings.filter((coding) => available.includes(coding))
    const types = config.types.map((type) =>
      type.replace(/[.+^$*]/g, (sign) => (sign === '*' ? '[^;,\\s]*' : `\\${sign}`)),
    )
    this.#types = new RegExp(`^(?:${types.join('|')})$`)
    this.#minBytes = config.minBytes
    this.#credentials = config.credentials
  }

  /**
   * The coding for a reply; undefined: it stays as it is. Adds Vary to every reply that another client may
   * get in a coding, and weakens the tag of a 304 for a copy that this gateway had encoded.
   */
  choose(request: CodingRequest, reply: Reply): ContentCoding | undefined {
    const { status, body } = reply
    if (this.#codings.length === 0 || reply.tunnel !== undefined || status < 200) return undefined
    const { method } = request
    if (status === 304) {
      addVary(reply.headers)
      if (request.headers.joined('if-none-match')?.includes('W/"')) weaken(reply.headers)
      return undefined
    }
    if (status === 204 || status === 205 || status === 206 || method === 'CONNECT') return undefined
    const headers = new HeaderList(reply.headers)
    const type = headers.get('content-type')
    if (type === undefined || !this.#isType(type)) return undefined
    if (headers.has('content-encoding')) return undefined
    if (SEALS.some((name) => headers.has(name))) return undefined
    if (/(?:^|[\s,])no-transform(?:$|[\s,;])/i.test(headers.joined('cache-control') ?? '')) {
      return undefined
    }
    const length = body === null ? headers.get('content-length') : body.length
    if (length !== undefined && length !== null && Number(length) < this.#minBytes) return undefined
    addVary(reply.headers)
    // A span of bytes is one of the representation without a coding, whole answers to it too.
    if (body === null || method === 'HEAD' || request.headers.has('range')) return undefined
    if (!this.#credentials && !request.isFromCache && isPersonal(request.headers, headers)) {
      return undefined
    }
    return this.#accept(request.headers.joined('accept-encoding'))
  }

  #isType(value: string): boolean {
    const known = this.#typeAnswers.get(value)
    if (known !== undefined) return known
    const type = (value.split(';', 1)[0] as string).trim().toLowerCase()
    return remember(this.#typeAnswers, value, !NEVER.test(type) && this.#types.test(type))
  }

  #accept(value: string | undefined): ContentCoding | undefined {
    if (value === undefined) return undefined
    if (this.#accepted.has(value)) return this.#accepted.get(value)
    return remember(this.#accepted, value, bestCoding(value, this.#codings))
  }
}

function remember<T>(map: Map<string, T>, key: string, answer: T): T {
  if (key.length <= 256) {
    if (map.size >= REMEMBERED) map.clear()
    map.set(key, answer)
  }
  return answer
}

/** The heaviest coding that the client takes, ours first among equals; undefined where identity weighs more. */
export function bestCoding(
  accept: string,
  codings: readonly ContentCoding[],
): ContentCoding | undefined {
  const list = weighted(accept)
  const weightOf = (name: string): number | undefined =>
    list.find((item) => item.value === name || item.value === `x-${name}`)?.weight
  const any = weightOf('*') ?? 0
  // Identity is always there; only a weight of its own makes it compete.
  let weight = weightOf('identity') ?? 0
  let best: ContentCoding | undefined
  for (const coding of codings) {
    const own = weightOf(coding) ?? any
    if (own > 0 && (own > weight || (best === undefined && own === weight))) {
      best = coding
      weight = own
    }
  }
  return best
}

function isPersonal(request: HeaderList, reply: HeaderList): boolean {
  return request.has('cookie') || request.has('authorization') || reply.has('set-cookie')
}

function addVary(headers: string[]): void {
  for (let i = 0; i < headers.length; i += 2) {
    if ((headers[i] as string).toLowerCase() !== 'vary') continue
    if (/(?:^|[\s,])(?:accept-encoding|\*)(?:$|[\s,])/i.test(headers[i + 1] as string)) return
  }
  headers.push('Vary', 'Accept-Encoding')
}

/** The bytes differ, what they say does not: a strong tag holds no longer (RFC 9110 §8.8.3). */
function weaken(headers: string[]): void {
  for (let i = 0; i < headers.length; i += 2) {
    const value = headers[i + 1] as string
    if ((headers[i] as string).toLowerCase() === 'etag' && isStrongTag(value)) {
      headers[i + 1] = `W/${value}`
    }
  }
}

/** The fields of a reply once it has a coding, in place. */
export function describeCoding(headers: string[], coding: ContentCoding): void {
  weaken(headers)
  let to = 0
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase()
    if (name === 'content-length' || name === 'accept-ranges') continue
    headers[to++] = headers[i] as string
    headers[to++] = headers[i + 1] as string
  }
  headers.length = to
  headers.push('Content-Encoding', coding)
}
