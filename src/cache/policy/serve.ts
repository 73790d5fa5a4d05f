/**
 * What a stored response becomes for one request: 200, 304 (RFC 9110 §13), 206 or 416 (§14).
 */
import type { HeaderList, Reply } from '../../exchange.ts'
import { join } from '../fill/body-fill.ts'
import { JoinedStream, type Piece } from '../fill/joined-stream.ts'
import { parseHttpDate } from '../http/date.ts'
import { matchesAny, strongMatch } from '../http/entity-tag.ts'
import { planRange, type Span } from '../http/range.ts'
import type { StoredResponse } from './stored-response.ts'

/**
 * Whether the client's own copy is current (RFC 9110 §13.2.2). If-None-Match rules over
 * If-Modified-Since.
 * @param modifiedAt NaN when nothing is known: the copy may be old
 */
export function isNotModified(
  headers: HeaderList,
  etag: string | undefined,
  modifiedAt: number,
  now: number,
): boolean {
  const ifNoneMatch = headers.joined('if-none-match')
  if (ifNoneMatch !== undefined) return matchesAny(ifNoneMatch, etag)
  const since = headers.get('if-modified-since')
  if (since === undefined || Number.isNaN(modifiedAt)) return false
  const sinceAt = parseHttpDate(since, now)
  return !Number.isNaN(sinceAt) && modifiedAt <= sinceAt
}

/** Whether If-Range lets the range be served (RFC 9110 §13.1.5). */
export function ifRangeHolds(headers: HeaderList, stored: StoredResponse, now: number): boolean {
  const value = headers.get('if-range')
  if (value === undefined) return true
  if (value.startsWith('"')) return strongMatch(value, stored.etag)
  if (value.startsWith('W/')) return false
  // A date is strong only when it is a minute older than Date (RFC 9110 §8.8.2.2).
  const at = parseHttpDate(value, now)
  return at === stored.lastModifiedAt && stored.date - at >= 60_000
}

/** Bytes of `stored` at these positions of the representation. */
export function slice(stored: StoredResponse, span: Span): Uint8Array {
  const offset = stored.range?.first ?? 0
  const body = stored.body ?? EMPTY
  return body.subarray(span.first - offset, span.last + 1 - offset)
}

const EMPTY = new Uint8Array(0)

/** Length of the whole representation; -1 when not known. */
export function totalLength(stored: StoredResponse): number {
  return stored.range === undefined ? stored.bodyLength : stored.range.total
}

/** Whether the stored bytes hold all of the spans. */
export function covers(stored: StoredResponse, spans: readonly Span[]): boolean {
  const { range } = stored
  if (range === undefined) return true
  return spans.every((span) => span.first >= range.first && span.last <= range.last)
}

/**
 * The partial reply to a Range request.
 * @returns undefined when the whole is to be sent
 */
export function rangeReply(
  stored: StoredResponse,
  fields: string[],
  value: string,
  maxRanges: number,
  boundary: () => string,
): Reply | undefined {
  const total = totalLength(stored)
  const plan = planRange(value, total, maxRanges)
  if (plan.kind === 'ignore') return undefined
  const contentType = fieldOf(fields, 'content-type')
  const headers = withoutNames(fields, ['content-length', 'content-range'])
  if (plan.kind === 'unsatisfiable') {
    headers.push('Content-Range', `bytes */${total}`, 'Content-Length', '0')
    return { status: 416, headers: withoutNames(headers, ['content-type']), body: null }
  }
  if (!covers(stored, plan.spans)) return undefined
  const [first] = plan.spans
  if (plan.spans.length === 1 && first !== undefined) {
    headers.push('Content-Range', `bytes ${first.first}-${first.last}/${total}`)
    headers.push('Content-Length', String(first.last - first.first + 1))
    const body = stored.source === undefined ? slice(stored, first) : stored.source.open(first)
    return { status: 206, headers, body }
  }
  const mark = boundary()
  const body = multipart(stored, plan.spans, total, contentType, mark)
  const rest = withoutNames(headers, ['content-type'])
  rest.push('Content-Type', `multipart/byteranges; boundary=${mark}`)
  rest.push('Content-Length', String(body.length))
  return { status: 206, headers: rest, body }
}

/** Several spans as one body (RFC 9110 §14.6): bytes when they are in memory, else a stream. */
function multipart(
  stored: StoredResponse,
  spans: readonly Span[],
  total: number,
  contentType: string | undefined,
  mark: string,
): Uint8Array | JoinedStream {
  const encoder = new TextEncoder()
  const { source } = stored
  const pieces: Piece[] = []
  const inMemory: Uint8Array[] = []
  let size = 0
  const add = (bytes: Uint8Array) => {
    pieces.push(bytes)
    inMemory.push(bytes)
    size += bytes.byteLength
  }
  const type = contentType === undefined ? '' : `Content-Type: ${contentType}\r\n`
  for (const span of spans) {
    const head = `\r\n--${mark}\r\n${type}Content-Range: bytes ${span.first}-${span.last}/${total}\r\n\r\n`
    add(encoder.encode(head))
    if (source === undefined) add(slice(stored, span))
    else {
      // Each part is opened when its turn comes: files stay closed while others are sent.
      pieces.push(() => source.open(span))
      size += span.last - span.first + 1
    }
  }
  add(encoder.encode(`\r\n--${mark}--\r\n`))
  return source === undefined ? join(inMemory, size) : new JoinedStream(pieces, size)
}

export function fieldOf(fields: readonly string[], name: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) {
    if ((fields[i] as string).toLowerCase() === name) return fields[i + 1]
  }
  return undefined
}

function withoutNames(fields: readonly string[], names: readonly string[]): string[] {
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    if (!names.includes((fields[i] as string).toLowerCase())) {
      kept.push(fields[i] as string, fields[i + 1] as string)
    }
  }
  return kept
}
