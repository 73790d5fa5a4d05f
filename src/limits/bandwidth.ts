/**
 * Bandwidth: bytes of responses for each key, paced by the same algorithm as requests (GCRA), but never
 * refused: the sender is told how long to wait before the next piece.
 */
import type { LimitConfig } from '../config/sections/limits.ts'
import type { Exchange, Millis } from '../exchange.ts'
import type { Clock } from '../ports.ts'
import type { KeyPart } from './key.ts'
import type { KeyHasher } from './key-hash.ts'
import { type CompileContext, compileKey } from './policy.ts'
import { UntilTable } from './until-table.ts'

const DEFAULT_SLOTS = 16_384

/** How long one piece may keep the line, and its bounds in bytes. */
const PIECE_MS: Millis = 50
const LEAST_PIECE = 1024
const MOST_PIECE = 65_536

/** Paces one response. */
export interface BandwidthMeter {
  /** Of the policy. */
  readonly id: string
  /** Bytes to take at a time, 1 KiB to 64 KiB: about 50 ms of the rate. */
  readonly piece: number
  /** Whether so many bytes may be sent at once, without a wait. */
  fits(bytes: number): boolean
  /** Charges `bytes`. @returns milliseconds to wait before they are sent */
  take(bytes: number): Millis
}

export class BandwidthPolicy {
  readonly id: string
  readonly scope: 'global' | 'route'
  /** Equal for policies whose state may be carried over a reload. */
  readonly identity: string
  readonly #key: readonly KeyPart[]
  readonly #when: ((x: Exchange) => boolean) | undefined
  /** Milliseconds a byte takes. */
  readonly #msPerByte: number
  /** Milliseconds of debt that do not make the sender wait. */
  readonly #burstMs: Millis
  /** When a key will have paid for what was sent. */
  readonly #paid: UntilTable

  constructor(
    config: LimitConfig,
    windowMs: Millis,
    key: readonly KeyPart[],
    when: ((x: Exchange) => boolean) | undefined,
  ) {
    this.id = config.id
    this.scope = config.scope
    this.identity = `${config.id} ${JSON.stringify(config.key)}`
    this.#key = key
    this.#when = when
    this.#msPerByte = windowMs / config.limit
    this.#burstMs = (config.burst ?? Math.max(65_536, config.limit / 10)) * this.#msPerByte
    this.#paid = new UntilTable(config.slots ?? DEFAULT_SLOTS)
  }

  meter(x: Exchange, hasher: KeyHasher, clock: Clock): BandwidthMeter | undefined {
    if (this.#when !== undefined && !this.#when(x)) return undefined
    hasher.reset()
    for (const part of this.#key) if (!part(x, hasher)) return undefined
    hasher.hash()
    const { high, low } = hasher
    const piece = Math.floor(PIECE_MS / this.#msPerByte)
    return {
      id: this.id,
      piece: Math.min(MOST_PIECE, Math.max(LEAST_PIECE, piece)),
      fits: (bytes) => this.#wait(high, low, clock.monotonic(), bytes) <= 0,
      take: (bytes) => {
        const now = clock.monotonic()
        const wait = this.#wait(high, low, now, bytes)
        this.#paid.set(high, low, now, now + wait + this.#burstMs)
        return Math.max(0, wait)
      },
    }
  }

  /** Negative while there is room in the burst. */
  #wait(high: number, low: number, now: Millis, bytes: number): Millis {
    const paid = Math.max(now, this.#paid.get(high, low)) + bytes * this.#msPerByte
    return paid - now - this.#burstMs
  }

  /** Takes over what is owed, from the same policy before a reload. */
  adopt(previous: BandwidthPolicy, now: Millis): void {
    this.#paid.adopt(previous.#paid, now)
  }
}

/** @returns undefined after a reported problem */
export function compileBandwidth(
  config: LimitConfig,
  path: string,
  context: CompileContext,
): BandwidthPolicy | undefined {
  const { report, expressions } = context
  if (config.window === undefined) {
    report(`${path}.window`, 'a window is required', '"window": "1s" makes `limit` bytes a second')
    return undefined
  }
  if (config.shared !== undefined) {
    report(
      `${path}.shared`,
      'bandwidth is paced by each process on its own',
      'leave it out; give each process its part of the bytes',
    )
    return undefined
  }
  const key = compileKey(config, path, context)
  if (key === undefined) return undefined
  let when: ((x: Exchange) => boolean) | undefined
  if (config.when !== undefined) {
    when = expressions?.condition(config.when, `${path}.when`, report)
    if (expressions === undefined) report(`${path}.when`, 'expressions are not available here')
    if (when === undefined) return undefined
  }
  return new BandwidthPolicy(config, config.window, key, when)
}
