/** The request and response as rules see them: the values of every variable, made when first asked for. */
import { cookiePairs } from '../body/cookies.ts'
import { flattenJson } from '../body/json.ts'
import { type BodyLimits, DEFAULT_BODY_LIMITS, type Pair } from '../body/limits.ts'
import { type MultipartBody, type MultipartFlag, parseMultipart } from '../body/multipart.ts'
import { decodedPairs } from '../body/urlencoded.ts'
import { flattenXml } from '../body/xml.ts'
import { urlDecode } from './decoders.ts'
import { makeValue, TextNode, type Value } from './values.ts'
import type { VariableName } from './variables.ts'

/** What a transaction is begun with; all text as byte strings. */
export interface MessageHead {
  readonly method: string
  /** The target as it stands on the request line. */
  readonly target: string
  /** `HTTP/1.1`; as sent, valid or not. */
  readonly protocol: string
  /** Name, value, name, value, as sent. */
  readonly headers: readonly string[]
  readonly remoteAddress: string
  readonly remotePort?: number
  readonly serverAddress?: string
  readonly serverPort?: number
  readonly id: string
  /** Milliseconds since the epoch; for TIME variables. */
  readonly startedAt?: number
}

export type BodyProcessor = 'URLENCODED' | 'MULTIPART' | 'XML' | 'JSON' | ''

const NONE: readonly Value[] = []
const BODY_DEPENDENT =
  /^(ARGS(_NAMES|_POST|_POST_NAMES|_COMBINED_SIZE)?|FILES|MULTIPART|XML|REQ(UEST_)?BODY|INBOUND|FULL)/

export class Message {
  readonly head: MessageHead
  readonly limits: BodyLimits
  processor: BodyProcessor
  forceBodyVariable = false
  readonly #values = new Map<VariableName, readonly Value[]>()
  #path: string
  #query: string
  #bodyBytes = ''
  #bodyLength = 0
  #isTruncated = false
  #bodyError = ''
  #post: readonly Pair[] = []
  #multipart: MultipartBody | undefined
  #xml: { readonly text: string; readonly attributes: readonly Pair[] } | undefined
  #status = 0
  #responseHeaders: readonly string[] = []
  #responseBody = ''

  constructor(head: MessageHead, limits: BodyLimits = DEFAULT_BODY_LIMITS) {
    this.head = head
    this.limits = limits
    this.processor = processorOf(this.header('content-type') ?? '')
    const { target } = head
    const fragment = target.indexOf('#')
    const withoutFragment = fragment < 0 ? target : target.slice(0, fragment)
    const mark = withoutFragment.indexOf('?')
    this.#path = pathOf(mark < 0 ? withoutFragment : withoutFragment.slice(0, mark))
    this.#query = mark < 0 ? '' : withoutFragment.slice(mark + 1)
  }

  header(name: string): string | undefined {
    const { headers } = this.head
    for (let i = 0; i < headers.length; i += 2) {
      if ((headers[i] as string).length === name.length) {
        if ((headers[i] as string).toLowerCase() === name) return headers[i + 1]
      }
    }
    return undefined
  }

