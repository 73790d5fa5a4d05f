/** `meridian analytics cost`: what the answers of a span cost, and what was spared. */
import { readRows } from '../../runtimes/node/analytics/read.ts'
import type { Column, Row } from '../../runtimes/node/analytics/row.ts'
import {
  type Answered,
  BYTES_PER_GB,
  isFromRegion,
  isSpared,
  PriceList,
  RouteAverage,
} from '../../telemetry/cost.ts'
import {
  columns as aligned,
  CommandError,
  EXIT,
  type ExitCode,
  type Terminal,
} from '../terminal.ts'
import {
  emptyReport,
  type FolderOptions,
  folderOf,
  readConfig,
  reportGaps,
  type SpanOptions,
  spanOf,
} from './options.ts'

export interface CostOptions extends FolderOptions, SpanOptions {
  readonly json?: boolean | undefined
}

const WANTED: readonly Column[] = [
  'route',
  'region',
  'outcome',
  'cache',
  'attempts',
  'bytes_out',
  'cheaper_than',
]

/** Of one route in one region. */
interface Line {
  readonly region: string
  readonly route: string
  requests: number
  tries: number
  bytes: number
  egressCost: number
  requestCost: number
}

/** What a route was spared. */
interface Savings {
  readonly route: string
  cachedRequests: number
  cachedBytes: number
  cheaperRequests: number
  bySteering: number
}

export async function cost(options: CostOptions, terminal: Terminal): Promise<ExitCode> {
  const config = await readConfig(options.config)
  const prices = new PriceList(config.regions)
  if (!prices.hasPrices) {
    throw new CommandError(
      `${options.config} has no prices`,
      'set egressPrice and requestPrice of the regions',
    )
  }
  const span = spanOf(options, Date.now())
  const dir = await folderOf(options)
  const report = emptyReport()
  const tally = new Tally(prices)
  for await (const row of readRows(dir, span, WANTED, report)) tally.add(row)
  const lines = tally.lines()
  const savings = tally.savings()
  const total = sum(lines.map(costOf))
  const byCache = sum(savings.map((one) => one.byCache))
  const bySteering = sum(savings.map((one) => one.bySteering))
  const currency = config.telemetry.currency ?? ''
  if (options.json === true) {
    const answer = {
      since: new Date(span.since).toISOString(),
      until: new Date(span.until).toISOString(),
      currency: currency === '' ? null : currency,
      cost: total,
      savedByCache: byCache,
      savedBySteering: bySteering,
      regions: lines,
      savings,
      unread: { torn: report.torn, malformed: report.malformed },
    }
    terminal.out(`${JSON.stringify(answer, null, 2)}\n`)
    return EXIT.ok
  }
  const money = (amount: number): string => amount.toFixed(amount < 1 ? 6 : 2)
  const head = ['region', 'route', 'requests', 'GB out', 'egress', 'requests cost', 'cost']
  const body = lines.map((line) => [
    line.region,
    line.route,
    String(line.requests),
    (line.bytes / BYTES_PER_GB).toFixed(3),
    money(line.egressCost),
    money(line.requestCost),
    money(costOf(line)),
  ])
  const savedHead = ['route', 'from the cache', 'GB', 'saved', 'to a cheaper region', 'saved']
  const savedBody = savings.map((one) => [
    one.route,
    String(one.cachedRequests),
    (one.cachedBytes / BYTES_PER_GB).toFixed(3),
    money(one.byCache),
    String(one.cheaperRequests),
    money(one.bySteering),
  ])
  const unit = currency === '' ? '' : ` ${currency}`
  terminal.out(
    `${aligned([head, ...body])}\n\n${aligned([savedHead, ...savedBody])}\n\n${[
      `cost ${money(total)}${unit}`,
      `saved by the cache ${money(byCache)}${unit}`,
      `saved by steering ${money(bySteering)}${unit}`,
    ].join(', ')}; estimated from body bytes at the prices of ${options.config}\n`,
  )
  reportGaps(report, terminal)
  return EXIT.ok
}

class Tally {
  readonly #prices: PriceList
  readonly #lines = new Map<string, Line>()
  readonly #savings = new Map<string, Savings>()
  readonly #averages = new Map<string, RouteAverage>()

  constructor(prices: PriceList) {
    this.#prices = prices
  }

  add(row: Row): void {
    const answered: Answered = {
      route: row.route,
      region: row.region,
      outcome: row.outcome,
      cache: row.cache,
      tries: row.attempts,
      bytesOut: row.bytes_out,
      cheaperThan: row.cheaper_than,
    }
    if (isFromRegion(answered)) this.#fromRegion(answered)
    else if (isSpared(answered)) {
      const savings = this.#savingsOf(answered.route)
      savings.cachedRequests++
      savings.cachedBytes += answered.bytesOut
    }
  }

  #fromRegion(answered: Answered): void {
    const { region, route, tries, bytesOut } = answered
    const egress = this.#prices.egress(region, bytesOut)
    const requests = this.#prices.requests(region, tries)
    const line = this.#lineOf(region, route)
    line.requests++
    line.tries += tries
    line.bytes += bytesOut
    line.egressCost += egress
    line.requestCost += requests
    let average = this.#averages.get(route)
    if (average === undefined) {
      average = new RouteAverage()
      this.#averages.set(route, average)
    }
    average.add(bytesOut, egress, requests)
    if (answered.cheaperThan === '') return
    const savings = this.#savingsOf(route)
    savings.cheaperRequests++
    savings.bySteering += this.#prices.steered(answered)
  }

  #lineOf(region: string, route: string): Line {
    const key = `${region}\0${route}`
    let line = this.#lines.get(key)
    if (line === undefined) {
      line = { region, route, requests: 0, tries: 0, bytes: 0, egressCost: 0, requestCost: 0 }
      this.#lines.set(key, line)
    }
    return line
  }

  #savingsOf(route: string): Savings {
    let savings = this.#savings.get(route)
    if (savings === undefined) {
      savings = { route, cachedRequests: 0, cachedBytes: 0, cheaperRequests: 0, bySteering: 0 }
      this.#savings.set(route, savings)
    }
    return savings
  }

  /** Dearest first. */
  lines(): Line[] {
    return [...this.#lines.values()].sort((a, b) => costOf(b) - costOf(a))
  }

  /** By what a route's answers from regions cost on average in this span. */
  savings(): (Savings & { readonly byCache: number })[] {
    const none = new RouteAverage()
    return [...this.#savings.values()]
      .map((one) => {
        const average = this.#averages.get(one.route) ?? none
        const byCache = average.spared(one.cachedBytes, one.cachedRequests, this.#prices)
        return { ...one, byCache }
      })
      .sort((a, b) => b.byCache + b.bySteering - (a.byCache + a.bySteering))
  }
}

function costOf({ egressCost, requestCost }: Line): number {
  return egressCost + requestCost
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}
