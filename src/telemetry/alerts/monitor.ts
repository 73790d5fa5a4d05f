/**
 * When an alert has something to say. Events and changes of regions say it themselves; shares and counts are taken of a
 * sliding time of six parts. Fixed memory.
 */
import type { AlertConfig } from '../../config/sections/alerts.ts'
import type { Exchange, Millis } from '../../exchange.ts'
import type { Clock } from '../../ports.ts'
import type { GatewayEvent } from '../events.ts'
import type { RequestRecord } from '../record.ts'
import { isRefusal } from '../refusals.ts'
import type { ReadyAlert } from './courier.ts'
import type { AlertNotice } from './notice.ts'

const PARTS = 6
type Share = 'blockedShare' | 'errorShare' | 'expression'

const WORDS = {
  blockedShare: 'of the requests were refused',
  errorShare: 'of the requests failed',
  expression: 'of the requests matched',
} as const satisfies Readonly<Record<Share, string>>

/** Requests of the last while, in parts. */
class Sliding {
  readonly #all = new Float64Array(PARTS)
  readonly #counted = new Float64Array(PARTS)
  #at = 0

  add(counts: boolean): void {
    this.#all[this.#at] = (this.#all[this.#at] as number) + 1
    if (counts) this.#counted[this.#at] = (this.#counted[this.#at] as number) + 1
  }

  /** Begins the next part; the oldest is forgotten. */
  turn(): void {
    this.#at = (this.#at + 1) % PARTS
    this.#all[this.#at] = 0
    this.#counted[this.#at] = 0
  }

