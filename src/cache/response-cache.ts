/**
 * The cache of responses: answers from memory at once when it can, and otherwise decides how the origin is
 * asked. RFC 9111 as a shared cache; the profiles `safe` and `rfc9111` differ in `policy/cache-policy.ts`.
 *
 * Everything about a single request comes in as values; time and randomness through ports. A hit touches
 * no promise and formats nothing that it formatted within the same second.
 */
import type { BodyPrefix, Millis, Reply } from '../exchange.ts'
import type { Clock, Random } from '../ports.ts'
import { staleStatus, withStatus } from './cache-status.ts'
import { Coalescer } from './coalescer.ts'
import {
  type CacheCore,
  type CacheCounters,
  type Forward,
  isLive,
  type Pending,
  requestDirectives,
  selectPartial,
  selectWhole,
  useOf,
} from './core.ts'
import { FillTable } from './fill/fill-table.ts'
import { forwardOptions } from './forward-headers.ts'
import { emptyCacheControl } from './http/cache-control.ts'
import { planRange } from './http/range.ts'
import { type EntryReport, entriesOf, matching } from './inspection.ts'
import { type CacheRequest, cacheKey, requestKey } from './key/cache-key.ts'
import { SearchVariance } from './key/search-variance.ts'
import { OriginExchange } from './origin-exchange.ts'
import type { CachePolicy } from './policy/cache-policy.ts'
import { covers, ifRangeHolds } from './policy/serve.ts'
import type { StatusFormat, StoredResponse } from './policy/stored-response.ts'
import { PurgeEpochs } from './purge/epochs.ts'
import {
  forwardedUrls,
  type PurgeNote,
  type PurgeRequest,
  purgeNames,
} from './purge/purge-request.ts'
import { addTags, freshStatus, replyFrom, statusOf } from './replies.ts'
import {
  AUTHORIZATION,
  CONDITION,
  DIRECTIVES,
  PRECONDITION,
  RANGE,
  requestFlags,
} from './request-flags.ts'
import { Slices } from './slices.ts'
import {
  type CacheStore,
  replaces,
  type StoredVariants,
  type StoreStats,
} from './store/cache-store.ts'
import { MemoryStore } from './store/memory-store.ts'
import { forwardUnsafe } from './unsafe.ts'

export interface ResponseCacheOptions {
  readonly clock: Clock
  readonly random: Random
  /** Token in Cache-Status. */
  readonly name: string
  readonly statusHeader: boolean
  readonly memoryBytes: number
  readonly admission: 'tinylfu' | 'lru'
  readonly maxMemoryObject: number
  /** Bytes of bodies on their way in. */
  readonly fillMemory: number
  readonly lower?: CacheStore | undefined
}

export interface CacheStats extends CacheCounters {
  readonly memory: StoreStats
  /** Of the slower tiers that know, the nearest first. */
  readonly lower: readonly (StoreStats & { readonly name: string })[]
  readonly fillsUnderWay: number
  readonly fillingBytes: number
  readonly epochs: number
}

/** The longest body of a QUERY that is stored for. */
const QUERY_BYTES = 8192
/** One character for each byte. */
const latin1 = new TextDecoder('latin1')
const NO_DIRECTIVES = Object.freeze(emptyCacheControl())

export class ResponseCache {
  readonly #memory: MemoryStore
  readonly #core: CacheCore
  readonly #exchange: OriginExchange
  readonly #coalescer: Coalescer
  readonly #slices: Slices
  readonly #clock: Clock
  readonly #format: StatusFormat
  readonly #counters: CacheCounters