  /**
   * Takes the body apart with the processor that is set by now.
   * @param error what was wrong with it before that, for REQBODY_ERROR
   */
  setBody(bytes: string, truncated: boolean, length = bytes.length, error = ''): void {
    // Headers, path and query stay as they are, with what is known of them.
    for (const name of this.#values.keys()) if (BODY_DEPENDENT.test(name)) this.#values.delete(name)
    this.#bodyBytes = bytes
    this.#bodyLength = length
    this.#isTruncated = truncated
    this.#bodyError = error
    switch (this.processor) {
      case 'URLENCODED':
        this.#post = decodedPairs(bytes, this.limits.arguments)
        break
      case 'JSON': {
        if (bytes === '') break
        const { pairs, error: fault } = flattenJson(bytes, this.limits)
        this.#post = pairs
        if (fault !== undefined) this.#bodyError = fault
        break
      }
      case 'XML': {
        if (bytes === '') break
        const xml = flattenXml(bytes, this.limits)
        this.#xml = xml
        const fault = xml.error ?? (xml.hasDoctype ? 'a document type is not allowed' : undefined)
        if (fault !== undefined) this.#bodyError = fault
        break
      }
      case 'MULTIPART': {
        const body = parseMultipart(bytes, this.header('content-type') ?? '', this.limits)
        this.#multipart = body
        this.#post = body.parts
          .filter((part) => part.filename === undefined)
          .map((part) => ({ name: part.name, value: part.content }))
        if (body.error !== undefined) this.#bodyError = `Multipart parsing error: ${body.error}`
        break
      }
      case '':
        break
    }
  }

  get bodyError(): string {
    return this.#bodyError
  }

  setResponse(status: number, headers: readonly string[]): void {
    for (const name of this.#values.keys()) if (name.startsWith('RESP')) this.#values.delete(name)
    this.#values.delete('STATUS_LINE')
    this.#status = status
    this.#responseHeaders = headers
  }

  setResponseBody(bytes: string): void {
    this.#values.delete('RESPONSE_BODY')
    this.#responseBody = bytes
  }

  values(name: VariableName): readonly Value[] {
    let values = this.#values.get(name)
    if (values === undefined) {
      values = this.#make(name)
      this.#values.set(name, values)
    }
    return values
  }

  /** The first value of a single variable or member, for macros. */
  first(name: VariableName, key: string | undefined): string {
    for (const value of this.values(name)) {
      if (key === undefined || value.key === key) return value.node.bytes
    }
    return ''
  }

  #make(name: VariableName): readonly Value[] {
    const { head } = this
    const single = (bytes: string): readonly Value[] => [makeValue(name, '', bytes)]
    const flag = (...which: MultipartFlag[]): readonly Value[] =>
      single(which.some((one) => this.#multipart?.flags.has(one)) ? '1' : '0')
    switch (name) {
      case 'ARGS_GET':
        return named(name, decodedPairs(this.#query, this.limits.arguments))
      case 'ARGS_POST':
        return named(name, this.#post)
      case 'ARGS':
        return [...rename(this.values('ARGS_GET'), name), ...rename(this.values('ARGS_POST'), name)]
      case 'ARGS_GET_NAMES':
        return names(name, this.values('ARGS_GET'))
      case 'ARGS_POST_NAMES':
        return names(name, this.values('ARGS_POST'))
      case 'ARGS_NAMES':
        return [
          ...rename(this.values('ARGS_GET_NAMES'), name),
          ...rename(this.values('ARGS_POST_NAMES'), name),
        ]
      case 'ARGS_COMBINED_SIZE': {
        let size = 0
        for (const value of this.values('ARGS')) {
          size += value.node.bytes.length + value.key.length
        }
        return single(String(size))
      }
      case 'REQUEST_HEADERS':
        return headerValues(name, head.headers)
      case 'REQUEST_HEADERS_NAMES':
        return headerNames(name, head.headers)
      case 'REQUEST_COOKIES': {
        const pairs: Pair[] = []
        for (let i = 0; i < head.headers.length; i += 2) {
          if ((head.headers[i] as string).toLowerCase() !== 'cookie') continue
          pairs.push(...cookiePairs(head.headers[i + 1] as string, this.limits.arguments))
        }
        return named(name, pairs)
      }
      case 'REQUEST_COOKIES_NAMES':
        return names(name, this.values('REQUEST_COOKIES'))
      case 'REQUEST_LINE':
        return single(
          `${head.method} ${head.target}${head.protocol === '' ? '' : ` ${head.protocol}`}`,
        )
      case 'REQUEST_METHOD':
        return single(head.method)
      case 'REQUEST_PROTOCOL':
        return single(head.protocol)
      case 'REQUEST_URI_RAW':
        return single(head.target)
      case 'REQUEST_URI':
        return single(this.#query === '' ? this.#path : `${this.#path}?${this.#query}`)
      case 'REQUEST_FILENAME':
        return single(urlDecodePath(this.#path))
      case 'REQUEST_BASENAME': {
        const path = urlDecodePath(this.#path)
        return single(path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1))
      }
      case 'QUERY_STRING':
        return single(this.#query)
      case 'REQUEST_BODY':
        return single(
          this.processor === 'URLENCODED' || (this.processor === '' && this.forceBodyVariable)
            ? this.#bodyBytes
            : '',
        )
      case 'REQUEST_BODY_LENGTH':
        return single(String(this.#bodyLength))
      case 'REQBODY_PROCESSOR':
        return single(this.processor)
      case 'REQBODY_ERROR':
      case 'REQBODY_PROCESSOR_ERROR':
        return single(this.#bodyError === '' ? '0' : '1')
      case 'REQBODY_ERROR_MSG':
      case 'REQBODY_PROCESSOR_ERROR_MSG':
        return single(this.#bodyError)
      case 'INBOUND_DATA_ERROR':
        return single(this.#isTruncated ? '1' : '0')
      case 'FILES':
        return this.#files(name, (part) => part.filename)
      case 'FILES_NAMES':
        return this.#files(name, (part) => part.name)
      case 'FILES_SIZES':
        return this.#files(name, (part) => String(part.content.length))
      case 'FILES_TMP_CONTENT':
        return this.#files(name, (part) => part.content)
      case 'FILES_COMBINED_SIZE': {
        let size = 0
        for (const part of this.#multipart?.parts ?? []) {
          if (part.filename !== undefined) size += part.content.length
        }
        return single(String(size))
      }
      case 'MULTIPART_FILENAME':
        return this.#files(name, (part) => part.filename)
      case 'MULTIPART_NAME':
        return this.#files(name, (part) => part.name)
      case 'MULTIPART_PART_HEADERS':
        return (this.#multipart?.parts ?? []).flatMap((part) =>
          part.headers.map((line) => makeValue(name, part.name, line)),
        )
      case 'MULTIPART_BOUNDARY_QUOTED':
        return flag('boundary-quoted')
      case 'MULTIPART_BOUNDARY_WHITESPACE':
        return flag('boundary-whitespace')
      case 'MULTIPART_CRLF_LF_LINES':
        return flag('crlf-lf-lines')
      case 'MULTIPART_DATA_AFTER':
        return flag('data-after')
      case 'MULTIPART_DATA_BEFORE':
        return flag('data-before')
      case 'MULTIPART_FILE_LIMIT_EXCEEDED':
        return flag('too-many-parts')
      case 'MULTIPART_HEADER_FOLDING':
      case 'MULTIPART_INVALID_HEADER_FOLDING':
        return flag('header-folding')
      case 'MULTIPART_INVALID_PART':
        return flag('invalid-part')
      case 'MULTIPART_INVALID_QUOTING':
        return flag('invalid-quoting')
      case 'MULTIPART_LF_LINE':
        return flag('lf-line')
      case 'MULTIPART_MISSING_SEMICOLON':
        return flag('missing-semicolon')
      case 'MULTIPART_UNMATCHED_BOUNDARY':
        return flag('unmatched-boundary')
      case 'MULTIPART_STRICT_ERROR':
        return single((this.#multipart?.flags.size ?? 0) > 0 ? '1' : '0')
      case 'XML': {
        if (this.#xml === undefined) return NONE
        const text = { name, key: '/*', node: new TextNode(this.#xml.text) }
        return [
          text,
          ...this.#xml.attributes.map(({ value }) => ({
            name,
            key: '//@*',
            node: new TextNode(value),
          })),
        ]
      }
      case 'REMOTE_ADDR':
      case 'REMOTE_HOST':
        return single(head.remoteAddress)
      case 'REMOTE_PORT':
        return single(String(head.remotePort ?? 0))
      case 'SERVER_ADDR':
        return single(head.serverAddress ?? '')
      case 'SERVER_PORT':
        return single(String(head.serverPort ?? 0))
      case 'SERVER_NAME':
        return single((this.header('host') ?? '').replace(/:\d*$/, ''))
      case 'UNIQUE_ID':
        return single(head.id)
      case 'RESPONSE_STATUS':
        return single(String(this.#status))
      case 'STATUS_LINE':
        return single(`${head.protocol} ${this.#status}`)
      case 'RESPONSE_PROTOCOL':
        return single(head.protocol)
      case 'RESPONSE_HEADERS':
        return headerValues(name, this.#responseHeaders)
      case 'RESPONSE_HEADERS_NAMES':
        return headerNames(name, this.#responseHeaders)
      case 'RESPONSE_CONTENT_TYPE':
        return single(headerOf(this.#responseHeaders, 'content-type'))
      case 'RESPONSE_CONTENT_LENGTH':
        return single(headerOf(this.#responseHeaders, 'content-length'))
      case 'RESPONSE_BODY':
        return single(this.#responseBody)
      case 'FULL_REQUEST':
      case 'FULL_REQUEST_LENGTH': {
        const text = this.#full()
        return single(name === 'FULL_REQUEST' ? text : String(text.length))
      }
      case 'HIGHEST_SEVERITY':
        return single('255')
      case 'OUTBOUND_DATA_ERROR':
        return single('0')
      default:
        return name.startsWith('TIME') ? single(timeField(name, head.startedAt ?? 0)) : NONE
    }
  }

  #files(
    name: VariableName,
    what: (part: MultipartBody['parts'][number]) => string | undefined,
  ): readonly Value[] {
    const values: Value[] = []
    for (const part of this.#multipart?.parts ?? []) {
      if (part.filename === undefined) continue
      values.push(makeValue(name, part.name, what(part) ?? ''))
      if (name === 'FILES' && part.extendedFilename !== undefined) {
        values.push(makeValue(name, part.name, urlDecode(part.extendedFilename)))
      }
    }
    return values
  }

  #full(): string {
    const lines = [this.first('REQUEST_LINE', undefined)]
    const { headers } = this.head
    for (let i = 0; i < headers.length; i += 2) lines.push(`${headers[i]}: ${headers[i + 1]}`)
    return `${lines.join('\r\n')}\r\n\r\n${this.#bodyBytes}`
  }
}

/** The processor that the media type calls for. */
export function processorOf(contentType: string): BodyProcessor {
  const end = contentType.search(/[;,\s]/)
  const type = (end < 0 ? contentType : contentType.slice(0, end)).toLowerCase()
  if (type === 'application/x-www-form-urlencoded') return 'URLENCODED'
  if (type === 'multipart/form-data') return 'MULTIPART'
  if (/^(application|text)\/(xml|[^/]+\+xml)$/.test(type)) return 'XML'
  if (/^application\/([^/]+\+)?json$/.test(type)) return 'JSON'
  return ''
}

/** The path of any request-target form (RFC 9112 §3.2). */
function pathOf(target: string): string {
  const absolute = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/]*/.exec(target)
  if (absolute === null) return target
  return target.slice(absolute[0].length) || '/'
}

/** Percent-decoding only: a plus in a path is a plus. */
function urlDecodePath(path: string): string {
  if (!path.includes('%')) return path
  return path.includes('+') ? urlDecode(path.replaceAll('+', '%2B')) : urlDecode(path)
}

function named(variable: VariableName, pairs: readonly Pair[]): readonly Value[] {
  return pairs.map((pair) => ({
    name: `${variable}:${pair.name}`,
    key: pair.name.toLowerCase(),
    node: new TextNode(pair.value),
  }))
}

/** The same texts under another variable's name; the nodes are shared. */
function rename(values: readonly Value[], variable: VariableName): readonly Value[] {
  return values.map((value) => ({
    name: variable + value.name.slice(value.name.indexOf(':')),
    key: value.key,
    node: value.node,
  }))
}

function names(variable: VariableName, values: readonly Value[]): readonly Value[] {
  return values.map((value) => {
    const name = value.name.slice(value.name.indexOf(':') + 1)
    return { name: `${variable}:${name}`, key: value.key, node: new TextNode(name) }
  })
}

function headerValues(variable: VariableName, flat: readonly string[]): readonly Value[] {
  const values: Value[] = []
  for (let i = 0; i < flat.length; i += 2) {
    values.push(makeValue(variable, flat[i] as string, flat[i + 1] as string))
  }
  return values
}

function headerNames(variable: VariableName, flat: readonly string[]): readonly Value[] {
  const values: Value[] = []
  for (let i = 0; i < flat.length; i += 2) {
    values.push(makeValue(variable, flat[i] as string, flat[i] as string))
  }
  return values
}

function headerOf(flat: readonly string[], name: string): string {
  for (let i = 0; i < flat.length; i += 2) {
    if ((flat[i] as string).toLowerCase() === name) return flat[i + 1] as string
  }
  return ''
}

function timeField(name: string, at: number): string {
  const date = new Date(at)
  const two = (n: number): string => String(n).padStart(2, '0')
  switch (name) {
    case 'TIME_DAY':
      return String(date.getUTCDate())
    case 'TIME_EPOCH':
      return String(Math.floor(at / 1000))
    case 'TIME_HOUR':
      return String(date.getUTCHours())
    case 'TIME_MIN':
      return String(date.getUTCMinutes())
    case 'TIME_MON':
      return String(date.getUTCMonth())
    case 'TIME_SEC':
      return String(date.getUTCSeconds())
    case 'TIME_WDAY':
      return String(date.getUTCDay())
    case 'TIME_YEAR':
      return String(date.getUTCFullYear())
    default:
      return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`
  }
}
