/**
 * Threats of this moment: the networks that are refused most, and those whose traffic on a route is unlike what
 * is usual there. Bounded memory, no timers: a window is judged when the next request of its network comes, and
 * within the window when a network has suddenly much to say.
 */
import type { ThreatsConfig } from '../../config/sections/threats.ts'
import type { IpAddress, Millis } from '../../exchange.ts'
import { ipv4FromWord, ipv6FromWords } from '../../http/ip.ts'
import { isRefusal } from '../refusals.ts'
import { Average, judge, type Traffic, type Usual } from './judgement.ts'
import { HeavyKeys } from './sketch.ts'

/** Of a finished request. */
export interface Finished {
  readonly route: string
  readonly status: number
  readonly outcome: string
  readonly wasBlocked: boolean
}

export interface Attacker {
  /** Network with its length, masked. */
  readonly network: string
  /** Refused requests, older ones counting less; at most `error` of them may be another network's. */
  readonly refused: number
  readonly error: number
}

export interface Anomaly {
  readonly network: string
  readonly route: string
  readonly score: number
  readonly why: string
  /** Milliseconds ago. */
  readonly age: Millis
}

export interface ThreatReport {
  readonly attackers: readonly Attacker[]
  readonly anomalies: readonly Anomaly[]
  /** Pairs of network and route that are watched. */
  readonly watched: number
}

/** What became of a network on a route. */
export interface AnomalyChange {
  readonly isOver: boolean
  readonly network: string
  readonly route: string
  readonly score: number
  readonly why: string
}

type Key = number | string

interface Pair {
  readonly network: IpAddress
  readonly route: string
  readonly usual: Average
  windowStart: Millis
  requests: number
  faults: number
  refused: number
  /** When it became anomalous; negative while it is not. */
  since: Millis
  score: number
  why: string
}

/** Windows of its own after which a pair is compared with itself, and of a route before it says anything. */
const OWN_WINDOWS = 12
const ROUTE_WINDOWS = 10
/** An anomaly is over when a window's score is below this share of the threshold, or after so many silent windows. */
const OVER_SHARE = 0.5
const OVER_WINDOWS = 6
/** While a pair is anomalous it hardly teaches what is usual. */
const SLOW = 0.1
/** Networks in the sketch of those that are refused. */
const ATTACKERS = 1024
/** In this time the count of refused requests halves. */
const ATTACKER_HALF_LIFE_MS = 10 * 60_000
const ATTACKER_FADE_MS = 60_000

export class Threats {
  readonly config: ThreatsConfig
  readonly #onChange: (change: AnomalyChange) => void
  readonly #show: (ip: IpAddress) => string
  readonly #pairs = new Map<Key, Pair>()
  /** Small numbers for routes: they are part of keys. */
  readonly #routes = new Map<string, { readonly number: number; readonly usual: Average }>()
  readonly #attackers = new HeavyKeys<Key, IpAddress>(ATTACKERS)
  readonly #weight: number
  readonly #minimumRate: number
  #fadedAt = 0
  #sweptAt = 0
  /** Pairs that gave way although they were not silent. */
  displaced = 0

  /** @param show masks an address for people */
  constructor(
    config: ThreatsConfig,
    show: (ip: IpAddress) => string,
    onChange: (change: AnomalyChange) => void,
  ) {
    this.config = config
    this.#show = show
    this.#onChange = onChange
    this.#weight = 1 - Math.exp(-config.window / config.memory)
    this.#minimumRate = config.minimumRequests / (config.window / 1000)
  }

