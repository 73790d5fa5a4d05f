/**
 * Recorded requests, one JSON object a line: `{"method", "url", "headers", "body", "ip", "response"}`; or the
 * JSON access log, which keeps no headers and no body.
 */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import * as v from 'valibot'
import { parseIp } from '../http/ip.ts'
import type { RehearsedRequest } from '../runtimes/node/waf-rehearsal.ts'
import { CommandError } from './terminal.ts'

export interface Recorded {
  /** In the file, from 1. */
  readonly line: number
  readonly request: RehearsedRequest
  /** How many requests the line stands for. */
  readonly weight: number
  readonly isPartial: boolean
}

/** The first ones are enough to see what is wrong with the file. */
const MAX_PROBLEMS = 20

const text = v.string('a text is expected')
const headers = v.optional(
  v.union(
    [
      v.record(text, v.union([text, v.array(text)])),
      v.array(v.strictTuple([text, text], 'a pair of name and value is expected')),
    ],
    'an object, or a list of [name, value], is expected',
  ),
  {},
)
const body = {
  body: v.optional(text),
  /** For bodies that are no text. */
  body_base64: v.optional(v.pipe(text, v.base64('base64 is expected'))),
}
const weight = v.optional(v.pipe(v.number(), v.minValue(1, 'a number from 1 is expected')), 1)
const method = v.pipe(text, v.regex(/^[A-Za-z][A-Za-z-]{0,31}$/, 'a request method is expected'))
const address = v.optional(
  v.pipe(
    text,
    v.check((ip) => parseIp(ip) !== undefined, 'an IP address is expected'),
  ),
)

const RequestLine = v.strictObject({
  method: v.optional(method, 'GET'),
  url: v.pipe(
    text,
    v.regex(/^(https?:\/\/[^/\s]+)?\/\S*$/, 'a URL with a path, or a path, is expected'),
  ),
  headers,
  ...body,
  ip: address,
  response: v.optional(
    v.strictObject({
      status: v.optional(v.pipe(v.number(), v.integer(), v.minValue(100), v.maxValue(599)), 200),
      headers,
      ...body,
    }),
  ),
  weight,
})

/** What the access log gives; its other fields are of no use here. */
const LogLine = v.object({
  method,
  scheme: v.picklist(['http', 'https'], 'http or https is expected'),
  host: text,
  path: v.pipe(text, v.regex(/^(\/\S*|\*)$/, 'a path is expected')),
  query: v.optional(text, ''),
  client: v.optional(text),
  user_agent: v.optional(text),
  referer: v.optional(text),
  weight,
})

/** @throws CommandError for a file that cannot be read, or naming the lines that are no requests */
export async function* readRecording(path: string): AsyncGenerator<Recorded> {
  const problems: string[] = []
  let line = 0
  let count = 0
  try {
    for await (const source of createInterface({ input: createReadStream(path, 'utf8') })) {
      line++
      if (source.trim() === '') continue
      const record = parseLine(source, line)
      if (typeof record === 'string') {
        problems.push(`${path}:${line}: ${record}`)
        if (problems.length >= MAX_PROBLEMS) break
      } else if (problems.length === 0) {
        count++
        yield record
      }
    }
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error
    throw new CommandError(`${path} cannot be read: ${error.message}`, undefined, { cause: error })
  }
  if (problems.length > 0) {
    throw new CommandError(
      problems.join('\n'),
      'a line is {"method": "GET", "url": "/path", "headers": {}, "body": ""}, or of the JSON access log',
    )
  }
  if (count === 0) throw new CommandError(`${path} holds no requests`)
}

/** @returns the request, or what is wrong with the line */
export function parseLine(source: string, line: number): Recorded | string {
  let json: unknown
  try {
    json = JSON.parse(source)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    return 'this is not JSON'
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    return 'a JSON object is expected'
  }
  return 'path' in json && !('url' in json) ? fromLog(json, line) : fromRequest(json, line)
}

function fromRequest(json: object, line: number): Recorded | string {
  const parsed = v.safeParse(RequestLine, json)
  if (!parsed.success) return issueText(parsed.issues[0])
  const { method: verb, url, ip, response } = parsed.output
  return {
    line,
    weight: parsed.output.weight,
    isPartial: false,
    request: {
      method: verb.toUpperCase(),
      url: utf8(url),
      headers: headerPairs(parsed.output.headers),
      body: bodyBytes(parsed.output),
      ip,
      response:
        response === undefined
          ? undefined
          : {
              status: response.status,
              headers: headerPairs(response.headers),
              body: bodyBytes(response),
            },
    },
  }
}

function fromLog(json: object, line: number): Recorded | string {
  const parsed = v.safeParse(LogLine, json)
  if (!parsed.success) return issueText(parsed.issues[0])
  const { scheme, host, path, query, client, user_agent, referer } = parsed.output
  const found: [string, string][] = []
  if (user_agent !== undefined) found.push(['user-agent', utf8(user_agent)])
  if (referer !== undefined) found.push(['referer', utf8(referer)])
  const search = query === '' ? '' : query.startsWith('?') ? query : `?${query}`
  return {
    line,
    weight: parsed.output.weight,
    isPartial: true,
    request: {
      method: parsed.output.method,
      url: `${scheme}://${host}${utf8(path)}${utf8(search)}`,
      headers: found,
      // Addresses may be cut, such as 192.0.2.0/24.
      ip: parseIp((client ?? '').replace(/\/.*$/, ''))?.text,
    },
  }
}

function issueText(issue: v.BaseIssue<unknown>): string {
  const at = v.getDotPath(issue)
  return at === null ? issue.message : `${at}: ${issue.message}`
}

type Headers = v.InferOutput<typeof RequestLine>['headers']

function headerPairs(fields: Headers): [string, string][] {
  if (Array.isArray(fields)) return fields.map(([name, value]) => [name, utf8(value)])
  return Object.entries(fields).flatMap(([name, value]) =>
    (typeof value === 'string' ? [value] : value).map((one): [string, string] => [name, utf8(one)]),
  )
}

function bodyBytes(of: {
  body?: string | undefined
  body_base64?: string | undefined
}): Uint8Array | undefined {
  if (of.body_base64 !== undefined) return Buffer.from(of.body_base64, 'base64')
  return of.body === undefined ? undefined : Buffer.from(of.body, 'utf8')
}

/** As a byte string. */
function utf8(value: string): string {
  return Buffer.from(value, 'utf8').toString('latin1')
}
