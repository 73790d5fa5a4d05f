/**
 * Coalescing: one exchange with the origin for all who want the same at the same time. A request joins a
 * fill under way or leads one; when the response header shows that it cannot be shared, everybody is
 * released at once and the key is remembered for a while.
 */
import { HeaderList, type Millis, type Reply } from '../exchange.ts'
import { UpstreamError } from '../ports.ts'
import { type CacheCore, isLive, isYoungEnough, type Pending, selectWhole } from './core.ts'
import type { Fill, FillOutcome } from './fill/fill-table.ts'
import { isStrongTag } from './http/entity-tag.ts'
import { selectingSignature } from './http/vary.ts'
import { type OriginExchange, OriginFailure } from './origin-exchange.ts'
import { fieldOf } from './policy/serve.ts'
import type { StoredResponse } from './policy/stored-response.ts'
import { isClientCurrent, replyFrom, statusOf } from './replies.ts'
import { RANGE } from './request-flags.ts'
import { detachedRequest, discard } from './validation.ts'

/** How often a request looks again for something to join before it goes alone. */
const MAX_ROUNDS = 4

export class Coalescer {
  readonly #core: CacheCore
  readonly #exchange: OriginExchange

  constructor(core: CacheCore, exchange: OriginExchange) {
    this.#core = core
    this.#exchange = exchange
  }

  /** The response for a request that nothing stored can answer as it is. */
  obtain(p: Pending, now: Millis = this.#core.clock.monotonic()): Promise<Reply> {
    const mayShare =
      p.policy.coalesce.enabled &&
      !p.isAuthenticated &&
      ((p.flags & RANGE) === 0 || p.wholeKey !== undefined) &&
      p.request.method !== 'HEAD' &&
      !p.directives.noStore
    if (!mayShare) return this.#exchange.lead(p, false, true, now)
    // No promise of our own for what is never shared.
    if (this.#isHitForMiss(p, now)) return this.#exchange.lead(p, false, true, now)
    return this.#share(p)
  }

  #isHitForMiss(p: Pending, now: Millis): boolean {
    const { fills, counters } = this.#core
    if (!fills.isHitForMiss(p.key.key, now)) return false
    counters.hitForMiss++
    return true
  }

  /** Joins a fill or leads one. */
  async #share(p: Pending): Promise<Reply> {
    const { clock } = this.#core
    const { coalesce } = p.policy
    for (let round = 0; round < MAX_ROUNDS; round++) {
      if (round > 0 && this.#isHitForMiss(p, clock.monotonic())) {
        return this.#exchange.lead(p, false)
      }
      const fill = this.#joinable(p)
      if (fill === undefined) return this.#exchange.lead(p, true)
      const outcome = await fill.wait(coalesce.wait, clock, p.request)
      if (p.request.aborted) throw new UpstreamError('cancelled', 'the client left')
      if (outcome === undefined) return this.#exchange.lead(p, false)
      if (outcome.kind === 'private') {
        // What it left in the store may still save the body, by validation.
        this.#lookAgain(p)
        return this.#exchange.lead(p, false)
      }
      const reply = this.#join(p, outcome)
      if (reply !== undefined) return reply
      this.#lookAgain(p)
    }
    return this.#exchange.lead(p, false)
  }

  /** Fetches anew for a client that already has its (stale) answer. */
  refresh(p: Pending): void {
    if (this.#joinable(p) !== undefined) return
    const own = { ...p, request: detachedRequest(p.request) }
    const finished = this.#exchange.lead(own, true, false).then(
      (reply) => discard(reply),
      // Seen by everybody who waited, counted, and hidden from the client by the stale answer.
      () => undefined,
    )
    void finished
  }

  #joinable(p: Pending): Fill | undefined {
    const { request, policy } = p
    for (const fill of this.#core.fills.of(p.key.key) ?? []) {
      const { outcome } = fill
      if (outcome === undefined) {
        // What a purge has made void is not worth waiting for.
        if (this.#core.epochs.verdict(fill.epochNames, fill.stamp) !== 'live') continue
        if (selectingSignature(request.headers, fill.vary, policy.vary) === fill.signature) {
          return fill
        }
      } else if (outcome.kind === 'shared' && outcome.body?.canJoin === true) {
        // The origin has spoken already: for no-cache that was too early.
        if (!p.directives.noCache && this.#matches(p, outcome.response)) return fill
      }
    }
    return undefined
  }

  #matches(p: Pending, response: StoredResponse): boolean {
    const now = this.#core.clock.monotonic()
    return (
      isLive(this.#core, response) &&
      !response.isSoftPurged &&
      now < response.freshUntil &&
      isYoungEnough(response, now, p.directives) &&
      selectingSignature(p.request.headers, response.vary, p.policy.vary) === response.signature
    )
  }

  /** A follower's reply; undefined when it has to look again. */
  #join(p: Pending, outcome: FillOutcome): Reply | undefined {
    const core = this.#core
    if (outcome.kind === 'failed') {
      const { error } = outcome
      if (error instanceof UpstreamError && error.kind === 'cancelled') return undefined
      // The leader hid it behind what this request may not have: it gets the origin's own answer.
      if (error instanceof OriginFailure && !this.#exchange.canHideError(p)) return undefined
      return this.#exchange.afterError(p, error)
    }
    if (outcome.kind !== 'shared' || !this.#matches(p, outcome.response)) return undefined
    core.counters.collapsed++
    const { response, body } = outcome
    const reason = p.stored === undefined ? 'uri-miss' : 'stale'
    const status = statusOf(core, reason, response.status, 'collapsed', true, true)
    if (body === undefined) return replyFrom(core, p, response, status)
    if (!body.canJoin) return undefined
    if (isClientCurrent(p, response, core.clock.now())) return replyFrom(core, p, response, status)
    const again = p.isSecond === true ? undefined : () => this.#again(p, response)
    return replyFrom(core, p, response, status, body.reader(true, again))
  }

  /**
   * The body of a fill that died, for one whose client has the header already and nothing else: only the
   * same representation can stand in, told by a strong tag.
   */
  async #again(
    p: Pending,
    response: StoredResponse,
  ): Promise<Exclude<Reply['body'], null> | undefined> {
    if (!isStrongTag(response.etag) || p.request.aborted) return undefined
    const own = {
      ...p,
      request: detachedRequest(p.request),
      stored: undefined,
      variants: undefined,
      isSecond: true,
    }
    const reply = await this.obtain(own)
    const sent = new HeaderList(reply.headers)
    const isSame =
      reply.status === response.status &&
      sent.get('etag') === response.etag &&
      sent.get('content-length') === fieldOf(response.fields, 'content-length')
    if (isSame && reply.body !== null) return reply.body
    discard(reply)
    return undefined
  }

  #lookAgain(p: Pending): void {
    p.variants = this.#core.memory.peek(p.key.key)
    p.stored =
      p.variants === undefined
        ? undefined
        : selectWhole(this.#core, p.variants, p.request.headers, p.policy)
  }
}
