/**
 * Ranges of large objects that are not here: fetched and kept in aligned slices, each under a key of its own,
 * put together under one strong tag. A seek in a film costs what it shows, not the whole film, and the next
 * client that seeks there costs nothing. What cannot be sliced (no strong tag, not for storing, ranges too
 * short to be worth a slice) goes to the origin as it was asked.
 */
import { HeaderList, type Millis, type Reply } from '../exchange.ts'
import type { Coalescer } from './coalescer.ts'
import { type CacheCore, type Pending, selectPartial, useOf } from './core.ts'
import { JoinedStream, type Piece } from './fill/joined-stream.ts'
import { trimmed } from './fill/trimmed-stream.ts'
import { isStrongTag, strongMatch } from './http/entity-tag.ts'
import { parseContentRange, singleRange } from './http/range.ts'
import { covers } from './policy/serve.ts'
import { freshStatus, replyFrom } from './replies.ts'
import { IF_RANGE } from './request-flags.ts'
import { detachedRequest, discard } from './validation.ts'

/** A range shorter than this part of a slice is not worth one: what the origin sends is bounded by it. */
const AMPLIFICATION = 16
/** How long a URL that could not be sliced is not tried again. */
const UNFIT_MS: Millis = 600_000
const MAX_UNFIT = 4096

/** What all slices of one reply agree in. */
interface Whole {
  readonly etag: string | undefined
  readonly total: number
}

interface FirstSlice {
  readonly reply: Reply
  readonly whole: Whole
}

class OtherVersion extends Error {
  override readonly name = 'OtherVersion'
}

export class Slices {
  readonly #core: CacheCore
  readonly #coalescer: Coalescer
  readonly #unfit = new Map<string, Millis>()

  constructor(core: CacheCore, coalescer: Coalescer) {
    this.#core = core
    this.#coalescer = coalescer
  }

  /** Whether a range that nothing stored answers is to be fetched in slices. */
  fits(p: Pending): boolean {
    const { slice } = p.policy.range
    if (slice === 0 || !p.policy.range.storePartial || p.isAuthenticated) return false
    if (p.request.method !== 'GET' || p.directives.noStore || p.directives.noCache) return false
    const asked = singleRange(p.request.headers.joined('range') ?? '')
    if (asked === undefined) return false
    if (asked.last >= 0 && (asked.last - asked.first + 1) * AMPLIFICATION < slice) return false
    const until = this.#unfit.get(p.key.key)
    return until === undefined || until <= this.#core.clock.monotonic()
  }

  /** The reply to the range, made of slices; or the origin's own, when it cannot be. */
  async respond(p: Pending): Promise<Reply> {
    const size = p.policy.range.slice
    const asked = singleRange(p.request.headers.joined('range') ?? '')
    if (asked === undefined) return this.#coalescer.obtain(p)
    const from = Math.floor(asked.first / size)
    const first = await this.#first(p, from)
    if (!('whole' in first)) return first
    const { reply, whole } = first
    const last = Math.min(asked.last < 0 ? whole.total - 1 : asked.last, whole.total - 1)
    const to = Math.floor(last / size)
    const ifRange = (p.flags & IF_RANGE) === 0 ? undefined : p.request.headers.get('if-range')
    if (
      asked.first > last ||
      (to > from && !isStrongTag(whole.etag)) ||
      (ifRange !== undefined && !strongMatch(ifRange, whole.etag))
    ) {
      discard(reply)
      return this.#coalescer.obtain(p)
    }
    const pieces: Piece[] = []
    for (let at = from; at <= to; at++) {
      const begin = Math.max(asked.first, at * size) - at * size
      const end = Math.min(last, (at + 1) * size - 1) - at * size + 1
      if (at === from) pieces.push(trimmed(reply.body ?? new Uint8Array(0), begin, end))
      else pieces.push(() => this.#later(p, at, whole).then((body) => trimmed(body, begin, end)))
    }
    const length = last - asked.first + 1
    const [only] = pieces
    const body =
      pieces.length === 1 && only !== undefined && typeof only !== 'function'
        ? only
        : new JoinedStream(pieces, length)
    const headers = spanFields(reply.headers, asked.first, last, whole.total)
    return { status: 206, headers, body }
  }

  /** The first slice and what it says of the whole; or the reply to give in its place. */
  async #first(p: Pending, index: number): Promise<FirstSlice | Reply> {
    const own = this.#sliceOf(p, index, undefined)
    const reply = await this.#fetch(own)
    const { cacheStatus } = own.request
    const isKept =
      cacheStatus?.outcome === 'hit' || cacheStatus?.header.includes('; stored') === true
    const found = sliceFacts(reply, index, p.policy.range.slice)
    if (found !== undefined && isKept) {
      p.request.cacheStatus = cacheStatus
      return { reply, whole: found }
    }
    this.#giveUp(p)
    // The whole stands in for any part of it (RFC 9110 §14.2), and there is none of it beyond its end.
    if (reply.status === 200 || reply.status === 416) {
      p.request.cacheStatus = cacheStatus
      return reply
    }
    discard(reply)
    return this.#coalescer.obtain(p)
  }