  /**
   * Counts one finished request.
   * @param now monotonic
   * @returns whether it was refused or in vain, and its network is anomalous on the route
   */
  observe(ip: IpAddress | undefined, request: Finished, now: Millis): boolean {
    if (ip === undefined) return false
    const isRefused = request.wasBlocked || isRefusal(request.outcome)
    const isFault = !isRefused && request.status >= 400 && request.status < 500
    const { ipv4Bits, ipv6Bits } = this.config
    const high = cut(ip.words[0] as number, ip.family === 4 ? ipv4Bits : ipv6Bits)
    const low = ip.family === 4 ? 0 : cut(ip.words[1] as number, ipv6Bits - 32)
    if (isRefused) this.#refused(ip, high, low, now)
    // Shut out before it had a route: says nothing new of anybody.
    if (request.outcome === 'penalized') return false
    let route = this.#routes.get(request.route)
    if (route === undefined) {
      route = { number: this.#routes.size, usual: new Average() }
      this.#routes.set(request.route, route)
    }
    const key =
      ip.family === 4 ? route.number * 2 ** 32 + (high >>> 0) : `${high}:${low}:${route.number}`
    let pair = this.#pairs.get(key)
    if (pair === undefined) pair = this.#newPair(key, networkOf(ip, high, low), request.route, now)
    else if (now - pair.windowStart >= this.config.window) this.#endWindow(pair, route.usual, now)
    pair.requests++
    if (isRefused) pair.refused++
    if (isFault) pair.faults++
    if (isPowerOfTwo(pair.requests) && pair.requests >= this.config.minimumRequests) {
      this.#judge(pair, route.usual, now, false)
    }
    return pair.since >= 0 && (isRefused || isFault)
  }

  #refused(ip: IpAddress, high: number, low: number, now: Millis): void {
    if (now - this.#fadedAt >= ATTACKER_FADE_MS) {
      const steps = Math.floor((now - this.#fadedAt) / ATTACKER_FADE_MS)
      this.#attackers.fade(2 ** ((-steps * ATTACKER_FADE_MS) / ATTACKER_HALF_LIFE_MS))
      this.#fadedAt += steps * ATTACKER_FADE_MS
    }
    const key = ip.family === 4 ? high >>> 0 : `${high}:${low}`
    this.#attackers.add(key, networkOf(ip, high, low), 1)
  }

  #newPair(key: Key, network: IpAddress, route: string, now: Millis): Pair {
    if (this.#pairs.size >= this.config.capacity) this.#makeRoom(now)
    const pair: Pair = {
      network,
      route,
      usual: new Average(),
      windowStart: now,
      requests: 0,
      faults: 0,
      refused: 0,
      since: -1,
      score: 0,
      why: '',
    }
    this.#pairs.set(key, pair)
    return pair
  }

  /** The silent go first; when nobody is, the one that came first among those that are not anomalous. */
  #makeRoom(now: Millis): void {
    if (now - this.#sweptAt >= this.config.window) {
      this.#sweptAt = now
      this.#sweep(now)
      if (this.#pairs.size < this.config.capacity) return
    }
    let oldest: Key | undefined
    for (const [key, pair] of this.#pairs) {
      oldest ??= key
      if (pair.since >= 0) continue
      oldest = key
      break
    }
    if (oldest !== undefined) this.#pairs.delete(oldest)
    this.displaced++
  }

  /** Forgets what has been silent, and ends its anomalies. */
  #sweep(now: Millis): void {
    for (const [key, pair] of this.#pairs) {
      const silent = now - pair.windowStart
      if (pair.since >= 0 && silent >= OVER_WINDOWS * this.config.window) this.#over(pair)
      if (silent >= 2 * this.config.memory || (pair.since < 0 && silent >= this.config.memory)) {
        this.#pairs.delete(key)
      }
    }
  }

  #endWindow(pair: Pair, route: Average, now: Millis): void {
    const { window } = this.config
    this.#judge(pair, route, now, true)
    const traffic = trafficOf(pair, window / 1000)
    const weight = pair.since >= 0 ? this.#weight * SLOW : this.#weight
    pair.usual.learn(traffic, weight)
    if (pair.since < 0) route.learn(traffic, this.#weight)
    const windows = Math.floor((now - pair.windowStart) / window)
    if (windows > 1) pair.usual.rest(windows - 1, weight)
    if (pair.since >= 0 && windows >= OVER_WINDOWS) this.#over(pair)
    pair.windowStart += windows * window
    pair.requests = 0
    pair.faults = 0
    pair.refused = 0
  }

  /** @param isWhole whether the window is over; before that it can only become anomalous */
  #judge(pair: Pair, route: Average, now: Millis, isWhole: boolean): void {
    const { window, threshold, minimumRequests } = this.config
    const seconds = (isWhole ? window : Math.max(1000, now - pair.windowStart)) / 1000
    if (pair.requests < minimumRequests) {
      if (isWhole && pair.since >= 0) this.#over(pair)
      return
    }
    const judgement = judge(trafficOf(pair, seconds), usualOf(pair, route), this.#minimumRate)
    if (judgement.score >= threshold) {
      pair.score = judgement.score
      pair.why = judgement.why
      if (pair.since >= 0) return
      pair.since = now
      this.#tell(pair, false)
    } else if (isWhole && pair.since >= 0) {
      if (judgement.score < threshold * OVER_SHARE) this.#over(pair)
      else {
        pair.score = judgement.score
        pair.why = judgement.why
      }
    }
  }

  #over(pair: Pair): void {
    pair.since = -1
    this.#tell(pair, true)
  }

