/**
 * One exchange with the origin, and what becomes of its response: stored and shared, used to freshen what
 * is stored, combined with a part, or passed on.
 */
import { type CacheStatus, HeaderList, type Millis, type Reply } from '../exchange.ts'
import { type ForwardReason, staleStatus, withStatus } from './cache-status.ts'
import { type CacheCore, isLive, type Pending, useOf } from './core.ts'
import { BodyFill } from './fill/body-fill.ts'
import { type Abortable, Fill } from './fill/fill-table.ts'
import { forwardOptions } from './forward-headers.ts'
import { strongMatch } from './http/entity-tag.ts'
import { selectingSignature } from './http/vary.ts'
import { parseNoVarySearch } from './key/search-variance.ts'
import { fieldOf, isNotModified } from './policy/serve.ts'
import type { StoredResponse } from './policy/stored-response.ts'
import { epochNames } from './purge/epochs.ts'
import { freshStatus, replyFrom, statusOf } from './replies.ts'
import { CONDITION, RANGE } from './request-flags.ts'
import {
  bodyLength,
  freshened,
  type Received,
  receive,
  relayedFields,
  toStored,
} from './storing.ts'
import {
  asBytes,
  candidates,
  completable,
  completeFields,
  detachedRequest,
  discard,
  forwardReason,
  knownVary,
  validated,
  wholeFields,
} from './validation.ts'

/** What a body may be ahead of its slowest reader when it is not stored. */
const WINDOW_BYTES = 262_144
/** A fill that nobody reads any more goes on if no more than this is still to come. */
const FINISH_BYTES = 4 * 1024 ** 2
/** A purge reaches the caches of a fleet within this time; until then the origin itself is asked. */
const SPREAD: Millis = 2000
/** Statuses for which stale-if-error steps in (RFC 5861 §4). */
const ORIGIN_FAILURES: ReadonlySet<number> = new Set([500, 502, 503, 504])
const NO_RESPONSES: readonly StoredResponse[] = []

/** The origin answered, but with a failure that stale content hides. */
export class OriginFailure extends Error {
  override readonly name = 'OriginFailure'
}

interface Lead {
  readonly fill: Fill
  readonly isShared: boolean
  readonly hasClient: boolean
  readonly validate: readonly StoredResponse[]
  readonly reason: ForwardReason
}

/** The names that can be told before the response is there. */
function namesOf({ request, policy, key }: Pending): string[] {
  const authority = policy.key.hostAlias.get(request.authority) ?? request.authority
  return epochNames(request.scheme, authority, request.target.path, key.url, [], [])
}

export class OriginExchange {
  readonly #core: CacheCore
  /** Bytes of bodies on their way in that are to be stored. */
  #filling = 0

  constructor(core: CacheCore) {
    this.#core = core
  }

  get filling(): number {
    return this.#filling
  }

  /** HEAD goes through as it is; its answer says whether what is stored for GET is still right. */
  async head(p: Pending): Promise<Reply> {
    const core = this.#core
    const startedAt = core.clock.monotonic()
    const stamp = core.epochs.stamp()
    const options = forwardOptions(p, {
      validate: NO_RESPONSES,
      asIs: true,
      range: undefined,
      control: p.request,
      isDetached: false,
      mayShield: this.#mayShield(p, namesOf(p), startedAt),
    })
    let reply: Reply
    try {
      reply = await p.forward(options)
    } catch (error) {
      return this.afterError(p, error instanceof Error ? error : new Error(String(error)))
    }
    const { stored } = p
    if (stored !== undefined && reply.status === stored.status) {
      // RFC 9111 §4.3.5: the same representation is freshened, another one invalidates.
      const sent = new HeaderList(reply.headers)
      const length = sent.get('content-length')
      const isSame =
        (sent.get('etag') ?? stored.etag) === stored.etag &&
        (sent.get('last-modified') ?? stored.lastModified) === stored.lastModified &&
        (length === undefined || length === String(stored.bodyLength))
      if (isSame) {
        const { response, decision } = freshened(core, p, stored, reply, startedAt, stamp)
        if (decision.store) this.#commit(p, response)
        else this.#drop(stored)
      } else this.#drop(stored)
    }
    const status = statusOf(core, forwardReason(core, p, false), reply.status, 'head', false)
    p.request.cacheStatus = status
    core.counters.passes++
    return withStatus(
      { ...reply, headers: relayedFields(p, reply.headers, false) },
      status,
      core.format,
    )
  }