  get all(): number {
    return sum(this.#all)
  }

  get counted(): number {
    return sum(this.#counted)
  }
}

function sum(parts: Float64Array): number {
  let total = 0
  for (let i = 0; i < parts.length; i++) total += parts[i] as number
  return total
}

type Counts = (record: Readonly<RequestRecord>, x: Exchange) => boolean

const hasFailed: Counts = ({ status, outcome }) =>
  status >= 500 || (status === 0 && outcome !== 'client-closed')
const wasRefused: Counts = ({ wasBlocked, outcome }) => wasBlocked || isRefusal(outcome)

/** One share of one alert, or a count. */
class ShareWatch {
  readonly alert: AlertConfig
  readonly kind: Share
  readonly limit: number
  readonly counts: Counts
  readonly sliding = new Sliding()
  isFiring = false

  constructor(alert: AlertConfig, kind: Share, limit: number, counts: Counts) {
    this.counts = counts
    this.alert = alert
    this.kind = kind
    this.limit = limit
  }
}

export class AlertMonitor {
  readonly #alerts: readonly AlertConfig[]
  readonly #clock: Clock
  readonly #tell: (notice: AlertNotice) => void
  readonly #shares: ShareWatch[] = []
  readonly #cancels = new Map<AlertConfig, () => void>()
  readonly #down = new Set<string>()

  constructor(
    alerts: readonly Pick<ReadyAlert, 'config' | 'matches'>[],
    clock: Clock,
    tell: (notice: AlertNotice) => void,
  ) {
    this.#alerts = alerts.map(({ config }) => config)
    this.#clock = clock
    this.#tell = tell
    for (const { config, matches } of alerts) {
      const watch = (kind: Share, limit: number | undefined, counts: Counts) => {
        if (limit !== undefined) this.#shares.push(new ShareWatch(config, kind, limit, counts))
      }
      const { blockedShare, errorShare, share, count } = config.when
      watch('blockedShare', blockedShare, wasRefused)
      watch('errorShare', errorShare, hasFailed)
      if (matches !== undefined) watch('expression', share ?? count, (_, x) => matches(x))
    }
  }

  /** Begins to look at shares. */
  start(): void {
    for (const alert of new Set(this.#shares.map((watch) => watch.alert))) this.#wait(alert)
  }

  stop(): void {
    for (const cancel of this.#cancels.values()) cancel()
    this.#cancels.clear()
  }

  #wait(alert: AlertConfig): void {
    const turn = () => {
      for (const watch of this.#shares) {
        if (watch.alert !== alert) continue
        this.#look(watch)
        watch.sliding.turn()
      }
      this.#wait(alert)
    }
    this.#cancels.set(alert, this.#clock.after(alert.when.over / PARTS, turn))
  }

  #look(watch: ShareWatch): void {
    const { alert, kind, limit, sliding } = watch
    const { all, counted } = sliding
    const byCount = kind === 'expression' && alert.when.count !== undefined
    const isOver = byCount ? counted >= limit : all >= alert.when.atLeast && counted / all >= limit
    if (isOver === watch.isFiring) return
    watch.isFiring = isOver
    const percent = all === 0 ? 0 : Math.round((counted / all) * 1000) / 10
    this.#send(alert, kind, isOver ? 'firing' : 'resolved', {
      summary: `${percent} % ${WORDS[kind]}, ${counted} of ${all} in ${alert.when.over / 1000} s; the limit is ${byCount ? `${limit} requests` : `${limit * 100} %`}`,
      detail: { share: all === 0 ? 0 : counted / all, requests: all, limit },
    })
  }

  /** Counts one finished request. */
  observe(record: Readonly<RequestRecord>, x: Exchange): void {
    for (let i = 0; i < this.#shares.length; i++) {
      const watch = this.#shares[i] as ShareWatch
      watch.sliding.add(watch.counts(record, x))
    }
  }

  event({ what, detail }: GatewayEvent): void {
    if (what === 'failover') {
      const { from, to, because, route } = detail
      for (const alert of this.#alerts) {
        if (alert.when.failover === undefined) continue
        this.#send(alert, `failover ${from} ${to}`, 'firing', {
          summary: `requests of region ${from} are answered by ${to}: ${because}`,
          detail: pick({ from, to, because, route }),
        })
      }
    } else if (what === 'anomaly' || what === 'anomaly-over') {
      const { network, route, score, why } = detail
      for (const alert of this.#alerts) {
        const isOver = what === 'anomaly-over'
        if (alert.when.anomaly === undefined) continue
        // The score has fallen meanwhile; of what was never told, its end is not told either.
        if (!isOver && Number(score) < alert.when.anomaly) continue
        this.#send(alert, `anomaly ${network} ${route}`, isOver ? 'resolved' : 'firing', {
          summary: isOver
            ? `${network} is as usual again on route ${route}`
            : `${network} is anomalous on route ${route}, score ${score}: ${why}`,
          detail: pick({ network, route, score, why }),
        })
      }
    }
  }

  /** @param up whether each region has an origin that may be used */
  regions(up: ReadonlyMap<string, boolean>): void {
    for (const [region, isUp] of up) {
      if (isUp !== this.#down.has(region)) continue
      if (isUp) this.#down.delete(region)
      else this.#down.add(region)
      for (const alert of this.#alerts) {
        const { regionDown } = alert.when
        if (regionDown === undefined) continue
        if (regionDown !== true && !regionDown.includes(region)) continue
        this.#send(alert, `region ${region}`, isUp ? 'resolved' : 'firing', {
          summary: isUp
            ? `region ${region} is up again`
            : `region ${region} is down: no origin is up`,
          detail: { region },
        })
      }
    }
  }

  #send(
    alert: AlertConfig,
    subject: string,
    state: AlertNotice['state'],
    what: Pick<AlertNotice, 'summary' | 'detail'>,
  ): void {
    this.#tell({ alert: alert.name, subject, state, ...what, time: this.#clock.now() as Millis })
  }
}

function pick(values: Readonly<Record<string, GatewayEvent['detail'][string] | undefined>>) {
  const found: Record<string, GatewayEvent['detail'][string]> = {}
  for (const [key, value] of Object.entries(values)) if (value !== undefined) found[key] = value
  return found
}
