/**
 * Token introspection (RFC 7662): opaque tokens are looked up where they were issued. Answers are kept for a
 * short while; a token whose issuer cannot be asked is not invalid, it cannot be checked.
 */
import { LRUCache } from 'lru-cache'
import type { Millis, Principal, Seconds } from '../exchange.ts'
import type { Clock, KeySource } from '../ports.ts'
import { audiences, principalFrom } from './claims.ts'
import { fromUtf8 } from './encoding.ts'
import { type JsonObject, parseJsonObject } from './strict-json.ts'

export interface IntrospectorOptions {
  readonly url: string
  readonly clientId: string
  readonly clientSecret: string
  readonly ttlMs: Millis
  readonly timeoutMs: Millis
  readonly staleMs: Millis
  readonly source: KeySource
  readonly clock: Clock
}

export interface ActiveToken {
  readonly principal: Principal
  readonly audiences: readonly string[] | undefined
  readonly claims: JsonObject
}

export type Introspection = ActiveToken | 'token_inactive' | 'introspection_unavailable'

interface Known {
  readonly answer: ActiveToken | 'token_inactive'
  readonly askedAt: Millis
  readonly freshMs: Millis
}

const INACTIVE_MS = 10_000
const MAX_ANSWERS = 10_000
const MAX_ANSWER_BYTES = 65_536

export class Introspector {
  readonly #options: IntrospectorOptions
  readonly #authorization: string
  readonly #known = new LRUCache<string, Known>({ max: MAX_ANSWERS })
  readonly #pending = new Map<string, Promise<Introspection>>()

  constructor(options: IntrospectorOptions) {
    this.#options = options
    // RFC 6749 §2.3.1: form-encoded, then Basic. btoa takes what is left: ASCII.
    const { clientId, clientSecret } = options
    this.#authorization = `Basic ${btoa(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`)}`
  }

  /** The answer for a token, without waiting when it is known. */
  check(token: string): Introspection | Promise<Introspection> {
    const { clock } = this.#options
    const known = this.#known.get(token)
    if (known !== undefined && clock.monotonic() - known.askedAt < known.freshMs) {
      return stillActive(known.answer, clock.now() / 1000)
    }
    let pending = this.#pending.get(token)
    if (pending === undefined) {
      pending = this.#ask(token, known).finally(() => this.#pending.delete(token))
      this.#pending.set(token, pending)
    }
    return pending
  }

  async #ask(token: string, known: Known | undefined): Promise<Introspection> {
    const { clock, ttlMs, staleMs } = this.#options
    const askedAt = clock.monotonic()
    const claims = await this.#fetch(token)
    const now = clock.now() / 1000
    if (claims === undefined) {
      if (known !== undefined && askedAt - known.askedAt < known.freshMs + staleMs) {
        return stillActive(known.answer, now)
      }
      return 'introspection_unavailable'
    }
    if (claims.active !== true) {
      this.#known.set(token, { answer: 'token_inactive', askedAt, freshMs: INACTIVE_MS })
      return 'token_inactive'
    }
    const issuer = typeof claims.iss === 'string' ? claims.iss : null
    const principal = principalFrom('opaque', claims, issuer, {})
    const answer = { principal, audiences: audiences(claims), claims }
    const left = ((principal.expiresAt ?? Number.POSITIVE_INFINITY) - now) * 1000
    this.#known.set(token, { answer, askedAt, freshMs: Math.min(ttlMs, left) })
    return stillActive(answer, now)
  }

  /** The answer's claims, or undefined when there is none to rely on. */
  #fetch(token: string): Promise<JsonObject | undefined> {
    const { url, source, clock, timeoutMs } = this.#options
    return new Promise((resolve) => {
      const cancel = clock.after(timeoutMs, () => resolve(undefined))
      const finish = (claims: JsonObject | undefined) => {
        cancel()
        resolve(claims)
      }
      source
        .fetch(url, {
          method: 'POST',
          headers: {
            authorization: this.#authorization,
            'content-type': 'application/x-www-form-urlencoded',
            accept: 'application/json',
          },
          body: `token=${encodeURIComponent(token)}&token_type_hint=access_token`,
        })
        .then(
          ({ status, body }) => {
            const text =
              status === 200 && body.length <= MAX_ANSWER_BYTES ? fromUtf8(body) : undefined
            finish(
              text === undefined ? undefined : parseJsonObject(text, { depth: 16, values: 1024 }),
            )
          },
          // Not reached: the same as no answer.
          () => finish(undefined),
        )
    })
  }
}

function stillActive(answer: ActiveToken | 'token_inactive', now: Seconds): Introspection {
  if (answer === 'token_inactive') return answer
  const { expiresAt } = answer.principal
  return expiresAt !== undefined && now >= expiresAt ? 'token_inactive' : answer
}
