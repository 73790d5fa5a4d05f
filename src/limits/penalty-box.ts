/**
 * The penalty box: clients whose refused requests add up (WAF, credentials, challenges, limits, 404) are shut out before
 * anything looks at their next one. A score decays by half-lives; each time in the box is twice the last.
 * Fixed memory, no timers: what has ended is found to have ended when it is looked at.
 */
import type { PenaltyBoxConfig } from '../config/sections/limits.ts'
import type { IpAddress, Millis, Seconds } from '../exchange.ts'
import { ipv6FromWords, parseIp } from '../http/ip.ts'
import type { Clock } from '../ports.ts'
import { feedAddress, IPV6_PREFIX, KeyHasher } from './key-hash.ts'
import { SlotTable } from './slot-table.ts'

export type PenaltyEvent = keyof PenaltyBoxConfig['weights']

/** What the gateway does with it; an explanation has one that only looks. */
export type Penalties = Pick<PenaltyBox, 'blockedFor' | 'record' | 'size'>

/** A client in the box. */
export interface Penalty {
  /** Its IPv4 address, or its IPv6 /64: `2001:db8:0:1::/64`. */
  readonly key: string
  readonly secondsLeft: Seconds
  /** Times in the box; 0 for one that an operator put there. */
  readonly terms: number
}

/** Clients whose names are kept while they are in the box; others are shut out all the same. */
const MAX_NAMES = 10_000

/** What a client is called: IPv6 clients count by /64. */
export function penaltyKey(ip: IpAddress): string {
  if (ip.family === 4) return ip.text
  const [first = 0, second = 0] = ip.words
  return `${ipv6FromWords([first, second, 0, 0]).text}/${IPV6_PREFIX}`
}

/** An address, or a key as `penaltyKey` writes it. */
export function parsePenaltyKey(text: string): IpAddress | undefined {
  const suffix = `/${IPV6_PREFIX}`
  const ip = parseIp(text.endsWith(suffix) ? text.slice(0, -suffix.length) : text)
  return ip?.family === 4 && text.endsWith(suffix) ? undefined : ip
}

/** Half-lives without an offence, outside the box, that make a client a first offender again. */
const FORGIVENESS = 10

export class PenaltyBox extends SlotTable {
  readonly #config: PenaltyBoxConfig
  readonly #clock: Clock
  readonly #hasher: KeyHasher
  readonly #isExempt: (ip: IpAddress) => boolean
  readonly #score: Float64Array
  /** When the score was last brought up to date. */
  readonly #scoredAt: Float64Array
  readonly #until: Float64Array
  /** Times in the box. */
  readonly #terms: Uint8Array
  /** Told of each client that its own offences have shut out, for other gateways. */
  onShutOut: ((ip: IpAddress, time: Millis, terms: number) => void) | undefined
  /** Who is in the box, for operators: the table knows hashes only. */
  readonly #names = new Map<string, IpAddress>()

  /**
   * @param isExempt clients that are never shut out
   * @param previous the box before a reload: scores and terms are taken over
   */
  constructor(
    config: PenaltyBoxConfig,
    clock: Clock,
    seed: Uint8Array,
    isExempt: (ip: IpAddress) => boolean = () => false,
    previous?: PenaltyBox,
  ) {
    super(config.slots)
    this.#config = config
    this.#clock = clock
    // The same hash key, or nobody would be found again.
    this.#hasher = previous === undefined ? new KeyHasher(seed) : previous.#hasher
    this.#isExempt = isExempt
    this.#score = new Float64Array(this.slots)
    this.#scoredAt = new Float64Array(this.slots)
    this.#until = new Float64Array(this.slots)
    this.#terms = new Uint8Array(this.slots)
    if (previous !== undefined) this.#adopt(previous)
  }

  #adopt(previous: PenaltyBox): void {
    const now = this.#clock.monotonic()
    for (const [key, ip] of previous.#names) this.#names.set(key, ip)
    previous.each((high, low, from) => {
      if (previous.debt(from, now) <= 0) return
      const slot = this.claim(high, low, now)
      this.#score[slot] = previous.#score[from] as number
      this.#scoredAt[slot] = previous.#scoredAt[from] as number
      this.#until[slot] = previous.#until[from] as number
      this.#terms[slot] = previous.#terms[from] as number
    })
  }