  #tell(pair: Pair, isOver: boolean): void {
    const { route, score, why } = pair
    this.#onChange({ isOver, network: this.#name(pair.network), route, score, why })
  }

  #name(network: IpAddress): string {
    const { ipv4Bits, ipv6Bits } = this.config
    return `${this.#show(network)}/${network.family === 4 ? ipv4Bits : ipv6Bits}`
  }

  /** @param now monotonic */
  report(limit: number, now: Millis): ThreatReport {
    this.#sweep(now)
    const anomalies = [...this.#pairs.values()]
      .filter((pair) => pair.since >= 0)
      .sort((a, b) => b.score - a.score)
      .slice(0, limit)
      .map((pair) => ({
        network: this.#name(pair.network),
        route: pair.route,
        score: pair.score,
        why: pair.why,
        age: Math.round(now - pair.since),
      }))
    const attackers = this.#attackers.top(limit).map(({ label, weight, error }) => ({
      network: this.#name(label),
      refused: Math.round(weight * 10) / 10,
      error: Math.round(error * 10) / 10,
    }))
    return { attackers, anomalies, watched: this.#pairs.size }
  }

  /** Pairs that are anomalous. Walks the table. */
  count(now: Millis): number {
    this.#sweep(now)
    let count = 0
    for (const pair of this.#pairs.values()) if (pair.since >= 0) count++
    return count
  }
}

function trafficOf({ requests, faults, refused }: Pair, seconds: number): Traffic {
  return { seconds, requests, faults, refused }
}

/** A network that has been here for a while is compared with itself, a new one with others on the route. */
function usualOf(pair: Pair, route: Average): Usual | undefined {
  if (pair.usual.windows >= OWN_WINDOWS) return pair.usual
  return route.windows >= ROUTE_WINDOWS ? route : undefined
}

function cut(word: number, bits: number): number {
  if (bits <= 0) return 0
  return bits >= 32 ? word | 0 : word & (0xffffffff << (32 - bits))
}

function networkOf(ip: IpAddress, high: number, low: number): IpAddress {
  return ip.family === 4 ? ipv4FromWord(high >>> 0) : ipv6FromWords([high >>> 0, low >>> 0, 0, 0])
}

function isPowerOfTwo(value: number): boolean {
  return (value & (value - 1)) === 0
}

/** Reports of worker processes as one. */
export function mergeThreats(reports: readonly ThreatReport[], limit: number): ThreatReport {
  const attackers = new Map<string, Attacker>()
  for (const one of reports.flatMap((report) => report.attackers)) {
    const before = attackers.get(one.network)
    attackers.set(one.network, {
      network: one.network,
      refused: one.refused + (before?.refused ?? 0),
      error: one.error + (before?.error ?? 0),
    })
  }
  return {
    attackers: [...attackers.values()].sort((a, b) => b.refused - a.refused).slice(0, limit),
    anomalies: reports
      .flatMap((report) => report.anomalies)
      .sort((a, b) => b.score - a.score)
      .slice(0, limit),
    watched: reports.reduce((sum, report) => sum + report.watched, 0),
  }
}