  constructor(options: ResponseCacheOptions) {
    this.#clock = options.clock
    this.#format = { name: options.name, header: options.statusHeader }
    this.#memory = new MemoryStore({
      capacityBytes: options.memoryBytes,
      admission: options.admission,
    })
    this.#counters = {
      hits: 0,
      staleHits: 0,
      revalidated: 0,
      misses: 0,
      passes: 0,
      collapsed: 0,
      fills: 0,
      fillsFailed: 0,
      hitForMiss: 0,
      purges: 0,
      invalidations: 0,
    }
    this.#core = {
      memory: this.#memory,
      lower: options.lower,
      fills: new FillTable(),
      epochs: new PurgeEpochs(() => options.clock.now()),
      search: new SearchVariance(),
      clock: options.clock,
      random: options.random,
      format: this.#format,
      maxMemoryObject: Math.min(options.maxMemoryObject, Math.floor(options.memoryBytes / 2)),
      fillMemory: options.fillMemory,
      counters: this.#counters,
    }
    this.#exchange = new OriginExchange(this.#core)
    this.#coalescer = new Coalescer(this.#core, this.#exchange)
    this.#slices = new Slices(this.#core, this.#coalescer)
  }

  /**
   * Answers a request, from what is stored or through `forward`.
   * Sets `request.cacheStatus`. A fresh response in memory is returned as it is, not as a promise.
   * @throws UpstreamError when the origin does and nothing stored may stand in
   */
  respond(request: CacheRequest, policy: CachePolicy, forward: Forward): Reply | Promise<Reply> {
    const { method } = request
    const isFetch = method === 'GET' || method === 'HEAD'
    const flags = requestFlags(request.headers)
    if (isFetch && !policy.bypass && request.body === null && (flags & PRECONDITION) === 0) {
      const found = this.#memory.lookup(cacheKey(request, policy))
      if (found !== undefined) {
        const stored = selectWhole(this.#core, found, request.headers, policy)
        if (
          stored !== undefined &&
          (flags & (CONDITION | RANGE)) === 0 &&
          ((flags & DIRECTIVES) === 0 || policy.ignoreClientDirectives)
        ) {
          const now = this.#clock.monotonic()
          if (now < stored.freshUntil && !stored.isSoftPurged) {
            this.#counters.hits++
            request.cacheStatus = stored.hitStatus(now, this.#format)
            request.served = stored
            const reply = stored.hit(
              now,
              this.#format,
              method === 'HEAD' ? null : stored.openBody(),
            )
            if (request.isFromEdge === true) addTags(reply.headers, stored, policy)
            if (policy.stale.earlyRefresh > 0 && this.#isDue(stored, now, policy)) {
              this.#coalescer.refresh(this.#pending(request, policy, flags, forward, found, stored))
            }
            return reply
          }
        }
        const pending = this.#pending(request, policy, flags, forward, found, stored)
        // Purged, or other variants: a slower tier may have what another process has stored since.
        const isElsewhere = stored === undefined && (flags & RANGE) === 0
        return isElsewhere ? this.#orLower(pending) : this.#reuse(pending)
      }
      const pending = this.#pending(request, policy, flags, forward, undefined, undefined)
      const other = this.#core.search.find(pending.key.key, pending.key.url)
      if (other !== undefined) this.#find(pending, other)
      if (pending.stored !== undefined) return this.#reuse(pending)
      return this.#orLower(pending)
    }
    return this.#aside(request, policy, flags, forward)
  }

  /**
   * Marks as purged; effective for the next request and for fills under way.
   * @param policies of the routes, so that names are purged as they are forwarded
   * @param isOwn    false when every process gets the same order: it is not passed on
   * @returns the epoch
   */
  purge(what: PurgeRequest, policies: readonly CachePolicy[] = [], isOwn = true): number {
    const { epochs } = this.#core
    const soft = what.mode === 'soft'
    const at = epochs.stamp()
    this.#counters.purges++
    for (const name of purgeNames(what, policies)) {
      if (isOwn) epochs.purge(name, soft, at)
      else epochs.adopt(name, soft, at)
    }
    return at
  }

  /** Purges that another process has made, as of now. */
  adopt(notes: readonly PurgeNote[]): void {
    const { epochs } = this.#core
    const at = epochs.stamp()
    for (const { name, soft } of notes) epochs.adopt(name, soft, at)
  }

  /** Stored responses in memory that a purge would take. */
  matching(what: PurgeRequest, policies: readonly CachePolicy[] = []): number {
    return matching(this.#core, purgeNames(what, policies))
  }

  /** All that is stored for a URL. */
  entries(url: string, policies: readonly CachePolicy[] = []): Promise<EntryReport[]> {
    const urls = forwardedUrls(url, policies)
    const keys = new Set<string>()
    for (const { key } of policies) for (const one of urls) keys.add(`${key.prefix}${one}`)
    return entriesOf(this.#core, urls, [...keys])
  }

  /** To apply purges noted earlier, and to hear of new ones. */
  get epochs(): PurgeEpochs {
    return this.#core.epochs
  }

  get memory(): MemoryStore {
    return this.#memory
  }

  stats(): CacheStats {
    return {
      ...this.#counters,
      memory: this.#memory.stats(),
      lower: lowerStats(this.#core.lower),
      fillsUnderWay: this.#core.fills.size,
      fillingBytes: this.#exchange.filling,
      epochs: this.#core.epochs.size,
    }
  }

  #pending(
    request: CacheRequest,
    policy: CachePolicy,
    flags: number,
    forward: Forward,
    variants: StoredVariants | undefined,
    stored: StoredResponse | undefined,
  ): Pending {
    const { principal } = request
    return {
      request,
      policy,
      flags,
      directives:
        (flags & DIRECTIVES) === 0 || policy.ignoreClientDirectives
          ? NO_DIRECTIVES
          : requestDirectives(request.headers),
      key: requestKey(request, policy),
      forward,
      isAuthenticated:
        (flags & AUTHORIZATION) !== 0 ||
        (principal !== undefined && principal.kind !== 'anonymous'),
      variants,
      stored,
    }
  }

  /** All that the short path leaves: conditions, ranges, directives, staleness, misses. */
  #reuse(p: Pending): Reply | Promise<Reply> {
    const now = this.#clock.monotonic()
    const { stored, policy, directives } = p
    if (stored !== undefined) {
      const use = useOf(stored, now, directives, policy)
      if (use === 'fresh') {
        this.#counters.hits++
        return replyFrom(this.#core, p, stored, freshStatus(this.#core, stored))
      }
      if (use === 'max-stale' || use === 'while-revalidate') {
        this.#counters.staleHits++
        const ttl = -Math.ceil(stored.staleness(now) / 1000)
        const reply = replyFrom(this.#core, p, stored, staleStatus(this.#format, ttl, use, ''))
        if (use === 'while-revalidate') this.#coalescer.refresh(p)
        return reply
      }
      const mayBeFresher = !directives.noCache && !stored.control.noCache && p.askedLower !== true
      if (mayBeFresher && this.#core.lower?.isShared === true) return this.#fromLower(p)
    } else if ((p.flags & RANGE) !== 0) {
      const reply = this.#fromPart(p, now)
      if (reply !== undefined) return reply
    }
    if (directives.onlyIfCached) {
      const status = statusOf(this.#core, 'request', 0, 'only-if-cached', false)
      p.request.cacheStatus = status
      return withStatus(
        { status: 504, headers: ['Content-Length', '0'], body: null },
        status,
        this.#format,
      )
    }
    if (p.request.method === 'HEAD') return this.#exchange.head(p)
    if (stored === undefined && (p.flags & RANGE) !== 0 && this.#slices.fits(p)) {
      return this.#slices.respond(p)
    }
    return this.#coalescer.obtain(p, now)
  }

  /** What was not for sharing a moment ago is in no tier either. */
  #orLower(p: Pending): Reply | Promise<Reply> {
    const { lower, fills } = this.#core
    return lower === undefined || fills.isHitForMiss(p.key.key, this.#clock.monotonic())
      ? this.#reuse(p)
      : this.#fromLower(p)
  }

  /** Looks in the slower tier, and takes into memory what it finds. */
  async #fromLower(p: Pending): Promise<Reply> {
    const core = this.#core
    p.askedLower = true
    const found = await core.lower?.lookup(p.key.key)
    // Oldest first: the newest must end on top.
    for (const response of found === undefined ? [] : [...found.responses].reverse()) {
      if (core.epochs.verdict(response.epochNames, response.stamp) === 'hard') continue
      // What memory has, or has got meanwhile, may be newer.
      const present = core.memory.peek(p.key.key)?.responses ?? []
      const isOlder = (one: StoredResponse) =>
        isLive(core, one) && replaces(response, one) && one.receivedAt >= response.receivedAt
      if (present.some(isOlder)) continue
      core.memory.put(response, p.policy.vary.maxVariants)
    }
    p.variants = core.memory.peek(p.key.key) ?? found
    if (p.variants !== undefined) {
      p.stored = selectWhole(core, p.variants, p.request.headers, p.policy)
    }
    return this.#reuse(p)
  }

  /** A range that a stored part covers. */
  #fromPart(p: Pending, now: Millis): Reply | undefined {
    const { request, policy, variants } = p
    if (variants === undefined || request.method !== 'GET') return undefined
    const value = request.headers.joined('range') ?? ''
    for (const part of selectPartial(this.#core, variants, request.headers, policy)) {
      if (useOf(part, now, p.directives, policy) !== 'fresh') continue
      const plan = planRange(value, part.range?.total ?? -1, policy.range.maxRanges)
      if (plan.kind !== 'spans' || !covers(part, plan.spans)) continue
      if (!ifRangeHolds(request.headers, part, this.#clock.now())) continue
      this.#counters.hits++
      return replyFrom(this.#core, p, part, freshStatus(this.#core, part))
    }
    return undefined
  }

  /** Requests that are no plain GET or HEAD. */
  #aside(
    request: CacheRequest,
    policy: CachePolicy,
    flags: number,
    forward: Forward,
  ): Reply | Promise<Reply> {
    const p = this.#pending(request, policy, flags, forward, undefined, undefined)
    const { method } = request
    if (method === 'QUERY' && !policy.bypass && (flags & PRECONDITION) === 0) return this.#query(p)
    if (method !== 'GET' && method !== 'HEAD') return forwardUnsafe(this.#core, p)
    if (policy.bypass) return this.#pass(p, 'bypass', 'disabled', true)
    if ((flags & PRECONDITION) !== 0) return this.#pass(p, 'bypass', 'precondition', false)
    if (policy.fatGet === 'reject') {
      const status = statusOf(this.#core, 'bypass', 0, 'body-of-get', false)
      request.cacheStatus = status
      const headers = ['Content-Length', '0', 'Connection', 'close']
      return withStatus({ status: 400, headers, body: null }, status, this.#format)
    }
    if (policy.fatGet === 'bypass') return this.#pass(p, 'bypass', 'body-of-get', true)
    // The body is dropped: what is stored for others was made without it.
    request.body?.discard()
    this.#find(p, p.key.key)
    return this.#reuse(p)
  }

  #find(p: Pending, key: string): void {
    p.variants = this.#memory.lookup(key)
    if (p.variants !== undefined) {
      p.stored = selectWhole(this.#core, p.variants, p.request.headers, p.policy)
    }
  }

  /** A question with a body (RFC 10008): the body is part of the key, to the letter, while it is short. */
  #query(p: Pending): Reply | Promise<Reply> {
    const { body, headers } = p.request
    if (body === null) return forwardUnsafe(this.#core, p)
    const read = body.prefix(QUERY_BYTES)
    const go = ({ bytes, truncated }: BodyPrefix): Reply | Promise<Reply> => {
      if (truncated) return forwardUnsafe(this.#core, p)
      const type = headers.joined('content-type') ?? ''
      const coding = headers.joined('content-encoding') ?? ''
      const text = latin1.decode(bytes)
      p.key = { ...p.key, key: `${p.key.key}\nQUERY\n${type}\n${coding}\n${text}` }
      this.#find(p, p.key.key)
      return this.#reuse(p)
    }
    return read instanceof Promise ? read.then(go) : go(read)
  }

  #pass(p: Pending, reason: 'bypass', detail: string, withBody: boolean): Reply | Promise<Reply> {
    const shape = {
      validate: [],
      asIs: true,
      range: undefined,
      control: p.request,
      isDetached: false,
    }
    const answer = p.forward({ ...forwardOptions(p, shape), withBody })
    const done = (reply: Reply): Reply => {
      const status = statusOf(this.#core, reason, reply.status, detail, false)
      p.request.cacheStatus = status
      this.#counters.passes++
      return withStatus(reply, status, this.#format)
    }
    return answer instanceof Promise ? answer.then(done) : done(answer)
  }

  /** XFetch: the nearer the end and the slower the origin, the likelier (Vattani and others, 2015). */
  #isDue(stored: StoredResponse, now: Millis, policy: CachePolicy): boolean {
    const left = stored.freshUntil - now
    const step = stored.fetchTook * policy.stale.earlyRefresh
    // -ln(random) is above 16 once in nine million times.
    if (left > step * 16) return false
    return -Math.log(this.#core.random.next() || Number.MIN_VALUE) * step >= left
  }
}

function lowerStats(lower: CacheStore | undefined): CacheStats['lower'] {
  return (lower?.tiers ?? (lower === undefined ? [] : [lower])).flatMap((tier) =>
    tier.stats === undefined ? [] : [{ name: tier.name, ...tier.stats() }],
  )
}

export type { Forward, ForwardOptions } from './core.ts'
export type { EntryReport } from './inspection.ts'
export type { CacheRequest } from './key/cache-key.ts'
export type { PurgeNote, PurgeRequest } from './purge/purge-request.ts'