  /** Seconds for which the client is still shut out; 0 when it is not. IPv6 clients count by /64. */
  blockedFor(ip: IpAddress | undefined): Seconds {
    if (!this.#hash(ip)) return 0
    const slot = this.index.find(this.#hasher.high, this.#hasher.low)
    if (slot < 0) return 0
    const left = (this.#until[slot] as number) - this.#clock.monotonic()
    // A reload may have exempted somebody who was in the box.
    return left <= 0 || ip === undefined || this.#isExempt(ip) ? 0 : Math.ceil(left / 1000)
  }

  /** Adds to the client's score. @returns whether this shut it out */
  record(ip: IpAddress | undefined, event: PenaltyEvent): boolean {
    const weight = this.#config.weights[event]
    if (weight === 0 || ip === undefined || this.#isExempt(ip) || !this.#hash(ip)) return false
    const { high, low } = this.#hasher
    const now = this.#clock.monotonic()
    let slot = this.index.find(high, low)
    if (slot < 0) slot = this.claim(high, low, now)
    const score = this.#scoreAt(slot, now) + weight
    this.#scoredAt[slot] = now
    if (score < this.#config.threshold || (this.#until[slot] as number) > now) {
      this.#score[slot] = score
      return false
    }
    const { minimum, maximum } = this.#config
    const term = this.#terms[slot] as number
    const time = Math.min(maximum, minimum * 2 ** term)
    this.#until[slot] = now + time
    this.#terms[slot] = Math.min(255, term + 1)
    this.#score[slot] = 0
    this.#name(ip)
    this.onShutOut?.(ip, time, this.#terms[slot] as number)
    return true
  }

  /** Shuts out whom another gateway has shut out: for the longer time, and with the more terms, of the two. */
  join(ip: IpAddress, time: Millis, terms: number): void {
    if (this.#isExempt(ip) || !this.#hash(ip)) return
    const { high, low } = this.#hasher
    const now = this.#clock.monotonic()
    let slot = this.index.find(high, low)
    if (slot < 0) slot = this.claim(high, low, now)
    this.#until[slot] = Math.max(this.#until[slot] as number, now + time)
    this.#terms[slot] = Math.max(this.#terms[slot] as number, Math.min(255, terms))
    this.#name(ip)
  }

  /** Shuts a client out for so long from now, for an operator. @returns false for one that is exempt */
  ban(ip: IpAddress, time: Millis): boolean {
    if (this.#isExempt(ip) || !this.#hash(ip)) return false
    const { high, low } = this.#hasher
    const now = this.#clock.monotonic()
    let slot = this.index.find(high, low)
    if (slot < 0) slot = this.claim(high, low, now)
    this.#until[slot] = now + time
    this.#name(ip)
    return true
  }

  /** Lets a client out, for an operator. @returns whether it was in */
  release(ip: IpAddress): boolean {
    const wasIn = this.blockedFor(ip) > 0
    this.#names.delete(penaltyKey(ip))
    const slot = this.index.find(this.#hasher.high, this.#hasher.low)
    if (slot >= 0) this.clear(slot)
    return wasIn
  }

  /** Who is in the box, as far as names are kept. */
  list(): Penalty[] {
    const found: Penalty[] = []
    for (const [key, ip] of this.#names) {
      const secondsLeft = this.blockedFor(ip)
      if (secondsLeft === 0) {
        this.#names.delete(key)
        continue
      }
      const slot = this.index.find(this.#hasher.high, this.#hasher.low)
      found.push({ key, secondsLeft, terms: this.#terms[slot] as number })
    }
    return found
  }

  #name(ip: IpAddress): void {
    if (this.#names.size >= MAX_NAMES) this.list()
    if (this.#names.size < MAX_NAMES) this.#names.set(penaltyKey(ip), ip)
  }

  /** Clients in the box. Walks the table. */
  get size(): number {
    const now = this.#clock.monotonic()
    let count = 0
    this.each((_high, _low, slot) => {
      if ((this.#until[slot] as number) > now) count++
    })
    return count
  }

  #hash(ip: IpAddress | undefined): boolean {
    this.#hasher.reset()
    if (!feedAddress(ip, 32, IPV6_PREFIX, this.#hasher)) return false
    this.#hasher.hash()
    return true
  }

  #scoreAt(slot: number, now: Millis): number {
    if (this.#isForgiven(slot, now)) this.#terms[slot] = 0
    const since = Math.max(0, now - (this.#scoredAt[slot] as number))
    return (this.#score[slot] as number) * 2 ** (-since / this.#config.halfLife)
  }

  /** Time in the box is no time of good behaviour. */
  #isForgiven(slot: number, now: Millis): boolean {
    const free = Math.max(this.#scoredAt[slot] as number, this.#until[slot] as number)
    return now - free >= FORGIVENESS * this.#config.halfLife
  }

  /** Time left in the box first; among those outside, the score. */
  protected override debt(slot: number, now: Millis): number {
    const left = (this.#until[slot] as number) - now
    if (left > 0) return 1e6 + left
    if (this.#isForgiven(slot, now)) return 0
    const since = Math.max(0, now - (this.#scoredAt[slot] as number))
    return (this.#score[slot] as number) * 2 ** (-since / this.#config.halfLife)
  }

  protected override clear(slot: number): void {
    this.#score[slot] = 0
    this.#scoredAt[slot] = this.#clock.monotonic()
    this.#until[slot] = 0
    this.#terms[slot] = 0
  }
}