  /**
   * The exchange with the origin itself.
   * @param now monotonic
   */
  lead(
    p: Pending,
    isShared: boolean,
    hasClient = true,
    now: Millis = this.#core.clock.monotonic(),
  ): Promise<Reply> {
    // No async function: each would put a promise of its own between the origin's and the client's.
    try {
      return this.#lead(p, isShared, hasClient, now)
    } catch (error) {
      return Promise.reject(error as Error)
    }
  }

  #lead(p: Pending, isShared: boolean, hasClient: boolean, now: Millis): Promise<Reply> {
    const core = this.#core
    const { request, policy } = p
    // While it waited for another's fill, what it needs may have come.
    if (
      hasClient &&
      p.stored !== undefined &&
      useOf(p.stored, now, p.directives, policy) === 'fresh'
    ) {
      return Promise.resolve(replyFrom(core, p, p.stored, freshStatus(core, p.stored)))
    }
    const vary = knownVary(core, p)
    const signature = selectingSignature(request.headers, vary, policy.vary)
    const names = namesOf(p)
    // Before the fill's own stamp: a purge that comes later voids the fill.
    const mayShield = this.#mayShield(p, names, now)
    const fill = new Fill(p.key.key, core.epochs.stamp(), names, vary, signature, now)
    if (isShared) core.fills.add(fill)
    core.counters.fills++

    const isRange = (p.flags & RANGE) !== 0 && p.stored === undefined
    const part = isRange || !hasClient ? undefined : completable(core, p)
    const validate = isRange || part !== undefined ? NO_RESPONSES : candidates(core, p)
    // Nothing to validate: the client's own conditions go along where its answer will not be kept.
    const asIs =
      isRange ||
      (validate.length === 0 &&
        part === undefined &&
        ((p.flags & CONDITION) === 0 || core.fills.isHitForMiss(p.key.key, now)))
    const lead: Lead = {
      fill,
      isShared,
      hasClient,
      validate,
      reason: forwardReason(core, p, part !== undefined),
    }
    const options = forwardOptions(p, {
      validate: part === undefined ? validate : [part.response],
      asIs,
      range: part?.range,
      control: isShared ? fill.control : (request satisfies Abortable),
      isDetached: !hasClient || p.isLaterSlice === true,
      mayShield,
    })
    let answer: Reply | Promise<Reply>
    try {
      answer = p.forward(options)
    } catch (error) {
      return Promise.resolve(this.#failed(p, lead, error))
    }
    if (!(answer instanceof Promise)) answer = Promise.resolve(answer)
    const done = answer.then(
      (reply) => this.#received(p, lead, reply, part?.response),
      (error: unknown) => this.#failed(p, lead, error),
    )
    return this.#orStale(p, done)
  }

