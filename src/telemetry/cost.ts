/**
 * What answers cost, by the prices of the regions in the config: traffic out of a region, and requests to it.
 * An estimate: body bytes as clients got them, without header fields, retries' bodies or background fetches.
 */
import type { RegionsConfig } from '../config/sections/regions.ts'

export interface RegionPrices {
  /** For each 10^9 bytes out of the region. */
  readonly egressPerGB: number
  /** For each million requests to the region. */
  readonly perMillionRequests: number
}

export const BYTES_PER_GB = 1e9
const FREE: RegionPrices = { egressPerGB: 0, perMillionRequests: 0 }

/** What the estimate is made from. */
export interface Answered {
  readonly route: string
  /** Of the last try. */
  readonly region: string
  readonly outcome: string
  readonly cache: string
  /** Tries at origins. */
  readonly tries: number
  readonly bytesOut: number
  /** The region that steering would have taken were it not for the price; empty otherwise. */
  readonly cheaperThan: string
}

const FROM_STORE: ReadonlySet<string> = new Set(['hit', 'stale', 'revalidated'])

/** Whether the body came out of a region for this request. */
export function isFromRegion({ outcome, cache, tries }: Answered): boolean {
  return tries > 0 && outcome === 'served' && !FROM_STORE.has(cache)
}

/** Whether the body was stored, or fetched once for several requests. */
export function isSpared({ outcome, cache, tries }: Answered): boolean {
  return outcome === 'served' && (FROM_STORE.has(cache) || (cache === 'miss' && tries === 0))
}

export class PriceList {
  readonly #prices = new Map<string, RegionPrices>()
  /** Whether anything costs anything. */
  readonly hasPrices: boolean

  constructor(regions: RegionsConfig) {
    for (const { id, egressPrice, requestPrice } of regions) {
      this.#prices.set(id, { egressPerGB: egressPrice, perMillionRequests: requestPrice })
    }
    this.hasPrices = regions.some((region) => region.egressPrice > 0 || region.requestPrice > 0)
  }

  of(region: string): RegionPrices {
    return this.#prices.get(region) ?? FREE
  }

  /** Cost of the traffic of one answer. */
  egress(region: string, bytes: number): number {
    return (bytes / BYTES_PER_GB) * this.of(region).egressPerGB
  }

  /** Cost of tries. All count for the region of the last one. */
  requests(region: string, tries: number): number {
    return (tries / 1e6) * this.of(region).perMillionRequests
  }

  /** What a cheaper region saved against the one that was nearest; not below 0. */
  steered({ region, cheaperThan, bytesOut }: Answered): number {
    if (cheaperThan === '') return 0
    return Math.max(0, this.egress(cheaperThan, bytesOut) - this.egress(region, bytesOut))
  }

  /** Lowest prices of all: what is taken for spared when a route has had no origin yet. */
  get lowest(): RegionPrices {
    let egressPerGB = Number.POSITIVE_INFINITY
    let perMillionRequests = Number.POSITIVE_INFINITY
    for (const prices of this.#prices.values()) {
      egressPerGB = Math.min(egressPerGB, prices.egressPerGB)
      perMillionRequests = Math.min(perMillionRequests, prices.perMillionRequests)
    }
    return Number.isFinite(egressPerGB) ? { egressPerGB, perMillionRequests } : FREE
  }
}

/** What a route's answers from regions have cost on average: the measure of what its stored answers spare. */
export class RouteAverage {
  bytes = 0
  answers = 0
  egress = 0
  requests = 0

  add(bytes: number, egress: number, requests: number): void {
    this.bytes += bytes
    this.answers++
    this.egress += egress
    this.requests += requests
  }

  /** Cost that answers of so many bytes would have had. */
  spared(bytes: number, answers: number, prices: PriceList): number {
    const { lowest } = prices
    const egress =
      this.bytes === 0
        ? (bytes / BYTES_PER_GB) * lowest.egressPerGB
        : (bytes * this.egress) / this.bytes
    const requests =
      this.answers === 0
        ? (answers / 1e6) * lowest.perMillionRequests
        : (answers * this.requests) / this.answers
    return egress + requests
  }
}
