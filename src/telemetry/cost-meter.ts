/** Counts bytes and cost of each finished request. */
import type { RegionsConfig } from '../config/sections/regions.ts'
import { type Answered, isFromRegion, isSpared, PriceList, RouteAverage } from './cost.ts'
import type { Scalar } from './metrics.ts'
import type { RequestRecord } from './record.ts'

export interface CostCounters {
  readonly egressBytes: Scalar<readonly ['region', 'route']>
  readonly cost: Scalar<readonly ['region', 'route', 'part']>
  readonly saved: Scalar<readonly ['route', 'by']>
}

export class CostMeter {
  readonly #counters: CostCounters
  /** By route; routes come from the config, so there are few. */
  readonly #averages = new Map<string, RouteAverage>()
  #prices = new PriceList([])
  /** Reused: one request at a time is looked at. */
  readonly #answered: { -readonly [Key in keyof Answered]: Answered[Key] } = {
    route: '',
    region: '',
    outcome: '',
    cache: '',
    tries: 0,
    bytesOut: 0,
    cheaperThan: '',
  }
  /** Reused for each look-up. */
  readonly #labels2: [string, string] = ['', '']
  readonly #labels3: [string, string, string] = ['', '', '']

  constructor(counters: CostCounters) {
    this.#counters = counters
  }

  /** Averages begin anew: the old prices say nothing of what is spared from now on. */
  price(regions: RegionsConfig): void {
    this.#prices = new PriceList(regions)
    this.#averages.clear()
  }

  observe(record: RequestRecord): void {
    if (record.route === '' || record.bytesOut === 0) return
    const answered = this.#answered
    answered.route = record.route
    answered.region = record.region
    answered.outcome = record.outcome
    answered.cache = record.cache
    answered.tries = record.attempts.length
    answered.bytesOut = record.bytesOut
    answered.cheaperThan = record.cheaperThan
    if (isFromRegion(answered)) this.#fromRegion(answered)
    else if (this.#prices.hasPrices && isSpared(answered)) {
      const saved = this.#averageOf(answered.route).spared(answered.bytesOut, 1, this.#prices)
      if (saved > 0) this.#save(answered.route, 'cache', saved)
    }
  }

  #fromRegion(answered: Answered): void {
    const { region, route, bytesOut, tries } = answered
    const two = this.#labels2
    two[0] = region
    two[1] = route
    this.#counters.egressBytes.add(two, bytesOut)
    if (!this.#prices.hasPrices) return
    const egress = this.#prices.egress(region, bytesOut)
    const requests = this.#prices.requests(region, tries)
    if (egress > 0) this.#spend(region, route, 'egress', egress)
    if (requests > 0) this.#spend(region, route, 'requests', requests)
    this.#averageOf(route).add(bytesOut, egress, requests)
    const steered = this.#prices.steered(answered)
    if (steered > 0) this.#save(route, 'steering', steered)
  }

  #spend(region: string, route: string, part: string, amount: number): void {
    const three = this.#labels3
    three[0] = region
    three[1] = route
    three[2] = part
    this.#counters.cost.add(three, amount)
  }

  #save(route: string, by: string, amount: number): void {
    const two = this.#labels2
    two[0] = route
    two[1] = by
    this.#counters.saved.add(two, amount)
  }

  #averageOf(route: string): RouteAverage {
    let average = this.#averages.get(route)
    if (average === undefined) {
      average = new RouteAverage()
      this.#averages.set(route, average)
    }
    return average
  }
}