  /** Another slice of the same version. @throws when it cannot be had, which cuts the reply */
  async #later(p: Pending, index: number, whole: Whole): Promise<NonNullable<Reply['body']>> {
    const reply = await this.#fetch(this.#sliceOf(p, index, whole.etag))
    const found = sliceFacts(reply, index, p.policy.range.slice)
    if (
      found === undefined ||
      found.total !== whole.total ||
      !strongMatch(found.etag, whole.etag) ||
      reply.body === null
    ) {
      discard(reply)
      throw new OtherVersion('the object has changed while it was sent')
    }
    return reply.body
  }

  /** From memory, the slower tier, another's fill, or the origin. */
  async #fetch(own: Pending): Promise<Reply> {
    const core = this.#core
    let variants = core.memory.lookup(own.key.key)
    if (variants === undefined && core.lower !== undefined) {
      const found = await core.lower.lookup(own.key.key)
      for (const response of found?.responses ?? []) {
        if (core.epochs.verdict(response.epochNames, response.stamp) === 'hard') continue
        core.memory.put(response, own.policy.vary.maxVariants)
      }
      variants = core.memory.peek(own.key.key) ?? found
    }
    if (variants !== undefined) {
      const { headers } = own.request
      const now = core.clock.monotonic()
      for (const part of selectPartial(core, variants, headers, own.policy)) {
        const { range } = part
        if (range === undefined || useOf(part, now, own.directives, own.policy) !== 'fresh')
          continue
        const asked = singleRange(headers.joined('range') ?? '')
        if (asked === undefined || asked.first >= range.total) continue
        const last = Math.min(asked.last, range.total - 1)
        if (!covers(part, [{ first: asked.first, last }])) continue
        const ifRange = headers.get('if-range')
        if (ifRange !== undefined && !strongMatch(ifRange, part.etag)) continue
        core.counters.hits++
        return replyFrom(core, own, part, freshStatus(core, part))
      }
    }
    return this.#coalescer.obtain(own)
  }

  /** A request of its own for one slice: without the client's conditions, under the slice's key. */
  #sliceOf(p: Pending, index: number, etag: string | undefined): Pending {
    const { slice } = p.policy.range
    const fields: string[] = []
    const { flat } = p.request.headers
    for (let i = 0; i < flat.length; i += 2) {
      const name = (flat[i] as string).toLowerCase()
      if (name === 'range' || name === 'if-range' || name.startsWith('if-')) continue
      fields.push(flat[i] as string, flat[i + 1] as string)
    }
    fields.push('Range', `bytes=${index * slice}-${(index + 1) * slice - 1}`)
    if (etag !== undefined) fields.push('If-Range', etag)
    return {
      ...p,
      request: { ...detachedRequest(p.request), headers: new HeaderList(fields) },
      flags: p.flags & ~IF_RANGE,
      key: { ...p.key, key: `${p.key.key}\n#${slice}:${index}` },
      wholeKey: p.key,
      isLaterSlice: etag !== undefined,
      variants: undefined,
      stored: undefined,
    }
  }

  #giveUp(p: Pending): void {
    this.#unfit.delete(p.key.key)
    this.#unfit.set(p.key.key, this.#core.clock.monotonic() + UNFIT_MS)
    if (this.#unfit.size > MAX_UNFIT) {
      for (const oldest of this.#unfit.keys()) {
        this.#unfit.delete(oldest)
        break
      }
    }
  }
}

/** What a 206 says of the whole, when it is exactly the slice that was asked for. */
function sliceFacts(reply: Reply, index: number, size: number): Whole | undefined {
  if (reply.status !== 206) return undefined
  const sent = new HeaderList(reply.headers)
  const range = parseContentRange(sent.get('content-range'))
  if (range === undefined || range.total < 0 || range.first !== index * size) return undefined
  if (range.last !== Math.min((index + 1) * size, range.total) - 1) return undefined
  return { etag: sent.get('etag'), total: range.total }
}

function spanFields(
  fields: readonly string[],
  first: number,
  last: number,
  total: number,
): string[] {
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const name = (fields[i] as string).toLowerCase()
    if (name === 'content-range' || name === 'content-length') continue
    kept.push(fields[i] as string, fields[i + 1] as string)
  }
  kept.push('Content-Range', `bytes ${first}-${last}/${total}`)
  kept.push('Content-Length', String(last - first + 1))
  return kept
}