  /** What is for one client, was not for sharing, or has just been purged, is the origin's alone. */
  #mayShield(p: Pending, names: readonly string[], now: Millis): boolean {
    const { fills, epochs } = this.#core
    return (
      !p.isAuthenticated &&
      (p.request.method === 'GET' || p.request.method === 'HEAD') &&
      !fills.isHitForMiss(p.key.key, now) &&
      !epochs.isRecent(names, SPREAD)
    )
  }

  /** `done`, or stale content when the origin takes too long (`stale.afterMs`). */
  #orStale(p: Pending, done: Promise<Reply>): Promise<Reply> {
    const core = this.#core
    const { stored, policy } = p
    const { after } = policy.stale
    if (after === undefined || stored === undefined || !this.#mayHideError(p, stored)) return done
    return new Promise((resolve, reject) => {
      let isAnswered = false
      const cancel = core.clock.after(after, () => {
        isAnswered = true
        core.counters.staleHits++
        resolve(replyFrom(core, p, stored, this.#staleStatus(stored, 'origin-slow', '')))
        p.request = detachedRequest(p.request)
      })
      done.then(
        (reply) => {
          cancel()
          if (isAnswered) discard(reply)
          else resolve(reply)
        },
        (error: unknown) => {
          cancel()
          if (!isAnswered) reject(error as Error)
        },
      )
    })
  }

  #failed(p: Pending, lead: Lead, thrown: unknown): Reply {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown))
    this.#core.counters.fillsFailed++
    this.#core.fills.remove(lead.fill)
    lead.fill.settle({ kind: 'failed', error })
    return this.afterError(p, error)
  }

  /** Whether stale content may stand in for an error. */
  canHideError(p: Pending): boolean {
    return p.stored !== undefined && this.#mayHideError(p, p.stored)
  }

  /** Stale content in place of an error, or the error. */
  afterError(p: Pending, error: Error): Reply {
    const { stored } = p
    if (stored === undefined || !this.#mayHideError(p, stored)) throw error
    this.#core.counters.staleHits++
    const status = this.#staleStatus(stored, 'stale-if-error', '; fwd=stale')
    return replyFrom(this.#core, p, stored, status)
  }

  #mayHideError(p: Pending, stored: StoredResponse): boolean {
    if (!isLive(this.#core, stored) || p.directives.noCache) return false
    const window = stored.staleIfError(p.policy.stale.ifError)
    return window > 0 && stored.staleness(this.#core.clock.monotonic()) <= window
  }

  #staleStatus(stored: StoredResponse, detail: string, forwarded: string): CacheStatus {
    const ttl = -Math.ceil(stored.staleness(this.#core.clock.monotonic()) / 1000)
    return staleStatus(this.#core.format, ttl, detail, forwarded)
  }

  #received(
    p: Pending,
    lead: Lead,
    reply: Reply,
    part: StoredResponse | undefined,
  ): Reply | Promise<Reply> {
    const core = this.#core
    const { fill } = lead
    if (reply.status === 304 && lead.validate.length > 0) return this.#freshen(p, lead, reply)
    if (part !== undefined && reply.status === 206) return this.#combine(p, lead, reply, part)
    if (
      ORIGIN_FAILURES.has(reply.status) &&
      p.stored !== undefined &&
      this.#mayHideError(p, p.stored)
    ) {
      discard(reply)
      return this.#failed(p, lead, new OriginFailure(`the origin answered ${reply.status}`))
    }
    // The origin does not know ranges: what it sends is the whole, and is kept as such.
    if (p.wholeKey !== undefined && reply.status !== 206) p.key = p.wholeKey
    const received = receive(core, p, reply, fill.startedAt)
    const { decision, facts } = received
    const length = bodyLength(reply)
    const stored =
      decision.store && p.request.method !== 'HEAD' && this.#hasRoom(this.#held(length))
        ? toStored(p, received, fill.stamp, asBytes(reply), length)
        : undefined
    if (stored === undefined) return this.#pass(p, lead, reply, received)

    const isFresh = facts.lifetime > facts.initialAge && !facts.control.noCache
    const status = statusOf(core, lead.reason, reply.status, decision.reason, true)
    p.request.cacheStatus = status
    core.counters.misses++
    if (isFresh) core.fills.clearHitForMiss(p.key.key)
    else if (lead.isShared) this.#markPrivate(p)
    const { body } = reply
    if (body === null || 'byteLength' in body) {
      this.#commit(p, stored)
      core.fills.remove(fill)
      fill.settle(isFresh ? { kind: 'shared', response: stored } : { kind: 'private' })
      if (!lead.hasClient) return reply
    }
    const headers = relayedFields(p, reply.headers, true)
    if (body === null || 'byteLength' in body) {
      return this.#toClient(p, { status: reply.status, headers, body }, facts, status)
    }
    const filling = this.#startFill(p, lead, stored, body)
    if (!isFresh) core.fills.remove(fill)
    fill.settle(isFresh ? { kind: 'shared', response: stored, body: filling } : { kind: 'private' })
    // A client that has left meanwhile reads nothing: the fill goes on for the store and the others.
    const reader = lead.hasClient && !p.request.aborted ? filling.reader() : null
    filling.start()
    return this.#toClient(p, { status: reply.status, headers, body: reader }, facts, status)
  }

  /** The leader's reply: a 304 when its own copy turns out to be current. */
  #toClient(p: Pending, reply: Reply, facts: Received['facts'], status: CacheStatus): Reply {
    const core = this.#core
    if (
      (p.flags & CONDITION) !== 0 &&
      reply.status === 200 &&
      isNotModified(p.request.headers, facts.etag, facts.lastModifiedAt, core.clock.now())
    ) {
      discard(reply)
      const headers: string[] = []
      for (let i = 0; i < reply.headers.length; i += 2) {
        const name = (reply.headers[i] as string).toLowerCase()
        if (name.startsWith('content-') && name !== 'content-location') continue
        if (name === 'transfer-encoding' || name === 'trailer') continue
        headers.push(reply.headers[i] as string, reply.headers[i + 1] as string)
      }
      return withStatus({ status: 304, headers, body: null }, status, core.format)
    }
    return withStatus(reply, status, core.format)
  }

  /** Nothing to keep: everybody who waits goes their own way, now. */
  #pass(p: Pending, lead: Lead, reply: Reply, received: Received): Reply {
    const core = this.#core
    const { facts, decision } = received
    core.fills.remove(lead.fill)
    // A failing origin is not a private page: the next requests may share again.
    if (lead.isShared && reply.status < 500) this.#markPrivate(p)
    lead.fill.settle({ kind: 'private' })
    // The origin's newest word replaces what was stored (RFC 9111 §4.3.3).
    if (p.stored !== undefined && lead.validate.length > 0 && reply.status < 500) {
      this.#drop(p.stored)
    }
    core.counters.passes++
    const reason = decision.store ? 'not-kept' : decision.reason
    const status = statusOf(core, lead.reason, reply.status, reason, false)
    p.request.cacheStatus = status
    if (p.request.aborted) {
      discard(reply)
      return { status: reply.status, headers: [], body: null }
    }
    const headers = relayedFields(p, reply.headers, false)
    reply.headers = headers
    return this.#toClient(p, reply, facts, status)
  }

  #markPrivate(p: Pending): void {
    const core = this.#core
    const { hitForMiss } = p.policy.coalesce
    if (hitForMiss > 0) core.fills.markHitForMiss(p.key.key, core.clock.monotonic() + hitForMiss)
  }

  /** 304: the stored response lives on (RFC 9111 §4.3.4). */
  async #freshen(p: Pending, lead: Lead, reply: Reply): Promise<Reply> {
    const core = this.#core
    const { fill } = lead
    discard(reply)
    const sent = new HeaderList(reply.headers)
    const stored = validated(sent, lead.validate, p.stored)
    if (stored === undefined || !isLive(core, stored)) {
      // It names something we do not have: ask for the whole, without conditions.
      core.fills.remove(fill)
      fill.settle({ kind: 'private' })
      for (const offered of lead.validate) this.#drop(offered)
      p.variants = undefined
      p.stored = undefined
      return this.lead(p, false, lead.hasClient)
    }
    const { response, decision } = freshened(core, p, stored, reply, fill.startedAt, fill.stamp)
    core.counters.revalidated++
    const status = statusOf(core, lead.reason, 304, decision.reason, decision.store)
    core.fills.remove(fill)
    if (decision.store) this.#commit(p, response)
    else this.#drop(stored)
    const isFresh = decision.store && core.clock.monotonic() < response.freshUntil
    if (isFresh) core.fills.clearHitForMiss(p.key.key)
    else if (lead.isShared) this.#markPrivate(p)
    fill.settle(isFresh ? { kind: 'shared', response } : { kind: 'private' })
    return replyFrom(core, p, response, status)
  }

  /** A stored part and the rest of it (RFC 9111 §3.4), if they are surely of one representation. */
  async #combine(p: Pending, lead: Lead, reply: Reply, part: StoredResponse): Promise<Reply> {
    const core = this.#core
    const received = receive(core, p, reply, lead.fill.startedAt)
    const bytes = asBytes(reply)
    const rest = toStored(p, received, lead.fill.stamp, bytes, bodyLength(reply))
    core.fills.remove(lead.fill)
    lead.fill.settle({ kind: 'private' })
    const span = part.range
    const found = rest?.range
    if (
      rest !== undefined &&
      bytes !== null &&
      span !== undefined &&
      found?.total === span.total &&
      strongMatch(part.etag, rest.etag) &&
      (found.first === span.last + 1 || found.last === span.first - 1) &&
      Math.min(found.first, span.first) === 0 &&
      Math.max(found.last, span.last) === span.total - 1
    ) {
      const whole = new Uint8Array(span.total)
      whole.set(part.body ?? new Uint8Array(0), span.first)
      whole.set(bytes, found.first)
      const fields = wholeFields(rest.fields, span.total)
      const response = rest.with({ status: 200, fields, body: whole, range: undefined })
      this.#commit(p, response)
      return replyFrom(core, p, response, statusOf(core, 'partial', 206, 'combined', true))
    }
    discard(reply)
    this.#drop(part)
    p.variants = undefined
    return this.lead(p, false, lead.hasClient)
  }

  /** Memory that a body needs while it arrives. */
  #held(length: number | null): number {
    if (length === null) return Math.min(this.#core.maxMemoryObject, 1024 ** 2)
    return length > this.#core.maxMemoryObject ? WINDOW_BYTES : length
  }

  #hasRoom(bytes: number): boolean {
    return this.#filling + bytes <= this.#core.fillMemory
  }

  #startFill(
    p: Pending,
    lead: Lead,
    stored: StoredResponse,
    body: Exclude<Reply['body'], Uint8Array | null>,
  ): BodyFill {
    const core = this.#core
    const reserved = this.#held(body.length)
    this.#filling += reserved
    const isLarge = body.length !== null && body.length > core.maxMemoryObject
    const release = () => {
      this.#filling -= reserved
      core.fills.remove(lead.fill)
    }
    const keepBytes = isLarge ? 0 : Math.min(core.maxMemoryObject, p.policy.maxObject)
    let isWritten = false
    const filling: BodyFill = new BodyFill(
      body,
      { keepBytes, windowBytes: WINDOW_BYTES },
      {
        complete: (whole) => {
          release()
          if (whole === null) return
          const fields = completeFields(stored, whole.byteLength)
          const range = stored.range
          if (range !== undefined && range.last - range.first + 1 !== whole.byteLength) return
          this.#commit(p, stored.with({ body: whole, fields }))
        },
        failed: () => {
          core.counters.fillsFailed++
          release()
        },
        overflowed: () => core.fills.remove(lead.fill),
        abandoned: () => {
          if (!filling.isKept && !isWritten) return false
          return body.length === null || body.length - filling.received <= FINISH_BYTES
        },
      },
    )
    if (isLarge && body.length !== null) {
      // Too large for memory: the slower tier reads along.
      const reader = filling.reader(false)
      const writer = core.lower?.writer?.(stored, body.length, () => reader.resume())
      if (writer === undefined) reader.cancel()
      else {
        isWritten = true
        reader.pipe(writer)
      }
    }
    return filling
  }

  /** Stores it, unless a purge or an unsafe request came after its fill began. */
  #commit(p: Pending, response: StoredResponse): void {
    if (!isLive(this.#core, response)) return
    this.#core.memory.put(response, p.policy.vary.maxVariants)
    const search = parseNoVarySearch(fieldOf(response.fields, 'no-vary-search'))
    if (search !== undefined) this.#core.search.note(response.key, response.url, search)
    void this.#core.lower?.put(response, p.policy.vary.maxVariants)
  }

  #drop(response: StoredResponse): void {
    this.#core.memory.remove(response.key, response)
    void this.#core.lower?.remove(response.key, response)
  }
}
